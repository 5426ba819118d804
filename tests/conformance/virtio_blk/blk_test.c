/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio-blk device from the driver's side: both transports, both ring formats. Virtio 1.2, 5.2, 2.7, 2.8, 3.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/virtio_config.h>

#include "target_proc.h"
#include "vblk_drv.h"

#define SECTORS	  (16u << 11)
#define BUF_BYTES (4u << 20)
#define OK	  VIRTIO_BLK_S_OK
#define IOERR	  VIRTIO_BLK_S_IOERR
#define UNSUPP	  VIRTIO_BLK_S_UNSUPP
#define HAS(d, f) (((d)->features >> (f)&1) != 0)

static const struct variant {
	const char *name;
	bool vhost, packed, event_idx, indirect;
} variants[] = {
    {"vfio-user, split", false, false, false, false},
    {"vfio-user, packed, indirect, event index", false, true, true, true},
    {"vhost-user, split, indirect, event index", true, false, true, true},
    {"vhost-user, packed", true, true, false, false},
};

struct blk {
	struct vbd d;
	uint64_t buf;
	uint8_t *mem;
};

static struct target_proc target;
static const struct variant *now;

static int dial(struct blk *b, const char *name, uint16_t n_queues)
{
	char path[96];
	struct vbd_conf conf = {.path = path,
	    .vhost = now->vhost,
	    .packed = now->packed,
	    .event_idx = now->event_idx,
	    .indirect = now->indirect,
	    .n_queues = n_queues,
	    .mem_bytes = 16 << 20};
	int rc = -1;

	snprintf(path, sizeof(path), "%s/%s.sock", target.dir, name);
	/* The socket serves one peer at a time: the one before may still be on its way out. */
	for (unsigned i = 0; i < 200 && rc < 0; i++) {
		rc = vbd_open(&b->d, &conf);
		if (rc < 0)
			usleep(10000);
	}
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-rc));
		return rc;
	}
	b->buf = fake_guest_alloc(&b->d.g, BUF_BYTES, 4096);
	b->mem = fake_guest_ptr(&b->d.g, b->buf);
	return b->buf == 0 ? -1 : 0;
}

static int open_plain(void **state)
{
	struct blk *b = calloc(1, sizeof(*b));

	*state = b;
	return b == NULL ? -1 : dial(b, now->vhost ? "vhost" : "pci", 4);
}

static int open_slow(void **state)
{
	struct blk *b = calloc(1, sizeof(*b));

	*state = b;
	return b == NULL ? -1 : dial(b, now->vhost ? "slowv" : "slow", 1);
}

static int close_it(void **state)
{
	struct blk *b = *state;

	vbd_close(&b->d);
	free(b);
	return target_lives(&target) ? 0 : -1;
}

static int rw(struct blk *b, unsigned q, uint32_t type, uint64_t sector, uint32_t n, uint32_t off)
{
	struct fake_sg sg = {b->buf + off, n * 512};

	return vbd_exec(&b->d, q, type, sector, &sg, 1);
}

static void fill(struct blk *b, uint32_t off, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		b->mem[off + i] = (uint8_t)((seed + i) * 2654435761u >> 13);
}

static bool holds(const struct blk *b, uint32_t off, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		if (b->mem[off + i] != (uint8_t)((seed + i) * 2654435761u >> 13))
			return false;
	return true;
}

static void works(struct blk *b)
{
	static uint32_t seed = 5000;

	seed++;
	fill(b, 0, 512, seed);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_OUT, seed % SECTORS, 1, 0), OK);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, seed % SECTORS, 1, 4096), OK);
	assert_true(holds(b, 4096, 512, seed));
}

