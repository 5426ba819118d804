/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_vblk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vblk_int.h"

static struct ob_vblk *vblks; /* control's */
static int event_fd = -1;
static unsigned next_worker;

/* ---- life ---- */

static void region_name(char name[OB_ARENA_NAME_MAX], const struct ob_vblk_conf *conf)
{
	snprintf(name, OB_ARENA_NAME_MAX, "vblk.%s", conf->name);
}

static bool conf_valid(const struct ob_vblk_conf *c)
{
	return c->gm != NULL && c->arena != NULL && c->blk != NULL && c->n_queues >= 1 &&
	       c->n_queues <= OB_VBLK_MAX_QUEUES && c->queue_size >= 1 &&
	       c->queue_size <= OB_VIRTQ_MAX_SIZE && c->name[0] != '\0' &&
	       memchr(c->name, '\0', sizeof(c->name)) != NULL;
}

static bool name_taken(const char *name)
{
	for (const struct ob_vblk *vb = vblks; vb != NULL; vb = vb->next)
		if (strcmp(vb->conf.name, name) == 0)
			return true;
	return false;
}

int ob_vblk_create(const struct ob_vblk_conf *conf, struct ob_vblk **out)
{
	char region[OB_ARENA_NAME_MAX];
	struct ob_blk_info info;
	struct ob_vblk *vb;
	size_t queues, journal;
	void *p;
	bool fresh;
	int rc;

	if (!conf_valid(conf))
		return -EINVAL;
	if (name_taken(conf->name))
		return -EEXIST;
	rc = ob_vblk_event_fd();
	if (rc < 0)
		return rc;
	vb = calloc(1, sizeof(*vb));
	if (vb == NULL)
		return -ENOMEM;
	queues = conf->n_queues * sizeof(*vb->arena);
	journal = (size_t)conf->n_queues * conf->queue_size * sizeof(*vb->journal);
	region_name(region, conf);
	rc = ob_arena_region(conf->arena, region, VBLK_ARENA_LAYOUT, queues + journal, &p, &fresh);
	if (rc != 0) {
		free(vb);
		return rc;
	}
	vb->conf = *conf;
	vb->arena = p;
	vb->journal = (union vblk_entry *)(void *)((uint8_t *)p + queues);
	vb->conf.blk = ob_blk_get(conf->blk);
	ob_blk_info(vb->conf.blk, &info);
	vb->block_bytes = info.block_bytes;
	vb->volatile_cache = info.volatile_cache;
	vb->conf.read_only |= info.read_only;
	vb->writeback = 1;
	vb->first_worker = next_worker++;
	for (unsigned q = 0; q < OB_VBLK_MAX_QUEUES; q++)
		vb->queue_worker[q] = -1;
	vb->next = vblks;
	vblks = vb;
	*out = vb;
	return 0;
}

void ob_vblk_destroy(struct ob_vblk *vb)
{
	char region[OB_ARENA_NAME_MAX];

	if (vb == NULL)
		return;
	for (unsigned q = 0; q < OB_VBLK_MAX_QUEUES; q++)
		ob_vblk_stop_queue(vb, q, OB_VBLK_STOP_DROP);
	for (struct ob_vblk **p = &vblks; *p != NULL; p = &(*p)->next) {
		if (*p == vb) {
			*p = vb->next;
			break;
		}
	}
	region_name(region, &vb->conf);
	ob_arena_del_region(vb->conf.arena, region);
	ob_blk_put(vb->conf.blk);
	free(vb);
}

/* ---- settings ---- */

/* 5.2.6.2: which writes are stable when they complete. A device without a volatile cache does it anyway. */
static void fua_update(struct ob_vblk *vb)
{
	bool wce = vb->features >> VIRTIO_BLK_F_CONFIG_WCE & 1;
	bool flush = vb->features >> VIRTIO_BLK_F_FLUSH & 1;
	bool through = wce ? !vb->writeback : !flush;

	__atomic_store_n(&vb->fua, through && vb->volatile_cache, __ATOMIC_RELAXED);
}

void ob_vblk_set_features(struct ob_vblk *vb, uint64_t features)
{
	vb->features = features;
	fua_update(vb);
}

void ob_vblk_set_writeback(struct ob_vblk *vb, bool on)
{
	vb->writeback = on;
	fua_update(vb);
}

/* ---- events and counters ---- */

void vblk_queue_broke(struct vblk_queue *q)
{
	const uint64_t one = 1;
	ssize_t n;

	if (q->reported)
		return;
	q->reported = true;
	vblk_count(&q->counters->n_broken, 1);
	/* Pairs with the acquire of ob_vblk_poll_events. */
	__atomic_fetch_or(&q->sh->vb->broken, UINT64_C(1) << q->q, __ATOMIC_RELEASE);
	n = write(event_fd, &one, sizeof(one));
	(void)n; /* full: it is readable, which is all that counts */
}

void ob_vblk_set_on_broken(struct ob_vblk *vb, void (*fn)(void *ctx, unsigned q), void *ctx)
{
	vb->on_broken = fn;
	vb->on_broken_ctx = ctx;
}

int ob_vblk_event_fd(void)
{
	if (event_fd < 0)
		event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return event_fd >= 0 ? event_fd : -errno;
}

unsigned ob_vblk_poll_events(void)
{
	struct ob_vblk *vb;
	uint64_t count;
	unsigned n = 0;

	if (event_fd < 0 || read(event_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return 0;
	for (vb = vblks; vb != NULL;) {
		uint64_t broken = __atomic_load_n(&vb->broken, __ATOMIC_ACQUIRE);
		unsigned q;

		if (broken == 0) {
			vb = vb->next;
			continue;
		}
		q = (unsigned)__builtin_ctzll(broken);
		__atomic_fetch_and(&vb->broken, ~(UINT64_C(1) << q), __ATOMIC_RELAXED);
		n++;
		if (vb->on_broken != NULL)
			vb->on_broken(vb->on_broken_ctx, q);
		/* The handler may have destroyed this or any other one. */
		vb = vblks;
	}
	return n;
}

int ob_vblk_queue_counters(const struct ob_vblk *vb, unsigned q, struct ob_vblk_queue_counters *out)
{
	const uint64_t *from;
	uint64_t *to = (uint64_t *)out;

	memset(out, 0, sizeof(*out));
	if (q >= vb->conf.n_queues)
		return -ENOENT;
	from = (const uint64_t *)&vb->arena[q].counters;
	for (unsigned i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	return 0;
}
