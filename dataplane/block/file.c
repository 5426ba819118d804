/* SPDX-License-Identifier: BSD-3-Clause */
/* A regular file or a block device: opening, size, what it can do. I/O is in file_ring.c. */
#include "ob_block.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file_priv.h"

/* How long another holder may take to let go. A process that was killed is waited for by whoever starts the next; a block device
 * stays claimed until the kernel has wound up its rings, which takes as long as its last flush. */
#define LOCK_TRIES 25
#define BDEV_TRIES 100
#define TRY_NAP	   (10 * 1000 * 1000) /* ns */

/* Files that this process has open: its locks are the process's, and do not keep it from itself. Control. */
static struct file *open_files;

struct err {
	char *text;
	size_t len;
};

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = TRY_NAP}, NULL);
}

static int why(struct err *e, int rc, const char *what, const char *path)
{
	return blk_err(e->text, e->len, rc, "%s %s: %s", what, path, strerror(-rc));
}

static int check_ring(struct err *e)
{
	int rc = file_ring_probe();

	switch (rc) {
	case 0:
		return 0;
	case -EPERM:
	case -EACCES:
		return blk_err(e->text, e->len, rc,
		    "the kernel refuses io_uring: set sysctl kernel.io_uring_disabled=0, or allow "
		    "io_uring_* in "
		    "the container's seccomp profile");
	case -ENOSYS:
		return blk_err(e->text, e->len, rc,
		    "no io_uring: the kernel is built without it, or a seccomp profile hides it");
	case -ENOMEM:
		return blk_err(e->text, e->len, rc,
		    "no memory for io_uring: raise the limit of locked memory (ulimit -l)");
	default:
		return blk_err(e->text, e->len, rc, "io_uring: %s", strerror(-rc));
	}
}

/* One writer a file, or many readers: two volumes on the same bytes would destroy them.
 *
 * A lock of the process, not of the open file: that one would live on with the rings of a process that was killed, for seconds
 * when the disk is busy. Its price: closing any descriptor of the file drops it, hence lock_again and no opening in vain. */
static struct file *holder(dev_t dev, ino_t ino, bool read_only)
{
	for (struct file *f = open_files; f != NULL; f = f->next_open)
		if (f->dev == dev && f->ino == ino && !(read_only && f->blk.info.read_only))
			return f;
	return NULL;
}

