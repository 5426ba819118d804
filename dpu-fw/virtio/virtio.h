/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of dpu-fw/virtio: a function of any type, and what a type has to say. */
#pragma once

#include <time.h>

#include <linux/virtio_config.h>

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

#define VIRTIO_BIT(b)	     (UINT64_C(1) << (b))
#define VIRTIO_NO_VECTOR     0xffff
#define VIRTIO_QUEUE_DEFAULT 256
#define VIRTIO_QUEUE_MIN     64

/* What a successor needs to go on serving the same driver, in the arena: the first member of each type's own state. Main
 * thread only. */
struct virtio_state {
	uint64_t driver_features; /* as the driver wrote them */
	uint64_t negotiated;	  /* fixed at FEATURES_OK, 0 before */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t pci_command;
	uint8_t status, isr, generation, dma, features_ok;
	uint8_t reserved[5];
	struct ob_virtio_queue queue[OB_VIRTIO_MAX_QUEUES];
};
static_assert(offsetof(struct virtio_state, queue) == 40, "arena layout");
static_assert(sizeof(struct virtio_state) == 2600, "arena layout");

struct virtio_feature {
	uint8_t bit;
	const char *name;
	uint64_t needs_any; /* one of these must be negotiated too; 0: none */
};

/* A device type. All on the main thread. */
struct virtio_type {
	const char *region;    /* of the arena: "<region>.<name>" */
	uint32_t state_layout; /* of that region */
	uint32_t state_bytes;  /* with struct virtio_state first */
	uint16_t device_id;    /* virtio 1.2, 5 */
	uint16_t subsys_id;
	uint32_t pci_class;
	uint32_t config_bytes; /* of the device configuration space */
	const char *vpd_part, *vpd_ident;
	const struct virtio_feature *features; /* of the type; the ring's are everybody's */
	unsigned n_features;
	/* Largest size of queue 'q' with the features as they stand; 0: there is no such queue. */
	uint16_t (*queue_max)(const struct ob_virtio *v, unsigned q);
	/* As ob_vif_start_queue. */
	int (*queue_start)(struct ob_virtio *v, unsigned q, const struct ob_virtq_conf *conf,
	    bool resume, int32_t start_idx);
	/* 'last': the ring is not gone on with (reset). */
	int32_t (*queue_stop)(struct ob_virtio *v, unsigned q, bool last);
	void (*queue_irq)(struct ob_virtio *v, unsigned q); /* its interrupt changed */
	void (*queue_kick)(struct ob_virtio *v, unsigned q);
	void (*config_read)(const struct ob_virtio *v, void *config); /* all config_bytes */
	/* NULL: read-only. The range lies inside of the space. */
	void (*config_write)(struct ob_virtio *v, uint64_t off, const uint8_t *buf, size_t len);
	void (*negotiated)(struct ob_virtio *v); /* the features are fixed now */
	void (*reset)(struct ob_virtio *v);
	void (*dma_changed)(struct ob_virtio *v); /* queues that run look again */
	void (*fini)(struct ob_virtio *v);	  /* frees what is the type's, not the function */
};

/* The first member of each type's object. */
struct ob_virtio {
	const struct virtio_type *type;
	char name[OB_VIRTIO_NAME_MAX], path[OB_VIRTIO_PATH_MAX], region[OB_ARENA_NAME_MAX];
	struct event_base *base;
	struct ob_arena *arena;
	const struct ob_virtio_transport *tr;
	void *tr_ctx;
	struct ob_gmem *gm;
	struct virtio_state *st; /* in the arena */
	uint64_t offered;
	uint64_t
	    own; /* features that are satisfied without being offered: the peer has them itself */
	uint16_t n_queues;
	bool running[OB_VIRTIO_MAX_QUEUES], broken[OB_VIRTIO_MAX_QUEUES];
	uint64_t n_resets, n_needs_reset, n_kicks, n_bad_kicks;
	time_t log_s; /* lines logged count as seconds passed */
};

extern int virtio_logtype;
#define virtio_log(level, v, fmt, ...) \
	rte_log(                       \
	    RTE_LOG_##level, (uint32_t)virtio_logtype, "%s: " fmt "\n", (v)->name, ##__VA_ARGS__)
/* True once a second and function, with a burst of ten: for what a guest can trigger. */
bool virtio_may_log(struct ob_virtio *v);

static inline bool virtio_has(const struct ob_virtio *v, unsigned bit)
{
	return (v->st->negotiated >> bit) & 1;
}

/* The features that the driver has in mind: before FEATURES_OK its own word counts, so that queue_size reads right while it looks around. */
static inline uint64_t virtio_features(const struct ob_virtio *v)
{
	return v->st->features_ok ? v->st->negotiated : v->st->driver_features & v->offered;
}

/* virtio.c: for types. */

struct virtio_conf {
	const char *name, *path;
	struct event_base *base;
	struct ob_arena *arena;
	void (*sync)(void *ctx); /* of gmem; 'ctx' is the function */
	uint16_t n_queues;
};
bool virtio_conf_valid(const struct virtio_conf *c);
bool virtio_queue_size_valid(uint16_t size);
/* Makes gmem and state; 'v' is zeroed memory, its first reset is still to come. Returns 0; as ob_gmem_create, ob_arena_region. */
int virtio_init(struct ob_virtio *v, const struct virtio_type *type, const struct virtio_conf *c,
    const struct ob_virtio_transport *tr, void *ctx);
/* Undoes virtio_init; frees nothing. */
void virtio_fini(struct ob_virtio *v);
void virtio_reset(struct ob_virtio *v);
/* As ob_virtio_stop_queue of a ring that the driver resets: nothing of it is completed any more. */
void virtio_drop_queue(struct ob_virtio *v, unsigned q);
void virtio_needs_reset(struct ob_virtio *v, const char *why);
void virtio_config_changed(struct ob_virtio *v);
void virtio_queue_defaults(struct ob_virtio *v, unsigned q);
static inline uint16_t virtio_queue_max(const struct ob_virtio *v, unsigned q)
{
	return q < v->n_queues ? v->type->queue_max(v, q) : 0;
}

/* features.c */
/* All that the type and the rings know but 'off', and what depends on it. */
uint64_t virtio_features_offer(const struct ob_virtio *v, uint64_t off);
bool virtio_features_valid(const struct ob_virtio *v, uint64_t features);
const char *virtio_feature_name(const struct virtio_feature *own, unsigned n, unsigned bit);

/* regs.c: the PCI structures of 4.1.4.3 to 4.1.4.6, without PCI. */
void virtio_common_read(struct ob_virtio *v, uint64_t off, void *buf, size_t len);
void virtio_common_write(struct ob_virtio *v, uint64_t off, const void *buf, size_t len);
uint8_t virtio_isr_take(struct ob_virtio *v);
void virtio_notify_write(struct ob_virtio *v, const void *buf, size_t len);

/* pci.c: the transport over vfio-user. */
struct virtio_pci;
extern const struct ob_virtio_transport virtio_pci_transport;
struct virtio_pci *virtio_pci_new(void); /* NULL: -ENOMEM */
/* Listens; 'v' was created on the transport with 'p' as its context. Returns as ob_vfu_create. */
int virtio_pci_start(struct virtio_pci *p, struct ob_virtio *v, const char *serial);
