/* SPDX-License-Identifier: BSD-3-Clause */
#include "gmem_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS_PER_BLOCK 256

/* The handler reads slots without a lock. A slot is filled base last (release) and emptied base first; the memory
 * that faults is registered for as long as anybody may touch it, so a slot that changes meanwhile is another one's and
 * cannot hold the address. */
struct fault_slot {
	_Atomic uintptr_t base; /* 0: free */
	_Atomic size_t len;
	struct ob_gmem *_Atomic gm;
	_Atomic bool hit;
};

/* Never freed: the handler may be walking it. */
struct fault_block {
	struct fault_slot slot[SLOTS_PER_BLOCK];
	struct fault_block *_Atomic next;
};

static struct fault_block first_block;
static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static size_t page_size;

struct fault_slot *fault_watch(struct ob_gmem *gm, const void *base, size_t len)
{
	struct fault_slot *slot = NULL;
	struct fault_block *b;

	pthread_mutex_lock(&watch_lock);
	for (b = &first_block; slot == NULL; b = atomic_load(&b->next)) {
		for (unsigned i = 0; i < SLOTS_PER_BLOCK && slot == NULL; i++) {
			if (atomic_load_explicit(&b->slot[i].base, memory_order_relaxed) == 0)
				slot = &b->slot[i];
		}
		if (slot == NULL && atomic_load(&b->next) == NULL) {
			struct fault_block *more = calloc(1, sizeof(*more));

			if (more == NULL)
				break;
			atomic_store(&b->next, more);
		}
	}
	if (slot != NULL) {
		atomic_store_explicit(&slot->gm, gm, memory_order_relaxed);
		atomic_store_explicit(&slot->len, len, memory_order_relaxed);
		atomic_store_explicit(&slot->hit, false, memory_order_relaxed);
		/* Pairs with the acquire in find(). */
		atomic_store_explicit(&slot->base, (uintptr_t)base, memory_order_release);
	}
	pthread_mutex_unlock(&watch_lock);
	return slot;
}

void fault_unwatch(struct fault_slot *slot)
{
	if (slot == NULL)
		return;
	pthread_mutex_lock(&watch_lock);
	atomic_store(&slot->base, 0);
	pthread_mutex_unlock(&watch_lock);
}

bool fault_hit(const struct fault_slot *slot)
{
	return atomic_load_explicit(&slot->hit, memory_order_relaxed);
}

static struct fault_slot *find(uintptr_t addr, uintptr_t *base, size_t *len)
{
	const struct fault_block *b;

	for (b = &first_block; b != NULL;
	     b = atomic_load_explicit(&b->next, memory_order_acquire)) {
		for (unsigned i = 0; i < SLOTS_PER_BLOCK; i++) {
			const struct fault_slot *s = &b->slot[i];

			*base = atomic_load_explicit(&s->base, memory_order_acquire);
			*len = atomic_load_explicit(&s->len, memory_order_acquire);
			if (*base != 0 && addr - *base < *len && atomic_load(&s->base) == *base)
				return (struct fault_slot *)(uintptr_t)s;
		}
	}
	return NULL;
}

/* Puts zero pages from the page of 'addr' to the end of its mapping: a file that lost this page lost what follows
 * too, so a shrunk file costs one fault and not one a page. Context: signal handler. */
static bool mend(uintptr_t addr)
{
	const size_t sizes[] = {page_size, 2u << 20, 1u << 30};
	uintptr_t base;
	size_t len;
	struct fault_slot *s = find(addr, &base, &len);
	struct ob_gmem_hot *hot;

	if (s == NULL)
		return false;
	for (unsigned i = 0; i < 3; i++) {
		uintptr_t from = addr & ~(sizes[i] - 1);
		void *at = (void *)from;

		if (from < base)
			break;
		/* Refused where the mapping is made of larger pages than this. */
		if (mmap(at, base + len - from, PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != at)
			continue;
		hot = &atomic_load(&s->gm)->hot;
		atomic_store(&s->hit, true);
		atomic_fetch_add(&hot->n_faults, 1);
		atomic_store(&hot->poisoned, true);
		return true;
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *ctx)
{
	int saved = errno;
	bool mended = info->si_code > 0 && mend((uintptr_t)info->si_addr);

	errno = saved;
	if (mended)
		return;
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(sig, info, ctx);
	} else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(sig);
	} else {
		/* Not ours: let the access fault again and end the process the usual way. */
		signal(sig, SIG_DFL);
		if (info->si_code <= 0)
			raise(sig);
	}
}

int ob_gmem_catch_faults(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction now;
	int rc = 0;

	pthread_mutex_lock(&install_lock);
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, NULL, &now) != 0) {
		rc = -errno;
	} else if ((now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction != on_sigbus) {
		previous = now;
		if (sigaction(SIGBUS, &sa, NULL) != 0)
			rc = -errno;
	}
	pthread_mutex_unlock(&install_lock);
	return rc;
}
