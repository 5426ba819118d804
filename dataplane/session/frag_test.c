/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_fixture.h"

static int setup(void **state)
{
	static struct fx f;
	struct ob_session_conf c = fx_conf();

	fx_open(&f, &c);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;

	fx_check(f->s);
	fx_close(f);
	return 0;
}

#define MORE true
#define LAST false

/* 'len' bytes at 'off' of datagram 'id'. */
static void frag4(
    struct fx_pkt *p, uint8_t proto, uint16_t id, uint32_t off, uint32_t len, bool more)
{
	struct rte_ipv4_hdr *ip = (void *)(p->bytes + 14);

	fx_ip4(p, FX_A, FX_B, proto);
	ip->packet_id = rte_cpu_to_be_16(id);
	ip->fragment_offset =
	    rte_cpu_to_be_16((uint16_t)(off / 8 | (more ? RTE_IPV4_HDR_MF_FLAG : 0)));
	p->meta.flags |= OB_PKT_FRAG;
	if (off != 0) {
		p->meta.flags |= OB_PKT_LATER_FRAG;
	} else {
		p->meta.flags |= proto == IPPROTO_UDP	? OB_PKT_UDP
				 : proto == IPPROTO_TCP ? OB_PKT_TCP
							: 0;
		fx_ports(p, 1111, 2222);
	}
	fx_len(p, len);
}

static void frag6(struct fx_pkt *p, uint32_t id, uint32_t off, uint32_t len, bool more)
{
	rte_be16_t w = rte_cpu_to_be_16((uint16_t)(off | (more ? 1 : 0)));
	rte_be32_t be_id = rte_cpu_to_be_32(id);
	uint8_t *x;

	fx_ip6(p, FX_A, FX_B, IPPROTO_FRAGMENT);
	x = fx_l4(p);
	x[0] = IPPROTO_UDP;
	memcpy(x + 2, &w, 2);
	memcpy(x + 4, &be_id, 4);
	p->meta.l3_len = 48;
	p->meta.ip_proto = IPPROTO_UDP;
	p->meta.flags |= OB_PKT_FRAG | (off != 0 ? OB_PKT_LATER_FRAG : OB_PKT_UDP);
	if (off == 0)
		fx_ports(p, 1111, 2222);
	fx_len(p, len);
}

static unsigned pass(struct fx *f, const struct fx_pkt *p)
{
	uint32_t ports = 0, want;
	rte_be16_t w[2] = {rte_cpu_to_be_16(1111), rte_cpu_to_be_16(2222)};
	unsigned why = ob_session_frag(f->s, p->meta.eni, &p->m, &p->meta, &ports);

	memcpy(&want, w, 4);
	if (why == OB_PASS)
		assert_int_equal(ports, want);
	return why;
}
static unsigned pass4(struct fx *f, uint16_t id, uint32_t off, uint32_t len, bool more)
{
	struct fx_pkt p;

	frag4(&p, IPPROTO_UDP, id, off, len, more);
	return pass(f, &p);
}
static unsigned pass6(struct fx *f, uint32_t id, uint32_t off, uint32_t len, bool more)
{
	struct fx_pkt p;

	frag6(&p, id, off, len, more);
	return pass(f, &p);
}

static uint64_t n_live(const struct fx *f)
{
	return f->s->region->n.n_frag_live;
}

static void later_fragments_find_the_ports(void **state)
{
	struct fx *f = *state;
	struct ob_session_key4 k;
	struct fx_pkt p;

	frag4(&p, IPPROTO_UDP, 5, 0, 800, MORE);
	assert_int_equal(ob_session_key4_of(&p.m, &p.meta, FX_ENI, &k), OB_SESSION_IS_FRAGMENT);
	assert_int_equal(pass4(f, 5, 0, 800, MORE), OB_PASS);
	assert_int_equal(pass4(f, 5, 800, 800, MORE), OB_PASS);
	assert_int_equal(n_live(f), 1);
	assert_int_equal(pass4(f, 5, 1600, 13, LAST), OB_PASS);
	assert_int_equal(n_live(f), 0); /* complete */
	assert_int_equal(pass4(f, 5, 800, 800, MORE), OB_DROP_FRAG_ORDER);
	assert_int_equal(pass6(f, 0x12345678, 0, 800, MORE), OB_PASS);
	assert_int_equal(pass6(f, 0x12345678, 800, 13, LAST), OB_PASS);
	assert_int_equal(n_live(f), 0);
}

