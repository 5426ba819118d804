/* SPDX-License-Identifier: BSD-3-Clause */
/* The power of a stack's disks is cut again and again under random I/O: what was flushed is there, nothing else changed, snapshots are what
 * they were. */
#include "test_rig.h"

#include <stdlib.h>

#define KIB	   1024u
#define MIB	   (1024u * KIB)
#define MAX_LAYERS 8

static char err[512];

/* More rounds for a search: OB_TEST_SEEDS times as many. */
static unsigned seeds(unsigned n)
{
	const char *times = getenv("OB_TEST_SEEDS");

	return times != NULL ? n * (unsigned)atoi(times) : n;
}

/* A stack: disks, and what is built on them anew after each cut. */
struct stack {
	struct ob_blk *disk[3];
	unsigned n_disks;
	struct ob_blk *layer[MAX_LAYERS];
	unsigned n_layers;
	struct ob_blk *golden; /* parent of the thin device */
	uint32_t cluster;
	uint64_t bytes;
	void (*build)(struct stack *st);
	struct ob_blk *cow;
	unsigned n_repaired;
	bool made; /* the store */
};

static struct ob_blk *top(struct stack *st)
{
	return st->layer[st->n_layers - 1];
}

static void add_stripe(struct stack *st, uint32_t chunk)
{
	assert_int_equal(ob_blk_stripe_create("st", st->disk, st->n_disks, chunk,
			     &st->layer[st->n_layers++], err, sizeof(err)),
	    0);
}

static void add_concat(struct stack *st)
{
	assert_int_equal(ob_blk_concat_create("cc", st->disk, st->n_disks,
			     &st->layer[st->n_layers++], err, sizeof(err)),
	    0);
}

static void add_crypt(struct stack *st, struct ob_blk *below, bool pass_discard)
{
	uint8_t key[64];
	const struct ob_blk_crypt_conf conf = {
	    .key = key, .key_len = 64, .sector_bytes = 512, .pass_discard = pass_discard};
	unsigned i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 3 + 1);
	assert_int_equal(
	    ob_blk_crypt_create("cr", below, &conf, &st->layer[st->n_layers++], err, sizeof(err)),
	    0);
}

static void add_cow(struct stack *st, struct ob_blk *store)
{
	const struct ob_blk_cow_conf conf = {.store = store,
	    .parent = st->golden,
	    .create = true,
	    .overwrite = !st->made,
	    .bytes = st->bytes,
	    .max_bytes = st->bytes,
	    .cluster_bytes = st->cluster};

	assert_int_equal(ob_blk_cow_create("cow", &conf, &st->cow, err, sizeof(err)), 0);
	st->layer[st->n_layers++] = st->cow;
	st->made = true;
	/* A superblock that was being written is all that may be found. */
	assert_null(strstr(err, "damaged"));
	st->n_repaired += err[0] != 0;
}

static void build_cow(struct stack *st)
{
	add_cow(st, st->disk[0]);
}

static void build_stripe_cow(struct stack *st)
{
	add_stripe(st, 8192);
	add_cow(st, top(st));
}

static void build_concat_crypt_cow(struct stack *st)
{
	add_concat(st);
	add_crypt(st, top(st), false);
	add_cow(st, top(st));
}

static void build_cow_crypt(struct stack *st)
{
	add_cow(st, st->disk[0]);
	add_crypt(st, top(st), true);
}

static void build_stripe(struct stack *st)
{
	add_stripe(st, 4096);
}

static void tear_down(struct stack *st)
{
	while (st->n_layers > 0)
		ob_blk_put(st->layer[--st->n_layers]);
	st->cow = NULL;
}

/* The disks stop; the stack above them is closed; the same on what the disks kept. */
static void cut_all(struct stack *st, struct rig *r)
{
	struct ob_blk *old[3];
	unsigned i;

	for (i = 0; i < st->n_disks; i++) {
		old[i] = st->disk[i];
		st->disk[i] = cut_power(old[i], rig_rand(r));
	}
	r->crashed = true;
	rig_drain(r);
	rig_close(r);
	tear_down(st);
	for (i = 0; i < st->n_disks; i++)
		ob_blk_put(old[i]);
	r->crashed = false;
	st->build(st);
	rig_open(r, top(st), 2);
}

static void verify_snapshot(
    struct stack *st, struct rig *r, const char *name, struct rig_sector *model)
{
	struct rig_sector *now = r->s;
	struct ob_blk *s;

