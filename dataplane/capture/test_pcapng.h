/* SPDX-License-Identifier: BSD-3-Clause */
/* A reader of pcapng for tests: strict about what it knows, shares nothing with the writer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST_PACKETS 4096

struct test_pcapng_packet {
	uint32_t iface, cap_len, len, flags;
	uint64_t ns;
	const uint8_t *bytes;
	char comment[400];
};

struct test_pcapng {
	uint8_t file[4u << 20];
	size_t size;
	unsigned n_ifs, n_packets, n_stats;
	char if_name[16][64];
	uint32_t snaplen[16];
	uint64_t recv[16], drop[16], deliv[16];
	struct test_pcapng_packet packet[TEST_PACKETS];
	const char *error;
};

static inline uint32_t test_get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t test_time(const uint8_t *p)
{
	return (uint64_t)test_get32(p) << 32 | test_get32(p + 4);
}

/* The next option, or false at the end. */
static inline bool test_option(
    const uint8_t **p, const uint8_t *end, uint32_t *code, uint32_t *len, const uint8_t **value)
{
	if (end - *p < 4)
		return false;
	*code = test_get32(*p) & 0xffff;
	*len = test_get32(*p) >> 16;
	*value = *p + 4;
	*p += 4 + ((*len + 3) & ~3u);
	return *code != 0 && *p <= end;
}

static inline const char *test_block(
    struct test_pcapng *t, uint32_t type, const uint8_t *b, uint32_t n)
{
	const uint8_t *end = b + n, *at, *value;
	uint32_t code, len, i;

	switch (type) {
	case 0x0A0D0D0A:
		return test_get32(b) == 0x1A2B3C4D && test_get32(b + 4) == 1 ? NULL : "section";
	case 1:
		i = t->n_ifs++;
		if (i == 16 || (test_get32(b) & 0xffff) != 1)
			return "interface";
		t->snaplen[i] = test_get32(b + 4);
		for (at = b + 8; test_option(&at, end, &code, &len, &value);) {
			if (code == 2)
				snprintf(t->if_name[i], sizeof(t->if_name[i]), "%.*s", (int)len,
				    (const char *)value);
			if (code == 9 && *value != 9)
				return "resolution";
		}
		return NULL;
	case 6: {
		struct test_pcapng_packet *k = &t->packet[t->n_packets];

		if (++t->n_packets > TEST_PACKETS)
			return "too many packets for the test";
		k->iface = test_get32(b);
		k->ns = test_time(b + 4);
		k->cap_len = test_get32(b + 12);
		k->len = test_get32(b + 16);
		k->bytes = b + 20;
		if (k->iface >= t->n_ifs || k->cap_len > n - 20 || k->cap_len > k->len)
			return "packet";
		for (at = k->bytes + ((k->cap_len + 3) & ~3u);
		     test_option(&at, end, &code, &len, &value);) {
			if (code == 1)
				snprintf(k->comment, sizeof(k->comment), "%.*s", (int)len,
				    (const char *)value);
			if (code == 2)
				k->flags = test_get32(value);
		}
		return NULL;
	}
	case 5:
		i = test_get32(b);
		if (i >= t->n_ifs)
			return "statistics";
		t->n_stats++;
		for (at = b + 12; test_option(&at, end, &code, &len, &value);) {
			uint64_t v = test_get32(value) | (uint64_t)test_get32(value + 4) << 32;

			if (code == 4)
				t->recv[i] = v;
			if (code == 5)
				t->drop[i] = v;
			if (code == 8)
				t->deliv[i] = v;
		}
		return NULL;
	default:
		return "unknown block";
	}
}

/* Reads what 't->file' holds; t->error: what is wrong with it. */
static inline void test_pcapng_parse(struct test_pcapng *t)
{
	const uint8_t *p = t->file, *end = p + t->size;

	t->n_ifs = t->n_packets = t->n_stats = 0;
	t->error = t->size == 0 ? "empty" : NULL;
	memset(t->packet, 0, sizeof(t->packet));
	while (p < end && t->error == NULL) {
		uint32_t len = end - p < 12 ? 0 : test_get32(p + 4);

		if (len < 12 || len % 4 != 0 || len > (size_t)(end - p) ||
		    test_get32(p + len - 4) != len) {
			t->error = "block length";
			return;
		}
		t->error = test_block(t, test_get32(p), p + 8, len - 12);
		p += len;
	}
}

static inline void test_pcapng_read(struct test_pcapng *t, int fd)
{
	ssize_t n = pread(fd, t->file, sizeof(t->file), 0);

	t->size = n > 0 ? (size_t)n : 0;
	test_pcapng_parse(t);
}
