/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "capture_priv.h"
#include "ob_test_eal.h"
#include "test_packet.h"
#include "test_pcapng.h"

#define GUEST 5
#define OTHER 6

static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 5}, router_mac[6] = {2, 0, 0, 0, 0, 1};
static struct ob_arena *arena;
static struct ob_worker *w;
static struct test_pkt frame;
static struct test_pcapng file;

static const char *name_of(void *ctx, enum ob_capture_kind kind, uint32_t idx)
{
	(void)ctx;
	if (kind == OB_CAPTURE_TUNNEL)
		return idx == 3 ? "to-rack7" : NULL;
	return idx == GUEST ? "guest-a" : idx == OTHER ? "guest-b" : NULL;
}

static int group_setup(void **state)
{
	(void)state;
	ob_test_eal();
	ob_capture_set_names(name_of, NULL, 8);
	return ob_arena_create("capture-test", 256ull << 20, &arena);
}

static int group_teardown(void **state)
{
	(void)state;
	ob_arena_destroy(arena);
	return 0;
}

static int setup(void **state)
{
	struct ob_workers_conf conf = {
	    .arena = arena, .n_workers = 2, .manual = true, .n_mbufs = 512};

	(void)state;
	capture_manual = true;
	if (ob_workers_start(&conf) != 0)
		return -1;
	w = ob_worker_get(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ob_capture_fini();
	ob_workers_stop();
	return 0;
}

/* ---- helpers ---- */

static struct ob_capture_conf conf_of(const char *name, uint16_t vif)
{
	struct ob_capture_conf conf = {.n_ifs = 1, .fd = memfd_create("capture-test", MFD_CLOEXEC)};

	snprintf(conf.name, sizeof(conf.name), "%s", name);
	conf.ifs[0].vif = vif;
	memcpy(conf.ifs[0].mac, guest_mac, 6);
	snprintf(
	    conf.ifs[0].name, sizeof(conf.ifs[0].name), vif == OB_VIF_NONE ? "uplink" : "eni-a");
	return conf;
}

/* Starts it; the file stays readable by the returned fd. */
static int begin(const struct ob_capture_conf *conf)
{
	int keep = dup(conf->fd);
	char err[128] = "";

	if (ob_capture_start(conf, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	return keep;
}

static struct rte_mbuf *mbuf_of(const struct test_pkt *p)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(ob_worker_pool(w));

	memcpy(rte_pktmbuf_append(m, (uint16_t)p->len), p->b, p->len);
	return m;
}

static void udp(const char *src, const char *dst, unsigned sport, unsigned dport, unsigned n)
{
	tp_udp_frame(&frame, router_mac, guest_mac, src, dst, sport, dport, n);
}

static void see(const struct ob_seen *seen)
{
	struct rte_mbuf *m = mbuf_of(&frame);

	if (ob_tap() != NULL)
		ob_tap()(w, m, seen);
	rte_pktmbuf_free(m);
}

static void see_sent(uint16_t vif)
{
	see(&(struct ob_seen){
	    .fate = OB_FATE_SENT, .in_vif = vif, .out_vif = OB_VIF_NONE, .tunnel = 3, .vni = 100});
}

static void see_delivered(uint16_t in, uint16_t out)
{
	see(&(struct ob_seen){.fate = OB_FATE_DELIVERED, .in_vif = in, .out_vif = out});
}

static void finish(const char *name, int fd)
{
	assert_int_equal(ob_capture_stop(name), 0);
	writer_finish(capture_find(name));
	test_pcapng_read(&file, fd);
	if (file.error != NULL)
		fail_msg("file: %s", file.error);
	close(fd);
}

static struct ob_capture_info info_of(const char *name)
{
	struct ob_capture_info info;

	for (uint32_t cursor = 0; ob_capture_next(&cursor, &info) == 0;)
		if (strcmp(info.conf.name, name) == 0)
			return info;
	fail_msg("no capture %s", name);
	return info;
}

/* ---- tests ---- */

static void nothing_is_watched_without_a_capture(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd;

	(void)state;
	assert_null(ob_tap());
	fd = begin(&conf);
	assert_non_null(ob_tap());
	finish("c", fd);
	assert_null(ob_tap());
	assert_int_equal(file.n_packets, 0);
	assert_int_equal(file.n_stats, 1);
}

static void the_file_tells_what_became_of_each_packet(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	struct timespec ts;
	int fd = begin(&conf);

	(void)state;
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 20);
	see_sent(GUEST);
	see_delivered(OB_VIF_NONE, GUEST);
	see_delivered(GUEST, OTHER);
	see_delivered(GUEST, GUEST);
	ob_drop(w, OB_DROP_ACL_OUT, GUEST, mbuf_of(&frame));
	see(&(struct ob_seen){.fate = OB_FATE_ANSWERED, .in_vif = GUEST, .out_vif = OB_VIF_NONE});
	see_sent(OTHER);
	ob_drop(w, OB_DROP_ACL_OUT, OTHER, mbuf_of(&frame));
	finish("c", fd);
	assert_int_equal(file.n_packets, 6);
	assert_string_equal(file.if_name[0], "eni-a");
	assert_string_equal(file.packet[0].comment, "sent: tunnel to-rack7 vni 100");
	assert_int_equal(file.packet[0].flags, OB_CAPTURE_OUT);
	assert_int_equal(file.packet[0].len, frame.len);
	assert_memory_equal(file.packet[0].bytes, frame.b, frame.len);
	assert_string_equal(file.packet[1].comment, "delivered to guest-a");
	assert_int_equal(file.packet[1].flags, OB_CAPTURE_IN);
	assert_string_equal(file.packet[2].comment, "delivered to guest-b, sent by guest-a");
	assert_int_equal(file.packet[2].flags, OB_CAPTURE_OUT);
	assert_string_equal(file.packet[3].comment, "delivered to guest-a, made by the card");
	assert_string_equal(file.packet[4].comment,
	    "dropped: acl_out, a security group of the ENI denies what its guest sent");
	assert_string_equal(file.packet[5].comment, "answered by the card");
	clock_gettime(CLOCK_REALTIME, &ts);
	assert_in_range(ts.tv_sec - (time_t)(file.packet[0].ns / 1000000000), 0, 5);
	for (unsigned i = 1; i < 6; i++)
		assert_true(file.packet[i].ns >= file.packet[i - 1].ns);
	assert_int_equal(file.recv[0], 6);
	assert_int_equal(file.deliv[0], 6);
	assert_int_equal(file.drop[0], 0);
}

static void both_ends_on_one_card_are_two_interfaces(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd;

	(void)state;
	conf.n_ifs = 3;
	conf.ifs[1] = conf.ifs[2] = conf.ifs[0];
	conf.ifs[1].vif = OTHER;
	conf.ifs[2].vif = OB_VIF_NONE;
	fd = begin(&conf);
	udp("10.0.0.5", "10.0.0.6", 1000, 53, 20);
	see_delivered(GUEST, OTHER);
	see(&(struct ob_seen){.fate = OB_FATE_WIRE_IN, .in_vif = OB_VIF_NONE});
	see(&(struct ob_seen){.fate = OB_FATE_KERNEL, .in_vif = OB_VIF_NONE});
	see(&(struct ob_seen){.fate = OB_FATE_WIRE_OUT, .in_vif = OB_VIF_NONE});
	ob_drop(w, OB_DROP_VNI_UNKNOWN, OB_VIF_NONE, mbuf_of(&frame));
	ob_drop(w, OB_DROP_UPLINK_FULL, OB_VIF_NONE, mbuf_of(&frame));
	finish("c", fd);
	assert_int_equal(file.n_packets, 7);
	assert_int_equal(file.packet[0].iface, 0);
	assert_int_equal(file.packet[0].flags, OB_CAPTURE_OUT);
	assert_int_equal(file.packet[1].iface, 1);
	assert_int_equal(file.packet[1].flags, OB_CAPTURE_IN);
	assert_string_equal(file.packet[2].comment, "received, overlay");
	assert_string_equal(file.packet[3].comment, "handed to the card's kernel");
	assert_string_equal(file.packet[4].comment, "sent");
	assert_int_equal(file.packet[4].flags, OB_CAPTURE_OUT);
	assert_int_equal(file.packet[5].flags, OB_CAPTURE_IN);
	assert_int_equal(file.packet[6].flags, OB_CAPTURE_OUT);
	assert_int_equal(file.n_stats, 3);
}

static void drops_know_their_direction(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd = begin(&conf);

	(void)state;
	tp_udp_frame(&frame, router_mac, guest_mac, "10.0.0.5", "10.1.0.9", 1, 2, 4);
	ob_drop(w, OB_DROP_NO_ROUTE, GUEST, mbuf_of(&frame));
	tp_udp_frame(&frame, guest_mac, router_mac, "10.1.0.9", "10.0.0.5", 2, 1, 4);
	ob_drop(w, OB_DROP_TCP_STATE, GUEST, mbuf_of(&frame));
	tp_udp_frame(&frame, router_mac, router_mac, "10.0.0.5", "10.1.0.9", 1, 2, 4);
	ob_drop(w, OB_DROP_SPOOFED_MAC, GUEST, mbuf_of(&frame));
	ob_drop(w, OB_DROP_ACL_IN, GUEST, mbuf_of(&frame));
	frame.len = 5;
	ob_drop(w, OB_DROP_MALFORMED_L2, GUEST, mbuf_of(&frame));
	finish("c", fd);
	assert_int_equal(file.n_packets, 5);
	assert_int_equal(file.packet[0].flags, OB_CAPTURE_OUT);
	assert_int_equal(file.packet[1].flags, OB_CAPTURE_IN);
	assert_int_equal(file.packet[2].flags, OB_CAPTURE_OUT);
	assert_int_equal(file.packet[3].flags, OB_CAPTURE_IN);
	assert_int_equal(file.packet[4].len, 5);
}

static void only_what_the_filter_names_is_taken(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd;

	(void)state;
	conf.filter = (struct ob_capture_filter){.dirs = OB_CAPTURE_OUT,
	    .proto = IPPROTO_UDP,
	    .port = 53,
	    .ip = {{.family = AF_INET, .len = 24, .b = {10, 1, 0, 0}}}};
	fd = begin(&conf);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 20);
	see_sent(GUEST);
	see_delivered(OB_VIF_NONE, GUEST);
	udp("10.0.0.5", "10.2.0.9", 1000, 53, 20);
	see_sent(GUEST);
	udp("10.0.0.5", "10.1.0.9", 1000, 54, 20);
	see_sent(GUEST);
	udp("10.1.0.77", "10.9.0.9", 53, 54, 20);
	see_sent(GUEST);
	finish("c", fd);
	assert_int_equal(file.n_packets, 2);
	assert_int_equal(file.recv[0], 2);
}

