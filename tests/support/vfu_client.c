/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfu_client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vfu_wire.h"

#define TIMEOUT_S 5
#define SEND_FDS  64u

static const char qemu_caps[] =
    "{\"capabilities\":{\"pgsizes\":4096,\"max_msg_fds\":16,\"max_dma_maps\":65535,"
    "\"max_data_xfer_size\":1048576,\"migration\":{\"max_bitmap_size\":268435456,\"pgsize\":4096},"
    "\"write_multiple\":true}}";

void vfu_client_init(struct vfu_client *c, int fd, void (*pump)(void *), void *pump_ctx)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->pump = pump;
	c->pump_ctx = pump_ctx;
	c->reply_fd = -1;
}

int vfu_client_connect(struct vfu_client *c, const char *path, void (*pump)(void *), void *pump_ctx)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	vfu_client_init(c, fd, pump, pump_ctx);
	return 0;
}

static void drop_reply_fd(struct vfu_client *c)
{
	if (c->reply_fd >= 0)
		close(c->reply_fd);
	c->reply_fd = -1;
}

void vfu_client_close(struct vfu_client *c)
{
	for (unsigned i = 0; i < c->n_mem; i++) {
		munmap(c->mem[i].hva, c->mem[i].size);
		close(c->mem[i].fd);
	}
	c->n_mem = 0;
	drop_reply_fd(c);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* Lets the server work, or the processor rest, until the socket may be ready for 'events'. */
static int wait_for(struct vfu_client *c, short events, time_t since)
{
	struct pollfd p = {.fd = c->fd, .events = events};

	if (c->pump != NULL)
		c->pump(c->pump_ctx);
	(void)poll(&p, 1, c->pump != NULL ? 0 : 100);
	return time(NULL) > since + TIMEOUT_S ? -ETIMEDOUT : 0;
}

int vfu_client_send_raw(
    struct vfu_client *c, const void *bytes, size_t len, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(SEND_FDS * sizeof(int))];
	} ctl;
	struct iovec iov;
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	const uint8_t *at = bytes;
	time_t since = time(NULL);
	int rc;

	if (n_fds > SEND_FDS)
		return -EINVAL;
	while (len > 0) {
		union {
			const uint8_t *in;
			void *out;
		} deconst = {.in = at};
		ssize_t n;

		iov = (struct iovec){deconst.out, len};
		mh.msg_controllen = 0;
		mh.msg_control = NULL;
		if (n_fds > 0) {
			memset(&ctl, 0, sizeof(ctl));
			ctl.align.cmsg_level = SOL_SOCKET;
			ctl.align.cmsg_type = SCM_RIGHTS;
			ctl.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
			memcpy(CMSG_DATA(&ctl.align), fds, n_fds * sizeof(int));
			mh.msg_control = ctl.buf;
			mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		}
		n = sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		if (n < 0) {
			rc = wait_for(c, POLLOUT, since);
			if (rc < 0)
				return rc;
			continue;
		}
		n_fds = 0;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void keep_fd(struct vfu_client *c, struct msghdr *mh)
{
	for (struct cmsghdr *m = CMSG_FIRSTHDR(mh); m != NULL; m = CMSG_NXTHDR(mh, m)) {
		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
			continue;
		drop_reply_fd(c);
		memcpy(&c->reply_fd, CMSG_DATA(m), sizeof(int));
	}
}

static int recv_all(struct vfu_client *c, void *buf, size_t len, time_t since)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	uint8_t *at = buf;
	int rc;

	while (len > 0) {
		struct iovec iov = {at, len};
		struct msghdr mh = {.msg_iov = &iov,
		    .msg_iovlen = 1,
		    .msg_control = &ctl,
		    .msg_controllen = sizeof(ctl)};
		ssize_t n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return -EPIPE;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0) {
			rc = wait_for(c, POLLIN, since);
			if (rc < 0)
				return rc;
			continue;
		}
		keep_fd(c, &mh);
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static const uint8_t *guest_view(const struct vfu_client *c, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < c->n_mem; i++) {
		const struct vfu_client_region *r = &c->mem[i];

		if (iova >= r->iova && len <= r->size && iova - r->iova <= r->size - len)
			return r->view + (iova - r->iova);
	}
	return NULL;
}

static int serve_dma_read(struct vfu_client *c, const struct vfu_hdr *req)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_dma_io io;
		uint8_t data[4096];
	} out = {
	    .hdr = {.id = req->id, .cmd = req->cmd, .flags = VFU_F_REPLY, .size = sizeof(*req)}};
	const uint8_t *view;

	if (req->cmd != VFU_DMA_READ || c->reply_len != sizeof(out.io))
		return -EPROTO;
	memcpy(&out.io, c->reply, sizeof(out.io));
	view = out.io.count <= sizeof(out.data) ? guest_view(c, out.io.iova, out.io.count) : NULL;
	if (view == NULL) {
		out.hdr.flags |= VFU_F_ERROR;
		out.hdr.error = ENODEV;
	} else {
		memcpy(out.data, view, out.io.count);
		out.hdr.size = (uint32_t)(sizeof(out.hdr) + sizeof(out.io) + out.io.count);
	}
	c->n_dma_reads++;
	return vfu_client_send_raw(c, &out, out.hdr.size, NULL, 0);
}

