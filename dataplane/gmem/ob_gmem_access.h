/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of ob_gmem.h that the hot path inlines: lookup, copies, and loads and stores of window elements.
 * Included by ob_gmem.h only. With OB_GMEM_FAKE each access tells tests/support/fake_gmem.c what it touched.
 */
#pragma once

#include "ob_gmem.h"

/* One mapped range as readers see it. 'direct' is the prot set that plain copies may use: 0 for an fd-less range. */
struct ob_gmem_range {
	uint64_t iova;
	uint64_t len;
	uint8_t *hva;
	uint16_t prot;
	uint16_t direct;
	uint32_t stretch; /* index of the mapping behind it; control's business */
};

/* Immutable once published. */
struct ob_gmem_map {
	uint64_t gen; /* differs between any two maps of one gmem */
	struct ob_gmem *gm;
	struct ob_gmem_map *dead_next; /* control: waits for readers */
	uint32_t n_ranges;
	uint32_t n_windows;
	void **window;
	struct ob_gmem_range range[]; /* sorted by iova, disjoint */
};

/* The first member of struct ob_gmem. */
struct ob_gmem_hot {
	struct ob_gmem_map *_Atomic map;
	_Atomic uint64_t n_faults;
	_Atomic uint64_t n_violations;
	_Atomic bool poisoned;
};

/* Index of the range that this thread hit last; only a guess, checked at each use. */
extern _Thread_local uint32_t ob_gmem_hint __attribute__((tls_model("initial-exec")));

#ifdef OB_GMEM_FAKE
void ob_gmem_fake_fetched(const void *hva, size_t len);
void ob_gmem_fake_stored(const void *hva, size_t len);
/* A place between two stores to memory that outlives the process. */
void ob_gmem_fake_crash_point(void);
#else
static inline void ob_gmem_fake_crash_point(void)
{
}
static inline void ob_gmem_fake_fetched(const void *hva, size_t len)
{
	(void)hva;
	(void)len;
}
static inline void ob_gmem_fake_stored(const void *hva, size_t len)
{
	(void)hva;
	(void)len;
}
#endif

/* The current map; one acquire load, pairs with the release store of publication. Context: any; the result dies at
 * the caller's next quiescent point. Never NULL. */
static inline const struct ob_gmem_map *ob_gmem_map_get(const struct ob_gmem *gm)
{
	const struct ob_gmem_hot *hot = (const struct ob_gmem_hot *)(const void *)gm;

	return atomic_load_explicit(&hot->map, memory_order_acquire);
}

/* As ob_gmem_poisoned, without the count. */
static inline bool ob_gmem_is_poisoned(const struct ob_gmem *gm)
{
	const struct ob_gmem_hot *hot = (const struct ob_gmem_hot *)(const void *)gm;

	return atomic_load_explicit(&hot->poisoned, memory_order_relaxed);
}

/* Address of window 'idx' in this map, or NULL while any byte of it is not mapped with its prot. Context: any.
 * Its elements are accessed by ob_gmem_ld_* and ob_gmem_st_* only. */
static inline void *ob_gmem_window(const struct ob_gmem_map *map, int idx)
{
	return (uint32_t)idx < map->n_windows ? map->window[idx] : NULL;
}

/* Elements of a window: naturally aligned, little endian, one access each. The acquire loads pair with the guest
 * driver's release of the element, the release stores with the guest driver's acquire. Context: any. */
