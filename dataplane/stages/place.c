/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose packet is it? Both directions of a connection meet on the worker that its flow hash names; those of a NAT's port on the worker that
 * gave it out (deliver.c has put that into the hash). */
#include "stages_priv.h"

/* As parse: only TCP and UDP have ports there. */
static inline uint32_t known_ports(uint32_t ctx_proto, uint32_t ports)
{
	uint8_t proto = (uint8_t)ctx_proto;

	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ? ports : 0;
}

uint32_t hash_of_key4(const struct ob_session_key4 *k)
{
	uint32_t ports = known_ports(k->ctx_proto, k->ports);
	uint16_t p[2];
	uint32_t ip[2];

	memcpy(p, &ports, 4);
	memcpy(ip, &k->addrs, 8);
	return flow_hash(
	    ip[0], ip[1], rte_be_to_cpu_16(p[0]), rte_be_to_cpu_16(p[1]), (uint8_t)k->ctx_proto);
}

uint32_t hash_of_key6(const struct ob_session_key6 *k)
{
	uint32_t ports = known_ports(k->ctx_proto, k->ports);
	uint16_t p[2];

	memcpy(p, &ports, 4);
	return flow_hash(hash_ip6(k->src), hash_ip6(k->dst), rte_be_to_cpu_16(p[0]),
	    rte_be_to_cpu_16(p[1]), (uint8_t)k->ctx_proto);
}

static inline unsigned owner_of(uint32_t hash, unsigned n_workers)
{
	return (unsigned)(((uint64_t)hash * n_workers) >> 32);
}

uint32_t hash_for_worker(uint32_t hash, unsigned worker)
{
	/* The part of the range of hashes that is this worker's; half of the hash, so that rounding stays inside. */
	return (uint32_t)(((uint64_t)worker << 32 | hash >> 1) / ob_workers_count() + 1);
}

/* Fragments and ICMP errors go where the connection's whole packets go. Returns OB_PASS or why not. */
static unsigned whole_hash(
    struct ob_session_shard *s, const struct rte_mbuf *pkt, struct ob_meta *m)
{
	struct ob_session_key4 k4;
	struct ob_session_key6 k6;
	bool is_ip4 = (m->flags & OB_PKT_IP4) != 0;
	unsigned rc = is_ip4 ? ob_session_key4_of(pkt, m, m->eni, &k4)
			     : ob_session_key6_of(pkt, m, m->eni, &k6);

	if (rc == OB_SESSION_IS_FRAGMENT)
		rc = ob_session_frag(s, CTX_PLACE + m->eni, pkt, m, is_ip4 ? &k4.ports : &k6.ports);
	else if (rc == OB_SESSION_IS_ERROR)
		rc = is_ip4 ? ob_session_icmp_embedded4(pkt, m, m->eni, &k4)
			    : ob_session_icmp_embedded6(pkt, m, m->eni, &k6);
	if (rc == OB_PASS)
		m->hash = is_ip4 ? hash_of_key4(&k4) : hash_of_key6(&k6);
	return rc;
}

/* Sends each worker what is its own. */
static void hand_over(
    struct ob_worker *w, const struct ob_burst *b, const uint8_t *owner, uint64_t mask)
{
	while (mask != 0) {
		unsigned to = (unsigned)__builtin_ctzll(mask), n = 0;
		struct rte_mbuf *pkt[OB_BURST_MAX];
		struct ob_meta meta[OB_BURST_MAX];

		mask &= mask - 1;
		for (unsigned i = 0; i < b->n; i++) {
			if (owner[i] != to)
				continue;
			pkt[n] = b->pkt[i];
			meta[n++] = b->meta[i];
		}
		ob_worker_handoff(w, ob_worker_get(to), pkt, meta, n);
	}
}

static inline unsigned place_one(struct ob_session_shard *s, const struct rte_mbuf *pkt,
    struct ob_meta *m, unsigned n_workers, unsigned *owner)
{
	unsigned rc = OB_PASS;

	if (unlikely((m->flags & (OB_PKT_FRAG | OB_PKT_ICMP)) != 0 && !(m->flags & OB_PKT_TO_NAT)))
		rc = whole_hash(s, pkt, m);
	*owner = owner_of(m->hash, n_workers);
	return rc;
}

unsigned place_decide(
    struct ob_session_shard *s, const struct rte_mbuf *pkt, struct ob_meta *m, unsigned *owner)
{
	return place_one(s, pkt, m, ob_workers_count(), owner);
}

void ob_stage_place(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, enum ob_resume resume)
{
	unsigned n_workers = ob_workers_count(), self = ob_worker_id(w), k = 0;
	struct ob_session_shard *s = ob_session_shard(self);
	uint8_t owner[OB_BURST_MAX];
	uint64_t others = 0;

	static_assert(OB_MAX_WORKERS < 64, "bits of a mask");
	if (n_workers == 1)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];
		unsigned rc, to;

		if (eni != NULL)
			m->eni = eni->idx;
		rc = place_one(s, b->pkt[i], m, n_workers, &to);
		if (unlikely(rc != OB_PASS)) {
			ob_drop(w, (enum ob_drop)rc,
			    resume == OB_RESUME_OUT ? m->in_vif : m->out_vif, b->pkt[i]);
			owner[i] = UINT8_MAX;
			continue;
		}
		owner[i] = (uint8_t)to;
		if (owner[i] != self) {
			others |= 1ull << owner[i];
			m->resume = (uint8_t)resume;
		}
	}
	hand_over(w, b, owner, others);
	for (unsigned i = 0; i < b->n; i++)
		if (owner[i] == self)
			burst_keep(b, k++, i);
	b->n = (uint16_t)k;
}
