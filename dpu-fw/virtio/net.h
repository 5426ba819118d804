/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of dpu-fw/virtio: the network type. */
#pragma once

#include <linux/virtio_net.h>

#include "virtio.h"

#define VNET_CTRL_SIZE	  64 /* descriptors of the control queue */
#define VNET_STATE_LAYOUT 2

/* Region "vnet.<name>". */
struct vnet_state {
	struct virtio_state v;
	uint16_t net_status; /* VIRTIO_NET_S_* */
	uint8_t mac[6];	     /* the driver may change it */
	struct ob_virtq_state ctrl;
	struct ob_vif_filter filter;
	struct ob_vif_steering steering;
};
static_assert(offsetof(struct vnet_state, ctrl) == 2608, "arena layout");
static_assert(sizeof(struct ob_vif_filter) == 1304, "arena layout");
static_assert(sizeof(struct ob_vif_steering) == 312, "arena layout");
static_assert(sizeof(struct vnet_state) == 4240, "arena layout");

struct event;

struct ob_vnet {
	struct ob_virtio v;
	struct ob_vnet_conf conf; /* its pointers are dead */
	struct ob_vif *vif;
	struct ob_virtq *ctrl;	  /* while it runs */
	uint16_t ctrl_idx;	  /* its number while it runs */
	struct event *ctrl_again; /* more commands than one turn handles */
	uint64_t n_ctrl, n_ctrl_err;
};

enum vnet_role { VNET_Q_NONE, VNET_Q_DATA, VNET_Q_CTRL };

static inline struct vnet_state *vnet_state(const struct ob_vnet *vn)
{
	/* The first member of what the region holds. */
	return (struct vnet_state *)vn->v.st;
}

/* Whether 'q' is the control queue that runs now. */
static inline bool vnet_is_ctrl(const struct ob_vnet *vn, unsigned q)
{
	return vn->ctrl != NULL && q == vn->ctrl_idx;
}

/* net.c */
enum vnet_role vnet_queue_role(const struct ob_vnet *vn, unsigned q);

/* ctrl.c: the control queue (5.1.6.5). */
int vnet_ctrl_start(struct ob_vnet *vn, const struct ob_virtq_conf *conf, bool resume);
void vnet_ctrl_stop(struct ob_vnet *vn);
void vnet_ctrl_run(struct ob_vnet *vn);
void vnet_ctrl_defaults(struct ob_vnet *vn);
