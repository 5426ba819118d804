/* SPDX-License-Identifier: BSD-3-Clause */
/* The language of security groups: what is read is what is printed, and every refusal says what is wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"

const struct noun *const nouns[] = {&noun_sg};
const unsigned n_nouns = 1;

static struct body body;
static char err[512], printed[4096];

static int read_line(const char *text)
{
	char line[4096];

	body_free(&body);
	err[0] = '\0';
	snprintf(line, sizeof(line), "%s", text);
	return body_rules.parse(line, &body, err, sizeof(err));
}

/* What the card would give back, printed. */
static const char *there_and_back(const char *text)
{
	size_t at = 0, len;
	char *mem;
	FILE *f;

	assert_int_equal(read_line(text), 0);
	f = open_memstream(&mem, &len);
	while (at < body.len)
		assert_int_equal(body_rules.print(body.bytes, body.len, &at, f, NULL), 0);
	fclose(f);
	snprintf(printed, sizeof(printed), "%s", mem);
	free(mem);
	return printed;
}

static struct ob_bus_rule head(void)
{
	struct ob_bus_rule r;

	assert_true(body.len >= sizeof(r));
	memcpy(&r, body.bytes, sizeof(r));
	return r;
}

static void a_rule_lands_in_the_body(void **state)
{
	struct ob_bus_ports p[2];
	struct ob_bus_ip ip;

	(void)state;
	assert_int_equal(
	    read_line("100 permit tcp from 10.0.0.0/8,tag:corp to any port 22,80-90\n"), 0);
	assert_int_equal(body.n_items, 1);
	assert_int_equal(head().priority, 100);
	assert_int_equal(head().action, OB_BUS_PERMIT);
	assert_int_equal(head().n_protos, 1);
	assert_int_equal(head().proto[0], 6);
	assert_int_equal(head().n_src, 1);
	assert_int_equal(head().n_src_tags, 1);
	assert_int_equal(head().n_dst + head().n_dst_tags + head().n_sports, 0);
	assert_int_equal(head().n_dports, 2);
	memcpy(&ip, body.bytes + 32, sizeof(ip));
	assert_int_equal(ip.b[0], 10);
	assert_int_equal(ip.prefix_len, 8);
	assert_string_equal((const char *)body.bytes + 32 + 20, "corp");
	memcpy(p, body.bytes + 32 + 20 + 32, sizeof(p));
	assert_int_equal(p[0].first, 22);
	assert_int_equal(p[0].last, 22);
	assert_int_equal(p[1].first, 80);
	assert_int_equal(p[1].last, 90);
	assert_int_equal(body.len, 32 + 20 + 32 + 8);
}

static void what_is_read_is_what_is_printed(void **state)
{
	static const char *const same[] = {
	    "100 permit tcp from 10.0.0.0/8,tag:corp to any port 22,80-90\n",
	    "0 deny any from any to any\n",
	    "4294967295 permit-continue udp,tcp from any port 53 to 2001:db8::/32\n",
	    "7 deny-continue icmp from any to any type 8,3/4\n",
	    "8 permit icmp6 from fe80::/10 to any type 135\n",
	    "9 permit esp,ah,gre,99 from 192.0.2.1/32,2001:db8::1/128 to tag:a,tag:b\n"};

	(void)state;
	for (unsigned i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_string_equal(there_and_back(same[i]), same[i]);
}

static void short_forms_and_blanks_are_understood(void **state)
{
	(void)state;
	assert_string_equal(there_and_back("5 permit any"), "5 permit any from any to any\n");
	assert_string_equal(there_and_back("  5\tpermit 6,17 to 10.1.2.3 port any  # ssh\r\n"),
	    "5 permit tcp,udp from any to 10.1.2.3/32\n");
	assert_string_equal(
	    there_and_back("5 permit tcp from 10.0.0.0/8, 10.1.0.0/16 port 1, 2-3 to any"),
	    "5 permit tcp from 10.0.0.0/8,10.1.0.0/16 port 1,2-3 to any\n");
	assert_int_equal(read_line("# nothing"), 0);
	assert_int_equal(read_line("\n"), 0);
	assert_int_equal(body.len, 0);
	assert_int_equal(body.n_items, 0);
}

static void every_mistake_is_named(void **state)
{
	static const struct {
		const char *line, *says;
	} wrong[] = {{"permit tcp", "'permit' is no priority"}, {"-1 permit tcp", "no priority"},
	    {"4294967296 permit tcp", "no priority"}, {"1", "action is missing"},
	    {"1 allow tcp", "permit, deny"}, {"1 permt tcp", "did you mean 'permit'"},
	    {"1 permit", "protocols are missing"}, {"1 permit tpc", "did you mean 'tcp'"},
	    {"1 permit 256", "no protocol"}, {"1 permit tcp,", "protocol"},
	    {"1 permit 1,2,3,4,5,6,7,8,9,10,11,12,13", "at most 12"},
	    {"1 permit tcp form any", "'form' is not understood"},
	    {"1 permit tcp from", "must follow 'from'"},
	    {"1 permit tcp from 10.0.0.1/8", "bits set behind"},
	    {"1 permit tcp from 10.0.0.0/33", "prefix"}, {"1 permit tcp from web", "tag:NAME"},
	    {"1 permit tcp from tag:", "1 to 31"},
	    {"1 permit tcp from 10.0.0.0/8,any", "stands alone"},
	    {"1 permit tcp from any from any", "'from' is not understood"},
	    {"1 permit tcp to any from any", "'from' is not understood"},
	    {"1 permit tcp to any port", "must follow 'port'"},
	    {"1 permit tcp to any port 65536", "no port"},
	    {"1 permit tcp to any port 90-80", "ends before it begins"},
	    {"1 permit tcp to any port http", "no port"},
	    {"1 permit tcp to any port 1-", "no port"},
	    {"1 permit tcp port 22", "'port' is not understood"},
	    {"1 permit any to any port 22", "only tcp, udp and sctp"},
	    {"1 permit tcp,icmp to any port 22", "only tcp, udp and sctp"},
	    {"1 permit tcp type 8", "goes with protocol icmp"},
	    {"1 permit icmp,icmp6 type 8", "alone"}, {"1 permit icmp type 256", "no ICMP type"},
	    {"1 permit icmp type 3/", "no ICMP type"},
	    {"1 permit icmp type", "must follow 'type'"}};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(read_line(wrong[i].line), -EINVAL);
		if (strstr(err, wrong[i].says) == NULL)
			fail_msg("'%s': '%s' does not say '%s'", wrong[i].line, err, wrong[i].says);
		assert_int_equal(body.len, 0);
	}
}

