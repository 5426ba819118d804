/* SPDX-License-Identifier: BSD-3-Clause */
/* Volumes for the tests of this folder: records, a folder for files, and I/O that waits. */
#pragma once

#include "test_card.h"

#include <liburing.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ob_block.h"

static char folder[64], file_a[96], key_path[96];

static inline int volume_setup(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/ob-volume-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(file_a, sizeof(file_a), "%s/a.img", folder);
	snprintf(key_path, sizeof(key_path), "%s/keys", folder);
	card_key_file = key_path;
	return setup(state);
}

static inline int volume_teardown(void **state)
{
	char path[128];
	int rc = teardown(state);

	snprintf(path, sizeof(path), "%s.c0.rekey", file_a);
	unlink(path);
	unlink(file_a);
	unlink(key_path);
	assert_int_equal(rmdir(folder), 0); /* nothing else was left behind */
	return rc;
}

static inline struct ob_bus_volume volume(const char *name, uint8_t kind, uint64_t bytes)
{
	struct ob_bus_volume r = {.kind = kind, .bytes = bytes};

	snprintf(r.name, sizeof(r.name), "%s", name);
	return r;
}

/* Emulators and some containers have none; valgrind does not see what it writes into a buffer, and calls it uninitialised. */
static inline void need_io_uring(void)
{
	struct io_uring ring;

	if (getenv("OB_VALGRIND") != NULL || io_uring_queue_init(4, &ring, 0) < 0)
		skip();
	io_uring_queue_exit(&ring);
}

static inline struct ob_bus_volume file_volume(const char *name, uint64_t bytes)
{
	struct ob_bus_volume r = volume(name, OB_BUS_VOL_FILE, bytes);

	need_io_uring();
	/* Temporary folders may lie where O_DIRECT is not known. */
	r.cache = 2;
	snprintf(r.path, sizeof(r.path), "%s", file_a);
	return r;
}

static inline struct ob_bus_volume layer(const char *name, uint8_t kind, const char *on)
{
	struct ob_bus_volume r = volume(name, kind, 0);

	r.n_on = 1;
	snprintf(r.on[0], sizeof(r.on[0]), "%s", on);
	return r;
}

static inline struct ob_bus_volume crypt_volume(const char *name, const char *on, uint8_t seed)
{
	struct ob_bus_volume r = layer(name, OB_BUS_VOL_CRYPT, on);

	r.key.use = OB_BUS_KEY_GIVEN;
	r.key.len = 64;
	for (unsigned i = 0; i < 64; i++)
		r.key.bytes[i] = (uint8_t)(seed + 3 * i);
	return r;
}

static inline struct ob_bus_volume shown_volume(const char *name)
{
	struct ob_bus_volume want = volume(name, 0, 0), r;

	assert_int_equal(list(OB_BUS_VOLUME, &want, sizeof(want), &r, sizeof(r)), 1);
	return r;
}

static inline struct ob_bus_function disk(const char *name, uint8_t type, const char *vol)
{
	struct ob_bus_function r = {.type = type, .transport = OB_BUS_VFIO_USER};

	snprintf(r.name, sizeof(r.name), "%s", name);
	snprintf(r.volume, sizeof(r.volume), "%s", vol);
	return r;
}

static inline struct ob_bus_namespace ns(const char *fn, uint32_t nsid, const char *vol)
{
	struct ob_bus_namespace r = {.nsid = nsid};

	snprintf(r.function, sizeof(r.function), "%s", fn);
	snprintf(r.volume, sizeof(r.volume), "%s", vol);
	return r;
}

static inline void io_done(struct ob_blk_io *io)
{
	*(bool *)io->owner = true;
}

/* One I/O of 4096 bytes at 'off', to its end. */
static inline int do_io(struct ob_blk *b, enum ob_blk_op op, uint64_t off, void *buf)
{
	static _Alignas(4096) uint8_t page[4096];
	struct iovec iov = {page, sizeof(page)};
	bool done = false;
	struct ob_blk_io io = {.op = (uint8_t)op,
	    .off = off,
	    .len = sizeof(page),
	    .iov = &iov,
	    .n_iov = 1,
	    .done = io_done,
	    .owner = &done};
	struct ob_blk_io *ios[] = {&io};
	struct ob_blk_ch *ch;

	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	if (op == OB_BLK_WRITE)
		memcpy(page, buf, sizeof(page));
	ob_blk_submit(ch, ios, 1);
	while (!done)
		ob_blk_poll(ch);
	if (op == OB_BLK_READ)
		memcpy(buf, page, sizeof(page));
	ob_blk_ch_close(ch);
	return io.result;
}
