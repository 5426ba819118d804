/* SPDX-License-Identifier: BSD-3-Clause */
/* The front end of vhost-user, one message at a time: what a VMM is to the back end. For tests and benches.
 * Everything returns 0 or -errno: -EPIPE the back end closed, -EPROTO its answer makes no sense, -ETIMEDOUT none came within
 * 5 s, -EREMOTEIO it refused. Spec: QEMU docs/interop/vhost-user. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VHOST_CLIENT_PROTOCOL_FEATURES (1ull << 30)

enum vhost_client_protocol {
	VHC_P_MQ = 0,
	VHC_P_REPLY_ACK = 3,
	VHC_P_CONFIG = 9,
	VHC_P_INFLIGHT_SHMFD = 12,
};

enum vhost_client_request {
	VHC_GET_FEATURES = 1,
	VHC_SET_FEATURES = 2,
	VHC_SET_OWNER = 3,
	VHC_RESET_OWNER = 4,
	VHC_SET_MEM_TABLE = 5,
	VHC_SET_VRING_NUM = 8,
	VHC_SET_VRING_ADDR = 9,
	VHC_SET_VRING_BASE = 10,
	VHC_GET_VRING_BASE = 11,
	VHC_SET_VRING_KICK = 12,
	VHC_SET_VRING_CALL = 13,
	VHC_SET_VRING_ERR = 14,
	VHC_GET_PROTOCOL_FEATURES = 15,
	VHC_SET_PROTOCOL_FEATURES = 16,
	VHC_GET_QUEUE_NUM = 17,
	VHC_SET_VRING_ENABLE = 18,
	VHC_GET_CONFIG = 24,
	VHC_SET_CONFIG = 25,
};

struct vhost_client {
	int fd;
	uint64_t protocol; /* negotiated protocol features */
};

int vhost_client_connect(struct vhost_client *c, const char *path);
void vhost_client_close(struct vhost_client *c);

/* Any message, as it is. 'reply' not NULL: waits for 'reply_len' bytes of it. */
int vhost_client_send(struct vhost_client *c, uint32_t request, const void *body, size_t len,
    const int *fds, unsigned n_fds, void *reply, size_t reply_len);
/* A setter: waits for the acknowledgement where REPLY_ACK is negotiated. */
int vhost_client_set(struct vhost_client *c, uint32_t request, const void *body, size_t len,
    const int *fds, unsigned n_fds);
int vhost_client_set_u64(struct vhost_client *c, uint32_t request, uint64_t val);
int vhost_client_get_u64(struct vhost_client *c, uint32_t request, uint64_t *val);

/* SET_OWNER, features, protocol features ('want' of them that the back end has). '*offered': device features. */
int vhost_client_start(struct vhost_client *c, uint64_t want, uint64_t *offered);
/* One region: 'hva' here is 'gpa' for the device. */
int vhost_client_mem(struct vhost_client *c, uint64_t gpa, uint64_t size, const void *hva, int fd);
int vhost_client_get_config(struct vhost_client *c, uint32_t off, void *buf, uint32_t len);
int vhost_client_set_config(struct vhost_client *c, uint32_t off, const void *buf, uint32_t len);

struct vhost_client_ring {
	uint32_t index, size;
	uint32_t base; /* as SET_VRING_BASE has it */
	const void *desc, *driver, *device;
	int kick_fd, call_fd;
};
/* Size, base, addresses, descriptors, enable. */
int vhost_client_start_ring(struct vhost_client *c, const struct vhost_client_ring *r);
/* GET_VRING_BASE: the ring stops. */
int vhost_client_stop_ring(struct vhost_client *c, uint32_t index, uint32_t *base);
