/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ob_arena.h"

#define MAX_BYTES (64ull << 20)

static struct ob_arena *make(void)
{
	struct ob_arena *a;

	assert_int_equal(ob_arena_create("t", MAX_BYTES, &a), 0);
	return a;
}

static void create_refuses_nonsense(void **state)
{
	struct ob_arena *a;

	(void)state;
	assert_int_equal(ob_arena_create(NULL, MAX_BYTES, &a), -EINVAL);
	assert_int_equal(ob_arena_create("t", 4096, &a), -EINVAL);
	ob_arena_destroy(NULL);
}

static void region_is_zeroed_and_found_again(void **state)
{
	struct ob_arena *a = make(), *b;
	uint8_t *p, *q;
	bool fresh;

	(void)state;
	assert_int_equal(ob_arena_region(a, "x", 3, 10000, (void **)&p, &fresh), 0);
	assert_true(fresh);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(p[i], 0);
	memcpy(p, "hello", 5);
	assert_int_equal(ob_arena_region(a, "x", 3, 10000, (void **)&q, &fresh), 0);
	assert_false(fresh);
	assert_ptr_equal(p, q);

	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), 0);
	ob_arena_destroy(a);
	assert_int_equal(ob_arena_region(b, "x", 3, 10000, (void **)&q, &fresh), 0);
	assert_false(fresh);
	assert_memory_equal(q, "hello", 5);
	ob_arena_destroy(b);
}

static void region_refuses_other_layout_size_and_bad_names(void **state)
{
	struct ob_arena *a = make();
	char longname[OB_ARENA_NAME_MAX + 1];
	void *p;
	bool fresh;

	(void)state;
	memset(longname, 'n', sizeof(longname) - 1);
	longname[sizeof(longname) - 1] = 0;
	assert_int_equal(ob_arena_region(a, "x", 1, 4096, &p, &fresh), 0);
	assert_int_equal(ob_arena_region(a, "x", 2, 4096, &p, &fresh), -ENOTSUP);
	assert_int_equal(ob_arena_region(a, "x", 1, 4097, &p, &fresh), -EMSGSIZE);
	assert_int_equal(ob_arena_region(a, "", 1, 4096, &p, &fresh), -EINVAL);
	assert_int_equal(ob_arena_region(a, longname, 1, 4096, &p, &fresh), -EINVAL);
	assert_int_equal(ob_arena_region(a, "y", 0, 4096, &p, &fresh), -EINVAL);
	assert_int_equal(ob_arena_region(a, "y", 1, 0, &p, &fresh), -EINVAL);
	assert_int_equal(ob_arena_region(a, "y", 1, UINT64_MAX, &p, &fresh), -EINVAL);
	assert_int_equal(ob_arena_region(a, "y", 1, MAX_BYTES, &p, &fresh), -ENOSPC);
	ob_arena_destroy(a);
}

static void deleted_region_is_reused_and_comes_back_zeroed(void **state)
{
	struct ob_arena *a = make();
	uint8_t *p, *q;
	bool fresh;

	(void)state;
	assert_int_equal(ob_arena_region(a, "x", 1, 8192, (void **)&p, &fresh), 0);
	memset(p, 0xee, 8192);
	assert_int_equal(ob_arena_del_region(a, "x"), 0);
	assert_int_equal(ob_arena_del_region(a, "x"), -ENOENT);
	assert_int_equal(ob_arena_region(a, "y", 1, 8192, (void **)&q, &fresh), 0);
	assert_true(fresh);
	assert_ptr_equal(p, q);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(q[i], 0);
	ob_arena_destroy(a);
}

static void huge_pages_are_taken_at_once_or_not_at_all(void **state)
{
	struct ob_arena *a, *b;
	uint8_t *p, *q;
	bool fresh;
	int rc;

	(void)state;
	assert_true(ob_arena_create_huge("h", 1ull << 46, &a) < 0);
	assert_int_equal(ob_arena_create("small", 1u << 20, &a), 0);
	assert_false(ob_arena_huge(a));
	ob_arena_destroy(a);
	rc = ob_arena_create_huge("h", 7ull << 20, &a);
	if (rc == -ENOMEM || rc == -ENOSYS || rc == -EINVAL)
		skip();
	assert_int_equal(rc, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(ob_arena_region(a, "x", 1, 100000, (void **)&p, &fresh), 0);
		assert_true(fresh);
		for (unsigned k = 0; k < 100000; k++)
			assert_int_equal(p[k], 0);
		memset(p, 7, 100000);
		if (i < 2)
			assert_int_equal(ob_arena_del_region(a, "x"), 0);
	}
	/* To the last byte: all of it was set aside. */
	assert_int_equal(ob_arena_region(a, "y", 1, 6ull << 20, (void **)&p, &fresh), 0);
	memset(p, 9, 6u << 20);
	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), 0);
	assert_int_equal(ob_arena_region(b, "x", 1, 100000, (void **)&q, &fresh), 0);
	assert_false(fresh);
	assert_int_equal(q[99999], 7);
	ob_arena_destroy(a);
	ob_arena_destroy(b);
}

