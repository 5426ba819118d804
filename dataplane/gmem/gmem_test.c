/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_gmem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096ull
#define RW   (OB_GMEM_READ | OB_GMEM_WRITE)

struct fixture {
	struct ob_gmem *gm;
	int fd;
	uint8_t *mem; /* the test's own view of the file */
	unsigned n_sync;
};

#define N_PAGES 64

static ob_iova_t at(uint64_t v)
{
	return (ob_iova_t){v};
}

static void count_sync(void *ctx)
{
	((struct fixture *)ctx)->n_sync++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ob_gmem_conf conf = {.name = "test", .sync = count_sync, .sync_ctx = f};

	assert_non_null(f);
	f->fd = memfd_create("guest", 0);
	assert_int_equal(ftruncate(f->fd, N_PAGES * PAGE), 0);
	f->mem = mmap(NULL, N_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	assert_int_equal(ob_gmem_create(&conf, &f->gm), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ob_gmem_destroy(f->gm);
	munmap(f->mem, N_PAGES * PAGE);
	close(f->fd);
	free(f);
	return 0;
}

static int fetch(struct fixture *f, void *dst, uint64_t iova, size_t len)
{
	return ob_gmem_fetch(ob_gmem_map_get(f->gm), dst, at(iova), len);
}

static int store(struct fixture *f, uint64_t iova, const void *src, size_t len)
{
	return ob_gmem_store(ob_gmem_map_get(f->gm), at(iova), src, len);
}

static void add_rejects_bad_ranges(void **state)
{
	struct fixture *f = *state;
	struct ob_gmem *gm = f->gm;

	assert_int_equal(ob_gmem_add(gm, at(0), 0, RW, f->fd, 0), -EINVAL);
	assert_int_equal(ob_gmem_add(gm, at(0), PAGE, 0, f->fd, 0), -EINVAL);
	assert_int_equal(ob_gmem_add(gm, at(0), PAGE, 8, f->fd, 0), -EINVAL);
	assert_int_equal(ob_gmem_add(gm, at(1), PAGE, RW, f->fd, 0), -EINVAL);
	assert_int_equal(ob_gmem_add(gm, at(0), PAGE + 1, RW, f->fd, 0), -EINVAL);
	assert_int_equal(ob_gmem_add(gm, at(0), PAGE, RW, f->fd, 1), -EINVAL);
	assert_int_equal(
	    ob_gmem_add(gm, at(UINT64_MAX - PAGE + 1), 2 * PAGE, RW, f->fd, 0), -EINVAL);
	assert_int_equal(ob_gmem_add(gm, at(0), (N_PAGES + 1) * PAGE, RW, f->fd, 0), -ERANGE);
	assert_int_equal(ob_gmem_add(gm, at(0), PAGE, RW, f->fd, N_PAGES * PAGE), -ERANGE);
	assert_int_equal(ob_gmem_add(gm, at(0), PAGE, RW, f->fd, UINT64_MAX - PAGE + 1), -ERANGE);
	assert_int_equal(ob_gmem_add(gm, at(0), PAGE, RW, 9999, 0), -EBADF);
	assert_int_equal(ob_gmem_add_hva(gm, at(0), PAGE, RW, NULL), -EINVAL);
	assert_int_equal(ob_gmem_add_hva(gm, at(8), PAGE, RW, f->mem), -EINVAL);
	assert_int_equal(ob_gmem_add_hva(gm, at(8), 0, RW, f->mem), -EINVAL);
}

static void add_of_overlapping_range_is_eexist(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ob_gmem_add(f->gm, at(4 * PAGE), 4 * PAGE, RW, f->fd, 0), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(4 * PAGE), 4 * PAGE, RW, f->fd, 0), -EEXIST);
	assert_int_equal(ob_gmem_add(f->gm, at(0), 5 * PAGE, RW, f->fd, 0), -EEXIST);
	assert_int_equal(ob_gmem_add(f->gm, at(7 * PAGE), PAGE, RW, -1, 0), -EEXIST);
	assert_int_equal(ob_gmem_add(f->gm, at(0), 16 * PAGE, RW, f->fd, 0), -EEXIST);
	assert_int_equal(ob_gmem_add(f->gm, at(8 * PAGE), PAGE, RW, f->fd, 0), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(3 * PAGE), PAGE, RW, f->fd, 0), 0);
}

