/* SPDX-License-Identifier: BSD-3-Clause */
/* Thin devices: what reads give, space, snapshots, clones, damage; random I/Os against a model. */
#include "test_cow.h"

static void unwritten_reads_as_zeroes_and_takes_no_space(void **state)
{
	struct ob_blk *store = ram(2 * MIB), *b = thin(store, NULL, 64 * MIB, 0);
	struct ob_blk_ch *ch = open_ch(b);
	struct ob_blk_info info;
	uint64_t all = n_free(b);

	(void)state;
	ob_blk_info(b, &info);
	assert_int_equal(info.bytes, 64 * MIB);
	assert_int_equal(info.discard_bytes, 64 * KIB);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 0, NULL, 64 * MIB), 0);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 64 * MIB), 0);
	assert_int_equal(n_free(b), all);
	put(ch, MIB + 512, 512, 7);
	assert_int_equal(n_free(b), all - 1);
	expect(ch, MIB, 512, 0);
	expect(ch, MIB + 512, 512, 7);
	expect(ch, MIB + 1024, 63 * KIB, 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void content_is_there_after_reopening(void **state)
{
	struct ob_blk *store = ram(2 * MIB), *b = thin(store, NULL, 3 * MIB + 512, 4096);
	struct ob_blk_ch *ch = open_ch(b);
	uint64_t left;

	(void)state;
	put(ch, 0, 128 * KIB, 1);
	put(ch, 3 * MIB, 512, 2); /* the last cluster is a part of one */
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 64 * KIB, NULL, 8 * KIB), 0);
	left = n_free(b);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	b = reopen(store, NULL);
	assert_string_equal(err, "");
	assert_int_equal(n_free(b), left);
	ch = open_ch(b);
	expect(ch, 0, 64 * KIB, 1);
	expect(ch, 64 * KIB, 8 * KIB, 0);
	expect(ch, 72 * KIB, 56 * KIB, 1);
	expect(ch, 3 * MIB, 512, 2);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 3 * MIB, NULL, 512), 0);
	expect(ch, 3 * MIB, 512, 0);
	assert_int_equal(n_free(b), left + 1);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void store_that_is_full_is_enospc(void **state)
{
	struct ob_blk *store = ram(512 * KIB), *b = thin(store, NULL, 4 * MIB, 4096);
	struct ob_blk_ch *ch = open_ch(b);
	uint64_t n = n_free(b), i;

	(void)state;
	memset(buf, 9, 4096);
	for (i = 0; i < n; i++)
		assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, i * 8192, buf, 512), 0);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 4096, buf, 512), -ENOSPC);
	/* What is allocated can be written, and space that is given back is space. */
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, buf, 4096), 0);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 8192, NULL, 4096), 0);
	assert_int_equal(n_free(b), 1);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 4096, buf, 512), 0);
	expect(ch, 4096, 512, 9);
	expect(ch, 4608, 3584, 0);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 8192, buf, 512), -ENOSPC);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

/* A volatile store: a freed cluster is free when the removal was flushed; the device sees to it. */
static void freed_clusters_of_a_volatile_store_are_used_again(void **state)
{
	struct ob_blk *store = cut_create(512 * KIB, 3), *b = thin(store, NULL, 4 * MIB, 4096);
	struct ob_blk_ch *ch = open_ch(b);
	uint64_t n = n_free(b), i;

	(void)state;
	for (i = 0; i < n; i++)
		assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, i * 4096, buf, 4096), 0);
	for (i = 0; i < 20; i++) {
		assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, i * 4096, NULL, 4096), 0);
		assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, (n + i) * 4096, buf, 4096), 0);
	}
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, buf, 4096), -ENOSPC);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

