/* SPDX-License-Identifier: BSD-3-Clause */
/* The giving out of ports against a model: connections open and end on several workers while pools, floating IPs and bindings come and
 * go, and the process is replaced. No port is ever with two connections of one destination; who a port belongs to is found; blocks
 * are in use exactly while connections have them; in the end all is as it was in the beginning.
 *
 * Input: operations of an opcode and its arguments; missing bytes are 0. */
#include <errno.h>
#include <stdio.h>

#include "test_nat.h"

#define N_ENIS	  3
#define N_WORKERS 3
#define N_POOLS	  2
#define N_CONNS	  256
#define MAX_OPS	  400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Asserts that stay in builds without them. */
#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

/* A connection as the session table would hold it. */
struct conn {
	bool live, is6;
	uint8_t worker, eni, proto, dst;
	rte_be32_t ip;
	rte_be16_t port;
	uint32_t tag;
};

static const uint8_t *in;
static size_t in_left;
static struct ob_arena *arena;
static struct conn conns[N_CONNS];
static struct test_mbuf pkt[2][3]; /* by family; UDP, TCP, ICMP */
static struct ob_meta meta[2][3];
static const uint8_t protos[3] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP};

static unsigned get(void)
{
	unsigned v = in_left > 0 ? *in : 0;

	in += in_left > 0;
	in_left -= in_left > 0;
	return v;
}

static void make_packets(void)
{
	static const uint8_t mac[6] = {2};

	for (unsigned f = 0; f < 2; f++) {
		for (unsigned i = 0; i < 3; i++) {
			struct test_pkt p = {.len = 0};
			unsigned proto = f && i == 2 ? 58 : protos[i];

			tp_eth(&p, mac, mac, f ? 0x86dd : 0x0800);
			tp_ip(&p, f ? "2001:db8::a" : "10.0.0.10",
			    f ? "64:ff9b::1" : "198.51.100.1", proto, 0, 64, false);
			tp_u8(&p, i == 2 ? (f ? 128 : 8) : 0);
			for (unsigned n = 1; n < 20; n++)
				tp_u8(&p, 0x50);
			tp_ip_end(&p, 14);
			MUST(test_parse(p.b, p.len, &meta[f][i]));
			test_mbuf_set(&pkt[f][i], p.b, p.len);
		}
	}
}

static struct ob_nat_pool_cfg pool_cfg(unsigned pool, unsigned shape)
{
	static const uint16_t sizes[4] = {64, 128, 256, 64};
	struct ob_nat_pool_cfg c = test_pool("203.0.113.1", "203.0.113.1");
	uint32_t first = 0xcb007101 + (shape & 3) + pool * 2;

	c.range[0].first = rte_cpu_to_be_32(first);
	c.range[0].last = rte_cpu_to_be_32(first + ((shape >> 2) & 1));
	c.block_size = sizes[(shape >> 3) & 3];
	c.port_min = 4000;
	c.port_max = (uint16_t)(4000 + 64 * (4 + ((shape >> 5) & 1) * 3) - 1);
	c.max_blocks = (uint16_t)(1 + (shape >> 6));
	return c;
}

static bool same_port(const struct conn *a, const struct conn *b)
{
	return a->ip == b->ip && a->port == b->port && a->proto == b->proto && a->dst == b->dst;
}

/* Would the session table of the worker say -EEXIST? */
static bool exists(const struct conn *c)
{
	for (unsigned i = 0; i < N_CONNS; i++)
		if (conns[i].live && conns[i].worker == c->worker && conns[i].eni == c->eni &&
		    same_port(&conns[i], c))
			return true;
	return false;
}

static void check_owner(const struct conn *c)
{
	struct ob_key k = ob_nat_key(OUTSIDE, c->ip);
	struct ob_nat_owner o;
	uint32_t addr;

	ob_nat_find(&k, &addr, 1);
	if (addr == OB_TABLE_MISS)
		return; /* taken from its pool: hidden at once */
	MUST(ob_nat_owner(addr, c->proto, c->port, &o) == OB_NAT_BLOCK);
	MUST(o.eni == c->eni && o.worker == c->worker);
	MUST(o.family == (c->is6 ? AF_INET6 : AF_INET));
}

static void open_conn(void)
{
	unsigned a = get(), b = get(), p = (a >> 4) % 3, tries = 0;
	struct conn c = {.live = true,
	    .is6 = (a & 1) != 0,
	    .worker = (uint8_t)((a >> 1) % N_WORKERS),
	    .eni = (uint8_t)(b % N_ENIS),
	    .proto = protos[p],
	    .dst = (uint8_t)(b >> 6)};
	struct ob_nat_try t = {0};
	unsigned at = 0;

	while (at < N_CONNS && conns[at].live)
		at++;
	if (at == N_CONNS)
		return;
	for (;;) {
		enum ob_drop rc =
		    ob_nat_out(c.worker, c.eni, OUTSIDE, &pkt[c.is6][p].m, &meta[c.is6][p], &t);

		if (rc != OB_PASS) {
			MUST(rc == OB_DROP_NAT_PORTS && t.tag == 0);
			return;
		}
		MUST(++tries <= 1000);
		if (t.tag == 0)
			return; /* a floating IP: nothing is held */
		c.ip = t.ip;
		c.port = t.port;
		c.tag = t.tag;
		if (!exists(&c))
			break;
	}
	if (a & 0x80) { /* the session could not be made for another reason */
		ob_nat_put(c.worker, t.tag);
		return;
	}
	for (unsigned i = 0; i < N_CONNS; i++) {
		MUST(!conns[i].live || !same_port(&conns[i], &c));
		MUST(!conns[i].live || conns[i].tag != c.tag ||
		     (conns[i].worker == c.worker && conns[i].eni == c.eni &&
			 conns[i].is6 == c.is6));
	}
	conns[at] = c;
	check_owner(&c);
}

