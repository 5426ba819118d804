/* SPDX-License-Identifier: BSD-3-Clause */
/* A shard and the model of it see the same packets, deletions, flushes and seconds; whatever they answer must be the same, and the shard's
 * invariants hold. */
#include "test_fixture.h"
#include "test_model.h"

#define MAX_V4 24
#define MAX_V6 12

static const struct ob_session_conf conf = {.n_workers = 1,
    .max_v4 = MAX_V4,
    .max_v6 = MAX_V6,
    .max_fragmented = 8,
    .index_load_pct = 50,
    .tsc_hz = FX_TSC_HZ};

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
	fprintf(stderr, "session: %s\n", what);
	abort();
}

static struct model model;
static struct fx fx;
static uint32_t held_ref; /* a reference of the same round, maybe deleted meanwhile */
static uint32_t tags_live;

static void on_delete(unsigned worker, uint16_t eni, uint32_t tag)
{
	(void)eni;
	must(worker == 0 && (tags_live >> (tag % 32) & 1) == 1, "a tag dies once");
	tags_live &= ~(1u << tag % 32);
}

/* ---- packets ---- */

static uint32_t some_seq(struct input *in, uint32_t base)
{
	static const uint32_t by[16] = {0, 0, 0, 0, UINT32_MAX, 1, 100, (uint32_t)-100, 1000,
	    (uint32_t)-1000, 65535, (uint32_t)-65536, 70000, 1u << 20, 1u << 31, (uint32_t)-500000};

	return base + by[byte(in) & 15];
}

static uint32_t host(unsigned i)
{
	return 0x0a000000u + i;
}

static void make_key(struct input *in, struct model_key *k)
{
	static const uint8_t protos[8] = {IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP,
	    IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_ESP};
	uint8_t who = byte(in), what = byte(in);

	k->src = host(who & 3);
	k->dst = host(who >> 2 & 3);
	k->eni = who >> 4 & 1;
	k->family = (who >> 5 & 3) == 0 ? 6 : 4;
	k->proto = protos[what & 7];
	k->sport = 1000 + (what >> 3 & 1);
	k->dport = 1000 + (what >> 4 & 1) * 2;
	if (k->proto == IPPROTO_ESP)
		k->sport = k->dport = 0;
	if (k->proto == IPPROTO_ICMP) {
		unsigned question = k->family == 6 ? 128u << 8 : 8u << 8;

		if (k->family == 6)
			k->proto = IPPROTO_ICMPV6;
		if (what & 32)
			k->sport = question;
		else
			k->dport = question;
		if (k->sport == question && k->dport == question)
			k->dport = 1;
	}
}

/* Of a session that is there, or any. */
static void pick_key(struct input *in, struct model_key *k, bool known)
{
	unsigned n = 0, which = byte(in);

	for (unsigned i = 0; known && i < MODEL_MAX; i++)
		n += model.s[i].live;
	if (n == 0) {
		make_key(in, k);
		return;
	}
	n = (which >> 1) % n;
	for (unsigned i = 0; i < MODEL_MAX; i++) {
		if (model.s[i].live && n-- == 0) {
			*k = model.s[i].key[which & 1];
			return;
		}
	}
}

static void make_tcp(struct input *in, struct model_pkt *p)
{
	static const uint8_t usual[8] = {RTE_TCP_ACK_FLAG, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG,
	    RTE_TCP_SYN_FLAG, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG,
	    RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG, RTE_TCP_RST_FLAG,
	    RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG, RTE_TCP_ACK_FLAG};
	uint8_t f = byte(in), w = byte(in);
	uint32_t seq = 0xfffffc00u + (p->key.src << 16), ack = 0;
	unsigned dir;
	int i = model_find(&model, &p->key, &dir);

	if (i >= 0 && model.s[i].d[dir].known)
		seq = model.s[i].d[dir].end;
	if (i >= 0 && model.s[i].d[1 - dir].known)
		ack = model.s[i].d[1 - dir].end;
	p->flags = f & 8 ? usual[f & 7] : (f & 0xf7);
	p->seq = some_seq(in, seq);
	p->ack = some_seq(in, ack);
	p->win = w & 1 ? w * 257u : w & 6 ? 1000 : 0;
	p->scale = p->flags & RTE_TCP_SYN_FLAG && w & 8 ? 1 + (w >> 4) : -1;
	p->len = w & 16 ? w * 5u : 0;
}