/* The flush that a waiting write asked for is over when the write is, also a cancelled one: the channel can be closed. */
static void cancelled_wait_for_space_leaves_nothing_under_way(void **state)
{
	struct ob_blk *store = cut_create(512 * KIB, 3), *b = thin(store, NULL, 4 * MIB, 4096);
	struct ob_blk_ch *ch = open_ch(b);
	uint64_t n = n_free(b), i;
	struct test_io t;

	(void)state;
	for (i = 0; i < n; i++)
		assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, i * 4096, buf, 4096), 0);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 4096), 0);
	test_io_init(&t, OB_BLK_WRITE, n * 4096, buf, 4096);
	test_submit(ch, &t);
	assert_int_equal(ob_blk_pending(ch->child[0]), 1);
	ob_blk_cancel(ch, NULL);
	assert_int_equal(test_wait(ch, &t), -ECANCELED);
	assert_int_equal(ob_blk_pending(ch->child[0]), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

/* A write of one worker is under way to a cluster that another removes: nobody gets the cluster before the write is over. */
static void cluster_with_io_under_way_is_not_used_again(void **state)
{
	struct ob_blk *store = cut_create(512 * KIB, 3), *b = thin(store, NULL, 4 * MIB, 4096);
	struct ob_blk_ch *ch[2] = {open_ch(b), open_ch(b)};
	static uint8_t one[4096], two[4096];
	uint64_t n = n_free(b), i;
	struct test_io t[2];

	(void)state;
	memset(one, 1, sizeof(one));
	memset(two, 2, sizeof(two));
	for (i = 0; i < n; i++)
		assert_int_equal(test_rw(ch[1], OB_BLK_WRITE, 0, i * 4096, buf, 4096), 0);
	test_io_init(&t[0], OB_BLK_WRITE, 0, one, sizeof(one));
	test_submit(ch[0], &t[0]);
	assert_int_equal(test_rw(ch[1], OB_BLK_DISCARD, 0, 0, NULL, 4096), 0);
	test_io_init(&t[1], OB_BLK_WRITE, n * 4096, two, sizeof(two));
	test_submit(ch[1], &t[1]);
	for (i = 0; i < 300; i++)
		ob_blk_poll(ch[1]);
	assert_int_equal(t[1].n_done, 0);
	assert_int_equal(test_wait(ch[0], &t[0]), 0);
	assert_int_equal(test_wait(ch[1], &t[1]), 0);
	expect(ch[0], n * 4096, 4096, 2);
	expect(ch[0], 0, 4096, 0);
	ob_blk_ch_close(ch[0]);
	ob_blk_ch_close(ch[1]);
	ob_blk_put(b);
	ob_blk_put(store);
}

/* The same with a read of a cluster that only a snapshot kept. */
static void snapshots_cluster_that_is_read_is_not_used_again(void **state)
{
	struct ob_blk *store = cut_create(512 * KIB, 3), *b = thin(store, NULL, 4 * MIB, 4096);
	struct ob_blk_ch *ch[2] = {open_ch(b), open_ch(b)};
	static uint8_t got[4096], two[4096];
	uint64_t n = n_free(b), i;
	struct test_io t[2];

	(void)state;
	memset(two, 2, sizeof(two));
	put(ch[1], 0, 4096, 1);
	assert_int_equal(ob_blk_cow_snapshot(b, "s", err, sizeof(err)), 0);
	test_io_init(&t[0], OB_BLK_READ, 0, got, sizeof(got));
	test_submit(ch[0], &t[0]);
	for (i = 0; i < n - 1; i++)
		assert_int_equal(test_rw(ch[1], OB_BLK_WRITE, 0, i * 4096, two, 4096), 0);
	assert_int_equal(ob_blk_cow_snap_delete(b, "s", err, sizeof(err)), 0);
	assert_int_equal(n_free(b), 1);
	test_io_init(&t[1], OB_BLK_WRITE, n * 4096, two, sizeof(two));
	test_submit(ch[1], &t[1]);
	for (i = 0; i < 300; i++)
		ob_blk_poll(ch[1]);
	assert_int_equal(t[1].n_done, 0);
	assert_int_equal(test_wait(ch[0], &t[0]), 0);
	for (i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], 1);
	assert_int_equal(test_wait(ch[1], &t[1]), 0);
	ob_blk_ch_close(ch[0]);
	ob_blk_ch_close(ch[1]);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void store_that_grows_gives_clusters(void **state)
{
	struct ob_blk *store, *b;
	uint64_t before;

	(void)state;
	store = cut_create(512 * KIB, 1);
	b = thin(store, NULL, MIB, 4096);
	before = n_free(b);
	blk_changed(store, 512 * KIB + 5 * 4096);
	assert_int_equal(n_free(b), before + 5);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void device_grows_and_does_not_shrink(void **state)
{
	struct ob_blk *store = ram(MIB), *b = thin(store, NULL, MIB, 4096);
	struct ob_blk_ch *ch = open_ch(b);
	struct ob_blk_info info;

	(void)state;
	put(ch, MIB - 512, 512, 1);
	assert_int_equal(ob_blk_resize(b, MIB / 2), -EOPNOTSUPP);
	assert_int_equal(ob_blk_resize(b, 4 * MIB + 512), -EINVAL);
	assert_int_equal(ob_blk_resize(b, 4 * MIB), 0);
	put(ch, 4 * MIB - 512, 512, 2);
	expect(ch, MIB, 64 * KIB, 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	b = reopen(store, NULL);
	ob_blk_info(b, &info);
	assert_int_equal(info.bytes, 4 * MIB);
	ch = open_ch(b);
	expect(ch, MIB - 512, 512, 1);
	expect(ch, 4 * MIB - 512, 512, 2);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void clone_reads_its_parent_until_it_writes(void **state)
{
	struct ob_blk *golden = ram(64 * KIB + 512), *store = ram(2 * MIB), *b;
	struct ob_blk_ch *ch = open_ch(golden);

	(void)state;
	put(ch, 0, 64 * KIB, 1);
	put(ch, 64 * KIB, 512, 2);
	ob_blk_ch_close(ch);
	b = thin(store, golden, 256 * KIB, 16 * KIB);
	ch = open_ch(golden);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, buf, 512), -EROFS);
	ob_blk_ch_close(ch);
	ch = open_ch(b);
	expect(ch, 0, 64 * KIB, 1);
	expect(ch, 64 * KIB, 512, 2);
	expect(ch, 64 * KIB + 512, 128 * KIB, 0);
	/* The parent ends within the cluster. */
	put(ch, 64 * KIB + 4096, 512, 3);
	expect(ch, 64 * KIB, 512, 2);
	expect(ch, 64 * KIB + 512, 3584, 0);
	expect(ch, 64 * KIB + 4096, 512, 3);
	put(ch, 5120, 512, 4);
	expect(ch, 0, 5120, 1);
	expect(ch, 5120, 512, 4);
	expect(ch, 5632, 10 * KIB + 512, 1);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 20 * KIB, NULL, 30 * KIB), 0);
	expect(ch, 16 * KIB, 4 * KIB, 1);
	expect(ch, 20 * KIB, 30 * KIB, 0);
	expect(ch, 50 * KIB, 14 * KIB, 1);
	/* What is discarded does not show the parent again. */
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 16 * KIB), 0);
	expect(ch, 0, 16 * KIB, 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	/* Not without it, and with no other. */
	assert_int_equal(thin_rc(store, NULL, UINT64_MAX, 0, &b), -EMEDIUMTYPE);
	assert_int_equal(thin_rc(store, store, UINT64_MAX, 0, &b), -EINVAL);
	b = reopen(store, golden);
	ch = open_ch(b);
	expect(ch, 20 * KIB, 30 * KIB, 0);
	expect(ch, 50 * KIB, 14 * KIB, 1);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(golden);
	ob_blk_put(store);
}