static void only_drops_are_taken_if_so_asked(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd;

	(void)state;
	conf.filter.only_drops = true;
	fd = begin(&conf);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 20);
	see_sent(GUEST);
	ob_drop(w, OB_DROP_TTL_EXPIRED, GUEST, mbuf_of(&frame));
	finish("c", fd);
	assert_int_equal(file.n_packets, 1);
	assert_non_null(strstr(file.packet[0].comment, "dropped: ttl_expired, "));
}

static void outer_headers_are_left_out_and_segments_joined(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	struct rte_mbuf *m, *tail;
	int fd = begin(&conf);

	(void)state;
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 300);
	m = rte_pktmbuf_alloc(ob_worker_pool(w));
	tail = rte_pktmbuf_alloc(ob_worker_pool(w));
	memset(rte_pktmbuf_append(m, 50), 0xee, 50);
	memcpy(rte_pktmbuf_append(m, 20), frame.b, 20);
	memcpy(rte_pktmbuf_append(tail, (uint16_t)(frame.len - 20)), frame.b + 20, frame.len - 20);
	assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	ob_tap()(w, m,
	    &(struct ob_seen){
		.fate = OB_FATE_SENT, .in_vif = GUEST, .out_vif = OB_VIF_NONE, .skip = 50});
	rte_pktmbuf_free(m);
	finish("c", fd);
	assert_int_equal(file.n_packets, 1);
	assert_int_equal(file.packet[0].cap_len, frame.len);
	assert_memory_equal(file.packet[0].bytes, frame.b, frame.len);
}

