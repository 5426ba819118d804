/* SPDX-License-Identifier: BSD-3-Clause */
/* What the connection table costs: lookup of bursts, lookup and tracking, misses, a connection that comes while another goes. Time on
 * the CPU, median of the rounds. Not a test.
 *
 *   ./session_bench [CONNECTIONS...]     default: 1000 100000 1000000
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ob_session.h"

#define ROUNDS	  9
#define PER_ROUND (1u << 18)
#define BURST	  128
#define ENI	  1
#define TSC_HZ	  1000000000ull

/* One packet serves all: only the keys differ. */
static struct {
	struct rte_mbuf m;
	struct ob_meta meta;
	uint8_t bytes[128];
} pkt;

static uint64_t rng = 88172645463325252ull;

static inline uint32_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16);
}

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline void key_no(struct ob_session_key4 *k, uint32_t i, uint8_t proto)
{
	k->addrs = (uint64_t)0x0a000001 << 32 | (0x0b000000 + (i >> 10));
	k->ports = 1024 + (i & 1023);
	k->ctx_proto = ENI << 8 | proto;
}

static void set_tcp(uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct rte_tcp_hdr *th = (void *)(pkt.bytes + 34);

	th->tcp_flags = flags;
	th->sent_seq = rte_cpu_to_be_32(seq);
	th->recv_ack = rte_cpu_to_be_32(ack);
	th->rx_win = 0xffff;
	th->data_off = 5 << 4;
}

static void begin_packet(uint8_t proto)
{
	memset(&pkt, 0, sizeof(pkt));
	pkt.m.buf_addr = pkt.bytes;
	pkt.m.nb_segs = 1;
	pkt.m.pkt_len = pkt.m.data_len = 64;
	pkt.meta.l2_len = 14;
	pkt.meta.l3_len = 20;
	pkt.meta.l4_len = proto == IPPROTO_TCP ? 20 : 8;
	pkt.meta.ip_proto = proto;
	pkt.meta.flags = OB_PKT_IP4 | (proto == IPPROTO_TCP ? OB_PKT_TCP : OB_PKT_UDP);
	set_tcp(RTE_TCP_SYN_FLAG, 99, 0);
}

