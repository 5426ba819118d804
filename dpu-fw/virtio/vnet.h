/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of dpu-fw/virtio: the state of one virtio-net function. */
#pragma once

#include <time.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_log.h>

#include "ob_arena.h"
#include "ob_virtio.h"

/* Newer than the kernel headers that we build with (virtio 1.2, chapter 6). */
#ifndef VIRTIO_F_NOTIFICATION_DATA
#define VIRTIO_F_NOTIFICATION_DATA 38
#endif
#ifndef VIRTIO_RING_F_INDIRECT_DESC
#define VIRTIO_RING_F_INDIRECT_DESC 28
#define VIRTIO_RING_F_EVENT_IDX	    29
#endif

#define VNET_BIT(b)	   (UINT64_C(1) << (b))
#define VNET_CTRL_SIZE	   64 /* descriptors of the control queue */
#define VNET_NO_VECTOR	   0xffff
#define VNET_STATE_LAYOUT  1
#define VNET_QUEUE_DEFAULT 256
/* What a successor needs to go on serving the same driver; region "vnet.<name>". Main thread only. */
struct vnet_state {
	uint64_t driver_features; /* as the driver wrote them */
	uint64_t negotiated;	  /* fixed at FEATURES_OK, 0 before */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t net_status; /* VIRTIO_NET_S_* */
	uint16_t pci_command;
	uint8_t status, isr, generation, dma;
	uint8_t mac[6]; /* the driver may change it */
	uint8_t features_ok;
	uint8_t reserved[5];
	struct ob_virtq_state ctrl;
	struct ob_vif_filter filter;
	struct ob_vif_steering steering;
	struct ob_vnet_queue queue[OB_VNET_MAX_QUEUES];
};
static_assert(offsetof(struct vnet_state, ctrl) == 48, "arena layout");
static_assert(sizeof(struct ob_vif_filter) == 1304, "arena layout");
static_assert(sizeof(struct ob_vif_steering) == 312, "arena layout");
static_assert(sizeof(struct vnet_state) == 3000, "arena layout");

struct event;

struct ob_vnet {
	struct ob_vnet_conf conf;
	char name[OB_VIF_NAME_MAX], path[OB_VNET_PATH_MAX], region[OB_ARENA_NAME_MAX];
	const struct ob_vnet_transport *tr;
	void *tr_ctx;
	struct ob_gmem *gm;
	struct ob_vif *vif;
	struct vnet_state *st; /* in the arena */
	uint64_t offered;
	uint16_t n_queues;
	struct ob_virtq *ctrl;		     /* while it runs */
	uint16_t ctrl_idx;		     /* its number while it runs */
	struct event *ctrl_again;	     /* more commands than one turn handles */
	uint8_t running[OB_VNET_MAX_QUEUES]; /* enum vnet_role */
	bool broken[OB_VNET_MAX_QUEUES];
	uint64_t n_resets, n_needs_reset, n_kicks, n_bad_kicks, n_ctrl, n_ctrl_err;
	time_t log_s; /* lines logged count as seconds passed */
};

enum vnet_role { VNET_Q_NONE, VNET_Q_DATA, VNET_Q_CTRL };

extern int vnet_logtype;
#define vnet_log(level, vn, fmt, ...) \
	rte_log(RTE_LOG_##level, (uint32_t)vnet_logtype, "%s: " fmt "\n", (vn)->name, ##__VA_ARGS__)
/* True once a second and function, with a burst of ten: for what a guest can trigger. */
bool vnet_may_log(struct ob_vnet *vn);

static inline bool vnet_has(const struct ob_vnet *vn, unsigned bit)
{
	return (vn->st->negotiated >> bit) & 1;
}

/* features.c */
uint64_t vnet_features_offer(const struct ob_vnet_conf *conf, const struct ob_vnet_transport *tr);
bool vnet_features_valid(const struct ob_vnet *vn, uint64_t features);

/* config.c: the device configuration space (5.1.4). */
void vnet_config_read(const struct ob_vnet *vn, uint64_t off, void *buf, size_t len);

/* vnet.c */
enum vnet_role vnet_queue_role(const struct ob_vnet *vn, unsigned q);
uint16_t vnet_queue_max(const struct ob_vnet *vn, unsigned q);
void vnet_needs_reset(struct ob_vnet *vn, const char *why);
void vnet_config_changed(struct ob_vnet *vn);
void vnet_queue_defaults(struct ob_vnet *vn, unsigned q);

/* ctrl.c: the control queue (5.1.6.5). */
int vnet_ctrl_start(struct ob_vnet *vn, const struct ob_virtq_conf *conf, bool resume);
void vnet_ctrl_stop(struct ob_vnet *vn);
void vnet_ctrl_run(struct ob_vnet *vn);
void vnet_ctrl_defaults(struct ob_vnet *vn);

/* regs.c: the PCI structures of 4.1.4.3 to 4.1.4.6, without PCI. */
void vnet_common_read(struct ob_vnet *vn, uint64_t off, void *buf, size_t len);
void vnet_common_write(struct ob_vnet *vn, uint64_t off, const void *buf, size_t len);
uint8_t vnet_isr_take(struct ob_vnet *vn);
void vnet_notify_write(struct ob_vnet *vn, const void *buf, size_t len);
