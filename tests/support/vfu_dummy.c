/* SPDX-License-Identifier: BSD-3-Clause */
/* A PCI function that does nothing but answer: memory behind BAR 0, an interrupt when 0x100 is written, a look whether the
 * guest's memory is shared when it becomes bus master. For trying the vfio-user server against a client without the rest
 * of the card: vfu_dummy SOCKET [--debug] [--mmap]. With --mmap the last page of BAR 0 is a doorbell page. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <linux/pci_regs.h>
#include <rte_log.h>
#include <sys/mman.h>

#include "ob_gmem.h"
#include "ob_vfu.h"

#define BAR_BYTES 16384u
#define PAGE_OFF  12288u
#define RAISE	  0x100u

struct dummy {
	struct ob_vfu *v;
	int page_fd; /* -1: none */
	uint8_t bar[BAR_BYTES];
	unsigned n_reset, n_dma_changed;
};

static void dummy_read(void *ctx, unsigned bar, uint64_t off, void *buf, size_t len)
{
	const struct dummy *d = ctx;

	if (bar == 0)
		memcpy(buf, d->bar + off, len);
}

static void dummy_write(void *ctx, unsigned bar, uint64_t off, const void *buf, size_t len)
{
	struct dummy *d = ctx;

	if (bar != 0)
		return;
	memcpy(d->bar + off, buf, len);
	if (off == RAISE)
		ob_vfu_irq(d->v, d->bar[RAISE]);
	else if (off == RAISE + 4)
		ob_vfu_intx(d->v, d->bar[RAISE + 4] != 0);
}

static void dummy_reset(void *ctx)
{
	struct dummy *d = ctx;

	d->n_reset++;
	memset(d->bar, 0, sizeof(d->bar));
}

static void dummy_shared(void *ctx, bool shared)
{
	(void)ctx;
	printf("guest memory is %s\n", shared ? "shared" : "NOT shared");
	fflush(stdout);
}

/* The BIOS data area is never all zero, and its first bytes rest. */
static void dummy_command(void *ctx, uint16_t command)
{
	struct dummy *d = ctx;

	if (command & PCI_COMMAND_MASTER)
		(void)ob_vfu_check_shared(d->v, (ob_iova_t){0x400}, 0x60, dummy_shared, d);
}

static void dummy_dma_changed(void *ctx)
{
	struct dummy *d = ctx;

	d->n_dma_changed++;
}

static void dummy_connected(void *ctx, bool up)
{
	const struct dummy *d = ctx;
	struct ob_vfu_stats s;

	ob_vfu_get_stats(d->v, &s);
	if (!up && d->page_fd >= 0) {
		uint32_t bell = 0;

		(void)!pread(d->page_fd, &bell, sizeof(bell), PAGE_OFF);
		printf("doorbell page: %#x\n", bell);
	}
	printf("%s: %lu messages, %lu bad, %lu maps, %lu unmaps, %u map changes, %u resets, %lu "
	       "FLR, %lu interrupts\n",
	    up ? "up" : "down", s.n_messages, s.n_bad_messages, s.n_dma_map, s.n_dma_unmap,
	    d->n_dma_changed, d->n_reset, s.n_flr, s.n_irqs);
	fflush(stdout);
}

static const struct ob_vfu_ops dummy_ops = {
    .bar_read = dummy_read,
    .bar_write = dummy_write,
    .reset = dummy_reset,
    .command = dummy_command,
    .dma_changed = dummy_dma_changed,
    .connected = dummy_connected,
};

static int add_page(struct ob_vfu_bar *bar)
{
	int fd = memfd_create("doorbell", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, BAR_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	bar->mmap_off = PAGE_OFF;
	bar->mmap_len = BAR_BYTES - PAGE_OFF;
	bar->mmap_fd = fd;
	return 0;
}

static void on_signal(evutil_socket_t sig, short what, void *base)
{
	(void)sig;
	(void)what;
	event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
	static struct dummy d;
	struct ob_gmem_conf gconf = {.name = "dummy"};
	struct ob_vfu_conf conf = {
	    .name = "dummy",
	    .vendor_id = 0x1af4,
	    .device_id = 0x10f0,
	    .subsys_vendor_id = 0x1af4,
	    .subsys_id = 0x1100,
	    .class_code = 0xff0000,
	    .n_vectors = 4,
	    .msix_bar = 1,
	    .msix_pba_off = 2048,
	    .intx = true,
	    .vpd_serial = "OB0000001",
	    .vpd_part = "dummy",
	    .bar = {{.size = BAR_BYTES}, {.size = 4096}},
	    .ops = &dummy_ops,
	    .ctx = &d,
	};
	struct event *term, *intr;
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: %s SOCKET [--debug] [--mmap]\n", argv[0]);
		return 2;
	}
	d.page_fd = -1;
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--debug") == 0)
			rte_log_set_level_pattern("ob.*", RTE_LOG_DEBUG);
		else if (strcmp(argv[i], "--mmap") == 0 && add_page(&conf.bar[0]) == 0)
			d.page_fd = conf.bar[0].mmap_fd;
	}
	conf.path = argv[1];
	conf.base = event_base_new();
	rc = ob_gmem_catch_faults();
	if (rc == 0)
		rc = ob_gmem_create(&gconf, &conf.gm);
	if (rc == 0)
		rc = ob_vfu_create(&conf, &d.v);
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-rc));
		return 1;
	}
	term = evsignal_new(conf.base, SIGTERM, on_signal, conf.base);
	intr = evsignal_new(conf.base, SIGINT, on_signal, conf.base);
	event_add(term, NULL);
	event_add(intr, NULL);
	event_base_dispatch(conf.base);
	ob_vfu_destroy(d.v);
	ob_gmem_destroy(conf.gm);
	event_free(term);
	event_free(intr);
	event_base_free(conf.base);
	return 0;
}
