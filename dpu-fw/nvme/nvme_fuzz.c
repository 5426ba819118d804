/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver that does whatever the input says: register accesses of any size and order, admin and I/O commands with any field, doorbells,
 * writes into its own memory, resets; while the card adds and takes away namespaces and the host maps and unmaps memory.
 *
 * Input: a sequence of {op, arguments}. Its bytes are taken as they come; a short one ends the run. */
#include "nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>
#include <linux/pci_regs.h>

#include "fake_nvfu.h"
#include "ob_test_eal.h"
#include "ob_worker.h"

#define MEM_IOVA  0x10000u
#define MEM_BYTES 0x10000u /* that the controller may reach; as much behind it may not change */
#define ASQ	  MEM_IOVA
#define ACQ	  (MEM_IOVA + 0x1000u)
#define DATA	  (MEM_IOVA + 0x2000u)
#define IOSQ	  (MEM_IOVA + 0x8000u)
#define IOCQ	  (MEM_IOVA + 0xc000u)
#define N_QPAIRS  4u
#define ENTRIES	  8u
#define VOL_BYTES (256u << 10)
#define ROUNDS	  200u
#define CANARY	  0xa5
#define MAX_STEPS 400u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p, *end;
};

static struct event_base *base;
static struct ob_arena *arena;
static struct ob_worker *worker;
static uint8_t *mem;
static int mem_fd;
static struct ob_nvme_ns *vol[2];
static struct ob_nvme *ctrl;
static uint16_t admin_tail, io_tail;
static bool mapped;

static struct ob_nvme_ns *make_vol(const char *name)
{
	struct ob_nvme_ns_conf nc = {.ana_group = 1, .uuid = {(uint8_t)name[0]}};
	struct ob_nvme_ns *ns;
	char err[128];

	memcpy(nc.name, name, strlen(name));
	if (ob_blk_ram_create(name, VOL_BYTES, 512, &nc.blk, err, sizeof(err)) != 0 ||
	    ob_nvme_ns_create(&nc, &ns) != 0)
		abort();
	ob_blk_put(nc.blk);
	return ns;
}

/* ---- the card's hooks ---- */

static int hook_update(void *ctx, const void *image, size_t len, unsigned slot, bool now)
{
	(void)ctx;
	(void)slot;
	(void)now;
	return len > 4096 ? -EINVAL : -(int)(((const uint8_t *)image)[0] & 1);
}

static int hook_create(
    void *ctx, uint64_t blocks, uint32_t block_bytes, bool shared, struct ob_nvme_ns **ns)
{
	(void)ctx;
	(void)shared;
	if (blocks > VOL_BYTES / block_bytes)
		return -ENOSPC;
	*ns = make_vol("made");
	return 0;
}

static int hook_delete(void *ctx, struct ob_nvme_ns *ns)
{
	(void)ctx;
	(void)ns;
	return 0;
}

static int hook_erase(void *ctx, struct ob_nvme_ns *ns)
{
	(void)ctx;
	return ns == vol[1] ? -ENOTSUP : 0;
}

static const struct ob_nvme_hooks hooks = {
    .update = hook_update,
    .ns_create = hook_create,
    .ns_delete = hook_delete,
    .crypto_erase = hook_erase,
};

static uint64_t take(struct input *in, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n && in->p < in->end; i++)
		v |= (uint64_t)*in->p++ << (8 * i);
	return v;
}

static void write_reg(uint64_t off, uint64_t v, size_t len)
{
	fake_nvfu[0].conf.ops->bar_write(fake_nvfu[0].conf.ctx, 0, off, &v, len);
}

static void map(bool on)
{
	if (on == mapped)
		return;
	mapped = on;
	if (on ? ob_gmem_add(ctrl->gm, (ob_iova_t){MEM_IOVA}, MEM_BYTES,
		     OB_GMEM_READ | OB_GMEM_WRITE, mem_fd, 0) != 0
	       : ob_gmem_del(ctrl->gm, (ob_iova_t){MEM_IOVA}, MEM_BYTES) != 1)
		abort();
}

