/* SPDX-License-Identifier: BSD-3-Clause */
/* file: opening and its errors, alignment, queues that are full, a file that changes under us. */
#include "test_file.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "file_priv.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static char err[160];
static uint8_t page[8192] __attribute__((aligned(4096)));

static int create(const char *path, uint64_t bytes, bool buffered, bool ro, struct ob_blk **b)
{
	struct ob_blk_file_conf conf = {
	    .path = path, .bytes = bytes, .buffered = buffered, .read_only = ro};

	err[0] = '\0';
	return ob_blk_file_create("disk", &conf, b, err, sizeof(err));
}

static struct ob_blk_ch *open_ch(struct ob_blk *b)
{
	struct ob_blk_ch *ch;

	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	return ch;
}

/* What another process gets. */
static int lock_from_child(const char *path, short type)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET};
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fcntl(open(path, O_RDWR), F_SETLK, &fl) == 0 ? 0 : errno);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void file_of_another_process_is_ebusy(void **state)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char text[32], go = 0;
	struct test_file t;
	struct ob_blk *b;
	int pipes[2];
	pid_t pid;

	(void)state;
	test_file_init(&t);
	ob_blk_put(test_file_open(&t, MIB));
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		go = fcntl(open(t.path, O_RDWR), F_SETLK, &fl) == 0;
		if (write(pipes[1], &go, 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pipes[0], &go, 1), 1);
	assert_int_equal(go, 1);
	assert_int_equal(create(t.path, 0, true, false, &b), -EBUSY);
	snprintf(text, sizeof(text), "process %d:", (int)pid);
	assert_non_null(strstr(err, text));
	assert_int_equal(create(t.path, 0, true, true, &b), -EBUSY);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(create(t.path, 0, true, false, &b), 0);
	ob_blk_put(b);
	close(pipes[0]);
	close(pipes[1]);
	test_file_remove(&t);
}

