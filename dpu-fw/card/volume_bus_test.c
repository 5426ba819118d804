/* SPDX-License-Identifier: BSD-3-Clause */
/* Volumes on the bus: what they are made of, who uses them, limits, sizes, restarts. */
#include "test_volume.h"

#define MB (1ull << 20)

static void volume_comes_back_as_given(void **state)
{
	struct ob_bus_volume v = volume("d0", OB_BUS_VOL_RAM, 8 * MB), r;

	(void)state;
	v.limit[OB_BUS_LIM_IOPS] = 5000;
	v.limit[OB_BUS_LIM_WRITE_BW] = 1000000;
	v.burst_s = 10;
	v.block_bytes = 4096;
	assert_int_equal(ADD(OB_BUS_VOLUME, v), 0);
	r = shown_volume("d0");
	assert_int_equal(r.kind, OB_BUS_VOL_RAM);
	assert_int_equal(r.bytes, 8 * MB);
	assert_int_equal(r.block_bytes, 4096);
	assert_int_equal(r.access, 1);
	assert_int_equal(r.shared, 2);
	assert_int_equal(r.state, OB_BUS_VOL_READY);
	assert_int_equal(r.limit[OB_BUS_LIM_IOPS], 5000);
	assert_int_equal(r.limit[OB_BUS_LIM_WRITE_BW], 1000000);
	assert_int_equal(r.burst_s, 10);
	assert_int_equal(r.n_users, 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, v), -EEXIST);
	assert_true(says("obctl volume show d0"));
	assert_int_equal(DEL(OB_BUS_VOLUME, v), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, v), -ENOENT);
	assert_int_equal(list(OB_BUS_VOLUME, NULL, 0, NULL, 0), 0);
}

static void volume_fields_are_checked(void **state)
{
	struct ob_bus_volume v = volume("d0", OB_BUS_VOL_RAM, MB),
			     d = volume("d1", OB_BUS_VOL_NULL, MB);

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	REFUSED(OB_BUS_VOLUME, v, bad.kind = 0, -EINVAL, "kind");
	REFUSED(OB_BUS_VOLUME, v, bad.kind = 99, -EINVAL, "kind");
	REFUSED(OB_BUS_VOLUME, v, bad.name[0] = '/', -EINVAL, "name");
	REFUSED(OB_BUS_VOLUME, v, bad.bytes = 0, -EINVAL, "--size");
	REFUSED(OB_BUS_VOLUME, v, bad.bytes = 1000, -EINVAL, "512");
	REFUSED(OB_BUS_VOLUME, v, bad.access = 3, -EINVAL, "access");
	REFUSED(OB_BUS_VOLUME, v, bad.access = 2, -EINVAL, "--access");
	REFUSED(OB_BUS_VOLUME, v, bad.block_bytes = 1024, -EINVAL, "block");
	REFUSED(OB_BUS_VOLUME, v, bad.path[0] = '/', -EINVAL, "--path");
	REFUSED(OB_BUS_VOLUME, v, memset(bad.path, 'x', sizeof(bad.path)), -EINVAL, "path");
	REFUSED(OB_BUS_VOLUME, v, bad.cache = 1, -EINVAL, "--cache");
	REFUSED(OB_BUS_VOLUME, v, bad.stripe_bytes = 4096, -EINVAL, "--stripe");
	REFUSED(OB_BUS_VOLUME, v, bad.discard = 1, -EINVAL, "--discard");
	REFUSED(OB_BUS_VOLUME, v, bad.fresh = 1, -EINVAL, "--fresh");
	REFUSED(OB_BUS_VOLUME, v, bad.n_on = 1, -EINVAL, "--on");
	REFUSED(OB_BUS_VOLUME, v, bad.n_on = 17, -EINVAL, "16");
	REFUSED(OB_BUS_VOLUME, v, strcpy(bad.store, "d1"), -EINVAL, "--store");
	REFUSED(OB_BUS_VOLUME, v, (bad.key.use = 1, bad.key.len = 64), -EINVAL, "--key-file");
	REFUSED(OB_BUS_VOLUME, v, (bad.key.use = 1, bad.key.len = 16), -EINVAL, "64 bytes");
	REFUSED(OB_BUS_VOLUME, v, bad.key.use = 9, -EINVAL, "key");
	REFUSED(OB_BUS_VOLUME, v, bad.burst[OB_BUS_LIM_BW] = 5, -EINVAL, "--bw");
	REFUSED(OB_BUS_VOLUME, v, bad.limit[7] = 5, -EINVAL, "limit");
	REFUSED(OB_BUS_VOLUME, v, bad.limit[0] = UINT64_MAX, -EINVAL, "2^40");
	REFUSED(OB_BUS_VOLUME, v, bad.burst_s = 1u << 31, -EINVAL, "seconds");
	v = layer("s0", OB_BUS_VOL_STRIPE, "d1");
	REFUSED(OB_BUS_VOLUME, v, (void)bad, -EINVAL, "2 to 16");
	REFUSED(OB_BUS_VOLUME, v, (bad.n_on = 2, strcpy(bad.on[1], "d1")), -EINVAL, "twice");
	REFUSED(OB_BUS_VOLUME, v, (bad.n_on = 2, strcpy(bad.on[1], "d9")), -ENOENT,
	    "obctl volume list");
	v = layer("q0", OB_BUS_VOL_QOS, "q0"); /* on itself */
	REFUSED(OB_BUS_VOLUME, v, (void)bad, -ENOENT, "q0");
	v = file_volume("f0", MB);
	REFUSED(OB_BUS_VOLUME, v, bad.path[0] = '\0', -EINVAL, "--path");
	REFUSED(OB_BUS_VOLUME, v, bad.path[0] = 'x', -EINVAL, "absolute");
	REFUSED(OB_BUS_VOLUME, v, strcpy(bad.path, "/nonexistent/x"), -ENOENT, "/nonexistent/x");
	v = layer("x0", OB_BUS_VOL_SNAPSHOT, "d1");
	REFUSED(OB_BUS_VOLUME, v, (void)bad, -ENOTSUP, "thin");
	assert_int_equal(list(OB_BUS_VOLUME, NULL, 0, NULL, 0), 1);
}

