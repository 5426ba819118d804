/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_nat.h"

#define PROTO_UDPLITE 136
#define PROTO_DCCP    33
#define CSUM_OFF      6 /* of both */

void ob_nat_fix_other(struct rte_mbuf *pkt, const struct ob_meta *m, uint64_t addrs)
{
	unsigned at = (unsigned)m->l2_len + m->l3_len + CSUM_OFF;

	/* SCTP, GRE, ESP and the rest do not look at addresses. */
	if (m->ip_proto != PROTO_UDPLITE && m->ip_proto != PROTO_DCCP)
		return;
	if (at + 2 <= rte_pktmbuf_data_len(pkt))
		ob_nat_fix(rte_pktmbuf_mtod_offset(pkt, uint8_t *, at), addrs);
}
