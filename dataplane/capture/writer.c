/* SPDX-License-Identifier: BSD-3-Clause */
/* A capture's thread: from the rings into the file. */
#include "capture_priv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>

#define NAP_NS	 5000000l
#define POLL_MS	 100
#define GRACE_MS 1000 /* how long the end waits for a reader that does not read */
#define COMMENT	 320

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static bool running(const struct capture *c)
{
	return __atomic_load_n(&c->state, __ATOMIC_ACQUIRE) == OB_CAPTURE_RUNNING;
}

static void broke(struct capture *c, int err)
{
	bool gone = err == EPIPE || err == ECONNRESET;

	capture_end(c, gone ? OB_CAPTURE_GONE : OB_CAPTURE_FAILED, err);
	c->broken = true;
}

/* ---- out ---- */

/* Waits until a socket takes more. False: its reader had its time. */
static bool wait_writable(struct capture *c, unsigned *waited_ms)
{
	struct pollfd p = {.fd = c->conf.fd, .events = POLLOUT};

	if (poll(&p, 1, POLL_MS) != 0)
		return true;
	/* While the capture runs the rings fill up and count what is lost; at the end there is no reason to wait for ever. */
	*waited_ms = running(c) ? 0 : *waited_ms + POLL_MS;
	return *waited_ms < GRACE_MS;
}

static void flush(struct capture *c)
{
	unsigned waited_ms = 0;
	size_t at = 0;

	while (at < c->n_buf && !c->broken) {
		ssize_t n = c->is_socket ? send(c->conf.fd, c->buf + at, c->n_buf - at,
					       MSG_DONTWAIT | MSG_NOSIGNAL)
					 : write(c->conf.fd, c->buf + at, c->n_buf - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && errno != EAGAIN)
			broke(c, errno);
		else if (!wait_writable(c, &waited_ms))
			broke(c, ETIMEDOUT);
	}
	__atomic_store_n(&c->n_file_bytes, c->n_file_bytes + at, __ATOMIC_RELAXED);
	c->n_buf = 0;
}

/* Room for 'len' more bytes. */
static uint8_t *room(struct capture *c, size_t len)
{
	if (WRITER_BUF - c->n_buf < len)
		flush(c);
	return c->buf + c->n_buf;
}

static void about(const struct capture *c, char *buf, size_t len)
{
	const struct ob_capture_filter *f = &c->conf.filter;

	snprintf(buf, len, "capture %s%s%s", c->conf.name, f->only_drops ? ", only drops" : "",
	    filter_reads(f) ? ", filtered" : "");
}

static void begin(struct capture *c)
{
	char text[OB_CAPTURE_NAME + 64];
	uint8_t *p = room(c, 4096);

	c->begun = true;
	c->start_real_ns = clock_ns(CLOCK_REALTIME);
	about(c, text, sizeof(text));
	p = pcapng_section(p);
	for (unsigned i = 0; i < c->conf.n_ifs; i++)
		p = pcapng_interface(p, c->conf.ifs[i].name, text, c->conf.snaplen);
	c->n_buf = (size_t)(p - c->buf);
}

/* ---- what became of it ---- */

static const char *name_of(
    const struct names_of *t, uint32_t idx, const char *kind, char *buf, size_t len)
{
	if (idx < t->n && t->name[idx][0] != '\0')
		snprintf(buf, len, "%s", t->name[idx]);
	else
		snprintf(buf, len, "%s%u", kind, idx);
	return buf;
}

static void comment_of(const struct capture *c, const struct rec *r, char *buf, size_t len)
{
	const char *nat = r->flags & OB_PKT_NAT ? ", translated" : "";
	char a[64], b[64];

	switch (r->fate) {
	case OB_FATE_DROPPED:
		snprintf(
		    buf, len, "dropped: %s, %s", ob_drop_name(r->reason), ob_drop_help(r->reason));
		break;
	case OB_FATE_DELIVERED:
		name_of(&c->vifs, r->out_vif, "function ", b, sizeof(b));
		if (r->in_vif == OB_VIF_NONE)
			snprintf(buf, len, "delivered to %s%s", b, nat);
		else if (r->in_vif == r->out_vif)
			snprintf(buf, len, "delivered to %s, made by the card", b);
		else
			snprintf(buf, len, "delivered to %s, sent by %s%s", b,
			    name_of(&c->vifs, r->in_vif, "function ", a, sizeof(a)), nat);
		break;
	case OB_FATE_SENT:
		snprintf(buf, len, "sent: tunnel %s vni %u%s",
		    name_of(&c->tunnels, r->tunnel, "", a, sizeof(a)), r->vni, nat);
		break;
	case OB_FATE_ANSWERED:
		snprintf(buf, len, "answered by the card");
		break;
	case OB_FATE_WIRE_IN:
		snprintf(buf, len, "received, overlay");
		break;
	case OB_FATE_WIRE_OUT:
		snprintf(buf, len, "sent");
		break;
	case OB_FATE_KERNEL:
		snprintf(buf, len, "handed to the card's kernel");
		break;
	default:
		buf[0] = '\0';
	}
}

/* ---- turns ---- */

/* Two clocks at one moment. */
struct anchor {
	uint64_t tsc, real_ns;
	double ns_per_tsc;
};

static struct anchor anchor_now(void)
{
	return (struct anchor){.tsc = rte_rdtsc(),
	    .real_ns = clock_ns(CLOCK_REALTIME),
	    .ns_per_tsc = 1e9 / (double)rte_get_tsc_hz()};
}

