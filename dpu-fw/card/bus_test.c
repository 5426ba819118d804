/* SPDX-License-Identifier: BSD-3-Clause */
/* The bus over its real socket: clients that lie, stall, crowd and leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_log.h>

#include "fake_models.h"
#include "ob_acl.h"
#include "ob_arena.h"
#include "ob_card.h"
#include "ob_encap.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_policy.h"
#include "ob_session.h"

static struct event_base *base;
static struct ob_arena *arena;
static struct ob_card *card;
static struct ob_bus *bus;
static char dir[64], path[96], err[256];
static _Alignas(8) uint8_t rep[OB_BUS_MAX_MSG];
static struct ob_bus_hdr rep_hdr;

static int setup(void **state)
{
	struct ob_card_conf conf = {
	    .serial = "SN1", .version = "1", .run_dir = "/run/test", .models = &fake_card_models};

	struct ob_meter_conf meters = {.n_workers = 1, .tsc_hz = 1000000000};
	struct ob_session_conf sessions = {
	    .n_workers = 1, .max_v4 = 1024, .max_v6 = 1024, .tsc_hz = 1000000000};

	(void)state;
	strcpy(dir, "/tmp/ob-bus-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/card.sock", dir);
	base = event_base_new();
	assert_int_equal(ob_arena_create("test", 1ull << 30, &arena), 0);
	assert_int_equal(ob_encap_init(arena), 0);
	assert_int_equal(ob_policy_init(arena), 0);
	assert_int_equal(ob_acl_init(arena), 0);
	assert_int_equal(ob_nat_init(arena), 0);
	meters.arena = arena;
	assert_int_equal(ob_meter_init(&meters), 0);
	assert_int_equal(ob_session_init(arena, &sessions), 0);
	conf.base = base;
	conf.arena = arena;
	assert_int_equal(ob_card_create(&conf, &card), 0);
	assert_int_equal(ob_bus_create(card, base, path, &bus, err, sizeof(err)), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ob_bus_destroy(bus);
	ob_card_destroy(card);
	ob_session_fini();
	ob_meter_fini();
	ob_nat_fini();
	ob_acl_fini();
	ob_policy_fini();
	ob_encap_fini();
	ob_arena_destroy(arena);
	event_base_free(base);
	unlink(path);
	rmdir(dir);
	return 0;
}

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static int dial(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	turn();
	return fd;
}

static struct ob_bus_hdr hdr(uint8_t verb, uint8_t noun, uint16_t count, uint32_t record_len)
{
	return (struct ob_bus_hdr){.magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .verb = verb,
	    .noun = noun,
	    .count = count,
	    .body_len = count * record_len,
	    .record_len = record_len};
}

/* Bytes of the next answer, 0 the card hung up, -errno. */
static int receive(int fd)
{
	ssize_t n = recv(fd, rep, sizeof(rep), MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	if (n > 0) {
		assert_true((size_t)n >= sizeof(rep_hdr));
		memcpy(&rep_hdr, rep, sizeof(rep_hdr));
	}
	return (int)n;
}

static int ask(int fd, uint8_t verb, uint8_t noun)
{
	struct ob_bus_hdr h = hdr(verb, noun, 0, 0);

	assert_int_equal(send(fd, &h, sizeof(h), 0), sizeof(h));
	turn();
	return receive(fd);
}

/* Adds 'n' VNETs, a packetful at a time. */
static void add_vnets(int fd, uint32_t n)
{
	struct {
		struct ob_bus_hdr h;
		struct ob_bus_vnet v[1024];
	} m;

	memset(&m, 0, sizeof(m));
	for (uint32_t i = 0; i < n; i += m.h.count) {
		uint16_t k = (uint16_t)(n - i < 1024 ? n - i : 1024);

		for (uint32_t j = 0; j < k; j++) {
			snprintf(m.v[j].name, sizeof(m.v[j].name), "v%u", i + j);
			m.v[j].vni = i + j + 1;
		}
		m.h = hdr(OB_BUS_ADD, OB_BUS_VNET, k, sizeof(m.v[0]));
		assert_true(send(fd, &m, sizeof(m.h) + m.h.body_len, 0) > 0);
		turn();
		assert_true(receive(fd) > 0);
		assert_int_equal(rep_hdr.status, 0);
	}
}

static void socket_is_private_and_goes_away(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	ob_bus_destroy(bus);
	bus = NULL;
	assert_int_equal(stat(path, &st), -1);
}

static void second_card_is_eaddrinuse_and_dead_socket_is_replaced(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ob_bus *other = NULL;
	int fd;

	(void)state;
	assert_int_equal(ob_bus_create(card, base, path, &other, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, "--bus"));
	ob_bus_destroy(bus);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(ob_bus_create(card, base, path, &bus, err, sizeof(err)), 0);
	fd = dial();
	assert_true(ask(fd, OB_BUS_LIST, OB_BUS_CARD) > 0);
	close(fd);
}

static void file_that_is_no_socket_is_left_alone(void **state)
{
	struct ob_bus *other = NULL;
	char file[128];
	FILE *f;

	(void)state;
	snprintf(file, sizeof(file), "%s/file", dir);
	f = fopen(file, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(ob_bus_create(card, base, file, &other, err, sizeof(err)), -EADDRINUSE);
	assert_int_equal(unlink(file), 0);
	memset(file, 'x', sizeof(file) - 1);
	file[sizeof(file) - 1] = '\0';
	assert_int_equal(ob_bus_create(card, base, file, &other, err, sizeof(err)), -ENAMETOOLONG);
	assert_int_equal(
	    ob_bus_create(card, base, "/nonexistent/a/b", &other, err, sizeof(err)), -ENOENT);
}

static void answers_come_in_order(void **state)
{
	int fd = dial();

	(void)state;
	for (uint32_t i = 1; i <= 5; i++) {
		struct ob_bus_hdr h = hdr(OB_BUS_LIST, i & 1 ? OB_BUS_CARD : OB_BUS_VNET, 0, 0);

		h.seq = i;
		assert_true(send(fd, &h, sizeof(h), 0) > 0);
	}
	for (int i = 0; i < 10; i++)
		turn();
	for (uint32_t i = 1; i <= 5; i++) {
		assert_true(receive(fd) > 0);
		assert_int_equal(rep_hdr.seq, i);
		assert_int_equal(rep_hdr.count, i & 1);
	}
	close(fd);
}

static void stranger_is_told_and_hung_up_on(void **state)
{
	int fd = dial();

	(void)state;
	assert_int_equal(send(fd, "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
	turn();
	assert_true(receive(fd) > 0);
	assert_int_equal(rep_hdr.status, -EPROTO);
	assert_int_equal(receive(fd), 0);
	assert_int_equal(ob_bus_n_clients(bus), 0);
	close(fd);
}

static void wrong_version_is_told_and_stays(void **state)
{
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, OB_BUS_CARD, 0, 0);
	int fd = dial();

	(void)state;
	h.version = 2;
	assert_true(send(fd, &h, sizeof(h), 0) > 0);
	turn();
	assert_true(receive(fd) > 0);
	assert_int_equal(rep_hdr.status, -EPROTONOSUPPORT);
	assert_true(ask(fd, OB_BUS_LIST, OB_BUS_CARD) > 0);
	assert_int_equal(rep_hdr.status, 0);
	close(fd);
}

static void packet_over_the_limit_is_refused(void **state)
{
	uint8_t *big = calloc(1, OB_BUS_MAX_MSG + 4096);
	struct ob_bus_hdr h = hdr(OB_BUS_ADD, OB_BUS_VNET, 1, sizeof(struct ob_bus_vnet));
	int fd = dial();

	(void)state;
	assert_non_null(big);
	h.body_len = OB_BUS_MAX_MSG + 4096 - sizeof(h);
	h.record_len = h.body_len;
	memcpy(big, &h, sizeof(h));
	assert_true(send(fd, big, OB_BUS_MAX_MSG + 4096, 0) > 0);
	turn();
	assert_true(receive(fd) > 0);
	assert_int_equal(rep_hdr.status, -EPROTO);
	assert_true(ask(fd, OB_BUS_LIST, OB_BUS_VNET) > 0);
	assert_int_equal(rep_hdr.count, 0);
	free(big);
	close(fd);
}

static void long_list_has_more_until_the_last(void **state)
{
	unsigned n = 0, packets = 0;
	int fd = dial();

	(void)state;
	add_vnets(fd, 3000);
	assert_true(ask(fd, OB_BUS_LIST, OB_BUS_VNET) > 0);
	for (;;) {
		n += rep_hdr.count;
		packets++;
		if (!(rep_hdr.flags & OB_BUS_MORE))
			break;
		turn();
		assert_true(receive(fd) > 0);
	}
	assert_int_equal(n, 3000);
	assert_in_range(packets, 4, 6);
	close(fd);
}

static void slow_reader_delays_nobody(void **state)
{
	int slow = dial(), fd = dial(), small = 4096;
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, OB_BUS_VNET, 0, 0);
	unsigned n = 0;

	(void)state;
	add_vnets(fd, 4000);
	setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (unsigned i = 0; i < 10; i++)
		assert_true(send(slow, &h, sizeof(h), 0) > 0);
	for (int i = 0; i < 20; i++)
		turn();
	/* The card holds one packet for it at most, and answers the other at once. */
	assert_true(ask(fd, OB_BUS_LIST, OB_BUS_CARD) > 0);
	assert_int_equal(rep_hdr.status, 0);
	for (int i = 0; i < 400 && n < 40000; i++) {
		while (receive(slow) > 0)
			n += rep_hdr.count;
		turn();
	}
	assert_int_equal(n, 40000);
	close(slow);
	close(fd);
}

static void client_that_leaves_in_a_list_is_forgotten(void **state)
{
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, OB_BUS_VNET, 0, 0);
	int fd = dial();

	(void)state;
	add_vnets(fd, 4000);
	for (unsigned i = 0; i < 5; i++)
		assert_true(send(fd, &h, sizeof(h), 0) > 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	close(fd);
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(ob_bus_n_clients(bus), 0);
}

static void list_goes_on_over_deletions(void **state)
{
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, OB_BUS_VNET, 0, 0);
	struct {
		struct ob_bus_hdr h;
		struct ob_bus_vnet v;
	} del = {.h = hdr(OB_BUS_DEL, OB_BUS_VNET, 1, sizeof(struct ob_bus_vnet)),
	    .v = {.name = "v3999"}};
	int reader = dial(), fd = dial();
	unsigned n = 0;

	(void)state;
	add_vnets(fd, 4000);
	assert_true(send(reader, &h, sizeof(h), 0) > 0);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(send(fd, &del, sizeof(del), 0) > 0);
	for (int i = 0; i < 10; i++) {
		turn();
		while (receive(reader) > 0)
			n += rep_hdr.count;
	}
	assert_int_equal(n, 3999);
	close(reader);
	close(fd);
}

static void crowd_is_refused_with_words(void **state)
{
	int fd[OB_BUS_MAX_CLIENTS], extra;

	(void)state;
	for (int i = 0; i < OB_BUS_MAX_CLIENTS; i++)
		fd[i] = dial();
	assert_int_equal(ob_bus_n_clients(bus), OB_BUS_MAX_CLIENTS);
	extra = dial();
	assert_true(receive(extra) > 0);
	assert_int_equal(rep_hdr.status, -EUSERS);
	assert_int_equal(receive(extra), 0);
	close(extra);
	close(fd[0]);
	turn();
	fd[0] = dial();
	assert_true(ask(fd[0], OB_BUS_LIST, OB_BUS_CARD) > 0);
	for (int i = 0; i < OB_BUS_MAX_CLIENTS; i++)
		close(fd[i]);
	turn();
	assert_int_equal(ob_bus_n_clients(bus), 0);
}

static void lack_of_files_only_delays_a_client(void **state)
{
	struct rlimit old, none;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	unsigned rounds = 0;
	int fd;

	(void)state;
	/* Valgrind keeps the limit on files to itself. */
	if (getenv("OB_VALGRIND") != NULL)
		skip();
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	strcpy(addr.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	turn();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(ob_bus_n_clients(bus), 0);
	/* It is not looked at in a circle meanwhile, and served soon after. */
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE), 0);
	while (ob_bus_n_clients(bus) == 0 && rounds++ < 3)
		event_base_loop(base, EVLOOP_ONCE);
	assert_true(ask(fd, OB_BUS_LIST, OB_BUS_CARD) > 0);
	close(fd);
}

