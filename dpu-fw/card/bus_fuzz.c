/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of the bus to the card's real handlers and tables; functions are the fake ones.
 *
 * Input: records of {length, 2 bytes little endian; packet}. Before each packet, magic and version are put right unless its first byte is
 * odd, and body_len is made to fit unless its second is: else nearly all inputs end at the first check. */
#include "fake_models.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

#include "ob_acl.h"
#include "ob_arena.h"
#include "ob_card.h"
#include "ob_encap.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_policy.h"
#include "ob_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static _Alignas(8) uint8_t out[OB_BUS_MAX_MSG];

static void must_be_an_answer(size_t len)
{
	struct ob_bus_hdr h;

	assert(len >= sizeof(h));
	memcpy(&h, out, sizeof(h));
	assert(h.magic == OB_BUS_MAGIC && (h.flags & OB_BUS_REPLY));
	assert(h.body_len == len - sizeof(h));
	assert(h.status <= 0 && (h.status == 0 || h.body_len > 0));
}

/* No input opens a file, nor takes the machine's memory. */
static void tame_volumes(uint8_t *req, size_t len)
{
	const size_t kind = offsetof(struct ob_bus_volume, kind);
	struct ob_bus_hdr h;
	uint64_t bytes;

	memcpy(&h, req, sizeof(h));
	if (h.noun != OB_BUS_VOLUME || h.record_len < sizeof(struct ob_bus_volume))
		return;
	for (size_t at = sizeof(h); at + sizeof(struct ob_bus_volume) <= len; at += h.record_len) {
		if (req[at + kind] == OB_BUS_VOL_FILE)
			req[at + kind] = OB_BUS_VOL_RAM;
		memcpy(&bytes, req + at + offsetof(struct ob_bus_volume, bytes), sizeof(bytes));
		if (req[at + kind] != OB_BUS_VOL_NULL)
			bytes &= (64u << 20) - 1;
		memcpy(req + at + offsetof(struct ob_bus_volume, bytes), &bytes, sizeof(bytes));
	}
}

static void one_packet(struct ob_card *card, const uint8_t *data, size_t len)
{
	/* A copy of its exact size: a byte too far is found. */
	uint8_t *req = malloc(len ? len : 1);
	struct ob_bus_hdr h;
	bool more;

	assert(req != NULL);
	memcpy(req, data, len);
	if (len >= sizeof(h)) {
		memcpy(&h, req, sizeof(h));
		if (!(req[0] & 1)) {
			h.magic = OB_BUS_MAGIC;
			h.version = OB_BUS_VERSION;
			h.flags = 0;
			h.status = 0;
		}
		if (!(req[1] & 1)) {
			h.body_len = (uint32_t)(len - sizeof(h));
			h.record_len = h.count ? h.body_len / h.count : 0;
		}
		memcpy(req, &h, sizeof(h));
		tame_volumes(req, len);
	}
	must_be_an_answer(ob_card_request(card, req, len, out, &more));
	free(req);
}

/* A few connections of the first ENIs, for lists to find: UDP over IPv4, the same with NAT, NAT64. */
static void open_sessions(void)
{
	static const uint8_t ip6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 5},
			     far6[16] = {0, 0x64, 0xff, 0x9b};
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 198, 51, 100, 7};
	static uint8_t bytes[128];
	struct rte_mbuf m = {.buf_addr = bytes, .nb_segs = 1, .pkt_len = 80, .data_len = 80};
	struct ob_meta meta = {.flags = OB_PKT_IP4 | OB_PKT_UDP,
	    .l2_len = 14,
	    .l3_len = 20,
	    .l4_len = 8,
	    .ip_proto = IPPROTO_UDP};
	struct ob_session_new n = {.family = {4, 4}, .gen = {1, 1}};
	uint32_t ref;

	for (uint32_t i = 0; i < 3; i++) {
		n.key[0].v4 = (struct ob_session_key4){
		    0x010200c00500000aull, 0x3500a00fu + (i << 8), i << 8 | IPPROTO_UDP};
		n.key[1].v4 = ob_session_reverse4(&n.key[0].v4);
		if (i == 1)
			n.key[1].v4.addrs ^= 0x0101ull << 40;
		if (ob_session_add(ob_session_shard(0), &n, &m, &meta, &ref) < 0)
			abort();
	}
	memset(n.key, 0, sizeof(n.key));
	n.family[0] = n.family[1] = 6;
	memcpy(n.key[0].v6.src, ip6, 16);
	memcpy(n.key[0].v6.dst, far6, 16);
	n.key[0].v6.ports = 0x3500a00fu;
	n.key[0].v6.ctx_proto = IPPROTO_UDP;
	n.key[1].v6 = ob_session_reverse6(&n.key[0].v6);
	memcpy(n.key[1].v6.dst, mapped, 16);
	meta.flags = OB_PKT_IP6 | OB_PKT_UDP;
	meta.l3_len = 40;
	if (ob_session_add(ob_session_shard(0), &n, &m, &meta, &ref) < 0)
		abort();
}

