/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of the encrypting layer. A key lies in memory wrapped under a random key of this process, which is in a locked page that no core dump
 * and no child gets. The schedules of keys in use are crypt_x86.c's, or the library's in its heap; both cleanse them. */
#include "crypt_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define KEK_BYTES 32

struct crypt_xts {
	EVP_CIPHER_CTX *enc, *dec;
	struct crypt_fast *fast; /* NULL: the library does it */
};

static pthread_once_t kek_once = PTHREAD_ONCE_INIT;
static uint8_t *kek; /* NULL: could not be made */

static void make_kek(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	/* All three are hardening: a limit on locked memory, or an old kernel, is no reason to refuse. */
	(void)mlock(p, page);
	(void)madvise(p, page, MADV_DONTDUMP);
	(void)madvise(p, page, MADV_WIPEONFORK);
	if (RAND_priv_bytes(p, KEK_BYTES) != 1) {
		munmap(p, page);
		return;
	}
	kek = p;
}

static int wrap(bool enc, const uint8_t *from, size_t len, uint8_t *to)
{
	EVP_CIPHER_CTX *c;
	int n = 0, rc = -EIO;

	pthread_once(&kek_once, make_kek);
	if (kek == NULL)
		return -EIO;
	c = EVP_CIPHER_CTX_new();
	if (c == NULL)
		return -ENOMEM;
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	if (EVP_CipherInit_ex(c, EVP_aes_256_wrap(), NULL, kek, NULL, enc) == 1 &&
	    EVP_CipherUpdate(c, to, &n, from, (int)len) == 1 &&
	    (size_t)n == (enc ? len + 8 : len - 8))
		rc = 0;
	EVP_CIPHER_CTX_free(c);
	return rc;
}

int crypt_wrap(const uint8_t *key, size_t len, struct crypt_wrapped *out)
{
	int rc;

	if (key == NULL || (len != 32 && len != 64))
		return -EINVAL;
	/* IEEE 1619 demands two independent keys; XTS with equal ones can be attacked. */
	if (CRYPTO_memcmp(key, key + len / 2, len / 2) == 0)
		return -EINVAL;
	rc = wrap(true, key, len, out->bytes);
	out->len = rc == 0 ? (uint8_t)len : 0;
	return rc;
}

int crypt_unwrap(const struct crypt_wrapped *w, uint8_t key[CRYPT_MAX_KEY])
{
	if (w->len == 0)
		return -EIO;
	return wrap(false, w->bytes, w->len + 8u, key);
}

static EVP_CIPHER_CTX *new_ctx(const uint8_t *key, size_t len, bool enc)
{
	static const uint8_t iv[16];
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (c == NULL)
		return NULL;
	if (EVP_CipherInit_ex(
		c, len == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(), NULL, key, iv, enc) != 1) {
		EVP_CIPHER_CTX_free(c);
		return NULL;
	}
	return c;
}

int crypt_xts_create(const struct crypt_wrapped *w, struct crypt_xts **out)
{
	uint8_t key[CRYPT_MAX_KEY];
	struct crypt_xts *x = calloc(1, sizeof(*x));
	int rc;

	if (x == NULL)
		return -ENOMEM;
	rc = crypt_unwrap(w, key);
	if (rc == 0) {
		x->enc = new_ctx(key, w->len, true);
		x->dec = new_ctx(key, w->len, false);
		rc = x->enc != NULL && x->dec != NULL ? 0 : -ENOMEM;
		x->fast = crypt_fast_create(key, w->len);
	}
	OPENSSL_cleanse(key, sizeof(key));
	if (rc != 0) {
		crypt_xts_destroy(x);
		return rc;
	}
	*out = x;
	return 0;
}

void crypt_xts_destroy(struct crypt_xts *x)
{
	if (x == NULL)
		return;
	EVP_CIPHER_CTX_free(x->enc);
	EVP_CIPHER_CTX_free(x->dec);
	crypt_fast_destroy(x->fast);
	free(x);
}

/* The key schedule stays; only the tweak is set anew, which costs a tenth of encrypting 4 KiB. */
static bool run(EVP_CIPHER_CTX *c, uint64_t tweak, const void *from, void *to, uint32_t len)
{
	uint8_t iv[16] = {0};
	int n;

	for (unsigned i = 0; i < 8; i++)
		iv[i] = (uint8_t)(tweak >> 8 * i);
	return EVP_CipherInit_ex(c, NULL, NULL, NULL, iv, -1) == 1 &&
	       EVP_CipherUpdate(c, to, &n, from, (int)len) == 1;
}

bool crypt_xts_encrypt(
    struct crypt_xts *x, uint64_t tweak, const void *from, void *to, uint32_t len)
{
	return crypt_fast_run(x->fast, true, tweak, from, to, len) ||
	       run(x->enc, tweak, from, to, len);
}

bool crypt_xts_decrypt(
    struct crypt_xts *x, uint64_t tweak, const void *from, void *to, uint32_t len)
{
	return crypt_fast_run(x->fast, false, tweak, from, to, len) ||
	       run(x->dec, tweak, from, to, len);
}