/* Two clients upload at the same time; what one leaves behind is not the other's. */
static void uploads_belong_to_their_connection(void **state)
{
	struct {
		struct ob_bus_hdr h;
		struct ob_bus_upload u;
	} up = {.h = hdr(OB_BUS_ADD, OB_BUS_UPLOAD, 1, sizeof(struct ob_bus_upload)),
	    .u = {.total = 20, .len = 20, .data = {4, 8, 0, 0, 10}}};
	struct {
		struct ob_bus_hdr h;
		struct ob_bus_tag t;
	} tag = {.h = hdr(OB_BUS_ADD, OB_BUS_TAG, 1, sizeof(struct ob_bus_tag)),
	    .t = {.is = {.name = "corp", .n_items = 1, .body_len = 20}}};
	int a = dial(), b = dial();

	(void)state;
	assert_true(send(a, &up, sizeof(up), 0) > 0);
	turn();
	assert_true(receive(a) > 0);
	assert_int_equal(rep_hdr.status, 0);
	assert_true(send(b, &tag, sizeof(tag), 0) > 0);
	turn();
	assert_true(receive(b) > 0);
	assert_int_equal(rep_hdr.status, -EINVAL);
	assert_true(send(a, &tag, sizeof(tag), 0) > 0);
	turn();
	assert_true(receive(a) > 0);
	assert_int_equal(rep_hdr.status, 0);
	close(a);
	assert_true(ask(b, OB_BUS_LIST, OB_BUS_TAG) > 0);
	assert_int_equal(rep_hdr.count, 1);
	close(b);
}