static void directory_lists_regions_until_enoent(void **state)
{
	struct ob_arena *a = make();
	struct ob_arena_region_info info;
	char name[16];
	void *p;
	bool fresh;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		assert_int_equal(ob_arena_region(a, name, 1, 4096, &p, &fresh), 0);
	}
	assert_int_equal(ob_arena_del_region(a, "r7"), 0);
	for (unsigned i = 0; i < 19; i++)
		assert_int_equal(ob_arena_info(a, i, &info), 0);
	assert_int_equal(ob_arena_info(a, 19, &info), -ENOENT);
	ob_arena_destroy(a);
}

/* Every damaged byte of header or directory is either refused or harmless: open never maps outside the file. */
static void open_of_a_damaged_arena_is_refused(void **state)
{
	struct ob_arena *a = make(), *b;
	struct ob_arena_region_info *entry;
	uint8_t *base;
	void *p;
	bool fresh;
	int pipefd[2];

	(void)state;
	assert_int_equal(ob_arena_region(a, "x", 1, 4096, &p, &fresh), 0);
	assert_int_equal(ob_arena_region(a, "y", 1, 4096, &p, &fresh), 0);
	base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ob_arena_fd(a), 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	entry = (struct ob_arena_region_info *)(void *)(base + 64);
	assert_string_equal(entry[0].name, "x");

	entry[0].off += 4096; /* overlaps y */
	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), -EPROTO);
	entry[0].off -= 4096;
	entry[1].len = 1ull << 60;
	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), -EPROTO);
	entry[1].len = 4096;
	memset(entry[0].name, 'x', sizeof(entry[0].name));
	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), -EPROTO);
	memset(entry[0].name + 1, 0, sizeof(entry[0].name) - 1);
	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), 0);
	ob_arena_destroy(b);
	base[8] ^= 2; /* version */
	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), -ENOTSUP);
	base[0] ^= 1; /* magic */
	assert_int_equal(ob_arena_open(ob_arena_fd(a), &b), -EPROTO);
	munmap(base, 4096);
	ob_arena_destroy(a);

	assert_int_equal(ob_arena_open(-1, &b), -EBADF);
	assert_int_equal(pipe(pipefd), 0);
	assert_int_equal(ob_arena_open(pipefd[0], &b), -EPROTO);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void populate_takes_pages_and_keeps_what_is_there(void **state)
{
	struct ob_arena_region_info r;
	struct ob_arena *a;
	uint8_t *p;
	bool fresh;
	struct stat st;
	int rc;

	(void)state;
	assert_int_equal(ob_arena_create("t", MAX_BYTES, &a), 0);
	assert_int_equal(ob_arena_region(a, "x", 1, 64 * 4096, (void **)&p, &fresh), 0);
	assert_int_equal(ob_arena_info(a, 0, &r), 0);
	p[5 * 4096] = 7;
	assert_int_equal(ob_arena_populate(a, MAX_BYTES, 1), -EINVAL);
	assert_int_equal(ob_arena_populate(a, 0, MAX_BYTES + 1), -EINVAL);
	rc = ob_arena_populate(a, r.off, r.len);
	if (rc != -EOPNOTSUPP) { /* (emulators, valgrind) */
		assert_int_equal(rc, 0);
		assert_int_equal(fstat(ob_arena_fd(a), &st), 0);
		assert_true(st.st_blocks * 512 >= 64 * 4096);
	}
	assert_int_equal(p[5 * 4096], 7);
	assert_int_equal(p[6 * 4096], 0);
	ob_arena_destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(populate_takes_pages_and_keeps_what_is_there),
	    cmocka_unit_test(create_refuses_nonsense),
	    cmocka_unit_test(region_is_zeroed_and_found_again),
	    cmocka_unit_test(region_refuses_other_layout_size_and_bad_names),
	    cmocka_unit_test(deleted_region_is_reused_and_comes_back_zeroed),
	    cmocka_unit_test(huge_pages_are_taken_at_once_or_not_at_all),
	    cmocka_unit_test(directory_lists_regions_until_enoent),
	    cmocka_unit_test(open_of_a_damaged_arena_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
