/* SPDX-License-Identifier: BSD-3-Clause */
/* Our rings against rte_vhost's: both behind a vhost-user socket, DPDK's virtio-user as the guest of both, one thread that plays guest
 * and device by turns. Only the device's turn is timed, so the guest's cost is in neither figure; bursts are always full.
 *
 * usage: vhost_bench [--quick] [--json] [--huge|--no-huge]
 */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_vhost.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include "ob_arena.h"
#include "ob_gmem.h"
#include "ob_vhost.h"
#include "ob_vif.h"

#define BURST	 32
#define N_ROUNDS 5
#define QUEUE	 1024
#define FATAL(...)                                           \
	do {                                                 \
		fprintf(stderr, "vhost_bench: "__VA_ARGS__); \
		fputc('\n', stderr);                         \
		exit(1);                                     \
	} while (0)

enum way { IN, IN_OUT };

/* One device with its guest. */
struct side {
	bool ours, packed;
	char path[64];
	uint16_t guest;	 /* virtio-user port */
	uint16_t device; /* net_vhost port, if not ours */
	struct ob_vnet *vn;
	uint64_t features;
};

static struct event_base *base;
static struct rte_mempool *pool;
static enum way way;
static unsigned n_taken; /* by our device in this turn */
static bool quick, json;

/* ---- ours ---- */

static void input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	n_taken += b->n;
	if (way == IN) {
		rte_pktmbuf_free_bulk(b->pkt, b->n);
		return;
	}
	for (unsigned i = 0; i < b->n; i++)
		b->meta[i].out_vif = ob_vif_idx(vif);
	ob_vif_output(w, b->pkt, b->meta, b->n);
}

static void start_ours(struct side *s, struct ob_arena *arena)
{
	struct ob_vnet_conf c = {.path = s->path,
	    .base = base,
	    .arena = arena,
	    .mac = {2, 0, 0, 0, 0, (uint8_t)(s->packed + 1)},
	    .mtu = 1500,
	    .n_pairs = 1,
	    .queue_size = QUEUE,
	    .packed = s->packed,
	    .serial = "BENCH"};
	int rc;

	c.name = s->packed ? "packed" : "split";
	rc = ob_vhost_create(&c, OB_VHOST_LISTEN, &s->vn);
	if (rc < 0)
		FATAL("%s: %s", s->path, strerror(-rc));
}

static bool ours_runs(const struct side *s)
{
	const struct ob_vif *vif = ob_vnet_vif(s->vn);

	return ob_vif_queue_running(vif, 0) && ob_vif_queue_running(vif, 1);
}

/* ---- theirs ---- */

static uint16_t probe(const char *name, const char *args)
{
	uint16_t port;

	if (rte_vdev_init(name, args) < 0 || rte_eth_dev_get_port_by_name(name, &port) < 0)
		FATAL("%s,%s cannot be made", name, args);
	return port;
}

static void start_port(uint16_t port)
{
	struct rte_eth_conf conf = {0};

	if (rte_eth_dev_configure(port, 1, 1, &conf) < 0 ||
	    rte_eth_rx_queue_setup(port, 0, QUEUE, SOCKET_ID_ANY, NULL, pool) < 0 ||
	    rte_eth_tx_queue_setup(port, 0, QUEUE, SOCKET_ID_ANY, NULL) < 0 ||
	    rte_eth_dev_start(port) < 0)
		FATAL("port %u does not start", port);
}

static void start_theirs(struct side *s)
{
	char name[32], args[160];

	snprintf(name, sizeof(name), "net_vhost%u", s->packed);
	snprintf(args, sizeof(args), "iface=%s,queues=1", s->path);
	s->device = probe(name, args);
	start_port(s->device);
}

static bool theirs_runs(const struct side *s)
{
	struct rte_eth_link link;

	return rte_eth_link_get_nowait(s->device, &link) == 0 &&
	       link.link_status == RTE_ETH_LINK_UP;
}

/* ---- the guest ---- */