static void errors_of_opening_say_what_to_do(void **state)
{
	struct ob_blk_file_conf conf = {.path = "x", .bytes = 4096, .block_bytes = 520};
	struct ob_blk *b, *c;
	struct test_file t;
	char none[PATH_MAX + 8];

	(void)state;
	test_file_init(&t);
	snprintf(none, sizeof(none), "%s/no/no", t.dir);
	assert_int_equal(create(NULL, MIB, true, false, &b), -EINVAL);
	assert_int_equal(create("", MIB, true, false, &b), -EINVAL);
	assert_int_equal(ob_blk_file_create("d", &conf, &b, err, sizeof(err)), -EINVAL);
	conf.block_bytes = 512;
	assert_int_equal(ob_blk_file_create("a b", &conf, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(access("x", F_OK), -1);
	assert_int_equal(create(t.path, 1000, true, false, &b), -EINVAL);
	assert_int_equal(create(t.path, 0, true, false, &b), -ENOENT);
	assert_int_equal(create(t.path, MIB, true, true, &b), -ENOENT);
	assert_int_equal(create(none, MIB, true, false, &b), -ENOENT);
	assert_non_null(strstr(err, none));
	assert_true(create(t.dir, MIB, true, true, &b) < 0);
	assert_int_equal(create("/proc/self/status", 0, false, true, &b), -EINVAL);
	assert_non_null(strstr(err, "buffered"));
	assert_int_equal(create("/dev/null", 0, true, false, &b), -EINVAL);
	/* What was made for a size that the file system does not take is gone again. */
	if (create(t.path, INT64_MAX & ~4095ull, true, false, &b) == 0) {
		ob_blk_put(b);
		unlink(t.path);
	}
	assert_int_equal(access(t.path, F_OK), -1);
	/* One writer, or readers. */
	b = test_file_open(&t, MIB);
	assert_int_equal(create(t.path, 0, true, false, &c), -EBUSY);
	assert_int_equal(create(t.path, 0, true, true, &c), -EBUSY);
	ob_blk_put(b);
	assert_int_equal(create(t.path, 0, true, true, &b), 0);
	assert_int_equal(create(t.path, 0, true, true, &c), 0);
	ob_blk_put(c);
	assert_int_equal(create(t.path, 0, true, false, &c), -EBUSY);
	assert_non_null(strstr(err, "volume disk"));
	assert_int_equal(lock_from_child(t.path, F_RDLCK), 0);
	assert_int_equal(lock_from_child(t.path, F_WRLCK), EAGAIN);
	ob_blk_put(b);
	assert_int_equal(lock_from_child(t.path, F_WRLCK), 0);
	assert_int_equal(create(t.path, 2 * MIB, true, true, &b), -ENOSPC);
	assert_int_equal(truncate(t.path, 0), 0);
	assert_int_equal(create(t.path, 0, true, false, &b), -EINVAL);
	assert_non_null(strstr(err, "size"));
	test_file_remove(&t);
}

/* Runs in a child whose io_uring_setup fails with 'rc'. */
static int create_without_ring(const char *path, int rc)
{
	struct sock_filter f[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)rc),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = 4, .filter = f};
	struct ob_blk *b;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
			_exit(77);
		if (create(path, MIB, true, false, &b) != -rc || strstr(err, "io_uring") == NULL)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void refused_ring_is_explained(void **state)
{
	static const int rcs[] = {EPERM, ENOSYS, ENOMEM, EMFILE};
	struct test_file t;

	(void)state;
	test_file_init(&t);
	for (unsigned i = 0; i < 4; i++) {
		int status = create_without_ring(t.path, rcs[i]);

		if (status == 77)
			break;
		assert_int_equal(status, 0);
		assert_int_equal(access(t.path, F_OK), -1);
	}
	test_file_remove(&t);
}

static void every_operation_works_by_page_cache_and_without(void **state)
{
	struct test_file t;

	(void)state;
	test_file_init(&t);
	for (unsigned buffered = 0; buffered < 2; buffered++) {
		struct ob_blk *b;
		struct ob_blk_ch *ch;
		struct ob_blk_info info;
		struct stat st[2];

		if (!buffered && !t.direct)
			continue;
		assert_int_equal(create(t.path, 4 * MIB, buffered, false, &b), 0);
		ob_blk_info(b, &info);
		assert_int_equal(info.bytes, 4 * MIB);
		assert_true(info.volatile_cache && !info.read_only);
		ch = open_ch(b);
		for (unsigned flags = 0; flags < 4; flags++) {
			memset(page, (int)flags + 1, sizeof(page));
			assert_int_equal(test_rw(ch, OB_BLK_WRITE, flags & 1, MIB, page, 8192), 0);
			assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), 0);
			memset(page, 0, sizeof(page));
			assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB, page, 8192), 0);
			assert_int_equal(page[0], flags + 1);
			assert_int_equal(page[8191], flags + 1);
			assert_int_equal(stat(t.path, &st[0]), 0);
			assert_int_equal(
			    test_rw(ch, OB_BLK_WRITE_ZEROES, (uint8_t)flags, MIB, NULL, 4096), 0);
			assert_int_equal(stat(t.path, &st[1]), 0);
			if ((flags & OB_BLK_MAY_UNMAP) && info.discard_bytes == 4096)
				assert_true(st[1].st_blocks < st[0].st_blocks);
			assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB, page, 8192), 0);
			assert_int_equal(page[0], 0);
			assert_int_equal(page[4095], 0);
			assert_int_equal(page[4096], flags + 1);
			if (info.discard_bytes != 0) {
				assert_int_equal(
				    test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 4 * MIB), 0);
				assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB, page, 8192), 0);
				if (info.zero_on_discard)
					assert_int_equal(page[4096], 0);
			}
		}
		assert_int_equal(stat(t.path, &st[0]), 0);
		assert_int_equal(st[0].st_size, 4 * MIB);
		ob_blk_ch_close(ch);
		ob_blk_put(b);
	}
	test_file_remove(&t);
}

/* Guests choose where their vectors lie. */
static void crooked_vectors_never_fail(void **state)
{
	uint8_t *mem = malloc(2 * OB_BLK_MAX_BYTES), *back = malloc(2 * OB_BLK_MAX_BYTES);
	static const size_t lens[] = {512, 4096, 128 * KIB, 128 * KIB + 512, 2 * MIB};
	struct ob_blk *b;
	struct ob_blk_ch *ch;
	struct test_file t;
	struct test_io io;

	(void)state;
	assert_true(mem != NULL && back != NULL);
	test_file_init(&t);
	b = test_file_open(&t, 8 * MIB);
	ch = open_ch(b);
	for (unsigned i = 0; i < 2 * OB_BLK_MAX_BYTES; i++)
		mem[i] = (uint8_t)(i * 31 >> 3);
	for (unsigned k = 0; k < 5; k++)
		for (unsigned shift = 1; shift < 600; shift += 97) {
			size_t len = lens[k], cut = shift < len ? shift : 1;

			test_io_init(&io, OB_BLK_WRITE, 512 * shift, mem + shift, len);
			test_submit(ch, &io);
			assert_int_equal(test_wait(ch, &io), 0);
			memset(back, 0, len + 600);
			test_io_init(&io, OB_BLK_READ, 512 * shift, back + 3, len);
			io.iov[0].iov_len = cut;
			io.iov[1] = (struct iovec){back + 3 + cut, 0};
			io.iov[2] = (struct iovec){back + 3 + cut, len - cut};
			io.io.n_iov = 3;
			test_submit(ch, &io);
			assert_int_equal(test_wait(ch, &io), 0);
			assert_memory_equal(back + 3, mem + shift, len);
			assert_int_equal(back[2], 0);
			assert_int_equal(back[3 + len], 0);
		}
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	test_file_remove(&t);
	free(mem);
	free(back);
}