static void add_read_only_fd_for_writing_fails(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, fd, 0), -EACCES);
	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, OB_GMEM_READ, fd, 0), 0);
	close(fd);
}

static void add_of_a_file_that_is_not_memory_is_enodev(void **state)
{
	struct fixture *f = *state;
	int fd = open("/proc/self/exe", O_RDONLY);
	struct statfs fs;

	/* Unless this program itself was built in memory. */
	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type != TMPFS_MAGIC)
		assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, OB_GMEM_READ, fd, 0), -ENODEV);
	close(fd);
	/* No size: nothing fits into it. */
	fd = open("/dev/zero", O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, fd, 0), -ERANGE);
	close(fd);
}

static void bytes_written_by_the_guest_are_fetched(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[200], back[200];

	assert_int_equal(ob_gmem_add(f->gm, at(0x100000), 8 * PAGE, RW, f->fd, 2 * PAGE), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7 + 1);
	for (size_t len = 0; len <= sizeof(buf); len++) {
		memset(back, 0xee, sizeof(back));
		memcpy(f->mem + 2 * PAGE + 5, buf, sizeof(buf));
		assert_int_equal(fetch(f, back, 0x100005, len), 0);
		assert_memory_equal(back, buf, len);
		if (len < sizeof(back))
			assert_int_equal(back[len], 0xee);
		memset(f->mem + 2 * PAGE, 0, PAGE);
		assert_int_equal(store(f, 0x100009, buf, len), 0);
		assert_memory_equal(f->mem + 2 * PAGE + 9, buf, len);
		assert_int_equal(f->mem[2 * PAGE + 9 + len], 0);
	}
}

static void copies_cross_ranges(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[3 * PAGE], back[3 * PAGE];

	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, f->fd, 9 * PAGE), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(PAGE), PAGE, RW, f->fd, 3 * PAGE), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(2 * PAGE), 2 * PAGE, RW, f->fd, 20 * PAGE), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i ^ (i >> 8));
	assert_int_equal(store(f, 100, buf, sizeof(buf)), 0);
	assert_memory_equal(f->mem + 9 * PAGE + 100, buf, PAGE - 100);
	assert_memory_equal(f->mem + 3 * PAGE, buf + PAGE - 100, PAGE);
	assert_int_equal(fetch(f, back, 100, sizeof(back)), 0);
	assert_memory_equal(back, buf, sizeof(buf));
	assert_int_equal(ob_gmem_fill(ob_gmem_map_get(f->gm), at(PAGE - 1), 0x77, 2), 0);
	assert_int_equal(f->mem[10 * PAGE - 1], 0x77);
	assert_int_equal(f->mem[3 * PAGE], 0x77);
	assert_int_not_equal(f->mem[3 * PAGE + 1], 0x77);
}

static void firewall_refuses_and_counts(void **state)
{
	struct fixture *f = *state;
	uint8_t b[8] = {0};
	struct iovec iov[2];

	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, OB_GMEM_READ, f->fd, 0), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(PAGE), PAGE, OB_GMEM_WRITE, f->fd, 0), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(4 * PAGE), 100, RW, -1, 0), 0);
	assert_int_equal(store(f, 0, b, 8), -EACCES);
	assert_int_equal(fetch(f, b, PAGE, 8), -EACCES);
	assert_int_equal(fetch(f, b, PAGE - 4, 8), -EACCES);
	assert_int_equal(store(f, PAGE - 4, b, 8), -EACCES);
	assert_int_equal(store(f, 2 * PAGE - 4, b, 8), -EFAULT);
	assert_int_equal(fetch(f, b, 4 * PAGE, 8), -ENOTSUP);
	assert_int_equal(store(f, 4 * PAGE, b, 8), -ENOTSUP);
	assert_int_equal(fetch(f, b, 1ull << 60, 8), -EFAULT);
	assert_int_equal(ob_gmem_fill(ob_gmem_map_get(f->gm), at(0), 0, 1), -EACCES);
	assert_int_equal(ob_gmem_iov(ob_gmem_map_get(f->gm), at(9 * PAGE), 1, RW, iov, 2), -EFAULT);
	assert_int_equal(ob_gmem_violations(f->gm), 10);
	assert_false(ob_gmem_poisoned(f->gm, NULL));
}

