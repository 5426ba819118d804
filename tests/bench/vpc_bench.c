/* SPDX-License-Identifier: BSD-3-Clause */
/* What the VPC pipeline costs a packet: guest to uplink and uplink to guest, with rings for the wire and nothing behind the guest. The same
 * loop without the pipeline is measured in turn and subtracted. usage: vpc_bench [BURSTS] */
#include <stdio.h>
#include <time.h>

#include <rte_ring.h>

#include "test_vpc.h"

#define BURST	64
#define REPEATS 9
#define MANY	10000

struct bench {
	const char *name;
	bool v6, geneve, to_guest;
	unsigned dests; /* different destinations, each with a mapping */
	unsigned len;	/* inner frame */
};

static const struct bench benches[] = {
    {.name = "guest->uplink ipv4 in vxlan4", .dests = 1, .len = 64},
    {.name = "guest->uplink ipv4 in vxlan4, 10000 dests", .dests = MANY, .len = 64},
    {.name = "guest->uplink ipv6 in vxlan4", .v6 = true, .dests = 1, .len = 78},
    {.name = "guest->uplink ipv4 in geneve6", .geneve = true, .dests = 1, .len = 64},
    {.name = "guest->uplink ipv4 in geneve6, 1400 B", .geneve = true, .dests = 1, .len = 1400},
    {.name = "uplink->guest ipv4 in vxlan4", .to_guest = true, .dests = 1, .len = 64},
    {.name = "uplink->guest ipv6 in vxlan4", .to_guest = true, .v6 = true, .dests = 1, .len = 78},
    {.name = "uplink->guest ipv4 in geneve6",
	.to_guest = true,
	.geneve = true,
	.dests = 1,
	.len = 64},
};

static struct test_pkt frames[MANY];
static unsigned n_frames;

static void make_frames(const struct bench *c)
{
	n_frames = RTE_MAX(c->dests, (unsigned)BURST);
	for (unsigned i = 0; i < n_frames; i++) {
		unsigned d = i % c->dests, n = c->len - (c->v6 ? 62 : 42);
		char far[64];
		struct ob_mapping_cfg m = {.vnet = 0, .tunnel = c->geneve};
		struct test_pkt in;

		snprintf(far, sizeof(far), c->v6 ? "fd00::9:%u" : "10.1.%u.%u", c->v6 ? d : d >> 8,
		    d & 255);
		m.ca = vpc_ip(far);
		memcpy(m.mac, mac_far, 6);
		if (ob_mapping_set(&m, NULL, 0) < 0)
			abort();
		if (!c->to_guest) {
			tp_udp_frame(&frames[i], mac_router, mac_a, c->v6 ? "fd00::5" : "10.0.0.5",
			    far, 1000 + i, 7, n);
			continue;
		}
		tp_udp_frame(
		    &in, mac_a, mac_far, far, c->v6 ? "fd00::5" : "10.0.0.5", 1000 + i, 7, n);
		vpc_outer(&frames[i], c->geneve ? OB_ENCAP_GENEVE : OB_ENCAP_VXLAN,
		    c->geneve ? "2001:db8:9::7" : "198.51.100.7", 100, &in);
		if (!c->geneve)
			frames[i].b[40] = frames[i].b[41] = 0; /* as most senders do */
	}
}

static unsigned fill(struct rte_mbuf **m, unsigned at)
{
	if (rte_pktmbuf_alloc_bulk(ob_worker_pool(tv->w), m, BURST) < 0)
		abort();
	for (unsigned i = 0; i < BURST; i++) {
		const struct test_pkt *p = &frames[at];

		m[i]->data_off = OB_HEADROOM;
		memcpy(rte_pktmbuf_append(m[i], (uint16_t)p->len), p->b, p->len);
		at = at + 1 == n_frames ? 0 : at + 1;
	}
	return at;
}

static void drain(struct rte_ring *r)
{
	struct rte_mbuf *m[BURST];
	unsigned n;

	while ((n = rte_ring_dequeue_burst(r, (void **)m, BURST, NULL)) > 0)
		rte_pktmbuf_free_bulk(m, n);
}

/* On-CPU time: the machine may have other things to do. */
static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double run(const struct bench *c, unsigned bursts, bool with)
{
	static struct ob_burst b;
	struct rte_mbuf *m[BURST];
	double start = now_ns();
	unsigned at = 0;

	for (unsigned k = 0; k < bursts; k++) {
		at = fill(m, at);
		if (!with) {
			rte_ring_enqueue_bulk(
			    c->to_guest ? tv->to_card : tv->to_wire, (void **)m, BURST, NULL);
			drain(c->to_guest ? tv->to_card : tv->to_wire);
			continue;
		}
		if (c->to_guest) {
			rte_ring_enqueue_bulk(tv->to_card, (void **)m, BURST, NULL);
			ob_worker_round(tv->w);
			continue;
		}
		b.n = BURST;
		memcpy(b.pkt, m, sizeof(m));
		memset(b.meta, 0, sizeof(b.meta));
		for (unsigned i = 0; i < BURST; i++)
			b.meta[i].out_vif = OB_VIF_NONE;
		vpc_input(GUEST_A, &b);
		ob_worker_round(tv->w);
		drain(tv->to_wire);
	}
	return now_ns() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	unsigned bursts = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;

	if (vpc_up() < 0)
		return 1;
	tv->sink = true;
	for (unsigned i = 0; i < RTE_DIM(benches); i++) {
		const struct bench *c = &benches[i];
		double ns[REPEATS], idle[REPEATS];

		if (argc > 2 && strstr(c->name, argv[2]) == NULL)
			continue;
		vpc_policy();
		make_frames(c);
		for (unsigned r = 0; r < REPEATS; r++) {
			idle[r] = run(c, bursts, false) / bursts / BURST;
			ns[r] = run(c, bursts, true) / bursts / BURST - idle[r];
		}
		qsort(ns, REPEATS, sizeof(ns[0]), by_value);
		qsort(idle, REPEATS, sizeof(idle[0]), by_value);
		printf("%-44s %6.1f ns a packet (min %.1f; harness %.1f)\n", c->name,
		    ns[REPEATS / 2], ns[0], idle[REPEATS / 2]);
		vpc_end(NULL);
	}
	return 0;
}