#define N_MANY 1500

static void many_run(struct ob_blk_ch *ch, struct test_io *ios, enum ob_blk_op op, uint8_t *mem,
    unsigned shift, unsigned cancel_of)
{
	struct ob_blk_io *list[N_MANY];
	static int owner[3];

	for (unsigned i = 0; i < N_MANY; i++) {
		test_io_init(&ios[i], op, i * 4096ull, mem + i * 4096ull + shift, 4096);
		ios[i].io.owner = &owner[i % 3];
		list[i] = &ios[i].io;
	}
	ob_blk_submit(ch, list, N_MANY);
	assert_int_equal(ob_blk_pending(ch), N_MANY);
	if (cancel_of < 3)
		ob_blk_cancel(ch, &owner[cancel_of]);
	for (unsigned i = 0; i < N_MANY; i++) {
		int rc = test_wait(ch, &ios[i]);

		if (rc != 0) {
			assert_int_equal(rc, -ECANCELED);
			assert_int_equal(i % 3, cancel_of);
		}
	}
	assert_int_equal(ob_blk_pending(ch), 0);
}

static void more_than_the_ring_holds_waits_inside(void **state)
{
	struct test_io *ios = calloc(N_MANY, sizeof(*ios));
	uint8_t *mem = malloc((N_MANY + 1) * 4096), *back = calloc(N_MANY + 1, 4096);
	unsigned n_canceled = 0;
	struct test_file t;
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	assert_true(ios != NULL && mem != NULL && back != NULL);
	test_file_init(&t);
	b = test_file_open(&t, 8 * MIB);
	ch = open_ch(b);
	for (unsigned i = 0; i < (N_MANY + 1) * 4096; i++)
		mem[i] = (uint8_t)(i >> 12) ^ (uint8_t)i;
	/* Odd addresses: all of them want a buffer. */
	many_run(ch, ios, OB_BLK_WRITE, mem, 1, 3);
	many_run(ch, ios, OB_BLK_READ, back, 7, 3);
	assert_memory_equal(back + 7, mem + 1, N_MANY * 4096);
	for (unsigned shift = 0; shift < 2; shift++) {
		many_run(ch, ios, OB_BLK_WRITE, mem, shift, 1);
		for (unsigned i = 0; i < N_MANY; i++)
			n_canceled += ios[i].io.result == -ECANCELED;
	}
	assert_true(n_canceled > 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	test_file_remove(&t);
	free(ios);
	free(mem);
	free(back);
}

/* Those that kernel threads do: few at a time, and flushes share. */
static void crowds_of_flushes_and_ranges_all_end(void **state)
{
	static const uint8_t ops[] = {
	    OB_BLK_FLUSH, OB_BLK_DISCARD, OB_BLK_FLUSH, OB_BLK_WRITE_ZEROES};
	struct test_io *ios = calloc(N_MANY, sizeof(*ios));
	struct ob_blk_io *list[N_MANY];
	struct ob_blk_stats st;
	unsigned n_canceled = 0;
	struct test_file t;
	struct ob_blk *b;
	struct ob_blk_ch *ch;
	int owner[2];

	(void)state;
	assert_non_null(ios);
	test_file_init(&t);
	b = test_file_open(&t, 8 * MIB);
	ch = open_ch(b);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N_MANY; i++) {
			enum ob_blk_op op = ops[i % 4];

			if (op == OB_BLK_DISCARD && b->info.discard_bytes == 0)
				op = OB_BLK_FLUSH;
			test_io_init(&ios[i], op, i * 4096ull, NULL, 4096);
			ios[i].io.owner = &owner[i / 4 % 2];
			list[i] = &ios[i].io;
		}
		ob_blk_submit(ch, list, N_MANY);
		if (round == 1)
			ob_blk_cancel(ch, &owner[1]);
		for (unsigned i = 0; i < N_MANY; i++) {
			int rc = test_wait(ch, &ios[i]);

			n_canceled += rc == -ECANCELED;
			assert_true(rc == 0 || (round == 1 && rc == -ECANCELED &&
						   ios[i].io.owner == &owner[1]));
		}
		assert_int_equal(ob_blk_pending(ch), 0);
	}
	assert_in_range(n_canceled, 1, N_MANY / 2);
	ob_blk_stats(b, &st);
	assert_int_equal(
	    st.n_ios[OB_BLK_FLUSH] + st.n_ios[OB_BLK_DISCARD] + st.n_ios[OB_BLK_WRITE_ZEROES],
	    2 * N_MANY);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	test_file_remove(&t);
	free(ios);
}

