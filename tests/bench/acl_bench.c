/* SPDX-License-Identifier: BSD-3-Clause */
/* What the verdict for a first packet costs, and what its rules cost to compile: 3 stages of groups of 10, 100 and 1,000 rules with
 * 100 source and 100 destination prefixes each, over few and many different connections. usage: acl_bench [RULES] */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ob_acl.h"
#include "ob_worker.h"

#define STAGES	   3
#define N_PREFIXES 100
#define TAG_LEN	   24000
#define MIN_NS	   200000000ull

struct flow {
	struct ob_acl_pkt p;
	uint8_t src[16], dst[16];
};

static uint64_t rng = 88172645463325252ull;

static uint32_t rand32(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* /24 to /32 of 10.0.0.0/8 or of all addresses; IPv6: /48 to /64 below 2001:db8::/32. */
static void random_prefix(struct ob_acl_prefix *p, uint8_t family, bool clustered)
{
	memset(p, 0, sizeof(*p));
	if (family == AF_INET) {
		for (unsigned i = 0; i < 4; i++)
			p->b[i] = (uint8_t)rand32();
		if (clustered)
			p->b[0] = 10;
		p->len = (uint8_t)(24 + rand32() % 9);
	} else {
		static const uint8_t top[4] = {0x20, 0x01, 0x0d, 0xb8};

		for (unsigned i = 0; i < 8; i++)
			p->b[i] = i < 4 ? top[i] : (uint8_t)rand32();
		p->len = (uint8_t)(48 + rand32() % 17);
	}
	for (unsigned i = p->len; i < 128; i++)
		p->b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

static struct ob_acl_prefix *prefixes(unsigned n, uint8_t family, bool clustered)
{
	struct ob_acl_prefix *p = calloc(n, sizeof(*p));

	if (p == NULL)
		die("prefixes", "no memory");
	for (unsigned i = 0; i < n; i++)
		random_prefix(&p[i], family, clustered);
	return p;
}

/* Specific permits, and in the end one that takes the rest: the shape of a security group with allow lists. */
static struct ob_acl_rule *rules(
    unsigned n, uint8_t family, bool clustered, bool last_stage, int tag)
{
	struct ob_acl_rule *r = calloc(n, sizeof(*r));

	if (r == NULL)
		die("rules", "no memory");
	for (unsigned i = 0; i < n; i++) {
		struct ob_acl_range *port = calloc(1, sizeof(*port));

		r[i] = (struct ob_acl_rule){
		    .priority = i, .action = OB_ACL_PERMIT, .terminate = last_stage};
		if (port == NULL)
			die("rules", "no memory");
		if (i == n - 1)
			break;
		port->lo = (uint16_t)(rand32() % 1024);
		port->hi = (uint16_t)(port->lo + rand32() % 16);
		r[i].protos[0] = 1ull << (i & 1 ? 6 : 17);
		r[i].src = prefixes(N_PREFIXES, family, clustered);
		r[i].n_src = N_PREFIXES;
		r[i].dst = prefixes(N_PREFIXES, family, clustered);
		r[i].n_dst = N_PREFIXES;
		r[i].dports = port;
		r[i].n_dports = 1;
		if (tag >= 0) {
			uint16_t *id = malloc(sizeof(*id));

			if (id == NULL)
				die("rules", "no memory");
			*id = (uint16_t)tag;
			r[i].src_tags = id;
			r[i].n_src_tags = i % 10 == 0;
		}
	}
	return r;
}

static void inside(const struct ob_acl_prefix *p, unsigned bytes, uint8_t out[16])
{
	memcpy(out, p->b, 16);
	for (unsigned i = p->len; i < bytes * 8; i++)
		out[i / 8] ^= (uint8_t)((rand32() >> 7 & 1) << (7 - i % 8));
}

/* Connections that some rule of the first stage is about. */
static struct flow *flows(unsigned n, uint8_t family, const struct ob_acl_rule *r, unsigned n_rules)
{
	struct flow *f = calloc(n, sizeof(*f));

	if (f == NULL)
		die("flows", "no memory");
	for (unsigned i = 0; i < n; i++) {
		const struct ob_acl_rule *of = &r[rand32() % (n_rules - 1)];

		inside(&of->src[rand32() % N_PREFIXES], family == AF_INET ? 4 : 16, f[i].src);
		inside(&of->dst[rand32() % N_PREFIXES], family == AF_INET ? 4 : 16, f[i].dst);
		f[i].p = (struct ob_acl_pkt){.family = family,
		    .proto = of->protos[0] & 1 << 6 ? 6 : 17,
		    .sport = (uint16_t)(32768 + rand32() % 28232),
		    .dport = of->dports[0].lo,
		    .src = f[i].src,
		    .dst = f[i].dst};
	}
	return f;
}

static double measure(const struct flow *f, unsigned n)
{
	uint64_t start, ns, rounds = 0, permits = 0;

	for (unsigned i = 0; i < n; i++)
		permits += ob_acl_eval(0, OB_ACL_OUT, &f[i].p, NULL);
	start = now_ns();
	do {
		for (unsigned i = 0; i < n; i++)
			permits += ob_acl_eval(0, OB_ACL_OUT, &f[i].p, NULL);
		rounds++;
		ns = now_ns() - start;
	} while (ns < MIN_NS);
	if (permits != (rounds + 1) * n)
		die("measure", "a connection that should pass does not");
	return (double)ns / (double)(rounds * n);
}

static void one_case(unsigned n_rules, uint8_t family, bool clustered, int tag)
{
	static const unsigned n_flows[3] = {16, 4096, 262144};
	struct ob_acl_group_info info;
	struct ob_acl_rule *first = NULL;
	struct flow *f;
	char err[200];

	for (unsigned s = 0; s < STAGES; s++) {
		struct ob_acl_rule *r = rules(n_rules, family, clustered, s == STAGES - 1, tag);
		struct ob_acl_group_cfg g = {family, n_rules, r};

		if (ob_acl_group_set(s, &g, err, sizeof(err)) < 0 ||
		    ob_acl_bind(0, OB_ACL_OUT, s + 1, s, err, sizeof(err)) < 0)
			die("group", err);
		first = s == 0 ? r : first;
	}
	ob_acl_group_info(0, &info);
	f = flows(n_flows[2], family, first, n_rules);
	printf("%-5s %-9s %5u %8u %9.1f %9.0f", family == AF_INET ? "IPv4" : "IPv6",
	    tag >= 0	? "tag"
	    : clustered ? "10/8"
			: "spread",
	    n_rules, info.n_prefixes, (double)info.compile_us / 1000,
	    (double)info.compiled_bytes / 1024);
	for (unsigned i = 0; i < 3; i++)
		printf(" %9.1f", measure(f, n_flows[i]));
	printf("\n");
	fflush(stdout);
	ob_acl_eni_clear(0);
	for (unsigned s = 0; s < STAGES; s++)
		ob_acl_group_del(s, NULL, 0);
	ob_rcu_reclaim();
	free(f);
}

int main(int argc, char **argv)
{
	unsigned only = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
	struct ob_acl_tag_cfg tag = {.family = AF_INET, .n_prefixes = TAG_LEN};
	struct ob_arena *arena;

	if (ob_arena_create("acl-bench", 1ull << 30, &arena) < 0 || ob_acl_init(arena) < 0)
		die("arena", "no memory");
	printf("ns for the verdict of %u stages, by the number of different connections\n", STAGES);
	printf("%-5s %-9s %5s %8s %9s %9s %9s %9s %9s\n", "", "addresses", "rules", "prefixes",
	    "compile", "kB", "16", "4096", "262144");
	for (unsigned n = 10; n <= 1000; n *= 10) {
		if (only != 0 && n != only)
			continue;
		one_case(n, AF_INET, false, -1);
		one_case(n, AF_INET, true, -1);
		one_case(n, AF_INET6, true, -1);
	}
	tag.prefixes = prefixes(TAG_LEN, AF_INET, false);
	if (ob_acl_tag_set(0, &tag, NULL, 0) < 0)
		die("tag", "refused");
	one_case(1000, AF_INET, false, 0);
	ob_acl_fini();
	ob_arena_destroy(arena);
	return 0;
}