	assert_int_equal(ob_blk_cow_snap_open(st->cow, name, "snap", &s, err, sizeof(err)), 0);
	rig_close(r);
	rig_open(r, s, 1);
	r->s = model;
	rig_verify(r, false);
	r->s = now;
	rig_close(r);
	ob_blk_put(s);
	rig_open(r, top(st), 2);
}

static void fill_golden(struct stack *st, struct rig *r)
{
	struct ob_blk_ch *ch;
	uint8_t sector[RIG_SECTOR];
	uint64_t s, n = st->golden->info.bytes / RIG_SECTOR;

	assert_int_equal(ob_blk_ch_open(st->golden, &ch), 0);
	for (s = 0; s < n; s++) {
		rig_fill(sector, s, 0);
		assert_int_equal(
		    test_rw(ch, OB_BLK_WRITE, 0, s * RIG_SECTOR, sector, RIG_SECTOR), 0);
		r->s[s].zeroed = -1;
	}
	ob_blk_ch_close(ch);
}

/* 'allowed': -ENOSPC for a store that is too small. */
static void cuts(struct stack *st, uint64_t disk_bytes, uint64_t seed, int allowed, unsigned rounds)
{
	struct rig *r = malloc(sizeof(*r));
	struct rig_sector *model = NULL;
	unsigned round, i, n;

	assert_non_null(r);
	rig_init(r, st->bytes, seed);
	r->allowed_error = allowed;
	for (i = 0; i < st->n_disks; i++)
		st->disk[i] = cut_create(disk_bytes, seed + i);
	if (st->golden != NULL)
		fill_golden(st, r);
	st->build(st);
	assert_int_equal(top(st)->info.bytes, st->bytes);
	rig_open(r, top(st), 2);
	r->no_discard = top(st)->info.discard_bytes == 0;
	for (round = 0; round < rounds; round++) {
		n = rig_rand(r) % 120;
		for (i = 0; i < n; i++)
			rig_step(r);
		if (st->cow != NULL && st->cow == top(st) && round % 4 == 1) {
			rig_drain(r);
			assert_int_equal(ob_blk_cow_snapshot(st->cow, "snap", err, sizeof(err)), 0);
			model = rig_copy(r);
			n = rig_rand(r) % 60;
			for (i = 0; i < n; i++)
				rig_step(r);
		}
		cut_all(st, r);
		rig_verify(r, true);
		rig_verify(r, false);
		if (model != NULL && round % 4 == 3) {
			verify_snapshot(st, r, "snap", model);
			free(model);
			model = NULL;
			assert_int_equal(
			    ob_blk_cow_snap_delete(st->cow, "snap", err, sizeof(err)), 0);
		} else if (model != NULL) {
			verify_snapshot(st, r, "snap", model);
		}
	}
	free(model);
	rig_fini(r);
	tear_down(st);
	for (i = 0; i < st->n_disks; i++)
		ob_blk_put(st->disk[i]);
	ob_blk_put(st->golden);
	free(r);
}

static struct ob_blk *ram(uint64_t bytes)
{
	struct ob_blk *b;

	assert_int_equal(ob_blk_ram_create("golden", bytes, 512, &b, err, sizeof(err)), 0);
	return b;
}

static void thin_device_survives(void **state)
{
	unsigned seed;

	(void)state;
	for (seed = 1; seed <= seeds(6); seed++) {
		struct stack st = {.n_disks = 1,
		    .cluster = 4096u << seed % 4,
		    .bytes = 512 * KIB,
		    .build = build_cow};

		cuts(&st, 3 * MIB, seed, 0, 16);
	}
}

static void clone_survives(void **state)
{
	unsigned seed;

	(void)state;
	for (seed = 1; seed <= seeds(4); seed++) {
		struct stack st = {.n_disks = 1,
		    .cluster = 4096u << seed % 3,
		    .bytes = 512 * KIB,
		    .golden = ram(300 * KIB + 512 * seed),
		    .build = build_cow};

		cuts(&st, 3 * MIB, seed + 100, 0, 16);
	}
}

/* Clusters are freed and used again all the time. */
static void thin_device_on_a_full_store_survives(void **state)
{
	unsigned seed;

	(void)state;
	for (seed = 1; seed <= seeds(4); seed++) {
		struct stack st = {
		    .n_disks = 1, .cluster = 4096, .bytes = 512 * KIB, .build = build_cow};

		cuts(&st, (160 + 64 + 256) * KIB, seed + 200, -ENOSPC, 16);
	}
}