/* Takes one message off the socket. */
static int recv_msg(struct vfu_client *c, struct vfu_hdr *hdr, time_t since)
{
	int rc = recv_all(c, hdr, sizeof(*hdr), since);

	if (rc < 0)
		return rc;
	if (hdr->size < sizeof(*hdr) || hdr->size - sizeof(*hdr) > sizeof(c->reply))
		return -EPROTO;
	c->reply_len = hdr->size - sizeof(*hdr);
	return recv_all(c, c->reply, c->reply_len, since);
}

int vfu_client_command(struct vfu_client *c, uint16_t cmd, uint32_t flags, const void *body,
    size_t len, const int *fds, unsigned n_fds)
{
	uint8_t msg[VFU_MAX_MSG + 64];
	struct vfu_hdr hdr = {.id = ++c->next_id, .cmd = cmd, .flags = flags};
	time_t since = time(NULL);
	uint16_t id = hdr.id;
	int rc;

	if (len > sizeof(msg) - sizeof(hdr))
		return -EINVAL;
	drop_reply_fd(c);
	hdr.size = (uint32_t)(sizeof(hdr) + len);
	memcpy(msg, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(msg + sizeof(hdr), body, len);
	rc = vfu_client_send_raw(c, msg, hdr.size, fds, n_fds);
	if (rc < 0 || (flags & VFU_F_NO_REPLY))
		return rc;
	for (;;) {
		rc = recv_msg(c, &hdr, since);
		if (rc < 0)
			return rc;
		if ((hdr.flags & VFU_F_TYPE_MASK) == VFU_F_REPLY)
			break;
		rc = serve_dma_read(c, &hdr);
		if (rc < 0)
			return rc;
	}
	if (hdr.id != id || hdr.cmd != cmd)
		return -EPROTO;
	return hdr.flags & VFU_F_ERROR ? -(int)hdr.error : 0;
}

int vfu_client_wait_close(struct vfu_client *c)
{
	time_t since = time(NULL);
	struct vfu_hdr hdr;
	int rc;

	do {
		rc = recv_msg(c, &hdr, since);
	} while (rc == 0);
	return rc == -EPIPE ? 0 : rc;
}

int vfu_client_version(struct vfu_client *c, const char *json)
{
	uint8_t body[4096] = {0};
	size_t n;

	json = json != NULL ? json : qemu_caps;
	n = strlen(json) + 1;
	if (n > sizeof(body) - sizeof(struct vfu_version))
		return -EINVAL;
	memcpy(body + sizeof(struct vfu_version), json, n);
	return vfu_client_command(c, VFU_VERSION, 0, body, sizeof(struct vfu_version) + n, NULL, 0);
}

int vfu_client_start(struct vfu_client *c)
{
	struct vfu_device_info info = {.argsz = sizeof(info)};
	int rc = vfu_client_version(c, NULL);

	if (rc < 0)
		return rc;
	rc = vfu_client_command(c, VFU_DEVICE_GET_INFO, 0, &info, sizeof(info), NULL, 0);
	if (rc == 0 && c->reply_len != sizeof(info))
		rc = -EPROTO;
	return rc;
}

int vfu_client_map(
    struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags, int fd, uint64_t off)
{
	struct vfu_dma_map m = {
	    .argsz = sizeof(m), .flags = flags, .offset = off, .iova = iova, .size = size};

	return vfu_client_command(c, VFU_DMA_MAP, 0, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
}

int vfu_client_unmap(struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfu_dma_unmap m = {.argsz = sizeof(m), .flags = flags, .iova = iova, .size = size};

	return vfu_client_command(c, VFU_DMA_UNMAP, 0, &m, sizeof(m), NULL, 0);
}

int vfu_client_share(
    struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags, uint8_t **hva)
{
	struct vfu_client_region *r = &c->mem[c->n_mem];
	void *map;
	int rc;

	if (c->n_mem == VFU_CLIENT_MAX_REGIONS)
		return -ENOSPC;
	*r = (struct vfu_client_region){.iova = iova, .size = size};
	r->fd = memfd_create("guest", MFD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	if (ftruncate(r->fd, (off_t)size) < 0)
		goto err_close;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (map == MAP_FAILED)
		goto err_close;
	r->hva = map;
	r->view = map;
	rc = vfu_client_map(c, iova, size, flags, r->fd, 0);
	if (rc < 0) {
		munmap(map, size);
		close(r->fd);
		return rc;
	}
	c->n_mem++;
	*hva = r->hva;
	return 0;
err_close:
	rc = -errno;
	close(r->fd);
	return rc;
}

int vfu_client_read(struct vfu_client *c, uint32_t region, uint64_t off, void *buf, uint32_t len)
{
	struct vfu_region_io io = {.off = off, .region = region, .count = len}, got;
	int rc = vfu_client_command(c, VFU_REGION_READ, 0, &io, sizeof(io), NULL, 0);

	if (rc < 0)
		return rc;
	memcpy(&got, c->reply, sizeof(got));
	if (c->reply_len != sizeof(io) + len || memcmp(&got, &io, sizeof(io)) != 0)
		return -EPROTO;
	memcpy(buf, c->reply + sizeof(io), len);
	return 0;
}

static int write_region(struct vfu_client *c, uint32_t flags, uint32_t region, uint64_t off,
    const void *buf, uint32_t len)
{
	struct vfu_region_io io = {.off = off, .region = region, .count = len};
	uint8_t body[sizeof(io) + VFU_MAX_XFER];

	if (len > VFU_MAX_XFER)
		return -EINVAL;
	memcpy(body, &io, sizeof(io));
	memcpy(body + sizeof(io), buf, len);
	return vfu_client_command(c, VFU_REGION_WRITE, flags, body, sizeof(io) + len, NULL, 0);
}

int vfu_client_write(
    struct vfu_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t len)
{
	int rc = write_region(c, 0, region, off, buf, len);

	return rc == 0 && c->reply_len != sizeof(struct vfu_region_io) ? -EPROTO : rc;
}

int vfu_client_post(
    struct vfu_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t len)
{
	return write_region(c, VFU_F_NO_REPLY, region, off, buf, len);
}

uint8_t vfu_client_cfg8(struct vfu_client *c, unsigned off)
{
	uint8_t val = 0xff;

	(void)vfu_client_read(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &val, sizeof(val));
	return val;
}

uint16_t vfu_client_cfg16(struct vfu_client *c, unsigned off)
{
	uint16_t val = 0xffff;

	(void)vfu_client_read(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &val, sizeof(val));
	return val;
}

uint32_t vfu_client_cfg32(struct vfu_client *c, unsigned off)
{
	uint32_t val = 0xffffffff;

	(void)vfu_client_read(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &val, sizeof(val));
	return val;
}

int vfu_client_cfg_set8(struct vfu_client *c, unsigned off, uint8_t val)
{
	return vfu_client_write(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &val, sizeof(val));
}

int vfu_client_cfg_set16(struct vfu_client *c, unsigned off, uint16_t val)
{
	return vfu_client_write(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &val, sizeof(val));
}

int vfu_client_cfg_set32(struct vfu_client *c, unsigned off, uint32_t val)
{
	return vfu_client_write(c, VFIO_PCI_CONFIG_REGION_INDEX, off, &val, sizeof(val));
}

unsigned vfu_client_cap(struct vfu_client *c, uint8_t id, unsigned after)
{
	unsigned at = after != 0 ? vfu_client_cfg8(c, after + PCI_CAP_LIST_NEXT)
				 : vfu_client_cfg8(c, PCI_CAPABILITY_LIST);

	for (unsigned n = 0; at >= PCI_STD_HEADER_SIZEOF && n < 48; n++) {
		if (vfu_client_cfg8(c, at + PCI_CAP_LIST_ID) == id)
			return at;
		at = vfu_client_cfg8(c, at + PCI_CAP_LIST_NEXT);
	}
	return 0;
}

int vfu_client_set_irqs(struct vfu_client *c, uint32_t flags, uint32_t index, uint32_t start,
    uint32_t count, const void *data, size_t data_len, const int *fds, unsigned n_fds)
{
	struct vfio_irq_set s = {.argsz = (uint32_t)(sizeof(s) + data_len),
	    .flags = flags,
	    .index = index,
	    .start = start,
	    .count = count};
	uint8_t body[sizeof(s) + 4096];

	if (data_len > sizeof(body) - sizeof(s))
		return -EINVAL;
	memcpy(body, &s, sizeof(s));
	if (data_len > 0)
		memcpy(body + sizeof(s), data, data_len);
	return vfu_client_command(c, VFU_SET_IRQS, 0, body, sizeof(s) + data_len, fds, n_fds);
}

int vfu_client_msix(struct vfu_client *c, unsigned vector, int eventfd)
{
	unsigned cap = vfu_client_cap(c, PCI_CAP_ID_MSIX, 0);
	uint16_t flags;
	int rc;

	if (cap == 0)
		return -ENOENT;
	flags = vfu_client_cfg16(c, cap + PCI_MSIX_FLAGS);
	rc = vfu_client_cfg_set16(
	    c, cap + PCI_MSIX_FLAGS, (uint16_t)(flags | PCI_MSIX_FLAGS_ENABLE));
	if (rc < 0)
		return rc;
	return vfu_client_set_irqs(c, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
	    VFIO_PCI_MSIX_IRQ_INDEX, vector, 1, NULL, 0, &eventfd, 1);
}

int vfu_client_reset(struct vfu_client *c)
{
	return vfu_client_command(c, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
}
