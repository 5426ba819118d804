/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#define COUNTERS_LAYOUT 1
#define DEFAULT_MBUFS	16384
#define DEFAULT_ROOM	2048
#define IDLE_SPIN_US	50

RTE_LOG_REGISTER(worker_logtype, ob.worker, INFO);

struct ob_worker *ob_workers[OB_MAX_WORKERS];
unsigned ob_n_workers;

static_assert(sizeof(struct ob_worker_counters) == 128, "arena layout");

static int epoll_add(const struct ob_worker *w, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int create_pool(struct ob_worker *w, const struct ob_workers_conf *conf)
{
	unsigned n = conf->n_mbufs ? conf->n_mbufs : DEFAULT_MBUFS;
	unsigned room = conf->mbuf_data_room ? conf->mbuf_data_room : DEFAULT_ROOM;
	unsigned cache = RTE_MIN(n / 4, 256u);
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "ob_pkt_%u", w->head.id);
	w->head.pool = rte_pktmbuf_pool_create(name, n, cache,
	    RTE_ALIGN_CEIL(sizeof(struct ob_meta), RTE_MBUF_PRIV_ALIGN),
	    (uint16_t)(OB_HEADROOM + room), SOCKET_ID_ANY);
	if (w->head.pool == NULL) {
		rte_log(RTE_LOG_ERR, worker_logtype,
		    "%u packet buffers of %u bytes: %s; lower their number or give more memory\n",
		    n, room, rte_strerror(rte_errno));
		return -rte_errno;
	}
	return 0;
}

static int create_shared(struct ob_worker *w, struct ob_arena *arena)
{
	char name[OB_ARENA_NAME_MAX];
	void *p;
	bool fresh;
	int ret;

	snprintf(name, sizeof(name), "worker.%u", w->head.id);
	ret = ob_arena_region(arena, name, COUNTERS_LAYOUT, sizeof(*w->counters), &p, &fresh);
	if (ret < 0)
		return ret;
	w->counters = p;
	ret = worker_drops_init(w, arena);
	if (ret < 0)
		return ret;
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->wake_fd < 0 || w->epoll_fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "ob_handoff_%u", w->head.id);
	w->handoff = rte_ring_create(name, HANDOFF_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
	if (w->handoff == NULL)
		return -rte_errno;
	return epoll_add(w, w->wake_fd);
}

static void worker_destroy(struct ob_worker *w)
{
	void *m;

	if (w == NULL)
		return;
	while (w->handoff != NULL && rte_ring_dequeue(w->handoff, &m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(w->handoff);
	rte_mempool_free(w->head.pool);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	pthread_mutex_destroy(&w->mail_lock);
	free(w->sources);
	free(w);
}

static int worker_create(unsigned id, const struct ob_workers_conf *conf, struct ob_worker **out)
{
	struct ob_worker *w =
	    aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*w), RTE_CACHE_LINE_SIZE));
	int ret = -ENOMEM;

	if (w == NULL)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->head.id = id;
	w->head.cpu = conf->cpus != NULL ? conf->cpus[id] : -1;
	w->manual = conf->manual;
	w->poll_always = conf->poll_always;
	w->most_spin_tsc = rte_get_tsc_hz() * IDLE_SPIN_US / 1000000;
	w->idle_spin_tsc = w->most_spin_tsc;
	w->wake_fd = w->epoll_fd = -1;
	w->mail_tail = &w->mail_head;
	pthread_mutex_init(&w->mail_lock, NULL);
	w->sources = calloc(MAX_SOURCES, sizeof(*w->sources));
	if (w->sources == NULL)
		goto err_destroy;
	ret = create_shared(w, conf->arena);
	if (ret < 0)
		goto err_destroy;
	ret = create_pool(w, conf);
	if (ret < 0)
		goto err_destroy;
	*out = w;
	return 0;

err_destroy:
	worker_destroy(w);
	return ret;
}

static int start_thread(struct ob_worker *w)
{
	char name[16];
	int ret = pthread_create(&w->thread, NULL, worker_main, w);

	if (ret != 0)
		return -ret;
	w->thread_running = true;
	snprintf(name, sizeof(name), "ob-worker-%u", w->head.id);
	pthread_setname_np(w->thread, name);
	if (w->head.cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(w->head.cpu, &set);
		if (pthread_setaffinity_np(w->thread, sizeof(set), &set) != 0)
			rte_log(RTE_LOG_WARNING, worker_logtype,
			    "worker %u: CPU %d is not to be had; the scheduler places it\n",
			    w->head.id, w->head.cpu);
	}
	return 0;
}