static uint64_t real_ns(const struct anchor *a, uint64_t tsc)
{
	int64_t ago = (int64_t)(a->tsc - tsc);

	return a->real_ns - (uint64_t)(int64_t)((double)ago * a->ns_per_tsc);
}

/* The oldest packet that waits, and whose it is. */
static const struct rec *oldest(struct capture *c, struct ring **from)
{
	const struct rec *best = NULL;

	for (unsigned i = 0; i < c->n_rings; i++) {
		const struct rec *r = ring_peek(c->ring[i]);

		if (r != NULL && (best == NULL || (int64_t)(r->tsc - best->tsc) < 0)) {
			best = r;
			*from = c->ring[i];
		}
	}
	return best;
}

static bool at_limit(const struct capture *c, const struct rec *r)
{
	const struct ob_capture_conf *conf = &c->conf;

	if (conf->max_pkts != 0 && c->n_written >= conf->max_pkts)
		return true;
	if (conf->max_bytes != 0 && c->n_bytes + r->len > conf->max_bytes)
		return true;
	return conf->max_file_bytes != 0 && c->n_file_bytes + c->n_buf + r->size + COMMENT + 64 +
						    (uint64_t)conf->n_ifs * PCAPNG_STATS_MAX >
						conf->max_file_bytes;
}

static unsigned write_packets(struct capture *c, uint64_t until_tsc)
{
	const struct anchor now = anchor_now();
	struct ring *from = NULL;
	const struct rec *r;
	char text[COMMENT];
	unsigned n = 0;

	while (!c->broken && (r = oldest(c, &from)) != NULL && (int64_t)(until_tsc - r->tsc) >= 0) {
		uint8_t *p;

		if (at_limit(c, r)) {
			capture_end(c, OB_CAPTURE_LIMIT, 0);
			c->full = true;
			break;
		}
		comment_of(c, r, text, sizeof(text));
		p = pcapng_packet(room(c, PCAPNG_BLOCK_MAX), r, (const uint8_t *)(r + 1),
		    real_ns(&now, r->tsc), text);
		c->n_buf = (size_t)(p - c->buf);
		c->written_if[r->iface]++;
		__atomic_store_n(&c->n_written, c->n_written + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&c->n_bytes, c->n_bytes + r->len, __ATOMIC_RELAXED);
		ring_pop(from, r);
		n++;
	}
	return n;
}

/* Has the reader of a socket left? Nothing would tell if no packets came. */
static void look_for_reader(struct capture *c)
{
	struct pollfd p = {.fd = c->conf.fd, .events = POLLRDHUP};

	if (c->is_socket && poll(&p, 1, 0) > 0)
		broke(c, EPIPE);
}

unsigned writer_step(struct capture *c)
{
	unsigned n;

	if (!c->begun)
		begin(c);
	/* What comes meanwhile waits: a capture of a flood ends too. */
	n = write_packets(c, rte_rdtsc());
	flush(c);
	look_for_reader(c);
	if (c->conf.max_ms != 0 &&
	    clock_ns(CLOCK_MONOTONIC) - c->started_ns > c->conf.max_ms * 1000000ull)
		capture_end(c, OB_CAPTURE_LIMIT, 0);
	if (c->conf.max_pkts != 0 && c->n_written >= c->conf.max_pkts)
		capture_end(c, OB_CAPTURE_LIMIT, 0);
	return n;
}

static void write_stats(struct capture *c)
{
	uint64_t end_ns = clock_ns(CLOCK_REALTIME);

	for (unsigned i = 0; i < c->conf.n_ifs; i++) {
		uint64_t matched = 0, lost = 0;
		uint8_t *p = room(c, PCAPNG_STATS_MAX);

		for (unsigned k = 0; k < c->n_rings; k++) {
			matched += __atomic_load_n(&c->ring[k]->n_matched[i], __ATOMIC_RELAXED);
			lost += __atomic_load_n(&c->ring[k]->n_lost[i], __ATOMIC_RELAXED);
		}
		p = pcapng_stats(p, i, c->start_real_ns, end_ns, matched, lost, c->written_if[i]);
		c->n_buf = (size_t)(p - c->buf);
	}
	flush(c);
}

void writer_finish(struct capture *c)
{
	if (!__atomic_load_n(&c->writing, __ATOMIC_ACQUIRE))
		return;
	/* Whoever ended it, workers may have been in the rings until now. */
	capture_unpublish(c);
	ob_rcu_sync(NULL);
	if (!c->begun)
		begin(c);
	if (!c->full)
		write_packets(c, rte_rdtsc());
	write_stats(c);
	close(c->conf.fd);
	capture_done(c);
}

static void nap(struct capture *c)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += NAP_NS;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_nsec -= 1000000000l;
		until.tv_sec++;
	}
	pthread_mutex_lock(&c->wake_lock);
	if (running(c))
		pthread_cond_timedwait(&c->wake, &c->wake_lock, &until);
	pthread_mutex_unlock(&c->wake_lock);
}

void *writer_main(void *arg)
{
	struct capture *c = arg;
	sigset_t all;

	/* Signals are the main thread's; a file size limit is an error of this file only (EFBIG). */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	prctl(PR_SET_NAME, "ob-capture");
	while (running(c))
		if (writer_step(c) == 0)
			nap(c);
	writer_finish(c);
	return NULL;
}
