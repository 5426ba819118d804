/* SPDX-License-Identifier: BSD-3-Clause */
/* XTS on CPUs that encrypt four blocks at once (VAES and VPCLMULQDQ with AVX-512): 32 blocks are under way together. The library's own
 * code uses single blocks (OpenSSL before 3.1 has nothing wider), and costs 70 ns more a sector to set the tweak.
 * No table and no branch depends on key or data. Schedules lie in a locked page of their own that no core dump gets.
 */
#include "crypt_priv.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/mman.h>

#define MAX_ROUNDS 14
#define STRIDE	   512 /* bytes under way together */
#define FAST \
	__attribute__((target("aes,pclmul,avx512f,avx512vl,avx512bw,avx512dq,vaes,vpclmulqdq")))
#define INLINE static inline __attribute__((always_inline))

struct crypt_fast {
	__m512i enc[MAX_ROUNDS + 1], dec[MAX_ROUNDS + 1]; /* four times the round's key */
	__m128i tweak[MAX_ROUNDS + 1];
	unsigned rounds;
};
static_assert(sizeof(struct crypt_fast) <= 4096, "a page");

/* FIPS 197, 5.2; 'w': 4 * (rounds + 1) words. */
FAST static void expand(const uint8_t *key, unsigned n_k, unsigned rounds, uint32_t *w)
{
	uint32_t rcon = 1;

	memcpy(w, key, 4 * n_k);
	for (unsigned i = n_k; i < 4 * (rounds + 1); i++) {
		uint32_t t = w[i - 1];

		if (i % n_k == 0 || (n_k == 8 && i % 8 == 4))
			t = (uint32_t)_mm_cvtsi128_si32(
			    _mm_aeskeygenassist_si128(_mm_set1_epi32((int)t), 0));
		if (i % n_k == 0) {
			t = (t >> 8 | t << 24) ^ rcon;
			rcon = rcon << 1 ^ (rcon >> 7) * 0x11b;
		}
		w[i] = w[i - n_k] ^ t;
	}
}

FAST static void schedule(struct crypt_fast *f, const uint8_t *key, size_t half)
{
	union {
		uint32_t w[4 * (MAX_ROUNDS + 1)];
		__m128i k[MAX_ROUNDS + 1];
	} u;
	unsigned n_k = (unsigned)half / 4, r = n_k + 6;

	f->rounds = r;
	expand(key + half, n_k, r, u.w);
	memcpy(f->tweak, u.k, sizeof(u.k));
	expand(key, n_k, r, u.w);
	for (unsigned i = 0; i <= r; i++) {
		__m128i back = u.k[r - i];

		if (i != 0 && i != r)
			back = _mm_aesimc_si128(back);
		f->enc[i] = _mm512_broadcast_i32x4(u.k[i]);
		f->dec[i] = _mm512_broadcast_i32x4(back);
	}
	explicit_bzero(&u, sizeof(u));
}

/* The tweak of the sector's first block: its number under the second key. */
FAST INLINE __m128i first_tweak(const struct crypt_fast *f, uint64_t number)
{
	__m128i t = _mm_xor_si128(_mm_set_epi64x(0, (long long)number), f->tweak[0]);

	for (unsigned i = 1; i < f->rounds; i++)
		t = _mm_aesenc_si128(t, f->tweak[i]);
	return _mm_aesenclast_si128(t, f->tweak[f->rounds]);
}

/* t * x^s for each 128-bit lane, s of the lane up to 31: IEEE 1619, 5.2: the polynomial is x^128 + x^7 + x^2 + x + 1. */
FAST INLINE __m512i times_x(__m512i t, __m512i s)
{
	const __m512i poly = _mm512_set1_epi64(0x87);
	__m512i over = _mm512_srlv_epi64(t, _mm512_sub_epi64(_mm512_set1_epi64(64), s));

	t = _mm512_xor_si512(_mm512_sllv_epi64(t, s), _mm512_bslli_epi128(over, 8));
	return _mm512_xor_si512(t, _mm512_clmulepi64_epi128(over, poly, 0x01));
}

