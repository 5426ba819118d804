/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads from rte_vhost what the peer has told it. On rte_vhost's own thread, where nothing of it changes meanwhile. */
#include "vhost_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ob_irq.h"

#define PROTOCOL_FEATURES_BIT \
	30 /* VHOST_USER_F_PROTOCOL_FEATURES: about the protocol, not the device */

static void take_regions(
    const struct ob_vhost *vh, struct vhost_snapshot *s, struct rte_vhost_memory **mem)
{
	/* It does not check by itself whether there is a table. */
	if (!vh->has_memory || rte_vhost_get_mem_table(vh->vid, mem) != 0) {
		*mem = NULL;
		return;
	}
	for (uint32_t i = 0; i < (*mem)->nregions && i < VHOST_MAX_REGIONS; i++) {
		const struct rte_vhost_mem_region *r = &(*mem)->regions[i];

		s->region[s->n_regions++] = (struct vhost_region){
		    .gpa = r->guest_phys_addr,
		    .len = r->size,
		    .fd = r->fd,
		    .fd_off = r->host_user_addr - (uint64_t)(uintptr_t)r->mmap_addr,
		};
	}
}

/* rte_vhost gives its own addresses of the rings; gmem works with the guest's. */
static bool to_gpa(const struct rte_vhost_memory *mem, const void *hva, uint64_t *gpa)
{
	uint64_t addr = (uint64_t)(uintptr_t)hva;

	for (uint32_t i = 0; hva != NULL && i < mem->nregions; i++) {
		const struct rte_vhost_mem_region *r = &mem->regions[i];

		if (addr >= r->host_user_addr && addr - r->host_user_addr < r->size) {
			*gpa = addr - r->host_user_addr + r->guest_phys_addr;
			return true;
		}
	}
	return false;
}

static int dup_eventfd(int fd)
{
	return fd >= 0 && ob_irq_is_eventfd(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

static void take_ring(int vid, unsigned q, const struct rte_vhost_memory *mem, struct vhost_ring *r)
{
	struct rte_vhost_vring v = {0};
	uint16_t avail, used;

	/* 'desc', 'avail', 'used' share their storage with the packed ring's three areas. */
	if (rte_vhost_get_vhost_vring(vid, (uint16_t)q, &v) != 0 ||
	    rte_vhost_get_vring_base(vid, (uint16_t)q, &avail, &used) != 0 ||
	    !to_gpa(mem, v.desc, &r->desc) || !to_gpa(mem, v.avail, &r->driver) ||
	    !to_gpa(mem, v.used, &r->device))
		return;
	r->size = v.size;
	r->base = avail;
	r->kick_fd = dup_eventfd(v.kickfd);
	r->call_fd = dup_eventfd(v.callfd);
	r->on = true;
}

void vhost_snapshot_take(const struct ob_vhost *vh, struct vhost_snapshot *s)
{
	struct rte_vhost_memory *mem = NULL;

	*s = (struct vhost_snapshot){.running = vh->running};
	for (unsigned q = 0; q < VHOST_MAX_RINGS; q++)
		s->ring[q] = (struct vhost_ring){.base = -1, .kick_fd = -1, .call_fd = -1};
	if (rte_vhost_get_negotiated_features(vh->vid, &s->features) != 0)
		s->running = false;
	s->features &= ~(UINT64_C(1) << PROTOCOL_FEATURES_BIT);
	take_regions(vh, s, &mem);
	for (unsigned q = 0; s->running && mem != NULL && q < VHOST_MAX_RINGS; q++)
		if (vh->on[q])
			take_ring(vh->vid, q, mem, &s->ring[q]);
	free(mem);
}

void vhost_snapshot_bases(const struct ob_vhost *vh, const struct vhost_snapshot *s)
{
	for (unsigned q = 0; q < VHOST_MAX_RINGS; q++)
		if (!s->ring[q].on && s->ring[q].base >= 0)
			rte_vhost_set_vring_base(vh->vid, (uint16_t)q, (uint16_t)s->ring[q].base,
			    (uint16_t)s->ring[q].base);
}

void vhost_snapshot_drop(struct vhost_snapshot *s)
{
	for (unsigned q = 0; q < VHOST_MAX_RINGS; q++) {
		if (s->ring[q].kick_fd >= 0)
			close(s->ring[q].kick_fd);
		if (s->ring[q].call_fd >= 0)
			close(s->ring[q].call_fd);
		s->ring[q].kick_fd = s->ring[q].call_fd = -1;
	}
}