static void configuration_makes_sense(void **state)
{
	struct blk *b = *state;
	const struct virtio_blk_config *c = &b->d.cfg;

	assert_int_equal(le64toh(c->capacity), SECTORS);
	assert_true(HAS(&b->d, VIRTIO_BLK_F_FLUSH));
	assert_true(HAS(&b->d, VIRTIO_BLK_F_BLK_SIZE));
	assert_true(HAS(&b->d, VIRTIO_BLK_F_TOPOLOGY));
	assert_true(HAS(&b->d, VIRTIO_BLK_F_CONFIG_WCE));
	assert_true(HAS(&b->d, VIRTIO_BLK_F_DISCARD));
	assert_true(HAS(&b->d, VIRTIO_BLK_F_WRITE_ZEROES));
	assert_false(HAS(&b->d, VIRTIO_BLK_F_RO));
	assert_int_equal(le32toh(c->blk_size), 512);
	assert_int_equal(le16toh(c->num_queues), 4);
	assert_true(le32toh(c->max_discard_seg) >= 1);
	assert_true(le32toh(c->max_write_zeroes_sectors) >= 1);
}

static void data_comes_back_at_every_size(void **state)
{
	static const uint32_t n[] = {1, 2, 7, 8, 9, 255, 256, 2048, 4096};
	struct blk *b = *state;

	for (unsigned i = 0; i < sizeof(n) / sizeof(*n); i++) {
		fill(b, 0, n[i] * 512, i);
		assert_int_equal(rw(b, i % 4, VIRTIO_BLK_T_OUT, 100 + i, n[i], 0), OK);
		memset(b->mem + (2 << 20), 0, n[i] * 512);
		assert_int_equal(rw(b, (i + 1) % 4, VIRTIO_BLK_T_IN, 100 + i, n[i], 2 << 20), OK);
		assert_true(holds(b, 2 << 20, n[i] * 512, i));
	}
}

static void data_in_many_pieces(void **state)
{
	struct blk *b = *state;
	struct fake_sg sg[40];

	/* Whole sectors in pieces of odd length and place. */
	fill(b, 0, 40 * 1024, 11);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_OUT, 300, 80, 0), OK);
	for (unsigned i = 0; i < 40; i++)
		sg[i] = (struct fake_sg){b->buf + (1 << 20) + i * 3001, i & 1 ? 1000 : 1048};
	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_IN, 300, sg, 40), OK);
	for (unsigned i = 0, at = 0; i < 40; at += sg[i++].len)
		assert_true(holds(b, (1 << 20) + i * 3001, sg[i].len, 11 + at));
}

static void the_last_sector_and_the_one_behind(void **state)
{
	struct blk *b = *state;

	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_OUT, SECTORS - 1, 1, 0), OK);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, SECTORS, 1, 0), IOERR);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_OUT, SECTORS - 7, 8, 0), IOERR);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, ~0ull, 1, 0), IOERR);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, ~0ull >> 9, 1, 0), IOERR);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_OUT, 1ull << 55, 8, 0), IOERR);
	works(b);
}

static void lengths_that_are_no_sectors(void **state)
{
	struct blk *b = *state;
	struct fake_sg sg = {b->buf, 511};

	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), IOERR);
	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_OUT, 0, &sg, 1), IOERR);
	sg.len = 513;
	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), IOERR);
	works(b);
}

static void flush_and_identity(void **state)
{
	struct blk *b = *state;
	struct fake_sg id = {b->buf, 20};

	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), OK);
	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_GET_ID, 0, &id, 1), OK);
	assert_memory_equal(b->mem, "conformance-disk\0\0\0\0", 20);
}

static int ranges(
    struct blk *b, uint32_t type, const struct virtio_blk_discard_write_zeroes *r, unsigned n)
{
	struct fake_sg sg = {b->buf + BUF_BYTES - 4096, (uint32_t)(n * sizeof(*r))};

	memcpy(b->mem + BUF_BYTES - 4096, r, n * sizeof(*r));
	return vbd_exec(&b->d, 0, type, 0, &sg, 1);
}

