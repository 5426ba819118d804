/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"

/* Room in the arena, all included (dataplane/session). */
#define BYTES_OF_SESSION4    192
#define BYTES_OF_SESSION6    384
#define MAX_DEFAULT_SESSIONS (1u << 20)

static const char help[] =
    "usage: ob-card [OPTION]...\n"
    "\n"
    "The firmware of the card: serves PCI functions to hosts and virtual machines, and carries "
    "their\n"
    "packets to other cards. It starts with no function; add them over its bus with obctl.\n"
    "\n"
    "Uplink\n"
    "  --uplink DEVARGS      the port toward other cards, any DPDK device:\n"
    "                          net_af_packet0,iface=eth1    a kernel interface\n"
    "                          0000:03:00.0                 a NIC bound to vfio-pci\n"
    "                        without it, functions of this card reach each other only\n"
    "  --mtu N               MTU of the uplink in bytes (default: the port's, 1500 with most)\n"
    "  --underlay-netns NAME network namespace that owns the underlay addresses (see ip-netns)\n"
    "                        (default: the one ob-card runs in)\n"
    "  --underlay-if NAME    name of the kernel's interface behind the uplink (default: ob-up0);\n"
    "                        give it the underlay addresses: ip address add 192.0.2.1/24 dev "
    "ob-up0\n"
    "\n"
    "Control\n"
    "  --bus SOCKET          card bus (default: /run/outboard/card.sock)\n"
    "  --run-dir DIR         where functions' sockets are made that are given no path\n"
    "                        (default: /run/outboard)\n"
    "  --serial SN           serial number of the card, 1 to 31 characters (default: the machine's "
    "id)\n"
    "\n"
    "Resources\n"
    "  --workers N           threads that carry packets, 1 to 32 (default: 1)\n"
    "  --cpus LIST           pin them: 2,3 or 2-5 (default: the scheduler places them)\n"
    "  --idle poll|sleep     what an idle worker does (default: sleep)\n"
    "  --no-huge             no hugepages even if there are free ones\n"
    "  --mem MB              packet memory (default: by the number of workers)\n"
    "  --arena-max MB        most memory for state that survives a restart (default: 4096): on "
    "huge "
    "pages if that\n"
    "                        many are free, taken at once; else on small ones, as needed\n"
    "  --dpdk-arg ARG        one more argument for DPDK's EAL; may be given again: a driver that "
    "is "
    "not\n"
    "                        installed (-dlibrte_net_x.so), a device (--vdev=..., --allow=...) "
    "that is\n"
    "                        then named as uplink or as a function's port\n"
    "  --sessions N          most IPv4 connections that a worker holds: 180 bytes each "
    "(default: 1048576, fewer\n"
    "                        where half of the arena holds no more)\n"
    "  --sessions6 N         the same for IPv6 and NAT64: 310 bytes (default: a quarter of "
    "that)\n"
    "  --no-prefault         memory of connections is taken as they come, which makes each new "
    "one dearer; else at\n"
    "                        start, in the background, if no more than half of what is free\n"
    "\n"
    "Other\n"
    "  --log-level LEVEL     error, warning, notice, info (default) or debug\n"
    "  --version\n"
    "  --help\n"
    "\n"
    "Signals: TERM and INT stop all functions and end it. It says READY=1 to NOTIFY_SOCKET "
    "(systemd).\n"
    "\n"
    "Example: two cards on one machine, each with a kernel interface as its uplink\n"
    "  ob-card --bus /run/outboard/a.sock --uplink net_af_packet0,iface=veth-a --underlay-netns a\n"
    "  obctl -s /run/outboard/a.sock function list\n";

enum {
	OPT_BUS = 256,
	OPT_RUN_DIR,
	OPT_UPLINK,
	OPT_NETNS,
	OPT_IF,
	OPT_WORKERS,
	OPT_CPUS,
	OPT_IDLE,
	OPT_SERIAL,
	OPT_MTU,
	OPT_NO_HUGE,
	OPT_MEM,
	OPT_ARENA,
	OPT_LOG,
	OPT_DPDK,
	OPT_SESSIONS,
	OPT_SESSIONS6,
	OPT_NO_PREFAULT,
	OPT_VERSION,
};

