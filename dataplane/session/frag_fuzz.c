/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments against a model that marks each eight bytes of each datagram. Only which datagrams find a place is the table's own affair. */
#include "test_fixture.h"

#define UNITS	    8192u
#define N_DATAGRAMS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t byte(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fragments: %s\n", what);
	abort();
}

struct datagram {
	bool live;
	uint32_t name; /* all that tells it from others */
	uint32_t seen, ports;
	uint32_t end; /* 0: not known */
	bool unit[UNITS];
};

static struct datagram model[N_DATAGRAMS];
static struct fx fx;

struct part {
	uint32_t name, from, to;
	bool more, tcp, six;
	uint32_t len, ports;
	uint16_t eni;
};

static void make(struct input *in, struct part *f, struct fx_pkt *k)
{
	static const uint16_t far[8] = {8191, 8190, 8000, 4096, 100, 64, 17, 2};
	uint8_t who = byte(in), where = byte(in), how = byte(in);
	uint32_t off;

	f->name = who & 0x3f;
	f->six = who & 32;
	f->eni = who >> 4 & 1;
	f->tcp = who & 8;
	off = where & 128 ? far[where & 7] : where & 64 ? 0 : where & 63;
	f->more = how & 1;
	f->len = how & 2 ? (how >> 2) * 8u : how >> 2;
	f->from = off;
	f->to = off + (f->len + 7) / 8;
	if (f->six) {
		rte_be16_t w = rte_cpu_to_be_16((uint16_t)(off << 3 | f->more));

		fx_ip6(k, FX_A, FX_B, IPPROTO_FRAGMENT);
		fx_l4(k)[0] = f->tcp ? IPPROTO_TCP : IPPROTO_UDP;
		memcpy(fx_l4(k) + 2, &w, 2);
		fx_l4(k)[7] = who & 7;
		k->meta.l3_len += 8;
	} else {
		struct rte_ipv4_hdr *ip = (void *)(k->bytes + 14);

		fx_ip4(k, FX_A, FX_B, f->tcp ? IPPROTO_TCP : IPPROTO_UDP);
		ip->packet_id = rte_cpu_to_be_16(who & 7);
		ip->fragment_offset =
		    rte_cpu_to_be_16((uint16_t)(off | (f->more ? RTE_IPV4_HDR_MF_FLAG : 0)));
	}
	k->meta.ip_proto = f->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	k->meta.eni = f->eni;
	k->meta.flags |= OB_PKT_FRAG;
	if (off != 0) {
		k->meta.flags |= OB_PKT_LATER_FRAG;
	} else {
		/* Its header is there: parse has seen to that. */
		f->len = RTE_MAX(f->len, f->tcp ? 20u : 8u);
		f->to = (f->len + 7) / 8;
		k->meta.flags |= f->tcp ? OB_PKT_TCP : OB_PKT_UDP;
		fx_ports(k, (uint16_t)(1000 + who), where);
		memcpy(&f->ports, fx_l4(k), 4);
	}
	fx_len(k, f->len);
}

static struct datagram *find(uint32_t name)
{
	for (unsigned i = 0; i < N_DATAGRAMS; i++) {
		if (model[i].live && model[i].name == name) {
			if (fx.now - model[i].seen < 30 * OB_SESSION_HZ)
				return &model[i];
			model[i].live = false;
		}
	}
	return NULL;
}

static unsigned runs(const struct datagram *d)
{
	unsigned n = d->unit[0];

	for (uint32_t i = 1; i < UNITS; i++)
		n += d->unit[i] && !d->unit[i - 1];
	return n;
}

static unsigned first(const struct part *f, struct datagram *d)
{
	if (d != NULL && fx.now - d->seen < OB_SESSION_HZ)
		return OB_DROP_FRAG_OVERLAP;
	for (unsigned i = 0; d == NULL && i < N_DATAGRAMS; i++)
		d = model[i].live ? NULL : &model[i];
	memset(d, 0, sizeof(*d));
	d->live = true;
	d->name = f->name;
	d->ports = f->ports;
	d->seen = fx.now;
	memset(d->unit, 1, f->to);
	return OB_PASS;
}

static unsigned later(const struct part *f, struct datagram *d)
{
	if (d->end != 0 && (!f->more || f->to > d->end))
		return OB_DROP_FRAG_OVERLAP;
	for (uint32_t i = f->from; i < (f->more ? f->to : UNITS); i++) {
		if (d->unit[i])
			return OB_DROP_FRAG_OVERLAP;
	}
	if (runs(d) == 16 && !d->unit[f->from - 1] && (f->to == UNITS || !d->unit[f->to]))
		return OB_DROP_FRAG_LIMIT;
	memset(d->unit + f->from, 1, f->to - f->from);
	d->end = f->more ? d->end : f->to;
	d->seen = fx.now;
	d->live = runs(d) != 1 || d->end == 0;
	return OB_PASS;
}

static void fragment(struct input *in)
{
	struct datagram *d;
	struct fx_pkt k;
	struct part f = {0};
	uint32_t ports = 0;
	unsigned got, want;

	make(in, &f, &k);
	got = ob_session_frag(fx.s, f.eni, &k.m, &k.meta, &ports);
	d = find(f.name);
	if (f.len == 0 || (f.more && f.len % 8 != 0) || f.to > UNITS || (f.from == 1 && f.tcp)) {
		must(got == OB_DROP_FRAG_OVERLAP, "what cannot be is dropped");
		return;
	}
	if (f.from == 0) {
		if (d == NULL && got == OB_DROP_FRAG_LIMIT)
			return; /* no place for it */
		must(got == first(&f, d), "first fragments are judged alike");
		must(got != OB_PASS || ports == f.ports, "a first fragment has its own ports");
		return;
	}
	want = d == NULL ? (unsigned)OB_DROP_FRAG_ORDER : later(&f, d);
	must(got == want, "later fragments are judged alike");
	must(got != OB_PASS || ports == d->ports, "later fragments have the first one's ports");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ob_session_conf conf = {
	    .n_workers = 1, .max_v4 = 16, .max_v6 = 16, .max_fragmented = 32, .tsc_hz = FX_TSC_HZ};
	struct input in = {data, size};

	fx_open(&fx, &conf);
	for (unsigned i = 0; i < N_SEEDS; i++)
		fx.s->region->seed[i] = 0x9e3779b97f4a7c15ull * (i + 1) | 1;
	for (unsigned i = 0; i < N_DATAGRAMS; i++)
		model[i].live = false;
	while (in.n > 0) {
		if (byte(&in) < 230) {
			fragment(&in);
			continue;
		}
		fx.now += byte(&in);
		fx.s->now = fx.now;
	}
	must(fx.s->region->n.n_frag_live <= fx.s->region->n_frags, "no more than there are places");
	fx_close(&fx);
	return 0;
}
