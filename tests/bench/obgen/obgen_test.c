/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_bus_vdev.h>

#include "test_obgen.h"

#define MAX_FLOWS 4096
#define WINDOW	  "warm=0.02,measure=0.04"
#define ENDLESS	  "warm=0,measure=0"

/* ---- an independent reading of a packet ---------------------------------------------------------------------------- */

struct seen {
	unsigned flow; /* by the plan that README.md describes, with 256 peers */
	const uint8_t *ip, *l4;
	unsigned l4_len, payload;
	uint32_t seq, ack;
	uint8_t flags;
};

static void check_inner(const uint8_t *b, unsigned len, bool from_guest, struct seen *s)
{
	static const uint8_t guest_mac[6] = {2, 0x0b, 0, 0, 0, 5},
			     gw_mac[6] = {2, 0x0b, 0, 0, 0, 0xfe};
	const uint8_t *near, *far;
	unsigned near_port, far_port, r;

	assert_memory_equal(b, from_guest ? gw_mac : guest_mac, 6);
	if (from_guest)
		assert_memory_equal(b + 6, guest_mac, 6);
	assert_int_equal(0x0800, tp_get16(b + 12));
	s->ip = b + 14;
	assert_int_equal(0x45, s->ip[0]);
	assert_int_equal(len - 14, tp_get16(s->ip + 2));
	assert_int_equal(0xffff, tp_sum(0, s->ip, 20));
	s->l4 = s->ip + 20;
	s->l4_len = len - 34;
	assert_int_equal(0xffff, tp_l4_sum(s->ip, s->ip[9], s->l4, s->l4_len));
	near = s->ip + (from_guest ? 12 : 16);
	far = s->ip + (from_guest ? 16 : 12);
	near_port = tp_get16(s->l4 + (from_guest ? 0 : 2));
	far_port = tp_get16(s->l4 + (from_guest ? 2 : 0));
	assert_int_equal(0x0a000005, tp_get32(near));
	r = (far_port - 80) << 15 | (near_port - 1024);
	s->flow = r << 8 | (tp_get32(far) - 0x0a010000);
	if (s->ip[9] == 17) {
		assert_int_equal(s->l4_len, tp_get16(s->l4 + 4));
		s->payload = s->l4_len - 8;
		return;
	}
	assert_int_equal(6, s->ip[9]);
	s->seq = tp_get32(s->l4 + 4);
	s->ack = tp_get32(s->l4 + 8);
	s->flags = s->l4[13];
	s->payload = s->l4_len - (s->l4[12] >> 4) * 4u;
}