static void tunnelled_packets_are_found_by_what_is_in_them(void **state)
{
	struct ob_capture_conf conf = conf_of("c", OB_VIF_NONE);
	static struct test_pkt outer;
	unsigned ip, l4;
	int fd;

	(void)state;
	conf.filter.proto = IPPROTO_UDP;
	conf.filter.port = 53;
	fd = begin(&conf);
	for (unsigned opts = 0; opts <= 2; opts++) {
		udp("10.0.0.5", "10.1.0.9", 1000, opts == 2 ? 54 : 53, 20);
		outer.len = 0;
		tp_eth(&outer, guest_mac, router_mac, 0x0800);
		ip = tp_ip(&outer, "192.0.2.1", "192.0.2.2", 17, 0, 64, true);
		l4 = tp_udp(&outer, 50000, opts == 0 ? 4789 : 6081);
		tp_u32(&outer, opts == 0 ? 0x08000000 : 0x02006558 + (2u << 24));
		tp_u32(&outer, 100 << 8);
		if (opts > 0)
			tp_fill(&outer, 24);
		outer.b[l4 + 8] = opts == 0 ? 8 : 6;
		tp_bytes(&outer, frame.b, frame.len);
		tp_ip_end(&outer, ip);
		tp_udp_end(&outer, ip, l4, false);
		frame = outer;
		see(&(struct ob_seen){.fate = OB_FATE_WIRE_OUT, .in_vif = OB_VIF_NONE});
	}
	finish("c", fd);
	assert_int_equal(file.n_packets, 2);
}