/* Waits for answers of the device, which the main thread gives. */
static void *start_guest(void *arg)
{
	struct side *s = arg;
	char name[32], args[200];

	rte_thread_register();
	snprintf(name, sizeof(name), "net_virtio_user%u", s->packed + 2 * s->ours);
	snprintf(args, sizeof(args),
	    "path=%s,queues=1,queue_size=%d,mrg_rxbuf=1,packed_vq=%d,in_order=%d", s->path, QUEUE,
	    s->packed, s->packed);
	s->guest = probe(name, args);
	start_port(s->guest);
	rte_thread_unregister();
	return NULL;
}

static void connect_guest(struct side *s)
{
	pthread_t thread;
	uint64_t until = rte_rdtsc() + 10 * rte_get_tsc_hz();

	if (pthread_create(&thread, NULL, start_guest, s) != 0)
		FATAL("no thread");
	while (!(s->ours ? ours_runs(s) : theirs_runs(s))) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(1000);
		if (rte_rdtsc() > until)
			FATAL("%s: the guest does not come up", s->path);
	}
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	if (s->ours) {
		struct ob_vnet_status st;

		ob_vnet_get_status(s->vn, &st);
		s->features = st.negotiated;
	} else {
		rte_vhost_get_negotiated_features(
		    rte_eth_vhost_get_vid_from_port_id(s->device), &s->features);
	}
}

static unsigned guest_sends(const struct side *s, unsigned size)
{
	static const uint8_t frame[64] = {
	    2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17};
	struct rte_mbuf *m[BURST];
	unsigned n;

	if (rte_pktmbuf_alloc_bulk(pool, m, BURST) != 0)
		FATAL("no mbufs");
	for (unsigned i = 0; i < BURST; i++) {
		memcpy(rte_pktmbuf_append(m[i], (uint16_t)size), frame, sizeof(frame));
	}
	n = rte_eth_tx_burst(s->guest, 0, m, BURST);
	rte_pktmbuf_free_bulk(m + n, BURST - n);
	return n;
}

static void guest_receives(const struct side *s)
{
	struct rte_mbuf *m[2 * BURST];

	rte_pktmbuf_free_bulk(m, rte_eth_rx_burst(s->guest, 0, m, 2 * BURST));
}

/* ---- the device's turn ---- */

