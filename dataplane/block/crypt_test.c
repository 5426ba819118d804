/* SPDX-License-Identifier: BSD-3-Clause */
/* The encrypting layer: format, bytes, buffers. */
#include "crypt_priv.h"

#include <stdlib.h>

#include <openssl/evp.h>

#include "test_block.h"

#define MIB (1u << 20)

static uint8_t key512[64];

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(key512); i++)
		key512[i] = (uint8_t)(i * 7 + 3);
	return 0;
}

struct bed {
	struct ob_blk *ram, *b;
	struct ob_blk_ch *ch, *raw;
};

static void open_bed(
    struct bed *t, uint64_t bytes, uint32_t ram_block, const struct ob_blk_crypt_conf *conf)
{
	assert_int_equal(ob_blk_ram_create("ram", bytes, ram_block, &t->ram, NULL, 0), 0);
	assert_int_equal(ob_blk_crypt_create("c", t->ram, conf, &t->b, NULL, 0), 0);
	assert_int_equal(ob_blk_ch_open(t->b, &t->ch), 0);
	assert_int_equal(ob_blk_ch_open(t->ram, &t->raw), 0);
}

static void close_bed(struct bed *t)
{
	ob_blk_ch_close(t->ch);
	ob_blk_ch_close(t->raw);
	ob_blk_put(t->b);
	ob_blk_put(t->ram);
}

static void hex(const char *s, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(s + 2 * i, "%2x", &v), 1);
		out[i] = (uint8_t)v;
	}
}

/* IEEE 1619-2007, annex B: vector 4 (AES-128, data unit 0) and vector 10 (AES-256, data unit ff): 512 bytes 00 01 .. ff twice. */
static void check_vector(
    const char *key_hex, size_t key_len, uint64_t sector, const char *head, const char *tail)
{
	uint8_t key[64], want[32], plain[512], got[512];
	struct ob_blk_crypt_conf conf = {.key = key, .key_len = key_len};
	struct bed t;

	hex(key_hex, key, key_len);
	for (unsigned i = 0; i < 512; i++)
		plain[i] = (uint8_t)i;
	open_bed(&t, MIB, 512, &conf);
	assert_int_equal(test_rw(t.ch, OB_BLK_WRITE, 0, sector * 512, plain, 512), 0);
	assert_int_equal(test_rw(t.raw, OB_BLK_READ, 0, sector * 512, got, 512), 0);
	hex(head, want, 32);
	assert_memory_equal(got, want, 32);
	hex(tail, want, 16);
	assert_memory_equal(got + 496, want, 16);
	memset(got, 0, sizeof(got));
	assert_int_equal(test_rw(t.ch, OB_BLK_READ, 0, sector * 512, got, 512), 0);
	assert_memory_equal(got, plain, 512);
	close_bed(&t);
}

static void ieee_1619_vectors(void **state)
{
	(void)state;
	check_vector("2718281828459045235360287471352631415926535897932384626433832795", 32, 0,
	    "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c",
	    "0a282df920147beabe421ee5319d0568");
	check_vector(
	    "27182818284590452353602874713526624977572470936999595749669676273141592653589793238462"
	    "643383279502884197169399375105820974944592",
	    64, 255, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
	    "c4f36ffda9fcea70b9c6e693e148c151");
}

/* What dm-crypt's aes-xts-plain64 does with one sector, by its own words: key as it is, IV = number, little-endian, 64 bits. */
static void plain64(
    const uint8_t *key, uint64_t iv_number, const uint8_t *from, uint8_t *to, int len)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t iv[16] = {0};
	int n;

	memcpy(iv, &iv_number, 8);
	assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_xts(), NULL, key, iv), 1);
	assert_int_equal(EVP_EncryptUpdate(c, to, &n, from, len), 1);
	EVP_CIPHER_CTX_free(c);
}

static void check_layout(uint32_t sector, bool large, uint64_t iv_offset, uint64_t per_sector)
{
	struct ob_blk_crypt_conf conf = {.key = key512,
	    .key_len = 64,
	    .sector_bytes = sector,
	    .iv_large_sectors = large,
	    .iv_offset = iv_offset};
	uint8_t *plain = malloc(16 * sector), *got = malloc(16 * sector), want[4096];
	struct bed t;

	open_bed(&t, MIB, 512, &conf);
	for (unsigned i = 0; i < 16 * sector; i++)
		plain[i] = (uint8_t)rnd(256);
	assert_int_equal(test_rw(t.ch, OB_BLK_WRITE, 0, 5 * sector, plain, 16 * sector), 0);
	assert_int_equal(test_rw(t.raw, OB_BLK_READ, 0, 5 * sector, got, 16 * sector), 0);
	for (unsigned i = 0; i < 16; i++) {
		plain64(key512, (5 + i) * per_sector + iv_offset, plain + i * sector, want,
		    (int)sector);
		assert_memory_equal(got + i * sector, want, sector);
	}
	close_bed(&t);
	free(plain);
	free(got);
}