static void snap_length_cuts(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd;

	(void)state;
	conf.snaplen = 61;
	fd = begin(&conf);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 300);
	see_sent(GUEST);
	finish("c", fd);
	assert_int_equal(file.snaplen[0], 61);
	assert_int_equal(file.packet[0].cap_len, 61);
	assert_int_equal(file.packet[0].len, frame.len);
	assert_memory_equal(file.packet[0].bytes, frame.b, 61);
}

static void limits_end_a_capture(void **state)
{
	struct ob_capture_conf conf = conf_of("pkts", GUEST);
	int fd = -1;

	(void)state;
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 100);
	conf.max_pkts = 3;
	fd = begin(&conf);
	for (unsigned i = 0; i < 10; i++)
		see_sent(GUEST);
	writer_step(capture_find("pkts"));
	assert_int_equal(info_of("pkts").state, OB_CAPTURE_LIMIT);
	writer_finish(capture_find("pkts"));
	test_pcapng_read(&file, fd);
	close(fd);
	assert_null(file.error);
	assert_int_equal(file.n_packets, 3);
	assert_int_equal(info_of("pkts").n_written, 3);
	assert_int_equal(info_of("pkts").n_matched, 10);

	conf = conf_of("bytes", GUEST);
	conf.max_bytes = 5 * frame.len + 1;
	fd = begin(&conf);
	for (unsigned i = 0; i < 10; i++)
		see_sent(GUEST);
	writer_step(capture_find("bytes"));
	assert_int_equal(info_of("bytes").state, OB_CAPTURE_LIMIT);
	writer_finish(capture_find("bytes"));
	assert_int_equal(info_of("bytes").n_written, 5);
	close(fd);

	conf = conf_of("file", GUEST);
	conf.max_file_bytes = 5000;
	fd = begin(&conf);
	for (unsigned i = 0; i < 100; i++)
		see_sent(GUEST);
	writer_step(capture_find("file"));
	assert_int_equal(info_of("file").state, OB_CAPTURE_LIMIT);
	writer_finish(capture_find("file"));
	test_pcapng_read(&file, fd);
	close(fd);
	assert_null(file.error);
	assert_true(file.size <= 5000);
	assert_true(file.n_packets > 5);
	assert_int_equal(file.size, info_of("file").n_file_bytes);
}