static unsigned turn(const struct side *s)
{
	struct rte_mbuf *m[BURST];
	unsigned n, sent;

	if (s->ours) {
		n_taken = 0;
		ob_worker_round(ob_worker_get(0));
		return n_taken;
	}
	n = rte_eth_rx_burst(s->device, 0, m, BURST);
	sent = way == IN_OUT ? rte_eth_tx_burst(s->device, 0, m, (uint16_t)n) : 0;
	rte_pktmbuf_free_bulk(m + sent, n - sent);
	return n;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median ns a packet over many turns: one that was interrupted does not count. */
static double measure(const struct side *s, unsigned size)
{
	enum { MOST = 20000 };
	static double ns[MOST];
	unsigned n = 0, wanted = quick ? 500 : MOST, idle = 0;

	while (n < wanted) {
		uint64_t t0, t1;
		unsigned got;

		guest_sends(s, size);
		t0 = rte_rdtsc_precise();
		got = turn(s);
		t1 = rte_rdtsc_precise();
		guest_receives(s);
		if (got == BURST)
			ns[n++] = (double)(t1 - t0) * 1e9 / (double)rte_get_tsc_hz() / BURST;
		else if (++idle > 100000)
			FATAL("%s: the device takes no full bursts", s->path);
	}
	qsort(ns, n, sizeof(ns[0]), by_value);
	return ns[n / 2];
}

/* ---- all of it ---- */

static void report(
    const char *system, const struct side *s, unsigned size, const double ns[N_ROUNDS], bool last)
{
	const char *name = way == IN ? "in" : "in and out", *ring = s->packed ? "packed" : "split";
	double sorted[N_ROUNDS];

	memcpy(sorted, ns, sizeof(sorted));
	qsort(sorted, N_ROUNDS, sizeof(sorted[0]), by_value);
	if (!json) {
		printf("%-10s %-11s %-7s %5u bytes %7.1f ns a packet (features %#lx)\n", system,
		    name, ring, size, sorted[N_ROUNDS / 2], s->features);
		return;
	}
	printf("{\"system\": \"%s\", \"case\": \"%s, %s\", \"bytes\": %u, \"features\": %lu, "
	       "\"rounds\": [",
	    system, name, ring, size, s->features);
	for (unsigned i = 0; i < N_ROUNDS; i++)
		printf("%s%.2f", i ? ", " : "", ns[i]);
	printf("]}%s\n", last ? "" : ",");
}

static void compare(const struct side *ours, const struct side *theirs, bool last)
{
	static const unsigned sizes[] = {64, 1500};
	double a[N_ROUNDS], b[N_ROUNDS];

	for (unsigned w = 0; w < 2; w++) {
		for (unsigned k = 0; k < 2; k++) {
			way = w == 0 ? IN : IN_OUT;
			for (unsigned i = 0; i < N_ROUNDS; i++) {
				a[i] = measure(ours, sizes[k]);
				b[i] = measure(theirs, sizes[k]);
			}
			report("outboard", ours, sizes[k], a, false);
			report("rte_vhost", theirs, sizes[k], b, last && w == 1 && k == 1);
		}
	}
}

static void start_eal(bool huge)
{
	char prefix[48];
	const char *args[] = {"vhost_bench", prefix, "--no-pci", "--no-telemetry", "-m", "256",
	    "--iova-mode=va", "--log-level=lib.*:error", "--log-level=pmd.*:error",
	    huge ? "--in-memory" : "--no-shconf", huge ? "--single-file-segments" : "--no-huge"};
	char *argv[RTE_DIM(args)];

	snprintf(prefix, sizeof(prefix), "--file-prefix=obb-vhost-%d", getpid());
	for (unsigned i = 0; i < RTE_DIM(args); i++)
		argv[i] = strdup(args[i]);
	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		FATAL("DPDK does not start");
}

static void options(int argc, char **argv, bool *huge)
{
	static const struct option longs[] = {{"quick", no_argument, NULL, 'q'},
	    {"json", no_argument, NULL, 'j'}, {"huge", no_argument, NULL, 'h'},
	    {"no-huge", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'q')
			quick = true;
		else if (opt == 'j')
			json = true;
		else if (opt == 'h' || opt == 'n')
			*huge = opt == 'h';
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true, .n_mbufs = 8191};
	struct side side[2][2] = {0}; /* [packed][ours] */
	char dir[] = "/tmp/vhost_bench.XXXXXX";
	bool huge = false;

	options(argc, argv, &huge);
	start_eal(huge);
	base = event_base_new();
	pool = rte_pktmbuf_pool_create(
	    "bench", 32767, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (mkdtemp(dir) == NULL || pool == NULL || base == NULL || ob_gmem_catch_faults() < 0 ||
	    ob_arena_create("bench", 256u << 20, &wc.arena) < 0 || ob_workers_start(&wc) < 0 ||
	    ob_vif_init(wc.arena) < 0)
		FATAL("cannot start: %s", strerror(errno));
	ob_vif_set_input(input);
	for (unsigned p = 0; p < 2; p++) {
		for (unsigned o = 0; o < 2; o++) {
			struct side *s = &side[p][o];

			s->packed = p;
			s->ours = o;
			snprintf(s->path, sizeof(s->path), "%s/%u%u", dir, p, o);
			if (o)
				start_ours(s, wc.arena);
			else
				start_theirs(s);
			connect_guest(s);
		}
	}
	if (json)
		printf("{\"rows\": [\n");
	compare(&side[0][1], &side[0][0], false);
	compare(&side[1][1], &side[1][0], true);
	if (json)
		printf("]}\n");
	fflush(stdout);
	for (unsigned p = 0; p < 2; p++)
		for (unsigned o = 0; o < 2; o++)
			unlink(side[p][o].path);
	rmdir(dir);
	/* The ports' guests hang on the main thread's answers; the process ends instead. */
	_exit(0);
}
