/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <linux/vhost_types.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define VERSION	   1u
#define F_REPLY	   4u
#define F_NEED_ACK 8u
#define MAX_BODY   512u
#define MAX_FDS	   8u

struct hdr {
	uint32_t request, flags, size;
};

struct mem_table {
	uint32_t n, padding;
	struct {
		uint64_t gpa, size, uva, off;
	} region[1];
};

struct config {
	uint32_t off, size, flags;
	uint8_t data[256];
};

int vhost_client_connect(struct vhost_client *c, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = 5};
	int rc;

	*c = (struct vhost_client){.fd = -1};
	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0 &&
	    connect(c->fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return 0;
	rc = -errno;
	vhost_client_close(c);
	return rc;
}

void vhost_client_close(struct vhost_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static int send_msg(
    struct vhost_client *c, const struct hdr *h, const void *body, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} ctl = {0};
	uint8_t msg[sizeof(*h) + MAX_BODY];
	struct iovec iov = {msg, sizeof(*h) + h->size};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (h->size > MAX_BODY || n_fds > MAX_FDS)
		return -EINVAL;
	memcpy(msg, h, sizeof(*h));
	if (h->size > 0)
		memcpy(msg + sizeof(*h), body, h->size);
	if (n_fds > 0) {
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&ctl.align), fds, n_fds * sizeof(int));
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	if (sendmsg(c->fd, &mh, MSG_NOSIGNAL) != (ssize_t)iov.iov_len)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