static void stacks_survive(void **state)
{
	unsigned seed;

	(void)state;
	for (seed = 1; seed <= seeds(3); seed++) {
		struct stack a = {.n_disks = 2,
		    .cluster = 16 * KIB,
		    .bytes = 512 * KIB,
		    .build = build_stripe_cow};
		struct stack b = {.n_disks = 3,
		    .cluster = 8 * KIB,
		    .bytes = 512 * KIB,
		    .build = build_concat_crypt_cow};
		struct stack c = {
		    .n_disks = 1, .cluster = 8 * KIB, .bytes = 512 * KIB, .build = build_cow_crypt};
		struct stack d = {.n_disks = 3, .bytes = 384 * KIB, .build = build_stripe};

		cuts(&a, 2 * MIB, seed + 300, 0, 12);
		cuts(&b, 1 * MIB, seed + 400, 0, 12);
		cuts(&c, 3 * MIB, seed + 500, 0, 12);
		cuts(&d, 128 * KIB, seed + 600, 0, 12);
	}
}

/* A FUA write into a cluster whose map entry is not durable yet. */
static void fua_after_an_allocation_survives(void **state)
{
	const struct ob_blk_cow_conf conf = {.create = true, .bytes = MIB, .cluster_bytes = 8192};
	static uint8_t one[512], two[512], got[512];
	struct ob_blk_cow_conf c = conf;
	struct ob_blk *disk, *b, *cut;
	struct ob_blk_ch *ch;
	unsigned seed;

	(void)state;
	memset(one, 1, sizeof(one));
	memset(two, 2, sizeof(two));
	for (seed = 1; seed < 20; seed++) {
		disk = cut_create(MIB, seed);
		c.store = disk;
		assert_int_equal(ob_blk_cow_create("cow", &c, &b, err, sizeof(err)), 0);
		assert_int_equal(ob_blk_ch_open(b, &ch), 0);
		assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, one, 512), 0);
		assert_int_equal(test_rw(ch, OB_BLK_WRITE, OB_BLK_FUA, 512, two, 512), 0);
		cut = cut_power(disk, seed);
		ob_blk_ch_close(ch);
		ob_blk_put(b);
		ob_blk_put(disk);
		c.store = cut;
		assert_int_equal(ob_blk_cow_create("cow", &c, &b, err, sizeof(err)), 0);
		assert_int_equal(ob_blk_ch_open(b, &ch), 0);
		assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 512, got, 512), 0);
		assert_memory_equal(got, two, 512);
		ob_blk_ch_close(ch);
		ob_blk_put(b);
		ob_blk_put(cut);
	}
}

/* Cluster A is removed and B gets its place: B's bytes never show up at A, wherever the power fails. */
static void reused_cluster_does_not_show_at_its_old_place(void **state)
{
	const struct ob_blk_cow_conf conf = {
	    .create = true, .bytes = MIB, .max_bytes = MIB, .cluster_bytes = 4096};
	static uint8_t one[4096], two[4096], got[4096];
	struct ob_blk_cow_conf c = conf;
	struct ob_blk *disk, *b, *cut;
	struct ob_blk_ch *ch;
	unsigned k, seed, i;

	(void)state;
	memset(one, 1, sizeof(one));
	memset(two, 2, sizeof(two));
	for (seed = 1; seed <= 4; seed++) {
		for (k = 1; k < 30; k++) {
			/* Room for two clusters. */
			disk = cut_create((128 + 32 + 8) * KIB, seed * 100 + k);
			c.store = disk;
			assert_int_equal(ob_blk_cow_create("cow", &c, &b, err, sizeof(err)), 0);
			assert_int_equal(ob_blk_ch_open(b, &ch), 0);
			assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, one, 4096), 0);
			assert_int_equal(test_rw(ch, OB_BLK_WRITE, OB_BLK_FUA, 4096, one, 4096), 0);
			cut_after(disk, k);
			assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 4096), 0);
			assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 8192, two, 4096), 0);
			cut = cut_taken(disk);
			ob_blk_ch_close(ch);
			ob_blk_put(b);
			ob_blk_put(disk);
			if (cut == NULL)
				break;
			c.store = cut;
			assert_int_equal(ob_blk_cow_create("cow", &c, &b, err, sizeof(err)), 0);
			assert_string_equal(err, "");
			assert_int_equal(ob_blk_ch_open(b, &ch), 0);
			assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, got, 4096), 0);
			for (i = 0; i < 4096; i++)
				assert_true(got[i] == 0 || got[i] == 1);
			assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 4096, got, 4096), 0);
			assert_memory_equal(got, one, 4096);
			ob_blk_ch_close(ch);
			ob_blk_put(b);
			ob_blk_put(cut);
		}
		assert_true(k > 3);
	}
}