static void snapshot_keeps_what_was(void **state)
{
	struct ob_blk *store = ram(2 * MIB), *b = thin(store, NULL, MIB, 16 * KIB), *s, *c;
	struct ob_blk *cstore = ram(MIB);
	struct ob_blk_ch *ch = open_ch(b), *sch;
	struct ob_blk_cow_status st;
	uint64_t all = n_free(b);

	(void)state;
	put(ch, 0, 64 * KIB, 1);
	assert_int_equal(ob_blk_cow_snapshot(b, "one", err, sizeof(err)), 0);
	assert_int_equal(ob_blk_cow_snapshot(b, "one", err, sizeof(err)), -EEXIST);
	assert_int_equal(ob_blk_cow_snapshot(b, "o/ne", err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_cow_snapshot(store, "one", err, sizeof(err)), -EOPNOTSUPP);
	assert_int_equal(n_free(b), all - 4);
	put(ch, 512, 512, 2);
	assert_int_equal(n_free(b), all - 5);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 16 * KIB, NULL, 16 * KIB), 0);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 32 * KIB, NULL, 512), 0);
	assert_int_equal(n_free(b), all - 6);
	expect(ch, 0, 512, 1);
	expect(ch, 512, 512, 2);
	expect(ch, 1024, 15 * KIB, 1);
	expect(ch, 16 * KIB, 16 * KIB, 0);
	expect(ch, 32 * KIB, 512, 0);
	expect(ch, 32 * KIB + 512, 31 * KIB, 1);
	assert_int_equal(ob_blk_cow_snap_open(b, "two", "s", &s, err, sizeof(err)), -ENOENT);
	assert_int_equal(ob_blk_cow_snap_open(b, "one", "s", &s, err, sizeof(err)), 0);
	assert_int_equal(ob_blk_cow_snap_open(b, "one", "s2", &c, err, sizeof(err)), -EBUSY);
	assert_int_equal(ob_blk_cow_snap_delete(b, "one", err, sizeof(err)), -EBUSY);
	sch = open_ch(s);
	expect(sch, 0, 64 * KIB, 1);
	expect(sch, 64 * KIB, 128 * KIB, 0);
	assert_int_equal(test_rw(sch, OB_BLK_WRITE, 0, 0, buf, 512), -EROFS);
	ob_blk_ch_close(sch);
	/* A clone of it. */
	c = thin(cstore, s, 0, 4096);
	ob_blk_put(s);
	sch = open_ch(c);
	put(sch, 1024, 512, 5);
	expect(sch, 0, 1024, 1);
	expect(sch, 1024, 512, 5);
	expect(sch, 1536, 62 * KIB, 1);
	expect(ch, 1024, 512, 1);
	ob_blk_ch_close(sch);
	ob_blk_put(c);
	/* Snapshots and clones after reopening. */
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	b = reopen(store, NULL);
	assert_string_equal(err, "");
	assert_int_equal(n_free(b), all - 6);
	assert_int_equal(ob_blk_cow_snapshot(b, "three", err, sizeof(err)), 0);
	assert_int_equal(ob_blk_cow_snap_open(b, "three", "s", &s, err, sizeof(err)), 0);
	assert_int_equal(thin_rc(cstore, s, UINT64_MAX, 0, &c), -EMEDIUMTYPE);
	ob_blk_put(s);
	assert_int_equal(ob_blk_cow_snap_open(b, "one", "s", &s, err, sizeof(err)), 0);
	c = reopen(cstore, s);
	sch = open_ch(c);
	expect(sch, 1024, 512, 5);
	expect(sch, 1536, 62 * KIB, 1);
	ob_blk_ch_close(sch);
	ob_blk_put(c);
	ob_blk_put(s);
	assert_int_equal(ob_blk_cow_snap_delete(b, "two", NULL, 0), -ENOENT);
	assert_int_equal(ob_blk_cow_snap_delete(b, "one", err, sizeof(err)), 0);
	assert_int_equal(n_free(b), all - 3);
	assert_int_equal(ob_blk_cow_snap_delete(b, "three", err, sizeof(err)), 0);
	assert_int_equal(n_free(b), all - 3);
	assert_int_equal(ob_blk_cow_status(b, &st), 0);
	assert_int_equal(st.n_snaps, 0);
	/* Its own again: written in place. */
	ch = open_ch(b);
	put(ch, 0, 512, 8);
	assert_int_equal(n_free(b), all - 3);
	expect(ch, 512, 512, 2);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(cstore);
	ob_blk_put(store);
}