static int try_lock(const struct file *f, pid_t *who)
{
	struct flock fl = {
	    .l_type = f->blk.info.read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(f->fd, F_SETLK, &fl) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return 0; /* a file system without locks */
	*who = fcntl(f->fd, F_GETLK, &fl) == 0 && fl.l_type != F_UNLCK ? fl.l_pid : 0;
	return -EBUSY;
}

static int lock_file(struct file *f, const char *path, struct err *e)
{
	pid_t who = 0;

	for (unsigned i = 0; try_lock(f, &who) != 0; i++) {
		if (i == LOCK_TRIES)
			return blk_err(e->text, e->len, -EBUSY,
			    "%s is the medium of process %d: a file has one writer", path,
			    (int)who);
		nap();
	}
	f->next_open = open_files;
	open_files = f;
	return 0;
}

static void unlock_file(struct file *f)
{
	pid_t who;

	for (struct file **p = &open_files; *p != NULL; p = &(*p)->next_open)
		if (*p == f) {
			*p = f->next_open;
			break;
		}
	close(f->fd);
	for (struct file *o = open_files; o != NULL; o = o->next_open)
		if (o->dev == f->dev && o->ino == f->ino)
			(void)try_lock(o, &who);
}

/* The name of a new file must survive as well as what is flushed into it. */
static int sync_dir_of(const char *path)
{
	char copy[PATH_MAX];
	int fd, rc;

	if (strlen(path) >= sizeof(copy))
		return -ENAMETOOLONG;
	strcpy(copy, path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fsync(fd) == 0 || errno == EINVAL ? 0 : -errno;
	close(fd);
	return rc;
}

/* Opens, makes if need be. Returns the descriptor, -errno. */
static int open_path(const struct ob_blk_file_conf *conf, bool *made, struct err *e)
{
	int how = (conf->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK, fd;
	const struct file *other;
	struct stat st;

	if (stat(conf->path, &st) == 0) {
		other = holder(st.st_dev, st.st_ino, conf->read_only);
		if (other != NULL)
			return blk_err(e->text, e->len, -EBUSY,
			    "%s is the medium of volume %s: a file has one writer", conf->path,
			    other->blk.info.name);
		/* O_EXCL without O_CREAT: a block device that is not mounted nor part of anything. */
		if (S_ISBLK(st.st_mode) && !conf->read_only)
			how |= O_EXCL;
	}
	fd = open(conf->path, how);
	for (unsigned i = 0; fd < 0 && errno == EBUSY && i < BDEV_TRIES; i++) {
		nap();
		fd = open(conf->path, how);
	}
	if (fd < 0 && errno == ENOENT && conf->bytes != 0 && !conf->read_only) {
		fd = open(conf->path, how | O_CREAT | O_EXCL, 0600);
		*made = fd >= 0;
	}
	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return blk_err(e->text, e->len, -EBUSY,
		    "%s is in use: unmount it, or take it out of what it is part of", conf->path);
	return why(e, -errno, "cannot open", conf->path);
}

/* How I/O must be aligned. After O_DIRECT was set. */
static void find_alignment(struct file *f)
{
	int sector = 0;

	f->mem_align = f->direct ? 512 : 1;
	f->len_align = f->mem_align;
	if (!f->direct)
		return;
	if (f->bdev && ioctl(f->fd, BLKSSZGET, &sector) == 0 && sector >= 512)
		f->mem_align = f->len_align = (uint32_t)sector;
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
	    (sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_mem_align != 0 &&
	    sx.stx_dio_offset_align != 0) {
		f->mem_align = sx.stx_dio_mem_align;
		f->len_align = sx.stx_dio_offset_align;
	}
#endif
}

static int set_direct(struct file *f, const struct ob_blk_file_conf *conf, struct err *e)
{
	int flags = fcntl(f->fd, F_GETFL);

	/* Of the open only. */
	flags &= ~O_NONBLOCK;
	if (fcntl(f->fd, F_SETFL, conf->buffered ? flags : flags | O_DIRECT) != 0)
		return blk_err(e->text, e->len, -EINVAL,
		    "the file system of %s does no O_DIRECT: say buffered, or use another file "
		    "system",
		    conf->path);
	f->direct = !conf->buffered;
	find_alignment(f);
	return 0;
}

static int set_block(struct file *f, const struct ob_blk_file_conf *conf, struct err *e)
{
	struct ob_blk_info *info = &f->blk.info;
	uint32_t least = f->len_align > 512 ? 4096 : 512;

	if (f->len_align > 4096)
		return blk_err(e->text, e->len, -EINVAL,
		    "%s wants blocks of %u bytes: say buffered", conf->path, f->len_align);
	info->block_bytes = conf->block_bytes != 0 ? conf->block_bytes : least;
	if (info->block_bytes < least)
		return blk_err(e->text, e->len, -EINVAL,
		    "%s has blocks of %u bytes: use 4096, or say buffered", conf->path, least);
	return 0;
}

static int bdev_info(struct file *f, uint64_t *bytes)
{
	struct ob_blk_info *info = &f->blk.info;
	unsigned phys = 0, opt = 0;

	if (ioctl(f->fd, BLKGETSIZE64, bytes) != 0)
		return -errno;
	if (ioctl(f->fd, BLKPBSZGET, &phys) == 0 && phys > info->block_bytes)
		info->phys_block_bytes = phys;
	if (ioctl(f->fd, BLKIOOPT, &opt) == 0)
		info->opt_io_bytes = opt;
	/* What the device cannot shows when it is tried: the kernel asks it then. */
	info->discard_bytes = info->phys_block_bytes;
	info->write_zeroes = true;
	return 0;
}

static int regular_info(struct file *f, const struct stat *st, uint64_t *bytes)
{
	struct ob_blk_info *info = &f->blk.info;
	uint32_t fs_block = (uint32_t)st->st_blksize;

	*bytes = (uint64_t)st->st_size;
	if (fs_block > info->block_bytes && fs_block <= 65536)
		info->phys_block_bytes = fs_block;
	/* A hole behind the end changes nothing; who cannot make one says so. */
	if (!info->read_only && fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (off_t)((*bytes + 4095) & ~4095ull), 4096) == 0) {
		info->discard_bytes = info->phys_block_bytes;
		info->write_zeroes = info->zero_on_discard = true;
	}
	return 0;
}

static int set_size(struct file *f, const struct ob_blk_file_conf *conf, struct err *e)
{
	struct ob_blk_info *info = &f->blk.info;
	uint64_t bytes = 0;
	struct stat st;
	int rc;

	if (fstat(f->fd, &st) != 0)
		return why(e, -errno, "cannot look at", conf->path);
	info->phys_block_bytes = info->block_bytes;
	rc = f->bdev ? bdev_info(f, &bytes) : regular_info(f, &st, &bytes);
	if (rc != 0)
		return why(e, rc, "cannot look at", conf->path);
	if (bytes < conf->bytes) {
		if (f->bdev || conf->read_only)
			return blk_err(e->text, e->len, -ENOSPC, "%s has %llu bytes only",
			    conf->path, (unsigned long long)bytes);
		if (ftruncate(f->fd, (off_t)conf->bytes) != 0 || fsync(f->fd) != 0)
			return why(e, -errno, "cannot extend", conf->path);
		bytes = conf->bytes;
	}
	info->bytes = bytes / info->block_bytes * info->block_bytes;
	if (info->bytes == 0)
		return blk_err(e->text, e->len, -EINVAL, "%s is empty: say a size", conf->path);
	return 0;
}

static int set_up(struct file *f, const struct ob_blk_file_conf *conf, bool *made, struct err *e)
{
	struct stat st;
	int rc;

	rc = open_path(conf, made, e);
	if (rc < 0)
		return rc;
	f->fd = rc;
	if (fstat(f->fd, &st) != 0)
		return why(e, -errno, "cannot look at", conf->path);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->bdev = S_ISBLK(st.st_mode);
	f->blk.info.read_only = conf->read_only;
	f->blk.info.volatile_cache = !conf->read_only;
	if (!f->bdev && !S_ISREG(st.st_mode))
		return blk_err(e->text, e->len, -EINVAL,
		    "%s is neither a regular file nor a block device", conf->path);
	rc = lock_file(f, conf->path, e);
	if (rc == 0)
		rc = set_direct(f, conf, e);
	if (rc == 0)
		rc = set_block(f, conf, e);
	if (rc == 0)
		rc = set_size(f, conf, e);
	if (rc == 0 && *made) {
		rc = sync_dir_of(conf->path);
		if (rc != 0)
			return why(e, rc, "cannot sync the folder of", conf->path);
	}
	return rc;
}

int ob_blk_file_create(const char *name, const struct ob_blk_file_conf *conf, struct ob_blk **out,
    char *err, size_t err_len)
{
	struct err e = {err, err_len};
	bool made = false;
	struct ob_blk *b;
	int rc;

	if (conf->path == NULL || conf->path[0] == '\0' || strlen(conf->path) >= PATH_MAX)
		return blk_err(err, err_len, -EINVAL, "say a path");
	if (conf->block_bytes != 0 || conf->bytes != 0) {
		rc = blk_check_size(conf->bytes != 0 ? conf->bytes : 4096,
		    conf->block_bytes != 0 ? conf->block_bytes : 512, err, err_len);
		if (rc != 0)
			return rc;
	}
	rc = check_ring(&e);
	if (rc != 0)
		return rc;
	rc = blk_new(&file_ops, name, NULL, 0, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc,
		    rc == -EINVAL ? "a name is 1 to 31 of A-Z a-z 0-9 _ . -" : "no memory");
	((struct file *)b)->fd = -1;
	rc = set_up((struct file *)b, conf, &made, &e);
	if (rc != 0) {
		ob_blk_put(b);
		if (made)
			unlink(conf->path);
		return rc;
	}
	*out = b;
	return 0;
}

int file_resize(struct ob_blk *b, uint64_t bytes)
{
	struct file *f = (struct file *)b;
	uint64_t old = b->info.bytes, has;

	if (b->info.read_only)
		return -EROFS;
	if (f->bdev) {
		/* Others change it (LVM, the host): follow, within what there is. */
		if (ioctl(f->fd, BLKGETSIZE64, &has) != 0)
			return -errno;
		if (bytes > has)
			return -ENOSPC;
		blk_changed(b, bytes);
		return 0;
	}
	if (bytes < old) {
		blk_changed(b, bytes);
		return ftruncate(f->fd, (off_t)bytes) == 0 && fsync(f->fd) == 0 ? 0 : -errno;
	}
	/* First to the old size: a write that was under way as it shrank may have left bytes behind it. */
	if (ftruncate(f->fd, (off_t)old) != 0 || ftruncate(f->fd, (off_t)bytes) != 0 ||
	    fsync(f->fd) != 0)
		return -errno;
	blk_changed(b, bytes);
	return 0;
}

void file_destroy(struct ob_blk *b)
{
	struct file *f = (struct file *)b;

	if (f->fd >= 0)
		unlock_file(f);
}