static void a_file_has_one_writer_and_stays(void **state)
{
	struct ob_bus_volume v = file_volume("f0", MB), w = file_volume("f1", 0);
	const struct ob_blk_file_conf conf = {.path = file_a, .buffered = true};
	struct ob_blk *other;
	struct stat st;
	char err[200];

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, v), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, w), -EBUSY);
	assert_true(says("volume f0's already"));
	assert_int_equal(DEL(OB_BUS_VOLUME, v), 0);
	assert_int_equal(stat(file_a, &st), 0);
	assert_int_equal(st.st_size, MB);
	/* Somebody else has it. */
	assert_int_equal(ob_blk_file_create("x", &conf, &other, err, sizeof(err)), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, w), -EBUSY);
	assert_true(says(file_a));
	ob_blk_put(other);
	assert_int_equal(ADD(OB_BUS_VOLUME, w), 0);
	assert_int_equal(shown_volume("f1").bytes, MB);
}

static void what_is_used_stays_and_tells_by_whom(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB),
			     q = layer("q0", OB_BUS_VOL_QOS, "d0");
	struct ob_bus_volume q1 = layer("q1", OB_BUS_VOL_QOS, "d0");
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "q0"), b1 = disk("b1", OB_BUS_BLK, "d0");

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, q), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, d), -EBUSY);
	assert_true(says("volume q0") && says("obctl volume del q0"));
	assert_int_equal(DEL(OB_BUS_VOLUME, q), -EBUSY);
	assert_true(says("function b0") && says("obctl function del b0"));
	assert_string_equal(shown_volume("q0").user, "function b0");
	assert_int_equal(shown_volume("q0").n_users, 1);
	/* Nobody else gets at it, from the side or from above. */
	assert_int_equal(ADD(OB_BUS_FUNCTION, b1), -EBUSY);
	assert_int_equal(ADD(OB_BUS_VOLUME, q1), -EBUSY);
	assert_true(says("volume q0"));
	assert_int_equal(DEL(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, q), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, d), 0);
}

static void only_a_shared_or_read_only_volume_has_two_functions(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB), f = file_volume("f0", MB);
	struct ob_bus_function b0 = disk("b0", OB_BUS_BLK, "d0"), b1 = disk("b1", OB_BUS_BLK, "d0");

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b0), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b1), -EBUSY);
	assert_true(says("--shared on"));
	d.bytes = 0;
	d.shared = 1;
	assert_int_equal(SET(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b1), 0);
	d.shared = 2;
	d.limit[OB_BUS_LIM_IOPS] = 7;
	assert_int_equal(SET(OB_BUS_VOLUME, d), -EBUSY);
	assert_int_equal(shown_volume("d0").limit[OB_BUS_LIM_IOPS], 0); /* all or nothing */
	d.limit[OB_BUS_LIM_IOPS] = 0;
	assert_int_equal(DEL(OB_BUS_FUNCTION, b0), 0);
	assert_int_equal(SET(OB_BUS_VOLUME, d), 0);
	assert_int_equal(DEL(OB_BUS_FUNCTION, b1), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, f), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, f), 0);
	f.access = 2;
	f.bytes = 0;
	assert_int_equal(ADD(OB_BUS_VOLUME, f), 0);
	b0 = disk("b0", OB_BUS_BLK, "f0");
	b1 = disk("b1", OB_BUS_BLK, "f0");
	assert_int_equal(ADD(OB_BUS_FUNCTION, b0), 0);
	assert_true(fake_models.last_blk.read_only);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b1), 0);
}

