/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define R ob_bus_capture

#define FORGET_TRIES 50
#define FORGET_MS    20

static const struct choice directions[] = {{"in", 1}, {"out", 2}, {NULL, 0}};
static const struct choice on_off[] = {{"on", 1}, {"off", 2}, {NULL, 0}};
static const struct choice states[] = {{"running", OB_BUS_CAPTURE_RUNNING},
    {"stopped", OB_BUS_CAPTURE_STOPPED}, {"limit", OB_BUS_CAPTURE_LIMIT},
    {"gone", OB_BUS_CAPTURE_GONE}, {"failed", OB_BUS_CAPTURE_FAILED},
    {"ending", OB_BUS_CAPTURE_ENDING}, {NULL, 0}};
static const struct choice protos[] = {{"tcp", 6}, {"udp", 17}, {"icmp", 1}, {"icmp6", 58},
    {"sctp", 132}, {"esp", 50}, {"gre", 47}, {"arp", OB_BUS_PROTO_ARP}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "name",
	.head = "NAME",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, name),
	.arg = "NAME",
	.help = "of the capture; that of one that has ended may be used again"},
    {.name = "file",
	.head = "FILE",
	.kind = K_STR,
	.flags = F_ADD | F_REQUIRED,
	FIELD(R, file),
	.arg = "PATH",
	.help = "to write, made or emptied by obctl; -: standard output, until it is closed or "
		"interrupted"},
    {.name = "eni",
	.head = "ENI",
	.kind = K_STR,
	.flags = F_ADD,
	LIST_OF(R, eni, n_enis),
	.arg = "NAME",
	.help = "what its guest sends and gets"},
    {.name = "function",
	.kind = K_STR,
	.flags = F_ADD,
	LIST_OF(R, function, n_functions),
	.arg = "NAME",
	.help = "the same for one that has no ENI"},
    {.name = "uplink",
	.head = "UPLINK",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, uplink),
	.choices = on_off,
	.arg = "ON",
	.help = "the wire, with outer headers; a filter is tried on what is in the tunnel too"},
    {.name = "direction",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, direction),
	.choices = directions,
	.arg = "DIR",
	.help = "in: to the guest, from the wire; default both"},
    {.name = "drops",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, only_drops),
	.choices = on_off,
	.arg = "ON",
	.help = "only what is dropped"},
    {.name = "proto",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, proto),
	.choices = protos,
	.arg = "PROTO",
	.help = "only this protocol"},
    {.name = "ip",
	.kind = K_PREFIX,
	.flags = F_ADD,
	LIST_OF(R, ip, n_ips),
	.arg = "PREFIX",
	.help = "only packets with it at either end; two: one at each"},
    {.name = "port",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, port),
	.arg = "PORT",
	.help = "only packets with it at either end"},
    {.name = "snaplen",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, snaplen),
	.arg = "BYTES",
	.help = "of each packet; default all"},
    {.name = "packets",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, max_pkts),
	.arg = "N",
	.help = "end after so many"},
    {.name = "bytes",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, max_bytes),
	.arg = "BYTES",
	.help = "end after so many of packets, as they were before they were cut"},
    {.name = "file_size",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, max_file_bytes),
	.arg = "BYTES",
	.help = "end before the file is longer"},
    {.name = "seconds",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, max_seconds),
	.arg = "S",
	.help = "end after so long"},
    {.name = "buffer",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, buffer_bytes),
	.arg = "BYTES",
	.help = "of each worker, a power of two; default 1048576"},
    {.name = "state", .head = "STATE", .kind = K_CHOICE, FIELD(R, state), .choices = states},
    {.name = "age", .head = "AGE", .kind = K_NS, FIELD(R, age_ns)},
    {.name = "matched", .head = "MATCHED", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_matched)},
    {.name = "lost", .head = "LOST", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_lost)},
    {.name = "written", .head = "WRITTEN", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_written)},
    {.name = "packet_bytes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, n_bytes)},
    {.name = "file_bytes",
	.head = "BYTES",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, n_file_bytes)},
    {.name = "errno", .kind = K_INT, FIELD(R, error)},
};

/* ---- into a file, or to standard output ---- */