/* A good start, so that most inputs get past it. */
static void bring_up(void)
{
	map(true);
	fake_nvfu[0].conf.ops->command(
	    fake_nvfu[0].conf.ctx, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	write_reg(NVME_REG_CC, 0, 4);
	memset(mem, 0, 0x2000);
	write_reg(NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1), 4);
	write_reg(NVME_REG_ASQ, ASQ, 8);
	write_reg(NVME_REG_ACQ, ACQ, 8);
	write_reg(NVME_REG_CC, 1u | 6u << 16 | 4u << 20, 4);
	admin_tail = io_tail = 0;
}

static void put(uint64_t queue, uint16_t *tail, uint64_t doorbell, const struct ob_nvme_sqe *e)
{
	memcpy(mem + (queue - MEM_IOVA) + *tail * sizeof(*e), e, sizeof(*e));
	*tail = (uint16_t)((*tail + 1) % ENTRIES);
	write_reg(doorbell, *tail, 4);
	/* The host takes all that was posted. */
	if (doorbell == 0x1000)
		write_reg(0x1004, ctrl->acq.tail, 4);
}

static void template(struct input *in, struct ob_nvme_sqe *e)
{
	memset(e, 0, sizeof(*e));
	e->opcode = (uint8_t)take(in, 1);
	e->cid = (uint16_t)take(in, 1);
	e->nsid = (uint32_t)take(in, 1);
	if (e->nsid > 0xf0)
		e->nsid |= 0xffffff00u;
	e->dptr[0] = DATA;
	e->dptr[1] = DATA + 0x1000;
	e->cdw10 = (uint32_t)take(in, 4);
	e->cdw11 = (uint32_t)take(in, 4);
	e->cdw12 = (uint32_t)take(in, 2);
}

static void raw(struct input *in, struct ob_nvme_sqe *e)
{
	uint8_t *p = (uint8_t *)e;

	for (unsigned i = 0; i < sizeof(*e); i++)
		p[i] = (uint8_t)take(in, 1);
}

static void io_queues(void)
{
	struct ob_nvme_sqe e = {.opcode = nvme_admin_create_cq,
	    .dptr = {IOCQ},
	    .cdw10 = 1 | (ENTRIES - 1) << 16,
	    .cdw11 = 1};

	memset(mem + (IOCQ - MEM_IOVA), 0, 0x1000);
	put(ASQ, &admin_tail, 0x1000, &e);
	e.opcode = nvme_admin_create_sq;
	e.dptr[0] = IOSQ;
	e.cdw11 = 1 | 1 << 16;
	put(ASQ, &admin_tail, 0x1000, &e);
	io_tail = 0;
}

static void turn(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned did = ob_worker_round(worker) + ob_nvmeq_poll_events();

		event_base_loop(base, EVLOOP_NONBLOCK);
		if (did == 0 && i > 2)
			break;
	}
}

static void card(struct input *in)
{
	uint32_t nsid = (uint32_t)take(in, 1);

	switch (take(in, 1) % 6) {
	case 0:
		(void)ob_nvme_add_ns(ctrl, &nsid, vol[0]);
		break;
	case 1:
		(void)ob_nvme_add_ns(ctrl, &nsid, vol[1]);
		break;
	case 2:
		(void)ob_nvme_del_ns(ctrl, nsid);
		break;
	case 3:
		ob_nvme_ns_changed(ctrl, nsid);
		break;
	case 4:
		(void)ob_nvme_set_ana(ctrl, nsid, (enum ob_nvme_ana)take(in, 1));
		break;
	default:
		nvme_resv_event(ctrl, nsid, (uint8_t)take(in, 1));
		break;
	}
}

static void host(struct input *in)
{
	switch (take(in, 1) % 5) {
	case 0:
		fake_nvfu[0].conf.ops->reset(fake_nvfu[0].conf.ctx);
		break;
	case 1:
		fake_nvfu[0].conf.ops->command(fake_nvfu[0].conf.ctx, (uint16_t)take(in, 1));
		break;
	case 2:
		fake_nvfu[0].msix = take(in, 1) & 1;
		fake_nvfu[0].conf.ops->irq_changed(fake_nvfu[0].conf.ctx, (unsigned)take(in, 1));
		break;
	case 3:
		map(!mapped);
		break;
	default:
		event_active(ctrl->kato, EV_TIMEOUT, 0);
		break;
	}
}