static void limits_change_on_a_live_volume(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB),
			     q = layer("q0", OB_BUS_VOL_QOS, "d0");
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "d0");
	struct ob_blk_qos_conf now;

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(ob_blk_qos_get(fake_models.last_blk.blk, &now), 0);
	assert_int_equal(now.rate[OB_BLK_QOS_IOPS], 0);
	d.limit[OB_BUS_LIM_IOPS] = 5000;
	d.limit[OB_BUS_LIM_READ_BW] = 1 << 20;
	d.burst[OB_BUS_LIM_READ_BW] = 7 << 20;
	d.burst_s = 3;
	assert_int_equal(SET(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ob_blk_qos_get(fake_models.last_blk.blk, &now), 0);
	assert_int_equal(now.rate[OB_BLK_QOS_IOPS], 5000);
	assert_int_equal(now.burst[OB_BLK_QOS_IOPS], 15000);
	assert_int_equal(now.rate[OB_BLK_QOS_READ_BYTES], 1 << 20);
	assert_int_equal(now.burst[OB_BLK_QOS_READ_BYTES], 7 << 20);
	assert_int_equal(now.rate[OB_BLK_QOS_WRITE_IOPS], 0);
	assert_int_equal(shown_volume("d0").limit[OB_BUS_LIM_IOPS], 5000);
	/* Without functions and with limits: nothing stands on it, as the limits would not be met. */
	assert_int_equal(DEL(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, q), -EBUSY);
	assert_true(says("limits"));
	memset(d.limit, 0, sizeof(d.limit));
	memset(d.burst, 0, sizeof(d.burst));
	assert_int_equal(SET(OB_BUS_VOLUME, d), 0);
	q.limit[OB_BUS_LIM_WRITE_IOPS] = 9;
	assert_int_equal(ADD(OB_BUS_VOLUME, q), 0);
	d.limit[OB_BUS_LIM_IOPS] = 1;
	assert_int_equal(SET(OB_BUS_VOLUME, d), -EBUSY);
	assert_true(says("volume q0"));
	assert_int_equal(shown_volume("d0").limit[OB_BUS_LIM_IOPS], 0);
	b = disk("b0", OB_BUS_BLK, "q0");
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(ob_blk_qos_get(fake_models.last_blk.blk, &now), 0);
	assert_int_equal(now.rate[OB_BLK_QOS_WRITE_IOPS], 9);
}

static void a_qos_volume_has_limits_under_another(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB),
			     q = layer("q0", OB_BUS_VOL_QOS, "d0"),
			     top = layer("q1", OB_BUS_VOL_QOS, "q0");

	(void)state;
	q.limit[OB_BUS_LIM_IOPS] = 100;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, q), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, top), 0);
	q.limit[OB_BUS_LIM_IOPS] = 200;
	assert_int_equal(SET(OB_BUS_VOLUME, q), 0);
	assert_int_equal(shown_volume("q0").limit[OB_BUS_LIM_IOPS], 200);
}

static void a_volume_grows_under_its_function(void **state)
{
	struct ob_bus_volume f = file_volume("f0", MB), q = layer("q0", OB_BUS_VOL_QOS, "f0"), r;
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "q0");
	struct ob_blk_info info;

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, f), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, q), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	r = shown_volume("f0");
	r.bytes = 4 * MB;
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0);
	ob_blk_info(fake_models.last_blk.blk, &info);
	assert_int_equal(info.bytes, 4 * MB);
	assert_int_equal(shown_volume("q0").bytes, 4 * MB);
	r.bytes = 2 * MB;
	assert_int_equal(SET(OB_BUS_VOLUME, r), -EBUSY);
	assert_true(says("cut off"));
	r.bytes = 4 * MB + 7;
	assert_int_equal(SET(OB_BUS_VOLUME, r), -EINVAL);
	assert_int_equal(DEL(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, q), 0);
	r.bytes = 2 * MB;
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0);
	assert_int_equal(shown_volume("f0").bytes, 2 * MB);
}