static void eighth_snapshot_is_enospc(void **state)
{
	struct ob_blk *store = ram(MIB), *b = thin(store, NULL, MIB, 4096);
	char name[8];
	unsigned i;

	(void)state;
	for (i = 0; i < OB_BLK_COW_MAX_SNAPS; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(ob_blk_cow_snapshot(b, name, err, sizeof(err)), 0);
	}
	assert_int_equal(ob_blk_cow_snapshot(b, "more", err, sizeof(err)), -ENOSPC);
	assert_int_equal(ob_blk_cow_snap_delete(b, "s3", err, sizeof(err)), 0);
	assert_int_equal(ob_blk_cow_snapshot(b, "more", err, sizeof(err)), 0);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void wrong_settings_are_refused(void **state)
{
	struct ob_blk *store = ram(MIB), *tiny = ram(64 * KIB), *big4, *b, *c;

	(void)state;
	assert_int_equal(thin_rc(NULL, NULL, MIB, 0, &b), -EINVAL);
	assert_int_equal(thin_rc(store, NULL, MIB, 2048, &b), -EINVAL);
	assert_int_equal(thin_rc(store, NULL, MIB, 4 * MIB, &b), -EINVAL);
	assert_int_equal(thin_rc(store, NULL, 0, 0, &b), -EINVAL);
	assert_int_equal(thin_rc(store, NULL, 1000, 0, &b), -EINVAL);
	assert_int_equal(thin_rc(store, NULL, 1ull << 53, 0, &b), -EINVAL);
	assert_int_equal(thin_rc(store, NULL, 1ull << 40, 4096, &b), -ENOSPC);
	assert_int_equal(thin_rc(tiny, NULL, MIB, 0, &b), -ENOSPC);
	/* Not a store, and 'create' does not say to make one. */
	assert_int_equal(thin_rc(store, NULL, UINT64_MAX, 0, &b), -EUCLEAN);
	assert_int_equal(ob_blk_ram_create("f", MIB, 4096, &big4, err, sizeof(err)), 0);
	assert_int_equal(thin_rc(store, big4, MIB, 0, &b), -EINVAL);
	b = thin(store, NULL, MIB, 4096);
	assert_int_equal(thin_rc(store, NULL, MIB, 4096, &c), -EBUSY);
	assert_int_equal(thin_rc(b, NULL, MIB, 4096, &c), -EINVAL);
	ob_blk_put(b);
	ob_blk_put(store);
	ob_blk_put(tiny);
	ob_blk_put(big4);
}

/* What is not blank is not overwritten. */
static void foreign_content_is_not_formatted(void **state)
{
	struct ob_blk *store = ram(MIB), *b;
	const struct ob_blk_cow_conf conf = {
	    .store = store, .create = true, .overwrite = true, .bytes = MIB, .cluster_bytes = 4096};
	struct ob_blk_ch *ch = open_ch(store);

	(void)state;
	put(ch, 100 * KIB, 512, 1);
	ob_blk_ch_close(ch);
	assert_int_equal(thin_rc(store, NULL, MIB, 4096, &b), -EUCLEAN);
	/* Unless that is asked for; what is a thin device's is opened then too. */
	assert_int_equal(ob_blk_cow_create("thin", &conf, &b, err, sizeof(err)), 0);
	ch = open_ch(b);
	put(ch, 0, 4096, 7);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	assert_int_equal(ob_blk_cow_create("thin", &conf, &b, err, sizeof(err)), 0);
	ch = open_ch(b);
	expect(ch, 0, 4096, 7);
	expect(ch, 4096, 64 * KIB, 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void damaged_entries_are_found_and_contained(void **state)
{
	struct ob_blk *store = cut_create(2 * MIB, 1), *b = thin(store, NULL, MIB, 4096);
	struct ob_blk_ch *ch = open_ch(b);
	struct ob_blk_cow_status st;
	uint8_t *map = cut_bytes(store) + COW_MAP_OFF;
	uint64_t left, e;

	(void)state;
	put(ch, 0, 64 * KIB, 1);
	left = n_free(b);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	map[8 * 3] ^= 1; /* entry 3: a bit */
	memcpy(&e, map + 8 * 5, 8);
	memcpy(map + 8 * 6, &e, 8); /* entry 6 is a copy of entry 5 */
	cut_bytes(store)[100] ^= 1; /* superblock 0 */
	b = reopen(store, NULL);
	assert_non_null(strstr(err, "superblock 0 was damaged"));
	assert_non_null(strstr(err, "2 map entries are damaged (the first of byte 12288)"));
	assert_int_equal(n_free(b), left + 2);
	ch = open_ch(b);
	expect(ch, 0, 12 * KIB, 1);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 12 * KIB, back, 4096), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, back, 64 * KIB), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 12 * KIB, buf, 512), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 12 * KIB, NULL, 512), -EIO);
	expect(ch, 20 * KIB, 4096, 1);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	/* Known damage stays until it is written over. */
	b = reopen(store, NULL);
	assert_null(strstr(err, "superblock"));
	ch = open_ch(b);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 12 * KIB, back, 4096), -EIO);
	put(ch, 12 * KIB, 4096, 2);
	expect(ch, 12 * KIB, 4096, 2);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 24 * KIB, NULL, 4096), 0);
	expect(ch, 24 * KIB, 4096, 0);
	assert_int_equal(ob_blk_cow_status(b, &st), 0);
	assert_int_equal(st.n_damaged, 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	b = reopen(store, NULL);
	assert_string_equal(err, "");
	ob_blk_put(b);
	ob_blk_put(store);
}

