/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile peer: a sequence of records {control byte, message}, fed to the parser that production uses.
 *
 * Control byte: bits 0-1 descriptors that come along (0, 1, 2, 16); bit 2 memfds instead of eventfds; bit 3 the message
 * comes in two reads; bit 4 the header is made plausible (type, size of what is left of the record); bits 5-7 what the
 * device model does meanwhile. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "ob_gmem.h"
#include "ob_vfu.h"
#include "vfu_priv.h"

#define BAR_BYTES   16384u
#define MEMFD_BYTES (1u << 20)
#define MAX_RECORDS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct event_base *base;
	struct ob_gmem *gm;
	struct ob_vfu *v;
	int memfd, eventfd, page;
	uint8_t bar[BAR_BYTES];
	unsigned n_resets;
	bool stalled; /* the peer does not read */
} fz;

/* Our own rules, broken only by a bug of the server. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

static void fz_read(void *ctx, unsigned bar, uint64_t off, void *buf, size_t len)
{
	(void)ctx;
	must(bar == 0 && len > 0 && off < BAR_BYTES && len <= BAR_BYTES - off);
	memcpy(buf, fz.bar + off, len);
}

static void fz_write(void *ctx, unsigned bar, uint64_t off, const void *buf, size_t len)
{
	(void)ctx;
	must(bar == 0 && len > 0 && off < BAR_BYTES && len <= BAR_BYTES - off);
	memcpy(fz.bar + off, buf, len);
}

static void fz_cfg_read(void *ctx, unsigned off, void *buf, size_t len)
{
	(void)ctx;
	must(len > 0 && off + len <= 16);
	memset(buf, (int)off, len);
}

static void fz_cfg_write(void *ctx, unsigned off, const void *buf, size_t len)
{
	(void)ctx;
	(void)buf;
	must(len > 0 && off + len <= 16);
}

static void fz_reset(void *ctx)
{
	(void)ctx;
	fz.n_resets++;
}

/* The model looks at everything it may ask for. */
static void fz_irq_changed(void *ctx, unsigned vector)
{
	int fd = ob_vfu_irq_fd(fz.v, vector);

	(void)ctx;
	must(vector < 70 && (fd < 0 || ob_vfu_msix_enabled(fz.v)));
}

static const struct ob_vfu_ops fz_ops = {
    .bar_read = fz_read,
    .bar_write = fz_write,
    .cfg_read = fz_cfg_read,
    .cfg_write = fz_cfg_write,
    .reset = fz_reset,
    .irq_changed = fz_irq_changed,
};

/* Replies go here instead of the socket: each is one whole message with a true size. */
static ssize_t fz_send(void *ctx, const void *bytes, size_t len, int fd)
{
	struct vfu_hdr hdr;

	(void)ctx;
	if (fz.stalled)
		return -EAGAIN;
	must(len >= sizeof(hdr) && len <= VFU_MAX_MSG);
	memcpy(&hdr, bytes, sizeof(hdr));
	must(hdr.size == len && (fd < 0 || fd == fz.page));
	must((hdr.flags & VFU_F_TYPE_MASK) == VFU_F_REPLY || hdr.cmd == VFU_DMA_READ);
	must(!(hdr.flags & VFU_F_ERROR) ||
	     (len == sizeof(hdr) && hdr.error != 0 && hdr.error < 4096));
	return (ssize_t)len;
}