static uint32_t add(struct ob_session_shard *s, uint32_t i, uint8_t proto)
{
	struct ob_session_new n = {.family = {4, 4}, .gen = {1, 1}};
	uint32_t ref;

	key_no(&n.key[0].v4, i, proto);
	n.key[1].v4 = ob_session_reverse4(&n.key[0].v4);
	if (ob_session_add(s, &n, &pkt.m, &pkt.meta, &ref) != 0)
		exit(1);
	return ref;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

enum what { FIND, FIND_TRACK, MISS };

static double lookups(
    struct ob_session_shard *s, uint32_t n, unsigned burst, uint8_t proto, enum what what)
{
	double ns[ROUNDS];
	uint64_t bad = 0;

	for (unsigned r = 0; r < ROUNDS; r++) {
		struct ob_session_key4 k[BURST];
		uint32_t ref[BURST];
		double t = cpu_ns(), keys;

		/* The keys themselves are not counted. */
		for (uint32_t at = 0; at < PER_ROUND; at += burst) {
			for (unsigned i = 0; i < burst; i++)
				key_no(&k[i], rnd() % n, proto);
			__asm__ volatile("" : : "r"(k) : "memory");
		}
		keys = cpu_ns() - t;
		t = cpu_ns();
		for (uint32_t at = 0; at < PER_ROUND; at += burst) {
			for (unsigned i = 0; i < burst; i++)
				key_no(&k[i], rnd() % n + (what == MISS ? 1u << 28 : 0), proto);
			ob_session_find4(s, k, ref, burst);
			for (unsigned i = 0; i < burst; i++)
				bad += (ref[i] == OB_SESSION_NONE) != (what == MISS);
			for (unsigned i = 0; what == FIND_TRACK && i < burst; i++)
				bad += ob_session_track(s, ref[i], &pkt.m, &pkt.meta) != OB_PASS;
		}
		ns[r] = (cpu_ns() - t - keys) / PER_ROUND;
	}
	if (bad != 0)
		fprintf(stderr, "%llu wrong answers\n", (unsigned long long)bad);
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return ns[ROUNDS / 2];
}

/* A connection ends and another one begins: what of each the table has to do. */
static double churn(struct ob_session_shard *s, uint32_t *ref, uint32_t n, uint8_t proto)
{
	double ns[ROUNDS];
	uint32_t next = n;

	for (unsigned r = 0; r < ROUNDS; r++) {
		double t = cpu_ns();

		for (unsigned k = 0; k < PER_ROUND / 8; k++) {
			uint32_t i = rnd() % n;

			ob_session_del(s, ref[i]);
			if (k % 32 == 0)
				ob_session_expire(s, s->now, 32);
			ref[i] = add(s, next++, proto);
		}
		ns[r] = (cpu_ns() - t) / (PER_ROUND / 8.0);
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return ns[ROUNDS / 2];
}

/* All that is there times out. */
static double expire_all(struct ob_session_shard *s, uint32_t n)
{
	struct ob_session_counters c;
	double t = cpu_ns();

	s->now += 100000 * OB_SESSION_HZ;
	do {
		ob_session_expire(s, s->now, 64);
		ob_session_counters_read(0, &c);
	} while (c.n_live4 > 0);
	return (cpu_ns() - t) / n;
}

static struct ob_session_shard *fill(
    struct ob_arena *a, uint32_t n, uint8_t proto, uint32_t *ref, double *ns)
{
	struct ob_session_conf c = {
	    .n_workers = 1, .max_v4 = n + 64, .max_v6 = 1, .tsc_hz = TSC_HZ};
	struct ob_session_shard *s = ob_session_shard(0);
	double t;

	if (ob_session_init(a, &c) != 0)
		exit(1);
	s->now = 100;
	begin_packet(proto);
	t = cpu_ns();
	for (uint32_t i = 0; i < n; i++)
		ref[i] = add(s, i, proto);
	*ns = (cpu_ns() - t) / n;
	if (proto != IPPROTO_TCP)
		return s;
	for (unsigned step = 0; step < 2; step++) {
		if (step == 0)
			set_tcp(RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG, 999, 100);
		else
			set_tcp(RTE_TCP_ACK_FLAG, 100, 1000);
		for (uint32_t i = 0; i < n; i++)
			ob_session_track(s, ref[i] | (step == 0), &pkt.m, &pkt.meta);
	}
	return s;
}

static void run(uint32_t n)
{
	static const uint8_t protos[] = {IPPROTO_UDP, IPPROTO_TCP};
	uint32_t *ref = malloc(n * sizeof(*ref));

	for (unsigned p = 0; p < 2 && ref != NULL; p++) {
		struct ob_session_shard *s;
		struct ob_arena *a;
		double fill_ns, f32, f128, t32, t128, miss, change;

		if (ob_arena_create("bench", (uint64_t)n * 256 + (64u << 20), &a) != 0)
			exit(1);
		s = fill(a, n, protos[p], ref, &fill_ns);
		f32 = lookups(s, n, 32, protos[p], FIND);
		f128 = lookups(s, n, 128, protos[p], FIND);
		t32 = lookups(s, n, 32, protos[p], FIND_TRACK);
		t128 = lookups(s, n, 128, protos[p], FIND_TRACK);
		miss = lookups(s, n, 128, protos[p], MISS);
		begin_packet(protos[p]);
		change = churn(s, ref, n, protos[p]);
		printf("%9u %s  find %5.1f (32) %5.1f (128)  find+track %5.1f (32) %5.1f (128)  "
		       "miss %5.1f  fill %6.1f  end+begin %6.1f  expire %6.1f\n",
		    n, p ? "tcp" : "udp", f32, f128, t32, t128, miss, fill_ns, change,
		    expire_all(s, n));
		ob_session_fini();
		ob_arena_destroy(a);
	}
	free(ref);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		run(1000);
		run(100000);
		run(1000000);
	}
	for (int i = 1; i < argc; i++)
		run((uint32_t)strtoul(argv[i], NULL, 0));
	return 0;
}
