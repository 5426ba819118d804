/* SPDX-License-Identifier: BSD-3-Clause */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_SEGS 64

static int open_tun(char *err, size_t err_len)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int rc = -errno;

	if (fd >= 0)
		return fd;
	if (rc == -ENOENT || rc == -ENODEV || rc == -ENXIO)
		snprintf(
		    err, err_len, "no /dev/net/tun: load the kernel module with 'modprobe tun'");
	else
		snprintf(err, err_len, "/dev/net/tun: %s (run as root or with CAP_NET_ADMIN)",
		    strerror(-rc));
	return rc;
}

int tap_open(struct tap *t, const char *name, struct nl_sock *nl, const uint8_t mac[6],
    uint16_t mtu, char *err, size_t err_len)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	struct nl_link link;
	int rc;

	t->fd = -1;
	if (strlen(name) >= sizeof(t->name) || name[0] == '\0' || strpbrk(name, "/ %") != NULL) {
		snprintf(err, err_len, "'%s' is not the name of an interface (1..%zu characters)",
		    name, sizeof(t->name) - 1);
		return -EINVAL;
	}
	strcpy(t->name, name);
	rc = open_tun(err, err_len);
	if (rc < 0)
		return rc;
	t->fd = rc;
	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	if (ioctl(t->fd, TUNSETIFF, &ifr) < 0) {
		rc = -errno;
		snprintf(err, err_len, "TAP %s: %s%s", name, strerror(-rc),
		    rc == -EBUSY || rc == -EINVAL ? " (the name is taken in this namespace; choose "
						    "another with --underlay-if)"
		    : rc == -EPERM		  ? " (run as root or with CAP_NET_ADMIN)"
						  : "");
		goto err_close;
	}
	rc = nl_link_get(nl, name, &link);
	if (rc == 0)
		rc = nl_link_setup(nl, link.ifindex, mac, mtu);
	if (rc < 0) {
		snprintf(err, err_len, "TAP %s: cannot set MAC, MTU %u or bring it up: %s", name,
		    mtu, strerror(-rc));
		goto err_close;
	}
	t->ifindex = link.ifindex;
	return 0;
err_close:
	tap_close(t);
	return rc;
}

void tap_close(struct tap *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

void tap_set_carrier(struct tap *t, int up)
{
	/* Kernels before 5.0 do not know it; the carrier then stays up. */
	(void)ioctl(t->fd, TUNSETCARRIER, &up);
}

int tap_write(struct tap *t, const struct rte_mbuf *pkt)
{
	struct iovec iov[MAX_SEGS];
	int n = 0;

	for (const struct rte_mbuf *m = pkt; m != NULL; m = m->next) {
		if (n == MAX_SEGS)
			return -EMSGSIZE;
		iov[n].iov_base = rte_pktmbuf_mtod(m, void *);
		iov[n++].iov_len = rte_pktmbuf_data_len(m);
	}
	return writev(t->fd, iov, n) < 0 ? -errno : 0;
}

int tap_read(struct tap *t, void *buf, size_t len)
{
	ssize_t got = read(t->fd, buf, len);

	return got < 0 ? -errno : (int)got;
}
