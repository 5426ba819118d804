/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>

#include "vif_int.h"

static bool in_table(const uint8_t (*table)[6], unsigned n, const uint8_t *mac)
{
	for (unsigned i = 0; i < n; i++)
		if (memcmp(table[i], mac, 6) == 0)
			return true;
	return false;
}

static bool vlan_pass(
    const struct ob_vif_filter *f, const uint8_t *frame, const struct ob_meta *meta)
{
	rte_be16_t type, tci;
	unsigned vid;

	if (!f->vlan_filter || meta->l2_len < 18)
		return true;
	memcpy(&type, frame + 12, sizeof(type));
	if (type != rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN))
		return true;
	memcpy(&tci, frame + 14, sizeof(tci));
	vid = rte_be_to_cpu_16(tci) & 0xfff;
	/* Id 0 is a priority, not a VLAN (IEEE 802.1Q, 9.6). */
	return vid == 0 || (f->vlan[vid / 64] >> (vid % 64) & 1) != 0;
}

/* Virtio 1.2, 5.1.6.5.1 and 5.1.6.5.3. Promiscuous overrides all else, the VLAN table too: a guest that asks to see everything has
 * to see what it then bridges. */
bool vif_filter_pass(
    const struct vif_filter *filter, const uint8_t *frame, const struct ob_meta *meta)
{
	const struct ob_vif_filter *f = &filter->conf;

	if (f->promisc)
		return true;
	if (!vlan_pass(f, frame, meta))
		return false;
	if (frame[0] & 1) {
		if (memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6) == 0)
			return !f->nobcast;
		if (f->nomulti)
			return false;
		return f->allmulti || f->multi_overflow || in_table(f->multi, f->n_multi, frame);
	}
	if (f->nouni)
		return false;
	return f->alluni || f->uni_overflow || memcmp(frame, f->mac, 6) == 0 ||
	       in_table(f->uni, f->n_uni, frame);
}
