/* SPDX-License-Identifier: BSD-3-Clause */
/* A group made from the input, compiled, and asked about packets at the edges of its lists; a linear reference has the right answers.
 * The first byte chooses: rules drawn from the bytes, or the bytes taken as what the arena holds of a group. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "acl_priv.h"
#include "classify.h"
#include "test_acl.h"

#define N_TAGS	 4
#define N_PROBES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ob_acl_tag_cfg tags[OB_ACL_MAX_TAGS];

static int get_tag(void *arg, uint16_t id, struct ob_acl_tag_cfg **out)
{
	struct ob_acl_tag_cfg *t;

	(void)arg;
	if (id >= N_TAGS)
		return -ENOENT;
	t = malloc(sizeof(*t));
	if (t == NULL)
		abort();
	*t = tags[id];
	*out = t;
	return 0;
}

static void check(struct acl_rand *r, const struct acl_shape *s, const struct ob_acl_group_cfg *g)
{
	struct acl_classifier *c;
	char err[128];

	if (acl_compile(g, get_tag, NULL, &c, err, sizeof(err)) < 0)
		return;
	for (unsigned i = 0; i < N_PROBES; i++) {
		const struct ob_acl_rule *want;
		struct acl_probe probe;
		struct acl_key key;
		uint32_t got;

		acl_rand_probe(r, s, g, tags, &probe);
		want = oracle_group(g, tags, &probe.p);
		key = acl_key_of(&probe.p);
		got = acl_classify(c, &probe.p, &key);
		if ((want == NULL) != (got == ACL_NO_RULE))
			abort();
		if (want != NULL && (c->priority[got] != want->priority ||
					c->action[got] != ((want->action ? ACL_PERMIT : 0) |
							      (want->terminate ? ACL_FINAL : 0))))
			abort();
	}
	acl_classifier_free(c);
}

/* By way of the bytes that the arena would hold, as a group that is set goes. */
static void drawn(struct acl_rand *r, struct acl_shape *s)
{
	struct ob_acl_group_cfg *g, *again;
	void *bytes;
	size_t len;

	g = acl_rand_group(r, s);
	if (acl_check_group(g, NULL, 0) == 0) {
		if (acl_pack_group(g, &bytes, &len) < 0 ||
		    acl_unpack_group(bytes, len, &again) < 0 ||
		    acl_check_sorted(again, NULL, 0) < 0)
			abort();
		check(r, s, again);
		free(again);
		free(bytes);
	}
	acl_rand_group_free(g);
}

static void found(struct acl_rand *r, struct acl_shape *s, const uint8_t *data, size_t size)
{
	struct ob_acl_group_cfg *g;

	if (acl_unpack_group(data, size, &g) < 0)
		return;
	if (acl_check_group(g, NULL, 0) == 0 && acl_check_sorted(g, NULL, 0) == 0) {
		s->family = g->family;
		check(r, s, g);
	}
	free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acl_rand r = {.state = 0x1234567};
	struct acl_shape s;

	if (size < 4)
		return 0;
	r.bytes = data + 4;
	r.left = size - 4;
	s = (struct acl_shape){.family = data[0] & 1 ? AF_INET6 : AF_INET,
	    .n_rules = data[1] & 0x80 ? data[1] & 0x7f : data[1] & 7,
	    .max_prefixes = 1 + (data[2] & 15),
	    .max_ranges = 1 + (data[2] >> 4),
	    .n_tags = data[0] & 2 ? N_TAGS : 0,
	    .any_in = 1 + (data[3] & 7),
	    .spread = data[3] >> 7};
	for (unsigned t = 0; t < N_TAGS; t++) {
		struct acl_rand of_tag = {.state = 99 + t};

		tags[t].family = s.family;
		tags[t].prefixes = acl_rand_prefixes(&of_tag, &s, &tags[t].n_prefixes);
	}
	if (data[0] & 4)
		found(&r, &s, data + 4, size - 4);
	else
		drawn(&r, &s);
	for (unsigned t = 0; t < N_TAGS; t++)
		acl_test_free(tags[t].prefixes);
	return 0;
}