static int stop_fd[2] = {-1, -1};

static void on_signal(int sig)
{
	(void)sig;
	(void)!write(stop_fd[1], "", 1);
}

static int stop_capture(struct ob_client *c, const struct R *r)
{
	return ob_client_change(c, OB_BUS_DEL, OB_BUS_CAPTURE, r, sizeof(*r));
}

static bool put_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* From the card to standard output. An interrupt ends the capture, and its end is still written; the third ends obctl (a signal
 * to a whole group often comes twice). */
static int relay(struct ob_client *c, const struct R *r, int from)
{
	struct pollfd p[2] = {{.fd = from, .events = POLLIN}, {.fd = stop_fd[0], .events = POLLIN}};
	static char buf[1 << 16];
	unsigned n_signals = 0;
	ssize_t n;

	for (;;) {
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[1].revents != 0 && read(stop_fd[0], buf, 1) == 1) {
			if (++n_signals == 1)
				stop_capture(c, r);
			else if (n_signals == 3)
				return -EINTR;
		}
		if (p[0].revents == 0)
			continue;
		n = read(from, buf, sizeof(buf));
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && !put_all(STDOUT_FILENO, buf, (size_t)n))
			return errno == EPIPE ? 0 : -errno;
	}
}

static int to_stdout(struct ob_client *c, struct R *r, const char **err)
{
	int s[2], rc;

	*err = "standard output is a terminal; use '--file - | tshark -r -', or a file";
	if (isatty(STDOUT_FILENO))
		return -EINVAL;
	*err = "no socket for the packets";
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0 ||
	    pipe2(stop_fd, O_CLOEXEC) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	rc = ob_client_change_fd(c, OB_BUS_ADD, OB_BUS_CAPTURE, r, sizeof(*r), s[0]);
	close(s[0]);
	*err = ob_client_error(c);
	if (rc < 0)
		return rc;
	rc = relay(c, r, s[1]);
	close(s[1]);
	/* Ended, and of no more interest; or its reader is gone, and it ends now. */
	for (unsigned i = 0; i < FORGET_TRIES && stop_capture(c, r) == 0; i++)
		poll(NULL, 0, FORGET_MS);
	*err = "the packets cannot be written to standard output";
	return rc < 0 ? rc : 1;
}

static int start(struct ob_client *c, void *record, const char **err)
{
	static char text[256];
	struct R *r = record;
	int fd, rc;

	if (strcmp(r->file, "-") == 0)
		return to_stdout(c, r, err);
	/* What is in packets is nobody else's business. */
	fd = open(r->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0) {
		rc = -errno;
		snprintf(text, sizeof(text), "%s: %s", r->file, strerror(errno));
		*err = text;
		return rc;
	}
	rc = ob_client_change_fd(c, OB_BUS_ADD, OB_BUS_CAPTURE, r, sizeof(*r), fd);
	close(fd);
	*err = ob_client_error(c);
	return rc;
}

const struct noun noun_capture = {
    .name = "capture",
    .bus = OB_BUS_CAPTURE,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .add_word = "start",
    .del_word = "stop",
    .add = start,
    .help = "packets of ENIs and of the uplink to pcapng, with what became of them",
    .about =
	"Each packet's comment says what became of it: delivered to whom, sent into which tunnel, "
	"dropped and why.\n"
	"A packet is shown as it is when that is known: what a guest sent as it leaves (after NAT, "
	"without outer\n"
	"headers), what it gets as it gets it, the uplink as on the wire. Forwarding never waits: "
	"what "
	"the file does\n"
	"not take in time is counted as lost, here and in the file's interface statistics. 'stop' "
	"ends "
	"a capture and,\n"
	"the second time, forgets it.",
    .examples =
	"  obctl capture start c1 --eni e1 --file /tmp/e1.pcapng\n"
	"  obctl capture start c2 --eni e1 --eni e2 --drops on --file /tmp/drops.pcapng\n"
	"  obctl capture start c3 --uplink on --ip 10.0.0.5 --proto tcp --port 443 --file - | "
	"tshark -r -\n"
	"  obctl capture list\n"
	"  obctl capture stop c1\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
