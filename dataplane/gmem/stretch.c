/* SPDX-License-Identifier: BSD-3-Clause */
#include "gmem_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A slot for a new stretch of 'len' bytes, or -ENOSPC. */
static int slot_for(struct ob_gmem *gm, uint64_t len)
{
	if (len > OB_GMEM_MAX_BYTES || gm->stretch_bytes > OB_GMEM_MAX_BYTES - len)
		return -ENOSPC;
	for (uint32_t i = 0; i < gm->n_stretches; i++) {
		if (gm->stretch[i].refs == 0)
			return (int)i;
	}
	if (gm->n_stretches == OB_GMEM_MAX_FILES)
		return -ENOSPC;
	return (int)gm->n_stretches++;
}

/* The page size of the file's mappings. */
static uint64_t page_of(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : 4096;
}

static int stretch_map(
    struct ob_gmem *gm, int fd, const struct stat *st, uint64_t off, uint64_t len, bool writable)
{
	uint64_t page = page_of(fd);
	struct stretch s = {
	    .len = (len + (page - 1)) & ~(page - 1),
	    .file_off = off,
	    .page = page,
	    .dev = st->st_dev,
	    .ino = st->st_ino,
	    .refs = 1,
	    .writable = writable,
	};
	int idx, rc;
	void *p;

	/* As long as the mapping really is: what unmaps or mends it must name whole pages. */
	len = s.len;
	idx = slot_for(gm, len);
	if (idx < 0)
		return idx;
	s.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s.fd < 0)
		return -errno;
	p = mmap(NULL, len, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_NORESERVE, fd,
	    (off_t)off);
	rc = -errno;
	if (p == MAP_FAILED)
		goto err_close;
	/* A guest's memory has no business in our core dumps; failure costs disk space only. */
	(void)madvise(p, len, MADV_DONTDUMP);
	s.hva = p;
	s.slot = fault_watch(gm, p, len);
	rc = -ENOMEM;
	if (s.slot == NULL)
		goto err_unmap;
	gm->stretch[idx] = s;
	gm->stretch_bytes += len;
	return idx;
err_unmap:
	munmap(p, len);
err_close:
	close(s.fd);
	return rc;
}

/* A page fault in a file of another kind waits for whoever stands behind it: a disk, a server, a FUSE process of the peer.
 * That would stop the worker and with it the other functions it serves. */
static bool is_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

int stretch_get(struct ob_gmem *gm, int fd, uint64_t off, uint64_t len, bool writable)
{
	uint64_t size;
	struct stat st;
	int idx;

	if (fstat(fd, &st) != 0)
		return -errno;
	size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	if (off > size || len > size - off)
		return -ERANGE;
	for (uint32_t i = 0; i < gm->n_stretches; i++) {
		struct stretch *s = &gm->stretch[i];

		/* The mapping keeps the inode, so its number cannot have been given to another file. */
		if (s->refs > 0 && s->fd >= 0 && s->dev == st.st_dev && s->ino == st.st_ino &&
		    s->writable == writable && off >= s->file_off && off - s->file_off <= s->len &&
		    len <= s->len - (off - s->file_off) && !fault_hit(s->slot)) {
			s->refs++;
			return (int)i;
		}
	}
	if (!is_memory(fd))
		return -ENODEV;
	/* The whole file at once: a host with a virtual IOMMU sends thousands of pages of the same one. */
	idx = stretch_map(gm, fd, &st, 0, size, writable);
	if (idx < 0 && (off != 0 || len != size))
		idx = stretch_map(gm, fd, &st, off, len, writable);
	return idx;
}

int stretch_get_hva(struct ob_gmem *gm, void *hva, uint64_t len)
{
	struct stretch s = {.hva = hva, .len = len, .refs = 1, .fd = -1, .writable = true};
	int idx = slot_for(gm, len);

	if (idx < 0)
		return idx;
	s.slot = fault_watch(gm, hva, len);
	if (s.slot == NULL)
		return -ENOMEM;
	gm->stretch[idx] = s;
	gm->stretch_bytes += len;
	return idx;
}

void stretch_put(struct ob_gmem *gm, uint32_t idx)
{
	struct stretch *s = &gm->stretch[idx];

	if (--s->refs > 0)
		return;
	fault_unwatch(s->slot);
	if (s->fd >= 0) {
		munmap(s->hva, s->len);
		close(s->fd);
	}
	gm->stretch_bytes -= s->len;
	*s = (struct stretch){0};
}
