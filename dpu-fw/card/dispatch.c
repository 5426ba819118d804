/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Records that a LIST may look at for one packet: other clients and the devices' registers wait meanwhile. */
#define FILL_BUDGET 4096

static const struct noun *const nouns[] = {
    [OB_BUS_CARD] = &noun_card,
    [OB_BUS_FUNCTION] = &noun_function,
    [OB_BUS_VNET] = &noun_vnet,
    [OB_BUS_ENI] = &noun_eni,
    [OB_BUS_ROUTE] = &noun_route,
    [OB_BUS_MAPPING] = &noun_mapping,
    [OB_BUS_TUNNEL] = &noun_tunnel,
    [OB_BUS_UPLINK] = &noun_uplink,
    [OB_BUS_QUEUE] = &noun_queue,
    [OB_BUS_DROP] = &noun_drop,
    [OB_BUS_WORKER] = &noun_worker,
    [OB_BUS_UPLOAD] = &noun_upload,
    [OB_BUS_BODY] = &noun_body,
    [OB_BUS_SG] = &noun_sg,
    [OB_BUS_TAG] = &noun_tag,
    [OB_BUS_BINDING] = &noun_binding,
    [OB_BUS_NAT_POOL] = &noun_nat_pool,
    [OB_BUS_NAT_BIND] = &noun_nat_bind,
    [OB_BUS_FIP] = &noun_fip,
    [OB_BUS_NAT64] = &noun_nat64,
    [OB_BUS_METER] = &noun_meter,
    [OB_BUS_CAPTURE] = &noun_capture,
    [OB_BUS_TRACE] = &noun_trace,
    [OB_BUS_SESSION_POLICY] = &noun_session_policy,
    [OB_BUS_SESSION] = &noun_session,
    [OB_BUS_SESSION_ENI] = &noun_session_eni,
    [OB_BUS_SESSION_TABLE] = &noun_session_table,
    [OB_BUS_VOLUME] = &noun_volume,
    [OB_BUS_NAMESPACE] = &noun_namespace,
    [OB_BUS_VOLUME_STATS] = &noun_volume_stats,
    [OB_BUS_IO_QUEUE] = &noun_io_queue,
    [OB_BUS_FUNCTION_STATS] = &noun_function_stats,
};

/* An answer that repeats what the client needs to recognise it. */
static size_t answer(
    void *out, const struct ob_bus_hdr *req, int status, uint16_t count, const char *s)
{
	struct ob_bus_hdr h = {
	    .magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .verb = req->verb,
	    .noun = req->noun,
	    .flags = OB_BUS_REPLY,
	    .count = count,
	    .seq = req->seq,
	    .status = status,
	    .body_len = status == 0 ? 0 : (uint32_t)strlen(s),
	};

	memcpy(out, &h, sizeof(h));
	memcpy((uint8_t *)out + sizeof(h), s, h.body_len);
	return sizeof(h) + h.body_len;
}

/* The header against the packet. Everything after it relies on this. */
static int check_hdr(
    const struct ob_bus_hdr *h, size_t len, const struct noun **noun, struct text *t)
{
	if (h->version != OB_BUS_VERSION)
		return fail(t, -EPROTONOSUPPORT,
		    "the card speaks version %d of the bus, the client %u", OB_BUS_VERSION,
		    h->version);
	if (h->flags != 0 || h->status != 0)
		return fail(t, -EPROTO, "a request has no flags and no status");
	if (h->body_len != len - sizeof(*h))
		return fail(t, -EPROTO, "the header tells %u bytes of body, the packet has %zu",
		    h->body_len, len - sizeof(*h));
	if (h->noun >= sizeof(nouns) / sizeof(nouns[0]) || nouns[h->noun] == NULL)
		return fail(t, -EOPNOTSUPP, "the card knows no object of kind %u", h->noun);
	*noun = nouns[h->noun];
	if (h->count == 0)
		return h->body_len == 0 ? 0 : fail(t, -EPROTO, "a body without records");
	if (h->record_len < (*noun)->record_len)
		return fail(t, -EPROTO, "a %s record has at least %u bytes, not %u", (*noun)->name,
		    (*noun)->record_len, h->record_len);
	if (h->body_len % h->count != 0 || h->body_len / h->count != h->record_len)
		return fail(t, -EPROTO, "%u records of %u bytes are not %u bytes", h->count,
		    h->record_len, h->body_len);
	return 0;
}