static void check_packet(struct rte_mbuf *m, bool from_guest, struct seen *s)
{
	const uint8_t *b = rte_pktmbuf_mtod(m, const uint8_t *);
	static const uint8_t card_mac[6] = {2, 0x0b, 0, 0, 0, 2},
			     far_mac[6] = {2, 0x0b, 0, 0, 0xff, 2};
	unsigned len = m->pkt_len;

	assert_int_equal(1, m->nb_segs);
	assert_int_equal(len, m->data_len);
	assert_true(m->ol_flags & RTE_MBUF_F_RX_RSS_HASH);
	assert_true(m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_GOOD);
	assert_true(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	memset(s, 0, sizeof(*s));
	if (!from_guest) {
		assert_memory_equal(b, card_mac, 6);
		assert_memory_equal(b + 6, far_mac, 6);
		assert_int_equal(0xffff, tp_sum(0, b + 14, 20));
		assert_int_equal(len - 14, tp_get16(b + 16));
		assert_int_equal(17, b[23]);
		assert_int_equal(0xc0000202, tp_get32(b + 26));
		assert_int_equal(0xc0000201, tp_get32(b + 30));
		assert_true(tp_get16(b + 34) >= 49152);
		assert_int_equal(4789, tp_get16(b + 36));
		assert_int_equal(len - 34, tp_get16(b + 38));
		assert_int_equal(0x08000000, tp_get32(b + 42));
		assert_int_equal(100 << 8, tp_get32(b + 46));
		b += OUTER;
		len -= OUTER;
	}
	check_inner(b, len, from_guest, s);
}

/* ---- what the ports emit ------------------------------------------------------------------------------------------- */

struct tally {
	unsigned from_guest[MAX_FLOWS], from_wire[MAX_FLOWS];
	int queue[MAX_FLOWS]; /* of the guest's port, + 1 */
	uint32_t hash[MAX_FLOWS];
	unsigned flows, len[3]; /* 64, 570, 1514 */
	unsigned q_used;
	/* TCP: what each side has sent, as an observer in the middle sees it */
	uint32_t end[2][MAX_FLOWS];
	uint8_t open[MAX_FLOWS];
	bool check_data;
};

static bool tally_udp(struct pair *p, struct rte_mbuf *m, bool from_guest, unsigned q)
{
	struct tally *t = p->arg;
	struct seen s;

	check_packet(m, from_guest, &s);
	assert_true(s.flow < t->flows);
	assert_true(from_guest || t->from_guest[s.flow] > 0); /* the guest opens */
	(from_guest ? t->from_guest : t->from_wire)[s.flow]++;
	if (from_guest) {
		assert_true(t->queue[s.flow] == 0 || t->queue[s.flow] == (int)q + 1);
		t->queue[s.flow] = (int)q + 1;
		t->q_used |= 1u << q;
		assert_true(t->hash[s.flow] == 0 || t->hash[s.flow] == m->hash.rss);
		t->hash[s.flow] = m->hash.rss;
		t->len[m->pkt_len == 64 ? 0 : m->pkt_len == 570 ? 1 : 2]++;
	}
	return true;
}

static void connections_of_both_sides(struct tally *t)
{
	for (unsigned f = 0; f < t->flows; f++) {
		assert_true(t->from_guest[f] > 0);
		assert_true(t->from_wire[f] > 0);
	}
	for (unsigned f = t->flows; f < MAX_FLOWS; f++)
		assert_int_equal(0, t->from_guest[f] + t->from_wire[f]);
}

static struct tally *new_tally(unsigned flows)
{
	struct tally *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->flows = flows;
	return t;
}

static void both_sides_speak_of_the_same_connections(void **state)
{
	struct tally *t = new_tally(1000);
	struct pair p;

	(void)state;
	pair_up(&p, "flows=1000," WINDOW, 1);
	p.look = tally_udp;
	p.arg = t;
	pair_until(&p, "done");
	connections_of_both_sides(t);
	assert_int_equal(1000, pair_report(&p, "open.opened"));
	assert_int_equal(0, pair_errors(p.guest) + pair_errors(p.wire));
	assert_true(pair_report(&p, "windows.0.emitted") > 0);
	assert_true(pair_report(&p, "windows.0.cpu_ns") > 0);
	assert_true(pair_xstat(p.wire, "obgen_kind_vxlan") > 0);
	assert_int_equal(0, pair_xstat(p.wire, "obgen_kind_plain"));
	/* Each connection comes once a round: no two differ by more than what a round that is cut short makes. */
	for (unsigned f = 1; f < 1000; f++)
		assert_in_range(t->from_guest[f], t->from_guest[0] - 3, t->from_guest[0] + 3);
	pair_down(&p);
	free(t);
}

static void every_packet_is_accounted_for(void **state)
{
	struct rte_eth_stats g, w;
	struct pair p;

	(void)state;
	pair_up(&p, "flows=10," WINDOW, 1);
	pair_until(&p, "done");
	assert_int_equal(0, rte_eth_stats_get(p.guest, &g));
	assert_int_equal(0, rte_eth_stats_get(p.wire, &w));
	assert_int_equal(p.to_wire, g.ipackets);
	assert_int_equal(p.to_wire, w.opackets);
	assert_int_equal(p.to_guest, w.ipackets);
	assert_int_equal(p.to_guest, g.opackets);
	assert_int_equal(64 * g.ipackets, g.ibytes);
	assert_int_equal(114 * w.ipackets, w.ibytes);
	assert_int_equal(0, rte_eth_stats_reset(p.guest));
	assert_int_equal(0, rte_eth_stats_get(p.guest, &g));
	assert_int_equal(0, g.ipackets + g.opackets + g.ibytes);
	pair_down(&p);
}

static void queues_share_the_connections(void **state)
{
	struct tally *t = new_tally(1000);
	struct pair p;

	(void)state;
	pair_up(&p, "flows=1000," ENDLESS, 3);
	p.look = tally_udp;
	p.arg = t;
	pair_until(&p, "measure");
	pair_packets(&p, 20000);
	connections_of_both_sides(t);
	assert_int_equal(7, t->q_used);
	pair_down(&p);
	free(t);
}

static void sizes_are_mixed_7_4_1(void **state)
{
	struct tally *t = new_tally(100);
	struct pair p;
	unsigned n;

	(void)state;
	pair_up(&p, "flows=100,size=imix," ENDLESS, 1);
	p.look = tally_udp;
	p.arg = t;
	pair_until(&p, "measure");
	pair_packets(&p, 20000);
	t->len[0] -= 100; /* those that opened */
	n = t->len[0] + t->len[1] + t->len[2];
	assert_true(n > 1200);
	assert_in_range(t->len[0], n * 7 / 12 - 12, n * 7 / 12 + 12);
	assert_in_range(t->len[1], n * 4 / 12 - 12, n * 4 / 12 + 12);
	assert_in_range(t->len[2], n / 12 - 12, n / 12 + 12);
	assert_int_equal(0, pair_errors(p.guest) + pair_errors(p.wire));
	pair_down(&p);
	free(t);
}

static int by_count(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x < y) - (x > y);
}