static void zeroes_are_written_and_ranges_discarded(void **state)
{
	struct blk *b = *state;
	struct virtio_blk_discard_write_zeroes r = {
	    .sector = htole64(1001), .num_sectors = htole32(6)};

	for (unsigned unmap = 0; unmap < 2; unmap++) {
		fill(b, 0, 4096, 9);
		assert_int_equal(rw(b, 0, VIRTIO_BLK_T_OUT, 1000, 8, 0), OK);
		r.flags = htole32(unmap);
		assert_int_equal(ranges(b, VIRTIO_BLK_T_WRITE_ZEROES, &r, 1), OK);
		assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, 1000, 8, 8192), OK);
		assert_true(holds(b, 8192, 512, 9));
		for (unsigned i = 512; i < 7 * 512; i++)
			assert_int_equal(b->mem[8192 + i], 0);
		assert_true(holds(b, 8192 + 3584, 512, 9 + 3584));
	}
	r.flags = 0;
	assert_int_equal(ranges(b, VIRTIO_BLK_T_DISCARD, &r, 1), OK);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, 1000, 1, 8192), OK);
	assert_true(holds(b, 8192, 512, 9));
}

static void ranges_that_are_wrong(void **state)
{
	struct blk *b = *state;
	struct virtio_blk_discard_write_zeroes r = {
	    .sector = htole64(SECTORS - 1), .num_sectors = htole32(2)};

	assert_int_equal(ranges(b, VIRTIO_BLK_T_DISCARD, &r, 1), IOERR);
	assert_int_equal(ranges(b, VIRTIO_BLK_T_WRITE_ZEROES, &r, 1), IOERR);
	r.sector = htole64(~0ull);
	assert_int_equal(ranges(b, VIRTIO_BLK_T_WRITE_ZEROES, &r, 1), IOERR);
	/* 5.2.6.2: unknown flags, and unmap of a discard, are UNSUPP. */
	r = (struct virtio_blk_discard_write_zeroes){
	    .num_sectors = htole32(1), .flags = htole32(2)};
	assert_int_equal(ranges(b, VIRTIO_BLK_T_WRITE_ZEROES, &r, 1), UNSUPP);
	r.flags = htole32(1);
	assert_int_equal(ranges(b, VIRTIO_BLK_T_DISCARD, &r, 1), UNSUPP);
	works(b);
}

static void types_that_do_not_exist(void **state)
{
	static const uint32_t type[] = {2, 3, 5, 9, 15, 17, 100, 0x80000000, 0xffffffff};
	struct blk *b = *state;
	struct fake_sg sg = {b->buf, 512};

	for (unsigned i = 0; i < sizeof(type) / sizeof(*type); i++)
		assert_int_equal(vbd_exec(&b->d, 0, type[i], 0, &sg, 1), UNSUPP);
	works(b);
}

static void write_cache_can_be_switched(void **state)
{
	struct blk *b = *state;
	uint32_t at = offsetof(struct virtio_blk_config, wce);

	for (uint8_t wce = 0; wce < 2; wce++) {
		assert_int_equal(vbd_set_config8(&b->d, at, wce), 0);
		assert_int_equal(vbd_read_config(&b->d), 0);
		assert_int_equal(b->d.cfg.wce, wce);
		works(b);
	}
}

static void data_outside_memory(void **state)
{
	struct blk *b = *state;
	struct fake_sg sg = {0x700000000000, 512};

	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), IOERR);
	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_OUT, 0, &sg, 1), IOERR);
	sg = (struct fake_sg){b->d.g.iova + b->d.g.len - 256, 512};
	assert_int_equal(vbd_exec(&b->d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), IOERR);
	works(b);
}

