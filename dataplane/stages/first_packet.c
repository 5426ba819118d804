/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy of a packet that a guest sends and that no session knows the way of. */
#include "stages_priv.h"

#define PORT_DHCP4 67
#define PORT_DHCP6 547
#define ND_FIRST   133 /* router solicitation */
#define ND_NS	   135
#define ND_LAST	   137 /* redirect */
#define ND_RS	   133
#define ICMP6_ECHO 128

bool eni_has6(const struct ob_eni *eni, const uint8_t ip[16])
{
	for (unsigned i = 0; i < eni->n_addr6; i++)
		if (memcmp(eni->addr6[i], ip, 16) == 0)
			return true;
	return false;
}

bool eni_routes4(const struct ob_eni *eni, rte_be32_t ip)
{
	for (unsigned i = 0; i < eni->n_router4; i++)
		if (eni->router4[i] == ip)
			return true;
	return false;
}

bool eni_routes6(const struct ob_eni *eni, const uint8_t ip[16])
{
	if (memcmp(eni->router_ll, ip, 16) == 0)
		return true;
	for (unsigned i = 0; i < eni->n_router6; i++)
		if (memcmp(eni->router6[i], ip, 16) == 0)
			return true;
	return false;
}

bool eni_on_link4(const struct ob_eni *eni, rte_be32_t ip)
{
	for (unsigned i = 0; i < eni->n_addr4; i++)
		if (((rte_be_to_cpu_32(eni->addr4[i] ^ ip)) >> (32 - eni->plen4[i])) == 0)
			return true;
	return false;
}

bool eni_on_link6(const struct ob_eni *eni, const uint8_t ip[16])
{
	for (unsigned i = 0; i < eni->n_addr6; i++) {
		unsigned len = eni->plen6[i], bytes = len / 8, bits = len % 8;

		if (memcmp(eni->addr6[i], ip, bytes) == 0 &&
		    (bits == 0 || ((eni->addr6[i][bytes] ^ ip[bytes]) >> (8 - bits)) == 0))
			return true;
	}
	return false;
}

/* To an address of the virtual router: what it answers, and no more. */
static verdict_t to_router(const struct rte_mbuf *pkt, const struct ob_meta *m, uint8_t echo_type)
{
	const uint8_t *l4 = l4_of(pkt, m);

	if (m->flags & OB_PKT_FRAG)
		return DROP(OB_DROP_TO_ROUTER);
	if ((m->flags & OB_PKT_ICMP) && l4[0] == echo_type)
		return EDGE(OB_EDGE_ECHO);
	if ((m->flags & (OB_PKT_UDP | OB_PKT_IP4)) == (OB_PKT_UDP | OB_PKT_IP4) &&
	    load16(l4 + 2) == PORT_DHCP4)
		return EDGE(OB_EDGE_DHCP4);
	return DROP(OB_DROP_TO_ROUTER);
}

/* The route of the destination: GO with the '*key' of who has it next, or where it ends. 'dst' is the destination's own key in VNET 0.
 * A route that is missing is no error for the ENI's own prefixes. */
static inline verdict_t route(const struct ob_eni *eni, struct ob_meta *m, uint32_t value,
    bool on_link, struct ob_key dst, struct ob_key *key)
{
	const struct ob_target *t;

	*key = dst;
	if (unlikely(value == OB_TABLE_MISS)) {
		key->w[0] |= eni->vnet;
		return on_link ? GO : DROP(OB_DROP_NO_ROUTE);
	}
	switch (ob_route_value_action(value)) {
	case OB_ROUTE_VNET:
		key->w[0] |= ob_route_value_arg(value);
		return GO;
	case OB_ROUTE_NAT:
		m->flags |= OB_PKT_NAT;
		/* fallthrough */
	case OB_ROUTE_VIA:
		t = ob_target_at(ob_route_value_arg(value));
		if (unlikely(t == NULL))
			return DROP(OB_DROP_NO_ROUTE);
		*key = *ob_target_pick(t, m->hash);
		return GO;
	default:
		return DROP(OB_DROP_ROUTE_DROP);
	}
}

