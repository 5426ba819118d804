/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of volumes: where they are, and where they are not. */
#include "test_volume.h"

#include <time.h>

#undef fail /* of cmocka: the card has one of its own */
#include "keys.h"

#define MB (1ull << 20)

/* True if the bytes lie anywhere in the arena. */
static bool arena_holds(const void *bytes, size_t len)
{
	struct ob_arena_region_info info;
	bool fresh, found = false;
	void *mem;

	for (unsigned i = 0; ob_arena_info(arena, i, &info) == 0; i++) {
		if (strncmp(info.name, "card.vol", 8) != 0)
			continue;
		assert_int_equal(
		    ob_arena_region(arena, info.name, info.layout, info.len, &mem, &fresh), 0);
		found |= memmem(mem, info.len, bytes, len) != NULL;
	}
	return found;
}

static struct ob_blk *blk_of(const char *name)
{
	struct ob_bus_function b = disk("fn", OB_BUS_BLK, name);

	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	return fake_models.last_blk.blk;
}

static void release(void)
{
	struct ob_bus_function b = disk("fn", OB_BUS_BLK, "");

	assert_int_equal(DEL(OB_BUS_FUNCTION, b), 0);
}

static void add_crypt(uint8_t seed)
{
	struct ob_bus_volume f = file_volume("f0", MB), c = crypt_volume("c0", "f0", seed);

	assert_int_equal(ADD(OB_BUS_VOLUME, f), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, c), 0);
}

static void await_ready(const char *name)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (unsigned i = 0; shown_volume(name).state == OB_BUS_VOL_REKEYING; i++) {
		assert_true(i < 20000);
		nanosleep(&pause, NULL);
	}
	assert_int_equal(shown_volume(name).state, OB_BUS_VOL_READY);
}

static void a_key_is_in_no_answer_and_not_in_the_arena(void **state)
{
	struct ob_bus_volume c = crypt_volume("c0", "f0", 9), r;
	struct stat st;

	(void)state;
	add_crypt(9);
	r = shown_volume("c0");
	assert_null(memmem(rep, rep_len, c.key.bytes, 16));
	assert_int_equal(r.key.use, 0);
	assert_int_equal(r.key.len, 0);
	assert_false(arena_holds(c.key.bytes, 16));
	assert_true(arena_holds("c0", 3));
	assert_int_equal(stat(key_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 32);
}

static void a_restart_finds_the_key(void **state)
{
	uint8_t out[4096], in[4096];

	(void)state;
	memset(out, 0x5a, sizeof(out));
	add_crypt(9);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_WRITE, 8192, out), 0);
	release();
	ob_card_destroy(card);
	open_card();
	assert_int_equal(shown_volume("c0").state, OB_BUS_VOL_READY);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_READ, 8192, in), 0);
	assert_memory_equal(in, out, sizeof(in));
}

static void without_the_key_of_keys_the_key_is_given_again(void **state)
{
	struct ob_bus_volume c = crypt_volume("c0", "f0", 9), r;
	uint8_t out[4096] = {7, 8, 9}, in[4096];

	(void)state;
	add_crypt(9);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_WRITE, 0, out), 0);
	release();
	ob_card_destroy(card);
	assert_int_equal(unlink(key_path), 0);
	open_card();
	r = shown_volume("c0");
	assert_int_equal(r.state, OB_BUS_VOL_OFFLINE);
	assert_non_null(strstr(r.error, key_path));
	r.key = c.key;
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_READ, 0, in), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(SET(OB_BUS_VOLUME, r), -EALREADY);
	assert_true(says("rekey"));
}

static void a_key_file_that_others_read_is_refused(void **state)
{
	struct ob_bus_volume f = file_volume("f0", MB), c = crypt_volume("c0", "f0", 1);

	(void)state;
	add_crypt(1);
	assert_int_equal(DEL(OB_BUS_VOLUME, c), 0);
	ob_card_destroy(card);
	assert_int_equal(chmod(key_path, 0644), 0);
	open_card();
	assert_int_equal(ADD(OB_BUS_VOLUME, c), -EACCES);
	assert_true(says("0600"));
	assert_int_equal(chmod(key_path, 0600), 0);
	assert_int_equal(truncate(key_path, 5), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, c), -EINVAL);
	assert_int_equal(DEL(OB_BUS_VOLUME, f), 0);
}

