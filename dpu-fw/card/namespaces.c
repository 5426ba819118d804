/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "ob_nvmeq.h"

#define NAMESPACES_LAYOUT 1

int namespaces_init(struct ob_card *c)
{
	void *mem;
	bool fresh;
	int rc = ob_arena_region(c->conf.arena, "card.namespaces", NAMESPACES_LAYOUT,
	    MAX_NAMESPACES * sizeof(*c->namespaces), &mem, &fresh);

	c->namespaces = mem;
	return rc;
}

uint32_t namespace_next(const struct ob_card *c, uint32_t i, uint32_t fn)
{
	while (i < MAX_NAMESPACES &&
	       (c->namespaces[i].nsid == 0 || (fn != NAMES_NONE && c->namespaces[i].fn != fn)))
		i++;
	return i < MAX_NAMESPACES ? i : NAMES_NONE;
}

uint32_t namespace_find(const struct ob_card *c, uint32_t fn, uint32_t nsid)
{
	uint32_t i = 0;

	while ((i = namespace_next(c, i, fn)) != NAMES_NONE && c->namespaces[i].nsid != nsid)
		i++;
	return i;
}

/* The same name on the same card has the same identity on every start: a guest finds its disk by it. RFC 4122, version 5. */
static void derive_uuid(const struct ob_card *c, const char *volume, uint8_t uuid[16])
{
	static const char space[] = "outboard volume";
	uint8_t md[EVP_MAX_MD_SIZE] = {0};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1) {
		EVP_DigestUpdate(ctx, space, sizeof(space));
		EVP_DigestUpdate(ctx, c->serial, strlen(c->serial) + 1);
		EVP_DigestUpdate(ctx, volume, strlen(volume));
		EVP_DigestFinal_ex(ctx, md, NULL);
	}
	EVP_MD_CTX_free(ctx);
	memcpy(uuid, md, 16);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x50);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static int make_ns(struct ob_card *c, uint32_t volume, struct text *t)
{
	struct volume *v = &c->volume[volume];
	struct ob_nvme_ns_conf conf = {.ana_group = 1};
	int rc;

	if (v->ns != NULL)
		return 0;
	rc = volume_top(c, volume, &conf.blk, t);
	if (rc < 0)
		return rc;
	strcpy(conf.name, names_get(&c->volumes, volume));
	derive_uuid(c, conf.name, conf.uuid);
	rc = ob_nvme_ns_create(&conf, &v->ns);
	return rc < 0 ? fail(t, rc, "namespace of volume %s: %s", conf.name, strerror(-rc)) : 0;
}

/* Reservations and write protection are those of the hosts that had it: they go with the last of them. */
static void drop_ns(struct ob_card *c, uint32_t volume)
{
	for (uint32_t i = 0; (i = namespace_next(c, i, NAMES_NONE)) != NAMES_NONE; i++) {
		if (c->namespaces[i].volume == volume)
			return;
	}
	ob_nvme_ns_put(c->volume[volume].ns);
	c->volume[volume].ns = NULL;
	volume_drop_top(c, volume);
}

static int attach(struct ob_card *c, uint32_t fn, uint32_t volume, uint32_t *nsid, struct text *t)
{
	const char *name = names_get(&c->functions, fn);
	int rc = make_ns(c, volume, t);

	if (rc < 0)
		return rc;
	rc = c->conf.models->add_ns(c->fn[fn], nsid, c->volume[volume].ns);
	switch (-rc) {
	case 0:
		return 0;
	case EEXIST:
		return fail(t, rc, "function %s has a namespace %u already", name, *nsid);
	case EALREADY:
		return fail(t, rc, "function %s shows volume %s already", name,
		    names_get(&c->volumes, volume));
	case ENOSPC:
		return fail(t, rc, "function %s has no room for another namespace", name);
	default:
		return fail(t, rc, "namespace of function %s: %s", name, strerror(-rc));
	}
}

int namespace_add(struct ob_card *c, uint32_t fn, uint32_t volume, uint32_t *nsid, struct text *t)
{
	uint32_t i = 0;
	int rc;

	while (i < MAX_NAMESPACES && c->namespaces[i].nsid != 0)
		i++;
	if (i == MAX_NAMESPACES)
		return fail(t, -ENOSPC, "the card has no more than %d namespaces", MAX_NAMESPACES);
	rc = attach(c, fn, volume, nsid, t);
	if (rc < 0)
		drop_ns(c, volume);
	else
		c->namespaces[i] =
		    (struct namespace_rec){.nsid = *nsid, .fn = fn, .volume = volume};
	return rc;
}

void namespace_del(struct ob_card *c, uint32_t i)
{
	struct namespace_rec was = c->namespaces[i];

	if (c->fn[was.fn] != NULL)
		(void)c->conf.models->del_ns(c->fn[was.fn], was.nsid);
	memset(&c->namespaces[i], 0, sizeof(c->namespaces[i]));
	drop_ns(c, was.volume);
}

void namespaces_of_gone(struct ob_card *c, uint32_t fn)
{
	for (uint32_t i = 0; (i = namespace_next(c, i, fn)) != NAMES_NONE; i++) {
		uint32_t volume = c->namespaces[i].volume;

		memset(&c->namespaces[i], 0, sizeof(c->namespaces[i]));
		drop_ns(c, volume);
	}
}