static inline verdict_t look4(const struct ob_eni *eni, const struct ob_policy_vnet *vnet,
    const struct rte_mbuf *pkt, struct ob_meta *m, struct ob_key *key)
{
	const uint8_t *p = l3_of(pkt, m);
	rte_be32_t src, dst;
	uint32_t value;
	verdict_t v;

	memcpy(&src, p + 12, 4);
	memcpy(&dst, p + 16, 4);
	if (unlikely(!eni_has4(eni, src) || dst == UINT32_MAX)) {
		/* A client without an address yet (RFC 2131, 4.1), or one that broadcasts. */
		if ((m->flags & (OB_PKT_UDP | OB_PKT_FRAG)) == OB_PKT_UDP &&
		    load16(l4_of(pkt, m) + 2) == PORT_DHCP4 && dst == UINT32_MAX &&
		    (src == 0 || eni_has4(eni, src)))
			return EDGE(OB_EDGE_DHCP4);
		return DROP(eni_has4(eni, src) ? OB_DROP_MULTICAST : OB_DROP_SPOOFED_IP);
	}
	if (unlikely(p[16] >= 224 || (m->flags & OB_PKT_MCAST)))
		return DROP(OB_DROP_MULTICAST);
	value = ob_lpm_get(vnet->lpm4, ob_lpm_key4(dst));
	v = route(eni, m, value, value != OB_TABLE_MISS || eni_on_link4(eni, dst),
	    ob_key_ca4(0, dst), key);
	if (unlikely(v != GO) && eni_routes4(eni, dst))
		return to_router(pkt, m, RTE_IP_ICMP_ECHO_REQUEST);
	return v;
}

/* Neighbour discovery, DHCP and multicast: link-local matters, which the card answers or ends. */
static verdict_t look6_local(
    const struct ob_eni *eni, const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	static const uint8_t none[16];
	const uint8_t *p = l3_of(pkt, m), *l4 = l4_of(pkt, m);
	bool whole = (m->flags & OB_PKT_FRAG) == 0;

	/* Link-local sources are free (stable-privacy addresses, RFC 7217): nothing from them goes beyond the card. */
	if (memcmp(p + 8, none, 16) != 0 && !is_link_local(p + 8) && !eni_has6(eni, p + 8))
		return DROP(OB_DROP_SPOOFED_IP);
	if (whole && (m->flags & OB_PKT_ICMP) && l4[0] >= ND_FIRST && l4[0] <= ND_LAST)
		return l4[0] == ND_NS || l4[0] == ND_RS ? EDGE(OB_EDGE_ND)
							: DROP(OB_DROP_MULTICAST);
	if (whole && (m->flags & OB_PKT_UDP) && load16(l4 + 2) == PORT_DHCP6 &&
	    is_link_local(p + 8))
		return EDGE(OB_EDGE_DHCP6);
	if (p[24] != 0xff && eni_routes6(eni, p + 24))
		return to_router(pkt, m, ICMP6_ECHO);
	return DROP(p[24] == 0xff ? OB_DROP_MULTICAST : OB_DROP_SPOOFED_IP);
}

static inline verdict_t look6(const struct ob_eni *eni, const struct ob_policy_vnet *vnet,
    const struct rte_mbuf *pkt, struct ob_meta *m, struct ob_key *key)
{
	const uint8_t *p = l3_of(pkt, m);
	bool is_nd = (m->flags & (OB_PKT_ICMP | OB_PKT_FRAG)) == OB_PKT_ICMP &&
		     *l4_of(pkt, m) >= ND_FIRST && *l4_of(pkt, m) <= ND_LAST;
	uint32_t value;
	verdict_t v;

	if (unlikely(p[24] == 0xff || (m->flags & OB_PKT_MCAST) || is_nd || !eni_has6(eni, p + 8)))
		return look6_local(eni, pkt, m);
	value = ob_lpm_get(vnet->lpm6, ob_lpm_key6(p + 24));
	v = route(eni, m, value, value != OB_TABLE_MISS || eni_on_link6(eni, p + 24),
	    ob_key_ca6(0, p + 24), key);
	if (unlikely(v != GO) && eni_routes6(eni, p + 24))
		return to_router(pkt, m, ICMP6_ECHO);
	return v;
}

static inline verdict_t look(const struct ob_eni *eni, const struct ob_policy_vnet *vnet,
    const struct rte_mbuf *pkt, struct ob_meta *m, struct ob_key *key)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(pkt, const struct rte_ether_hdr *);

	if (unlikely(memcmp(&eth->src_addr, eni->mac, 6) != 0))
		return DROP(OB_DROP_SPOOFED_MAC);
	if (unlikely(m->l2_len != RTE_ETHER_HDR_LEN))
		return DROP(OB_DROP_VLAN);
	if (m->flags & OB_PKT_IP4)
		return look4(eni, vnet, pkt, m, key);
	if (m->flags & OB_PKT_IP6)
		return look6(eni, vnet, pkt, m, key);
	return EDGE(OB_EDGE_ARP);
}