static void zipf_makes_few_connections_frequent(void **state)
{
	static const double exponents[] = {0.75, 1, 1.25};

	(void)state;
	for (unsigned k = 0; k < RTE_DIM(exponents); k++) {
		struct tally *t = new_tally(1000);
		double n = 0, first = 0, all = 0, some = 0, seen = 0;
		char args[64];
		struct pair p;

		snprintf(args, sizeof(args), "flows=1000,zipf=%g," ENDLESS, exponents[k]);
		pair_up(&p, args, 1);
		p.look = tally_udp;
		p.arg = t;
		pair_until(&p, "measure");
		pair_packets(&p, 40000);
		connections_of_both_sides(t); /* all are opened */
		for (unsigned f = 0; f < 1000; f++)
			n += --t->from_guest[f];
		qsort(t->from_guest, 1000, sizeof(t->from_guest[0]), by_count);
		/* What the law says of the first one, and of the first 30. */
		for (unsigned r = 1; r <= 1000; r++) {
			double weight = pow(r, -exponents[k]);

			first = r == 1 ? weight : first;
			some += r <= 30 ? weight : 0;
			all += weight;
			seen += r <= 30 ? t->from_guest[r - 1] / n : 0;
		}
		assert_true(fabs(t->from_guest[0] / n - first / all) < 0.15 * first / all);
		assert_true(fabs(seen - some / all) < 0.05);
		pair_down(&p);
		free(t);
	}
}

/* ---- TCP ----------------------------------------------------------------------------------------------------------- */

/* A tracker: hand-shake in order; then every segment is what comes next, and acknowledges nothing that was not sent. */
static bool track(struct pair *p, struct rte_mbuf *m, bool from_guest, unsigned q)
{
	struct tally *t = p->arg;
	struct seen s;
	uint32_t *mine, *theirs;

	(void)q;
	check_packet(m, from_guest, &s);
	assert_true(s.flow < t->flows);
	mine = &t->end[!from_guest][s.flow];
	theirs = &t->end[from_guest][s.flow];
	if (s.flags & 2) {
		assert_int_equal(from_guest ? 0 : 1, t->open[s.flow]);
		assert_int_equal(from_guest ? 2 : 0x12, s.flags);
		if (!from_guest)
			assert_int_equal(*theirs, s.ack);
		*mine = s.seq + 1;
		t->open[s.flow]++;
		return true;
	}
	assert_true(s.flags & 0x10);
	if (t->open[s.flow] == 2) {
		assert_true(from_guest);
		assert_int_equal(0, s.payload);
		t->open[s.flow] = 3;
	}
	assert_int_equal(3, t->open[s.flow]);
	assert_int_equal(*mine, s.seq);
	assert_true((int32_t)(*theirs - s.ack) >= 0);
	*mine = s.seq + s.payload;
	(from_guest ? t->from_guest : t->from_wire)[s.flow]++;
	return true;
}

static void tcp_opens_and_its_data_moves_on(void **state)
{
	struct tally *t = new_tally(500);
	struct pair p;

	(void)state;
	pair_up(&p, "flows=500,proto=tcp," ENDLESS, 1);
	p.look = track;
	p.arg = t;
	pair_until(&p, "measure");
	pair_packets(&p, 20000);
	connections_of_both_sides(t);
	for (unsigned f = 0; f < 500; f++)
		assert_true(t->from_guest[f] > 3 && t->from_wire[f] > 3);
	assert_int_equal(0, pair_errors(p.guest) + pair_errors(p.wire));
	pair_down(&p);
	free(t);
}

static void lost_hand_shakes_are_tried_again(void **state)
{
	struct pair p;

	(void)state;
	pair_up(&p, "flows=50,proto=tcp," WINDOW, 1);
	p.lose = 7;
	pair_until(&p, "warm");
	p.lose = 0;
	pair_until(&p, "done");
	assert_int_equal(50, pair_report(&p, "open.opened"));
	assert_true(pair_report(&p, "open.retries") > 0);
	pair_down(&p);
}

