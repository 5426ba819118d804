/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

static struct options o;

/* Parses a line of words. */
static int parse(const char *line)
{
	static char words[512];
	char *argv[32] = {words};
	int argc = 0;

	snprintf(words, sizeof(words), "ob-card %s", line);
	for (char *w = strtok(words, " "); w != NULL && argc < 31; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	return options_parse(argc, argv, &o);
}

static void defaults_need_no_option(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_string_equal(o.bus, "/run/outboard/card.sock");
	assert_string_equal(o.run_dir, "/run/outboard");
	assert_int_equal(o.n_workers, 1);
	assert_null(o.uplink);
	assert_false(o.pinned || o.poll_always || o.no_huge);
	assert_int_equal(o.sessions4, 1048576);
	assert_int_equal(o.sessions6, 262144);
}

static void tables_of_connections_fit_half_of_the_arena(void **state)
{
	(void)state;
	assert_int_equal(parse("--workers 32 --arena-max 4096"), 0);
	assert_true(32ull * (o.sessions4 * 192ull + o.sessions6 * 384ull) <= 2048ull << 20);
	assert_true(o.sessions4 > 100000);
	assert_int_equal(parse("--sessions 10000000 --sessions6 1024"), 0);
	assert_int_equal(o.sessions4, 10000000);
	assert_int_equal(o.sessions6, 1024);
	assert_int_equal(parse("--sessions 1023"), -EINVAL);
	assert_int_equal(parse("--sessions6 x"), -EINVAL);
}

static void options_are_taken(void **state)
{
	(void)state;
	assert_int_equal(parse("--bus /a --uplink net_null0 --underlay-netns n --underlay-if i "
			       "--workers 3 --mtu 9000 "
			       "--idle=poll --serial S --no-huge --mem 100 --arena-max 600 "
			       "--run-dir /r --log-level debug"),
	    0);
	assert_string_equal(o.uplink, "net_null0");
	assert_string_equal(o.netns, "n");
	assert_string_equal(o.kernel_if, "i");
	assert_int_equal(o.n_workers, 3);
	assert_int_equal(o.mtu, 9000);
	assert_true(o.poll_always && o.no_huge);
	assert_int_equal(o.mem_mb, 100);
	assert_true(o.arena_max == 600ull << 20);
	assert_string_equal(o.log_level, "debug");
}

static void dpdk_arguments_are_kept_in_order(void **state)
{
	(void)state;
	assert_int_equal(parse("--dpdk-arg -dx.so --dpdk-arg --vdev=net_null0"), 0);
	assert_int_equal(o.n_dpdk_args, 2);
	assert_string_equal(o.dpdk_arg[0], "-dx.so");
	assert_string_equal(o.dpdk_arg[1], "--vdev=net_null0");
	assert_int_equal(parse("--dpdk-arg a --dpdk-arg a --dpdk-arg a --dpdk-arg a --dpdk-arg a "
			       "--dpdk-arg a --dpdk-arg a --dpdk-arg a --dpdk-arg a --dpdk-arg a "
			       "--dpdk-arg a --dpdk-arg a --dpdk-arg a --dpdk-arg a --dpdk-arg a"),
	    0);
}

static void cpus_give_the_number_of_workers(void **state)
{
	(void)state;
	assert_int_equal(parse("--cpus 2,4-6"), 0);
	assert_int_equal(o.n_workers, 4);
	assert_true(o.pinned);
	assert_int_equal(o.cpu[0], 2);
	assert_int_equal(o.cpu[1], 4);
	assert_int_equal(o.cpu[3], 6);
	assert_int_equal(parse("--workers 4 --cpus 2,4-6"), 0);
	assert_int_equal(parse("--workers 3 --cpus 2,4-6"), -EINVAL);
	assert_int_equal(parse("--cpus 0-31"), 0);
	assert_int_equal(o.n_workers, 32);
}

static void mistakes_are_refused(void **state)
{
	static const char *const bad[] = {"--nonsense", "word", "--workers 0", "--workers 33",
	    "--workers -1", "--workers 2x", "--cpus a", "--cpus 3-1", "--cpus 1,", "--cpus 1-",
	    "--cpus 0-32", "--cpus 0-9999", "--idle lazy", "--mtu 100", "--mtu 99999", "--mem 1",
	    "--arena-max 64", "--log-level loud", "--run-dir here", "--uplink a --uplink b",
	    "--bus"};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i]) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void help_and_version_end_it(void **state)
{
	(void)state;
	assert_int_equal(parse("--help"), 1);
	assert_int_equal(parse("-h"), 1);
	assert_int_equal(parse("--version"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults_need_no_option),
	    cmocka_unit_test(options_are_taken),
	    cmocka_unit_test(tables_of_connections_fit_half_of_the_arena),
	    cmocka_unit_test(dpdk_arguments_are_kept_in_order),
	    cmocka_unit_test(cpus_give_the_number_of_workers),
	    cmocka_unit_test(mistakes_are_refused),
	    cmocka_unit_test(help_and_version_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
