/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests that need a file: a folder that goes with the test, and whether this machine has io_uring at all. */
#pragma once

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "test_block.h"

struct test_file {
	char dir[64], path[PATH_MAX];
	bool direct; /* what the folder's file system does */
};

static inline void test_file_remove(struct test_file *t)
{
	unlink(t->path);
	rmdir(t->dir);
}

/* Skips the test where there is no io_uring (an emulator, a sandbox): there, all there is to test is the error. */
static inline void test_file_init(struct test_file *t)
{
	struct ob_blk_file_conf conf = {.path = t->path, .bytes = 4096};
	struct ob_blk *b;
	char err[128];
	int rc;

	snprintf(t->dir, sizeof(t->dir), "%s/ob-block.XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->path, sizeof(t->path), "%s/disk", t->dir);
	t->direct = true;
	rc = ob_blk_file_create("probe", &conf, &b, err, sizeof(err));
	if (rc == -EINVAL) {
		t->direct = false;
		conf.buffered = true;
		rc = ob_blk_file_create("probe", &conf, &b, err, sizeof(err));
	}
	if (rc == -EPERM || rc == -ENOSYS || rc == -ENOMEM) {
		assert_non_null(strstr(err, "io_uring"));
		test_file_remove(t);
		skip();
	}
	assert_int_equal(rc, 0);
	ob_blk_put(b);
	unlink(t->path);
}

static inline struct ob_blk *test_file_open(const struct test_file *t, uint64_t bytes)
{
	struct ob_blk_file_conf conf = {
	    .path = t->path, .bytes = bytes, .block_bytes = 512, .buffered = !t->direct};
	struct ob_blk *b;
	char err[128] = "";
	int rc = ob_blk_file_create("disk", &conf, &b, err, sizeof(err));

	if (rc == -EINVAL && strstr(err, "4096") != NULL) {
		/* A medium of 4 KiB sectors: the page cache takes 512. */
		conf.buffered = true;
		rc = ob_blk_file_create("disk", &conf, &b, err, sizeof(err));
	}
	if (rc != 0)
		print_error("%s\n", err);
	assert_int_equal(rc, 0);
	return b;
}