/* A client that uploads the most and never commits keeps others out only while it is there. */
static void uploads_are_bounded_over_all_clients(void **state)
{
	struct {
		struct ob_bus_hdr h;
		struct ob_bus_upload u;
	} up = {.h = hdr(OB_BUS_ADD, OB_BUS_UPLOAD, 1, sizeof(struct ob_bus_upload)),
	    .u = {.total = OB_BUS_UPLOAD_MAX, .len = OB_BUS_UPLOAD_DATA}};
	int fd[5];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		fd[i] = dial();
		assert_true(send(fd[i], &up, sizeof(up), 0) > 0);
		turn();
		assert_true(receive(fd[i]) > 0);
		assert_int_equal(rep_hdr.status, i < 4 ? 0 : -ENOSPC);
	}
	close(fd[0]);
	turn();
	assert_true(send(fd[4], &up, sizeof(up), 0) > 0);
	turn();
	assert_true(receive(fd[4]) > 0);
	assert_int_equal(rep_hdr.status, 0);
	for (unsigned i = 1; i < 5; i++)
		close(fd[i]);
	turn();
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(socket_is_private_and_goes_away),
	    T(second_card_is_eaddrinuse_and_dead_socket_is_replaced),
	    T(file_that_is_no_socket_is_left_alone), T(answers_come_in_order),
	    T(stranger_is_told_and_hung_up_on), T(wrong_version_is_told_and_stays),
	    T(packet_over_the_limit_is_refused), T(long_list_has_more_until_the_last),
	    T(slow_reader_delays_nobody), T(client_that_leaves_in_a_list_is_forgotten),
	    T(list_goes_on_over_deletions), T(crowd_is_refused_with_words),
	    T(uploads_belong_to_their_connection), T(uploads_are_bounded_over_all_clients),
	    T(lack_of_files_only_delays_a_client)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