static void copy_across_the_end_of_the_address_space_is_efault(void **state)
{
	struct fixture *f = *state;
	uint8_t b[8] = {0};
	struct iovec iov[2];

	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, f->fd, 0), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(-PAGE), PAGE, RW, f->fd, PAGE), 0);
	assert_int_equal(fetch(f, b, UINT64_MAX - 3, 4), 0);
	assert_int_equal(fetch(f, b, UINT64_MAX - 3, 5), -EFAULT);
	assert_int_equal(store(f, UINT64_MAX - 3, b, 8), -EFAULT);
	assert_int_equal(ob_gmem_fill(ob_gmem_map_get(f->gm), at(UINT64_MAX), 0, 2), -EFAULT);
	assert_int_equal(
	    ob_gmem_iov(ob_gmem_map_get(f->gm), at(UINT64_MAX), 2, RW, iov, 2), -EFAULT);
	assert_int_equal(ob_gmem_del(f->gm, at(-PAGE), PAGE), 1);
}

static void del_all_takes_the_last_page_of_the_address_space(void **state)
{
	struct fixture *f = *state;
	uint32_t n;
	uint64_t bytes;

	assert_int_equal(ob_gmem_del_all(f->gm), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, f->fd, 0), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(-PAGE), PAGE, RW, f->fd, PAGE), 0);
	assert_int_equal(ob_gmem_del_all(f->gm), 2);
	ob_gmem_usage(f->gm, &n, &bytes);
	assert_int_equal(n, 0);
}

static void iov_merges_neighbours(void **state)
{
	struct fixture *f = *state;
	const struct ob_gmem_map *m;
	struct iovec iov[3];

	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, f->fd, 0), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(PAGE), PAGE, RW, f->fd, PAGE), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(2 * PAGE), PAGE, RW, f->fd, 8 * PAGE), 0);
	m = ob_gmem_map_get(f->gm);
	assert_int_equal(ob_gmem_iov(m, at(10), 3 * PAGE - 20, RW, iov, 3), 2);
	assert_int_equal(iov[0].iov_len, 2 * PAGE - 10);
	assert_int_equal(iov[1].iov_len, PAGE - 10);
	assert_int_equal(ob_gmem_iov(m, at(10), 3 * PAGE - 20, RW, iov, 1), -ENOSPC);
	assert_int_equal(ob_gmem_iov(m, at(10), 0, RW, iov, 1), 0);
}

