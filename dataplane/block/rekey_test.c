/* SPDX-License-Identifier: BSD-3-Clause */
/* Change of keys: under I/O, across crashes, with a medium that refuses. */
#include "crypt_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "test_block.h"

#define SEGS	    6u
#define BYTES	    (SEGS * CRYPT_SEG_BYTES - 8192) /* the last segment is shorter */
#define JOURNAL_MAX (8192 + CRYPT_SEG_BYTES)

static uint8_t key_a[64], key_b[64];
static char journal[64];
static uint8_t *model, *buf;

/* ---- a medium that dies in the middle of a write ---- */

/* Memory that outlives the device, as a disk does. */
static uint8_t *disk;
static _Atomic int writes_left; /* then one is torn, and all I/O fails; -1: never */

static int mortal_io(struct ob_blk_io *io)
{
	size_t len = io->len;
	bool torn = false;

	if (io->op == OB_BLK_FLUSH)
		return writes_left == 0 ? -EIO : 0;
	if (io->op == OB_BLK_READ) {
		blk_iov_scatter(io->iov, io->n_iov, 0, disk + io->off, io->len);
		return 0;
	}
	if (writes_left == 0)
		return -EIO;
	if (writes_left > 0 && --writes_left == 0) {
		torn = true;
		len = len / 2 / 512 * 512;
	}
	blk_iov_gather(disk + io->off, io->iov, io->n_iov, 0, len);
	return torn ? -EIO : 0;
}

static void mortal_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		blk_complete_now(ch, ios[i], mortal_io(ios[i]));
}

static const struct blk_ops mortal_ops = {
    .kind = "mortal",
    .dev_bytes = sizeof(struct ob_blk),
    .ch_bytes = sizeof(struct ob_blk_ch),
    .submit = mortal_submit,
};

static struct ob_blk *mortal(void)
{
	struct ob_blk *b;

	assert_int_equal(blk_new(&mortal_ops, "disk", NULL, 0, &b), 0);
	b->info.bytes = BYTES;
	b->info.block_bytes = b->info.phys_block_bytes = 512;
	return b;
}

/* ---- ---- */

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		key_a[i] = (uint8_t)(i + 1);
		key_b[i] = (uint8_t)(200 - i);
	}
	snprintf(journal, sizeof(journal), "rekey_test.%d.journal", (int)getpid());
	unlink(journal);
	writes_left = -1;
	if (disk == NULL) {
		disk = malloc(BYTES);
		model = malloc(BYTES);
		buf = malloc(BYTES);
	}
	for (uint32_t i = 0; i < BYTES; i++)
		model[i] = (uint8_t)(i >> 9 ^ i);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(journal);
	return 0;
}

static struct ob_blk *open_crypt(struct ob_blk *below, const uint8_t *key)
{
	struct ob_blk_crypt_conf conf = {.key = key, .key_len = 64, .sector_bytes = 512};
	struct ob_blk *b;

	assert_int_equal(ob_blk_crypt_create("c", below, &conf, &b, NULL, 0), 0);
	return b;
}

static void fill(struct ob_blk_ch *ch, enum ob_blk_op op, uint8_t *bytes)
{
	for (uint32_t at = 0; at < BYTES; at += CRYPT_SEG_BYTES) {
		uint32_t len = BYTES - at < CRYPT_SEG_BYTES ? BYTES - at : CRYPT_SEG_BYTES;

		assert_int_equal(test_rw(ch, op, 0, at, bytes + at, len), 0);
	}
}

/* All of the medium is under 'key', and is what the model says. */
static void expect_under(const uint8_t *key)
{
	struct ob_blk *m = mortal(), *b = open_crypt(m, key);
	struct ob_blk_ch *ch;

	writes_left = -1;
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	fill(ch, OB_BLK_READ, buf);
	assert_memory_equal(buf, model, BYTES);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(m);
}

static void write_disk(void)
{
	struct ob_blk *m = mortal(), *b = open_crypt(m, key_a);
	struct ob_blk_ch *ch;

	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	fill(ch, OB_BLK_WRITE, model);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(m);
}

static int rekey(struct ob_blk *b, const uint8_t *key, const char *path)
{
	struct ob_blk_crypt_rekey_conf conf = {.key = key, .key_len = 64, .journal = path};

	return ob_blk_crypt_rekey(b, &conf, NULL, 0);
}

static int wait_end(struct ob_blk *b)
{
	struct ob_blk_crypt_status st;

	do {
		assert_int_equal(ob_blk_crypt_status(b, &st), 0);
		usleep(200);
	} while (st.moving && st.error == 0);
	return st.error;
}

