/* SPDX-License-Identifier: BSD-3-Clause */
/* Change of keys: a thread moves the data to the new key, segment by segment, while I/O goes on.
 *
 * For each segment: lock it (I/O to it waits from now on), wait until every channel has seen that and has nothing under way there, read,
 * journal what it will be, write, flush, journal that it is done, unlock. A medium that refuses the write is asked again until it takes
 * it: the segment stays locked meanwhile, because half of it may be under either key.
 */
#include "crypt_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS	      20000
#define STARVE_LOOKS  200
#define RETRY_NS      200000000
#define RETRY_STEP_NS 10000000
#define ERASE_NS      1000000000ll
#define TRIES	      5 /* of a read; or of a write during which the device closes */

struct crypt_rekey {
	struct crypt *d;
	struct ob_blk_ch *ch; /* to the medium */
	struct crypt_journal *journal;
	struct crypt_xts *from, *to;
	uint8_t *buf;
	uint32_t redo_len;
	uint64_t seg;
	uint64_t bytes_per_s;
	pthread_t thread;
	bool started;
	/* Between the thread and control: */
	uint32_t stop, finished;
	int32_t error;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void nap(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	nanosleep(&t, NULL);
}

static bool stopping(const struct crypt_rekey *k)
{
	return __atomic_load_n(&k->stop, __ATOMIC_RELAXED) != 0;
}

/* All channels have seen 'state' and nothing of theirs contradicts it. False: stopping. */
static bool settle(struct crypt_rekey *k, uint64_t state)
{
	crypt_publish(k->d, state);
	while (!crypt_adopted(k->d, state)) {
		if (stopping(k))
			return false;
		nap(LOOK_NS);
	}
	return true;
}

static int convert(struct crypt_rekey *k, uint64_t off, uint32_t len)
{
	const struct crypt *d = k->d;

	for (uint32_t at = 0; at < len; at += d->sector_bytes) {
		uint64_t tweak = crypt_tweak(d, off + at);
		uint8_t *p = k->buf + at;

		if (d->pass_discard && crypt_is_zero(p, d->sector_bytes))
			continue;
		if (!crypt_xts_decrypt(k->from, tweak, p, p, d->sector_bytes) ||
		    !crypt_xts_encrypt(k->to, tweak, p, p, d->sector_bytes))
			return -EIO;
	}
	return 0;
}

static void pause_before_retry(const struct crypt_rekey *k)
{
	for (unsigned i = 0; i < RETRY_NS / RETRY_STEP_NS && !stopping(k); i++)
		nap(RETRY_STEP_NS);
	nap(LOOK_NS);
}

/* The medium may shrink meanwhile: of a range there is only what lies before the end. */
static uint32_t before_end(const struct crypt_rekey *k, uint64_t off, uint32_t len)
{
	uint64_t bytes = __atomic_load_n(&k->d->b.info.bytes, __ATOMIC_ACQUIRE);
	uint64_t left = bytes > off ? bytes - off : 0;

	return left < len ? (uint32_t)left : len;
}

/* Once begun, a segment must be finished. Its failures are told by status. Returns false: stopping. */
static bool insist(struct crypt_rekey *k, uint64_t off, uint32_t len)
{
	unsigned tries = 0;

	for (;;) {
		uint32_t n = before_end(k, off, len);
		int rc = n > 0 ? blk_sync(k->ch, OB_BLK_WRITE, off, k->buf, n) : 0;

		if (rc == 0)
			rc = blk_sync(k->ch, OB_BLK_FLUSH, 0, NULL, 0);
		if (rc == 0 && k->journal != NULL)
			rc = crypt_journal_done(k->journal, k->seg + 1, false);
		__atomic_store_n(&k->error, rc, __ATOMIC_RELAXED);
		if (rc == 0)
			return true;
		if (stopping(k) && ++tries >= TRIES)
			return false;
		pause_before_retry(k);
	}
}

/* Says what the segment will be. After a failure the file may say so all the same, and a restart would redo it over what was written
 * since: the segment stays locked until the file says otherwise. */
static int begin(struct crypt_rekey *k, uint32_t len)
{
	int rc = crypt_journal_begin(k->journal, k->seg, k->buf, len);

	if (rc == 0)
		return 0;
	__atomic_store_n(&k->error, rc, __ATOMIC_RELAXED);
	while (crypt_journal_done(k->journal, k->seg, false) != 0 && !stopping(k))
		pause_before_retry(k);
	return rc;
}

/* The buffer's segment as it will be. */
static int fetch(struct crypt_rekey *k, uint64_t off, uint32_t len)
{
	int rc;

	if (k->redo_len != 0)
		return 0; /* from the journal; nobody has touched the segment since, but it may be cut off */
	rc = blk_sync(k->ch, OB_BLK_READ, off, k->buf, len);
	if (rc == 0)
		rc = convert(k, off, len);
	if (rc == 0 && k->journal != NULL)
		rc = begin(k, len);
	return rc;
}

/* A long range that hits one segment after the other gets its turn between two. Not for ever: an owner may not poll. */
static void let_through(const struct crypt_rekey *k)
{
	for (unsigned i = 0; i < STARVE_LOOKS && crypt_starving(k->d) && !stopping(k); i++)
		nap(LOOK_NS);
}

static int move_segment(struct crypt_rekey *k, uint64_t bytes)
{
	uint64_t off = k->seg << CRYPT_SEG_SHIFT;
	uint64_t fl = CRYPT_MOVING | (k->d->state & CRYPT_CUR);
	uint32_t len = bytes - off < CRYPT_SEG_BYTES ? (uint32_t)(bytes - off) : CRYPT_SEG_BYTES;
	int rc;

	if (!settle(k, CRYPT_STATE(k->seg, fl | CRYPT_LOCKED)))
		return -ECANCELED; /* stays locked: the device is closing */
	rc = fetch(k, off, len);
	if (rc != 0) {
		crypt_publish(k->d, CRYPT_STATE(k->seg, fl));
		return rc;
	}
	if (!insist(k, off, k->redo_len != 0 ? k->redo_len : len))
		return -ECANCELED;
	k->redo_len = 0;
	k->seg++;
	crypt_publish(k->d, CRYPT_STATE(k->seg, fl));
	return 0;
}

static int finish(struct crypt_rekey *k)
{
	unsigned old = k->d->state & CRYPT_CUR;
	int rc = k->journal != NULL ? crypt_journal_done(k->journal, k->seg, true) : 0;

	if (rc != 0)
		return rc;
	if (!settle(k, old ^ 1))
		return -ECANCELED;
	crypt_forget_key(k->d, old);
	return 0;
}

static void *run(void *arg)
{
	struct crypt_rekey *k = arg;
	int64_t began = now_ns();
	uint64_t moved = 0;
	int rc = 0;

	while (rc == 0 && !stopping(k)) {
		uint64_t bytes = __atomic_load_n(&k->d->b.info.bytes, __ATOMIC_ACQUIRE);

		if (k->seg << CRYPT_SEG_SHIFT >= bytes)
			break;
		rc = move_segment(k, bytes);
		moved += CRYPT_SEG_BYTES;
		let_through(k);
		while (k->bytes_per_s != 0 && !stopping(k)) {
			int64_t ahead = began - now_ns() +
					(int64_t)((double)moved * 1e9 / (double)k->bytes_per_s);

			if (ahead <= 0)
				break;
			nap(ahead < 50000000 ? ahead : 50000000);
		}
	}
	if (rc == 0 && stopping(k))
		rc = -ECANCELED;
	if (rc == 0)
		rc = finish(k);
	__atomic_store_n(&k->error, rc, __ATOMIC_RELAXED);
	/* Release: with reap. */
	__atomic_store_n(&k->finished, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- control ---- */

static void free_rekey(struct crypt_rekey *k)
{
	if (k == NULL)
		return;
	if (k->started)
		pthread_join(k->thread, NULL);
	if (k->ch != NULL)
		ob_blk_ch_close(k->ch);
	crypt_journal_close(k->journal);
	crypt_xts_destroy(k->from);
	crypt_xts_destroy(k->to);
	free(k->buf);
	free(k);
}

void crypt_rekey_stop(struct crypt *d)
{
	if (d->rekey == NULL)
		return;
	__atomic_store_n(&d->rekey->stop, 1, __ATOMIC_RELAXED);
	free_rekey(d->rekey);
	d->rekey = NULL;
}

static bool running(const struct crypt *d)
{
	return d->rekey != NULL && !__atomic_load_n(&d->rekey->finished, __ATOMIC_ACQUIRE);
}

static bool same_key(const struct crypt_wrapped *a, const struct crypt_wrapped *b)
{
	/* Wrapping is deterministic. */
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len + 8u) == 0;
}

static int open_journal(struct crypt *d, struct crypt_rekey *k, const char *path,
    const struct crypt_wrapped *to, char *err, size_t err_len)
{
	const struct crypt_wrapped *from = &d->key[d->state & CRYPT_CUR];
	struct crypt_resume at;
	int rc = crypt_journal_open(path, from, to, k->buf, &at, &k->journal);

	if (rc == -EKEYREJECTED)
		return blk_err(err, err_len, rc, "the journal is of other keys");
	if (rc == -EBADMSG)
		return blk_err(err, err_len, rc, "the journal is damaged");
	if (rc != 0)
		return blk_err(err, err_len, rc, "the journal cannot be opened: %s", strerror(-rc));
	if (d->state & CRYPT_MOVING) {
		if (at.next != k->seg && !at.complete)
			return blk_err(err, err_len, -EBADMSG, "the journal is of another move");
		k->redo_len = d->state & CRYPT_LOCKED ? at.redo_len : 0;
		return 0;
	}
	if (d->chs != NULL && (at.next != 0 || at.redo_len != 0 || at.complete))
		return blk_err(err, err_len, -EBUSY,
		    "the journal tells of a move that had begun: resume it before I/O");
	k->seg = at.next;
	k->redo_len = at.redo_len;
	if (at.complete)
		k->seg = UINT64_MAX >> CRYPT_SEG_SHIFT;
	return 0;
}

static int prepare(struct crypt *d, struct crypt_rekey *k,
    const struct ob_blk_crypt_rekey_conf *conf, const struct crypt_wrapped *to, char *err,
    size_t err_len)
{
	unsigned cur = d->state & CRYPT_CUR;
	int rc;

	k->d = d;
	k->bytes_per_s = conf->bytes_per_s;
	k->seg = d->state & CRYPT_MOVING ? CRYPT_SEG_OF(d->state) : 0;
	if (posix_memalign((void **)&k->buf, 4096, CRYPT_SEG_BYTES) != 0)
		return blk_err(err, err_len, -ENOMEM, "no memory");
	rc = conf->journal != NULL ? open_journal(d, k, conf->journal, to, err, err_len) : 0;
	if (rc != 0)
		return rc;
	rc = crypt_xts_create(&d->key[cur], &k->from);
	if (rc == 0)
		rc = crypt_xts_create(to, &k->to);
	if (rc == 0)
		rc = ob_blk_ch_open(d->b.child[0], &k->ch);
	return rc == 0 ? 0 : blk_err(err, err_len, rc, "no memory for the move");
}

int ob_blk_crypt_rekey(
    struct ob_blk *b, const struct ob_blk_crypt_rekey_conf *conf, char *err, size_t err_len)
{
	struct crypt *d = crypt_of(b);
	struct crypt_rekey *k;
	struct crypt_wrapped to;
	unsigned other;
	bool resumed;
	int rc;

	if (d == NULL)
		return blk_err(err, err_len, -EINVAL, "not an encrypted volume");
	if (running(d))
		return blk_err(err, err_len, -EBUSY, "a change of keys is under way");
	crypt_rekey_stop(d);
	crypt_follow_size(d);
	resumed = (d->state & CRYPT_MOVING) != 0;
	other = (d->state & CRYPT_CUR) ^ 1;
	rc = crypt_wrap(conf->key, conf->key_len, &to);
	if (rc != 0)
		return blk_err(err, err_len, rc,
		    "a key is of 32 or 64 bytes whose two halves differ (AES-128-XTS, "
		    "AES-256-XTS)");
	if (resumed && !same_key(&to, &d->key[other]))
		return blk_err(
		    err, err_len, -EKEYREJECTED, "the move that had begun is to another key");
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return blk_err(err, err_len, -ENOMEM, "no memory");
	rc = prepare(d, k, conf, &to, err, err_len);
	if (rc == 0 && !resumed) {
		d->key[other] = to;
		rc = crypt_add_key(d, other);
	}
	if (rc != 0) {
		free_rekey(k);
		return rc;
	}
	/* Before any I/O: what the journal says is moved is read with the new key, and what was being moved waits. */
	if (!resumed)
		crypt_publish(d, CRYPT_STATE(k->seg, CRYPT_MOVING | (other ^ 1) |
							 (k->redo_len != 0 ? CRYPT_LOCKED : 0)));
	d->rekey = k;
	rc = -pthread_create(&k->thread, NULL, run, k);
	k->started = rc == 0;
	if (rc != 0) {
		/* What is moved is moved: both keys stay valid and another call goes on. */
		k->finished = 1;
		k->error = rc;
		return blk_err(err, err_len, rc, "no thread");
	}
	return 0;
}

int ob_blk_crypt_status(struct ob_blk *b, struct ob_blk_crypt_status *out)
{
	struct crypt *d = crypt_of(b);
	uint64_t state, moved;

	if (d == NULL)
		return -EINVAL;
	if (d->rekey != NULL && !running(d) && d->rekey->error == 0)
		crypt_rekey_stop(d);
	crypt_follow_size(d);
	state = __atomic_load_n(&d->state, __ATOMIC_ACQUIRE);
	moved = CRYPT_SEG_OF(state) << CRYPT_SEG_SHIFT;
	*out = (struct ob_blk_crypt_status){.moving = (state & CRYPT_MOVING) != 0};
	if (out->moving)
		out->moved_bytes = moved < b->info.bytes ? moved : b->info.bytes;
	if (d->rekey != NULL)
		out->error = __atomic_load_n(&d->rekey->error, __ATOMIC_RELAXED);
	return 0;
}

int ob_blk_crypt_erase(struct ob_blk *b, const uint8_t *key, size_t key_len)
{
	struct crypt *d = crypt_of(b);
	int64_t until = now_ns() + ERASE_NS;
	struct crypt_wrapped w;
	unsigned old;
	int rc;

	if (d == NULL)
		return -EINVAL;
	if (running(d) || (d->state & CRYPT_MOVING))
		return -EBUSY;
	crypt_rekey_stop(d);
	old = d->state & CRYPT_CUR;
	/* Left by an erase that timed out: its channels have adopted the state after it by now, or this one waits for them too. */
	if (d->key[old ^ 1].len != 0) {
		if (!crypt_adopted(d, d->state))
			return -EBUSY;
		crypt_forget_key(d, old ^ 1);
	}
	rc = crypt_wrap(key, key_len, &w);
	if (rc == 0 && w.len != d->key[old].len)
		rc = -EINVAL;
	if (rc != 0)
		return rc;
	d->key[old ^ 1] = w;
	rc = crypt_add_key(d, old ^ 1);
	if (rc != 0)
		return rc;
	crypt_publish(d, old ^ 1);
	while (!crypt_adopted(d, old ^ 1)) {
		if (now_ns() > until)
			return -ETIMEDOUT;
		nap(LOOK_NS);
	}
	crypt_forget_key(d, old);
	return 0;
}