static int recv_all(struct vhost_client *c, void *buf, size_t len)
{
	uint8_t *at = buf;

	while (len > 0) {
		ssize_t n = recv(c->fd, at, len, 0);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return -EPIPE;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int exchange(struct vhost_client *c, const struct hdr *h, const void *body, const int *fds,
    unsigned n_fds, void *reply, size_t reply_len)
{
	uint8_t got[MAX_BODY];
	struct hdr rh;
	int rc = send_msg(c, h, body, fds, n_fds);

	if (rc < 0 || reply == NULL)
		return rc;
	rc = recv_all(c, &rh, sizeof(rh));
	if (rc < 0)
		return rc;
	if (rh.request != h->request || (rh.flags & F_REPLY) == 0 || rh.size > sizeof(got))
		return -EPROTO;
	rc = recv_all(c, got, rh.size);
	if (rc < 0)
		return rc;
	/* GET_CONFIG: an empty answer is a refusal. */
	if (rh.size == 0)
		return -EREMOTEIO;
	if (rh.size != reply_len)
		return -EPROTO;
	memcpy(reply, got, reply_len);
	return 0;
}

int vhost_client_send(struct vhost_client *c, uint32_t request, const void *body, size_t len,
    const int *fds, unsigned n_fds, void *reply, size_t reply_len)
{
	struct hdr h = {request, VERSION, (uint32_t)len};

	return exchange(c, &h, body, fds, n_fds, reply, reply_len);
}

int vhost_client_set(struct vhost_client *c, uint32_t request, const void *body, size_t len,
    const int *fds, unsigned n_fds)
{
	struct hdr h = {request, VERSION, (uint32_t)len};
	uint64_t ack = 0;
	int rc;

	if ((c->protocol >> VHC_P_REPLY_ACK & 1) == 0)
		return exchange(c, &h, body, fds, n_fds, NULL, 0);
	h.flags |= F_NEED_ACK;
	rc = exchange(c, &h, body, fds, n_fds, &ack, sizeof(ack));
	return rc == 0 && ack != 0 ? -EREMOTEIO : rc;
}

int vhost_client_set_u64(struct vhost_client *c, uint32_t request, uint64_t val)
{
	return vhost_client_set(c, request, &val, sizeof(val), NULL, 0);
}

int vhost_client_get_u64(struct vhost_client *c, uint32_t request, uint64_t *val)
{
	return vhost_client_send(c, request, NULL, 0, NULL, 0, val, sizeof(*val));
}

int vhost_client_start(struct vhost_client *c, uint64_t want, uint64_t *offered)
{
	uint64_t protocol = 0;
	int rc = vhost_client_get_u64(c, VHC_GET_FEATURES, offered);

	if (rc == 0 && (*offered & VHOST_CLIENT_PROTOCOL_FEATURES) == 0)
		rc = -EPROTO;
	if (rc == 0)
		rc = vhost_client_get_u64(c, VHC_GET_PROTOCOL_FEATURES, &protocol);
	if (rc == 0)
		rc = vhost_client_set_u64(c, VHC_SET_PROTOCOL_FEATURES, protocol & want);
	if (rc < 0)
		return rc;
	c->protocol = protocol & want;
	return vhost_client_set(c, VHC_SET_OWNER, NULL, 0, NULL, 0);
}

int vhost_client_mem(struct vhost_client *c, uint64_t gpa, uint64_t size, const void *hva, int fd)
{
	struct mem_table m = {
	    .n = 1, .region = {{.gpa = gpa, .size = size, .uva = (uint64_t)(uintptr_t)hva}}};

	return vhost_client_set(c, VHC_SET_MEM_TABLE, &m, sizeof(m), &fd, 1);
}

int vhost_client_get_config(struct vhost_client *c, uint32_t off, void *buf, uint32_t len)
{
	struct config ask = {.off = off, .size = len}, got;
	size_t size = offsetof(struct config, data) + len;
	int rc;

	if (len > sizeof(ask.data))
		return -EINVAL;
	rc = vhost_client_send(c, VHC_GET_CONFIG, &ask, size, NULL, 0, &got, size);
	if (rc == 0)
		memcpy(buf, got.data, len);
	return rc;
}

int vhost_client_set_config(struct vhost_client *c, uint32_t off, const void *buf, uint32_t len)
{
	struct config m = {.off = off, .size = len};

	if (len > sizeof(m.data))
		return -EINVAL;
	memcpy(m.data, buf, len);
	return vhost_client_set(
	    c, VHC_SET_CONFIG, &m, offsetof(struct config, data) + len, NULL, 0);
}

int vhost_client_start_ring(struct vhost_client *c, const struct vhost_client_ring *r)
{
	struct vhost_vring_state num = {r->index, r->size}, base = {r->index, r->base},
				 on = {r->index, 1};
	struct vhost_vring_addr addr = {.index = r->index,
	    .desc_user_addr = (uint64_t)(uintptr_t)r->desc,
	    .avail_user_addr = (uint64_t)(uintptr_t)r->driver,
	    .used_user_addr = (uint64_t)(uintptr_t)r->device};
	uint64_t index = r->index;
	int rc;

	rc = vhost_client_set(c, VHC_SET_VRING_NUM, &num, sizeof(num), NULL, 0);
	if (rc == 0)
		rc = vhost_client_set(c, VHC_SET_VRING_BASE, &base, sizeof(base), NULL, 0);
	if (rc == 0)
		rc = vhost_client_set(c, VHC_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	if (rc == 0)
		rc = vhost_client_set(c, VHC_SET_VRING_CALL, &index, sizeof(index), &r->call_fd, 1);
	if (rc == 0)
		rc = vhost_client_set(c, VHC_SET_VRING_KICK, &index, sizeof(index), &r->kick_fd, 1);
	if (rc == 0)
		rc = vhost_client_set(c, VHC_SET_VRING_ENABLE, &on, sizeof(on), NULL, 0);
	return rc;
}

int vhost_client_stop_ring(struct vhost_client *c, uint32_t index, uint32_t *base)
{
	struct vhost_vring_state ask = {.index = index}, got;
	int rc;

	rc =
	    vhost_client_send(c, VHC_GET_VRING_BASE, &ask, sizeof(ask), NULL, 0, &got, sizeof(got));
	if (rc == 0 && base != NULL)
		*base = got.num;
	return rc;
}
