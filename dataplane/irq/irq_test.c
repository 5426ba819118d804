/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ob_irq.h"

static void signal_adds_one_and_a_full_counter_is_no_error(void **state)
{
	int fd = eventfd(0, 0);
	uint64_t n = UINT64_MAX - 1;

	(void)state;
	assert_true(ob_irq_is_eventfd(fd));
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(ob_irq_signal(fd), 0);
	assert_int_equal(ob_irq_signal(fd), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 2);
	n = UINT64_MAX - 1;
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(ob_irq_signal(fd), -EAGAIN);
	close(fd);
	assert_int_equal(ob_irq_signal(fd), -EBADF);
}

static void other_files_are_no_interrupts(void **state)
{
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_false(ob_irq_is_eventfd(p[1]));
	assert_false(ob_irq_is_eventfd(-1));
	close(p[0]);
	close(p[1]);
}

/* The race that the host can win: blocking mode again and the counter full, after we looked. */
static void a_host_that_makes_us_block_is_found_and_the_writer_freed(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t full = UINT64_MAX - 1;

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
		assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
		assert_int_equal(ob_irq_signal(fd), -EDEADLK);
		assert_int_equal(read(fd, &full, sizeof(full)), sizeof(full));
		assert_int_equal(full, 1);
		full = UINT64_MAX - 1;
		assert_int_equal(ob_irq_signal(fd), 0); /* the same thread goes on with others */
		assert_int_equal(read(fd, &full, sizeof(full)), sizeof(full));
		full = UINT64_MAX - 1;
	}
	close(fd);
}

static void sleep_ms(long ms)
{
	const struct timespec t = {.tv_nsec = ms * 1000000};

	nanosleep(&t, NULL);
}

static void interrupted(int sig)
{
	(void)sig;
	sleep_ms(45);
}

struct victim {
	pthread_t thread;
	bool done; /* atomic */
};

/* Stops the victim for longer than the guard is patient; most of the victim's time is spent in its writes. */
static void *stop_now_and_then(void *arg)
{
	struct victim *v = arg;

	for (unsigned i = 0; i < 8; i++) {
		sleep_ms(3);
		pthread_kill(v->thread, SIGUSR1);
		sleep_ms(50);
	}
	__atomic_store_n(&v->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void a_writer_that_lost_its_core_is_no_blocked_one(void **state)
{
	const struct sigaction sa = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
	struct victim v = {.thread = pthread_self()};
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0, sum = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
	assert_int_equal(pthread_create(&t, NULL, stop_now_and_then, &v), 0);
	while (!__atomic_load_n(&v.done, __ATOMIC_ACQUIRE)) {
		assert_int_equal(ob_irq_signal(fd), 0);
		n++;
	}
	pthread_join(t, NULL);
	assert_int_equal(read(fd, &sum, sizeof(sum)), sizeof(sum));
	assert_int_equal(sum, n);
	close(fd);
}

static void *set_nonblock_later(void *arg)
{
	const struct timespec later = {.tv_nsec = 5000000};

	nanosleep(&later, NULL);
	fcntl(*(int *)arg, F_SETFL, O_NONBLOCK);
	return NULL;
}

static void a_host_that_hides_its_blocking_mode_is_found_too(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t full = UINT64_MAX - 1;
	pthread_t t;

	(void)state;
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(pthread_create(&t, NULL, set_nonblock_later, &fd), 0);
	assert_int_equal(ob_irq_signal(fd), -EDEADLK);
	pthread_join(t, NULL);
	close(fd);
}

static void *one_signal(void *arg)
{
	return (void *)(intptr_t)ob_irq_signal(*(int *)arg);
}

static void threads_give_their_slot_back(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		pthread_t t;
		void *ret;

		assert_int_equal(pthread_create(&t, NULL, one_signal, &fd), 0);
		pthread_join(t, &ret);
		assert_null(ret);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(signal_adds_one_and_a_full_counter_is_no_error),
	    cmocka_unit_test(other_files_are_no_interrupts),
	    cmocka_unit_test(a_host_that_makes_us_block_is_found_and_the_writer_freed),
	    cmocka_unit_test(a_writer_that_lost_its_core_is_no_blocked_one),
	    cmocka_unit_test(a_host_that_hides_its_blocking_mode_is_found_too),
	    cmocka_unit_test(threads_give_their_slot_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