static void make_sctp(struct input *in, struct model_pkt *p)
{
	uint8_t what = byte(in), tag = byte(in);
	const struct model_session *s;
	unsigned dir;
	int i = model_find(&model, &p->key, &dir);

	p->chunk = what & 15;
	p->reflected = (what & 16) != 0;
	p->init_tag = p->chunk == 1 || p->chunk == 2 ? tag >> 2 & 3 : 0;
	p->tag = tag >> 4;
	if (i < 0)
		return;
	s = &model.s[i];
	if ((tag & 3) == 1)
		p->tag = s->d[dir].tag;
	else if ((tag & 3) == 2)
		p->tag = s->d[dir].new_tag;
	else if ((tag & 3) == 3)
		p->tag = s->d[1 - dir].tag;
}

static void make_pkt(struct input *in, struct model_pkt *p, struct fx_pkt *k, bool known)
{
	struct fx_seg g;

	memset(p, 0, sizeof(*p));
	pick_key(in, &p->key, known);
	if (p->key.family == 4)
		fx_ip4(k, p->key.src, p->key.dst, (uint8_t)p->key.proto);
	else
		fx_ip6(k, p->key.src, p->key.dst, (uint8_t)p->key.proto);
	k->meta.eni = (uint16_t)p->key.eni;
	switch (p->key.proto) {
	case IPPROTO_TCP:
		make_tcp(in, p);
		g = (struct fx_seg){(uint8_t)p->flags, p->seq, p->ack, (uint16_t)p->win, p->len,
		    p->scale < 0 ? 0 : p->scale};
		fx_tcp_seg(k, (uint16_t)p->key.sport, (uint16_t)p->key.dport, &g);
		if (p->scale > 14)
			p->scale = 14;
		break;
	case IPPROTO_UDP:
		k->meta.flags |= OB_PKT_UDP;
		k->meta.l4_len = 8;
		fx_ports(k, (uint16_t)p->key.sport, (uint16_t)p->key.dport);
		fx_len(k, 8 + 10);
		break;
	case IPPROTO_SCTP:
		fx_ports(k, (uint16_t)p->key.sport, (uint16_t)p->key.dport);
		make_sctp(in, p);
		fx_sctp(k, (uint8_t)p->chunk, p->reflected, p->tag, p->init_tag);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: {
		uint8_t question = p->key.family == 6 ? 128 : 8;
		bool answer = p->key.sport == (unsigned)question << 8;
		unsigned id = answer ? p->key.dport : p->key.sport;

		k->meta.flags |= OB_PKT_ICMP;
		k->meta.l4_len = 8;
		fx_l4(k)[0] = !answer ? question : p->key.family == 6 ? 129 : 0;
		fx_l4(k)[4] = (uint8_t)(id >> 8);
		fx_l4(k)[5] = (uint8_t)id;
		fx_len(k, 8 + 16);
		break;
	}
	default:
		fx_len(k, 40);
		break;
	}
	p->bytes = k->m.pkt_len;
}

/* ---- keys of both ---- */

static void key_to_model(const union ob_session_key *k, unsigned family, struct model_key *out)
{
	uint32_t w[2], ports = family == 6 ? k->v6.ports : k->v4.ports;
	uint32_t ctx_proto = family == 6 ? k->v6.ctx_proto : k->v4.ctx_proto;
	rte_be16_t p[2];

	if (family == 6) {
		memcpy(&w[0], (const uint8_t *)k->v6.src + 12, 4);
		memcpy(&w[1], (const uint8_t *)k->v6.dst + 12, 4);
	} else {
		memcpy(w, &k->v4.addrs, 8);
	}
	memcpy(p, &ports, 4);
	*out = (struct model_key){family, ctx_proto & 0xff, ctx_proto >> 8, rte_be_to_cpu_32(w[0]),
	    rte_be_to_cpu_32(w[1]), rte_be_to_cpu_16(p[0]), rte_be_to_cpu_16(p[1])};
}

static void key_from_model(const struct model_key *k, union ob_session_key *out)
{
	uint32_t w[2] = {rte_cpu_to_be_32(k->src), rte_cpu_to_be_32(k->dst)}, ports;
	rte_be16_t p[2] = {
	    rte_cpu_to_be_16((uint16_t)k->sport), rte_cpu_to_be_16((uint16_t)k->dport)};

	memset(out, 0, sizeof(*out));
	memcpy(&ports, p, 4);
	if (k->family == 6) {
		out->v6.src[0] = out->v6.dst[0] = rte_cpu_to_be_64(0xfdull << 56);
		memcpy((uint8_t *)out->v6.src + 12, &w[0], 4);
		memcpy((uint8_t *)out->v6.dst + 12, &w[1], 4);
		out->v6.ports = ports;
		out->v6.ctx_proto = k->eni << 8 | k->proto;
	} else {
		memcpy(&out->v4.addrs, w, 8);
		out->v4.ports = ports;
		out->v4.ctx_proto = k->eni << 8 | k->proto;
	}
}

