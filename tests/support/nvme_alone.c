/* SPDX-License-Identifier: BSD-3-Clause */
/* An NVMe function over a RAM volume, without the rest of the card, for trying drivers: nvme_alone SOCKET [MiB] [--page].
 * SIGUSR1 adds a namespace, or takes the last one away again; SIGUSR2 prints the status. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "ob_nvme.h"
#include "ob_test_eal.h"
#include "ob_worker.h"

struct alone {
	struct event_base *base;
	struct ob_nvme *c;
	struct ob_nvme_ns *second;
	uint32_t second_id;
};

static struct ob_nvme_ns *make_ns(const char *name, uint64_t bytes, uint8_t id)
{
	struct ob_nvme_ns_conf nc = {.ana_group = 1, .uuid = {0x0b, id}, .nguid = {0x0b, id, 1}};
	struct ob_nvme_ns *ns = NULL;
	char err[128] = "";

	snprintf(nc.name, sizeof(nc.name), "%s", name);
	if (ob_blk_ram_create(name, bytes, 512, &nc.blk, err, sizeof(err)) != 0 ||
	    ob_nvme_ns_create(&nc, &ns) != 0) {
		fprintf(stderr, "%s: %s\n", name, err);
		exit(1);
	}
	ob_blk_put(nc.blk);
	return ns;
}

static void on_end(evutil_socket_t sig, short what, void *arg)
{
	struct alone *a = arg;

	(void)sig;
	(void)what;
	event_base_loopbreak(a->base);
}

static void on_usr1(evutil_socket_t sig, short what, void *arg)
{
	struct alone *a = arg;

	(void)sig;
	(void)what;
	if (a->second == NULL) {
		a->second = make_ns("second", 32 << 20, 2);
		a->second_id = 0;
		printf("added: %d\n", ob_nvme_add_ns(a->c, &a->second_id, a->second));
	} else {
		printf("taken away: %d\n", ob_nvme_del_ns(a->c, a->second_id));
		ob_nvme_ns_put(a->second);
		a->second = NULL;
	}
	fflush(stdout);
}

static void on_usr2(evutil_socket_t sig, short what, void *arg)
{
	struct ob_nvmeq_counters n;
	struct ob_nvme_status s;
	struct alone *a = arg;

	(void)sig;
	(void)what;
	ob_nvme_get_status(a->c, &s);
	(void)ob_nvme_get_counters(a->c, 0, &n);
	printf("state %d csts %#x queues %u namespaces %u enables %" PRIu64 " fatal %" PRIu64
	       " '%s' admin %" PRIu64 " errors %" PRIu64 " doorbells %" PRIu64 " bad %" PRIu64
	       " events %" PRIu64 " commands %" PRIu64 " shadow %d\n",
	    s.state, s.csts, s.n_sqs, s.n_ns, s.n_enables, s.n_fatal, s.fatal_why, s.n_admin,
	    s.n_admin_err, s.n_doorbells, s.n_bad_doorbells, s.n_events, n.n_cmds,
	    s.shadow_doorbells);
	fflush(stdout);
}

static void on_events(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	(void)ob_nvmeq_poll_events();
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ob_rcu_reclaim();
}

static int serve(struct alone *a)
{
	const struct timeval tick = {.tv_usec = 100000};
	struct event *ev[6] = {
	    evsignal_new(a->base, SIGTERM, on_end, a),
	    evsignal_new(a->base, SIGINT, on_end, a),
	    evsignal_new(a->base, SIGUSR1, on_usr1, a),
	    evsignal_new(a->base, SIGUSR2, on_usr2, a),
	    event_new(a->base, ob_nvmeq_event_fd(), EV_READ | EV_PERSIST, on_events, NULL),
	    event_new(a->base, -1, EV_PERSIST, on_tick, NULL),
	};

	for (unsigned i = 0; i < 6; i++)
		event_add(ev[i], i == 5 ? &tick : NULL);
	event_base_dispatch(a->base);
	for (unsigned i = 0; i < 6; i++)
		event_free(ev[i]);
	return 0;
}

int main(int argc, char **argv)
{
	struct ob_workers_conf wc = {.n_workers = 1};
	struct alone a = {.base = event_base_new()};
	struct ob_nvme_conf conf = {.name = "alone",
	    .base = a.base,
	    .serial = "OB-ALONE-1",
	    .cntlid = OB_NVME_CNTLID_AUTO,
	    .doorbell_page = argc > 3 && strcmp(argv[3], "--page") == 0};
	uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 10) : 64;
	struct ob_nvme_ns *ns;
	uint32_t nsid = 1;
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: %s SOCKET [MiB] [--page]\n", argv[0]);
		return 2;
	}
	ob_test_eal();
	conf.path = argv[1];
	if (ob_gmem_catch_faults() != 0 || ob_arena_create("alone", 64 << 20, &wc.arena) != 0 ||
	    ob_workers_start(&wc) != 0)
		return 1;
	conf.arena = wc.arena;
	rc = ob_nvme_create(&conf, &a.c);
	if (rc != 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-rc));
		return 1;
	}
	ns = make_ns("first", mib << 20, 1);
	if (ob_nvme_add_ns(a.c, &nsid, ns) != 0)
		return 1;
	rc = serve(&a);
	ob_nvme_destroy(a.c);
	ob_nvme_ns_put(ns);
	ob_nvme_ns_put(a.second);
	ob_workers_stop();
	ob_arena_destroy(wc.arena);
	event_base_free(a.base);
	return rc;
}
