/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_suite.h"

#include <stdio.h>
#include <stdlib.h>

#include "target_proc.h"

#define MEM_BYTES (24u << 20)

static struct target_proc target;

int suite_start(void **state)
{
	(void)state;
	return target_start(&target, NVME_TARGET, getenv("NVME_TARGET_ARG"));
}

int suite_stop(void **state)
{
	(void)state;
	return target_stop(&target);
}

static int dial(struct nvd *d, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s.sock", target.dir, name);
	/* The socket serves one peer at a time: the one before may still be on its way out. */
	for (unsigned i = 0; i < 200; i++) {
		int rc = nvd_open(d, path, MEM_BYTES);

		if (rc == 0)
			return 0;
		usleep(10000);
	}
	return -1;
}

static int attach(struct suite *s)
{
	if (dial(&s->a, "a") < 0)
		return -1;
	s->buf = fake_guest_alloc(&s->a.g, BUF_BYTES, 4096);
	s->mem = fake_guest_ptr(&s->a.g, s->buf);
	return s->buf == 0 ? -1 : 0;
}

int suite_connect(void **state)
{
	struct suite *s = calloc(1, sizeof(*s));

	if (s == NULL || attach(s) < 0) {
		free(s);
		return -1;
	}
	*state = s;
	return 0;
}

int suite_enable(void **state)
{
	struct suite *s;

	if (suite_connect(state) < 0)
		return -1;
	s = *state;
	return nvd_enable(&s->a, 32);
}

int suite_queues(void **state)
{
	struct suite *s;

	if (suite_enable(state) < 0)
		return -1;
	s = *state;
	return nvd_create_queues(&s->a, 1, 128, 128, 1);
}

int suite_close(void **state)
{
	struct suite *s = *state;

	nvd_close(&s->a);
	if (s->has_b)
		nvd_close(&s->b);
	free(s);
	return target_lives(&target) ? 0 : -1;
}

void suite_open_b(struct suite *s)
{
	assert_int_equal(dial(&s->b, "b"), 0);
	s->has_b = true;
	assert_int_equal(nvd_enable(&s->b, 32), 0);
	assert_int_equal(nvd_create_queues(&s->b, 1, 128, 128, NVD_NO_IRQ), 0);
}

void suite_on(struct suite *s)
{
	assert_int_equal(nvd_enable(&s->a, 32), 0);
	assert_int_equal(nvd_create_queues(&s->a, 1, 128, 128, 1), 0);
}

void suite_again(struct suite *s)
{
	nvd_close(&s->a);
	assert_int_equal(attach(s), 0);
	suite_on(s);
}

void sc_is(int got, int want, const char *what, int line)
{
	if (got == want)
		return;
	if (got < 0)
		fail_msg("line %d: %s: %s, want status %03x", line, what, strerror(-got), want);
	fail_msg("line %d: %s: status %03x, want %03x", line, what, got, want);
}

void sc_in(int got, const int *want, unsigned n, const char *what, int line)
{
	for (unsigned i = 0; i < n; i++)
		if (got == want[i])
			return;
	sc_is(got, want[0], what, line);
}

int rw(struct suite *s, uint8_t opc, uint32_t nsid, uint64_t slba, uint32_t n, uint32_t off)
{
	struct nvd_sqe cmd = nvd_rw(opc, nsid, slba, n);

	nvd_data(&s->a, &cmd, s->buf + off, (size_t)n * (nsid == NULL_4K ? 4096 : 512));
	return nvd_exec(&s->a, &s->a.sq[1], &cmd, NULL);
}

void fill(struct suite *s, uint32_t off, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		s->mem[off + i] = (uint8_t)((seed + i) * 2654435761u >> 13);
}

bool holds(const struct suite *s, uint32_t off, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		if (s->mem[off + i] != (uint8_t)((seed + i) * 2654435761u >> 13))
			return false;
	return true;
}

void works(struct suite *s)
{
	static uint32_t seed = 1000;

	seed++;
	fill(s, 0, 512, seed);
	IS(0, rw(s, NVD_WRITE, RAM, seed % RAM_BLOCKS, 1, 0));
	IS(0, rw(s, NVD_READ, RAM, seed % RAM_BLOCKS, 1, 4096));
	assert_true(holds(s, 4096, 512, seed));
}
