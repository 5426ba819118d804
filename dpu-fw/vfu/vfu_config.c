/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI config space: a byte image with a mask of writable bits, and the few registers that do something when written. */
#include "vfu_priv.h"

#include <errno.h>
#include <string.h>

#define STD_BYTES    256u
#define PCIE_CAP_LEN 60u /* version 2, the slot and root registers of an endpoint are zero */
#define VPD_CAP_LEN  8u
#define CAP_ALIGN    4u

static void put16(uint8_t *at, uint16_t val)
{
	at[0] = (uint8_t)val;
	at[1] = (uint8_t)(val >> 8);
}

static void put32(uint8_t *at, uint32_t val)
{
	put16(at, (uint16_t)val);
	put16(at + 2, (uint16_t)(val >> 16));
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

/* Links a capability behind the last one. Returns its offset or -ENOSPC. */
static int cap_append(struct vfu_config *c, uint8_t id, const uint8_t *body, size_t len)
{
	unsigned at = (c->free + CAP_ALIGN - 1) & ~(CAP_ALIGN - 1);

	if (at > STD_BYTES - PCI_CAP_SIZEOF || len > STD_BYTES - PCI_CAP_SIZEOF - at)
		return -ENOSPC;
	c->reset[at + PCI_CAP_LIST_ID] = id;
	c->reset[at + PCI_CAP_LIST_NEXT] = 0;
	if (len > 0)
		memcpy(c->reset + at + 2, body, len);
	if (c->last_cap == 0) {
		c->reset[PCI_CAPABILITY_LIST] = (uint8_t)at;
		c->reset[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	} else {
		c->reset[c->last_cap + PCI_CAP_LIST_NEXT] = (uint8_t)at;
	}
	c->last_cap = at;
	c->free = at + 2 + (unsigned)len;
	return (int)at;
}

static void init_bars(struct ob_vfu *v)
{
	struct vfu_config *c = &v->cfg;

	for (unsigned i = 0; i < OB_VFU_N_BARS; i++) {
		const struct ob_vfu_bar *b = &v->conf.bar[i];
		unsigned at = PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask = ~(b->size - 1);

		if (b->size == 0)
			continue;
		/* The bits that do not change when all ones are written tell the size. Spec: PCI 3.0, 6.2.5.1. */
		put32(c->wmask + at, (uint32_t)mask & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK);
		c->reset[at] = (uint8_t)((b->is_64bit ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
					 (b->prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0));
		if (b->is_64bit)
			put32(c->wmask + at + 4, (uint32_t)(mask >> 32));
	}
}

static int add_msix(struct ob_vfu *v)
{
	uint8_t body[PCI_CAP_MSIX_SIZEOF - 2];
	struct vfu_config *c = &v->cfg;
	int at;

	put16(body, (uint16_t)(v->conf.n_vectors - 1));
	put32(body + PCI_MSIX_TABLE - 2, v->conf.msix_table_off | v->conf.msix_bar);
	put32(body + PCI_MSIX_PBA - 2, v->conf.msix_pba_off | v->conf.msix_bar);
	at = cap_append(c, PCI_CAP_ID_MSIX, body, sizeof(body));
	if (at < 0)
		return at;
	c->msix = (unsigned)at;
	put16(c->wmask + at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	return 0;
}

static int add_pcie(struct ob_vfu *v)
{
	uint8_t body[PCIE_CAP_LEN - 2] = {0};
	struct vfu_config *c = &v->cfg;
	int at;

	put16(body + PCI_EXP_FLAGS - 2, 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	put32(body + PCI_EXP_DEVCAP - 2, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR);
	put16(body + PCI_EXP_DEVCTL - 2,
	    PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B);
	put32(body + PCI_EXP_LNKCAP - 2, PCI_EXP_LNKCAP_SLS_16_0GB | 16 << 4);
	put16(
	    body + PCI_EXP_LNKSTA - 2, PCI_EXP_LNKSTA_CLS_16_0GB | 16 << PCI_EXP_LNKSTA_NLW_SHIFT);
	put32(body + PCI_EXP_LNKCAP2 - 2, PCI_EXP_LNKCAP2_SLS_2_5GB | PCI_EXP_LNKCAP2_SLS_5_0GB |
					      PCI_EXP_LNKCAP2_SLS_8_0GB |
					      PCI_EXP_LNKCAP2_SLS_16_0GB);
	put16(body + PCI_EXP_LNKCTL2 - 2, PCI_EXP_LNKCTL2_TLS_16_0GT);
	at = cap_append(c, PCI_CAP_ID_EXP, body, sizeof(body));
	if (at < 0)
		return at;
	c->pcie = (unsigned)at;
	/* Bit 15 starts a function level reset and always reads 0. Spec: PCIe 5.0, 7.5.3.4. */
	put16(c->wmask + at + PCI_EXP_DEVCTL, (uint16_t)~PCI_EXP_DEVCTL_BCR_FLR);
	put16(c->w1c + at + PCI_EXP_DEVSTA,
	    PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED | PCI_EXP_DEVSTA_URD);
	put16(c->wmask + at + PCI_EXP_LNKCTL,
	    PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
	put16(c->wmask + at + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS);
	return 0;
}

static int add_vpd(struct ob_vfu *v)
{
	uint8_t body[VPD_CAP_LEN - 2] = {0};
	struct vfu_config *c = &v->cfg;
	int len, at;

	len = vfu_vpd_build(&v->conf, c->vpd_data, sizeof(c->vpd_data));
	if (len < 0)
		return len;
	c->vpd_len = (unsigned)len;
	at = cap_append(c, PCI_CAP_ID_VPD, body, sizeof(body));
	if (at < 0)
		return at;
	c->vpd = (unsigned)at;
	memset(c->wmask + at + PCI_VPD_ADDR, 0xff, VPD_CAP_LEN - PCI_VPD_ADDR);
	return 0;
}

int vfu_config_init(struct ob_vfu *v)
{
	const struct ob_vfu_conf *conf = &v->conf;
	struct vfu_config *c = &v->cfg;
	int rc = 0;

	put16(c->reset + PCI_VENDOR_ID, conf->vendor_id);
	put16(c->reset + PCI_DEVICE_ID, conf->device_id);
	put32(c->reset + PCI_CLASS_REVISION, conf->class_code << 8 | conf->revision);
	put16(c->reset + PCI_SUBSYSTEM_VENDOR_ID, conf->subsys_vendor_id);
	put16(c->reset + PCI_SUBSYSTEM_ID, conf->subsys_id);
	c->reset[PCI_INTERRUPT_PIN] = conf->intx ? 1 : 0;
	put16(c->wmask + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
					  PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	c->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	c->wmask[PCI_INTERRUPT_LINE] = 0xff;
	init_bars(v);
	c->free = PCI_STD_HEADER_SIZEOF;
	if (conf->n_vectors > 0)
		rc = add_msix(v);
	if (rc == 0)
		rc = add_pcie(v);
	if (rc == 0 && conf->vpd_serial != NULL)
		rc = add_vpd(v);
	memcpy(c->now, c->reset, sizeof(c->now));
	return rc;
}

int ob_vfu_cap_add(struct ob_vfu *v, uint8_t cap_id, const void *body, size_t len,
    unsigned window_off, unsigned window_len)
{
	struct vfu_config *c = &v->cfg;
	int at;

	if (v->was_connected)
		return -EBUSY;
	if (window_len > 0 &&
	    (window_off < 2 || window_off > len + 2 || window_len > len + 2 - window_off))
		return -EINVAL;
	if (window_len > 0 && c->n_win == VFU_MAX_WINDOWS)
		return -ENOSPC;
	at = cap_append(c, cap_id, body, len);
	if (at < 0)
		return at;
	if (window_len > 0) {
		c->win[c->n_win++] = (struct vfu_window){(unsigned)at + window_off, window_len};
		memset(c->wmask + at + window_off, 0xff, window_len);
	}
	memcpy(c->now, c->reset, sizeof(c->now));
	return at;
}

uint16_t vfu_config_command(const struct ob_vfu *v)
{
	return get16(v->cfg.now + PCI_COMMAND);
}

void vfu_config_reset(struct ob_vfu *v)
{
	memcpy(v->cfg.now, v->cfg.reset, sizeof(v->cfg.now));
}

/* The part of [off, off + len) that lies in a window. */
static bool overlap(
    const struct vfu_window *w, unsigned off, unsigned len, unsigned *from, unsigned *n)
{
	unsigned end = off + len < w->off + w->len ? off + len : w->off + w->len;

	*from = off > w->off ? off : w->off;
	if (*from >= end)
		return false;
	*n = end - *from;
	return true;
}

void vfu_config_read(struct ob_vfu *v, unsigned off, uint8_t *buf, unsigned len)
{
	const struct vfu_config *c = &v->cfg;
	unsigned from, n;

	memcpy(buf, c->now + off, len);
	if (off <= PCI_STATUS && off + len > PCI_STATUS && v->irq.intx.level)
		buf[PCI_STATUS - off] |= PCI_STATUS_INTERRUPT;
	for (unsigned i = 0; i < c->n_win && v->conf.ops->cfg_read != NULL; i++) {
		if (overlap(&c->win[i], off, len, &from, &n))
			v->conf.ops->cfg_read(
			    v->conf.ctx, from - c->win[i].off, buf + (from - off), n);
	}
}

static bool touches(unsigned off, unsigned len, unsigned reg, unsigned reg_len)
{
	return off < reg + reg_len && reg < off + len;
}

/* A write of the address register with bit 15 clear asks for 4 bytes; with it set it offers 4 bytes, which this read-only
 * storage takes as done without storing them. Spec: PCI 3.0, appendix I. */
static void vpd_access(struct vfu_config *c)
{
	uint8_t *cap = c->now + c->vpd;
	uint16_t addr = get16(cap + PCI_VPD_ADDR);

	if (addr & PCI_VPD_ADDR_F) {
		put16(cap + PCI_VPD_ADDR, addr & PCI_VPD_ADDR_MASK);
		return;
	}
	for (unsigned i = 0; i < 4; i++)
		cap[PCI_VPD_DATA + i] = addr + i < c->vpd_len ? c->vpd_data[addr + i] : 0;
	put16(cap + PCI_VPD_ADDR, addr | PCI_VPD_ADDR_F);
}

static void after_write(
    struct ob_vfu *v, unsigned off, unsigned len, uint16_t old_cmd, uint16_t old_msix)
{
	const uint16_t seen = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct vfu_config *c = &v->cfg;
	uint16_t cmd = vfu_config_command(v);
	bool msix, intx = ((cmd ^ old_cmd) & PCI_COMMAND_INTX_DISABLE) != 0;

	if (c->vpd != 0 && touches(off, len, c->vpd + PCI_VPD_ADDR + 1, 1))
		vpd_access(c);
	msix = c->msix != 0 && get16(c->now + c->msix + PCI_MSIX_FLAGS) != old_msix;
	if (msix || intx)
		vfu_irq_config_changed(v, msix, intx);
	if (((cmd ^ old_cmd) & seen) != 0 && v->conf.ops->command != NULL)
		v->conf.ops->command(v->conf.ctx, cmd);
}

void vfu_config_write(struct ob_vfu *v, unsigned off, const uint8_t *buf, unsigned len)
{
	struct vfu_config *c = &v->cfg;
	uint16_t old_cmd = vfu_config_command(v);
	uint16_t old_msix = c->msix != 0 ? get16(c->now + c->msix + PCI_MSIX_FLAGS) : 0;
	unsigned flr = c->pcie + PCI_EXP_DEVCTL + 1, from, n;

	for (unsigned i = 0; i < len; i++) {
		uint8_t *b = &c->now[off + i];
		uint8_t mask = c->wmask[off + i];

		*b = (uint8_t)((*b & ~mask) | (buf[i] & mask));
		*b = (uint8_t)(*b & ~(buf[i] & c->w1c[off + i]));
	}
	for (unsigned i = 0; i < c->n_win && v->conf.ops->cfg_write != NULL; i++) {
		if (overlap(&c->win[i], off, len, &from, &n))
			v->conf.ops->cfg_write(
			    v->conf.ctx, from - c->win[i].off, buf + (from - off), n);
	}
	after_write(v, off, len, old_cmd, old_msix);
	/* QEMU passes the guest's FLR on as this write; no DEVICE_RESET follows. */
	if (touches(off, len, flr, 1) && (buf[flr - off] & (PCI_EXP_DEVCTL_BCR_FLR >> 8)) != 0) {
		v->stats.n_flr++;
		vfu_reset(v);
	}
}
