/* SPDX-License-Identifier: BSD-3-Clause */
/* Two NVMe controllers of one subsystem, as the card would run them: registers and admin queue on this thread, I/O on workers.
 *
 *   nvme_target DIR [--page]       sockets DIR/a.sock and DIR/b.sock; --page: doorbells in a mapped page
 *
 *   nsid 1  RAM, 512-byte blocks, in both controllers
 *   nsid 2  the same kind, at most SLOW_IOPS a second: I/O that waits
 *   nsid 3  null, 4096-byte blocks, in a only
 *
 * The host may create namespaces (RAM) and delete those, download and commit firmware ("OBFW" is what a good image begins with), and
 * erase nsid 1 cryptographically. Prints "ready" once it serves. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ob_arena.h"
#include "ob_block.h"
#include "ob_nvme.h"
#include "ob_nvmeq.h"
#include "ob_worker.h"

#include "../target.h"

#define POOL_BYTES (256ull << 20)
#define RAM_BYTES  (16ull << 20)
#define SLOW_IOPS  50
#define N_OWN	   8

struct target {
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_nvme *ctrl[2];
	struct ob_nvme_ns *ns[3];
	struct ob_nvme_ns *own[N_OWN]; /* that the host made */
	uint64_t used;
	uint32_t next_uuid;
};

static int make_ns(
    struct target *t, struct ob_blk *blk, const char *name, uint32_t lba, struct ob_nvme_ns **out)
{
	struct ob_nvme_ns_conf conf = {.blk = blk, .lba_bytes = lba, .ana_group = 1};
	uint32_t n = ++t->next_uuid;

	snprintf(conf.name, sizeof(conf.name), "%s", name);
	memset(conf.uuid, 0x0b, sizeof(conf.uuid));
	memset(conf.nguid, 0x0c, sizeof(conf.nguid));
	memcpy(conf.uuid, &n, sizeof(n));
	memcpy(conf.nguid, &n, sizeof(n));
	return ob_nvme_ns_create(&conf, out);
}

static int ns_create(
    void *ctx, uint64_t blocks, uint32_t block_bytes, bool shared, struct ob_nvme_ns **ns)
{
	struct target *t = ctx;
	struct ob_blk *blk;
	char err[128], name[32];
	unsigned i = 0;
	int rc;

	(void)shared;
	while (i < N_OWN && t->own[i] != NULL)
		i++;
	if (i == N_OWN || blocks > (POOL_BYTES - t->used) / block_bytes)
		return -ENOSPC;
	if (blocks == 0)
		return -EINVAL;
	snprintf(name, sizeof(name), "own%u", i);
	rc = ob_blk_ram_create(name, blocks * block_bytes, block_bytes, &blk, err, sizeof(err));
	if (rc < 0)
		return rc;
	rc = make_ns(t, blk, name, block_bytes, ns);
	ob_blk_put(blk);
	if (rc == 0) {
		t->own[i] = *ns;
		t->used += blocks * block_bytes;
	}
	return rc;
}

static int ns_delete(void *ctx, struct ob_nvme_ns *ns)
{
	struct target *t = ctx;
	struct ob_nvme_ns_info info;

	for (unsigned i = 0; i < N_OWN; i++) {
		if (t->own[i] != ns)
			continue;
		ob_nvme_ns_info(ns, &info);
		t->used -= info.n_lbas * info.lba_bytes;
		t->own[i] = NULL;
		return 0;
	}
	return -EPERM;
}

static void capacity(void *ctx, uint64_t *total, uint64_t *unallocated)
{
	const struct target *t = ctx;

	*total = POOL_BYTES;
	*unallocated = POOL_BYTES - t->used;
}

static int crypto_erase(void *ctx, struct ob_nvme_ns *ns)
{
	const struct target *t = ctx;

	return ns == t->ns[0] ? 0 : -ENOTSUP;
}

static int update(void *ctx, const void *image, size_t len, unsigned slot, bool now)
{
	(void)ctx;
	(void)slot;
	(void)now;
	return len >= 4 && memcmp(image, "OBFW", 4) == 0 ? 0 : -EINVAL;
}

static const struct ob_nvme_hooks hooks = {
    .update = update,
    .ns_create = ns_create,
    .ns_delete = ns_delete,
    .capacity = capacity,
    .crypto_erase = crypto_erase,
};

static int make_namespaces(struct target *t)
{
	struct ob_blk_qos_conf slow = {
	    .rate[OB_BLK_QOS_IOPS] = SLOW_IOPS, .burst[OB_BLK_QOS_IOPS] = 1};
	struct ob_blk *ram, *fast, *limited = NULL, *null = NULL;
	char err[128] = "";
	int rc;

	rc = ob_blk_ram_create("ram", RAM_BYTES, 512, &ram, err, sizeof(err));
	if (rc == 0)
		rc = ob_blk_ram_create("fast", RAM_BYTES, 512, &fast, err, sizeof(err));
	if (rc == 0)
		rc = ob_blk_qos_create("slow", fast, &slow, &limited, err, sizeof(err));
	if (rc == 0)
		rc = ob_blk_null_create("null", 1ull << 30, 4096, &null, err, sizeof(err));
	if (rc < 0) {
		fprintf(stderr, "nvme_target: %s\n", err);
		return rc;
	}
	rc = make_ns(t, ram, "ram", 512, &t->ns[0]);
	if (rc == 0)
		rc = make_ns(t, limited, "slow", 512, &t->ns[1]);
	if (rc == 0)
		rc = make_ns(t, null, "null", 4096, &t->ns[2]);
	return rc;
}

static int make_controllers(struct target *t, const char *dir, bool page)
{
	char path[OB_NVME_PATH_MAX];
	struct ob_nvme_conf conf = {.path = path,
	    .base = t->base,
	    .arena = t->arena,
	    .serial = "CONFORMANCE",
	    .subnqn = "nqn.2024-01.example.outboard:conformance",
	    .cntlid = OB_NVME_CNTLID_AUTO,
	    .n_qpairs = 64,
	    .doorbell_page = page,
	    .hooks = &hooks,
	    .hooks_ctx = t};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 2; i++) {
		conf.name = i == 0 ? "a" : "b";
		snprintf(path, sizeof(path), "%s/%s.sock", dir, conf.name);
		rc = ob_nvme_create(&conf, &t->ctrl[i]);
		for (uint32_t n = 0; rc == 0 && n < (i == 0 ? 3u : 2u); n++) {
			uint32_t nsid = n + 1;

			rc = ob_nvme_add_ns(t->ctrl[i], &nsid, t->ns[n]);
		}
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct target t;
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIR [--page]\n", argv[0]);
		return 2;
	}
	rc = target_start("nvme-target", &t.base, &t.arena);
	if (rc == 0)
		rc = make_namespaces(&t);
	if (rc == 0)
		rc = make_controllers(&t, argv[1], argc > 2 && strcmp(argv[2], "--page") == 0);
	if (rc < 0) {
		fprintf(stderr, "nvme_target: %s\n", strerror(-rc));
		return 1;
	}
	target_serve(t.base, ob_nvmeq_event_fd(), ob_nvmeq_poll_events);
	for (unsigned i = 0; i < 2; i++)
		ob_nvme_destroy(t.ctrl[i]);
	for (unsigned i = 0; i < 3; i++)
		ob_nvme_ns_put(t.ns[i]);
	ob_workers_stop();
	ob_arena_destroy(t.arena);
	event_base_free(t.base);
	return 0;
}
