/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_MAGIC   0x616e657261424f31ull
#define ARENA_VERSION 1
#define PAGE	      4096ull
#define HUGE	      (2ull << 20)
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26) /* <linux/memfd.h>, which does not go with <sys/mman.h> */
#endif

/* First bytes of the file. An entry of the directory counts while its layout is not 0; that word is stored last when a
 * region is made and first when it is deleted, so a crash leaves either the whole entry or none. */
struct arena_header {
	uint64_t magic;
	uint32_t version;
	uint32_t max_regions;
	uint64_t max_bytes;
	uint64_t is_huge;
	uint64_t high; /* huge pages: no byte from here on was ever part of a region */
	uint64_t reserved[3];
	struct ob_arena_region_info dir[OB_ARENA_MAX_REGIONS];
};
static_assert(sizeof(struct ob_arena_region_info) == 72, "arena layout");

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; <linux/mman.h> of that age */
#endif

#define FIRST_OFF ((sizeof(struct arena_header) + PAGE - 1) / PAGE * PAGE)

struct ob_arena {
	int fd;
	uint8_t *base;
	uint64_t max_bytes;
	struct arena_header *hdr;
};

static uint32_t layout_of(const struct ob_arena_region_info *r)
{
	/* Pairs with the release stores of ob_arena_region and ob_arena_del_region in this or the previous process. */
	return __atomic_load_n(&r->layout, __ATOMIC_ACQUIRE);
}