static void what_does_not_fit_is_counted(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd;

	(void)state;
	conf.ring_bytes = 4096;
	conf.snaplen = 128;
	fd = begin(&conf);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 500);
	for (unsigned i = 0; i < 100; i++)
		see_sent(GUEST);
	assert_int_equal(info_of("c").n_matched, 100);
	assert_int_equal(info_of("c").n_lost, 100 - 4096 / (128 + sizeof(struct rec)));
	finish("c", fd);
	assert_int_equal(file.n_packets, 4096 / (128 + sizeof(struct rec)));
	assert_int_equal(file.recv[0], 100);
	assert_int_equal(file.drop[0], 100 - file.n_packets);
}

static void workers_are_merged_by_time(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd = begin(&conf);

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		w = ob_worker_get(i % 2);
		udp("10.0.0.5", "10.1.0.9", 1000 + i, 53, 20);
		see_sent(GUEST);
	}
	w = ob_worker_get(0);
	finish("c", fd);
	assert_int_equal(file.n_packets, 20);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(tp_get16(file.packet[i].bytes + 34), 1000 + i);
}

static void a_reader_that_leaves_ends_its_capture(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int s[2];

	(void)state;
	close(conf.fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	conf.fd = s[0];
	assert_int_equal(ob_capture_start(&conf, NULL, 0), 0);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 20);
	see_sent(GUEST);
	writer_step(capture_find("c"));
	assert_int_equal(info_of("c").state, OB_CAPTURE_RUNNING);
	file.size = (size_t)read(s[1], file.file, sizeof(file.file));
	test_pcapng_parse(&file);
	assert_null(file.error);
	assert_int_equal(file.n_packets, 1);
	close(s[1]);
	writer_step(capture_find("c"));
	assert_int_equal(info_of("c").state, OB_CAPTURE_GONE);
	writer_finish(capture_find("c"));
	assert_false(info_of("c").writing);
	assert_null(ob_tap());
}

static void two_captures_see_the_same_packet(void **state)
{
	struct ob_capture_conf a = conf_of("a", GUEST), b = conf_of("b", GUEST);
	int fa = begin(&a), fb;

	(void)state;
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 20);
	see_sent(GUEST);
	fb = begin(&b);
	see_sent(GUEST);
	finish("a", fa);
	assert_int_equal(file.n_packets, 2);
	see_sent(GUEST);
	finish("b", fb);
	assert_int_equal(file.n_packets, 2);
}

static void names_and_places_are_given_again(void **state)
{
	struct ob_capture_conf conf;
	struct ob_capture_info info;
	uint32_t cursor = 0;
	char name[16];
	int fd;

	(void)state;
	for (unsigned i = 0; i < OB_CAPTURE_MAX; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		conf = conf_of(name, GUEST);
		close(begin(&conf));
	}
	conf = conf_of("c3", GUEST);
	assert_int_equal(ob_capture_start(&conf, NULL, 0), -EEXIST);
	strcpy(conf.name, "one-more");
	assert_int_equal(ob_capture_start(&conf, NULL, 0), -ENOSPC);
	assert_int_equal(ob_capture_stop("c3"), 0);
	assert_int_equal(ob_capture_start(&conf, NULL, 0), -ENOSPC);
	writer_finish(capture_find("c3"));
	assert_int_equal(info_of("c3").state, OB_CAPTURE_STOPPED);
	fd = begin(&conf);
	close(fd);
	assert_null(capture_find("c3"));
	assert_int_equal(ob_capture_stop("c3"), -ENOENT);
	for (unsigned i = 0; i < OB_CAPTURE_MAX; i++)
		assert_int_equal(ob_capture_next(&cursor, &info), 0);
	assert_int_equal(ob_capture_next(&cursor, &info), -ENOENT);
}