static void queues_work_all_at_once(void **state)
{
	struct blk *b = *state;
	unsigned n[4] = {0}, left = 4 * 40;
	uint64_t cookie;
	uint8_t status;

	for (unsigned i = 0; i < 40; i++)
		for (unsigned q = 0; q < 4; q++) {
			struct fake_sg sg = {b->buf + (i * 4 + q) * 4096, 4096};

			assert_int_equal(vbd_add(&b->d, q, VIRTIO_BLK_T_IN, i * 8, &sg, 1, i), 0);
			assert_int_equal(vbd_kick(&b->d, q), 0);
		}
	for (unsigned spin = 0; left > 0 && spin < 100000; spin++) {
		for (unsigned q = 0; q < 4; q++)
			while (vbd_reap(&b->d, q, &cookie, &status) == 1) {
				assert_int_equal(status, OK);
				n[q]++;
				left--;
			}
		if (spin > 1000)
			usleep(50);
	}
	for (unsigned q = 0; q < 4; q++)
		assert_int_equal(n[q], 40);
}

static void rings_wrap_many_times(void **state)
{
	struct blk *b = *state;

	for (unsigned i = 0; i < 300; i++)
		works(b);
}

static void pile_up(struct blk *b)
{
	for (unsigned i = 0; i < 30; i++) {
		struct fake_sg sg = {b->buf + i * 4096, 4096};

		assert_int_equal(
		    vbd_add(&b->d, 0, i & 1 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, i * 8, &sg, 1, i),
		    0);
	}
	assert_int_equal(vbd_kick(&b->d, 0), 0);
}

static void disconnect_with_io_under_way(void **state)
{
	struct blk *b = *state;

	for (unsigned i = 0; i < 6; i++) {
		pile_up(b);
		usleep(i * 500);
		vbd_close(&b->d);
		assert_int_equal(dial(b, now->vhost ? "slowv" : "slow", 1), 0);
	}
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, 0, 1, 0), OK);
}

static void reset_with_io_under_way(void **state)
{
	struct blk *b = *state;

	if (now->vhost)
		skip();
	pile_up(b);
	assert_int_equal(vbd_set_status(&b->d, 0), 0);
	memset(b->mem, 0x5a, BUF_BYTES);
	usleep(60000);
	for (unsigned i = 0; i < BUF_BYTES; i += 64)
		assert_int_equal(b->mem[i], 0x5a);
	vbd_close(&b->d);
	assert_int_equal(dial(b, "slow", 1), 0);
	assert_int_equal(rw(b, 0, VIRTIO_BLK_T_IN, 0, 1, 0), OK);
}

static void ring_stopped_with_io_under_way(void **state)
{
	struct blk *b = *state;
	uint32_t base = 0;

	if (!now->vhost)
		skip();
	pile_up(b);
	usleep(1000);
	assert_int_equal(vhost_client_stop_ring(&b->d.vhost, 0, &base), 0);
	memset(b->mem, 0x5a, BUF_BYTES);
	usleep(60000);
	for (unsigned i = 0; i < BUF_BYTES; i += 64)
		assert_int_equal(b->mem[i], 0x5a);
}

static void read_only_disk_refuses_writes(void **state)
{
	struct virtio_blk_discard_write_zeroes r = {.num_sectors = htole32(1)};
	struct blk ro, *b = *state;

	if (now->vhost)
		skip();
	memset(&ro, 0, sizeof(ro));
	(void)b;
	assert_int_equal(dial(&ro, "ro", 1), 0);
	assert_true(HAS(&ro.d, VIRTIO_BLK_F_RO));
	assert_int_equal(rw(&ro, 0, VIRTIO_BLK_T_IN, 0, 1, 0), OK);
	assert_int_equal(rw(&ro, 0, VIRTIO_BLK_T_OUT, 0, 1, 0), IOERR);
	/* Not offered to it: unknown. */
	assert_true(ranges(&ro, VIRTIO_BLK_T_DISCARD, &r, 1) != OK);
	assert_true(ranges(&ro, VIRTIO_BLK_T_WRITE_ZEROES, &r, 1) != OK);
	vbd_close(&ro.d);
}