#define OB_GMEM_ELEM(bits)                                                                       \
	static inline uint##bits##_t ob_gmem_ld_le##bits(const void *p)                          \
	{                                                                                        \
		uint##bits##_t v = __atomic_load_n((const uint##bits##_t *)p, __ATOMIC_RELAXED); \
                                                                                                 \
		ob_gmem_fake_fetched(p, sizeof(v));                                              \
		return le##bits##toh(v);                                                         \
	}                                                                                        \
	static inline uint##bits##_t ob_gmem_ld_le##bits##_acq(const void *p)                    \
	{                                                                                        \
		uint##bits##_t v = __atomic_load_n((const uint##bits##_t *)p, __ATOMIC_ACQUIRE); \
                                                                                                 \
		ob_gmem_fake_fetched(p, sizeof(v));                                              \
		return le##bits##toh(v);                                                         \
	}                                                                                        \
	static inline void ob_gmem_st_le##bits(void *p, uint##bits##_t v)                        \
	{                                                                                        \
		__atomic_store_n((uint##bits##_t *)p, htole##bits(v), __ATOMIC_RELAXED);         \
		ob_gmem_fake_stored(p, sizeof(v));                                               \
	}                                                                                        \
	static inline void ob_gmem_st_le##bits##_rel(void *p, uint##bits##_t v)                  \
	{                                                                                        \
		__atomic_store_n((uint##bits##_t *)p, htole##bits(v), __ATOMIC_RELEASE);         \
		ob_gmem_fake_stored(p, sizeof(v));                                               \
	}
OB_GMEM_ELEM(16)
OB_GMEM_ELEM(32)
OB_GMEM_ELEM(64)
#undef OB_GMEM_ELEM

/* Copies a larger element of a window out, each byte once, in any order. Context: any. */
static inline void ob_gmem_ld_bytes(void *dst, const void *p, size_t len)
{
	memcpy(dst, p, len);
	/* As in ob_gmem_fetch. */
	atomic_signal_fence(memory_order_seq_cst);
	ob_gmem_fake_fetched(p, len);
}

/* Copies without calling memcpy where the length is small and known only at run time. */
static inline void ob_gmem_copy(void *dst, const void *src, size_t len)
{
	uint8_t *d = (uint8_t *)dst;
	const uint8_t *s = (const uint8_t *)src;

	if (__builtin_constant_p(len) || len > 64) {
		memcpy(d, s, len);
		return;
	}
	for (; len >= 8; len -= 8, d += 8, s += 8)
		memcpy(d, s, 8);
	if (len & 4) {
		memcpy(d, s, 4);
		d += 4;
		s += 4;
	}
	if (len & 2) {
		memcpy(d, s, 2);
		d += 2;
		s += 2;
	}
	if (len & 1)
		*d = *s;
}

/* Where [iova, iova + len) lies if it is inside the range hit last and may be accessed so; NULL: look it up. */
static inline uint8_t *ob_gmem_hit(
    const struct ob_gmem_map *map, ob_iova_t iova, size_t len, unsigned prot)
{
	uint32_t i = ob_gmem_hint;
	const struct ob_gmem_range *r = &map->range[i];
	uint64_t off;

	if (i >= map->n_ranges)
		return NULL;
	off = iova.v - r->iova;
	if (off >= r->len || len > r->len - off || (r->direct & prot) == 0)
		return NULL;
	return r->hva + off;
}

int ob_gmem_fetch_slow(const struct ob_gmem_map *map, void *dst, ob_iova_t src, size_t len);
int ob_gmem_store_slow(const struct ob_gmem_map *map, ob_iova_t dst, const void *src, size_t len);

/* Copies guest bytes out; a stretch may cross ranges. Each byte is read once. Context: any.
 * Returns 0; -EFAULT some byte is not mapped, -EACCES lacks the prot, -ENOTSUP in an fd-less range; nothing is
 * promised about 'dst' then. A failure is counted as a violation and poisons nothing. */
static inline int ob_gmem_fetch(const struct ob_gmem_map *map, void *dst, ob_iova_t src, size_t len)
{
	const uint8_t *p = ob_gmem_hit(map, src, len, OB_GMEM_READ);

	if (__builtin_expect(p == NULL, 0))
		return ob_gmem_fetch_slow(map, dst, src, len);
	ob_gmem_copy(dst, p, len);
	/* Else the compiler might drop the copy and read the guest's bytes again at each use. */
	atomic_signal_fence(memory_order_seq_cst);
	ob_gmem_fake_fetched(p, len);
	return 0;
}

/* Copies bytes into the guest; each is written once. Returns and context as ob_gmem_fetch. */
static inline int ob_gmem_store(
    const struct ob_gmem_map *map, ob_iova_t dst, const void *src, size_t len)
{
	uint8_t *p = ob_gmem_hit(map, dst, len, OB_GMEM_WRITE);

	if (__builtin_expect(p == NULL, 0))
		return ob_gmem_store_slow(map, dst, src, len);
	ob_gmem_copy(p, src, len);
	/* Else the compiler might put intermediate values there. */
	atomic_signal_fence(memory_order_seq_cst);
	ob_gmem_fake_stored(p, len);
	return 0;
}

/* As ob_gmem_iov for the common case: one vector inside the range hit last. Returns false: call ob_gmem_iov. */
static inline bool ob_gmem_iov_hit(
    const struct ob_gmem_map *map, ob_iova_t iova, size_t len, unsigned prot, struct iovec *iov)
{
	uint8_t *p = ob_gmem_hit(map, iova, len, prot);

	iov->iov_base = p;
	iov->iov_len = len;
	return p != NULL;
}

/* Asks for the line of a guest address that is about to be fetched or stored: another core wrote it last. Does nothing where the range
 * is not the one hit last. Context: any. */
static inline void ob_gmem_prefetch(const struct ob_gmem_map *map, ob_iova_t at, bool write)
{
	const uint8_t *p = ob_gmem_hit(map, at, 1, write ? OB_GMEM_WRITE : OB_GMEM_READ);

	if (p == NULL)
		return;
	if (write)
		__builtin_prefetch(p, 1);
	else
		__builtin_prefetch(p, 0);
}

/* Fills guest bytes with 'byte'. Returns as ob_gmem_store. */
int ob_gmem_fill(const struct ob_gmem_map *map, ob_iova_t dst, uint8_t byte, size_t len);