static const struct option longs[] = {
    {"bus", required_argument, NULL, OPT_BUS},
    {"run-dir", required_argument, NULL, OPT_RUN_DIR},
    {"uplink", required_argument, NULL, OPT_UPLINK},
    {"underlay-netns", required_argument, NULL, OPT_NETNS},
    {"underlay-if", required_argument, NULL, OPT_IF},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"idle", required_argument, NULL, OPT_IDLE},
    {"serial", required_argument, NULL, OPT_SERIAL},
    {"mtu", required_argument, NULL, OPT_MTU},
    {"no-huge", no_argument, NULL, OPT_NO_HUGE},
    {"mem", required_argument, NULL, OPT_MEM},
    {"arena-max", required_argument, NULL, OPT_ARENA},
    {"sessions", required_argument, NULL, OPT_SESSIONS},
    {"sessions6", required_argument, NULL, OPT_SESSIONS6},
    {"no-prefault", no_argument, NULL, OPT_NO_PREFAULT},
    {"log-level", required_argument, NULL, OPT_LOG},
    {"dpdk-arg", required_argument, NULL, OPT_DPDK},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int mistake(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "ob-card: --%s '%s': %s\n", option, value, wanted);
	return -EINVAL;
}

static int number(const char *s, unsigned long min, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(s, &end, 10);
	return errno != 0 || end == s || *end != '\0' || s[0] == '-' || *out < min || *out > max
		   ? -EINVAL
		   : 0;
}

/* "2,3,8-11". Returns the number of CPUs, or -EINVAL. */
static int cpu_list(const char *s, int cpu[OB_MAX_WORKERS])
{
	unsigned n = 0;

	while (*s != '\0') {
		unsigned long first, last;
		char *end;

		first = last = strtoul(s, &end, 10);
		if (end == s)
			return -EINVAL;
		if (*end == '-') {
			s = end + 1;
			last = strtoul(s, &end, 10);
			if (end == s)
				return -EINVAL;
		}
		if (last < first || last > 4095 || last - first >= OB_MAX_WORKERS - n)
			return -EINVAL;
		while (first <= last)
			cpu[n++] = (int)first++;
		if (*end == ',' && end[1] != '\0')
			end++;
		else if (*end != '\0')
			return -EINVAL;
		s = end;
	}
	return n > 0 ? (int)n : -EINVAL;
}

static int set_idle(const char *value, struct options *o)
{
	if (strcmp(value, "poll") != 0 && strcmp(value, "sleep") != 0)
		return mistake("idle", value, "poll or sleep");
	o->poll_always = strcmp(value, "poll") == 0;
	return 0;
}

static int set_cpus(const char *value, struct options *o)
{
	int n = cpu_list(value, o->cpu);

	if (n < 0)
		return mistake(
		    "cpus", value, "a list of at most 32 CPU numbers, such as 2,3 or 2-5");
	o->pinned = true;
	/* Kept until all options are read: --workers may come later. */
	for (int i = n; i < OB_MAX_WORKERS; i++)
		o->cpu[i] = -1;
	return 0;
}

/* Options with a number. */
static int set_number(int opt, const char *value, struct options *o)
{
	unsigned long n;

	switch (opt) {
	case OPT_WORKERS:
		if (number(value, 1, OB_MAX_WORKERS, &n) < 0)
			return mistake("workers", value, "a number from 1 to 32");
		o->n_workers = (unsigned)n;
		return 0;
	case OPT_MTU:
		if (number(value, 1280, 9216, &n) < 0)
			return mistake("mtu", value, "a number from 1280 to 9216");
		o->mtu = (uint16_t)n;
		return 0;
	case OPT_MEM:
		if (number(value, 64, 1ul << 20, &n) < 0)
			return mistake("mem", value, "megabytes, at least 64");
		o->mem_mb = (unsigned)n;
		return 0;
	case OPT_SESSIONS:
	case OPT_SESSIONS6:
		if (number(value, 1024, 1ul << 28, &n) < 0)
			return mistake(opt == OPT_SESSIONS ? "sessions" : "sessions6", value,
			    "a number from 1024 to 268435456");
		*(opt == OPT_SESSIONS ? &o->sessions4 : &o->sessions6) = (uint32_t)n;
		return 0;
	default:
		if (number(value, 512, 1ul << 24, &n) < 0)
			return mistake("arena-max", value, "megabytes, at least 512");
		o->arena_max = (uint64_t)n << 20;
		return 0;
	}
}