static unsigned n_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void channel_without_descriptors_is_emfile_and_leaks_none(void **state)
{
	struct rlimit old, now;
	struct ob_blk_ch *ch;
	struct test_file t;
	struct ob_blk *b;
	unsigned before;

	(void)state;
	test_file_init(&t);
	b = test_file_open(&t, MIB);
	before = n_fds();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* Room for the ring, none for its eventfd; then for neither. */
	for (unsigned room = 2; room-- > 0;) {
		int fd = dup(0);

		assert_true(fd >= 0);
		close(fd);
		now = old;
		now.rlim_cur = (rlim_t)fd + room;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
		assert_int_equal(ob_blk_ch_open(b, &ch), -EMFILE);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(n_fds(), before);
	}
	ob_blk_put(b);
	test_file_remove(&t);
}

static void file_cut_off_under_us_is_eio(void **state)
{
	struct test_file t;
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	test_file_init(&t);
	b = test_file_open(&t, MIB);
	ch = open_ch(b);
	/* In the middle of a block too. */
	for (unsigned cut = 64 * KIB; cut > 0; cut = cut == 64 * KIB ? 64 * KIB - 100 : 0) {
		assert_int_equal(truncate(t.path, cut), 0);
		assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 256 * KIB, page, 4096), -EIO);
		assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 64 * KIB - 4096, page, 8192), -EIO);
		assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, page, 4096), 0);
	}
	/* A write brings its place back. */
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 256 * KIB, page, 4096), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 256 * KIB, page, 4096), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	test_file_remove(&t);
}

/* The kernel tells it once; a second flush succeeds and means nothing. */
static void a_sync_that_failed_is_not_forgotten(void **state)
{
	struct ob_blk_ch *ch, *bad;
	struct test_file t;
	struct ob_blk *b;
	int fds[2], fd;

	(void)state;
	test_file_init(&t);
	assert_int_equal(create(t.path, MIB, true, false, &b), 0);
	ch = open_ch(b);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, page, 4096), 0);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), 0);
	/* Stands in for a failing medium: what cannot be synced. */
	assert_int_equal(pipe(fds), 0);
	fd = ((struct file *)b)->fd;
	((struct file *)b)->fd = fds[1];
	bad = open_ch(b);
	((struct file *)b)->fd = fd;
	assert_int_equal(test_rw(bad, OB_BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, OB_BLK_FUA, 0, page, 4096), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, OB_BLK_FUA, 0, NULL, 4096), -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, page, 4096), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, page, 4096), 0);
	ob_blk_ch_close(bad);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(create(t.path, 0, true, false, &b), 0);
	ch = open_ch(b);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	test_file_remove(&t);
}