static void a_function_that_goes_is_captured_no_more(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	int fd;

	(void)state;
	conf.n_ifs = 2;
	conf.ifs[1] = conf.ifs[0];
	conf.ifs[1].vif = OTHER;
	fd = begin(&conf);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 20);
	ob_capture_vif_gone(GUEST);
	see_sent(GUEST);
	see_sent(OTHER);
	assert_int_equal(info_of("c").state, OB_CAPTURE_RUNNING);
	ob_capture_vif_gone(OTHER);
	assert_int_equal(info_of("c").state, OB_CAPTURE_GONE);
	assert_null(ob_tap());
	writer_finish(capture_find("c"));
	test_pcapng_read(&file, fd);
	assert_null(file.error);
	assert_int_equal(file.n_packets, 1);
	assert_int_equal(file.packet[0].iface, 1);
	close(fd);
}

static void nonsense_is_refused(void **state)
{
	struct ob_capture_conf good = conf_of("c", GUEST), c;
	char err[128];
	int p[2];

	(void)state;
#define REFUSED(rc, change)                                                     \
	do {                                                                    \
		c = good;                                                       \
		err[0] = '\0';                                                  \
		change;                                                         \
		assert_int_equal(ob_capture_start(&c, err, sizeof(err)), (rc)); \
		assert_true(err[0] != '\0');                                    \
	} while (0)
	REFUSED(-EINVAL, c.name[0] = '\0');
	REFUSED(-EINVAL, memset(c.name, 'x', sizeof(c.name)));
	REFUSED(-EINVAL, c.n_ifs = 0);
	REFUSED(-EINVAL, c.n_ifs = 17);
	REFUSED(-EINVAL, c.ifs[0].vif = OB_MAX_VIFS);
	REFUSED(-EINVAL, (c.n_ifs = 2, c.ifs[1] = c.ifs[0]));
	REFUSED(-EINVAL, c.snaplen = 65536);
	REFUSED(-EINVAL, c.ring_bytes = 5000);
	REFUSED(-EINVAL, c.ring_bytes = 4096);
	REFUSED(-EINVAL, c.filter.dirs = 4);
	REFUSED(-EINVAL, (c.filter.port = 1, c.filter.proto = 1));
	REFUSED(-EINVAL, (c.filter.ip[0].family = AF_INET, c.filter.ip[0].len = 33));
	REFUSED(-EINVAL, (c.filter.ip[0].family = AF_INET, c.filter.ip[1].family = AF_INET6));
	REFUSED(-EINVAL, c.filter.ip[0].family = 77);
	REFUSED(-EBADF, c.fd = -1);
	REFUSED(-EBADF, c.fd = open("/dev/null", O_WRONLY));
	close(c.fd);
	REFUSED(-EBADF, c.fd = open("/proc/self/exe", O_RDONLY));
	close(c.fd);
	REFUSED(-EBADF, c.fd = open("/proc/self/exe", O_PATH));
	close(c.fd);
	REFUSED(-EBADF, c.fd = socket(AF_UNIX, SOCK_DGRAM, 0));
	close(c.fd);
	assert_int_equal(pipe(p), 0);
	REFUSED(-EBADF, c.fd = p[1]);
	close(p[0]);
	close(p[1]);
	close(good.fd);
#undef REFUSED
}

/* ---- with threads ---- */

static void wait_until_done(const char *name)
{
	const struct timespec nap = {.tv_nsec = 2000000};

	for (unsigned i = 0; i < 2000 && info_of(name).writing; i++)
		nanosleep(&nap, NULL);
	assert_false(info_of(name).writing);
}