/* The tables are made once: making them costs a hundred times what an input does. */
static struct ob_card *card_once(void)
{
	struct ob_card_conf conf = {
	    .serial = "SN1", .version = "1", .run_dir = "/run/fuzz", .models = &fake_card_models};
	struct ob_meter_conf meters = {.n_workers = 1, .tsc_hz = 1000000000};
	struct ob_session_conf sessions = {
	    .n_workers = 1, .max_v4 = 1024, .max_v6 = 1024, .tsc_hz = 1000000000};
	static struct ob_card *card;
	struct ob_arena *arena;

	if (card != NULL)
		return card;
	rte_log_set_global_level(RTE_LOG_ERR);
	if (ob_arena_create("fuzz", 1ull << 30, &arena) < 0 || ob_encap_init(arena) < 0 ||
	    ob_policy_init(arena) < 0 || ob_acl_init(arena) < 0 || ob_nat_init(arena) < 0 ||
	    ob_session_init(arena, &sessions) < 0)
		abort();
	meters.arena = arena;
	if (ob_meter_init(&meters) < 0)
		abort();
	conf.arena = arena;
	if (ob_card_create(&conf, &card) < 0)
		abort();
	open_sessions();
	return card;
}

static struct ob_bus_hdr ask(
    struct ob_card *card, uint8_t verb, uint8_t noun, const void *rec, uint32_t len)
{
	struct {
		struct ob_bus_hdr h;
		uint8_t body[4096];
	} req = {.h = {.magic = OB_BUS_MAGIC,
		     .version = OB_BUS_VERSION,
		     .verb = verb,
		     .noun = noun,
		     .count = len > 0,
		     .body_len = len,
		     .record_len = len}};
	struct ob_bus_hdr h;
	bool more;

	assert(len <= sizeof(req.body));
	if (len > 0)
		memcpy(req.body, rec, len);
	must_be_an_answer(ob_card_request(card, &req, sizeof(req.h) + len, out, &more));
	memcpy(&h, out, sizeof(h));
	return h;
}

/* In whatever order they stand on each other: each round deletes those that nothing stands on. */
static void delete_volumes(struct ob_card *card)
{
	static uint8_t rec[OB_BUS_MAX_MSG];
	struct ob_bus_hdr h, d;
	unsigned n_gone;

	while ((h = ask(card, OB_BUS_LIST, OB_BUS_VOLUME, NULL, 0)).count > 0) {
		n_gone = 0;
		memcpy(rec, out + sizeof(h), h.body_len);
		for (unsigned i = 0; i < h.count; i++) {
			d = ask(card, OB_BUS_DEL, OB_BUS_VOLUME, rec + (size_t)i * h.record_len,
			    h.record_len);
			assert(d.status == 0 || d.status == -EBUSY);
			n_gone += d.status == 0;
		}
		assert(n_gone > 0);
	}
}

/* Whatever the input made can be listed, and what is listed can be deleted, users first. */
static void delete_all(struct ob_card *card)
{
	static const uint8_t order[] = {OB_BUS_BINDING, OB_BUS_SG, OB_BUS_TAG, OB_BUS_NAT_BIND,
	    OB_BUS_NAT64, OB_BUS_FIP, OB_BUS_NAT_POOL, OB_BUS_ENI, OB_BUS_MAPPING, OB_BUS_ROUTE,
	    OB_BUS_NAMESPACE, OB_BUS_FUNCTION, OB_BUS_VNET, OB_BUS_TUNNEL};
	uint8_t rec[4096];
	struct ob_bus_hdr h;

	for (unsigned i = 0; i < sizeof(order); i++) {
		while ((h = ask(card, OB_BUS_LIST, order[i], NULL, 0)).count > 0) {
			memcpy(rec, out + sizeof(h), h.record_len);
			h = ask(card, OB_BUS_DEL, order[i], rec, h.record_len);
			assert(h.status == 0);
		}
	}
	delete_volumes(card);
	ob_rcu_reclaim();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ob_card *card = card_once();

	while (size >= 2) {
		size_t len = data[0] | (size_t)data[1] << 8;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		one_packet(card, data, len);
		data += len;
		size -= len;
	}
	delete_all(card);
	return 0;
}