/* t * x^32 */
FAST INLINE __m512i times_x32(__m512i t)
{
	const __m512i poly = _mm512_set1_epi64(0x87);
	__m512i over = _mm512_bsrli_epi128(t, 12);

	return _mm512_xor_si512(
	    _mm512_bslli_epi128(t, 4), _mm512_clmulepi64_epi128(over, poly, 0x00));
}

FAST INLINE void run(const struct crypt_fast *f, bool enc, unsigned rounds, uint64_t number,
    const uint8_t *from, uint8_t *to, uint32_t len)
{
	const __m512i *k = enc ? f->enc : f->dec;
	__m512i first = _mm512_broadcast_i32x4(first_tweak(f, number)), t[8], d[8];

	for (int i = 0; i < 8; i++) {
		long long s = 4 * i;

		t[i] = times_x(
		    first, _mm512_set_epi64(s + 3, s + 3, s + 2, s + 2, s + 1, s + 1, s, s));
	}
	for (uint32_t at = 0; at < len; at += STRIDE) {
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			d[i] = _mm512_xor_si512(
			    _mm512_loadu_si512(from + at + 64 * i), _mm512_xor_si512(t[i], k[0]));
#pragma GCC unroll 14
		for (unsigned r = 1; r < rounds; r++) {
#pragma GCC unroll 8
			for (int i = 0; i < 8; i++)
				d[i] = enc ? _mm512_aesenc_epi128(d[i], k[r])
					   : _mm512_aesdec_epi128(d[i], k[r]);
		}
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++) {
			__m512i last = _mm512_xor_si512(t[i], k[rounds]);

			d[i] = enc ? _mm512_aesenclast_epi128(d[i], last)
				   : _mm512_aesdeclast_epi128(d[i], last);
			_mm512_storeu_si512(to + at + 64 * i, d[i]);
			t[i] = times_x32(t[i]);
		}
	}
}

FAST static void encrypt(
    const struct crypt_fast *f, uint64_t number, const uint8_t *from, uint8_t *to, uint32_t len)
{
	if (f->rounds == 14)
		run(f, true, 14, number, from, to, len);
	else
		run(f, true, 10, number, from, to, len);
}

FAST static void decrypt(
    const struct crypt_fast *f, uint64_t number, const uint8_t *from, uint8_t *to, uint32_t len)
{
	if (f->rounds == 14)
		run(f, false, 14, number, from, to, len);
	else
		run(f, false, 10, number, from, to, len);
}

/* The builtin knows whether the system keeps the wide registers, but not in every compiler what VAES is. */
static bool cpu_can(void)
{
	unsigned a, b, c, d;

	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("pclmul") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
	       (c & bit_VAES) && (c & bit_VPCLMULQDQ);
}

struct crypt_fast *crypt_fast_create(const uint8_t *key, size_t len)
{
	struct crypt_fast *f;

	if (!cpu_can())
		return NULL;
	f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f == MAP_FAILED)
		return NULL;
	(void)mlock(f, sizeof(*f));
	(void)madvise(f, 4096, MADV_DONTDUMP);
	schedule(f, key, len / 2);
	return f;
}

void crypt_fast_destroy(struct crypt_fast *f)
{
	if (f == NULL)
		return;
	explicit_bzero(f, sizeof(*f));
	munmap(f, sizeof(*f));
}

bool crypt_fast_run(
    const struct crypt_fast *f, bool enc, uint64_t tweak, const void *from, void *to, uint32_t len)
{
	if (f == NULL || len % STRIDE != 0)
		return false;
	if (enc)
		encrypt(f, tweak, from, to, len);
	else
		decrypt(f, tweak, from, to, len);
	return true;
}

#else

struct crypt_fast *crypt_fast_create(const uint8_t *key, size_t len)
{
	(void)key;
	(void)len;
	return NULL;
}

void crypt_fast_destroy(struct crypt_fast *f)
{
	(void)f;
}

bool crypt_fast_run(
    const struct crypt_fast *f, bool enc, uint64_t tweak, const void *from, void *to, uint32_t len)
{
	(void)f;
	(void)enc;
	(void)tweak;
	(void)from;
	(void)to;
	(void)len;
	return false;
}

#endif