static void fz_setup(void)
{
	struct ob_gmem_conf g = {.name = "fuzz"};

	rte_log_set_level_pattern("ob.*", RTE_LOG_EMERG);
	fz.base = event_base_new();
	must(fz.base != NULL && ob_gmem_catch_faults() == 0 && ob_gmem_create(&g, &fz.gm) == 0);
	fz.memfd = memfd_create("guest", MFD_CLOEXEC);
	fz.page = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fz.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(ftruncate(fz.memfd, MEMFD_BYTES) == 0 && ftruncate(fz.page, BAR_BYTES) == 0);
	must(fcntl(fz.page, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
}

static void fz_connect(void)
{
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	must(ob_vfu_attach(fz.v, pair[0]) == 0);
	close(pair[1]);
	fz.v->conn.tx.send = fz_send;
	fz.stalled = false;
}

static void fz_create(void)
{
	static const uint8_t cap[18] = {20, 5};
	struct ob_vfu_conf conf = {
	    .name = "fuzz",
	    .base = fz.base,
	    .gm = fz.gm,
	    .vendor_id = 0x1af4,
	    .device_id = 0x1041,
	    .n_vectors = 70,
	    .msix_table_off = 0x1000,
	    .msix_pba_off = 0x2000,
	    .intx = true,
	    .vpd_serial = "OB-0042",
	    .bar = {{.size = BAR_BYTES, .mmap_off = 0x3000, .mmap_len = 4096, .mmap_fd = fz.page}},
	    .ops = &fz_ops,
	};

	must(ob_vfu_create(&conf, &fz.v) == 0);
	must(ob_vfu_cap_add(fz.v, PCI_CAP_ID_VNDR, cap, sizeof(cap), 4, 16) > 0);
	fz_connect();
}

/* Feeds bytes as one read; the descriptors come with them. */
static void feed(const uint8_t *bytes, size_t len, const int *fd, unsigned n_fds)
{
	struct vfu_conn *c = &fz.v->conn;
	struct vfu_msg msg;
	size_t room;
	int rc;

	do {
		uint8_t *to = vfu_rx_space(&c->rx, &room);
		size_t n = len < room ? len : room;

		must(room > 0);
		memcpy(to, bytes, n);
		if (vfu_rx_commit(&c->rx, n, fd, n_fds) < 0)
			c->dead = "descriptors";
		n_fds = 0;
		bytes += n;
		len -= n;
		while (c->dead == NULL && (rc = vfu_rx_next(&c->rx, &msg)) != 0) {
			if (rc < 0)
				c->dead = "header";
			else
				vfu_dispatch(fz.v, &msg);
		}
	} while (len > 0 && c->dead == NULL);
	if (c->dead != NULL) {
		vfu_conn_close(fz.v, c->dead);
		fz_connect();
	}
}

static void model_acts(unsigned what, uint8_t arg)
{
	switch (what) {
	case 1:
		ob_vfu_irq(fz.v, arg);
		break;
	case 2:
		ob_vfu_intx(fz.v, (arg & 1) != 0);
		break;
	case 3:
		(void)ob_vfu_check_shared(fz.v, (ob_iova_t){(uint64_t)arg << 12}, 64, NULL, NULL);
		break;
	case 4:
		event_base_loop(fz.base, EVLOOP_NONBLOCK);
		break;
	case 5:
		vfu_conn_close(fz.v, "");
		fz_connect();
		break;
	case 6:
		fz.stalled = true;
		break;
	case 7:
		fz.stalled = false;
		must(vfu_tx_flush(&fz.v->conn.tx) == 0);
		break;
	default:
		break;
	}
}

/* One record. Returns the bytes it took. */
static size_t record(const uint8_t *data, size_t size)
{
	static const unsigned counts[4] = {0, 1, 2, VFU_MAX_FDS};
	uint8_t ctl = data[0], buf[VFU_MAX_MSG];
	size_t len = size - 1, cut;
	unsigned n_fds = counts[ctl & 3];
	int fd[VFU_MAX_FDS];
	struct vfu_hdr hdr;

	if (len < sizeof(hdr))
		return size;
	memcpy(&hdr, data + 1, sizeof(hdr));
	if (ctl & 0x10)
		hdr.flags &= VFU_F_NO_REPLY | VFU_F_REPLY;
	if (hdr.size >= sizeof(hdr) && hdr.size < len)
		len = hdr.size;
	else if (ctl & 0x10)
		hdr.size = (uint32_t)(len < sizeof(buf) ? len : sizeof(buf));
	if (len > sizeof(buf))
		len = sizeof(buf);
	memcpy(buf, data + 1, len);
	memcpy(buf, &hdr, sizeof(hdr));
	for (unsigned i = 0; i < n_fds; i++)
		fd[i] = fcntl(ctl & 4 ? fz.memfd : fz.eventfd, F_DUPFD_CLOEXEC, 3);
	cut = ctl & 8 ? 1 + data[1] % len : len;
	if (cut > len)
		cut = len;
	feed(buf, cut, fd, n_fds);
	if (cut < len)
		feed(buf + cut, len - cut, NULL, 0);
	model_acts(ctl >> 5, data[1]);
	return 1 + len;
}

static int lowest_free_fd(void)
{
	int fd = fcntl(fz.memfd, F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t n_ranges;
	uint64_t n_bytes;
	int before;

	if (fz.base == NULL)
		fz_setup();
	before = lowest_free_fd();
	fz_create();
	for (unsigned i = 0; i < MAX_RECORDS && size > 0; i++) {
		size_t n = record(data, size);

		data += n;
		size -= n;
	}
	ob_vfu_destroy(fz.v);
	ob_gmem_usage(fz.gm, &n_ranges, &n_bytes);
	must(n_ranges == 0);
	must(lowest_free_fd() == before);
	return 0;
}