static void del_takes_whole_ranges_only(void **state)
{
	struct fixture *f = *state;
	uint32_t n;
	uint64_t bytes;
	uint8_t b;

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(
		    ob_gmem_add(f->gm, at(i * 2 * PAGE), 2 * PAGE, RW, f->fd, i * 2 * PAGE), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(100 * PAGE), PAGE, RW, -1, 0), 0);
	assert_int_equal(ob_gmem_del(f->gm, at(PAGE), 4 * PAGE), -EINVAL);
	assert_int_equal(ob_gmem_del(f->gm, at(2 * PAGE), 3 * PAGE), -EINVAL);
	assert_int_equal(ob_gmem_del(f->gm, at(0), 0), -EINVAL);
	assert_int_equal(ob_gmem_del(f->gm, at(PAGE), UINT64_MAX), -EINVAL);
	assert_int_equal(ob_gmem_del(f->gm, at(50 * PAGE), PAGE), 0);
	f->n_sync = 0;
	assert_int_equal(ob_gmem_del(f->gm, at(2 * PAGE), 4 * PAGE), 2);
	assert_int_equal(f->n_sync, 1);
	ob_gmem_usage(f->gm, &n, &bytes);
	assert_int_equal(n, 7);
	assert_int_equal(bytes, 12 * PAGE);
	assert_int_equal(fetch(f, &b, 2 * PAGE, 1), -EFAULT);
	assert_int_equal(fetch(f, &b, 6 * PAGE, 1), 0);
	assert_int_equal(ob_gmem_del(f->gm, at(0), UINT64_MAX), 7);
	ob_gmem_usage(f->gm, &n, &bytes);
	assert_int_equal(n, 0);
	assert_int_equal(bytes, 0);
}

/* Mappings of the guest's file in this process, the test's own included. */
static unsigned n_mappings(void)
{
	FILE *m = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	assert_non_null(m);
	while (fgets(line, sizeof(line), m) != NULL)
		n += strstr(line, "memfd:guest") != NULL;
	fclose(m);
	return n;
}

static void a_thousand_ranges_of_one_file_cost_one_mapping(void **state)
{
	struct fixture *f = *state;
	int fd;
	uint8_t b;

	assert_int_equal(n_mappings(), 1);
	for (unsigned i = 0; i < 1000; i++) {
		f->mem[(i % N_PAGES) * PAGE] = (uint8_t)(i % N_PAGES);
		assert_int_equal(
		    ob_gmem_add(f->gm, at(i * 3 * PAGE), PAGE, RW, f->fd, (i % N_PAGES) * PAGE), 0);
		/* One descriptor is kept for all of them. */
		fd = dup(f->fd);
		assert_in_range(fd, f->fd + 2, f->fd + 40);
		close(fd);
	}
	assert_int_equal(n_mappings(), 2);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(fetch(f, &b, i * 3 * PAGE, 1), 0);
		assert_int_equal(b, i % N_PAGES);
		assert_int_equal(fetch(f, &b, (i * 3 + 1) * PAGE, 1), -EFAULT);
	}
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(ob_gmem_del(f->gm, at(i * 3 * PAGE), PAGE), 1);
	assert_int_equal(n_mappings(), 1);
}

static void too_many_files_is_enospc(void **state)
{
	struct fixture *f = *state;
	int rc = 0;

	for (unsigned i = 0; i <= OB_GMEM_MAX_FILES; i++) {
		int fd = memfd_create("x", 0);

		assert_int_equal(ftruncate(fd, PAGE), 0);
		rc = ob_gmem_add(f->gm, at(i * PAGE), PAGE, RW, fd, 0);
		close(fd);
		if (i < OB_GMEM_MAX_FILES)
			assert_int_equal(rc, 0);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(ob_gmem_del(f->gm, at(0), PAGE), 1);
	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, f->fd, 0), 0);
}

static void four_thousand_pieces_are_deleted_at_once(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(ob_gmem_add(f->gm, at(i * 16), 16, RW, -1, 0), 0);
	assert_int_equal(ob_gmem_del(f->gm, at(0), 4096 * 16), 4096);
}

static void too_much_address_space_is_enospc(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("big", 0);

	assert_int_equal(ftruncate(fd, (off_t)(OB_GMEM_MAX_BYTES + PAGE)), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(0), OB_GMEM_MAX_BYTES + PAGE, RW, fd, 0), -ENOSPC);
	/* A small range of a file too big to map whole is still served. */
	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, fd, 5 * PAGE), 0);
	close(fd);
}