static void later_ones_may_come_in_any_order(void **state)
{
	struct fx *f = *state;

	assert_int_equal(pass4(f, 5, 0, 8, MORE), OB_PASS);
	assert_int_equal(pass4(f, 5, 80, 8, LAST), OB_PASS);
	for (uint32_t i = 9; i >= 1; i--) {
		if (i % 2)
			assert_int_equal(pass4(f, 5, i * 8, 8, MORE), OB_PASS);
	}
	for (uint32_t i = 2; i < 10; i += 2) {
		assert_int_equal(n_live(f), 1);
		assert_int_equal(pass4(f, 5, i * 8, 8, MORE), OB_PASS);
	}
	assert_int_equal(n_live(f), 0);
}

static void later_fragment_before_the_first_is_out_of_order(void **state)
{
	struct fx *f = *state;

	assert_int_equal(pass4(f, 6, 800, 8, LAST), OB_DROP_FRAG_ORDER);
	assert_int_equal(pass4(f, 6, 0, 800, MORE), OB_PASS);
	assert_int_equal(pass4(f, 7, 800, 8, LAST), OB_DROP_FRAG_ORDER); /* another datagram */
	assert_int_equal(pass4(f, 6, 800, 8, LAST), OB_PASS);
}

static void overlaps_and_impossible_parts_are_dropped(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;

	assert_int_equal(pass4(f, 5, 0, 80, MORE), OB_PASS);
	assert_int_equal(pass4(f, 5, 0, 80, MORE), OB_DROP_FRAG_OVERLAP);
	assert_int_equal(pass4(f, 5, 72, 80, MORE), OB_DROP_FRAG_OVERLAP);
	assert_int_equal(pass4(f, 5, 160, 80, MORE), OB_PASS);
	assert_int_equal(pass4(f, 5, 80, 88, MORE), OB_DROP_FRAG_OVERLAP);
	assert_int_equal(pass4(f, 5, 160, 80, MORE), OB_DROP_FRAG_OVERLAP);
	assert_int_equal(
	    pass4(f, 5, 80, 80, LAST), OB_DROP_FRAG_OVERLAP); /* ends before what passed */
	assert_int_equal(pass4(f, 5, 240, 8, LAST), OB_PASS);
	assert_int_equal(pass4(f, 5, 248, 8, MORE), OB_DROP_FRAG_OVERLAP); /* behind the end */
	assert_int_equal(pass4(f, 5, 80, 80, MORE), OB_PASS);
	assert_int_equal(n_live(f), 0);
	assert_int_equal(pass4(f, 6, 0, 81, MORE), OB_DROP_FRAG_OVERLAP); /* not in units of 8 */
	assert_int_equal(pass4(f, 6, 0, 0, MORE), OB_DROP_FRAG_OVERLAP);
	/* The part with the flags of TCP (RFC 1858). */
	frag4(&p, IPPROTO_TCP, 7, 0, 80, MORE);
	assert_int_equal(pass(f, &p), OB_PASS);
	frag4(&p, IPPROTO_TCP, 7, 8, 80, MORE);
	assert_int_equal(pass(f, &p), OB_DROP_FRAG_OVERLAP);
	/* The longest there may be, and one more. */
	assert_int_equal(pass4(f, 8, 0, 80, MORE), OB_PASS);
	assert_int_equal(pass4(f, 8, 65528, 8, LAST), OB_PASS);
	assert_int_equal(pass4(f, 9, 0, 80, MORE), OB_PASS);
	assert_int_equal(pass4(f, 9, 65528, 16, LAST), OB_DROP_FRAG_OVERLAP);
}

static void too_many_gaps_are_over_the_limit(void **state)
{
	struct fx *f = *state;

	assert_int_equal(pass4(f, 5, 0, 8, MORE), OB_PASS);
	for (uint32_t i = 1; i < 16; i++)
		assert_int_equal(pass4(f, 5, i * 16, 8, MORE), OB_PASS);
	assert_int_equal(pass4(f, 5, 16 * 16, 8, MORE), OB_DROP_FRAG_LIMIT);
	assert_int_equal(pass4(f, 5, 8, 8, MORE), OB_PASS); /* joins two */
	assert_int_equal(pass4(f, 5, 16 * 16, 8, MORE), OB_PASS);
}

