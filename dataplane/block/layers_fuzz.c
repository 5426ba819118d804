/* SPDX-License-Identifier: BSD-3-Clause */
/* Layers in any order over RAM, against a model: limits, encryption, integrity; with channels that are polled late, limits that change,
 * cancellation. And what lies on media and is read back: the tags of integrity, the journal of a change of keys. */
#include "crypt_priv.h"
#include "integrity_priv.h"
#include "qos_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define BYTES	(96u << 10)
#define MAX_IO	24
#define MAX_LEN 40 /* blocks */
#define BB	512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct in {
	const uint8_t *p;
	size_t n;
};

static unsigned byte(struct in *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static uint64_t clock_ns;

static uint64_t fake_clock(void)
{
	return clock_ns;
}

static const uint8_t key[64] = {1, 2, 3, 4, 5, 6, 7};

/* ---- a stack ---- */

struct slot {
	struct ob_blk_io io;
	struct iovec iov[3];
	bool used;
	uint8_t fill;
	uint8_t buf[MAX_LEN * BB];
};

static struct slot slots[MAX_IO];
static uint8_t model[BYTES];
static bool
    unknown[BYTES / BB]; /* of an I/O that was cancelled: a layer may have done a part of it */
static struct ob_blk_ch *ch[2];
static unsigned n_used;

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void done(struct ob_blk_io *io)
{
	struct slot *s = (struct slot *)(void *)io;

	check(s->used);
	s->used = false;
	n_used--;
	if (io->op == OB_BLK_FLUSH || (io->op == OB_BLK_READ && io->result == -ECANCELED)) {
		check(io->result == 0 || io->result == -ECANCELED);
		return;
	}
	check(io->result == 0 || io->result == -ECANCELED);
	for (uint64_t at = io->off; at < io->off + io->len; at += BB) {
		if (io->op != OB_BLK_READ) {
			unknown[at / BB] = io->result != 0;
			memset(model + at, io->op == OB_BLK_WRITE ? s->fill : 0, BB);
		} else if (!unknown[at / BB]) {
			check(memcmp(s->buf + (at - io->off), model + at, BB) == 0);
		}
	}
}

static void poll_all(void)
{
	for (unsigned i = 0; i < 2; i++) {
		bool must_poll;

		if (ob_blk_arm(ch[i], &must_poll))
			check(ob_blk_pending(ch[i]) > 0);
		ob_blk_disarm(ch[i]);
		ob_blk_poll(ch[i]);
	}
}

/* All of it ends: what waits is let go by time, or by another poll. */
static void drain(void)
{
	for (unsigned i = 0; n_used > 0; i++) {
		check(i < 1000000);
		clock_ns += 100000000;
		poll_all();
	}
}

static bool overlaps(uint64_t off, uint64_t len)
{
	for (unsigned i = 0; i < MAX_IO; i++) {
		const struct ob_blk_io *io = &slots[i].io;

		if (slots[i].used && io->op != OB_BLK_FLUSH && off < io->off + io->len &&
		    io->off < off + len)
			return true;
	}
	return false;
}

static void submit(struct in *in, enum ob_blk_op op)
{
	uint64_t off = (byte(in) * 191u + byte(in)) % (BYTES / BB) * BB;
	uint64_t len = (1 + byte(in) % MAX_LEN) * BB;
	unsigned where = byte(in), k = 0;
	size_t cut = 1 + byte(in) * 7u;
	struct ob_blk_io *io;
	struct slot *s;

	len = len < BYTES - off ? len : BYTES - off;
	if (n_used == MAX_IO || overlaps(off, len))
		drain();
	while (slots[k].used)
		k++;
	s = &slots[k];
	io = &s->io;
	s->used = true;
	n_used++;
	s->fill = (uint8_t)(cut ^ off >> 9);
	memset(s->buf, s->fill, len);
	s->iov[0] = (struct iovec){s->buf, cut < len ? cut : len};
	s->iov[1] = (struct iovec){s->buf + s->iov[0].iov_len, len - s->iov[0].iov_len};
	*io = (struct ob_blk_io){.op = (uint8_t)op,
	    .flags = where & 8 ? OB_BLK_FUA : 0,
	    .off = off,
	    .len = len,
	    .done = done,
	    .owner = &slots[where >> 4 & 7]};
	if (op == OB_BLK_READ || op == OB_BLK_WRITE) {
		io->iov = s->iov;
		io->n_iov = 2;
	}
	ob_blk_submit(ch[where & 1], &io, 1);
}

static struct ob_blk *add_layer(struct ob_blk *below, struct ob_blk *tags, unsigned kind)
{
	struct ob_blk_crypt_conf crypt = {.key = key, .key_len = 64, .pass_discard = true};
	struct ob_blk_qos_conf qos = {.rate = {[OB_BLK_QOS_IOPS] = 1000}};
	struct ob_blk_integrity_conf integrity = {.format = true, .fua = kind & 4};
	struct ob_blk *b = NULL;
	int rc;

	if (kind % 4 == 0)
		return below;
	if (kind % 4 == 1)
		rc = ob_blk_crypt_create("c", below, &crypt, &b, NULL, 0);
	else if (kind % 4 == 2)
		rc = ob_blk_qos_create("q", below, &qos, &b, NULL, 0);
	else
		rc = ob_blk_integrity_create("i", below, tags, &integrity, &b, NULL, 0);
	check(rc == 0);
	ob_blk_put(below);
	return b;
}

static void set_limits(struct in *in, struct ob_blk *b)
{
	struct ob_blk_qos_conf qos = {0};
	unsigned k = byte(in) % OB_BLK_QOS_N;

	qos.rate[k] = byte(in) * 40u;
	qos.burst[k] = qos.rate[k] != 0 ? byte(in) : 0;
	if (ob_blk_qos_get(b, &(struct ob_blk_qos_conf){0}) == 0)
		check(ob_blk_qos_set(b, &qos, NULL, 0) == 0);
}

static void run_stack(struct in *in)
{
	struct ob_blk *b, *tags[3];

	check(ob_blk_ram_create("ram", BYTES, BB, &b, NULL, 0) == 0);
	for (unsigned i = 0; i < 3; i++) {
		check(ob_blk_ram_create("tags", 8 * INTEG_PAGE, BB, &tags[i], NULL, 0) == 0);
		b = add_layer(b, tags[i], byte(in));
	}
	for (unsigned i = 0; i < 2; i++)
		check(ob_blk_ch_open(b, &ch[i]) == 0);
	memset(model, 0, sizeof(model));
	memset(unknown, 0, sizeof(unknown));
	while (in->n > 0) {
		unsigned what = byte(in) % 10;

		if (what < OB_BLK_N_OPS)
			submit(in, what);
		else if (what == 6)
			clock_ns += byte(in) * 1000000u;
		else if (what == 7)
			ob_blk_cancel(ch[byte(in) & 1], byte(in) & 1 ? NULL : &slots[byte(in) & 7]);
		else if (what == 8)
			set_limits(in, b);
		else
			poll_all();
	}
	drain();
	for (unsigned i = 0; i < 2; i++)
		ob_blk_ch_close(ch[i]);
	ob_blk_put(b);
	for (unsigned i = 0; i < 3; i++)
		ob_blk_put(tags[i]);
}

/* ---- bytes from a medium ---- */

/* Tags as they come, under a header that is right or not: opens or does not, and every read ends. */
static void run_tags(struct in *in)
{
	struct ob_blk_integrity_conf conf = {.format = true};
	struct ob_blk *d, *t, *b = NULL;
	struct ob_blk_ch *raw, *c;
	bool keep_head = byte(in) & 1;
	static uint8_t buf[8 * INTEG_PAGE];
	size_t n;

	check(ob_blk_ram_create("ram", BYTES, BB, &d, NULL, 0) == 0);
	check(ob_blk_ram_create("tags", sizeof(buf), BB, &t, NULL, 0) == 0);
	check(ob_blk_integrity_create("i", d, t, &conf, &b, NULL, 0) == 0);
	ob_blk_put(b);
	check(ob_blk_ch_open(t, &raw) == 0);
	check(blk_sync(raw, OB_BLK_READ, 0, buf, sizeof(buf)) == 0);
	n = in->n < 2 * INTEG_PAGE ? in->n : 2 * INTEG_PAGE;
	memcpy(buf + (keep_head ? INTEG_PAGE : 0), in->p, n);
	check(blk_sync(raw, OB_BLK_WRITE, 0, buf, sizeof(buf)) == 0);
	ob_blk_ch_close(raw);
	conf.format = false;
	if (ob_blk_integrity_create("i", d, t, &conf, &b, NULL, 0) == 0) {
		check(ob_blk_ch_open(b, &c) == 0);
		for (uint64_t at = 0; at < BYTES; at += 8 * BB) {
			int rc = blk_sync(c, OB_BLK_READ, at, buf, 8 * BB);

			check(rc == 0 || rc == -EILSEQ);
		}
		ob_blk_ch_close(c);
		ob_blk_put(b);
	}
	ob_blk_put(d);
	ob_blk_put(t);
}

static void run_journal(struct in *in)
{
	static uint8_t segment[CRYPT_SEG_BYTES];
	struct crypt_wrapped a, b;
	struct crypt_resume at;
	struct crypt_journal *j;
	uint8_t other[64];
	char path[] = "/tmp/layers_fuzz.XXXXXX";
	int fd = mkstemp(path);

	check(fd >= 0);
	memcpy(other, key, 64);
	other[63] = 9;
	check(crypt_wrap(key, 64, &a) == 0 && crypt_wrap(other, 64, &b) == 0);
	check(write(fd, in->p, in->n) == (ssize_t)in->n);
	if (crypt_journal_open(path, &a, &b, segment, &at, &j) == 0) {
		check(at.redo_len <= CRYPT_SEG_BYTES);
		crypt_journal_close(j);
	}
	close(fd);
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct in in = {bytes, size < 4096 ? size : 4096};
	unsigned mode = byte(&in) % 8;

	qos_clock_ns = fake_clock;
	clock_ns = 1000000000;
	if (mode == 0)
		run_tags(&in);
	else if (mode == 1)
		run_journal(&in);
	else
		run_stack(&in);
	return 0;
}