static void no_space_is_enospc(void **state)
{
	struct rlimit old, now;
	struct test_file t;
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	test_file_init(&t);
	b = test_file_open(&t, MIB);
	ch = open_ch(b);
	assert_int_equal(truncate(t.path, 64 * KIB), 0);
	/* Stands in for a full file system: the limit of a file's size. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	now = old;
	now.rlim_cur = 128 * KIB;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 256 * KIB, page, 4096), -ENOSPC);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 64 * KIB, page, 4096), 0);
	assert_int_equal(ob_blk_resize(b, 2 * MIB), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	test_file_remove(&t);
}

static void resize_moves_the_end_and_leaves_zeroes(void **state)
{
	struct test_file t;
	struct stat st;
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	test_file_init(&t);
	b = test_file_open(&t, MIB);
	ch = open_ch(b);
	memset(page, 9, sizeof(page));
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, MIB - 4096, page, 4096), 0);
	assert_int_equal(ob_blk_resize(b, 512 * KIB), 0);
	assert_int_equal(stat(t.path, &st), 0);
	assert_int_equal(st.st_size, 512 * KIB);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB - 4096, page, 4096), -EINVAL);
	/* Somebody's late write behind the end. */
	assert_int_equal(truncate(t.path, MIB), 0);
	assert_int_equal(ob_blk_resize(b, 2 * MIB), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB - 4096, page, 8192), 0);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(page[i], 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	/* Bytes that make no block are not there. */
	assert_int_equal(truncate(t.path, 2 * MIB + 100), 0);
	b = test_file_open(&t, 0);
	assert_int_equal(b->info.bytes, 2 * MIB);
	ob_blk_put(b);
	/* A longer file stays as long. */
	b = test_file_open(&t, MIB);
	assert_int_equal(b->info.bytes, 2 * MIB);
	ob_blk_put(b);
	assert_int_equal(create(t.path, 0, !t.direct, true, &b), 0);
	assert_int_equal(ob_blk_resize(b, MIB), -EROFS);
	ob_blk_put(b);
	test_file_remove(&t);
}

/* The ring belongs to the thread that uses it first, not to the one that made it. */
static void *worker(void *arg)
{
	struct ob_blk_ch *ch = arg;
	static uint8_t mem[4096] __attribute__((aligned(4096)));
	int bad = 0;

	for (unsigned i = 0; i < 20; i++) {
		memset(mem, (int)i + 1, sizeof(mem));
		bad += test_rw(ch, OB_BLK_WRITE, 0, i * 4096, mem, sizeof(mem)) != 0;
		bad += test_rw(ch, OB_BLK_READ, 0, i * 4096, mem, sizeof(mem)) != 0;
		bad += mem[77] != i + 1;
	}
	return bad == 0 ? arg : NULL;
}

static void control_opens_and_closes_what_workers_use(void **state)
{
	struct ob_blk_ch *ch[2];
	pthread_t thread[2];
	struct test_file t;
	struct ob_blk *b;
	void *ret;

	(void)state;
	test_file_init(&t);
	b = test_file_open(&t, MIB);
	ch[0] = open_ch(b);
	ch[1] = open_ch(b);
	assert_int_equal(pthread_create(&thread[0], NULL, worker, ch[0]), 0);
	assert_int_equal(pthread_join(thread[0], &ret), 0);
	assert_ptr_equal(ret, ch[0]);
	/* The worker is gone; its channel is closed by us. */
	ob_blk_ch_close(ch[0]);
	assert_int_equal(pthread_create(&thread[1], NULL, worker, ch[1]), 0);
	assert_int_equal(pthread_join(thread[1], &ret), 0);
	assert_ptr_equal(ret, ch[1]);
	ob_blk_ch_close(ch[1]);
	ob_blk_put(b);
	test_file_remove(&t);
}

static void read_only_file_takes_no_write(void **state)
{
	struct test_file t;
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	test_file_init(&t);
	ob_blk_put(test_file_open(&t, MIB));
	assert_int_equal(create(t.path, 0, !t.direct, true, &b), 0);
	assert_true(b->info.read_only);
	ch = open_ch(b);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, page, 4096), -EROFS);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, page, 4096), 0);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	test_file_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(errors_of_opening_say_what_to_do),
	    cmocka_unit_test(file_of_another_process_is_ebusy),
	    cmocka_unit_test(refused_ring_is_explained),
	    cmocka_unit_test(every_operation_works_by_page_cache_and_without),
	    cmocka_unit_test(crooked_vectors_never_fail),
	    cmocka_unit_test(more_than_the_ring_holds_waits_inside),
	    cmocka_unit_test(crowds_of_flushes_and_ranges_all_end),
	    cmocka_unit_test(channel_without_descriptors_is_emfile_and_leaks_none),
	    cmocka_unit_test(file_cut_off_under_us_is_eio),
	    cmocka_unit_test(a_sync_that_failed_is_not_forgotten),
	    cmocka_unit_test(no_space_is_enospc),
	    cmocka_unit_test(resize_moves_the_end_and_leaves_zeroes),
	    cmocka_unit_test(control_opens_and_closes_what_workers_use),
	    cmocka_unit_test(read_only_file_takes_no_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