static void an_eni_cannot_take_the_table_from_others(void **state)
{
	struct fx *f = *state;
	unsigned n = 0, limit = 0, others = 0;
	struct fx_pkt p;

	for (uint16_t i = 0; i < 2000; i++) {
		unsigned why = pass4(f, i, 0, 8, MORE);

		n += why == OB_PASS;
		limit += why == OB_DROP_FRAG_LIMIT;
	}
	assert_int_equal(n + limit, 2000);
	assert_in_range(n, 16, 32); /* of 64 places */
	for (uint16_t i = 0; i < 8; i++) {
		frag4(&p, IPPROTO_UDP, i, 0, 8, MORE);
		p.meta.eni++;
		others += pass(f, &p) == OB_PASS;
	}
	assert_true(others >= 6);
	/* Time gives the places back. */
	f->s->now += 31 * OB_SESSION_HZ;
	assert_int_equal(pass4(f, 1, 8, 8, MORE), OB_DROP_FRAG_ORDER);
	n = 0;
	for (uint16_t i = 0; i < 2000; i++)
		n += pass4(f, (uint16_t)(i + 5000), 0, 8, MORE) == OB_PASS;
	assert_in_range(n, 16, 32);
	assert_true(n_live(f) <= 64);
}

static void first_fragment_with_an_old_identifier_begins_anew(void **state)
{
	struct fx *f = *state;

	assert_int_equal(pass4(f, 5, 0, 80, MORE), OB_PASS);
	assert_int_equal(pass4(f, 5, 400, 80, LAST), OB_PASS); /* the rest was lost */
	f->s->now += 2 * OB_SESSION_HZ;
	assert_int_equal(pass4(f, 5, 0, 80, MORE), OB_PASS);
	assert_int_equal(pass4(f, 5, 80, 800, LAST), OB_PASS);
	assert_int_equal(n_live(f), 0);
}

static void icmp_in_fragments_has_its_identifier(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ports, later;

	frag4(&p, IPPROTO_ICMP, 5, 0, 80, MORE);
	p.meta.flags |= OB_PKT_ICMP;
	memset(fx_l4(&p), 0, 8);
	fx_l4(&p)[0] = 8;
	fx_l4(&p)[5] = 77;
	assert_int_equal(ob_session_frag(f->s, FX_ENI, &p.m, &p.meta, &ports), OB_PASS);
	frag4(&p, IPPROTO_ICMP, 5, 80, 80, LAST);
	assert_int_equal(ob_session_frag(f->s, FX_ENI, &p.m, &p.meta, &later), OB_PASS);
	assert_int_equal(ports, later);
	assert_memory_equal(&ports, "\0\x4d\x8\0", 4);
	frag4(&p, IPPROTO_ICMP, 6, 0, 80, MORE);
	p.meta.flags |= OB_PKT_ICMP;
	memset(fx_l4(&p), 0, 8);
	fx_l4(&p)[0] = 3;
	assert_int_equal(
	    ob_session_frag(f->s, FX_ENI, &p.m, &p.meta, &ports), OB_DROP_ICMP_UNRELATED);
}

static void headers_behind_the_fragment_header_are_malformed(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ports;

	frag6(&p, 1, 0, 80, MORE);
	p.meta.l3_len += 8; /* destination options between it and UDP */
	assert_int_equal(
	    ob_session_frag(f->s, FX_ENI, &p.m, &p.meta, &ports), OB_DROP_MALFORMED_L3);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(later_fragments_find_the_ports),
	    T(later_ones_may_come_in_any_order),
	    T(later_fragment_before_the_first_is_out_of_order),
	    T(overlaps_and_impossible_parts_are_dropped),
	    T(too_many_gaps_are_over_the_limit),
	    T(an_eni_cannot_take_the_table_from_others),
	    T(first_fragment_with_an_old_identifier_begins_anew),
	    T(icmp_in_fragments_has_its_identifier),
	    T(headers_behind_the_fragment_header_are_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