/* The reply's key: turned around, or of a translated connection. */
static void reply_key(uint8_t how, const struct model_key *k, struct model_key *r)
{
	*r = *k;
	r->src = k->dst;
	r->dst = k->src;
	r->sport = k->dport;
	r->dport = k->sport;
	if (k->proto == IPPROTO_ICMP || k->proto == IPPROTO_ICMPV6)
		return;
	if ((how & 3) == 1)
		r->dst = host(8 + (how >> 2 & 1));
	if ((how & 3) == 2 && k->family == 6) {
		r->family = 4;
		r->dst = host(9);
	}
}

static uint32_t real_find(const struct model_key *k)
{
	union ob_session_key key;
	uint32_t ref;

	key_from_model(k, &key);
	if (k->family == 6)
		ob_session_find6(fx.s, &key.v6, &ref, 1);
	else
		ob_session_find4(fx.s, &key.v4, &ref, 1);
	return ref;
}

/* What both know of the ends of a TCP connection. */
static void compare_ends(uint32_t ref, int i)
{
	for (unsigned d = 0; d < 2; d++) {
		const struct ob_session_line *l = ob_session_line(fx.s, (ref & ~1u) | d);
		const struct model_end *e = &model.s[i].d[d];

		must(l->seen == e->seen, "time of the last packet");
		if (model.s[i].key[0].proto != IPPROTO_TCP)
			continue;
		must(((l->scale & TCP_LIBERAL) != 0) == e->liberal, "windows are known or not");
		must(((l->scale & TCP_FIN) != 0) == e->fin, "FIN");
		if (e->liberal)
			continue;
		must(((l->scale & TCP_KNOWN) != 0) == e->known, "SYN");
		must(((l->scale & TCP_ACKED) != 0) == e->acked, "acknowledged");
		must(!e->known ||
			 (l->end == e->end && l->max_end == e->max_end && l->max_win == e->win &&
			     (l->scale & TCP_SCALE) == (e->scale & TCP_SCALE)),
		    "windows");
		must(!e->acked || l->max_ack == e->max_ack, "acknowledgement");
	}
}

/* ---- steps ---- */

static void add(struct input *in, const struct model_pkt *p, const struct fx_pkt *k)
{
	struct ob_session_new n = {.gen = {1, 0}};
	struct model_key key[2] = {p->key};
	uint8_t how = byte(in);
	uint32_t ref, tag = 0;
	int idx, want, got;

	reply_key(how, &key[0], &key[1]);
	for (unsigned d = 0; d < 2; d++) {
		n.family[d] = (uint8_t)key[d].family;
		key_from_model(&key[d], &n.key[d]);
	}
	for (unsigned i = 1; i < 32 && tag == 0 && (how & 8); i++)
		tag = tags_live >> i & 1 ? 0 : i;
	n.tag = tag;
	want = model_add(&model, key, p, tag, &idx);
	got = ob_session_add(fx.s, &n, &k->m, &k->meta, &ref);
	must(want == got, "add answers alike");
	if (got == 0 && tag != 0)
		tags_live |= 1u << tag;
	if (got == 0 || got == -EEXIST) {
		struct model_key back;
		union ob_session_key u;
		unsigned dir, family = ob_session_key(fx.s, ref, &u);

		key_to_model(&u, family, &back);
		must(model_find(&model, &back, &dir) == idx && dir == ob_session_dir(ref),
		    "add tells which session");
		held_ref = ref;
	}
}