static void medium_is_as_dm_crypt_writes_it(void **state)
{
	(void)state;
	check_layout(512, false, 0, 1);
	check_layout(512, false, 1ull << 40, 1);
	check_layout(4096, false, 0, 8);
	check_layout(4096, true, 77, 1);
}

static void bad_conf_is_einval(void **state)
{
	struct ob_blk_crypt_conf conf = {.key = key512, .key_len = 64};
	uint8_t same[64] = {0};
	struct ob_blk *ram, *b;
	char err[128];

	(void)state;
	assert_int_equal(ob_blk_ram_create("ram", MIB, 4096, &ram, NULL, 0), 0);
	conf.sector_bytes = 512;
	assert_int_equal(ob_blk_crypt_create("c", ram, &conf, &b, err, sizeof(err)), -EINVAL);
	conf.sector_bytes = 1024;
	assert_int_equal(ob_blk_crypt_create("c", ram, &conf, &b, err, sizeof(err)), -EINVAL);
	conf.sector_bytes = 0;
	conf.key_len = 48;
	assert_int_equal(ob_blk_crypt_create("c", ram, &conf, &b, err, sizeof(err)), -EINVAL);
	conf.key_len = 64;
	conf.key = same;
	assert_int_equal(ob_blk_crypt_create("c", ram, &conf, &b, err, sizeof(err)), -EINVAL);
	conf.key = NULL;
	assert_int_equal(ob_blk_crypt_create("c", ram, &conf, &b, err, sizeof(err)), -EINVAL);
	ob_blk_put(ram);
}

/* Cuts a buffer into up to 8 vectors at odd places. */
static void cut(struct test_io *io, uint8_t *buf, size_t len)
{
	unsigned n = 0;

	while (n < 7 && len > 1) {
		size_t take = 1 + rnd((uint32_t)len - 1);

		io->iov[n++] = (struct iovec){buf, take};
		buf += take;
		len -= take;
	}
	io->iov[n++] = (struct iovec){buf, len};
	io->io.n_iov = (uint16_t)n;
}

static void one_op(struct bed *t, uint8_t *model, uint8_t *buf, uint32_t sector, bool *discarded)
{
	uint32_t n = MIB / sector, at = rnd(n), len = 1 + rnd(rnd(8) == 0 ? n - at : 9);
	static const uint8_t ops[] = {OB_BLK_READ, OB_BLK_READ, OB_BLK_WRITE, OB_BLK_WRITE,
	    OB_BLK_WRITE_ZEROES, OB_BLK_FLUSH};
	enum ob_blk_op op = ops[rnd(sizeof(ops))];
	struct test_io io;

	(void)discarded;
	if (len > n - at)
		len = n - at;
	at *= sector;
	len *= sector;
	test_io_init(&io, op, at, buf, len);
	cut(&io, buf, len);
	for (uint32_t i = 0; i < len && op == OB_BLK_WRITE; i++)
		model[at + i] = buf[i] = (uint8_t)rnd(256);
	test_submit(t->ch, &io);
	assert_int_equal(test_wait(t->ch, &io), 0);
	if (op == OB_BLK_READ)
		assert_memory_equal(buf, model + at, len);
	else if (op == OB_BLK_WRITE)
		assert_memory_equal(buf, model + at, len); /* the guest's bytes are only read */
	else if (op == OB_BLK_WRITE_ZEROES)
		memset(model + at, 0, len);
}

static void random_ops_equal_a_plain_model(void **state)
{
	uint8_t *model = malloc(MIB), *buf = malloc(MIB);

	(void)state;
	for (uint32_t sector = 512; sector <= 4096; sector *= 8) {
		struct ob_blk_crypt_conf conf = {
		    .key = key512, .key_len = 64, .sector_bytes = sector};
		struct bed t;

		open_bed(&t, MIB, 512, &conf);
		memset(model, 0x5a, MIB);
		assert_int_equal(test_rw(t.ch, OB_BLK_WRITE, 0, 0, model, MIB), 0);
		for (unsigned i = 0; i < 400; i++)
			one_op(&t, model, buf, sector, NULL);
		assert_int_equal(test_rw(t.ch, OB_BLK_READ, 0, 0, buf, MIB), 0);
		assert_memory_equal(buf, model, MIB);
		close_bed(&t);
	}
	free(model);
	free(buf);
}