static void a_long_rule_is_no_trouble(void **state)
{
	char *line = malloc(200000);
	size_t n = (size_t)sprintf(line, "1 permit tcp from ");

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		n += (size_t)sprintf(line + n, "%s10.%u.%u.0/24", i ? "," : "", i / 256, i % 256);
	body_free(&body);
	assert_int_equal(body_rules.parse(line, &body, err, sizeof(err)), 0);
	assert_int_equal(head().n_src, 5000);
	free(line);
}

static void file_errors_name_the_line(void **state)
{
	char path[] = "/tmp/ob-rules-XXXXXX", said[256] = "";
	int fd = mkstemp(path), out[2], keep = dup(2);
	FILE *f = fdopen(fd, "w");

	(void)state;
	fputs("# a group\n100 permit tcp\n\n110 permit tpc\n", f);
	fclose(f);
	body_free(&body);
	assert_int_equal(pipe(out), 0);
	dup2(out[1], 2);
	assert_int_equal(body_file(&body_rules, path, &body), -EINVAL);
	dup2(keep, 2);
	close(keep);
	close(out[1]);
	assert_true(read(out[0], said, sizeof(said) - 1) > 0);
	close(out[0]);
	assert_non_null(strstr(said, ":4: 'tpc' is no protocol"));
	unlink(path);
}

static void bytes_that_make_no_sense_are_eproto(void **state)
{
	size_t at;

	(void)state;
	assert_int_equal(read_line("1 permit tcp from 10.0.0.0/8 to tag:x port 1"), 0);
	for (size_t len = 1; len < body.len; len++) {
		FILE *f = fopen("/dev/null", "w");

		at = 0;
		assert_int_equal(body_rules.print(body.bytes, len, &at, f, NULL), -EPROTO);
		fclose(f);
	}
}

static void a_list_of_prefixes_may_share_lines(void **state)
{
	char line[] = "10.0.0.0/8, 2001:db8::/32 192.0.2.7 # three\n";

	(void)state;
	body_free(&body);
	assert_int_equal(body_prefixes.parse(line, &body, err, sizeof(err)), 0);
	assert_int_equal(body.n_items, 3);
	assert_int_equal(body.len, 3 * sizeof(struct ob_bus_ip));
	strcpy(line, "10.0.0.0/8 oops");
	assert_int_equal(body_prefixes.parse(line, &body, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "oops"));
	body_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_rule_lands_in_the_body),
	    cmocka_unit_test(what_is_read_is_what_is_printed),
	    cmocka_unit_test(short_forms_and_blanks_are_understood),
	    cmocka_unit_test(every_mistake_is_named),
	    cmocka_unit_test(a_long_rule_is_no_trouble),
	    cmocka_unit_test(file_errors_name_the_line),
	    cmocka_unit_test(bytes_that_make_no_sense_are_eproto),
	    cmocka_unit_test(a_list_of_prefixes_may_share_lines),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	body_free(&body);
	return rc;
}
