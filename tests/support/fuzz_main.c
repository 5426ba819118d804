/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a libFuzzer target without libFuzzer: every file of the corpus folder, then a bounded number of
 * mutations of them from a fixed seed, so that each compiler and each architecture runs the same inputs. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES   8192
#define MAX_SEEDS   512
#define N_MUTATIONS 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seed {
	size_t len;
	uint8_t bytes[MAX_BYTES];
};

static struct seed *seeds[MAX_SEEDS];
static unsigned n_seeds;
static uint64_t rng = 0x9e3779b97f4a7c15ull;

static uint32_t rand32(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16);
}

static void load(const char *dir, const char *name)
{
	char path[4096];
	struct seed *s;
	FILE *f;

	if (name[0] == '.' || n_seeds == MAX_SEEDS)
		return;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (f == NULL)
		return;
	s = calloc(1, sizeof(*s));
	if (s != NULL) {
		s->len = fread(s->bytes, 1, sizeof(s->bytes), f);
		seeds[n_seeds++] = s;
	}
	fclose(f);
}

/* From a buffer of just that size, so that a sanitizer sees the first byte read past it. */
static void run(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);

	if (exact == NULL)
		abort();
	memcpy(exact, bytes, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
}

/* Puts a piece of another seed somewhere: sequences of operations mix. */
static void splice(struct seed *m, const struct seed *other)
{
	size_t from = other->len ? rand32() % other->len : 0;
	size_t n = other->len > from ? rand32() % (other->len - from) + 1 : 0;
	size_t at = m->len ? rand32() % m->len : 0;

	if (n > MAX_BYTES - m->len)
		n = MAX_BYTES - m->len;
	memmove(m->bytes + at + n, m->bytes + at, m->len - at);
	memcpy(m->bytes + at, other->bytes + from, n);
	m->len += n;
}

static void mutate(struct seed *m)
{
	unsigned n = 1 + rand32() % 8;

	for (unsigned i = 0; i < n; i++) {
		size_t at = m->len ? rand32() % m->len : 0;

		switch (rand32() % 6) {
		case 0:
			m->bytes[at] = (uint8_t)rand32();
			break;
		case 1:
			m->bytes[at] ^= (uint8_t)(1u << (rand32() % 8));
			break;
		case 2:
			m->len = at;
			break;
		case 3:
			if (m->len < MAX_BYTES)
				m->bytes[m->len++] = (uint8_t)rand32();
			break;
		case 4:
			splice(m, seeds[rand32() % n_seeds]);
			break;
		default:
			m->bytes[at] = (rand32() & 1) ? 0xff : 0;
			break;
		}
	}
}

int main(int argc, char **argv)
{
	struct seed *m = calloc(1, sizeof(*m));
	struct dirent **e;
	int n;

	unsigned n_mutations = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : N_MUTATIONS;

	if (argc < 2 || m == NULL) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER [MUTATIONS]\n", argv[0]);
		return 2;
	}
	/* Sorted: a folder lists its files in another order on another file system. */
	n = scandir(argv[1], &e, NULL, alphasort);
	if (n < 0) {
		fprintf(stderr, "%s: no such corpus\n", argv[1]);
		return 2;
	}
	for (int i = 0; i < n; i++) {
		load(argv[1], e[i]->d_name);
		free(e[i]);
	}
	free(e);
	if (n_seeds == 0) {
		fprintf(stderr, "%s: the corpus is empty\n", argv[1]);
		return 2;
	}
	for (unsigned i = 0; i < n_seeds; i++)
		run(seeds[i]->bytes, seeds[i]->len);
	for (unsigned i = 0; i < n_mutations; i++) {
		*m = *seeds[rand32() % n_seeds];
		mutate(m);
		run(m->bytes, m->len);
	}
	printf("%u seeds, %u mutations\n", n_seeds, n_mutations);
	for (unsigned i = 0; i < n_seeds; i++)
		free(seeds[i]);
	free(m);
	return 0;
}