static void discard_is_an_option(void **state)
{
	struct ob_blk_crypt_conf conf = {.key = key512, .key_len = 64, .sector_bytes = 4096};
	uint8_t buf[8192], zero[8192] = {0};
	struct ob_blk_info info;
	struct bed t;

	(void)state;
	open_bed(&t, MIB, 512, &conf);
	assert_int_equal(test_rw(t.ch, OB_BLK_DISCARD, 0, 0, NULL, 8192), -EOPNOTSUPP);
	close_bed(&t);
	conf.pass_discard = true;
	open_bed(&t, MIB, 512, &conf);
	ob_blk_info(t.b, &info);
	assert_int_equal(info.discard_bytes, 4096);
	assert_true(info.zero_on_discard);
	/* Never written: zeroes, not noise. */
	memset(buf, 1, sizeof(buf));
	assert_int_equal(test_rw(t.ch, OB_BLK_READ, 0, 0, buf, 8192), 0);
	assert_memory_equal(buf, zero, 8192);
	memset(buf, 7, sizeof(buf));
	assert_int_equal(test_rw(t.ch, OB_BLK_WRITE, 0, 0, buf, 8192), 0);
	assert_int_equal(test_rw(t.ch, OB_BLK_DISCARD, 0, 0, NULL, 4096), 0);
	assert_int_equal(test_rw(t.ch, OB_BLK_READ, 0, 0, buf, 8192), 0);
	assert_memory_equal(buf, zero, 4096);
	assert_int_equal(buf[4096], 7);
	close_bed(&t);
}

/* More than the buffers hold: the rest waits, every one completes once; a cancelled one never reaches the medium. */
static void a_full_pool_makes_io_wait_and_cancel_finds_it(void **state)
{
	enum { N = 400 };
	struct ob_blk_crypt_conf conf = {.key = key512, .key_len = 64, .sector_bytes = 512};
	struct test_io *ios = calloc(N, sizeof(*ios));
	uint8_t *buf = calloc(1, 65536);
	unsigned n_ok = 0, n_cancelled = 0;
	struct ob_blk *slow, *b;
	struct ob_blk_ch *ch;
	int me, other;

	(void)state;
	assert_int_equal(slow_create(64 * MIB, &slow), 0);
	assert_int_equal(ob_blk_crypt_create("c", slow, &conf, &b, NULL, 0), 0);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	for (unsigned i = 0; i < N; i++) {
		test_io_init(&ios[i], OB_BLK_WRITE, i * 65536ull, buf, 65536);
		ios[i].io.owner = i % 2 ? &me : &other;
		test_submit(ch, &ios[i]);
	}
	assert_int_equal(ob_blk_pending(ch), N);
	ob_blk_cancel(ch, &me);
	while (ob_blk_pending(ch) > 0) {
		slow_let_go(ch->child[0], 7);
		ob_blk_poll(ch);
	}
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(ios[i].n_done, 1);
		n_ok += ios[i].io.result == 0;
		n_cancelled += ios[i].io.result == -ECANCELED;
		if (ios[i].io.result == -ECANCELED)
			assert_ptr_equal(ios[i].io.owner, &me);
	}
	assert_int_equal(n_ok + n_cancelled, N);
	assert_in_range(n_cancelled, 100, N / 2);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(slow);
	free(ios);
	free(buf);
}

static void a_failed_read_leaves_the_guests_bytes(void **state)
{
	struct ob_blk_crypt_conf conf = {.key = key512, .key_len = 64, .sector_bytes = 512};
	uint8_t buf[4096], was[4096];
	struct ob_blk *slow, *b;
	struct test_io io;
	struct ob_blk_ch *ch;

	(void)state;
	assert_int_equal(slow_create(MIB, &slow), 0);
	assert_int_equal(ob_blk_crypt_create("c", slow, &conf, &b, NULL, 0), 0);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	memset(buf, 0x77, sizeof(buf));
	memcpy(was, buf, sizeof(buf));
	((struct slow *)(void *)slow)->result = -EIO;
	test_io_init(&io, OB_BLK_READ, 0, buf, sizeof(buf));
	test_submit(ch, &io);
	slow_let_go(ch->child[0], 1);
	ob_blk_poll(ch);
	assert_int_equal(io.n_done, 1);
	assert_int_equal(io.io.result, -EIO);
	assert_memory_equal(buf, was, sizeof(buf));
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(slow);
}