/* Chains that are no request at all: too short, status nowhere, header in pieces. The device answers what it can, or asks to be reset;
 * whichever, it works after a reset. */
static void chains_that_are_no_request(void **state)
{
	struct blk *b = *state;
	struct fake_ring *r = &b->d.q[1].ring;
	static const struct {
		uint32_t out[3], in[3];
	} shape[] = {{{16}, {0}}, {{0}, {1}}, {{15}, {1}}, {{16, 512}, {0}}, {{1, 15}, {512, 1}},
	    {{16}, {511, 1}}, {{8}, {8}}, {{0}, {512}}, {{16, 4000}, {1}}};

	for (unsigned i = 0; i < sizeof(shape) / sizeof(*shape); i++) {
		struct fake_sg sg[6];
		unsigned n = 0, n_out;

		for (unsigned k = 0; k < 3 && shape[i].out[k] != 0; k++)
			sg[n++] = (struct fake_sg){b->buf + n * 8192, shape[i].out[k]};
		n_out = n;
		for (unsigned k = 0; k < 3 && shape[i].in[k] != 0; k++)
			sg[n++] = (struct fake_sg){b->buf + n * 8192, shape[i].in[k]};
		memset(b->mem, 0, 65536);
		assert_int_equal(fake_ring_add(r, sg, n_out, n - n_out, i), 0);
		assert_int_equal(vbd_kick(&b->d, 1), 0);
	}
	usleep(20000);
	vbd_close(&b->d);
	assert_int_equal(dial(b, now->vhost ? "vhost" : "pci", 4), 0);
	works(b);
}

/* Rings full of anything. */
static void rings_with_any_content(void **state)
{
	struct blk *b = *state;
	uint64_t seed = 7;

	for (unsigned round = 0; round < 10; round++) {
		for (unsigned q = 0; q < 4; q++) {
			struct fake_ring *r = &b->d.q[q].ring;

			for (unsigned i = 0; i < 400; i++) {
				seed = seed * 6364136223846793005ull + 1442695040888963407ull;
				r->desc[(seed >> 33) % (16u * r->conf.size)] =
				    (uint8_t)(seed >> 20);
				if (!now->packed)
					r->driver[(seed >> 40) % 64] = (uint8_t)(seed >> 28);
			}
			(void)vbd_add(&b->d, q, VIRTIO_BLK_T_IN, 0, NULL, 0, 0);
			b->d.q[q].ring.n_since_kick = 1;
			(void)vbd_kick(&b->d, q);
		}
		usleep(2000);
		vbd_close(&b->d);
		assert_int_equal(dial(b, now->vhost ? "vhost" : "pci", 4), 0);
		works(b);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_plain, close_it)
#define S(name) cmocka_unit_test_setup_teardown(name, open_slow, close_it)
	const struct CMUnitTest tests[] = {
	    T(configuration_makes_sense),
	    T(data_comes_back_at_every_size),
	    T(data_in_many_pieces),
	    T(the_last_sector_and_the_one_behind),
	    T(lengths_that_are_no_sectors),
	    T(flush_and_identity),
	    T(zeroes_are_written_and_ranges_discarded),
	    T(ranges_that_are_wrong),
	    T(types_that_do_not_exist),
	    T(write_cache_can_be_switched),
	    T(data_outside_memory),
	    T(queues_work_all_at_once),
	    T(rings_wrap_many_times),
	    S(disconnect_with_io_under_way),
	    S(reset_with_io_under_way),
	    S(ring_stopped_with_io_under_way),
	    T(read_only_disk_refuses_writes),
	    T(chains_that_are_no_request),
	    T(rings_with_any_content),
	};
	int failed = 0;

	if (target_start(&target, BLK_TARGET, NULL) < 0)
		return 1;
	for (unsigned i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
		now = &variants[i];
		failed += cmocka_run_group_tests_name(now->name, tests, NULL, NULL);
	}
	return failed != 0 || target_stop(&target) != 0;
}