static int set_log_level(const char *value, struct options *o)
{
	static const char *const levels[] = {"error", "warning", "notice", "info", "debug"};

	for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(value, levels[i]) == 0) {
			o->log_level = levels[i];
			return 0;
		}
	}
	return mistake("log-level", value, "error, warning, notice, info or debug");
}

static int set_text(const char **to, const char *option, const char *value)
{
	if (value[0] == '\0')
		return mistake(option, value, "must not be empty");
	*to = value;
	return 0;
}

static int set_one(int opt, const char *value, struct options *o)
{
	switch (opt) {
	case OPT_BUS:
		return set_text(&o->bus, "bus", value);
	case OPT_RUN_DIR:
		if (value[0] != '/')
			return mistake("run-dir", value, "an absolute path");
		return set_text(&o->run_dir, "run-dir", value);
	case OPT_UPLINK:
		if (o->uplink != NULL)
			return mistake("uplink", value, "one uplink per card for now");
		return set_text(&o->uplink, "uplink", value);
	case OPT_NETNS:
		return set_text(&o->netns, "underlay-netns", value);
	case OPT_IF:
		return set_text(&o->kernel_if, "underlay-if", value);
	case OPT_SERIAL:
		return set_text(&o->serial, "serial", value);
	case OPT_CPUS:
		return set_cpus(value, o);
	case OPT_IDLE:
		return set_idle(value, o);
	case OPT_NO_HUGE:
		o->no_huge = true;
		return 0;
	case OPT_NO_PREFAULT:
		o->no_prefault = true;
		return 0;
	case OPT_LOG:
		return set_log_level(value, o);
	case OPT_DPDK:
		if (o->n_dpdk_args == OPTIONS_DPDK_ARGS)
			return mistake("dpdk-arg", value, "too many of them");
		return set_text(&o->dpdk_arg[o->n_dpdk_args++], "dpdk-arg", value);
	default:
		return set_number(opt, value, o);
	}
}

/* Workers and CPUs agree, or one follows from the other. */
static int settle_workers(struct options *o)
{
	unsigned n_cpus = 0;

	while (o->pinned && n_cpus < OB_MAX_WORKERS && o->cpu[n_cpus] >= 0)
		n_cpus++;
	if (o->n_workers == 0)
		o->n_workers = o->pinned ? n_cpus : 1;
	if (!o->pinned || n_cpus == o->n_workers)
		return 0;
	fprintf(stderr, "ob-card: --cpus lists %u CPUs for %u workers\n", n_cpus, o->n_workers);
	return -EINVAL;
}

/* A million IPv4 connections a worker and a quarter of that IPv6, or what half of the arena holds. */
static void settle_sessions(struct options *o)
{
	uint64_t room =
	    o->arena_max / 2 / o->n_workers / (BYTES_OF_SESSION4 + BYTES_OF_SESSION6 / 4);
	uint32_t n = room < MAX_DEFAULT_SESSIONS ? (uint32_t)room : MAX_DEFAULT_SESSIONS;

	if (o->sessions4 == 0)
		o->sessions4 = n;
	if (o->sessions6 == 0)
		o->sessions6 = n / 4;
}

int options_parse(int argc, char **argv, struct options *o)
{
	int opt, rc;

	memset(o, 0, sizeof(*o));
	o->bus = "/run/outboard/card.sock";
	o->run_dir = "/run/outboard";
	o->log_level = "info";
	o->arena_max = 4096ull << 20;
	optind = 0; /* as GNU getopt wants it, to begin anew */
	while ((opt = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return 1;
		}
		if (opt == OPT_VERSION) {
			puts("ob-card " OB_VERSION);
			return 1;
		}
		rc = opt == '?' ? -EINVAL : set_one(opt, optarg, o);
		if (rc < 0) {
			fprintf(stderr, "ob-card: 'ob-card --help' lists the options\n");
			return rc;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "ob-card: what is '%s'? 'ob-card --help' lists the options\n",
		    argv[optind]);
		return -EINVAL;
	}
	rc = settle_workers(o);
	if (rc == 0)
		settle_sessions(o);
	return rc;
}
