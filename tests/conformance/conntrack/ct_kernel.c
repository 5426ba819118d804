/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel's conntrack says of packets: a router between two TUN devices, in a network namespace of its own that ends with us.
 *
 * usage: ct_kernel ROUTER-SCRIPT < EVENTS > VERDICTS
 * Events, a line each:   set NAME VALUE                    /proc/sys/net/netfilter/nf_conntrack_NAME
 *                        start                             units count from here
 *                        pkt UNITS >|< HEX                 an IP packet, 'UNITS' seconds after the start
 * Verdicts, a line per packet: new, established, related, untracked, or drop.
 * Exit status 3: the machine was so busy that packets came too late for their time-outs.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#define MAX_PKT	    16384
#define MAX_LATE_MS 500
#define EXIT_LATE   3

static const char *const says[] = {NULL, "new", "established", "related", "drop", "untracked"};

static void die(const char *what)
{
	fprintf(stderr, "ct_kernel: %s\n", what);
	exit(1);
}

static void die_errno(const char *what)
{
	fprintf(stderr, "ct_kernel: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_tun(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		die_errno("/dev/net/tun");
	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		die_errno("TUNSETIFF");
	return fd;
}

static void set(const char *name, const char *value)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/netfilter/nf_conntrack_%s", name);
	f = fopen(path, "w");
	if (f == NULL || fprintf(f, "%s\n", value) < 0 || fclose(f) != 0)
		die_errno(path);
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned byte;

	for (; isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]); hex += 2) {
		if (n == MAX_PKT || sscanf(hex, "%2x", &byte) != 1)
			break;
		out[n++] = (uint8_t)byte;
	}
	return n;
}

/* Source and destination: what ties what comes out to what went in. */
static bool same_ends(const uint8_t *a, const uint8_t *b)
{
	if (a[0] >> 4 != b[0] >> 4)
		return false;
	return a[0] >> 4 == 4 ? memcmp(a + 12, b + 12, 8) == 0 : memcmp(a + 8, b + 8, 32) == 0;
}

/* What came out at the other end. The kernel carries a packet through inside of write(), so there is nothing to wait for. */
static const char *look(int fd, const uint8_t *sent)
{
	const char *verdict = "drop";
	uint8_t got[MAX_PKT];
	unsigned dscp;
	ssize_t n;

	while ((n = read(fd, got, sizeof(got))) > 0) {
		if (!same_ends(got, sent)) {
			/* What the kernel says of its own accord (multicast listener reports) is sent to groups. */
			if (got[0] >> 4 == 6 && got[24] == 0xff)
				continue;
			die("a packet came out that was not sent just before");
		}
		dscp =
		    got[0] >> 4 == 4 ? got[1] >> 2 : ((unsigned)got[0] << 8 | got[1]) >> 6 & 0x3f;
		if (dscp == 0 || dscp >= sizeof(says) / sizeof(says[0])) {
			die("a packet came out without a mark");
		}
		verdict = says[dscp];
	}
	return verdict;
}

/* Returns whether the time has come just now; not if it was long ago: time-outs that are a unit away may have passed. */
static bool wait_until(const struct timespec *start, unsigned units)
{
	struct timespec until = {start->tv_sec + units, start->tv_nsec}, now;

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - until.tv_sec) * 1000 + (now.tv_nsec - until.tv_nsec) / 1000000 <=
	       MAX_LATE_MS;
}

int main(int argc, char **argv)
{
	static char line[2 * MAX_PKT + 64], word[2 * MAX_PKT + 64];
	static uint8_t pkt[MAX_PKT];
	struct timespec start;
	char name[64], side;
	int fd[2];
	bool started = false;
	unsigned units;

	if (argc != 2) {
		fprintf(stderr, "usage: ct_kernel ROUTER-SCRIPT < EVENTS > VERDICTS\n");
		return 2;
	}
	if (unshare(CLONE_NEWNET) < 0)
		die_errno("network namespace");
	fd[0] = open_tun("client");
	fd[1] = open_tun("server");
	if (system(argv[1]) != 0) {
		die("the router's set-up failed");
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "start\n") == 0) {
			clock_gettime(CLOCK_MONOTONIC, &start);
			started = true;
		} else if (sscanf(line, "set %63s %32767s", name, word) == 2) {
			set(name, word);
		} else if (sscanf(line, "pkt %u %c %32767s", &units, &side, word) == 3) {
			size_t n = unhex(word, pkt);
			unsigned from = side == '<';

			if (!wait_until(&start, units) && started)
				return EXIT_LATE;
			look(fd[from],
			    pkt); /* ICMP errors of the router itself are of no interest */
			if (write(fd[from], pkt, n) != (ssize_t)n && errno != EINVAL)
				die_errno("write");
			puts(look(fd[!from], pkt));
		} else {
			die("an event that is not understood");
		}
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
