/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtio-blk functions as the card runs them, rings on workers.
 *
 *   blk_target DIR
 *
 *   pci.sock     vfio-user,  RAM of 16 MiB, 512-byte blocks, 4 queues
 *   vhost.sock   vhost-user, the same RAM
 *   slow.sock    vfio-user, other RAM at most SLOW_IOPS a second: I/O that waits
 *   slowv.sock   the same over vhost-user
 *   ro.sock      vfio-user, the first RAM, read only
 *
 * Prints "ready" once it serves. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "ob_arena.h"
#include "ob_block.h"
#include "ob_vblk.h"
#include "ob_vhost.h"
#include "ob_virtio.h"
#include "ob_worker.h"

#include "../target.h"

#define RAM_BYTES (16ull << 20)
#define SLOW_IOPS 50
#define N_FN	  5

struct target {
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_blk *ram, *other, *slow;
	struct ob_virtio_blk *fn[N_FN];
};

static int make_disks(struct target *t)
{
	struct ob_blk_qos_conf limit = {
	    .rate[OB_BLK_QOS_IOPS] = SLOW_IOPS, .burst[OB_BLK_QOS_IOPS] = 1};
	char err[128] = "";
	int rc;

	rc = ob_blk_ram_create("ram", RAM_BYTES, 512, &t->ram, err, sizeof(err));
	if (rc == 0)
		rc = ob_blk_ram_create("other", RAM_BYTES, 512, &t->other, err, sizeof(err));
	if (rc == 0)
		rc = ob_blk_qos_create("slow", t->other, &limit, &t->slow, err, sizeof(err));
	if (rc < 0)
		fprintf(stderr, "blk_target: %s\n", err);
	return rc;
}

static int make_functions(struct target *t, const char *dir)
{
	static const struct {
		const char *name;
		bool vhost, slow, read_only;
	} fn[N_FN] = {
	    {"pci", false, false, false},
	    {"vhost", true, false, false},
	    {"slow", false, true, false},
	    {"slowv", true, true, false},
	    {"ro", false, false, true},
	};
	char path[OB_VIRTIO_BLK_PATH_MAX];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < N_FN; i++) {
		struct ob_virtio_blk_conf conf = {.name = fn[i].name,
		    .path = path,
		    .base = t->base,
		    .arena = t->arena,
		    .blk = fn[i].slow ? t->slow : t->ram,
		    .n_queues = 4,
		    .packed = true,
		    .read_only = fn[i].read_only,
		    .id = "conformance-disk",
		    .serial = "CONFORMANCE"};

		snprintf(path, sizeof(path), "%s/%s.sock", dir, fn[i].name);
		rc = fn[i].vhost ? ob_vhost_blk_create(&conf, OB_VHOST_LISTEN, &t->fn[i])
				 : ob_virtio_blk_create(&conf, &t->fn[i]);
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct target t;
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 2;
	}
	rc = target_start("blk-target", &t.base, &t.arena);
	if (rc == 0)
		rc = make_disks(&t);
	if (rc == 0)
		rc = make_functions(&t, argv[1]);
	if (rc < 0) {
		fprintf(stderr, "blk_target: %s\n", strerror(-rc));
		return 1;
	}
	target_serve(t.base, ob_vblk_event_fd(), ob_vblk_poll_events);
	for (unsigned i = 0; i < N_FN; i++)
		ob_virtio_blk_destroy(t.fn[i]);
	ob_blk_put(t.slow);
	ob_blk_put(t.other);
	ob_blk_put(t.ram);
	ob_workers_stop();
	ob_arena_destroy(t.arena);
	event_base_free(t.base);
	return 0;
}
