/* SPDX-License-Identifier: BSD-3-Clause */
#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void keyring_init(struct keyring *k, const char *path)
{
	memset(k, 0, sizeof(*k));
	snprintf(k->path, sizeof(k->path), "%s", path);
}

void keyring_wipe(struct keyring *k)
{
	if (k->kek != NULL) {
		OPENSSL_cleanse(k->kek, KEK_LEN);
		munmap(k->kek, (size_t)sysconf(_SC_PAGESIZE));
	}
	k->kek = NULL;
	k->loaded = false;
}

/* A new one. It is whole before it has its name: a crash leaves no short file behind. */
static int make_file(const struct keyring *k, struct text *t)
{
	uint8_t bytes[KEK_LEN];
	char tmp[sizeof(k->path) + 8];
	int fd, rc = 0;

	snprintf(tmp, sizeof(tmp), "%s.new", k->path);
	if (RAND_priv_bytes(bytes, sizeof(bytes)) != 1)
		return fail(t, -EIO, "no random numbers for a key");
	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		rc = -errno;
	else if (write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) || fsync(fd) < 0)
		rc = errno ? -errno : -EIO;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	if (fd >= 0)
		close(fd);
	/* link, not rename: one that another process made meanwhile is kept. */
	if (rc == 0 && link(tmp, k->path) < 0 && errno != EEXIST)
		rc = -errno;
	(void)unlink(tmp);
	return rc == 0 ? 0
		       : fail(t, rc, "file %s for the key of keys: %s (may the card write there?)",
			     k->path, strerror(-rc));
}

static int read_file(struct keyring *k, int fd, struct text *t)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(t, -errno, "file %s: %s", k->path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_uid != geteuid())
		return fail(t, -EACCES,
		    "file %s with the key of keys must be a file of the card's user that nobody "
		    "else "
		    "can read (mode 0600)",
		    k->path);
	if (st.st_size != (off_t)KEK_LEN || read(fd, k->kek, KEK_LEN) != (ssize_t)KEK_LEN)
		return fail(
		    t, -EINVAL, "file %s does not hold a key of %d bytes", k->path, KEK_LEN);
	k->loaded = true;
	return 0;
}

static int make_page(struct keyring *k, struct text *t)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	if (k->kek != NULL)
		return 0;
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return fail(t, -ENOMEM, "no memory for the key of keys");
	/* Hardening: a limit on locked memory is no reason to refuse. */
	(void)mlock(p, page);
	(void)madvise(p, page, MADV_DONTDUMP);
	(void)madvise(p, page, MADV_WIPEONFORK);
	k->kek = p;
	return 0;
}

static int load(struct keyring *k, bool make, struct text *t)
{
	int fd, rc;

	if (k->loaded)
		return 0;
	fd = open(k->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && make) {
		rc = make_file(k, t);
		if (rc < 0)
			return rc;
		fd = open(k->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return fail(
		    t, -errno, "file %s with the key of keys: %s", k->path, strerror(errno));
	rc = make_page(k, t);
	if (rc == 0)
		rc = read_file(k, fd, t);
	close(fd);
	return rc;
}

/* One pass of the cipher. Returns the bytes written, or -1. */
static int cipher(const struct keyring *k, bool wrap, const uint8_t *in, int len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, tail = 0, rc = -1;

	if (ctx == NULL)
		return -1;
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	if (EVP_CipherInit_ex(ctx, EVP_aes_256_wrap(), NULL, k->kek, NULL, wrap) == 1 &&
	    EVP_CipherUpdate(ctx, out, &n, in, len) == 1 &&
	    EVP_CipherFinal_ex(ctx, out + n, &tail) == 1)
		rc = n + tail;
	EVP_CIPHER_CTX_free(ctx);
	return rc;
}

int keyring_wrap(
    struct keyring *k, const uint8_t *key, size_t len, struct wrapped_key *out, struct text *t)
{
	uint8_t buf[KEY_WRAPPED + 16];
	int rc;

	if (len != 32 && len != KEY_MAX)
		return fail(t, -EINVAL, "a key has 32 or 64 bytes, not %zu", len);
	rc = load(k, true, t);
	if (rc < 0)
		return rc;
	if (cipher(k, true, key, (int)len, buf) != (int)len + 8)
		return fail(t, -EIO, "the key could not be wrapped");
	memset(out, 0, sizeof(*out));
	out->len = (uint8_t)len;
	memcpy(out->bytes, buf, len + 8);
	return 0;
}

int keyring_unwrap(struct keyring *k, const struct wrapped_key *w, uint8_t *key, struct text *t)
{
	uint8_t buf[KEY_WRAPPED + 16];
	int rc, n;

	if (w->len != 32 && w->len != KEY_MAX)
		return fail(t, -ENOKEY, "its key is not known");
	rc = load(k, false, t);
	if (rc < 0)
		return rc;
	n = cipher(k, false, w->bytes, w->len + 8, buf);
	if (n == w->len)
		memcpy(key, buf, w->len);
	OPENSSL_cleanse(buf, sizeof(buf));
	return n == w->len
		   ? 0
		   : fail(t, -EKEYREJECTED,
			 "its key was wrapped with another key of keys than that in %s", k->path);
}