/* The way out, once the destination is known. */
static inline verdict_t resolve(const struct ob_eni *eni, const struct rte_mbuf *pkt,
    struct ob_meta *m, uint16_t to, uint32_t value)
{
	const uint8_t *p = l3_of(pkt, m);
	bool is_ip4 = (m->flags & OB_PKT_IP4) != 0;

	if (unlikely(value == OB_TABLE_MISS)) {
		rte_be32_t dst;

		memcpy(&dst, p + 16, 4);
		if (is_ip4 ? eni_routes4(eni, dst) : eni_routes6(eni, p + 24))
			return to_router(pkt, m, is_ip4 ? RTE_IP_ICMP_ECHO_REQUEST : ICMP6_ECHO);
		return DROP(OB_DROP_NO_MAPPING);
	}
	if (unlikely((m->flags & OB_PKT_ROUTED) && p[is_ip4 ? 8 : 7] <= 1))
		return EDGE(OB_EDGE_TTL);
	if (value & OB_CA_ENI) {
		const struct ob_eni *dst = ob_eni_at(value & ~OB_CA_ENI);

		/* It goes right now, or its number is another ENI's since the key was found. */
		if (unlikely(dst == NULL || dst->vnet != to))
			return DROP(OB_DROP_NO_MAPPING);
		m->out_vif = dst->vif;
		m->mtu = dst->mtu;
		memcpy(m->new_dmac, dst->mac, 6);
	} else {
		const struct ob_mapping *map = ob_mapping_at(value);
		const struct ob_policy_vnet *vnet = ob_vnet_at(to);

		if (unlikely(vnet == NULL))
			return DROP(OB_DROP_NO_MAPPING);
		m->out_vif = OB_VIF_NONE;
		m->tunnel = map->tunnel;
		m->vni = map->vni ? map->vni : vnet->vni;
		m->mtu = ob_tunnel_inner_mtu(map->tunnel);
		memcpy(m->new_dmac, map->mac, 6);
	}
	return GO;
}

static inline void leave(struct ob_worker *w, struct ob_edges *e, verdict_t v, struct rte_mbuf *pkt,
    const struct ob_meta *m)
{
	if (IS_EDGE(v))
		edge_put(e, (enum ob_edge)LOW(v), pkt, m);
	else
		ob_drop(w, (enum ob_drop)LOW(v), m->in_vif, pkt);
}

/* Where the destination is a public address of this card: the guest behind it, whose own policy then judges. MISS stays MISS. */
static void hairpin(const struct ob_key *key, struct ob_burst *f, uint32_t *addr)
{
	struct ob_key pub[OB_BURST_MAX];

	for (unsigned i = 0; i < f->n; i++) {
		rte_be32_t dst = 0;

		if ((f->meta[i].flags & (OB_PKT_NAT | OB_PKT_IP4)) == (OB_PKT_NAT | OB_PKT_IP4))
			memcpy(&dst, l3_of(f->pkt[i], &f->meta[i]) + 16, 4);
		pub[i] = ob_nat_key((uint16_t)key[i].w[0], dst);
	}
	ob_nat_find(pub, addr, f->n);
}

static verdict_t to_public(
    const struct rte_mbuf *pkt, struct ob_meta *m, struct first first, uint32_t addr)
{
	const struct ob_policy_vnet *vnet = ob_vnet_at(first.to);
	const struct ob_eni *dst;
	struct ob_nat_owner owner;

	if (vnet == NULL ||
	    ob_nat_owner(addr, m->ip_proto, nat_port(pkt, m, first.ports), &owner) == OB_NAT_NONE)
		return DROP(OB_DROP_NAT_UNSOLICITED);
	dst = ob_eni_at(owner.eni);
	if (dst == NULL)
		return DROP(OB_DROP_NAT_UNSOLICITED);
	if ((m->flags & OB_PKT_ROUTED) && l3_of(pkt, m)[8] <= 1)
		return EDGE(OB_EDGE_TTL);
	m->out_vif = dst->vif;
	m->vni = vnet->vni;
	m->mtu = dst->mtu;
	m->flags |= OB_PKT_TO_NAT;
	memcpy(m->new_dmac, dst->mac, 6);
	return GO;
}