/* The six packets of each connection, in their order. */
static bool track_crr(struct pair *p, struct rte_mbuf *m, bool from_guest, unsigned q)
{
	static const uint8_t flags[6] = {0x02, 0x12, 0x10, 0x19, 0x19, 0x10};
	static const bool guests[6] = {true, false, true, true, false, true};
	struct tally *t = p->arg;
	struct seen s;
	unsigned step;

	(void)q;
	check_packet(m, from_guest, &s);
	assert_true(s.flow < t->flows);
	step = t->open[s.flow];
	assert_int_equal(flags[step], s.flags);
	assert_int_equal(guests[step], from_guest);
	if (step > 0)
		assert_true(step == 1 || s.seq == t->end[!from_guest][s.flow]);
	if (step > 0)
		assert_int_equal(t->end[from_guest][s.flow], s.ack);
	/* A tuple's next life begins behind the last one's end. */
	if (step == 0 && t->from_guest[s.flow] > 0)
		assert_true((int32_t)(s.seq - t->end[0][s.flow]) > 0);
	t->end[!from_guest][s.flow] = s.seq + s.payload + (s.flags & 3 ? 1 : 0);
	t->open[s.flow] = (uint8_t)((step + 1) % 6);
	t->from_guest[s.flow] += step == 5;
	return true;
}

static void crr_counts_what_went_through_all_six_steps(void **state)
{
	struct tally *t = new_tally(300);
	uint64_t n = 0;
	struct pair p;

	(void)state;
	pair_up(&p, "mode=crr,flows=300,inflight=64," ENDLESS, 1);
	p.look = track_crr;
	p.arg = t;
	pair_until(&p, "measure");
	pair_packets(&p, 6000);
	rte_eth_dev_stop(p.guest);
	for (unsigned f = 0; f < 300; f++)
		n += t->from_guest[f];
	assert_true(n > 600); /* tuples were used more than once */
	/* The last ones may have come when the time was over. */
	assert_in_range(pair_xstat(p.wire, "obgen_connections"), n - 64, n);
	assert_true(pair_report(&p, "windows.0.connections") > 0);
	assert_true(pair_report(&p, "windows.0.cps") > 0);
	assert_int_equal(0, pair_report(&p, "windows.0.timeouts"));
	assert_int_equal(0, pair_errors(p.guest) + pair_errors(p.wire));
	pair_down(&p);
	free(t);
}

static void crr_gives_up_what_is_lost(void **state)
{
	struct pair p;

	(void)state;
	pair_up(&p, "mode=crr,flows=300,inflight=64,warm=0.01,measure=0.5", 1);
	p.lose = 50;
	pair_until(&p, "done");
	assert_true(pair_report(&p, "windows.0.timeouts") > 0);
	assert_true(pair_report(&p, "windows.0.connections") > 0);
	pair_down(&p);
}

static bool count_live(struct pair *p, struct rte_mbuf *m, bool from_guest, unsigned q)
{
	struct tally *t = p->arg;
	struct seen s;

	(void)q;
	check_packet(m, from_guest, &s);
	assert_true(s.flow < 300);
	if (s.flow < 200) {
		assert_int_equal(0, t->open[s.flow] == 3 && (s.flags & 7));
		t->open[s.flow] = (uint8_t)RTE_MIN(3, t->open[s.flow] + 1);
		(from_guest ? t->from_guest : t->from_wire)[s.flow] += t->open[s.flow] == 3;
	}
	return true;
}

static void crr_keeps_the_live_ones_in_touch(void **state)
{
	struct tally *t = new_tally(300);
	struct pair p;

	(void)state;
	pair_up(&p, "mode=crr,flows=100,live=200,touch=0.02,inflight=16," ENDLESS, 1);
	p.look = count_live;
	p.arg = t;
	pair_until(&p, "measure");
	/* Each of them comes again and again. */
	for (unsigned f = 0; f < 200; f++) {
		for (unsigned i = 0; t->from_guest[f] < 3 || t->from_wire[f] < 2; i++) {
			assert_in_range(pair_round(&p), 0, 1000);
			assert_true(i < 10000000);
		}
	}
	rte_eth_dev_stop(p.guest);
	assert_int_equal(200, pair_report(&p, "open.opened"));
	assert_true(pair_report(&p, "windows.0.connections") > 0);
	assert_int_equal(0, pair_errors(p.guest) + pair_errors(p.wire));
	pair_down(&p);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(both_sides_speak_of_the_same_connections),
	    cmocka_unit_test(every_packet_is_accounted_for),
	    cmocka_unit_test(queues_share_the_connections),
	    cmocka_unit_test(sizes_are_mixed_7_4_1),
	    cmocka_unit_test(zipf_makes_few_connections_frequent),
	    cmocka_unit_test(tcp_opens_and_its_data_moves_on),
	    cmocka_unit_test(lost_hand_shakes_are_tried_again),
	    cmocka_unit_test(crr_counts_what_went_through_all_six_steps),
	    cmocka_unit_test(crr_gives_up_what_is_lost),
	    cmocka_unit_test(crr_keeps_the_live_ones_in_touch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
