/* SPDX-License-Identifier: BSD-3-Clause */
/* Captures over the bus: the file comes with the request. */
#include "test_card.h"

#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ob_capture.h"

static struct event_base *base;
static struct ob_bus *bus;
static char path[64], err[256];
static int client;

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static int setup_bus(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ob_bus_function f = function("f1");
	struct ob_bus_vnet v = vnet("red", 1);
	struct ob_bus_eni e = eni("e1", "f1", "red");

	setup(state);
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
	base = event_base_new();
	snprintf(path, sizeof(path), "/tmp/ob-capture-%d.sock", (int)getpid());
	assert_int_equal(ob_bus_create(card, base, path, &bus, err, sizeof(err)), 0);
	client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	strcpy(addr.sun_path, path);
	assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	turn();
	return 0;
}

static int teardown_bus(void **state)
{
	close(client);
	ob_bus_destroy(bus);
	event_base_free(base);
	unlink(path);
	return teardown(state);
}

static unsigned n_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* Sends a request with 'n' files. Returns the answer's status. */
static int ask(uint8_t verb, const struct ob_bus_capture *r, const int *fds, unsigned n)
{
	struct ob_bus_hdr h = hdr(verb, OB_BUS_CAPTURE, 1, sizeof(*r));
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(8 * sizeof(int))] = {0};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)(uintptr_t)r, sizeof(*r)}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	if (n > 0) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	assert_true(sendmsg(client, &msg, 0) > 0);
	turn();
	memset(rep, 0, sizeof(rep));
	assert_true(recv(client, rep, sizeof(rep) - 1, 0) >= (ssize_t)sizeof(rep_hdr));
	memcpy(&rep_hdr, rep, sizeof(rep_hdr));
	return rep_hdr.status;
}

static struct ob_bus_capture capture(const char *name)
{
	struct ob_bus_capture r = {.n_enis = 1, .file = "/tmp/x.pcapng"};

	strcpy(r.name, name);
	strcpy(r.eni[0], "e1");
	return r;
}

static struct ob_bus_capture listed(const char *name)
{
	struct ob_bus_capture f = {.name = ""}, r;

	strcpy(f.name, name);
	assert_int_equal(list(OB_BUS_CAPTURE, &f, sizeof(f), &r, sizeof(r)), 1);
	return r;
}

static void wait_until_ended(const char *name)
{
	const struct timespec nap = {.tv_nsec = 2000000};

	for (unsigned i = 0; i < 2000; i++) {
		uint8_t s = listed(name).state;

		if (s != OB_BUS_CAPTURE_RUNNING && s != OB_BUS_CAPTURE_ENDING)
			return;
		nanosleep(&nap, NULL);
	}
	fail_msg("capture %s does not end", name);
}

static void a_capture_writes_the_file_that_came_with_it(void **state)
{
	struct ob_bus_capture r = capture("c1"), got;
	int fd = memfd_create("c1", MFD_CLOEXEC);
	unsigned before = n_files();
	struct stat st;

	(void)state;
	r.direction = 2;
	r.proto = OB_BUS_PROTO_ARP;
	r.n_ips = 1;
	r.ip[0] = ip4(10, 0, 0, 0, 8);
	r.max_pkts = 7;
	assert_int_equal(ask(OB_BUS_ADD, &r, &fd, 1), 0);
	got = listed("c1");
	assert_int_equal(got.state, OB_BUS_CAPTURE_RUNNING);
	assert_string_equal(got.file, "/tmp/x.pcapng");
	assert_int_equal(got.n_enis, 1);
	assert_string_equal(got.eni[0], "e1");
	assert_int_equal(got.direction, 2);
	assert_int_equal(got.proto, OB_BUS_PROTO_ARP);
	assert_int_equal(got.ip[0].prefix_len, 8);
	assert_int_equal(got.max_pkts, 7);
	assert_int_equal(got.snaplen, 65535);
	assert_int_equal(ask(OB_BUS_ADD, &r, &fd, 1), -EEXIST);
	assert_int_equal(ask(OB_BUS_DEL, &r, NULL, 0), 0);
	wait_until_ended("c1");
	assert_int_equal(listed("c1").state, OB_BUS_CAPTURE_STOPPED);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, listed("c1").n_file_bytes);
	assert_true(st.st_size > 100);
	assert_int_equal(ask(OB_BUS_DEL, &r, NULL, 0), 0);
	assert_int_equal(ask(OB_BUS_DEL, &r, NULL, 0), -ENOENT);
	assert_int_equal(n_files(), before);
	close(fd);
}