static void the_thread_writes_and_ends(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	const struct timespec nap = {.tv_nsec = 2000000};
	int fd;

	(void)state;
	capture_manual = false;
	fd = begin(&conf);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 20);
	see_sent(GUEST);
	for (unsigned i = 0; i < 2000 && info_of("c").n_written == 0; i++)
		nanosleep(&nap, NULL);
	assert_int_equal(info_of("c").n_written, 1);
	assert_int_equal(ob_capture_stop("c"), 0);
	wait_until_done("c");
	test_pcapng_read(&file, fd);
	assert_null(file.error);
	assert_int_equal(file.n_packets, 1);
	assert_int_equal(file.n_stats, 1);
	close(fd);
}

static void a_reader_that_does_not_read_delays_nobody(void **state)
{
	struct ob_capture_conf conf = conf_of("c", GUEST);
	uint64_t n_seen = 0;
	int s[2];

	(void)state;
	capture_manual = false;
	close(conf.fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	conf.fd = s[0];
	conf.ring_bytes = 1u << 18;
	assert_int_equal(ob_capture_start(&conf, NULL, 0), 0);
	udp("10.0.0.5", "10.1.0.9", 1000, 53, 1000);
	while (info_of("c").n_lost == 0 && n_seen < 1000000) {
		see_sent(GUEST);
		n_seen++;
	}
	assert_int_equal(info_of("c").n_matched, n_seen);
	assert_int_equal(info_of("c").n_lost, 1);
	assert_int_equal(ob_capture_stop("c"), 0);
	assert_null(ob_tap());
	close(s[1]);
	wait_until_done("c");
	assert_int_equal(info_of("c").state, OB_CAPTURE_STOPPED);
}

struct pump {
	struct ring *r;
	unsigned n;
};

static void *produce(void *arg)
{
	struct pump *p = arg;

	for (uint32_t i = 0; i < p->n;) {
		uint32_t len = i * 37 % 700;
		struct rec *rec = ring_reserve(p->r, len);

		if (rec == NULL) {
			sched_yield();
			continue;
		}
		rec->tsc = i;
		memset(rec_bytes(rec), (int)(i & 0xff), len);
		ring_commit(p->r, rec);
		i++;
	}
	return NULL;
}

static void a_ring_keeps_order_and_bytes(void **state)
{
	struct pump p = {.r = ring_create(4096), .n = 100000};
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, produce, &p), 0);
	for (uint32_t i = 0; i < p.n;) {
		const struct rec *rec = ring_peek(p.r);
		const uint8_t *b;

		if (rec == NULL) {
			sched_yield();
			continue;
		}
		b = (const uint8_t *)(rec + 1);
		assert_int_equal(rec->tsc, i);
		assert_int_equal(rec->cap_len, i * 37 % 700);
		for (uint32_t k = 0; k < rec->cap_len; k++)
			if (b[k] != (i & 0xff))
				fail_msg("record %u byte %u", i, k);
		ring_pop(p.r, rec);
		i++;
	}
	pthread_join(t, NULL);
	assert_null(ring_peek(p.r));
	assert_null(ring_reserve(p.r, 2048));
	assert_non_null(ring_reserve(p.r, 2048 - sizeof(struct rec)));
	ring_destroy(p.r);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(nothing_is_watched_without_a_capture),
	    T(the_file_tells_what_became_of_each_packet),
	    T(both_ends_on_one_card_are_two_interfaces),
	    T(drops_know_their_direction),
	    T(only_what_the_filter_names_is_taken),
	    T(only_drops_are_taken_if_so_asked),
	    T(outer_headers_are_left_out_and_segments_joined),
	    T(tunnelled_packets_are_found_by_what_is_in_them),
	    T(snap_length_cuts),
	    T(limits_end_a_capture),
	    T(what_does_not_fit_is_counted),
	    T(workers_are_merged_by_time),
	    T(a_reader_that_leaves_ends_its_capture),
	    T(two_captures_see_the_same_packet),
	    T(names_and_places_are_given_again),
	    T(a_function_that_goes_is_captured_no_more),
	    T(nonsense_is_refused),
	    T(the_thread_writes_and_ends),
	    T(a_reader_that_does_not_read_delays_nobody),
	    cmocka_unit_test(a_ring_keeps_order_and_bytes),
	};
#undef T

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