static void close_conn(struct conn *c)
{
	if (!c->live)
		return;
	check_owner(c);
	ob_nat_on_delete(c->worker, c->eni, c->tag);
	c->live = false;
}

static void change_fip(void)
{
	unsigned a = get();
	struct ob_nat_fip_cfg f = {.vnet = OUTSIDE, .eni = (uint16_t)(a % N_ENIS)};
	int rc;

	f.public_ip = rte_cpu_to_be_32(0xcb007101 + ((a >> 2) & 7));
	f.private_ip = ob_eni_get(f.eni)->addr[(a >> 5) & 1];
	if (a & 0x80) {
		ob_nat_fip_del(OUTSIDE, f.public_ip);
		return;
	}
	rc = ob_nat_fip_set(&f, NULL, 0);
	MUST(rc == 0 || rc == -EEXIST || rc == -EBUSY);
	/* What is whose is clear: nothing live has the address of a floating IP. */
	for (unsigned i = 0; rc == 0 && i < N_CONNS; i++)
		MUST(!conns[i].live || conns[i].ip != f.public_ip);
}

static void change_pool(void)
{
	unsigned pool = get() % N_POOLS;
	struct ob_nat_pool_cfg c = pool_cfg(pool, get());
	int rc = ob_nat_pool_set(pool, &c, NULL, 0);

	MUST(rc == 0 || rc == -EEXIST || rc == -EBUSY || rc == -EINVAL);
}

/* A block is in use exactly if a live connection has it. */
static void check_blocks(void)
{
	uint32_t used = 0, tags[N_CONNS], n = 0;

	for (unsigned i = 0; i < N_POOLS; i++) {
		struct ob_nat_pool_state s;

		if (ob_nat_pool_state(i, &s) == 0) {
			MUST(s.n_blocks_used <= s.n_blocks);
			used += s.n_blocks_used;
		}
	}
	for (unsigned i = 0; i < N_CONNS; i++) {
		struct ob_key k = ob_nat_key(OUTSIDE, conns[i].ip);
		bool seen = false;
		uint32_t addr;

		if (!conns[i].live)
			continue;
		ob_nat_find(&k, &addr, 1);
		for (unsigned j = 0; j < n; j++)
			seen |= tags[j] == conns[i].tag;
		/* Those of addresses that were taken away are no pool's any more. */
		if (!seen && addr != OB_TABLE_MISS)
			tags[n++] = conns[i].tag;
	}
	MUST(used == n);
}

static void restart(void)
{
	ob_nat_fini();
	MUST(ob_nat_init(arena) == 0);
}

static void clean_up(void)
{
	struct ob_nat_fip_cfg f;
	uint32_t cursor = 0;

	for (unsigned i = 0; i < N_CONNS; i++)
		close_conn(&conns[i]);
	check_blocks();
	for (unsigned i = 0; i < N_ENIS; i++)
		MUST(ob_nat_bind(i, OB_IDX_NONE, NULL, 0) == 0);
	for (unsigned i = 0; i < N_POOLS; i++)
		MUST(ob_nat_pool_get(i) == NULL || ob_nat_pool_del(i, NULL, 0) == 0);
	while (ob_nat_fip_next(&cursor, &f) == 0)
		MUST(ob_nat_fip_del(f.vnet, f.public_ip) == 0);
	ob_rcu_reclaim();
	/* Every address is free again: all of them at once, cut anew. */
	struct ob_nat_pool_cfg c = test_pool("203.0.113.1", "203.0.113.16");

	c.block_size = 4096;
	MUST(ob_nat_pool_set(0, &c, NULL, 0) == 0);
	MUST(ob_nat_pool_del(0, NULL, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (arena == NULL) {
		MUST(ob_arena_create("fuzz", TEST_ARENA, &arena) == 0);
		MUST(test_vpc(arena, N_ENIS) == 0);
		make_packets();
	}
	in = data;
	in_left = size;
	for (unsigned n = 0; n < MAX_OPS && in_left > 0; n++) {
		unsigned op = get();

		switch (op % 16) {
		case 0:
			change_pool();
			break;
		case 1:
			ob_nat_bind((op >> 4) % N_ENIS,
			    get() % 3 == 0 ? OB_IDX_NONE : get() % N_POOLS, NULL, 0);
			break;
		case 2:
			change_fip();
			break;
		case 3:
			ob_nat_pool_del((op >> 4) % N_POOLS, NULL, 0);
			break;
		case 4:
			if (op == 4)
				restart();
			break;
		case 5:
		case 6:
		case 7:
			close_conn(&conns[get() % N_CONNS]);
			break;
		case 8:
			check_blocks();
			break;
		default:
			open_conn();
			break;
		}
	}
	clean_up();
	return 0;
}