/* Two entries of the map, both with a right check, name one cluster. */
static void cluster_with_two_owners_is_damage(void **state)
{
	struct ob_blk *store = cut_create(2 * MIB, 1), *b = thin(store, NULL, MIB, 4096);
	struct ob_blk_ch *ch = open_ch(b);
	uint8_t *map = cut_bytes(store) + COW_MAP_OFF;
	uint32_t seed = ((struct cow *)b)->seed;
	uint64_t e;

	(void)state;
	put(ch, 0, 64 * KIB, 1);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	memcpy(&e, map + 8 * 5, 8);
	e = cow_encode(seed, 9, cow_decode(seed, 5, e));
	memcpy(map + 8 * 9, &e, 8);
	e = cow_encode(seed, 2, cow_entry(COW_DATA, 100000)); /* behind the store's end */
	memcpy(map + 8 * 2, &e, 8);
	b = reopen(store, NULL);
	assert_non_null(strstr(err, "3 map entries are damaged"));
	ch = open_ch(b);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 2 * 4096, back, 4096), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 5 * 4096, back, 4096), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 9 * 4096, back, 4096), -EIO);
	expect(ch, 3 * 4096, 8192, 1);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void both_superblocks_damaged_is_euclean(void **state)
{
	struct ob_blk *store = cut_create(MIB, 1), *b = thin(store, NULL, MIB, 4096);

	(void)state;
	ob_blk_put(b);
	cut_bytes(store)[3000] ^= 1;
	cut_bytes(store)[COW_SLOT_BYTES] ^= 1;
	assert_int_equal(thin_rc(store, NULL, MIB, 4096, &b), -EUCLEAN);
	ob_blk_put(store);
}

