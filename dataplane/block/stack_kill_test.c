/* SPDX-License-Identifier: BSD-3-Clause */
/* A process with a stack over files is killed at any moment under random I/O. Its guest would live on, so all that was acknowledged must be
 * there, flushed or not; snapshots are what they were. */
#include "test_file.h"
#include "test_rig.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static char err[512];

struct stack {
	struct ob_blk *file[2], *stripe, *crypt, *cow;
};

static void stack_open(struct stack *st, const struct test_file *t, bool first)
{
	const struct ob_blk_cow_conf conf = {.create = true,
	    .overwrite = first,
	    .bytes = MIB,
	    .max_bytes = MIB,
	    .cluster_bytes = 8192};
	uint8_t key[64];
	const struct ob_blk_crypt_conf cr = {.key = key, .key_len = sizeof(key)};
	struct ob_blk_cow_conf c = conf;
	struct test_file one = *t;
	unsigned i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 5 + 3);
	for (i = 0; i < 2; i++) {
		snprintf(one.path, sizeof(one.path), "%s/%u", t->dir, i);
		st->file[i] = test_file_open(&one, 3 * MIB);
	}
	assert_int_equal(
	    ob_blk_stripe_create("st", st->file, 2, 16 * KIB, &st->stripe, err, sizeof(err)), 0);
	assert_int_equal(
	    ob_blk_crypt_create("cr", st->stripe, &cr, &st->crypt, err, sizeof(err)), 0);
	c.store = st->crypt;
	assert_int_equal(ob_blk_cow_create("cow", &c, &st->cow, err, sizeof(err)), 0);
	assert_null(strstr(err, "damaged"));
}

static void stack_close(struct stack *st)
{
	ob_blk_put(st->cow);
	ob_blk_put(st->crypt);
	ob_blk_put(st->stripe);
	ob_blk_put(st->file[0]);
	ob_blk_put(st->file[1]);
}

struct shared {
	uint32_t n_steps, n_snaps;
	bool snap_made; /* of this round, with 'model' as it was */
};

/* Never returns; an assert that fails ends it by itself, which the parent sees. */
static void child(
    const struct test_file *t, struct rig *r, struct shared *sh, struct rig_sector *model)
{
	struct stack st;

	stack_open(&st, t, false);
	rig_open(r, st.cow, 2);
	for (;;) {
		rig_step(r);
		if (r->n_bad != 0)
			_exit(3);
		__atomic_fetch_add(&sh->n_steps, 1, __ATOMIC_RELEASE);
		if (rig_rand(r) % 40 == 0 && !sh->snap_made) {
			rig_drain(r);
			if (ob_blk_cow_snapshot(st.cow, "snap", err, sizeof(err)) != 0)
				_exit(4);
			memcpy(model, r->s, r->n_sectors * sizeof(*model));
			__atomic_store_n(&sh->snap_made, true, __ATOMIC_RELEASE);
		}
	}
}

static void check(
    const struct test_file *t, struct rig *r, struct shared *sh, struct rig_sector *model)
{
	struct rig_sector *now = r->s;
	struct ob_blk *snap;
	struct stack st;
	uint64_t s;

	stack_open(&st, t, false);
	rig_forget(r);
	for (s = 0; s < r->n_sectors; s++)
		r->s[s].durable = r->s[s].acked == RIG_ANY ? 0 : r->s[s].acked;
	rig_open(r, st.cow, 1);
	rig_verify(r, true);
	rig_close(r);
	if (sh->snap_made) {
		assert_int_equal(
		    ob_blk_cow_snap_open(st.cow, "snap", "snap", &snap, err, sizeof(err)), 0);
		rig_open(r, snap, 1);
		r->s = model;
		rig_verify(r, false);
		r->s = now;
		rig_close(r);
		ob_blk_put(snap);
	}
	/* One may be there that its maker did not live to note. */
	ob_blk_cow_snap_delete(st.cow, "snap", err, sizeof(err));
	sh->n_snaps += sh->snap_made;
	sh->snap_made = false;
	stack_close(&st);
}

static void *shared_mem(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void acknowledged_writes_survive_a_kill(void **state)
{
	struct rig *r = malloc(sizeof(*r));
	struct shared *sh = shared_mem(sizeof(*sh));
	struct rig_sector *model;
	struct test_file t;
	struct stack st;
	unsigned round, i;

	(void)state;
	assert_non_null(r);
	test_file_init(&t);
	rig_init(r, MIB, 11);
	model = shared_mem(r->n_sectors * sizeof(*model));
	stack_open(&st, &t, true);
	stack_close(&st);
	for (round = 0; round < 8; round++) {
		uint32_t from = sh->n_steps, want = rig_rand(r) % 400 + 20;
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			child(&t, r, sh, model);
		for (i = 0; i < 20000; i++) {
			if (__atomic_load_n(&sh->n_steps, __ATOMIC_ACQUIRE) - from >= want)
				break;
			usleep(200);
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_true(sh->n_steps - from >= want);
		check(&t, r, sh, model);
	}
	assert_true(sh->n_snaps > 0);
	munmap(model, r->n_sectors * sizeof(*model));
	munmap(sh, sizeof(*sh));
	rig_fini(r);
	free(r);
	for (i = 0; i < 2; i++) {
		snprintf(t.path, sizeof(t.path), "%s/%u", t.dir, i);
		unlink(t.path);
	}
	rmdir(t.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(acknowledged_writes_survive_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
