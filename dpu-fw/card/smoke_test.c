/* SPDX-License-Identifier: BSD-3-Clause */
/* The real program: starts, answers its bus, makes functions, and goes without a trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ob_bus.h"

#define NOT_RUN 99 /* exit code of a child that could not be what the test needs */
#define WAIT_MS 30000

struct run {
	pid_t pid;
	int out; /* its stdout */
	char dir[64], bus[96];
};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		_exit(NOT_RUN);
}

/* An own network, in which we may make a TAP: as root, or as root of a user namespace. */
static void own_network(void)
{
	char map[64];

	if (unshare(CLONE_NEWNET) == 0)
		return;
	snprintf(map, sizeof(map), "0 %u 1\n", geteuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		_exit(NOT_RUN);
	write_file("/proc/self/uid_map", map);
}

static void start(struct run *r, bool uplink)
{
	int pipefd[2];

	strcpy(r->dir, "/tmp/ob-card-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->bus, sizeof(r->bus), "%s/bus.sock", r->dir);
	assert_int_equal(pipe(pipefd), 0);
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		const char *argv[] = {OB_CARD_PATH, "--no-huge", "--bus", r->bus, "--run-dir",
		    r->dir, "--serial", "SMOKE", "--log-level", "error", uplink ? "--uplink" : NULL,
		    "net_null0", NULL};

		if (uplink)
			own_network();
		dup2(pipefd[1], STDOUT_FILENO);
		close(pipefd[0]);
		close(pipefd[1]);
		execv(OB_CARD_PATH, (char *const *)(uintptr_t)argv);
		_exit(NOT_RUN);
	}
	close(pipefd[1]);
	r->out = pipefd[0];
}

/* True once it says that it is ready; skips the test where it cannot run at all. */
static void wait_ready(struct run *r)
{
	struct pollfd p = {.fd = r->out, .events = POLLIN};
	char line[512] = "";
	int status = 0;
	ssize_t n = 0;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	n = read(r->out, line, sizeof(line) - 1);
	if (n <= 0) {
		waitpid(r->pid, &status, 0);
		rmdir(r->dir);
		if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_RUN)
			skip();
		fail_msg("ended with status %x before it was ready", (unsigned)status);
	}
	assert_non_null(strstr(line, "ob-card: ready"));
}

static int dial(const struct run *r)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(addr.sun_path, r->bus);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static int request(
    int fd, uint8_t verb, uint8_t noun, const void *rec, uint32_t len, void *out, size_t out_len)
{
	static uint8_t msg[OB_BUS_MAX_MSG];
	struct ob_bus_hdr h = {.magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .verb = verb,
	    .noun = noun,
	    .count = len > 0,
	    .body_len = len,
	    .record_len = len};
	ssize_t n;

	memcpy(msg, &h, sizeof(h));
	if (len > 0)
		memcpy(msg + sizeof(h), rec, len);
	assert_true(send(fd, msg, sizeof(h) + len, 0) > 0);
	n = recv(fd, msg, sizeof(msg), 0);
	assert_true(n >= (ssize_t)sizeof(h));
	memcpy(&h, msg, sizeof(h));
	if (out != NULL && h.count > 0)
		memcpy(out, msg + sizeof(h), out_len);
	return h.status < 0 ? h.status : h.count;
}

static void stop(struct run *r, int sig)
{
	int status;

	assert_int_equal(kill(r->pid, sig), 0);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(r->out);
	/* Sockets of bus and functions are gone: the folder is empty. */
	assert_int_equal(rmdir(r->dir), 0);
}

static void add_function(int fd, const char *name, uint8_t transport)
{
	struct ob_bus_function f = {.type = 1, .transport = transport};

	if (transport == OB_BUS_PORT)
		strcpy(f.port, "net_null7,size=64");

	snprintf(f.name, sizeof(f.name), "%s", name);
	assert_int_equal(request(fd, OB_BUS_ADD, OB_BUS_FUNCTION, &f, sizeof(f), NULL, 0), 1);
}

static void card_serves_functions_and_stops_cleanly(void **state)
{
	struct ob_bus_function f = {.name = "f1"};
	struct ob_bus_card c;
	struct stat st;
	struct run r;
	char path[128];
	int fd;

	(void)state;
	start(&r, false);
	wait_ready(&r);
	fd = dial(&r);
	assert_int_equal(request(fd, OB_BUS_LIST, OB_BUS_CARD, NULL, 0, &c, sizeof(c)), 1);
	assert_string_equal(c.serial, "SMOKE");
	assert_int_equal(c.pid, r.pid);
	assert_int_equal(c.n_workers, 1);
	add_function(fd, "f1", OB_BUS_VFIO_USER);
	add_function(fd, "f2", OB_BUS_VHOST_USER);
	add_function(fd, "f3", OB_BUS_VHOST_USER_CLIENT);
	add_function(fd, "f4", OB_BUS_PORT);
	snprintf(path, sizeof(path), "%s/f1.sock", r.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(request(fd, OB_BUS_LIST, OB_BUS_FUNCTION, NULL, 0, &f, sizeof(f)), 4);
	assert_int_equal(f.state, OB_BUS_FN_WAITING);
	assert_int_equal(request(fd, OB_BUS_LIST, OB_BUS_QUEUE, NULL, 0, NULL, 0), 8);
	assert_int_equal(request(fd, OB_BUS_LIST, OB_BUS_WORKER, NULL, 0, NULL, 0), 1);
	assert_int_equal(request(fd, OB_BUS_DEL, OB_BUS_FUNCTION, &f, sizeof(f), NULL, 0), 1);
	assert_int_equal(stat(path, &st), -1);
	stop(&r, SIGTERM);
	close(fd);
}

static void two_cards_with_uplinks_do_not_meet(void **state)
{
	struct ob_bus_uplink up;
	struct run a, b;
	int fd;

	(void)state;
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		skip();
	start(&a, true);
	wait_ready(&a);
	start(&b, true);
	wait_ready(&b);
	fd = dial(&b);
	assert_int_equal(request(fd, OB_BUS_LIST, OB_BUS_UPLINK, NULL, 0, &up, sizeof(up)), 1);
	assert_string_equal(up.devargs, "net_null0");
	assert_string_equal(up.kernel_if, "ob-up0");
	assert_int_equal(up.mtu, 1500);
	close(fd);
	stop(&a, SIGINT);
	stop(&b, SIGTERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(card_serves_functions_and_stops_cleanly),
	    cmocka_unit_test(two_cards_with_uplinks_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