int ob_workers_start(const struct ob_workers_conf *conf)
{
	int ret;

	if (conf->n_workers < 1 || conf->n_workers > OB_MAX_WORKERS || conf->arena == NULL ||
	    ob_n_workers != 0)
		return -EINVAL;
	for (unsigned i = 0; i < conf->n_workers; i++) {
		ret = worker_create(i, conf, &ob_workers[i]);
		if (ret < 0)
			goto err_stop;
		ob_n_workers++;
	}
	for (unsigned i = 0; i < conf->n_workers && !conf->manual; i++) {
		ret = start_thread(ob_workers[i]);
		if (ret < 0)
			goto err_stop;
	}
	return 0;

err_stop:
	ob_workers_stop();
	return ret;
}

void ob_workers_stop(void)
{
	for (unsigned i = 0; i < ob_n_workers; i++) {
		struct ob_worker *w = ob_workers[i];

		if (!w->thread_running)
			continue;
		__atomic_store_n(
		    &w->stop, 1, __ATOMIC_RELEASE); /* pairs with the loads in loop.c */
		ob_worker_wake(w);
		pthread_join(w->thread, NULL);
		w->thread_running = false;
	}
	ob_rcu_reclaim();
	for (unsigned i = 0; i < ob_n_workers; i++) {
		worker_destroy(ob_workers[i]);
		ob_workers[i] = NULL;
	}
	ob_n_workers = 0;
	ob_workers_set_handoff(NULL, NULL);
}

unsigned ob_workers_count(void)
{
	return ob_n_workers;
}

struct ob_worker *ob_worker_get(unsigned id)
{
	return id < ob_n_workers ? ob_workers[id] : NULL;
}

static int add_source(struct ob_worker *w, void *arg)
{
	const struct ob_source *src = arg;
	int ret;

	if (w->n_sources == MAX_SOURCES)
		return -ENOSPC;
	if (src->wake_fd >= 0) {
		ret = epoll_add(w, src->wake_fd);
		if (ret < 0)
			return ret;
	}
	w->sources[w->n_sources++] = *src;
	w->n_must_poll += src->must_poll;
	return 0;
}

static int del_source(struct ob_worker *w, void *arg)
{
	const struct ob_source *src = arg;

	for (unsigned i = 0; i < w->n_sources; i++) {
		struct ob_source *s = &w->sources[i];

		if (s->poll != src->poll || s->arg != src->arg)
			continue;
		if (s->wake_fd >= 0)
			epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, s->wake_fd, NULL);
		w->n_must_poll -= s->must_poll;
		*s = w->sources[--w->n_sources];
		return 0;
	}
	return -ENOENT;
}

static int add_flush(struct ob_worker *w, void *arg)
{
	if (w->n_flushes == MAX_FLUSHES)
		return -ENOSPC;
	w->flushes[w->n_flushes++] = *(const struct ob_flush *)arg;
	return 0;
}

static int del_flush(struct ob_worker *w, void *arg)
{
	const struct ob_flush *fl = arg;

	for (unsigned i = 0; i < w->n_flushes; i++) {
		if (w->flushes[i].flush != fl->flush || w->flushes[i].arg != fl->arg)
			continue;
		/* Hooks run in the order in which they were added: keep it. */
		memmove(&w->flushes[i], &w->flushes[i + 1],
		    (w->n_flushes - i - 1) * sizeof(w->flushes[0]));
		w->n_flushes--;
		return 0;
	}
	return -ENOENT;
}

int ob_worker_add_source(struct ob_worker *w, const struct ob_source *src)
{
	struct ob_source copy = *src;

	return ob_worker_call(w, add_source, &copy);
}

int ob_worker_del_source(struct ob_worker *w, const struct ob_source *src)
{
	struct ob_source copy = *src;

	return ob_worker_call(w, del_source, &copy);
}

int ob_worker_add_flush(struct ob_worker *w, const struct ob_flush *fl)
{
	struct ob_flush copy = *fl;

	return ob_worker_call(w, add_flush, &copy);
}

int ob_worker_del_flush(struct ob_worker *w, const struct ob_flush *fl)
{
	struct ob_flush copy = *fl;

	return ob_worker_call(w, del_flush, &copy);
}

void ob_worker_counters_read(unsigned id, struct ob_worker_counters *out)
{
	const uint64_t *from;
	uint64_t *to = (uint64_t *)out;

	memset(out, 0, sizeof(*out));
	if (id >= ob_n_workers)
		return;
	from = (const uint64_t *)ob_workers[id]->counters;
	for (unsigned i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
