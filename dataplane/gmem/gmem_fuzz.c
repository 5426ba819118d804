/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes become adds, deletes, windows and copies, checked against a model that is a table of pages. */
#include "ob_gmem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	   4096u
#define N_PAGES	   32u /* of address space that is played with */
#define FILE_PAGES 16u
#define N_WINDOWS  4

#define CHECK(x)                                                                \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

enum kind { FREE, IN_FILE, IN_MEMORY, BY_MESSAGE };

struct page {
	enum kind kind;
	unsigned prot;
	unsigned where; /* page of the file or of our memory */
	bool first;	/* a range starts here */
};

struct input {
	const uint8_t *at, *end;
};

static _Alignas(4096) uint8_t memory[FILE_PAGES * PAGE];
static uint8_t pattern[FILE_PAGES * PAGE];
static uint8_t *file;
static int file_fd = -1;
static struct page model[N_PAGES + 1]; /* the last one stays free */
static struct window {
	int idx;
	unsigned from, len, prot;
} windows[N_WINDOWS];
/* Where page 0 of the model lies: at the bottom, in the middle or at the top of the address space. */
static uint64_t base;

static uint8_t u8(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint8_t *byte_of(unsigned addr)
{
	const struct page *p = &model[addr / PAGE];

	return (p->kind == IN_FILE ? file : memory) + p->where * PAGE + addr % PAGE;
}

/* What an access to [from, from + len) should return. */
static int expect(unsigned from, unsigned len, unsigned prot)
{
	for (unsigned at = from; at < from + len; at = (at / PAGE + 1) * PAGE) {
		const struct page *p = &model[at / PAGE];

		if (at / PAGE >= N_PAGES || p->kind == FREE)
			return -EFAULT;
		if ((p->prot & prot) != prot)
			return -EACCES;
		if (p->kind == BY_MESSAGE)
			return -ENOTSUP;
	}
	return 0;
}

static ob_iova_t iova(unsigned at)
{
	return (ob_iova_t){base + at};
}

static void op_add(struct ob_gmem *gm, struct input *in)
{
	unsigned from = u8(in) % N_PAGES, n = u8(in) % 5, where = u8(in) % (FILE_PAGES + 2);
	unsigned prot = u8(in) % 5, kind = 1 + u8(in) % 3;
	int want = 0, rc;

	if (n > N_PAGES - from)
		n = N_PAGES - from;
	if (kind == IN_MEMORY && where + n > FILE_PAGES)
		where = 0;
	if (n == 0 || prot == 0 || prot == 4) {
		want = -EINVAL;
	} else {
		for (unsigned i = from; i < from + n; i++)
			want = model[i].kind != FREE ? -EEXIST : want;
		if (want == 0 && kind == IN_FILE && where + n > FILE_PAGES)
			want = -ERANGE;
	}
	if (kind == IN_MEMORY)
		rc = ob_gmem_add_hva(gm, iova(from * PAGE), n * PAGE, prot, memory + where * PAGE);
	else
		rc = ob_gmem_add(gm, iova(from * PAGE), n * PAGE, prot,
		    kind == IN_FILE ? file_fd : -1, where * PAGE);
	CHECK(rc == want);
	for (unsigned i = 0; rc == 0 && i < n; i++)
		model[from + i] = (struct page){(enum kind)kind, prot, where + i, i == 0};
}

static void op_del(struct ob_gmem *gm, struct input *in)
{
	unsigned from = u8(in) % N_PAGES, n = u8(in) % 9;
	int want = 0, rc;

	if (n > N_PAGES - from)
		n = N_PAGES - from;
	for (unsigned i = from; i < from + n; i++)
		want += model[i].first;
	if (n == 0 || (model[from].kind != FREE && !model[from].first) ||
	    (model[from + n].kind != FREE && !model[from + n].first))
		want = -EINVAL;
	rc = ob_gmem_del(gm, iova(from * PAGE), n * PAGE);
	CHECK(rc == want);
	for (unsigned i = from; rc > 0 && i < from + n; i++)
		model[i] = (struct page){FREE, 0, 0, false};
}

static void op_del_all(struct ob_gmem *gm)
{
	int want = 0;

	for (unsigned i = 0; i < N_PAGES; i++)
		want += model[i].first;
	CHECK(ob_gmem_del_all(gm) == want);
	memset(model, 0, sizeof(model));
}

static void op_copy(struct ob_gmem *gm, struct input *in)
{
	unsigned from = (unsigned)(u8(in) % N_PAGES) * PAGE + u8(in) * 16u;
	unsigned len = u8(in) * (1u + u8(in) % 64);
	const struct ob_gmem_map *map = ob_gmem_map_get(gm);
	static uint8_t buf[256 * 64];
	uint8_t how = u8(in), fill = u8(in);
	uint64_t before = ob_gmem_violations(gm);
	int rc, want;

	if (len > N_PAGES * PAGE - from)
		len = N_PAGES * PAGE - from;
	want = expect(from, len, how & 1 ? OB_GMEM_WRITE : OB_GMEM_READ);
	if ((how & 3) == 1) {
		memset(buf, fill, len);
		rc = ob_gmem_store(map, iova(from), buf, len);
	} else if ((how & 3) == 3) {
		rc = ob_gmem_fill(map, iova(from), fill, len);
	} else {
		rc = ob_gmem_fetch(map, buf, iova(from), len);
	}
	CHECK(rc == want);
	CHECK(ob_gmem_violations(gm) == before + (rc != 0));
	/* Pages may be mapped twice, so a store is seen at every place that shows the same page: look, do not remember. */
	for (unsigned i = 0; rc == 0 && i < len; i++)
		CHECK((how & 1 ? fill : buf[i]) == *byte_of(from + i));
}

static void op_iov(struct ob_gmem *gm, struct input *in)
{
	unsigned from = (unsigned)(u8(in) % N_PAGES) * PAGE + u8(in) * 16u, len = u8(in) * 64u;
	struct iovec iov[4];
	unsigned at = from;
	int rc, want;

	if (len > N_PAGES * PAGE - from)
		len = N_PAGES * PAGE - from;
	want = expect(from, len, OB_GMEM_READ | OB_GMEM_WRITE);
	rc =
	    ob_gmem_iov(ob_gmem_map_get(gm), iova(from), len, OB_GMEM_READ | OB_GMEM_WRITE, iov, 4);
	CHECK(rc == -ENOSPC || (rc < 0 ? rc == want : want == 0));
	for (int i = 0; i < rc; i++) {
		const uint8_t *p = iov[i].iov_base;

		CHECK(*p == *byte_of(at));
		at += (unsigned)iov[i].iov_len;
		CHECK(p[iov[i].iov_len - 1] == *byte_of(at - 1));
	}
	CHECK(rc < 0 || at == from + len);
}

static void op_window(struct ob_gmem *gm, struct input *in)
{
	struct window *w = &windows[u8(in) % N_WINDOWS];

	if (w->idx >= 0) {
		ob_gmem_window_del(gm, w->idx);
		CHECK(ob_gmem_window(ob_gmem_map_get(gm), w->idx) == NULL);
		w->idx = -1;
		return;
	}
	w->from = (unsigned)(u8(in) % N_PAGES) * PAGE + u8(in) * 16u;
	w->len = 1 + u8(in) * 64u;
	w->prot = 1 + u8(in) % 3;
	if (w->len > N_PAGES * PAGE - w->from)
		w->len = N_PAGES * PAGE - w->from;
	w->idx = ob_gmem_window_add(gm, iova(w->from), w->len, w->prot);
	CHECK(w->idx >= 0);
}

/* Scattered memory of ours cannot be placed side by side; a file's pages can. */
static bool placeable(const struct window *w)
{
	bool straight = true;

	for (unsigned p = w->from / PAGE + 1; p <= (w->from + w->len - 1) / PAGE; p++)
		straight = straight && model[p].kind == model[p - 1].kind &&
			   model[p].where == model[p - 1].where + 1 &&
			   !((model[p].prot ^ model[p - 1].prot) & OB_GMEM_WRITE);
	for (unsigned p = w->from / PAGE; p <= (w->from + w->len - 1) / PAGE; p++) {
		if (!straight && model[p].kind == IN_MEMORY)
			return false;
	}
	return true;
}

static void check_windows(struct ob_gmem *gm)
{
	const struct ob_gmem_map *map = ob_gmem_map_get(gm);

	for (unsigned i = 0; i < N_WINDOWS; i++) {
		const struct window *w = &windows[i];
		const uint8_t *p = w->idx < 0 ? NULL : ob_gmem_window(map, w->idx);

		if (w->idx < 0)
			continue;
		if (expect(w->from, w->len, w->prot) != 0)
			CHECK(p == NULL);
		else if (placeable(w))
			CHECK(p != NULL);
		for (unsigned k = 0; p != NULL && k < w->len; k += k + 64 < w->len ? 64 : 1)
			CHECK(p[k] == *byte_of(w->from + k));
	}
}

static void check_usage(struct ob_gmem *gm)
{
	uint32_t n, want_n = 0;
	uint64_t bytes, want_bytes = 0;

	for (unsigned i = 0; i < N_PAGES; i++) {
		want_n += model[i].first;
		want_bytes += model[i].kind == IN_FILE || model[i].kind == IN_MEMORY ? PAGE : 0;
	}
	ob_gmem_usage(gm, &n, &bytes);
	CHECK(n == want_n && bytes == want_bytes);
}

static void make_file(void)
{
	file_fd = memfd_create("fuzz", 0);
	CHECK(file_fd >= 0 && ftruncate(file_fd, FILE_PAGES * PAGE) == 0);
	file = mmap(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file_fd, 0);
	CHECK(file != MAP_FAILED);
	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 12) * 11);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t bases[] = {0, 0x7fff0000, (uint64_t)0 - N_PAGES * PAGE};
	struct ob_gmem_conf conf = {.name = "fuzz"};
	struct input in = {data, data + size};
	struct ob_gmem *gm;

	if (file_fd < 0)
		make_file();
	memcpy(file, pattern, sizeof(pattern));
	memcpy(memory, pattern + 1, sizeof(pattern) - 1);
	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < N_WINDOWS; i++)
		windows[i].idx = -1;
	base = bases[u8(&in) % 3];
	CHECK(ob_gmem_create(&conf, &gm) == 0);
	for (unsigned ops = 0; in.at < in.end && ops < 200; ops++) {
		switch (u8(&in) % 8) {
		case 0:
		case 1:
			op_add(gm, &in);
			break;
		case 2:
			op_del(gm, &in);
			break;
		case 3:
		case 4:
			op_copy(gm, &in);
			break;
		case 5:
			op_iov(gm, &in);
			break;
		case 6:
			op_window(gm, &in);
			break;
		default:
			if (u8(&in) % 8 == 0)
				op_del_all(gm);
			break;
		}
		check_windows(gm);
		check_usage(gm);
	}
	ob_gmem_destroy(gm);
	return 0;
}