static void what_cannot_change_is_refused(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB), r;

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	r = shown_volume("d0");
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0); /* whole and unchanged, as clients send it */
	r.kind = OB_BUS_VOL_NULL;
	assert_int_equal(SET(OB_BUS_VOLUME, r), -ENOTSUP);
	r = shown_volume("d0");
	r.access = 2;
	assert_int_equal(SET(OB_BUS_VOLUME, r), -ENOTSUP);
	r = shown_volume("d0");
	r.block_bytes = 4096;
	assert_int_equal(SET(OB_BUS_VOLUME, r), -ENOTSUP);
	r = shown_volume("d0");
	strcpy(r.path, "/x");
	assert_int_equal(SET(OB_BUS_VOLUME, r), -ENOTSUP);
	r = shown_volume("d0");
	r.key = crypt_volume("x", "y", 1).key;
	assert_int_equal(SET(OB_BUS_VOLUME, r), -EINVAL);
	assert_true(says("no key"));
}

static void volumes_are_opened_again_after_a_restart(void **state)
{
	struct ob_bus_volume f = file_volume("f0", MB), q = layer("q0", OB_BUS_VOL_QOS, "f0");
	struct ob_bus_function b = disk("b1", OB_BUS_BLK, "q0");
	struct ob_blk_qos_conf now;

	(void)state;
	q.limit[OB_BUS_LIM_IOPS] = 77;
	/* The layer gets the smaller index: it is opened first and opens what it stands on. */
	assert_int_equal(ADD(OB_BUS_VOLUME, q), -ENOENT);
	assert_int_equal(ADD(OB_BUS_VOLUME, f), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, q), 0);
	ob_card_destroy(card);
	open_card();
	assert_int_equal(shown_volume("q0").state, OB_BUS_VOL_READY);
	assert_int_equal(shown_volume("q0").limit[OB_BUS_LIM_IOPS], 77);
	assert_int_equal(shown_volume("q0").bytes, MB);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(ob_blk_qos_get(fake_models.last_blk.blk, &now), 0);
	assert_int_equal(now.rate[OB_BLK_QOS_IOPS], 77);
	assert_int_equal(DEL(OB_BUS_FUNCTION, b), 0);
	/* The file is gone: told, and the rest of the card goes on. */
	ob_card_destroy(card);
	assert_int_equal(unlink(file_a), 0);
	assert_int_equal(mkdir(file_a, 0700), 0);
	open_card();
	assert_int_equal(shown_volume("f0").state, OB_BUS_VOL_OFFLINE);
	assert_true(shown_volume("q0").error[0] != '\0');
	assert_int_equal(
	    ADD(OB_BUS_FUNCTION, b), send_rec(OB_BUS_ADD, OB_BUS_FUNCTION, &b, sizeof(b)));
	assert_true(rep_hdr.status < 0);
	assert_true(says(file_a));
	f = shown_volume("f0");
	f.bytes = 8 * MB;
	assert_int_equal(SET(OB_BUS_VOLUME, f), -ENODEV);
	assert_int_equal(DEL(OB_BUS_VOLUME, q), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, f), 0);
	assert_int_equal(rmdir(file_a), 0);
}

static void stats_count_what_passes(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB);
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "d0");
	struct ob_bus_io_stats s, want = {.name = "d0"};
	uint8_t buf[4096] = {1};
	uint64_t n = 0;

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(list(OB_BUS_FUNCTION_STATS, NULL, 0, NULL, 0), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, i * 4096, buf), 0);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_READ, MB, buf), -EINVAL);
	assert_int_equal(list(OB_BUS_VOLUME_STATS, &want, sizeof(want), &s, sizeof(s)), 1);
	assert_int_equal(s.n_ios[OB_BUS_IO_WRITE], 3);
	assert_int_equal(s.n_bytes[OB_BUS_IO_WRITE], 3 * 4096);
	assert_int_equal(s.n_errors[OB_BUS_IO_READ], 1);
	assert_int_equal(s.n_pending, 0);
	for (unsigned i = 0; i < OB_BUS_LAT_BUCKETS; i++)
		n += s.lat[1][i];
	assert_int_equal(n, 3);
	assert_true(s.p50_ns[1] <= s.p99_ns[1] && s.p99_ns[1] <= s.p999_ns[1]);
	assert_int_equal(list(OB_BUS_FUNCTION_STATS, NULL, 0, &s, sizeof(s)), 1);
	assert_string_equal(s.name, "b0");
	assert_int_equal(s.n_ios[OB_BUS_IO_WRITE], 3);
	strcpy(want.name, "d9");
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_VOLUME_STATS, &want, sizeof(want)), -ENOENT);
}

