/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver that does whatever the input says: register accesses of any size and order, doorbells, resets, bus master, the
 * config window, and writes into the memory that its queues lie in (so the control queue runs on it too).
 *
 * Input: a sequence of {op, arguments}. Its bytes are taken as they come; a short one ends the run. */
#include "net.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <event2/event.h>
#include <linux/virtio_pci.h>

#include "fake_ports.h"

#define MEM_BYTES 0x4000u
#define MEM_IOVA  0x1000u
#define CTRL	  4 /* with two pairs */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p, *end;
};

static struct event_base *base;
static struct ob_arena *arena;
static uint8_t *mem;

static uint64_t take(struct input *in, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n && in->p < in->end; i++)
		v |= (uint64_t)*in->p++ << (8 * i);
	return v;
}

static void write_reg(uint64_t off, uint64_t v, size_t len)
{
	fake_vfu.conf.ops->bar_write(fake_vfu.conf.ctx, 0, off, &v, len);
}

static void read_reg(uint64_t off, size_t len)
{
	uint8_t buf[256];

	fake_vfu.conf.ops->bar_read(fake_vfu.conf.ctx, 0, off, buf, len);
}

/* A good start, so that most inputs get past it: features as given, the control queue in the memory, DRIVER_OK. */
static void bring_up(struct ob_vnet *vn, uint64_t features)
{
	fake_vfu.conf.ops->command(fake_vfu.conf.ctx, 6);
	write_reg(VIRTIO_PCI_COMMON_STATUS, 0, 1);
	write_reg(VIRTIO_PCI_COMMON_STATUS, 3, 1);
	features &= ob_virtio_offered(ob_vnet_virtio(vn));
	features |= VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |
		    VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CSUM) |
		    VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) |
		    VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4);
	write_reg(VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	write_reg(VIRTIO_PCI_COMMON_GF, (uint32_t)features, 4);
	write_reg(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	write_reg(VIRTIO_PCI_COMMON_GF, features >> 32, 4);
	write_reg(VIRTIO_PCI_COMMON_STATUS, 0xb, 1);
	write_reg(VIRTIO_PCI_COMMON_Q_SELECT, CTRL, 2);
	write_reg(VIRTIO_PCI_COMMON_Q_SIZE, 8, 2);
	write_reg(VIRTIO_PCI_COMMON_Q_DESCLO, MEM_IOVA, 8);
	write_reg(VIRTIO_PCI_COMMON_Q_AVAILLO, MEM_IOVA + 0x80, 8);
	write_reg(VIRTIO_PCI_COMMON_Q_USEDLO, MEM_IOVA + 0x100, 8);
	write_reg(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	write_reg(VIRTIO_PCI_COMMON_STATUS, 0xf, 1);
}

/* One whole command, first in the split ring that bring_up made.. */
static void command(struct input *in)
{
	uint16_t idx = 1;
	uint8_t len = (uint8_t)take(in, 1);
	uint64_t desc[4] = {MEM_IOVA + 0x200, 0, MEM_IOVA + 0x300, 0};

	memset(mem, 0, 0x200);
	for (unsigned i = 0; i < len; i++)
		mem[0x200 + i] = (uint8_t)take(in, 1);
	desc[1] = (uint64_t)len | UINT64_C(1) << 32 | UINT64_C(1) << 48; /* NEXT, 1 */
	desc[3] = 1 | UINT64_C(2) << 32;				 /* WRITE */
	memcpy(mem, desc, sizeof(desc));
	memcpy(mem + 0x82, &idx, 2);
	write_reg(0x3000, CTRL, 2);
}

static void window(struct input *in)
{
	uint8_t buf[16];
	unsigned off = take(in, 1) & 15, len = 1 + ((unsigned)take(in, 1) & 15);

	if (len > 16 - off)
		len = 16 - off;
	for (unsigned i = 0; i < len; i++)
		buf[i] = (uint8_t)take(in, 1);
	fake_vfu.conf.ops->cfg_write(fake_vfu.conf.ctx, off, buf, len);
	fake_vfu.conf.ops->cfg_read(fake_vfu.conf.ctx, off, buf, len);
}

static void step(struct ob_vnet *vn, struct input *in)
{
	unsigned len;
	uint64_t off;

	switch (take(in, 1) % 13) {
	case 0:
		bring_up(vn, take(in, 8));
		break;
	case 1:
		command(in);
		break;
	case 2:
		off = take(in, 1);
		len = 1 + ((unsigned)take(in, 1) & 7);
		write_reg(off & 0x3f, take(in, len), len);
		break;
	case 3:
		off = take(in, 2);
		read_reg(off & 0x3fff, 1 + (take(in, 1) & 0xff));
		break;
	case 4:
		off = take(in, 2);
		len = 1 + ((unsigned)take(in, 1) & 7);
		write_reg(off & 0x3fff, take(in, len), len);
		break;
	case 5:
		len = 1 + ((unsigned)take(in, 1) & 3);
		write_reg(0x3000 + (take(in, 1) & 0x3f), take(in, len), len);
		break;
	case 6:
		fake_vfu.conf.ops->command(fake_vfu.conf.ctx, (uint16_t)take(in, 2));
		break;
	case 7:
		fake_vfu.msix = take(in, 1) & 1;
		fake_vfu.conf.ops->irq_changed(fake_vfu.conf.ctx, (unsigned)take(in, 1));
		break;
	case 8:
		fake_vfu.conf.ops->reset(fake_vfu.conf.ctx);
		break;
	case 9:
		fake_vif.on_broken(fake_vif.on_broken_ctx, (unsigned)take(in, 1));
		break;
	case 10:
		window(in);
		break;
	case 11:
		off = take(in, 2) % MEM_BYTES;
		for (len = (unsigned)take(in, 1); len > 0 && off < MEM_BYTES; len--)
			mem[off++] = (uint8_t)take(in, 1);
		break;
	default:
		(void)ob_vnet_announce(vn);
		ob_vnet_set_link(vn, take(in, 1) & 1);
		break;
	}
}

static void check(struct ob_vnet *vn)
{
	for (unsigned q = 0; q < 4; q++)
		if (fake_vif.running[q] != (vn->v.running[q] && !vnet_is_ctrl(vn, q)))
			abort();
	if ((vn->v.st->status & VIRTIO_CONFIG_S_DRIVER_OK) && !vn->v.st->features_ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	struct ob_vnet_conf conf = {
	    .name = "fuzz",
	    .path = "/x",
	    .mac = {2, 0, 0, 0, 0, 1},
	    .mtu = 1500,
	    .n_pairs = 2,
	    .packed = true,
	    .serial = "1",
	};
	struct ob_vnet *vn;

	if (base == NULL) {
		rte_log_set_global_level(RTE_LOG_EMERG);
		base = event_base_new();
		mem = mmap(
		    NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (base == NULL || mem == MAP_FAILED || ob_arena_create("fuzz", 1 << 20, &arena))
			abort();
	}
	memset(mem, 0, MEM_BYTES);
	fakes_reset();
	conf.base = base;
	conf.arena = arena;
	if (ob_vnet_create(&conf, &vn) != 0 ||
	    ob_gmem_add_hva(
		vn->v.gm, (ob_iova_t){MEM_IOVA}, MEM_BYTES, OB_GMEM_READ | OB_GMEM_WRITE, mem) != 0)
		abort();
	while (in.p < in.end) {
		step(vn, &in);
		event_base_loop(base, EVLOOP_NONBLOCK);
		check(vn);
	}
	ob_vnet_destroy(vn);
	return 0;
}