static void window_follows_its_range(void **state)
{
	struct fixture *f = *state;
	const struct ob_gmem_map *m;
	uint8_t *p;
	int w = ob_gmem_window_add(f->gm, at(4 * PAGE + 64), 256, RW);

	assert_true(w >= 0);
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	assert_int_equal(ob_gmem_add(f->gm, at(4 * PAGE), PAGE, RW, f->fd, 7 * PAGE), 0);
	m = ob_gmem_map_get(f->gm);
	p = ob_gmem_window(m, w);
	assert_non_null(p);
	f->mem[7 * PAGE + 64] = 0x5a;
	assert_int_equal(*p, 0x5a);
	assert_int_equal(ob_gmem_del(f->gm, at(4 * PAGE), PAGE), 1);
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	assert_int_equal(ob_gmem_add(f->gm, at(4 * PAGE), PAGE, OB_GMEM_READ, f->fd, 0), 0);
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	ob_gmem_window_del(f->gm, w);
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	assert_int_equal(ob_gmem_window_add(f->gm, at(4 * PAGE), 16, OB_GMEM_READ), w);
	assert_non_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), 77));
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), -1));
}

static void window_over_scattered_ranges_is_side_by_side(void **state)
{
	struct fixture *f = *state;
	int w = ob_gmem_window_add(f->gm, at(100 * PAGE + 16), (uint32_t)(3 * PAGE - 32), RW);
	const uint8_t *p;

	assert_int_equal(ob_gmem_add(f->gm, at(100 * PAGE), PAGE, RW, f->fd, 9 * PAGE), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(102 * PAGE), PAGE, RW, f->fd, 2 * PAGE), 0);
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	assert_int_equal(ob_gmem_add(f->gm, at(101 * PAGE), PAGE, RW, f->fd, 30 * PAGE), 0);
	p = ob_gmem_window(ob_gmem_map_get(f->gm), w);
	assert_non_null(p);
	for (unsigned i = 0; i < PAGE; i++) {
		f->mem[9 * PAGE + i] = (uint8_t)i;
		f->mem[30 * PAGE + i] = (uint8_t)(i * 3);
		f->mem[2 * PAGE + i] = (uint8_t)(i * 5);
	}
	assert_memory_equal(p, f->mem + 9 * PAGE + 16, PAGE - 16);
	assert_memory_equal(p + PAGE - 16, f->mem + 30 * PAGE, PAGE);
	assert_memory_equal(p + 2 * PAGE - 16, f->mem + 2 * PAGE, PAGE - 16);
	assert_int_equal(ob_gmem_del(f->gm, at(101 * PAGE), PAGE), 1);
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	assert_int_equal(ob_gmem_add(f->gm, at(101 * PAGE), PAGE, RW, f->fd, 31 * PAGE), 0);
	assert_non_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	ob_gmem_window_del(f->gm, w);
	assert_int_equal(ob_gmem_window_add(f->gm, at(100 * PAGE), 0, RW), -EINVAL);
	assert_int_equal(ob_gmem_window_add(f->gm, at(100 * PAGE), 8, 0), -EINVAL);
	assert_int_equal(ob_gmem_window_add(f->gm, at(UINT64_MAX), 8, RW), -EINVAL);
}

static void window_over_scattered_memory_of_others_has_no_address(void **state)
{
	struct fixture *f = *state;
	int w = ob_gmem_window_add(f->gm, at(PAGE - 8), 16, RW);

	assert_int_equal(ob_gmem_add_hva(f->gm, at(0), PAGE, RW, f->mem + 4 * PAGE), 0);
	assert_int_equal(ob_gmem_add_hva(f->gm, at(PAGE), PAGE, RW, f->mem + 8 * PAGE), 0);
	assert_null(ob_gmem_window(ob_gmem_map_get(f->gm), w));
	assert_int_equal(ob_gmem_del(f->gm, at(PAGE), PAGE), 1);
	assert_int_equal(ob_gmem_add_hva(f->gm, at(PAGE), PAGE, RW, f->mem + 5 * PAGE), 0);
	assert_ptr_equal(ob_gmem_window(ob_gmem_map_get(f->gm), w), f->mem + 5 * PAGE - 8);
}

