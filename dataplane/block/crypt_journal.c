/* SPDX-License-Identifier: BSD-3-Clause */
/* The file that makes a change of keys survive crashes: two records that take turns, and the new ciphertext of one segment (a redo
 * log). A torn record, or a record whose segment is torn, leaves the other one, which says the truth: before the segment was begun
 * nothing of it is overwritten, and until it is recorded as done nobody else writes to it. */
#include "crypt_priv.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <isa-l.h>

#define MAGIC	 "OBREKEY1"
#define SLOT	 4096
#define DATA_OFF ((off_t)2 * SLOT)
#define CHECK	 16

enum kind { BEGIN = 1, DONE = 2, COMPLETE = 3 };

/* Little-endian. */
struct rec {
	uint8_t magic[8];
	uint64_t seq;
	uint64_t seg;
	uint32_t kind;
	uint32_t len; /* BEGIN: of the segment's data, and its CRC32C */
	uint32_t data_crc;
	uint8_t from[CHECK], to[CHECK]; /* one known block under each key */
	uint32_t crc;			/* of all before */
};
static_assert(sizeof(struct rec) == 72, "layout of the file");

struct crypt_journal {
	int fd;
	uint64_t seq;
	uint8_t from[CHECK], to[CHECK];
};

static uint32_t crc(const void *p, size_t len)
{
	union {
		const void *c;
		unsigned char *m;
	} u = {.c = p}; /* the library forgot a const */

	return crc32_iscsi(u.m, (int)len, ~0u);
}

/* A sector number that no device has. */
static int check_value(const struct crypt_wrapped *w, uint8_t out[CHECK])
{
	static const uint8_t zero[CHECK];
	struct crypt_xts *x;
	int rc = crypt_xts_create(w, &x);

	if (rc != 0)
		return rc;
	rc = crypt_xts_encrypt(x, UINT64_MAX, zero, out, CHECK) ? 0 : -EIO;
	crypt_xts_destroy(x);
	return rc;
}

static int write_all(int fd, const void *p, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p = (const uint8_t *)p + n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

static int record(
    struct crypt_journal *j, enum kind kind, uint64_t seg, const uint8_t *data, uint32_t len)
{
	struct rec r = {.seq = htole64(j->seq + 1),
	    .seg = htole64(seg),
	    .kind = htole32(kind),
	    .len = htole32(len)};
	int rc = 0;

	memcpy(r.magic, MAGIC, sizeof(r.magic));
	memcpy(r.from, j->from, CHECK);
	memcpy(r.to, j->to, CHECK);
	if (data != NULL) {
		r.data_crc = htole32(crc(data, len));
		rc = write_all(j->fd, data, len, DATA_OFF);
	}
	r.crc = htole32(crc(&r, offsetof(struct rec, crc)));
	if (rc == 0)
		rc = write_all(j->fd, &r, sizeof(r), (off_t)((j->seq + 1) % 2 * SLOT));
	if (rc == 0 && fdatasync(j->fd) != 0)
		rc = -errno;
	if (rc == 0)
		j->seq++;
	return rc;
}

int crypt_journal_begin(struct crypt_journal *j, uint64_t seg, const uint8_t *data, uint32_t len)
{
	return record(j, BEGIN, seg, data, len);
}

int crypt_journal_done(struct crypt_journal *j, uint64_t seg, bool complete)
{
	return record(j, complete ? COMPLETE : DONE, seg, NULL, 0);
}

/* A record that is whole, with its segment. */
static bool read_slot(struct crypt_journal *j, unsigned slot, uint8_t *data, struct rec *r)
{
	uint32_t len;

	if (pread(j->fd, r, sizeof(*r), (off_t)slot * SLOT) != sizeof(*r) ||
	    memcmp(r->magic, MAGIC, sizeof(r->magic)) != 0 ||
	    r->crc != htole32(crc(r, offsetof(struct rec, crc))))
		return false;
	len = le32toh(r->len);
	if (r->kind != htole32(BEGIN))
		return true;
	return len > 0 && len <= CRYPT_SEG_BYTES &&
	       pread(j->fd, data, len, DATA_OFF) == (ssize_t)len &&
	       r->data_crc == htole32(crc(data, len));
}

static int resume(struct crypt_journal *j, uint8_t *data, struct crypt_resume *at)
{
	struct rec r[2];
	bool ok[2];
	unsigned best;

	for (unsigned i = 0; i < 2; i++)
		ok[i] = read_slot(j, i, data, &r[i]);
	if (!ok[0] && !ok[1])
		return -EBADMSG;
	best = !ok[0] || (ok[1] && le64toh(r[1].seq) > le64toh(r[0].seq));
	if (memcmp(r[best].from, j->from, CHECK) != 0 || memcmp(r[best].to, j->to, CHECK) != 0)
		return -EKEYREJECTED;
	j->seq = le64toh(r[best].seq);
	if (j->seq % 2 != best)
		return -EBADMSG;
	at->next = le64toh(r[best].seg);
	at->redo_len = r[best].kind == htole32(BEGIN) ? le32toh(r[best].len) : 0;
	at->complete = r[best].kind == htole32(COMPLETE);
	return 0;
}

static int sync_folder(const char *path)
{
	char copy[PATH_MAX];
	int fd, rc = 0;

	if (strlen(path) >= sizeof(copy))
		return -ENAMETOOLONG;
	memcpy(copy, path, strlen(path) + 1);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		rc = -errno;
	close(fd);
	return rc;
}

static int open_file(
    const char *path, struct crypt_journal *j, uint8_t *data, struct crypt_resume *at)
{
	struct stat st;
	int rc;

	j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0)
		return -errno;
	if (flock(j->fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(j->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size != 0)
		return resume(j, data, at);
	at->fresh = true;
	rc = crypt_journal_done(j, 0, false);
	return rc != 0 ? rc : sync_folder(path);
}

int crypt_journal_open(const char *path, const struct crypt_wrapped *from,
    const struct crypt_wrapped *to, uint8_t data[CRYPT_SEG_BYTES], struct crypt_resume *at,
    struct crypt_journal **out)
{
	struct crypt_journal *j = calloc(1, sizeof(*j));
	int rc;

	*at = (struct crypt_resume){0};
	if (j == NULL)
		return -ENOMEM;
	j->fd = -1;
	rc = check_value(from, j->from);
	if (rc == 0)
		rc = check_value(to, j->to);
	if (rc == 0)
		rc = open_file(path, j, data, at);
	if (rc != 0) {
		crypt_journal_close(j);
		return rc;
	}
	*out = j;
	return 0;
}

void crypt_journal_close(struct crypt_journal *j)
{
	if (j == NULL)
		return;
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}