/* Does the system close what a message carries beyond the receiver's room? An emulator of another machine may not. */
static bool truncation_closes(int fd[8])
{
	char room[CMSG_SPACE(4 * sizeof(int))], full[CMSG_SPACE(8 * sizeof(int))] = {0}, b = 0;
	struct iovec iov = {&b, 1};
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = full, .msg_controllen = sizeof(full)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	unsigned before = n_files(), after;
	int pair[2], got[4];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(8 * sizeof(int));
	memcpy(CMSG_DATA(c), fd, 8 * sizeof(int));
	assert_int_equal(sendmsg(pair[0], &m, 0), 1);
	m.msg_control = room;
	m.msg_controllen = sizeof(room);
	assert_int_equal(recvmsg(pair[1], &m, 0), 1);
	memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	for (unsigned i = 0; i < 4; i++)
		close(got[i]);
	close(pair[0]);
	close(pair[1]);
	after = n_files();
	return after == before;
}

static void files_that_nobody_takes_are_closed(void **state)
{
	struct ob_bus_capture r = capture("c1");
	unsigned before, many;
	int fd[8];

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		fd[i] = memfd_create("x", MFD_CLOEXEC);
	many = truncation_closes(fd) ? 8 : 4;
	before = n_files();
	assert_int_equal(ask(OB_BUS_DEL, &r, fd, 1), -ENOENT);
	assert_int_equal(ask(OB_BUS_DEL, &r, fd, 3), -ENOENT);
	assert_int_equal(ask(OB_BUS_DEL, &r, fd, many), -ENOENT);
	strcpy(r.eni[0], "e9");
	assert_int_equal(ask(OB_BUS_ADD, &r, fd, 2), -ENOENT);
	assert_int_equal(ask(9, &r, fd, 2), -EOPNOTSUPP);
	assert_int_equal(n_files(), before);
	for (unsigned i = 0; i < 8; i++)
		close(fd[i]);
}

static void a_capture_without_a_file_or_an_interface_is_refused(void **state)
{
	struct ob_bus_capture good = capture("c1");
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_int_equal(ask(OB_BUS_ADD, &good, NULL, 0), -EBADF);
	assert_true(says("no file"));
	assert_int_equal(ask(OB_BUS_ADD, &good, &null, 1), -EBADF);
	assert_true(says("neither a file nor a stream socket"));
	close(null);
	REFUSED(OB_BUS_CAPTURE, good, bad.n_enis = 0, -EINVAL, "what shall be captured");
	REFUSED(OB_BUS_CAPTURE, good, bad.n_enis = 8, -EINVAL, "at most");
	REFUSED(OB_BUS_CAPTURE, good, bad.eni[0][0] = 'x', -ENOENT, "eni x1");
	REFUSED(OB_BUS_CAPTURE, good, (bad.n_enis = 0, bad.n_functions = 1), -EINVAL, "function");
	REFUSED(OB_BUS_CAPTURE, good, bad.direction = 3, -EINVAL, "direction");
	REFUSED(OB_BUS_CAPTURE, good, bad.n_ips = 3, -EINVAL, "two ends");
	REFUSED(OB_BUS_CAPTURE, good, bad.n_ips = 1, -EINVAL, "ip");
	REFUSED(OB_BUS_CAPTURE, good, bad.max_seconds = UINT32_MAX, -EINVAL, "seconds");
	REFUSED(OB_BUS_CAPTURE, good, bad.name[0] = '/', -EINVAL, "name");
	assert_int_equal(list(OB_BUS_CAPTURE, NULL, 0, NULL, 0), 0);
}

static void a_function_takes_its_capture_with_it(void **state)
{
	struct ob_bus_capture r = capture("c1");
	struct ob_bus_function f = function("f1");
	struct ob_bus_eni e = eni("e1", "f1", "red");
	int fd = memfd_create("c1", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ask(OB_BUS_ADD, &r, &fd, 1), 0);
	close(fd);
	assert_int_equal(DEL(OB_BUS_ENI, e), 0);
	assert_int_equal(DEL(OB_BUS_FUNCTION, f), 0);
	wait_until_ended("c1");
	assert_int_equal(listed("c1").state, OB_BUS_CAPTURE_GONE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup_bus, teardown_bus)
	const struct CMUnitTest tests[] = {
	    T(a_capture_writes_the_file_that_came_with_it),
	    T(files_that_nobody_takes_are_closed),
	    T(a_capture_without_a_file_or_an_interface_is_refused),
	    T(a_function_takes_its_capture_with_it),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