static int begin_list(struct ob_card *c, const struct ob_bus_hdr *h, const struct noun *noun,
    const uint8_t *body, struct listing *l, struct text *t)
{
	int rc;

	if (noun->next == NULL)
		return fail(t, -EOPNOTSUPP, "%s cannot be listed", noun->name);
	if (h->count > 1)
		return fail(t, -EINVAL, "a LIST takes one filter");
	memset(l->filter, 0, sizeof(l->filter));
	if (h->count == 1)
		memcpy(l->filter, body, noun->record_len);
	rc = noun->filter ? noun->filter(c, l->filter, t) : 0;
	if (rc < 0)
		return rc;
	l->hdr = *h;
	l->cursor = 0;
	l->noun = noun;
	return 0;
}

/* Records in order, up to the first that fails. */
static int apply(struct ob_card *c, const struct ob_bus_hdr *h, const struct noun *noun,
    const uint8_t *body, uint16_t *done, struct text *t)
{
	int (*fn)(struct ob_card *, const void *, struct text *) =
	    h->verb == OB_BUS_ADD   ? noun->add
	    : h->verb == OB_BUS_DEL ? noun->del
	    : h->verb == OB_BUS_SET ? noun->set
				    : NULL;
	_Alignas(8) uint8_t rec[NOUN_MAX_RECORD];
	int rc;

	if (h->verb < OB_BUS_ADD || h->verb > OB_BUS_LIST)
		return fail(t, -EOPNOTSUPP, "the card knows no verb %u", h->verb);
	if (fn == NULL)
		return fail(t, -EOPNOTSUPP, "%s cannot be %s", noun->name,
		    h->verb == OB_BUS_ADD   ? "added"
		    : h->verb == OB_BUS_DEL ? "deleted"
					    : "changed in place: delete it and add it anew");
	if (h->count == 0)
		return fail(t, -EPROTO, "the record is missing");
	while (*done < h->count) {
		memcpy(rec, body + (size_t)*done * h->record_len, noun->record_len);
		rc = fn(c, rec, t);
		if (noun->secret)
			explicit_bzero(rec, noun->record_len);
		if (rc < 0)
			return rc;
		(*done)++;
	}
	return 0;
}

size_t dispatch(struct ob_card *c, struct upload *up, const void *req, size_t len, void *out,
    struct listing *l, bool *hangup)
{
	const uint8_t *body = (const uint8_t *)req + sizeof(struct ob_bus_hdr);
	const struct noun *noun = NULL;
	struct text t = {""};
	struct ob_bus_hdr h;
	uint16_t done = 0;
	int rc;

	c->upload = up;
	*hangup = false;
	l->noun = NULL;
	if (len < sizeof(h))
		memset(&h, 0, sizeof(h));
	else
		memcpy(&h, req, sizeof(h));
	if (len < sizeof(h) || h.magic != OB_BUS_MAGIC) {
		*hangup = true;
		fail(&t, -EPROTO, "this is not a packet of the card bus");
		return answer(out, &h, -EPROTO, 0, t.s);
	}
	rc = check_hdr(&h, len, &noun, &t);
	if (rc == 0 && h.verb == OB_BUS_LIST) {
		rc = begin_list(c, &h, noun, body, l, &t);
		if (rc == 0)
			return 0;
	} else if (rc == 0) {
		rc = apply(c, &h, noun, body, &done, &t);
	}
	if (rc < 0 && t.s[0] == '\0')
		fail(&t, rc, "%s: %s", noun != NULL ? noun->name : "request", strerror(-rc));
	return answer(out, &h, rc, done, t.s);
}

size_t listing_fill(struct ob_card *c, const struct listing *l, void *out, size_t out_len,
    uint64_t *cursor, bool *more)
{
	uint16_t record_len = l->noun->record_len;
	size_t room = (out_len - sizeof(struct ob_bus_hdr)) / record_len;
	_Alignas(8) uint8_t rec[NOUN_MAX_RECORD];
	struct ob_bus_hdr h = l->hdr;
	uint8_t *at = (uint8_t *)out + sizeof(h);
	int rc = 0;

	*cursor = l->cursor;
	h.count = 0;
	for (unsigned i = 0; i < FILL_BUDGET && h.count < room && rc != -ENOENT; i++) {
		memset(rec, 0, record_len);
		rc = l->noun->next(c, l->filter, cursor, rec);
		if (rc == 0) {
			memcpy(at + (size_t)h.count * record_len, rec, record_len);
			h.count++;
		}
	}
	*more = rc != -ENOENT;
	h.version = OB_BUS_VERSION;
	h.flags = (uint8_t)(OB_BUS_REPLY | (*more ? OB_BUS_MORE : 0));
	h.status = 0;
	h.record_len = record_len;
	h.body_len = (uint32_t)h.count * record_len;
	memcpy(out, &h, sizeof(h));
	return sizeof(h) + h.body_len;
}