static void another_key_while_it_is_used(void **state)
{
	struct ob_bus_volume n = crypt_volume("c0", "f0", 100), r;
	uint8_t out[4096], in[4096], raw[4096];
	struct ob_blk *b;

	(void)state;
	memset(out, 0xc3, sizeof(out));
	add_crypt(9);
	b = blk_of("c0");
	assert_int_equal(do_io(b, OB_BLK_WRITE, 4096, out), 0);
	r = shown_volume("c0");
	r.key = n.key;
	r.key.use = OB_BUS_KEY_REPLACE;
	r.key.len = 32;
	assert_int_equal(SET(OB_BUS_VOLUME, r), -EINVAL);
	r.key.len = 64;
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0);
	await_ready("c0");
	assert_int_equal(do_io(b, OB_BLK_READ, 4096, in), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_false(arena_holds(n.key.bytes, 16));
	/* What lies below is the new key's. */
	release();
	r = crypt_volume("c0", "f0", 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, r), 0);
	assert_int_equal(do_io(blk_of("f0"), OB_BLK_READ, 4096, raw), 0);
	assert_memory_not_equal(raw, out, sizeof(raw));
	release();
	assert_int_equal(ADD(OB_BUS_VOLUME, n), 0);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_READ, 4096, in), 0);
	assert_memory_equal(in, out, sizeof(in));
}

static void a_move_goes_on_after_a_restart(void **state)
{
	struct ob_bus_volume n = crypt_volume("c0", "f0", 100), r;
	uint8_t out[4096], in[4096];
	char journal[128];

	(void)state;
	memset(out, 0xc3, sizeof(out));
	snprintf(journal, sizeof(journal), "%s.c0.rekey", file_a);
	add_crypt(9);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_WRITE, MB - 4096, out), 0);
	release();
	r = shown_volume("c0");
	r.key = n.key;
	r.key.use = OB_BUS_KEY_REPLACE;
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0);
	assert_int_equal(access(journal, F_OK), 0);
	/* In the middle, or at an end that nobody took note of. */
	for (unsigned i = 0; i < 3; i++) {
		ob_card_destroy(card);
		open_card();
	}
	await_ready("c0");
	assert_int_equal(access(journal, F_OK), -1);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_READ, MB - 4096, in), 0);
	assert_memory_equal(in, out, sizeof(in));
	release();
	ob_card_destroy(card);
	open_card();
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_READ, MB - 4096, in), 0);
	assert_memory_equal(in, out, sizeof(in));
}

/* As after a power cut: the arena is gone, and with it the new key. */
static void a_volume_whose_keys_are_not_known_is_not_used(void **state)
{
	struct ob_bus_volume n = crypt_volume("c0", "f0", 100),
			     q = layer("q0", OB_BUS_VOL_QOS, "c0"), r;
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "c0");
	char journal[128];
	uint8_t half[4096];
	size_t len;
	FILE *f;

	(void)state;
	snprintf(journal, sizeof(journal), "%s.c0.rekey", file_a);
	add_crypt(9);
	r = shown_volume("c0");
	r.key = n.key;
	r.key.use = OB_BUS_KEY_REPLACE;
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0);
	f = fopen(journal, "r");
	assert_non_null(f);
	len = fread(half, 1, sizeof(half), f);
	fclose(f);
	await_ready("c0");
	r = crypt_volume("c0", "f0", 0);
	assert_int_equal(DEL(OB_BUS_VOLUME, r), 0);
	f = fopen(journal, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(half, 1, len, f), len);
	fclose(f);
	assert_int_equal(ADD(OB_BUS_VOLUME, n), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), -EUCLEAN);
	assert_true(says("obctl volume rekey c0"));
	assert_int_equal(ADD(OB_BUS_VOLUME, q), -EUCLEAN);
	assert_non_null(strstr(shown_volume("c0").error, "had begun"));
	assert_int_equal(unlink(journal), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
}