static void errors_of_the_store_reach_the_io(void **state)
{
	struct ob_blk *store = cut_create(MIB, 1), *b = thin(store, NULL, MIB, 16 * KIB);
	struct ob_blk_ch *ch = open_ch(b);
	uint64_t left;

	(void)state;
	put(ch, 0, 16 * KIB, 1);
	left = n_free(b);
	cut_fail(store, OB_BLK_READ, 1, -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, back, 512), -EIO);
	expect(ch, 32 * KIB, 512, 0);
	cut_fail(store, OB_BLK_WRITE, 1, -ENOSPC);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 32 * KIB, buf, 512), -ENOSPC);
	cut_fail(store, OB_BLK_FLUSH, 1, -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 32 * KIB, buf, 512), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	cut_fail(store, OB_BLK_READ, 0, 0);
	assert_int_equal(n_free(b), left);
	expect(ch, 32 * KIB, 16 * KIB, 0);
	put(ch, 32 * KIB, 512, 4);
	expect(ch, 32 * KIB, 512, 4);
	/* The second write of an allocation is the map's: after it nothing changes any more, what was there is read. */
	cut_fail(store, OB_BLK_WRITE, 2, -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 64 * KIB, buf, 512), -EIO);
	cut_fail(store, OB_BLK_READ, 0, 0);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, buf, 512), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	assert_int_equal(ob_blk_cow_snapshot(b, "s", err, sizeof(err)), -EIO);
	expect(ch, 0, 16 * KIB, 1);
	expect(ch, 32 * KIB, 512, 4);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	b = reopen(store, NULL);
	ch = open_ch(b);
	put(ch, 0, 512, 6);
	expect(ch, 512, 15 * KIB, 1);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