static void all_moves_while_io_goes_on(void **state)
{
	struct ob_blk *m = mortal(), *b;
	struct ob_blk_crypt_status st;
	struct ob_blk_ch *ch, *idle;
	unsigned x = 1;

	(void)state;
	write_disk();
	b = open_crypt(m, key_a);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	assert_int_equal(ob_blk_ch_open(b, &idle), 0); /* its owner sleeps all the time */
	assert_int_equal(rekey(b, key_b, journal), 0);
	assert_int_equal(rekey(b, key_b, journal), -EBUSY);
	assert_int_equal(ob_blk_crypt_erase(b, key_b, 64), -EBUSY);
	do {
		uint32_t at, len;

		x = x * 1664525 + 1013904223;
		at = (x >> 3) % (BYTES / 512) * 512;
		len = 512 * (1 + (x >> 20) % 64);
		len = len < BYTES - at ? len : BYTES - at;
		if (x & 1 << 16) {
			memset(buf, (int)(x >> 8), len);
			memcpy(model + at, buf, len);
			assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, at, buf, len), 0);
		} else {
			assert_int_equal(test_rw(ch, OB_BLK_READ, 0, at, buf, len), 0);
			assert_memory_equal(buf, model + at, len);
		}
		assert_int_equal(ob_blk_crypt_status(b, &st), 0);
	} while (st.moving);
	assert_int_equal(st.error, 0);
	fill(idle, OB_BLK_READ, buf);
	assert_memory_equal(buf, model, BYTES);
	ob_blk_ch_close(ch);
	ob_blk_ch_close(idle);
	ob_blk_put(b);
	ob_blk_put(m);
	expect_under(key_b);
}

/* Dies in the write of segment 'after', torn; then the machine starts again with the old key and the journal. */
static void crash_and_resume(int after)
{
	struct ob_blk *m = mortal(), *b;
	struct ob_blk_ch *ch;

	write_disk();
	b = open_crypt(m, key_a);
	writes_left = after;
	assert_int_equal(rekey(b, key_b, journal), 0);
	assert_int_equal(wait_end(b), -EIO);
	ob_blk_put(b);
	writes_left = -1;
	b = open_crypt(m, key_a);
	assert_int_equal(rekey(b, key_a, journal), -EKEYREJECTED);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	assert_int_equal(
	    rekey(b, key_b, journal), -EBUSY); /* somebody may have read with the wrong key */
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	b = open_crypt(m, key_a);
	assert_int_equal(rekey(b, key_b, journal), 0);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	fill(ch, OB_BLK_READ, buf); /* right from the start */
	assert_memory_equal(buf, model, BYTES);
	assert_int_equal(wait_end(b), 0);
	fill(ch, OB_BLK_READ, buf);
	assert_memory_equal(buf, model, BYTES);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(m);
	expect_under(key_b);
	unlink(journal);
}

static void a_crash_in_any_segment_loses_nothing(void **state)
{
	(void)state;
	for (int after = 1; after <= (int)SEGS; after++)
		crash_and_resume(after);
}

static void a_finished_journal_says_so_until_it_is_removed(void **state)
{
	struct ob_blk *m = mortal(), *b;
	struct ob_blk_ch *ch;

	(void)state;
	write_disk();
	b = open_crypt(m, key_a);
	assert_int_equal(rekey(b, key_b, journal), 0);
	assert_int_equal(wait_end(b), 0);
	ob_blk_put(b);
	/* The new key did not get on record before the crash. */
	b = open_crypt(m, key_a);
	assert_int_equal(rekey(b, key_b, journal), 0);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	assert_int_equal(wait_end(b), 0);
	fill(ch, OB_BLK_READ, buf);
	assert_memory_equal(buf, model, BYTES);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(m);
	expect_under(key_b);
}

