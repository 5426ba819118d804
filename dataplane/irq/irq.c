/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_irq.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 128 /* that ever signalled; a thread that ends gives its slot back */
#define LOOK_NS	    10000000

/* What one thread is signalling. */
struct slot {
	uint32_t used;	/* atomic */
	uint32_t round; /* atomic: odd while a write is under way */
	int32_t fd;	/* atomic */
	uint32_t freed; /* atomic: the round that the guard had to free */
	uint32_t seen;	/* guard only */
};

static struct slot slots[MAX_THREADS];
static __thread struct slot *mine;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_exit;

bool ob_irq_is_eventfd(int fd)
{
	char link[32], target[32] = "";
	int flags = fcntl(fd, F_GETFL);

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return flags >= 0 && readlink(link, target, sizeof(target) - 1) > 0 &&
	       strcmp(target, "anon_inode:[eventfd]") == 0 &&
	       fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* Whether a write would hang now. One that does not was only taken off its core while under way, as happens on a busy machine. */
static bool hangs(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	/* O_NONBLOCK says nothing: the host may have set it again behind a write that already waits. An honest host's
	 * counter is never full. */
	return poll(&p, 1, 0) == 0;
}

/* The write of round 'round' seems to hang. The descriptor is duplicated before the last look at the round: if that is unchanged, the write
 * was under way all the time, so the number meant this very file. */
static void unblock(struct slot *s, uint32_t round)
{
	int fd = fcntl(__atomic_load_n(&s->fd, __ATOMIC_RELAXED), F_DUPFD_CLOEXEC, 3);
	uint64_t count;

	if (fd < 0)
		return;
	if (hangs(fd) && __atomic_load_n(&s->round, __ATOMIC_ACQUIRE) == round) {
		__atomic_store_n(&s->freed, round, __ATOMIC_RELAXED);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		/* Empties the counter, which lets the writer through; EAGAIN if it came through by itself. */
		if (read(fd, &count, sizeof(count)) < 0)
			count = 0;
	}
	close(fd);
}

static void *guard(void *arg)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};

	for (;;) {
		nanosleep(&look, NULL);
		for (unsigned i = 0; i < MAX_THREADS; i++) {
			struct slot *s = &slots[i];
			uint32_t round = __atomic_load_n(&s->round, __ATOMIC_ACQUIRE);

			if ((round & 1) && s->seen == round)
				unblock(s, round);
			s->seen = round;
		}
	}
	return arg;
}

static void give_back(void *slot)
{
	/* Pairs with the acquire of the thread that takes it next. */
	__atomic_store_n(&((struct slot *)slot)->used, 0, __ATOMIC_RELEASE);
}

static void start(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_key_create(&at_exit, give_back);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_create(&thread, &attr, guard, NULL);
	pthread_attr_destroy(&attr);
}

static struct slot *take_slot(void)
{
	pthread_once(&once, start);
	for (unsigned i = 0; i < MAX_THREADS; i++) {
		uint32_t expected = 0;

		if (!__atomic_compare_exchange_n(
			&slots[i].used, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		mine = &slots[i];
		pthread_setspecific(at_exit, mine);
		return mine;
	}
	return NULL;
}

int ob_irq_signal(int fd)
{
	struct slot *s = mine != NULL ? mine : take_slot();
	const uint64_t one = 1;
	uint32_t round;
	ssize_t n;

	if (s == NULL)
		return -EDEADLK; /* more threads than any configuration has: rather no interrupt than an unguarded one */
	round = s->round + 1;
	__atomic_store_n(&s->fd, fd, __ATOMIC_RELAXED);
	__atomic_store_n(&s->round, round, __ATOMIC_RELEASE); /* pairs with the guard's acquire */
	n = write(fd, &one, sizeof(one));
	__atomic_store_n(&s->round, round + 1, __ATOMIC_RELEASE);
	if (__builtin_expect(__atomic_load_n(&s->freed, __ATOMIC_RELAXED) == round, 0))
		return -EDEADLK;
	if (n >= 0)
		return 0;
	return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EBADF;
}
