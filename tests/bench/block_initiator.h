/* SPDX-License-Identifier: BSD-3-Clause */
/* What the initiator drives: one queue of something that takes block I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BB_MAX_QD    256u
#define BB_MAX_BYTES (1u << 20)

struct bb_conf {
	const char *kind, *path;
	unsigned qd;
	uint32_t nsid;
	uint32_t bytes; /* of one I/O */
	uint64_t span;	/* offsets lie in [0, span) */
	double seconds;
	int pid; /* of the target; 0: this thread */
	bool write, stamp, check, packed, event_idx, no_shadow;
	bool sleeps; /* null, ram, ...: waits for completions asleep */
};

/* Slots are 0 .. qd - 1; data of a slot is at data + slot * conf.bytes. */
struct bb_dev {
	uint64_t bytes; /* capacity */
	uint8_t *data;
	unsigned n_under_way;
	int (*queue)(struct bb_dev *dev, unsigned slot, bool write, uint64_t off);
	/* Tells the device of what was queued. */
	int (*flush)(struct bb_dev *dev);
	/* Takes up to 64 completions. */
	unsigned (*reap)(struct bb_dev *dev, unsigned slot[64], bool ok[64]);
	void (*close)(struct bb_dev *dev);
	uint64_t (*bells)(const struct bb_dev *dev); /* doorbells that cost a message; NULL: none */
	void *ctx;
};

int bb_nvme_open(struct bb_dev *dev, const struct bb_conf *conf);
int bb_virtio_open(struct bb_dev *dev, const struct bb_conf *conf);
int bb_local_open(struct bb_dev *dev, const struct bb_conf *conf);

uint64_t bb_now_ns(void);
/* Time that all threads of a process were on a CPU; 0: of the calling thread. */
uint64_t bb_cpu_ns(int pid);