static struct ob_blk *try_open(struct ob_blk *disk)
{
	const struct ob_blk_cow_conf conf = {.store = disk,
	    .create = true,
	    .bytes = MIB,
	    .max_bytes = 2 * MIB,
	    .cluster_bytes = 4096};
	struct ob_blk *b;

	/* What is found is blank, half made, or whole: never damaged. */
	assert_int_equal(ob_blk_cow_create("cow", &conf, &b, err, sizeof(err)), 0);
	assert_null(strstr(err, "map"));
	return b;
}

/* Changes number 0 ..: what a superblock tells. */
static int change(struct ob_blk *b, unsigned i)
{
	static const uint64_t sizes[] = {MIB + 512, MIB + 8192, 2 * MIB};

	switch (i % 4) {
	case 0:
		return ob_blk_cow_snapshot(b, "a", err, sizeof(err));
	case 1:
		return ob_blk_resize(b, sizes[i / 4 % 3]);
	case 2:
		return ob_blk_cow_snapshot(b, "b", err, sizeof(err));
	default:
		return ob_blk_cow_snap_delete(b, "a", err, sizeof(err));
	}
}

static bool same(const struct ob_blk_cow_status *a, uint64_t a_bytes,
    const struct ob_blk_cow_status *b, uint64_t b_bytes)
{
	unsigned i;

	if (a->n_snaps != b->n_snaps || a_bytes != b_bytes ||
	    a->n_free_clusters != b->n_free_clusters)
		return false;
	for (i = 0; i < a->n_snaps; i++)
		if (strcmp(a->snap[i].name, b->snap[i].name) != 0)
			return false;
	return true;
}

/* Power fails at the k-th I/O of making a store, and of each change: it is there as a whole, or not at all. */
static void changes_of_the_superblock_are_atomic(void **state)
{
	struct ob_blk_cow_status before, after, st;
	uint64_t before_bytes, after_bytes;
	struct ob_blk *disk, *cut, *b;
	static uint8_t data[64 * KIB];
	struct ob_blk_ch *ch;
	unsigned k, i, n_seen;

	(void)state;
	for (k = 1; k < 20; k++) {
		disk = cut_create(2 * MIB, k);
		cut_after(disk, k);
		b = try_open(disk);
		cut = cut_taken(disk);
		ob_blk_put(b);
		ob_blk_put(disk);
		if (cut == NULL)
			break;
		b = try_open(cut);
		assert_int_equal(b->info.bytes, MIB);
		ob_blk_put(b);
		ob_blk_put(cut);
	}
	assert_true(k > 8);
	for (i = 0; i < 4; i++) {
		n_seen = 0;
		for (k = 1; k < 40; k++) {
			unsigned j;

			disk = cut_create(2 * MIB, k);
			b = try_open(disk);
			assert_int_equal(ob_blk_ch_open(b, &ch), 0);
			assert_int_equal(
			    test_rw(ch, OB_BLK_WRITE, OB_BLK_FUA, 0, data, sizeof(data)), 0);
			ob_blk_ch_close(ch);
			for (j = 0; j < i; j++)
				assert_int_equal(change(b, j), 0);
			assert_int_equal(ob_blk_cow_status(b, &before), 0);
			before_bytes = b->info.bytes;
			cut_after(disk, k);
			assert_int_equal(change(b, i), 0);
			assert_int_equal(ob_blk_cow_status(b, &after), 0);
			after_bytes = b->info.bytes;
			cut = cut_taken(disk);
			ob_blk_put(b);
			ob_blk_put(disk);
			if (cut == NULL)
				break;
			b = try_open(cut);
			assert_int_equal(ob_blk_cow_status(b, &st), 0);
			assert_true(same(&st, b->info.bytes, &before, before_bytes) ||
				    same(&st, b->info.bytes, &after, after_bytes));
			n_seen++;
			ob_blk_put(b);
			ob_blk_put(cut);
		}
		assert_true(n_seen >= 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(thin_device_survives),
	    cmocka_unit_test(clone_survives),
	    cmocka_unit_test(thin_device_on_a_full_store_survives),
	    cmocka_unit_test(stacks_survive),
	    cmocka_unit_test(fua_after_an_allocation_survives),
	    cmocka_unit_test(reused_cluster_does_not_show_at_its_old_place),
	    cmocka_unit_test(changes_of_the_superblock_are_atomic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