static void stats_go_on_after_the_last_function(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB),
			     q = layer("q0", OB_BUS_VOL_QOS, "d0");
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "d0");
	struct ob_bus_io_stats s, want = {.name = "d0"};
	uint8_t buf[4096] = {1};

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, 0, buf), 0);
	assert_int_equal(DEL(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, q), 0);
	b = disk("b0", OB_BUS_BLK, "q0");
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, 0, buf), 0);
	assert_int_equal(list(OB_BUS_VOLUME_STATS, &want, sizeof(want), &s, sizeof(s)), 1);
	assert_int_equal(s.n_ios[OB_BUS_IO_WRITE], 2);
}

static void a_clone_of_a_snapshot_has_writes_of_its_own(void **state)
{
	struct ob_bus_volume s0 = volume("s0", OB_BUS_VOL_RAM, 16 * MB),
			     s1 = volume("s1", OB_BUS_VOL_RAM, 16 * MB);
	struct ob_bus_volume t = volume("t0", OB_BUS_VOL_THIN, 4 * MB),
			     snap = layer("snap", OB_BUS_VOL_SNAPSHOT, "t0");
	struct ob_bus_volume cl = layer("cl", OB_BUS_VOL_CLONE, "snap");
	struct ob_bus_function bt = disk("bt", OB_BUS_BLK, "t0"), bc = disk("bc", OB_BUS_BLK, "cl");
	uint8_t a[4096], b[4096], in[4096];
	struct ob_bus_volume r;

	(void)state;
	memset(a, 0xaa, sizeof(a));
	memset(b, 0xbb, sizeof(b));
	strcpy(t.store, "s0");
	strcpy(cl.store, "s1");
	assert_int_equal(ADD(OB_BUS_VOLUME, s0), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, s1), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, t), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, bt), 0);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, 8192, a), 0);
	/* While a function has it. */
	assert_int_equal(ADD(OB_BUS_VOLUME, snap), 0);
	r = shown_volume("snap");
	assert_int_equal(r.access, 2);
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0); /* unchanged, as clients send it */
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, 8192, b), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, cl), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, bc), 0);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_READ, 8192, in), 0);
	assert_memory_equal(in, a, sizeof(in));
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, 8192, b), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, snap), -EBUSY);
	assert_true(says("volume cl"));
	assert_int_equal(DEL(OB_BUS_VOLUME, s1), -EBUSY);
	assert_int_equal(DEL(OB_BUS_FUNCTION, bc), 0);
	bc = disk("bc", OB_BUS_BLK, "snap");
	assert_int_equal(ADD(OB_BUS_FUNCTION, bc), 0);
	assert_true(fake_models.last_blk.read_only);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_READ, 8192, in), 0);
	assert_memory_equal(in, a, sizeof(in));
	assert_int_equal(DEL(OB_BUS_FUNCTION, bc), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, cl), 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, snap), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, snap), 0); /* its space and name are free again */
	assert_int_equal(DEL(OB_BUS_VOLUME, t), -EBUSY);
}

static void integrity_needs_a_word_to_begin(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB),
			     s = volume("s0", OB_BUS_VOL_RAM, MB);
	struct ob_bus_volume i = layer("i0", OB_BUS_VOL_INTEGRITY, "d0");
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "i0");
	uint8_t out[4096], in[4096];

	(void)state;
	memset(out, 0x3c, sizeof(out));
	strcpy(i.store, "s0");
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, s), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, i), -EBADMSG);
	assert_true(says("--fresh on"));
	i.fresh = 1;
	assert_int_equal(ADD(OB_BUS_VOLUME, i), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, 0, out), 0);
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_READ, 0, in), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(DEL(OB_BUS_VOLUME, s), -EBUSY);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, volume_setup, volume_teardown)
	const struct CMUnitTest tests[] = {T(volume_comes_back_as_given),
	    T(volume_fields_are_checked), T(a_file_has_one_writer_and_stays),
	    T(what_is_used_stays_and_tells_by_whom),
	    T(only_a_shared_or_read_only_volume_has_two_functions),
	    T(limits_change_on_a_live_volume), T(a_volume_grows_under_its_function),
	    T(what_cannot_change_is_refused), T(volumes_are_opened_again_after_a_restart),
	    T(a_qos_volume_has_limits_under_another), T(stats_count_what_passes),
	    T(stats_go_on_after_the_last_function), T(a_clone_of_a_snapshot_has_writes_of_its_own),
	    T(integrity_needs_a_word_to_begin)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