static void a_medium_that_refuses_for_a_while_only_delays(void **state)
{
	struct ob_blk *m = mortal(), *b;
	struct ob_blk_crypt_status st;
	struct test_io io;
	struct ob_blk_ch *ch;

	(void)state;
	write_disk();
	b = open_crypt(m, key_a);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	writes_left = 3;
	assert_int_equal(rekey(b, key_b, journal), 0);
	assert_int_equal(wait_end(b), -EIO);
	assert_int_equal(ob_blk_crypt_status(b, &st), 0);
	assert_true(st.moving);
	assert_int_equal(st.moved_bytes, 2 * CRYPT_SEG_BYTES);
	/* I/O to the torn segment waits, and can be cancelled; all other I/O goes on. */
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, buf, 4096), 0);
	assert_memory_equal(buf, model, 4096);
	test_io_init(&io, OB_BLK_READ, 2 * CRYPT_SEG_BYTES, buf, 4096);
	test_submit(ch, &io);
	ob_blk_poll(ch);
	assert_int_equal(io.n_done, 0);
	ob_blk_cancel(ch, NULL);
	assert_int_equal(io.n_done, 1);
	assert_int_equal(io.io.result, -ECANCELED);
	test_io_init(&io, OB_BLK_READ, 2 * CRYPT_SEG_BYTES, buf, 4096);
	test_submit(ch, &io);
	writes_left = -1;
	assert_int_equal(test_wait(ch, &io), 0);
	assert_memory_equal(buf, model + 2 * CRYPT_SEG_BYTES, 4096);
	do {
		assert_int_equal(ob_blk_crypt_status(b, &st), 0);
		usleep(200);
	} while (st.moving);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(m);
	expect_under(key_b);
}

static void one_blocked_io_does_not_hold_up_the_others(void **state)
{
	struct ob_blk *m = mortal(), *b = open_crypt(m, key_a);
	struct crypt *d = crypt_of(b);
	struct test_io big, io;
	struct ob_blk_ch *ch;

	(void)state;
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	assert_int_equal(crypt_wrap(key_b, 64, &d->key[1]), 0);
	assert_int_equal(crypt_add_key(d, 1), 0);
	crypt_publish(d, CRYPT_STATE(1, CRYPT_MOVING | CRYPT_LOCKED));
	test_io_init(&big, OB_BLK_WRITE, CRYPT_SEG_BYTES, model, 2 * CRYPT_SEG_BYTES);
	test_submit(ch, &big);
	test_io_init(&io, OB_BLK_READ, CRYPT_SEG_BYTES, buf, 4096);
	test_submit(ch, &io);
	ob_blk_poll(ch);
	assert_int_equal(big.n_done + io.n_done, 0);
	assert_false(crypt_starving(d));
	crypt_publish(d, CRYPT_STATE(2, CRYPT_MOVING | CRYPT_LOCKED));
	ob_blk_poll(ch);
	assert_int_equal(test_wait(ch, &io), 0);
	assert_int_equal(big.n_done, 0);
	assert_true(crypt_starving(d));
	crypt_publish(d, CRYPT_STATE(3, CRYPT_MOVING));
	assert_int_equal(test_wait(ch, &big), 0);
	assert_false(crypt_starving(d));
	crypt_publish(d, CRYPT_STATE(4, CRYPT_MOVING | CRYPT_LOCKED));
	test_io_init(&io, OB_BLK_READ, 4 * CRYPT_SEG_BYTES, buf, 4096);
	test_submit(ch, &io);
	crypt_publish(d, CRYPT_STATE(4, CRYPT_MOVING));
	assert_int_equal(test_wait(ch, &io), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(m);
}

static void wait_moved(struct ob_blk *b)
{
	struct ob_blk_crypt_status st;

	for (unsigned i = 0; i < 50000; i++) {
		assert_int_equal(ob_blk_crypt_status(b, &st), 0);
		if (!st.moving)
			return;
		usleep(200);
	}
	fail_msg("the move does not end: %d", st.error);
}

static void a_volume_grows_when_its_move_is_over(void **state)
{
	const uint64_t small = 4 * CRYPT_SEG_BYTES;
	struct ob_blk *m = mortal(), *b;
	struct ob_blk_ch *ch;

	(void)state;
	write_disk();
	m->info.bytes = small;
	b = open_crypt(m, key_a);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	writes_left = 3;
	assert_int_equal(rekey(b, key_b, journal), 0);
	assert_int_equal(wait_end(b), -EIO);
	blk_changed(m, BYTES);
	assert_int_equal(b->info.bytes, small);
	assert_int_equal(ob_blk_resize(b, BYTES), -EBUSY);
	assert_int_equal(ob_blk_resize(b, small / 2), -EBUSY);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, small, model, 4096), -EINVAL);
	writes_left = -1;
	wait_moved(b);
	assert_int_equal(b->info.bytes, BYTES);
	fill(ch, OB_BLK_WRITE, model);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(m);
	expect_under(key_b);
}