/* A map page that never reached the medium is as if it had not been tried. */
static void map_write_that_is_cancelled_undoes_the_change(void **state)
{
	struct ob_blk *store = cut_create(MIB, 1), *b = thin(store, NULL, MIB, 16 * KIB);
	struct ob_blk_ch *ch = open_ch(b);
	uint64_t left;

	(void)state;
	put(ch, 0, 16 * KIB, 1);
	left = n_free(b);
	cut_fail(store, OB_BLK_WRITE, 2, -ECANCELED);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 32 * KIB, buf, 512), -ECANCELED);
	cut_fail(store, OB_BLK_WRITE, 1, -ECANCELED);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 16 * KIB), -ECANCELED);
	assert_int_equal(n_free(b), left);
	expect(ch, 0, 16 * KIB, 1);
	expect(ch, 32 * KIB, 16 * KIB, 0);
	cut_fail(store, OB_BLK_WRITE, 0, 0);
	put(ch, 32 * KIB, 512, 2);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 16 * KIB), 0);
	expect(ch, 0, 16 * KIB, 0);
	expect(ch, 32 * KIB, 512, 2);
	assert_int_equal(n_free(b), left);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
}

static void error_of_the_parent_reaches_the_io(void **state)
{
	struct ob_blk *store = cut_create(MIB, 1), *parent = cut_create(MIB, 2), *b;
	struct ob_blk_ch *ch;
	uint64_t left;

	(void)state;
	b = thin(store, parent, 0, 16 * KIB);
	ch = open_ch(b);
	left = n_free(b);
	cut_fail(parent, OB_BLK_READ, 1, -EILSEQ);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 512, back, 512), -EILSEQ);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 512, buf, 512), -EILSEQ);
	assert_int_equal(n_free(b), left);
	/* All of a cluster needs nothing of the parent. */
	put(ch, 0, 16 * KIB, 3);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 16 * KIB, NULL, 16 * KIB), 0);
	expect(ch, 0, 16 * KIB, 3);
	expect(ch, 16 * KIB, 16 * KIB, 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(parent);
	ob_blk_put(store);
}

static void random_on(struct ob_blk *store, struct ob_blk *parent, uint64_t bytes, uint32_t cluster,
    uint64_t seed, int allowed)
{
	struct rig *r = malloc(sizeof(*r));
	struct ob_blk *b = thin(store, parent, bytes, cluster);
	unsigned round, i;
	char name[8];

	assert_non_null(r);
	rig_init(r, bytes, seed);
	r->odd_iov = true;
	r->allowed_error = allowed;
	for (round = 0; round < 4; round++) {
		rig_open(r, b, 3);
		for (i = 0; i < 150; i++) {
			rig_step(r);
			if (i % 50 == 49) {
				rig_drain(r);
				snprintf(name, sizeof(name), "s%u", i);
				if (round % 2 == 0)
					assert_int_equal(
					    ob_blk_cow_snapshot(b, name, err, sizeof(err)), 0);
				else
					assert_int_equal(
					    ob_blk_cow_snap_delete(b, name, err, sizeof(err)), 0);
			}
		}
		rig_drain(r);
		rig_verify(r, false);
		rig_close(r);
		ob_blk_put(b);
		b = reopen(store, parent);
		assert_string_equal(err, "");
	}
	if (allowed == 0)
		assert_int_equal(r->n_errors, 0);
	rig_open(r, b, 1);
	rig_verify(r, false);
	rig_fini(r);
	ob_blk_put(b);
	ob_blk_put(store);
	free(r);
}

