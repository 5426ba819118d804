/* SPDX-License-Identifier: BSD-3-Clause */
/* A card without a dataplane's traffic, and requests to it, for the tests of this folder. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

#include "fake_models.h"
#include "ob_acl.h"
#include "ob_arena.h"
#include "ob_card.h"
#include "ob_encap.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_policy.h"
#include "ob_session.h"

static struct ob_card *card;
static const char *card_key_file; /* NULL: in run_dir, which is not there */
static struct ob_arena *arena;
static _Alignas(8) uint8_t req[OB_BUS_MAX_MSG], rep[OB_BUS_MAX_MSG + 1];
static struct ob_bus_hdr rep_hdr;
static size_t rep_len;
static bool rep_more;

static inline void open_card(void)
{
	struct ob_card_conf conf = {.arena = arena,
	    .serial = "SN1",
	    .version = "1.2.3",
	    .run_dir = "/run/test",
	    .key_file = card_key_file,
	    .models = &fake_card_models};

	assert_int_equal(ob_card_create(&conf, &card), 0);
}

static inline int setup(void **state)
{
	struct ob_meter_conf meters = {.n_workers = 1, .tsc_hz = 1000000000};
	struct ob_session_conf sessions = {
	    .n_workers = 1, .max_v4 = 1024, .max_v6 = 1024, .tsc_hz = 1000000000};

	(void)state;
	memset(&fake_models, 0, sizeof(fake_models));
	assert_int_equal(ob_arena_create("test", 1ull << 30, &arena), 0);
	assert_int_equal(ob_encap_init(arena), 0);
	assert_int_equal(ob_policy_init(arena), 0);
	assert_int_equal(ob_acl_init(arena), 0);
	assert_int_equal(ob_nat_init(arena), 0);
	meters.arena = arena;
	assert_int_equal(ob_meter_init(&meters), 0);
	assert_int_equal(ob_session_init(arena, &sessions), 0);
	open_card();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	ob_card_destroy(card);
	ob_session_fini();
	ob_meter_fini();
	ob_nat_fini();
	ob_acl_fini();
	ob_policy_fini();
	ob_encap_fini();
	ob_arena_destroy(arena);
	assert_int_equal(fake_models.n_alive, 0);
	return 0;
}

static inline struct ob_bus_hdr hdr(uint8_t verb, uint8_t noun, uint16_t count, uint32_t record_len)
{
	return (struct ob_bus_hdr){.magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .verb = verb,
	    .noun = noun,
	    .count = count,
	    .seq = 77,
	    .body_len = count * record_len,
	    .record_len = record_len};
}

static inline int send_raw(const struct ob_bus_hdr *h, const void *body, size_t body_len)
{
	memcpy(req, h, sizeof(*h));
	if (body_len > 0)
		memcpy(req + sizeof(*h), body, body_len);
	memset(rep, 0, sizeof(rep));
	rep_len = ob_card_request(card, req, sizeof(*h) + body_len, rep, &rep_more);
	assert_true(rep_len >= sizeof(rep_hdr));
	memcpy(&rep_hdr, rep, sizeof(rep_hdr));
	assert_int_equal(rep_hdr.magic, OB_BUS_MAGIC);
	assert_int_equal(rep_hdr.body_len, rep_len - sizeof(rep_hdr));
	return rep_hdr.status;
}

static inline int send_rec(uint8_t verb, uint8_t noun, const void *rec, uint32_t len)
{
	struct ob_bus_hdr h = hdr(verb, noun, 1, len);
	int rc = send_raw(&h, rec, len);

	assert_int_equal(rep_hdr.seq, 77);
	/* Whatever is refused is refused with words. */
	if (rc != 0)
		assert_true(rep_hdr.body_len > 8);
	return rc;
}

#define ADD(noun, rec) send_rec(OB_BUS_ADD, noun, &(rec), sizeof(rec))
#define DEL(noun, rec) send_rec(OB_BUS_DEL, noun, &(rec), sizeof(rec))
#define SET(noun, rec) send_rec(OB_BUS_SET, noun, &(rec), sizeof(rec))

static inline bool says(const char *part)
{
	return strstr((const char *)rep + sizeof(rep_hdr), part) != NULL;
}

/* Number of records; '*first' gets the first. */
static inline unsigned list(
    uint8_t noun, const void *filter, uint32_t filter_len, void *first, size_t len)
{
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, noun, filter ? 1 : 0, filter ? filter_len : 0);

	assert_int_equal(send_raw(&h, filter, filter ? filter_len : 0), 0);
	if (first != NULL && rep_hdr.count > 0) {
		assert_int_equal(rep_hdr.record_len, len);
		memcpy(first, rep + sizeof(rep_hdr), len);
	}
	return rep_hdr.count;
}

static inline struct ob_bus_ip ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t len)
{
	return (struct ob_bus_ip){.family = 4, .prefix_len = len, .b = {a, b, c, d}};
}

static inline struct ob_bus_function function(const char *name)
{
	struct ob_bus_function r = {.type = 1, .transport = OB_BUS_VFIO_USER};

	snprintf(r.name, sizeof(r.name), "%s", name);
	return r;
}

static inline struct ob_bus_vnet vnet(const char *name, uint32_t vni)
{
	struct ob_bus_vnet r = {.vni = vni};

	snprintf(r.name, sizeof(r.name), "%s", name);
	return r;
}

static inline struct ob_bus_eni eni(const char *name, const char *fn, const char *vn)
{
	struct ob_bus_eni r = {.n_addrs = 1, .mac = {2, 0, 0, 0, 0, 9}};

	snprintf(r.name, sizeof(r.name), "%s", name);
	snprintf(r.function, sizeof(r.function), "%s", fn);
	snprintf(r.vnet, sizeof(r.vnet), "%s", vn);
	r.addr[0] = ip4(10, 0, 0, 5, 24);
	return r;
}

static inline struct ob_bus_route route(const char *vn, struct ob_bus_ip prefix)
{
	struct ob_bus_route r = {.prefix = prefix, .action = 1};

	snprintf(r.vnet, sizeof(r.vnet), "%s", vn);
	return r;
}

static inline struct ob_bus_tunnel tunnel(const char *name, uint8_t last)
{
	struct ob_bus_tunnel r = {.encap = 1};

	snprintf(r.name, sizeof(r.name), "%s", name);
	r.remote = ip4(192, 0, 2, last, 0);
	return r;
}

static inline struct ob_bus_mapping mapping(const char *vn, uint8_t last, const char *tun)
{
	struct ob_bus_mapping r = {.mac = {2, 0, 0, 0, 0, 7}};

	snprintf(r.vnet, sizeof(r.vnet), "%s", vn);
	snprintf(r.tunnel, sizeof(r.tunnel), "%s", tun);
	r.ca = ip4(10, 0, 0, last, 32);
	return r;
}

static inline void refused(uint8_t noun, const void *rec, uint32_t len, int rc, const char *text)
{
	assert_int_equal(send_rec(OB_BUS_ADD, noun, rec, len), rc);
	if (!says(text))
		fail_msg("'%s' does not say '%s'", (const char *)rep + sizeof(rep_hdr), text);
}

#define REFUSED(noun, good, change, rc, text)               \
	do {                                                \
		__typeof__(good) bad = (good);              \
		change;                                     \
		refused(noun, &bad, sizeof(bad), rc, text); \
	} while (0)
