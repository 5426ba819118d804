/* SPDX-License-Identifier: BSD-3-Clause */
/* A process that writes to a file is killed at any moment: what it was told to be durable is there. */
#include "test_file.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define BLOCKS	  4096u
#define BLOCK	  512u
#define N_FLIGHT  32u
#define N_FLUSHES 3u

/* Shared with the child: what it began, and what it was told. 0: never written. */
struct ledger {
	uint32_t began[BLOCKS], durable[BLOCKS];
	uint32_t n_flushes, n_fua;
	bool failed;
};

struct wr {
	struct ob_blk_io io;
	struct iovec iov[2];
	struct ledger *l;
	uint8_t *mem;
	uint32_t block, seq;
	bool busy, zeroes;
};

static void fill(uint8_t *p, uint32_t block, uint32_t seq)
{
	uint32_t words[2] = {block, seq};

	for (unsigned i = 0; i < BLOCK; i += sizeof(words))
		memcpy(p + i, words, sizeof(words));
}

static void on_write(struct ob_blk_io *io)
{
	struct wr *w = (struct wr *)io;

	w->busy = false;
	if (io->result != 0)
		w->l->failed = true;
	if (!(io->flags & OB_BLK_FUA))
		return;
	__atomic_store_n(&w->l->durable[w->block], w->seq, __ATOMIC_RELEASE);
	w->l->n_fua++;
}

/* Several flushes are under way at once; each covers what was completed before it. */
struct fl {
	struct ob_blk_io io;
	uint32_t covered[BLOCKS];
	bool busy;
};

static void on_flush(struct ob_blk_io *io)
{
	struct fl *f = (struct fl *)io;
	struct ledger *l = io->owner;

	if (io->result != 0)
		l->failed = true;
	for (unsigned i = 0; i < BLOCKS; i++)
		if (f->covered[i] > l->durable[i])
			__atomic_store_n(&l->durable[i], f->covered[i], __ATOMIC_RELEASE);
	l->n_flushes++;
	f->busy = false;
}

static void start(struct ob_blk_ch *ch, struct wr *w, uint32_t block, uint32_t seq, bool fua)
{
	struct ob_blk_io *io = &w->io;

	w->block = block;
	w->seq = seq;
	w->busy = true;
	fill(w->mem, block, seq);
	/* Every third lies crooked: bounced. */
	w->iov[0] = (struct iovec){w->mem, seq % 3 == 0 ? 100 : 512};
	w->iov[1] = (struct iovec){w->mem + 100, 412};
	w->io = (struct ob_blk_io){.op = OB_BLK_WRITE,
	    .flags = fua ? OB_BLK_FUA : 0,
	    .n_iov = seq % 3 == 0 ? 2 : 1,
	    .iov = w->iov,
	    .off = (uint64_t)block * BLOCK,
	    .len = BLOCK,
	    .done = on_write};
	/* Release: the parent must not see the bytes without this. */
	__atomic_store_n(&w->l->began[block], seq, __ATOMIC_RELEASE);
	ob_blk_submit(ch, &io, 1);
}

/* Writes until it is killed. A block is written by one I/O at a time. */
static void child(const struct test_file *t, struct ledger *l, uint32_t seq)
{
	static struct wr w[N_FLIGHT];
	static struct fl fl[N_FLUSHES];
	static uint32_t completed[BLOCKS];
	struct ob_blk *b = test_file_open(t, BLOCKS * BLOCK);
	struct ob_blk_ch *ch;

	if (ob_blk_ch_open(b, &ch) != 0)
		_exit(1);
	for (unsigned i = 0; i < N_FLIGHT; i++) {
		w[i].l = l;
		w[i].mem = aligned_alloc(4096, 4096);
	}
	for (uint64_t seed = seq;;) {
		for (unsigned i = 0; i < N_FLIGHT; i++) {
			if (w[i].busy)
				continue;
			if (w[i].seq != 0)
				completed[w[i].block] = w[i].seq;
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			/* Slot i has blocks of its own. */
			start(ch, &w[i],
			    (uint32_t)(seed >> 33) % (BLOCKS / N_FLIGHT) * N_FLIGHT + i, ++seq,
			    (seed >> 60) == 0);
		}
		for (unsigned i = 0; i < N_FLUSHES; i++) {
			struct ob_blk_io *io = &fl[i].io;

			if (fl[i].busy)
				continue;
			fl[i].busy = true;
			*io = (struct ob_blk_io){.op = OB_BLK_FLUSH, .done = on_flush, .owner = l};
			memcpy(fl[i].covered, completed, sizeof(completed));
			ob_blk_submit(ch, &io, 1);
			break;
		}
		ob_blk_poll(ch);
	}
}

static void check(const struct test_file *t, const struct ledger *l)
{
	static uint8_t disk[BLOCKS * BLOCK];
	struct ob_blk *b = test_file_open(t, 0);
	uint8_t want[BLOCK];
	struct ob_blk_ch *ch;

	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, disk, sizeof(disk)), 0);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		uint32_t has[2];

		memcpy(has, disk + i * BLOCK, sizeof(has));
		/* Not older than what was durable, not newer than what was begun. */
		assert_true(has[1] >= l->durable[i]);
		assert_true(has[1] <= l->began[i]);
		if (has[1] == 0)
			continue;
		fill(want, i, has[1]);
		assert_memory_equal(disk + i * BLOCK, want, BLOCK);
	}
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

static void acknowledged_writes_survive_a_kill(void **state)
{
	struct ledger *l =
	    mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct test_file t;

	(void)state;
	assert_true(l != MAP_FAILED);
	test_file_init(&t);
	for (uint32_t round = 0; round < 5; round++) {
		uint32_t flushes = l->n_flushes, fua = l->n_fua;
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0)
			child(&t, l, round << 24);
		/* Until something was promised; then at once. */
		for (unsigned i = 0; i < 20000; i++) {
			if (__atomic_load_n(&l->n_flushes, __ATOMIC_RELAXED) >=
				flushes + 4 + round &&
			    __atomic_load_n(&l->n_fua, __ATOMIC_RELAXED) > fua)
				break;
			usleep(500);
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_false(l->failed);
		assert_true(l->n_flushes >= flushes + 4 && l->n_fua > fua);
		check(&t, l);
	}
	test_file_remove(&t);
	munmap(l, sizeof(*l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(acknowledged_writes_survive_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