static void packet(struct input *in, bool known)
{
	struct model_pkt p;
	struct fx_pkt k;
	struct model_key seen;
	union ob_session_key u;
	uint32_t ref;
	unsigned dir, rc, family;
	int i;

	make_pkt(in, &p, &k, known);
	family = p.key.family;
	memset(&u, 0, sizeof(u));
	rc = family == 6 ? ob_session_key6_of(&k.m, &k.meta, p.key.eni, &u.v6)
			 : ob_session_key4_of(&k.m, &k.meta, p.key.eni, &u.v4);
	must(rc == OB_PASS, "the packet has a key");
	key_to_model(&u, family, &seen);
	must(memcmp(&seen, &p.key, sizeof(seen)) == 0, "and it is the one");
	ref = fx_find(&fx, &k);
	i = model_find(&model, &p.key, &dir);
	must((i < 0) == (ref == OB_SESSION_NONE), "find answers alike");
	if (i < 0) {
		add(in, &p, &k);
		return;
	}
	must(ob_session_dir(ref) == dir, "find tells the direction");
	held_ref = ref;
	must(model_track(&model, i, dir, &p) == ob_session_track(fx.s, ref, &k.m, &k.meta),
	    "track answers alike");
	if (!model.s[i].live)
		return;
	must(ob_session_state_of(fx.s, ref) == model.s[i].state, "states agree");
	compare_ends(ref, i);
}

/* An ICMP error about a packet that went the other way. */
static void icmp_error(struct input *in)
{
	struct model_pkt p;
	struct fx_pkt inner, err;
	union ob_session_key u;
	struct model_key want;
	unsigned rc, dir;
	uint32_t ref, n;
	bool six, icmp;
	int i;

	make_pkt(in, &p, &inner, (byte(in) & 1) != 0);
	six = p.key.family == 6;
	icmp = p.key.proto == IPPROTO_ICMP || p.key.proto == IPPROTO_ICMPV6;
	n = RTE_MIN(inner.m.pkt_len - 14u, 20u + (byte(in) & 63));
	if (six)
		fx_ip6(&err, host(15), p.key.src, IPPROTO_ICMPV6);
	else
		fx_ip4(&err, host(15), p.key.src, IPPROTO_ICMP);
	err.meta.flags |= OB_PKT_ICMP;
	err.meta.l4_len = 8;
	err.meta.eni = (uint16_t)p.key.eni;
	fx_l4(&err)[0] = six ? 1 : 3;
	memcpy(fx_l4(&err) + 8, inner.bytes + 14, n);
	fx_len(&err, 8 + n);
	memset(&u, 0, sizeof(u));
	rc = six ? ob_session_key6_of(&err.m, &err.meta, p.key.eni, &u.v6)
		 : ob_session_key4_of(&err.m, &err.meta, p.key.eni, &u.v4);
	must(rc == OB_SESSION_IS_ERROR, "an error is seen as one");
	memset(&u, 0, sizeof(u));
	rc = six ? ob_session_icmp_embedded6(&err.m, &err.meta, p.key.eni, &u.v6)
		 : ob_session_icmp_embedded4(&err.m, &err.meta, p.key.eni, &u.v4);
	if (rc != OB_PASS) {
		must(rc == OB_DROP_ICMP_UNRELATED && n < (six ? 48u : 28u), "short ones only");
		return;
	}
	reply_key(0, &p.key, &want);
	key_to_model(&u, p.key.family, &p.key);
	must(icmp || memcmp(&want, &p.key, sizeof(want)) == 0, "key of the other direction");
	i = model_find(&model, &want, &dir);
	ref = real_find(&want);
	must((i < 0) == (ref == OB_SESSION_NONE), "find answers alike");
	if (i < 0)
		return;
	must(model_track_error(&model, i, dir, want.proto == IPPROTO_TCP, p.seq, err.m.pkt_len) ==
		 ob_session_track_error(fx.s, ref, &err.m, &err.meta),
	    "errors are judged alike");
}

static void held(struct input *in)
{
	struct model_pkt p;
	struct fx_pkt k;
	struct model_key key;
	union ob_session_key u;
	unsigned dir, family;

	if (held_ref == OB_SESSION_NONE)
		return;
	make_pkt(in, &p, &k, true);
	if (ob_session_state_of(fx.s, held_ref) == OB_SESSION_FREE) {
		must(ob_session_track(fx.s, held_ref, &k.m, &k.meta) == OB_SESSION_MISS,
		    "a deleted session is missed");
		return;
	}
	family = ob_session_key(fx.s, held_ref, &u);
	key_to_model(&u, family, &key);
	must(model_find(&model, &key, &dir) >= 0, "what a reference names is there");
	if (byte(in) & 1) {
		model_del(&model, model_find(&model, &key, &dir));
		ob_session_del(fx.s, held_ref);
	}
}