static void a_lost_journal_keeps_the_volume_offline(void **state)
{
	struct ob_bus_volume n = crypt_volume("c0", "f0", 100), r;
	char journal[128];

	(void)state;
	snprintf(journal, sizeof(journal), "%s.c0.rekey", file_a);
	add_crypt(9);
	r = shown_volume("c0");
	r.key = n.key;
	r.key.use = OB_BUS_KEY_REPLACE;
	assert_int_equal(SET(OB_BUS_VOLUME, r), 0);
	ob_card_destroy(card);
	assert_int_equal(unlink(journal), 0);
	open_card();
	r = shown_volume("c0");
	assert_int_equal(r.state, OB_BUS_VOL_OFFLINE);
	assert_non_null(strstr(r.error, "journal"));
	assert_int_equal(DEL(OB_BUS_VOLUME, r), 0);
}

static void the_host_erases_by_forgetting_the_key(void **state)
{
	struct ob_bus_function f = disk("n0", OB_BUS_NVME, "c0");
	uint8_t out[4096], in[4096];
	struct ob_blk *b;

	(void)state;
	memset(out, 0x77, sizeof(out));
	add_crypt(9);
	b = blk_of("c0");
	assert_int_equal(do_io(b, OB_BLK_WRITE, 0, out), 0);
	release();
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(fake_models.last_nvme.hooks->crypto_erase(
			     fake_models.last_nvme.hooks_ctx, fake_models.last_ns),
	    0);
	assert_int_equal(DEL(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_READ, 0, in), 0);
	assert_memory_not_equal(in, out, sizeof(in));
	/* The new one is kept. */
	assert_int_equal(do_io(fake_models.last_blk.blk, OB_BLK_WRITE, 0, out), 0);
	release();
	ob_card_destroy(card);
	open_card();
	assert_int_equal(do_io(blk_of("c0"), OB_BLK_READ, 0, in), 0);
	assert_memory_equal(in, out, sizeof(in));
}

static void a_plain_volume_is_not_erased_by_a_key(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB);
	struct ob_bus_function f = disk("n0", OB_BUS_NVME, "d0");

	(void)state;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(fake_models.last_nvme.hooks->crypto_erase(
			     fake_models.last_nvme.hooks_ctx, fake_models.last_ns),
	    -ENOTSUP);
}

static void wrapping_is_undone_with_the_same_key_only(void **state)
{
	struct keyring a, b;
	struct wrapped_key w;
	uint8_t key[64] = {1, 2, 3}, back[64];
	struct text t;

	(void)state;
	keyring_init(&a, key_path);
	assert_int_equal(keyring_wrap(&a, key, 64, &w, &t), 0);
	assert_null(memmem(&w, sizeof(w), key, 8));
	assert_int_equal(keyring_unwrap(&a, &w, back, &t), 0);
	assert_memory_equal(back, key, 64);
	w.bytes[5] ^= 1;
	assert_int_equal(keyring_unwrap(&a, &w, back, &t), -EKEYREJECTED);
	w.bytes[5] ^= 1;
	assert_int_equal(unlink(key_path), 0);
	keyring_init(&b, key_path);
	assert_int_equal(keyring_unwrap(&b, &w, back, &t), -ENOENT);
	assert_int_equal(keyring_wrap(&b, key, 32, &(struct wrapped_key){0}, &t), 0);
	assert_int_equal(keyring_unwrap(&b, &w, back, &t), -EKEYREJECTED);
	assert_int_equal(keyring_wrap(&b, key, 16, &w, &t), -EINVAL);
	w.len = 0;
	assert_int_equal(keyring_unwrap(&b, &w, back, &t), -ENOKEY);
	keyring_wipe(&a);
	keyring_wipe(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, volume_setup, volume_teardown)
	const struct CMUnitTest tests[] = {T(a_key_is_in_no_answer_and_not_in_the_arena),
	    T(a_restart_finds_the_key), T(without_the_key_of_keys_the_key_is_given_again),
	    T(a_key_file_that_others_read_is_refused), T(another_key_while_it_is_used),
	    T(a_move_goes_on_after_a_restart), T(a_volume_whose_keys_are_not_known_is_not_used),
	    T(a_lost_journal_keeps_the_volume_offline), T(the_host_erases_by_forgetting_the_key),
	    T(a_plain_volume_is_not_erased_by_a_key), T(wrapping_is_undone_with_the_same_key_only)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