static void random_io_matches_the_model(void **state)
{
	(void)state;
	random_on(ram(8 * MIB), NULL, MIB, 4096, 1, 0);
	random_on(ram(8 * MIB), NULL, MIB + 1536, 64 * KIB, 2, 0);
	random_on(cut_create(8 * MIB, 3), NULL, MIB, 8192, 3, 0);
	random_on(cut_create(8 * MIB, 4), NULL, MIB + 512, 16 * KIB, 4, 0);
	random_on(ram(16 * MIB), NULL, MIB, 2 * MIB, 5, 0);
}

static void random_io_on_a_full_store_matches_the_model(void **state)
{
	(void)state;
	random_on(ram(700 * KIB), NULL, MIB, 4096, 6, -ENOSPC);
	random_on(cut_create(700 * KIB, 3), NULL, MIB, 8192, 7, -ENOSPC);
}

static void cancel_ends_what_waits(void **state)
{
	struct ob_blk *store = cut_create(4 * MIB, 1), *b = thin(store, NULL, 2 * MIB, 4096);
	struct test_io *t = calloc(400, sizeof(*t));
	struct ob_blk_ch *ch = open_ch(b);
	unsigned i, n_canceled = 0;
	int a, z;

	(void)state;
	assert_non_null(t);
	memset(buf, 5, sizeof(buf));
	for (i = 0; i < 400; i++) {
		test_io_init(&t[i], OB_BLK_WRITE, i * 4096ull, buf, 4096);
		t[i].io.owner = i % 2 == 0 ? &a : &z;
		test_submit(ch, &t[i]);
	}
	ob_blk_cancel(ch, &a);
	for (i = 0; i < 400; i++)
		test_wait(ch, &t[i]);
	for (i = 0; i < 400; i++) {
		assert_true(t[i].io.result == 0 || (t[i].io.result == -ECANCELED && i % 2 == 0));
		n_canceled += t[i].io.result != 0;
		expect(ch, i * 4096ull, 4096, t[i].io.result == 0 ? 5 : 0);
	}
	assert_true(n_canceled > 150);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(store);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(unwritten_reads_as_zeroes_and_takes_no_space),
	    cmocka_unit_test(content_is_there_after_reopening),
	    cmocka_unit_test(store_that_is_full_is_enospc),
	    cmocka_unit_test(freed_clusters_of_a_volatile_store_are_used_again),
	    cmocka_unit_test(cancelled_wait_for_space_leaves_nothing_under_way),
	    cmocka_unit_test(cluster_with_io_under_way_is_not_used_again),
	    cmocka_unit_test(snapshots_cluster_that_is_read_is_not_used_again),
	    cmocka_unit_test(store_that_grows_gives_clusters),
	    cmocka_unit_test(device_grows_and_does_not_shrink),
	    cmocka_unit_test(clone_reads_its_parent_until_it_writes),
	    cmocka_unit_test(snapshot_keeps_what_was),
	    cmocka_unit_test(eighth_snapshot_is_enospc),
	    cmocka_unit_test(wrong_settings_are_refused),
	    cmocka_unit_test(foreign_content_is_not_formatted),
	    cmocka_unit_test(damaged_entries_are_found_and_contained),
	    cmocka_unit_test(cluster_with_two_owners_is_damage),
	    cmocka_unit_test(both_superblocks_damaged_is_euclean),
	    cmocka_unit_test(errors_of_the_store_reach_the_io),
	    cmocka_unit_test(map_write_that_is_cancelled_undoes_the_change),
	    cmocka_unit_test(error_of_the_parent_reaches_the_io),
	    cmocka_unit_test(random_io_matches_the_model),
	    cmocka_unit_test(random_io_on_a_full_store_matches_the_model),
	    cmocka_unit_test(cancel_ends_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