/* Half of a segment that is being moved, also after a crash in the middle of it. */
static void a_medium_that_shrinks_does_not_hold_up_the_move(void **state)
{
	const uint32_t small = 2 * CRYPT_SEG_BYTES + CRYPT_SEG_BYTES / 2;

	(void)state;
	for (unsigned crash = 0; crash < 2; crash++) {
		struct ob_blk *m = mortal(), *b;
		struct ob_blk_ch *ch;

		unlink(journal);
		write_disk();
		b = open_crypt(m, key_a);
		writes_left = 3;
		assert_int_equal(rekey(b, key_b, journal), 0);
		assert_int_equal(wait_end(b), -EIO);
		if (crash) {
			ob_blk_put(b);
			m->info.bytes = small;
			b = open_crypt(m, key_a);
			writes_left = -1;
			assert_int_equal(rekey(b, key_b, journal), 0);
		} else {
			blk_changed(m, small);
			writes_left = -1;
		}
		wait_moved(b);
		assert_int_equal(b->info.bytes, small);
		assert_int_equal(ob_blk_ch_open(b, &ch), 0);
		for (uint32_t at = 0; at < small; at += small / 5)
			assert_int_equal(test_rw(ch, OB_BLK_READ, 0, at, buf + at, small / 5), 0);
		assert_memory_equal(buf, model, small);
		ob_blk_ch_close(ch);
		ob_blk_put(b);
		ob_blk_put(m);
	}
}

static void a_damaged_journal_is_ebadmsg(void **state)
{
	struct ob_blk *m = mortal(), *b = open_crypt(m, key_a);
	FILE *f = fopen(journal, "w");

	(void)state;
	fputs("not a journal", f);
	fclose(f);
	assert_int_equal(rekey(b, key_b, journal), -EBADMSG);
	assert_int_equal(rekey(b, key_b, "/no/such/folder/j"), -ENOENT);
	assert_int_equal(rekey(m, key_b, journal), -EINVAL);
	ob_blk_put(b);
	ob_blk_put(m);
}

/* The journal's own promise: at whatever byte its writing stopped, it says what was true. */
static void a_torn_journal_falls_back_to_the_last_truth(void **state)
{
	struct crypt_wrapped a, b;
	struct crypt_resume at;
	struct crypt_journal *j;
	uint8_t *data = malloc(CRYPT_SEG_BYTES), *seen = malloc(CRYPT_SEG_BYTES);

	(void)state;
	assert_int_equal(crypt_wrap(key_a, 64, &a), 0);
	assert_int_equal(crypt_wrap(key_b, 64, &b), 0);
	for (unsigned tear = 0; tear < 3; tear++) {
		FILE *f;

		unlink(journal);
		assert_int_equal(crypt_journal_open(journal, &a, &b, seen, &at, &j), 0);
		assert_true(at.fresh);
		memset(data, 0x11, CRYPT_SEG_BYTES);
		assert_int_equal(crypt_journal_begin(j, 0, data, CRYPT_SEG_BYTES), 0);
		assert_int_equal(crypt_journal_done(j, 1, false), 0);
		memset(data, 0x22, CRYPT_SEG_BYTES);
		assert_int_equal(crypt_journal_begin(j, 1, data, CRYPT_SEG_BYTES), 0);
		crypt_journal_close(j);
		f = fopen(journal, "r+");
		if (tear == 1) { /* of the data, the last page is old */
			fseek(f, JOURNAL_MAX - 4096, SEEK_SET);
			fputc(0x11, f);
		} else if (tear ==
			   2) { /* of the record, in slot 0: 1 fresh, 2 begin, 3 done, 4 begin */
			fseek(f, 20, SEEK_SET);
			fputc(0xff, f);
		}
		fclose(f);
		assert_int_equal(crypt_journal_open(journal, &a, &b, seen, &at, &j), 0);
		assert_int_equal(at.next, 1);
		assert_int_equal(at.redo_len, tear == 0 ? CRYPT_SEG_BYTES : 0);
		if (tear == 0)
			assert_memory_equal(seen, data, CRYPT_SEG_BYTES);
		crypt_journal_close(j);
	}
	free(data);
	free(seen);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(all_moves_while_io_goes_on),
	    T(a_crash_in_any_segment_loses_nothing),
	    T(a_finished_journal_says_so_until_it_is_removed),
	    T(a_medium_that_refuses_for_a_while_only_delays),
	    T(one_blocked_io_does_not_hold_up_the_others),
	    T(a_volume_grows_when_its_move_is_over),
	    T(a_medium_that_shrinks_does_not_hold_up_the_move),
	    T(a_damaged_journal_is_ebadmsg),
	    T(a_torn_journal_falls_back_to_the_last_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