static void too_many_windows_is_enospc(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < OB_GMEM_MAX_WINDOWS; i++)
		assert_int_equal(ob_gmem_window_add(f->gm, at(0), 16, RW), i);
	assert_int_equal(ob_gmem_window_add(f->gm, at(0), 16, RW), -ENOSPC);
	ob_gmem_window_del(f->gm, 500);
	assert_int_equal(ob_gmem_window_add(f->gm, at(0), 16, RW), 500);
}

static void an_old_map_stays_usable_until_sync(void **state)
{
	struct fixture *f = *state;
	const struct ob_gmem_map *old;
	uint8_t b = 0;

	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, f->fd, 0), 0);
	old = ob_gmem_map_get(f->gm);
	f->n_sync = 0;
	f->mem[0] = 0x42;
	for (unsigned i = 1; i < 10; i++)
		assert_int_equal(ob_gmem_add(f->gm, at(i * PAGE), PAGE, RW, f->fd, 0), 0);
	assert_int_equal(f->n_sync, 0);
	assert_int_equal(ob_gmem_fetch(old, &b, at(0), 1), 0);
	assert_int_equal(b, 0x42);
	assert_int_equal(ob_gmem_fetch(old, &b, at(PAGE), 1), -EFAULT);
	assert_true(ob_gmem_map_get(f->gm)->gen != old->gen);
}

static void skip_where_faults_are_not_ours(void)
{
	/* Valgrind takes the signal itself. */
	if (getenv("OB_VALGRIND") != NULL)
		skip();
}

static void shrunk_file_poisons_and_the_process_lives(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[32];
	uint64_t n;

	skip_where_faults_are_not_ours();
	assert_int_equal(ob_gmem_catch_faults(), 0);
	assert_int_equal(ob_gmem_catch_faults(), 0);
	memset(f->mem, 0xab, N_PAGES * PAGE);
	assert_int_equal(ob_gmem_add(f->gm, at(0), N_PAGES * PAGE, RW, f->fd, 0), 0);
	assert_int_equal(ftruncate(f->fd, 4 * PAGE), 0);
	assert_int_equal(fetch(f, buf, 3 * PAGE, 16), 0);
	assert_int_equal(buf[0], 0xab);
	assert_false(ob_gmem_poisoned(f->gm, NULL));
	assert_int_equal(fetch(f, buf, 20 * PAGE, 16), 0);
	assert_true(ob_gmem_poisoned(f->gm, &n));
	assert_int_equal(n, 1);
	assert_int_equal(buf[0], 0);
	assert_int_equal(store(f, 40 * PAGE, buf, 16), 0);
	assert_int_equal(store(f, 10 * PAGE, buf, 16), 0);
	ob_gmem_poisoned(f->gm, &n);
	assert_int_equal(n, 2);
	assert_int_equal(fetch(f, buf, 3 * PAGE, 16), 0);
	assert_int_equal(buf[0], 0xab);
	ob_gmem_heal(f->gm);
	assert_false(ob_gmem_poisoned(f->gm, &n));
	assert_int_equal(n, 2);
	/* Once the file is long again, a new range shows it, not the zero pages. */
	assert_int_equal(ftruncate(f->fd, N_PAGES * PAGE), 0);
	f->mem[20 * PAGE] = 0x99;
	assert_int_equal(ob_gmem_add(f->gm, at(1ull << 40), N_PAGES * PAGE, RW, f->fd, 0), 0);
	assert_int_equal(fetch(f, buf, (1ull << 40) + 20 * PAGE, 16), 0);
	assert_int_equal(buf[0], 0x99);
}

static void shrunk_file_under_a_window_poisons(void **state)
{
	struct fixture *f = *state;
	int w = ob_gmem_window_add(f->gm, at(PAGE - 8), 16, RW);
	uint8_t *p;

	skip_where_faults_are_not_ours();
	assert_int_equal(ob_gmem_catch_faults(), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(0), PAGE, RW, f->fd, 60 * PAGE), 0);
	assert_int_equal(ob_gmem_add(f->gm, at(PAGE), PAGE, RW, f->fd, 3 * PAGE), 0);
	p = ob_gmem_window(ob_gmem_map_get(f->gm), w);
	assert_non_null(p);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(ob_gmem_ld_le64(p), 0);
	assert_int_equal(ob_gmem_ld_le64(p + 8), 0);
	assert_true(ob_gmem_poisoned(f->gm, NULL));
}

