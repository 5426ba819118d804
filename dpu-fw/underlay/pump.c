/* SPDX-License-Identifier: BSD-3-Clause */
#include "pump.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "ob_worker.h"

RTE_LOG_REGISTER(pump_log, ob.underlay, NOTICE);

#define RING_SIZE  1024
#define POOL_SIZE  2047
#define PER_ROUND  64 /* frames from the kernel in one go */
#define PUNT_BURST 32
#define PUNT_MAX   256 /* frames to the kernel in one go: device registers wait meanwhile */

struct pump {
	struct tap *tap;
	struct rte_ring *punt, *inject;
	struct rte_mempool *pool;
	struct event *on_tap, *on_punt;
	int event_fd;
	pump_look_fn look;
	void *arg;
	uint32_t room; /* longest frame that the kernel sends */
	uint64_t punt_failed, inject_failed;
};

static void from_workers(evutil_socket_t fd, short what, void *arg)
{
	struct rte_mbuf *pkt[PUNT_BURST];
	struct pump *p = arg;
	unsigned n, total = 0;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	do {
		n = rte_ring_sc_dequeue_burst(p->punt, (void **)pkt, PUNT_BURST, NULL);
		for (unsigned i = 0; i < n; i++) {
			p->look(p->arg, rte_pktmbuf_mtod(pkt[i], const uint8_t *),
			    rte_pktmbuf_data_len(pkt[i]));
			if (tap_write(p->tap, pkt[i]) < 0)
				p->punt_failed++;
		}
		rte_pktmbuf_free_bulk(pkt, n);
		total += n;
	} while (n == PUNT_BURST && total < PUNT_MAX);
	count = 1;
	if (!rte_ring_empty(p->punt) && write(fd, &count, sizeof(count)) < 0)
		return; /* it is full, so it is readable */
}

/* Somebody deleted the interface: its file would be readable for ever. */
static void check_gone(struct pump *p, int rc)
{
	if (rc >= 0 || rc == -EAGAIN || rc == -EINTR || rc == -EIO)
		return;
	rte_log(RTE_LOG_ERR, pump_log,
	    "underlay: TAP %s is gone (%s); restart ob-card to have it again\n", p->tap->name,
	    strerror(-rc));
	event_del(p->on_tap);
}

/* Reads one frame into a buffer of ours. Returns NULL when there is none. */
static struct rte_mbuf *read_one(struct pump *p)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
	uint8_t sink[64];
	int len;

	if (m == NULL) {
		/* Read it all the same: else the loop would spin on a readable TAP. */
		len = tap_read(p->tap, sink, sizeof(sink));
		if (len >= 0)
			p->inject_failed++;
		check_gone(p, len);
		return NULL;
	}
	m->data_off = OB_HEADROOM;
	len = tap_read(p->tap, rte_pktmbuf_mtod(m, void *), p->room);
	if (len < RTE_ETHER_HDR_LEN) {
		rte_pktmbuf_free(m);
		check_gone(p, len);
		return NULL;
	}
	m->data_len = (uint16_t)len;
	m->pkt_len = (uint32_t)len;
	return m;
}

static void from_kernel(evutil_socket_t fd, short what, void *arg)
{
	struct rte_mbuf *pkt[PER_ROUND];
	struct pump *p = arg;
	unsigned n = 0, done;

	(void)fd;
	(void)what;
	while (n < PER_ROUND && (pkt[n] = read_one(p)) != NULL)
		n++;
	if (n == 0)
		return;
	done = rte_ring_sp_enqueue_burst(p->inject, (void **)pkt, n, NULL);
	if (done < n) {
		rte_pktmbuf_free_bulk(pkt + done, n - done);
		p->inject_failed += n - done;
	}
	ob_worker_wake(ob_worker_get(0));
}

static int create_rings(struct pump *p, uint16_t mtu)
{
	unsigned room = OB_HEADROOM + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN + mtu;

	p->room = room - OB_HEADROOM;
	p->punt = rte_ring_create("ob_punt", RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	p->inject =
	    rte_ring_create("ob_inject", RING_SIZE, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	/* An own pool: a chatty kernel cannot take the workers' buffers. The private area is as in theirs. */
	p->pool = rte_pktmbuf_pool_create("ob_inject", POOL_SIZE, 0,
	    RTE_ALIGN(sizeof(struct ob_meta), RTE_MBUF_PRIV_ALIGN), (uint16_t)RTE_ALIGN(room, 64u),
	    SOCKET_ID_ANY);
	return p->punt && p->inject && p->pool ? 0 : -rte_errno;
}

int pump_create(struct event_base *base, struct tap *tap, uint16_t mtu, pump_look_fn look,
    void *arg, struct pump **out)
{
	struct pump *p = calloc(1, sizeof(*p));
	int rc = -ENOMEM;

	if (p == NULL)
		return -ENOMEM;
	p->tap = tap;
	p->look = look;
	p->arg = arg;
	p->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->event_fd < 0) {
		rc = -errno;
		goto err_destroy;
	}
	rc = create_rings(p, mtu);
	if (rc < 0)
		goto err_destroy;
	rc = -ENOMEM;
	p->on_tap = event_new(base, tap->fd, EV_READ | EV_PERSIST, from_kernel, p);
	p->on_punt = event_new(base, p->event_fd, EV_READ | EV_PERSIST, from_workers, p);
	if (p->on_tap == NULL || p->on_punt == NULL || event_add(p->on_tap, NULL) < 0 ||
	    event_add(p->on_punt, NULL) < 0)
		goto err_destroy;
	*out = p;
	return 0;
err_destroy:
	pump_destroy(p);
	return rc;
}

static void drain(struct rte_ring *r)
{
	void *pkt;

	while (r != NULL && rte_ring_dequeue(r, &pkt) == 0)
		rte_pktmbuf_free(pkt);
	rte_ring_free(r);
}

void pump_destroy(struct pump *p)
{
	if (p == NULL)
		return;
	if (p->on_tap != NULL)
		event_free(p->on_tap);
	if (p->on_punt != NULL)
		event_free(p->on_punt);
	drain(p->punt);
	drain(p->inject);
	rte_mempool_free(p->pool);
	if (p->event_fd >= 0)
		close(p->event_fd);
	free(p);
}

struct rte_ring *pump_punt_ring(const struct pump *p)
{
	return p->punt;
}

struct rte_ring *pump_inject_ring(const struct pump *p)
{
	return p->inject;
}

int pump_event_fd(const struct pump *p)
{
	return p->event_fd;
}

void pump_counters(const struct pump *p, uint64_t *punt_failed, uint64_t *inject_failed)
{
	*punt_failed = p->punt_failed;
	*inject_failed = p->inject_failed;
}