static void pass_time(struct input *in)
{
	uint8_t b = byte(in);
	uint32_t by = b & 128 ? (b & 127) * 64u : b & 64 ? (b & 63) * OB_SESSION_HZ : b & 7;

	fx.now += by;
	if (b & 8 && b < 64) {
		model.now = fx.s->now = fx.now; /* the clock only */
		return;
	}
	model_expire(&model, fx.now);
	ob_session_expire(fx.s, fx.now, 1u << 20);
	held_ref = OB_SESSION_NONE;
}

/* The process dies, and the next one takes over what it left. */
static void restart(void)
{
	ob_session_fini();
	must(ob_session_init(fx.arena, &conf) == 0, "what is left is taken over");
	ob_session_set_on_delete(on_delete);
	fx.s->now = fx.now;
	model.limbo[0] = model.limbo[1] = 0;
	held_ref = OB_SESSION_NONE;
}

static void compare_all(void)
{
	struct ob_session_info info;
	uint32_t cursor = 0, n = 0, n_model = 0;

	fx_check(fx.s);
	for (int i = 0; i < MODEL_MAX; i++)
		n_model += model.s[i].live;
	while (ob_session_next(0, &cursor, &info) == 0) {
		struct model_key key;
		unsigned dir;
		int i;

		n++;
		key_to_model(&info.key[0], info.family[0], &key);
		i = model_find(&model, &key, &dir);
		must(i >= 0 && dir == 0, "what is listed is there");
		must(model.s[i].state == info.state && model.s[i].tag == info.tag, "as it is");
		for (unsigned d = 0; d < 2; d++)
			must(info.n_pkts[d] == model.s[i].d[d].n_pkts &&
				 info.n_bytes[d] == model.s[i].d[d].n_bytes,
			    "counters agree");
	}
	must(n == n_model, "as many as there are");
}

static void configure(struct input *in)
{
	for (uint16_t e = 0; e < 2; e++) {
		uint8_t b = byte(in);
		struct ob_session_eni_conf c = {.tcp_loose = b & 1, .tcp_no_window = (b & 6) == 6};

		c.max_live = b & 8 ? 6 + (b >> 6) : 0;
		c.max_half_open = b & 16 ? 3 + (b >> 6) : 0;
		for (unsigned k = 1; k < OB_SESSION_N_STATES && b & 32; k++)
			c.timeout_s[k] = k == OB_SESSION_TCP_ESTABLISHED ? 60u + byte(in) * 8u
									 : 1u + byte(in) % 64;
		must(ob_session_eni_set(e, &c) == 0, "configuration is taken");
		model.eni[e] = (struct model_eni){.max_live = c.max_live,
		    .max_half_open = c.max_half_open,
		    .loose = c.tcp_loose,
		    .no_window = c.tcp_no_window};
		for (unsigned k = 0; k < OB_SESSION_N_STATES; k++)
			model.eni[e].timeout[k] =
			    OB_SESSION_HZ *
			    (c.timeout_s[k] ? c.timeout_s[k] : ob_session_timeout_default_s(k));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	unsigned steps = 0;

	fx_open(&fx, &conf);
	for (unsigned i = 0; i < N_SEEDS; i++)
		fx.s->region->seed[i] = 0x9e3779b97f4a7c15ull * (i + 1) | 1;
	memset(&model, 0, sizeof(model));
	model.max[0] = MAX_V4;
	model.max[1] = MAX_V6;
	held_ref = OB_SESSION_NONE;
	tags_live = 0;
	ob_session_set_on_delete(on_delete);
	configure(&in);
	fx.now = byte(&in) & 1 ? 0xffffff00u : 5000;
	model_expire(&model, fx.now);
	ob_session_expire(fx.s, fx.now, 1000);
	while (in.n > 0 && steps++ < 2000) {
		uint8_t op = byte(&in);

		if (op < 200)
			packet(&in, op >= 80);
		else if (op < 225)
			pass_time(&in);
		else if (op < 240)
			icmp_error(&in);
		else if (op < 250)
			held(&in);
		else if (op < 252) {
			ob_session_eni_flush(op & 1);
			model.eni[op & 1].flush = true;
		} else if (op == 252) {
			restart();
		} else {
			compare_all();
		}
	}
	compare_all();
	/* In the end nothing is left: all time-outs pass. */
	for (unsigned i = 0; i < 4; i++) {
		fx.now += 500000 * OB_SESSION_HZ;
		ob_session_expire(fx.s, fx.now, 1000);
	}
	must(fx.s->region->pool[0].n_live == 0 && fx.s->region->pool[1].n_live == 0 &&
		 tags_live == 0,
	    "all end in the end");
	fx_check(fx.s);
	fx_close(&fx);
	return 0;
}