static void destroy_of_null_is_legal(void **state)
{
	(void)state;
	ob_gmem_destroy(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* Does a mapping of a part of a huge page work here? Not under user-mode emulation. */
static bool maps_huge_parts(int fd, off_t off)
{
	void *p;

	if (fd < 0 || ftruncate(fd, 8ll << 40) != 0)
		return false;
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, off);
	if (p == MAP_FAILED)
		return false;
	munmap(p, 2u << 20);
	return true;
}

/* The kernel maps whole huge pages whatever is asked for: what unmaps and mends must know. */
static void part_of_a_huge_page_is_unmapped_and_mended_whole(void **state)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	const struct ob_gmem_conf conf = {.name = "huge"};
	struct ob_gmem *gm;
	uint8_t byte = 1;
	uint64_t n_faults;

	(void)state;
	/* Valgrind takes the signal itself. */
	if (getenv("OB_VALGRIND") != NULL || !maps_huge_parts(fd, (8ll << 40) - (2 << 20))) {
		if (fd >= 0)
			close(fd);
		skip();
	}
	/* The file is too long to be mapped whole, and no page is behind it. */
	assert_int_equal(ob_gmem_create(&conf, &gm), 0);
	assert_int_equal(ob_gmem_catch_faults(), 0);
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(ob_gmem_add(gm, (ob_iova_t){0}, 4096, OB_GMEM_READ, fd,
				     (8ull << 40) - (2u << 20)),
		    0);
		assert_int_equal(ob_gmem_del_all(gm), 1);
	}
	assert_int_equal(
	    ob_gmem_add(gm, (ob_iova_t){0}, 4096, OB_GMEM_READ, fd, (8ull << 40) - (2u << 20)), 0);
	assert_int_equal(
	    ftruncate(fd, 2 << 20), 0); /* no page to be had, even if there are free ones */
	(void)ob_gmem_fetch(ob_gmem_map_get(gm), &byte, (ob_iova_t){0}, 1);
	assert_int_equal(byte, 0);
	assert_true(ob_gmem_poisoned(gm, &n_faults));
	ob_gmem_destroy(gm);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(add_rejects_bad_ranges),
	    T(add_of_overlapping_range_is_eexist),
	    T(add_read_only_fd_for_writing_fails),
	    T(add_of_a_file_that_is_not_memory_is_enodev),
	    T(bytes_written_by_the_guest_are_fetched),
	    T(copies_cross_ranges),
	    T(firewall_refuses_and_counts),
	    T(copy_across_the_end_of_the_address_space_is_efault),
	    T(del_all_takes_the_last_page_of_the_address_space),
	    T(iov_merges_neighbours),
	    T(del_takes_whole_ranges_only),
	    T(a_thousand_ranges_of_one_file_cost_one_mapping),
	    T(too_many_files_is_enospc),
	    T(four_thousand_pieces_are_deleted_at_once),
	    T(too_much_address_space_is_enospc),
	    T(window_follows_its_range),
	    T(window_over_scattered_ranges_is_side_by_side),
	    T(window_over_scattered_memory_of_others_has_no_address),
	    T(too_many_windows_is_enospc),
	    T(an_old_map_stays_usable_until_sync),
	    T(shrunk_file_poisons_and_the_process_lives),
	    T(shrunk_file_under_a_window_poisons),
	    T(part_of_a_huge_page_is_unmapped_and_mended_whole),
	    cmocka_unit_test(destroy_of_null_is_legal),
	};

	return cmocka_run_group_tests_name("gmem", tests, NULL, NULL);
}