static void wrapped_keys_come_back_and_do_not_show(void **state)
{
	struct crypt_wrapped w;
	uint8_t key[CRYPT_MAX_KEY];

	(void)state;
	assert_int_equal(crypt_wrap(key512, 64, &w), 0);
	assert_memory_not_equal(w.bytes + 8, key512, 64);
	assert_int_equal(crypt_unwrap(&w, key), 0);
	assert_memory_equal(key, key512, 64);
	w.bytes[20] ^= 1;
	assert_int_equal(crypt_unwrap(&w, key), -EIO);
	w.len = 0;
	assert_int_equal(crypt_unwrap(&w, key), -EIO);
}

/* Whatever code does the work on this machine, against the library: both key lengths, both ways, in place and not. */
static void every_way_to_encrypt_agrees_with_the_library(void **state)
{
	uint8_t key[64], plain[4096], want[4096], got[4096];
	struct crypt_wrapped w;
	struct crypt_xts *x;

	(void)state;
	for (unsigned round = 0; round < 600; round++) {
		uint32_t len = round % 3 == 0 ? 4096 : round % 3 == 1 ? 512 : 16 * (1 + rnd(255));
		size_t key_len = round % 2 ? 64 : 32;
		uint64_t tweak = (uint64_t)rnd(1 << 28) << rnd(40);
		EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
		uint8_t iv[16] = {0};
		int n;

		for (unsigned i = 0; i < sizeof(key); i++)
			key[i] = (uint8_t)rnd(256);
		for (unsigned i = 0; i < len; i++)
			plain[i] = (uint8_t)rnd(256);
		for (unsigned i = 0; i < 8; i++)
			iv[i] = (uint8_t)(tweak >> 8 * i);
		assert_int_equal(
		    EVP_EncryptInit_ex(
			c, key_len == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(), NULL, key, iv),
		    1);
		assert_int_equal(EVP_EncryptUpdate(c, want, &n, plain, (int)len), 1);
		EVP_CIPHER_CTX_free(c);
		assert_int_equal(crypt_wrap(key, key_len, &w), 0);
		assert_int_equal(crypt_xts_create(&w, &x), 0);
		assert_true(crypt_xts_encrypt(x, tweak, plain, got, len));
		assert_memory_equal(got, want, len);
		assert_true(crypt_xts_decrypt(x, tweak, got, got, len));
		assert_memory_equal(got, plain, len);
		assert_true(crypt_xts_encrypt(x, tweak, got, got, len));
		assert_memory_equal(got, want, len);
		crypt_xts_destroy(x);
	}
}

static void erase_forgets_all_data(void **state)
{
	struct ob_blk_crypt_conf conf = {.key = key512, .key_len = 64, .sector_bytes = 512};
	uint8_t key[64], buf[4096], got[4096];
	struct bed t;

	(void)state;
	memcpy(key, key512, 64);
	open_bed(&t, MIB, 512, &conf);
	memset(buf, 3, sizeof(buf));
	assert_int_equal(test_rw(t.ch, OB_BLK_WRITE, 0, 0, buf, 4096), 0);
	for (unsigned i = 0; i < 4; i++) {
		key[0]++;
		assert_int_equal(ob_blk_crypt_erase(t.b, key, 64), 0);
		assert_int_equal(test_rw(t.ch, OB_BLK_READ, 0, 0, got, 4096), 0);
		assert_memory_not_equal(got, buf, 64);
		assert_int_equal(test_rw(t.ch, OB_BLK_WRITE, 0, 0, buf, 4096), 0);
		assert_int_equal(test_rw(t.ch, OB_BLK_READ, 0, 0, got, 4096), 0);
		assert_memory_equal(got, buf, 4096);
	}
	assert_int_equal(ob_blk_crypt_erase(t.b, key, 32), -EINVAL);
	assert_int_equal(ob_blk_crypt_erase(t.ram, key, 64), -EINVAL);
	close_bed(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ieee_1619_vectors),
	    cmocka_unit_test(medium_is_as_dm_crypt_writes_it),
	    cmocka_unit_test(bad_conf_is_einval),
	    cmocka_unit_test(random_ops_equal_a_plain_model),
	    cmocka_unit_test(discard_is_an_option),
	    cmocka_unit_test(a_full_pool_makes_io_wait_and_cancel_finds_it),
	    cmocka_unit_test(a_failed_read_leaves_the_guests_bytes),
	    cmocka_unit_test(wrapped_keys_come_back_and_do_not_show),
	    cmocka_unit_test(every_way_to_encrypt_agrees_with_the_library),
	    cmocka_unit_test(erase_forgets_all_data),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