static int map_whole(struct ob_arena *a, int flags)
{
	void *p = mmap(NULL, a->max_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | flags, a->fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	/* Tables of millions are read at random places. Only a wish: the kernel follows it where shmem_enabled says advise. */
	(void)madvise(p, a->max_bytes, MADV_HUGEPAGE);
	a->base = p;
	a->hdr = p;
	return 0;
}

static int create(const char *name, uint64_t max_bytes, bool huge, struct ob_arena **out)
{
	struct ob_arena *a;
	int ret;

	if (name == NULL || max_bytes < FIRST_OFF + PAGE || max_bytes > INT64_MAX)
		return -EINVAL;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return -ENOMEM;
	a->max_bytes = huge ? (max_bytes + HUGE - 1) / HUGE * HUGE : max_bytes / PAGE * PAGE;
	a->fd = memfd_create(
	    name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	if (a->fd < 0) {
		ret = -errno;
		goto err_free;
	}
	if (ftruncate(a->fd, (off_t)a->max_bytes) < 0) {
		ret = -errno;
		goto err_close;
	}
	/* Huge pages are set aside here and now, all of them: a touch that found none later would be a SIGBUS. */
	ret = map_whole(a, huge ? 0 : MAP_NORESERVE);
	if (ret < 0)
		goto err_close;
	/* A process that holds the fd must not be able to make our loads fault. */
	(void)fcntl(a->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	a->hdr->version = ARENA_VERSION;
	a->hdr->max_regions = OB_ARENA_MAX_REGIONS;
	a->hdr->max_bytes = a->max_bytes;
	a->hdr->is_huge = huge;
	a->hdr->high = FIRST_OFF;
	__atomic_store_n(
	    &a->hdr->magic, ARENA_MAGIC, __ATOMIC_RELEASE); /* pairs with ob_arena_open's check */
	*out = a;
	return 0;

err_close:
	close(a->fd);
err_free:
	free(a);
	return ret;
}

int ob_arena_create(const char *name, uint64_t max_bytes, struct ob_arena **out)
{
	return create(name, max_bytes, false, out);
}

int ob_arena_create_huge(const char *name, uint64_t max_bytes, struct ob_arena **out)
{
	return create(name, max_bytes, true, out);
}

static int by_off(const void *x, const void *y)
{
	const struct ob_arena_region_info *a = *(const struct ob_arena_region_info *const *)x;
	const struct ob_arena_region_info *b = *(const struct ob_arena_region_info *const *)y;

	return a->off < b->off ? -1 : a->off > b->off;
}

/* Collects the regions in use, by offset. */
static unsigned regions_sorted(const struct ob_arena *a, const struct ob_arena_region_info **list)
{
	unsigned n = 0;

	for (unsigned i = 0; i < OB_ARENA_MAX_REGIONS; i++) {
		if (layout_of(&a->hdr->dir[i]) != 0)
			list[n++] = &a->hdr->dir[i];
	}
	qsort(list, n, sizeof(list[0]), by_off);
	return n;
}

static bool directory_sound(const struct ob_arena *a)
{
	const struct ob_arena_region_info *list[OB_ARENA_MAX_REGIONS];
	unsigned n = regions_sorted(a, list);
	uint64_t end = FIRST_OFF;

	for (unsigned i = 0; i < n; i++) {
		const struct ob_arena_region_info *r = list[i];

		if (memchr(r->name, 0, sizeof(r->name)) == NULL || r->name[0] == 0)
			return false;
		if (r->off % PAGE || r->len % PAGE || r->len == 0 || r->off < end)
			return false;
		if (r->off > a->max_bytes || r->len > a->max_bytes - r->off)
			return false;
		end = r->off + r->len;
	}
	return true;
}

int ob_arena_open(int fd, struct ob_arena **out)
{
	struct ob_arena *a = calloc(1, sizeof(*a));
	struct stat st;
	int ret;

	if (a == NULL)
		return -ENOMEM;
	a->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (a->fd < 0 || fstat(a->fd, &st) < 0) {
		ret = -errno;
		goto err_close;
	}
	ret = -EPROTO;
	if (st.st_size < (off_t)(FIRST_OFF + PAGE))
		goto err_close;
	a->max_bytes = (uint64_t)st.st_size;
	ret = map_whole(a, MAP_NORESERVE);
	if (ret < 0)
		goto err_close;
	ret = -EPROTO;
	if (__atomic_load_n(&a->hdr->magic, __ATOMIC_ACQUIRE) != ARENA_MAGIC)
		goto err_unmap;
	if (a->hdr->version != ARENA_VERSION) {
		ret = -ENOTSUP;
		goto err_unmap;
	}
	if (a->hdr->max_regions != OB_ARENA_MAX_REGIONS || a->hdr->max_bytes != a->max_bytes ||
	    !directory_sound(a))
		goto err_unmap;
	*out = a;
	return 0;

err_unmap:
	munmap(a->base, a->max_bytes);
err_close:
	if (a->fd >= 0)
		close(a->fd);
	free(a);
	return ret;
}

void ob_arena_destroy(struct ob_arena *a)
{
	if (a == NULL)
		return;
	munmap(a->base, a->max_bytes);
	close(a->fd);
	free(a);
}

int ob_arena_fd(const struct ob_arena *a)
{
	return a->fd;
}

static struct ob_arena_region_info *find(const struct ob_arena *a, const char *name)
{
	for (unsigned i = 0; i < OB_ARENA_MAX_REGIONS; i++) {
		struct ob_arena_region_info *r = &a->hdr->dir[i];

		if (layout_of(r) != 0 && strcmp(r->name, name) == 0)
			return r;
	}
	return NULL;
}

/* First gap of 'len' bytes between the regions; 0: none. */
static uint64_t find_gap(const struct ob_arena *a, uint64_t len)
{
	const struct ob_arena_region_info *list[OB_ARENA_MAX_REGIONS];
	unsigned n = regions_sorted(a, list);
	uint64_t end = FIRST_OFF;

	for (unsigned i = 0; i < n; i++) {
		if (list[i]->off - end >= len)
			return end;
		end = list[i]->off + list[i]->len;
	}
	return a->max_bytes - end >= len ? end : 0;
}

/* Zeroes [off, off + len). Huge pages stay: one that was given back might not be there when it is touched again. */
static void clear(const struct ob_arena *a, uint64_t off, uint64_t len)
{
	if (a->hdr->is_huge) {
		if (off < a->hdr->high)
			memset(
			    a->base + off, 0, len < a->hdr->high - off ? len : a->hdr->high - off);
		return;
	}
	if (fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) <
	    0)
		memset(a->base + off, 0, len);
}

bool ob_arena_huge(const struct ob_arena *a)
{
	return a->hdr->is_huge != 0;
}

int ob_arena_region(
    struct ob_arena *a, const char *name, uint32_t layout, uint64_t len, void **out, bool *fresh)
{
	struct ob_arena_region_info *r;
	uint64_t off;

	if (name == NULL || name[0] == 0 || strlen(name) >= OB_ARENA_NAME_MAX || layout == 0 ||
	    len == 0 || len > a->max_bytes)
		return -EINVAL;
	len = (len + PAGE - 1) / PAGE * PAGE;
	*fresh = false;
	r = find(a, name);
	if (r != NULL) {
		if (r->layout != layout)
			return -ENOTSUP;
		if (r->len != len)
			return -EMSGSIZE;
		*out = a->base + r->off;
		return 0;
	}
	for (unsigned i = 0; i < OB_ARENA_MAX_REGIONS && r == NULL; i++) {
		if (layout_of(&a->hdr->dir[i]) == 0)
			r = &a->hdr->dir[i];
	}
	off = find_gap(a, len);
	if (r == NULL || off == 0)
		return -ENOSPC;
	/* The previous owner of these bytes may have died between dropping its entry and giving them back. */
	clear(a, off, len);
	if (off + len > a->hdr->high)
		a->hdr->high = off + len;
	memset(r->name, 0, sizeof(r->name));
	memcpy(r->name, name, strlen(name));
	r->off = off;
	r->len = len;
	__atomic_store_n(&r->layout, layout, __ATOMIC_RELEASE); /* pairs with layout_of */
	*out = a->base + off;
	*fresh = true;
	return 0;
}

int ob_arena_del_region(struct ob_arena *a, const char *name)
{
	struct ob_arena_region_info *r = find(a, name);

	if (r == NULL)
		return -ENOENT;
	__atomic_store_n(&r->layout, 0, __ATOMIC_RELEASE); /* pairs with layout_of */
	clear(a, r->off, r->len);
	return 0;
}

int ob_arena_populate(const struct ob_arena *a, uint64_t off, uint64_t len)
{
	uint64_t from = off / PAGE * PAGE;

	if (off > a->max_bytes || len > a->max_bytes - off)
		return -EINVAL;
	if (len == 0 || madvise(a->base + from, off + len - from, MADV_POPULATE_WRITE) == 0)
		return 0;
	return errno == EINVAL ? -EOPNOTSUPP : -errno;
}

int ob_arena_info(const struct ob_arena *a, unsigned i, struct ob_arena_region_info *out)
{
	unsigned seen = 0;

	for (unsigned k = 0; k < OB_ARENA_MAX_REGIONS; k++) {
		if (layout_of(&a->hdr->dir[k]) == 0)
			continue;
		if (seen++ == i) {
			*out = a->hdr->dir[k];
			return 0;
		}
	}
	return -ENOENT;
}