verdict_t first_decide(const struct ob_eni *eni, struct rte_mbuf *pkt, struct ob_meta *m,
    struct first *first, struct first_why *why)
{
	const struct ob_policy_vnet *vnet = ob_vnet_at(eni->vnet);
	struct ob_burst one = {.n = 1, .pkt = {pkt}};
	struct ob_key key = {{0, 0, 0}};
	verdict_t v;

	why->value = why->addr = OB_TABLE_MISS;
	if (vnet == NULL)
		return DROP(OB_DROP_NO_ENI);
	v = look(eni, vnet, pkt, m, &key);
	if (v != GO)
		return v;
	first->to = (uint16_t)key.w[0];
	why->key = key;
	ob_policy_find(&key, &why->value, 1);
	one.meta[0] = *m;
	if (m->flags & OB_PKT_NAT)
		hairpin(&key, &one, &why->addr);
	return why->addr != OB_TABLE_MISS ? to_public(pkt, m, *first, why->addr)
					  : resolve(eni, pkt, m, first->to, why->value);
}

/* Resolved packets open their connections, or go on in them. */
static void admit_all(struct ob_worker *w, const struct ob_eni *eni, uint32_t gen,
    const struct ob_burst *f, const struct first *first, struct ob_burst *b)
{
	for (unsigned i = 0; i < f->n; i++) {
		struct ob_meta m = f->meta[i];
		unsigned why = admit(w, eni, true, gen, i > 0, f->pkt[i], &m, first[i]);

		if (why != OB_PASS) {
			ob_drop(w, (enum ob_drop)why, m.in_vif, f->pkt[i]);
			continue;
		}
		b->pkt[b->n] = f->pkt[i];
		b->meta[b->n++] = m;
	}
}

static void drop_all(struct ob_worker *w, enum ob_drop why, struct ob_burst *f)
{
	for (unsigned i = 0; i < f->n; i++)
		ob_drop(w, why, f->meta[i].in_vif, f->pkt[i]);
	f->n = 0;
}

void ob_stage_first_packet(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, struct ob_edges *e)
{
	/* Before anything of the policy is read: what changes from here on is seen by the next packet. */
	uint32_t gen = ob_session_eni_gen(eni->idx);
	const struct ob_policy_vnet *vnet = ob_vnet_at(eni->vnet);
	struct ob_burst *f = &e->burst[OB_EDGE_FIRST];
	uint32_t value[OB_BURST_MAX], addr[OB_BURST_MAX];
	struct first first[OB_BURST_MAX];
	struct ob_key key[OB_BURST_MAX];
	uint16_t any = 0;
	unsigned k = 0;

	e->used &= ~(1u << OB_EDGE_FIRST);
	if (unlikely(vnet == NULL)) {
		drop_all(w, OB_DROP_NO_ENI, f);
		return;
	}
	for (unsigned i = 0; i < f->n; i++) {
		verdict_t v = look(eni, vnet, f->pkt[i], &f->meta[i], &key[k]);

		if (unlikely(v != GO)) {
			leave(w, e, v, f->pkt[i], &f->meta[i]);
			continue;
		}
		any |= f->meta[i].flags;
		first[k] = (struct first){e->first_ports[i], (uint16_t)key[k].w[0]};
		burst_keep(f, k++, i);
	}
	f->n = (uint16_t)k;
	ob_policy_find(key, value, f->n);
	if (any & OB_PKT_NAT)
		hairpin(key, f, addr);
	k = 0;
	for (unsigned i = 0; i < f->n; i++) {
		struct ob_meta *m = &f->meta[i];
		verdict_t v;

		if (unlikely(m->flags & OB_PKT_NAT) && addr[i] != OB_TABLE_MISS)
			v = to_public(f->pkt[i], m, first[i], addr[i]);
		else
			v = resolve(eni, f->pkt[i], m, first[i].to, value[i]);
		if (unlikely(v != GO)) {
			leave(w, e, v, f->pkt[i], m);
			continue;
		}
		first[k] = first[i];
		burst_keep(f, k++, i);
	}
	f->n = (uint16_t)k;
	admit_all(w, eni, gen, f, first, b);
	f->n = 0;
}