static void step(struct input *in)
{
	struct ob_nvme_sqe e;
	uint8_t buf[256];
	unsigned len;
	uint64_t off;

	switch (take(in, 1) % 12) {
	case 0:
		bring_up();
		break;
	case 1:
		template(in, &e);
		put(ASQ, &admin_tail, 0x1000, &e);
		break;
	case 2:
		raw(in, &e);
		put(ASQ, &admin_tail, 0x1000, &e);
		break;
	case 3:
		io_queues();
		break;
	case 4:
		template(in, &e);
		put(IOSQ, &io_tail, 0x1008, &e);
		break;
	case 5:
		off = take(in, 1) % 0x70;
		len = 1 + ((unsigned)take(in, 1) & 7);
		write_reg(off, take(in, len), len);
		break;
	case 6:
		off = take(in, 2) & 0x3fff;
		len = 1 + (take(in, 1) & 0xff);
		fake_nvfu[0].conf.ops->bar_read(fake_nvfu[0].conf.ctx, 0, off, buf, len);
		break;
	case 7:
		off = 0x1000 + (take(in, 1) & 0x7f);
		len = 1 + ((unsigned)take(in, 1) & 7);
		write_reg(off, take(in, 2), len);
		break;
	case 8:
		off = take(in, 2);
		for (len = (unsigned)take(in, 1); len > 0 && off < MEM_BYTES; len--)
			mem[off++] = (uint8_t)take(in, 1);
		break;
	case 9:
		card(in);
		break;
	case 10:
		host(in);
		break;
	default:
		turn();
		break;
	}
}

static void check(void)
{
	const struct nvme_state *st = ctrl->st;

	if (!NVME_CC_EN(st->cc) && (st->csts & 3) != 0)
		abort();
	for (uint16_t i = 0; i < N_QPAIRS; i++) {
		if ((st->sq[i].size != 0) != ob_nvmeq_sq_running(ctrl->q, (uint16_t)(i + 1)) ||
		    (st->cq[i].size != 0) != ob_nvmeq_cq_running(ctrl->q, (uint16_t)(i + 1)))
			abort();
		if (st->sq[i].size != 0 && st->cq[st->sq[i].cqid - 1].size == 0)
			abort();
	}
	if (st->n_aer > NVME_N_AER || ctrl->n_done > NVME_DONE_MAX)
		abort();
}

static void check_canary(void)
{
	for (unsigned i = 0; i < MEM_BYTES; i++)
		if (mem[MEM_BYTES + i] != CANARY)
			abort();
}

static void init(void)
{
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true};

	ob_test_eal();
	rte_log_set_global_level(RTE_LOG_EMERG);
	base = event_base_new();
	mem_fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (base == NULL || mem_fd < 0 || ftruncate(mem_fd, 2 * MEM_BYTES) != 0 ||
	    ob_arena_create("fuzz", 32u << 20, &arena) != 0)
		abort();
	mem = mmap(NULL, 2 * MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, mem_fd, 0);
	wc.arena = arena;
	if (mem == MAP_FAILED || ob_workers_start(&wc) != 0)
		abort();
	worker = ob_worker_get(0);
	vol[0] = make_vol("a");
	vol[1] = make_vol("b");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	struct ob_nvme_conf conf = {
	    .name = "fuzz",
	    .path = "/x",
	    .serial = "1",
	    .cntlid = 1,
	    .n_qpairs = N_QPAIRS,
	    .queue_entries = 64,
	    .hooks = &hooks,
	};
	uint32_t nsid = 1;

	if (base == NULL)
		init();
	memset(mem, 0, MEM_BYTES);
	memset(mem + MEM_BYTES, CANARY, MEM_BYTES);
	fake_nvfu_reset();
	for (unsigned i = 0; i < 2; i++) {
		(void)ob_nvme_ns_set_wp(vol[i], OB_NVME_WP_NONE);
		ob_nvme_ns_set_formatting(vol[i], true);
		(void)ob_nvme_ns_set_lba_bytes(vol[i], 512);
		ob_nvme_ns_set_formatting(vol[i], false);
	}
	conf.base = base;
	conf.arena = arena;
	mapped = false;
	if (ob_nvme_create(&conf, &ctrl) != 0 || ob_nvme_add_ns(ctrl, &nsid, vol[0]) != 0)
		abort();
	map(true);
	for (unsigned i = 0; i < MAX_STEPS && in.p < in.end; i++) {
		step(&in);
		check();
	}
	turn();
	check();
	ob_nvme_destroy(ctrl);
	turn();
	check_canary();
	ob_rcu_reclaim();
	return 0;
}
