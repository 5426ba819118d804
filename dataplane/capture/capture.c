/* SPDX-License-Identifier: BSD-3-Clause */
/* Control: captures come and go, and what workers see of them is compiled anew. */
#include "ob_capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define RING_MIN    4096u
#define RING_MAX    (1u << 26)
#define FINI_MS	    3000
#define FINI_NAP_MS 10

bool capture_manual;

/* Of 'captures', 'vif' of each, and 'program'. A capture's thread takes it to leave; nobody holds it for long. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct capture *captures[OB_CAPTURE_MAX];
static struct program *current;

static const char *(*name_fn)(void *ctx, enum ob_capture_kind kind, uint32_t idx);
static void *name_ctx;
static uint32_t n_tunnel_names;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static int fail(char *err, size_t err_len, int rc, const char *text)
{
	if (err != NULL)
		snprintf(err, err_len, "%s", text);
	return rc;
}

void ob_capture_set_names(const char *(*fn)(void *ctx, enum ob_capture_kind kind, uint32_t idx),
    void *ctx, uint32_t n_tunnels)
{
	name_fn = fn;
	name_ctx = ctx;
	n_tunnel_names = n_tunnels;
}

/* ---- what workers see ---- */

static bool runs(const struct capture *c)
{
	return c != NULL && __atomic_load_n(&c->state, __ATOMIC_ACQUIRE) == OB_CAPTURE_RUNNING;
}

static void compile_one(struct program *p, const struct capture *c)
{
	struct active *a = &p->active[c->slot];

	a->filter = c->conf.filter;
	a->snaplen = c->conf.snaplen;
	a->n_ifs = c->conf.n_ifs;
	memcpy(a->ifs, c->conf.ifs, sizeof(a->ifs));
	memcpy(a->ring, c->ring, sizeof(a->ring));
	for (unsigned i = 0; i < c->conf.n_ifs; i++) {
		uint16_t vif = c->vif[i];

		a->ifs[i].vif = vif;
		if (vif != VIF_GONE)
			p->by_vif[vif < OB_MAX_VIFS ? vif : OB_MAX_VIFS] |=
			    (uint8_t)(1u << c->slot);
	}
}

/* Under 'lock'. Without memory for a program that lacks something, there is none. */
static int publish(void)
{
	struct program *old = current, *p = NULL;
	bool any = false;

	for (unsigned i = 0; i < OB_CAPTURE_MAX; i++)
		any |= runs(captures[i]);
	if (any)
		p = calloc(1, sizeof(*p));
	for (unsigned i = 0; p != NULL && i < OB_CAPTURE_MAX; i++)
		if (runs(captures[i]))
			compile_one(p, captures[i]);
	tap_publish(p);
	ob_tap_set(p != NULL ? capture_tap : NULL);
	current = p;
	ob_rcu_defer(free, old);
	return any && p == NULL ? -ENOMEM : 0;
}

void capture_unpublish(struct capture *c)
{
	(void)c;
	pthread_mutex_lock(&lock);
	publish();
	pthread_mutex_unlock(&lock);
}

bool capture_end(struct capture *c, enum ob_capture_state state, int err)
{
	uint8_t was = OB_CAPTURE_RUNNING;

	if (state == OB_CAPTURE_FAILED)
		__atomic_store_n(&c->err, err, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n(
	    &c->state, &was, (uint8_t)state, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

void capture_sums(struct capture *c, uint64_t *n_matched, uint64_t *n_lost)
{
	*n_matched = *n_lost = 0;
	for (unsigned k = 0; k < c->n_rings; k++) {
		for (unsigned i = 0; i < c->conf.n_ifs; i++) {
			*n_matched += __atomic_load_n(&c->ring[k]->n_matched[i], __ATOMIC_RELAXED);
			*n_lost += __atomic_load_n(&c->ring[k]->n_lost[i], __ATOMIC_RELAXED);
		}
	}
}

/* ---- start ---- */

static int check_fd(int fd, bool *is_socket, char *err, size_t err_len)
{
	int flags = fcntl(fd, F_GETFL), type = 0;
	socklen_t len = sizeof(type);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY)
		return fail(err, err_len, -EBADF, "the file is not open for writing");
	*is_socket = S_ISSOCK(st.st_mode);
	if (*is_socket &&
	    (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM))
		return fail(err, err_len, -EBADF, "the socket is not a stream");
	if (!*is_socket && !S_ISREG(st.st_mode))
		return fail(err, err_len, -EBADF,
		    "neither a file nor a stream socket: who reads it could stop the card's "
		    "writing");
	return 0;
}

static int check(const struct ob_capture_conf *conf, char *err, size_t err_len)
{
	uint32_t ring = conf->ring_bytes,
		 snap = conf->snaplen ? conf->snaplen : OB_CAPTURE_SNAP_MAX;

	if (conf->name[0] == '\0' || memchr(conf->name, 0, sizeof(conf->name)) == NULL)
		return fail(err, err_len, -EINVAL, "a capture has a name");
	if (conf->n_ifs == 0 || conf->n_ifs > OB_CAPTURE_MAX_IFS)
		return fail(err, err_len, -EINVAL, "a capture has 1 to 16 interfaces");
	for (unsigned i = 0; i < conf->n_ifs; i++) {
		const struct ob_capture_if *f = &conf->ifs[i];

		if ((f->vif >= OB_MAX_VIFS && f->vif != OB_VIF_NONE) ||
		    memchr(f->name, 0, sizeof(f->name)) == NULL)
			return fail(err, err_len, -EINVAL, "no such interface");
		for (unsigned k = 0; k < i; k++)
			if (conf->ifs[k].vif == f->vif)
				return fail(err, err_len, -EINVAL, "an interface is named twice");
	}
	if (snap > OB_CAPTURE_SNAP_MAX)
		return fail(err, err_len, -EINVAL, "a snap length is at most 65535 bytes");
	if (ring != 0 && (ring < RING_MIN || ring > RING_MAX || (ring & (ring - 1)) != 0))
		return fail(
		    err, err_len, -EINVAL, "a buffer is a power of two, 4096 to 67108864 bytes");
	if (ring != 0 && ring / 2 < snap + sizeof(struct rec) + 8)
		return fail(err, err_len, -EINVAL,
		    "a packet of the snap length does not fit half of the buffer");
	return filter_check(&conf->filter, err, err_len);
}

static int take_names(struct names_of *t, enum ob_capture_kind kind, uint32_t n)
{
	if (name_fn == NULL || n == 0)
		return 0;
	t->name = calloc(n, sizeof(*t->name));
	if (t->name == NULL)
		return -ENOMEM;
	t->n = n;
	for (uint32_t i = 0; i < n; i++) {
		const char *name = name_fn(name_ctx, kind, i);

		if (name != NULL)
			snprintf(t->name[i], sizeof(t->name[i]), "%s", name);
	}
	return 0;
}

static void release(struct capture *c)
{
	for (unsigned i = 0; i < c->n_rings; i++)
		ring_destroy(c->ring[i]);
	c->n_rings = 0;
	free(c->vifs.name);
	free(c->tunnels.name);
	free(c->buf);
	c->vifs.name = c->tunnels.name = NULL;
	c->buf = NULL;
}

void capture_done(struct capture *c)
{
	/* Who lists captures must not meet half of a ring. */
	pthread_mutex_lock(&lock);
	capture_sums(c, &c->n_matched, &c->n_lost);
	release(c);
	__atomic_store_n(&c->writing, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

static void destroy(struct capture *c)
{
	if (c == NULL)
		return;
	release(c);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->wake_lock);
	free(c);
}

static struct capture *create(const struct ob_capture_conf *conf)
{
	struct capture *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (c == NULL)
		return NULL;
	c->conf = *conf;
	if (c->conf.snaplen == 0)
		c->conf.snaplen = OB_CAPTURE_SNAP_MAX;
	if (c->conf.ring_bytes == 0)
		c->conf.ring_bytes = OB_CAPTURE_RING_BYTES;
	c->started_ns = now_ns();
	c->state = OB_CAPTURE_RUNNING;
	c->writing = 1;
	pthread_mutex_init(&c->wake_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	for (unsigned i = 0; i < conf->n_ifs; i++)
		c->vif[i] = conf->ifs[i].vif;
	c->buf = malloc(WRITER_BUF);
	while (c->buf != NULL && c->n_rings < ob_workers_count()) {
		c->ring[c->n_rings] = ring_create(c->conf.ring_bytes);
		if (c->ring[c->n_rings] == NULL)
			break;
		c->n_rings++;
	}
	if (c->buf == NULL || c->n_rings < ob_workers_count() ||
	    take_names(&c->vifs, OB_CAPTURE_VIF, OB_MAX_VIFS) < 0 ||
	    take_names(&c->tunnels, OB_CAPTURE_TUNNEL, n_tunnel_names) < 0) {
		destroy(c);
		return NULL;
	}
	return c;
}

static bool ended(const struct capture *c)
{
	return !runs(c) && !__atomic_load_n(&c->writing, __ATOMIC_ACQUIRE);
}

/* Under 'lock'. The place for a capture of this name: -EEXIST, -ENOSPC. */
static int find_slot(const char *name)
{
	int free_slot = -ENOSPC, oldest = -ENOSPC;

	for (int i = 0; i < OB_CAPTURE_MAX; i++) {
		const struct capture *c = captures[i];

		if (c == NULL) {
			if (free_slot < 0)
				free_slot = i;
		} else if (strcmp(c->conf.name, name) == 0) {
			return ended(c) ? i : -EEXIST;
		} else if (ended(c) &&
			   (oldest < 0 || c->started_ns < captures[oldest]->started_ns)) {
			oldest = i;
		}
	}
	return free_slot >= 0 ? free_slot : oldest;
}

static int start_thread(struct capture *c)
{
	pthread_attr_t attr;
	int rc;

	if (capture_manual)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&c->thread, &attr, writer_main, c);
	pthread_attr_destroy(&attr);
	return rc == 0 ? 0 : -EAGAIN;
}

int ob_capture_start(const struct ob_capture_conf *conf, char *err, size_t err_len)
{
	struct capture *c;
	bool is_socket;
	int slot, rc;

	if ((rc = check(conf, err, err_len)) < 0 ||
	    (rc = check_fd(conf->fd, &is_socket, err, err_len)) < 0)
		return rc;
	c = create(conf);
	if (c == NULL)
		return fail(err, err_len, -ENOMEM, "no memory for the buffers");
	c->is_socket = is_socket;
	pthread_mutex_lock(&lock);
	slot = find_slot(conf->name);
	if (slot >= 0) {
		destroy(captures[slot]);
		captures[slot] = c;
		c->slot = (unsigned)slot;
		rc = publish();
	}
	pthread_mutex_unlock(&lock);
	if (slot < 0) {
		destroy(c);
		return fail(err, err_len, slot,
		    slot == -EEXIST ? "a capture of this name runs already"
				    : "8 captures run already; stop one first");
	}
	if (rc == 0)
		rc = start_thread(c);
	if (rc < 0) {
		capture_end(c, OB_CAPTURE_FAILED, -rc);
		pthread_mutex_lock(&lock);
		captures[slot] = NULL;
		publish();
		pthread_mutex_unlock(&lock);
		ob_rcu_sync(NULL);
		destroy(c);
		return fail(err, err_len, rc, "no thread or no memory for the capture");
	}
	return 0;
}

/* ---- stop, and what there is ---- */

struct capture *capture_find(const char *name)
{
	for (unsigned i = 0; i < OB_CAPTURE_MAX; i++)
		if (captures[i] != NULL && strcmp(captures[i]->conf.name, name) == 0)
			return captures[i];
	return NULL;
}

/* Under 'lock'. */
static void end_one(struct capture *c, enum ob_capture_state state)
{
	if (!capture_end(c, state, 0))
		return;
	publish();
	pthread_mutex_lock(&c->wake_lock);
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->wake_lock);
}

int ob_capture_stop(const char *name)
{
	struct capture *c;
	int rc = 0;

	pthread_mutex_lock(&lock);
	c = capture_find(name);
	if (c == NULL) {
		rc = -ENOENT;
	} else if (ended(c)) {
		captures[c->slot] = NULL;
		destroy(c);
	} else {
		end_one(c, OB_CAPTURE_STOPPED);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void ob_capture_vif_gone(uint16_t vif)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < OB_CAPTURE_MAX; i++) {
		struct capture *c = captures[i];
		unsigned left = 0;
		bool hit = false;

		if (!runs(c))
			continue;
		for (unsigned k = 0; k < c->conf.n_ifs; k++) {
			if (c->vif[k] == vif) {
				c->vif[k] = VIF_GONE;
				hit = true;
			}
			left += c->vif[k] != VIF_GONE;
		}
		if (hit && left == 0)
			end_one(c, OB_CAPTURE_GONE);
		else if (hit)
			publish();
	}
	pthread_mutex_unlock(&lock);
}

static void tell(struct capture *c, struct ob_capture_info *out)
{
	memset(out, 0, sizeof(*out));
	out->writing = __atomic_load_n(&c->writing, __ATOMIC_ACQUIRE) != 0;
	out->state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);
	out->err = __atomic_load_n(&c->err, __ATOMIC_RELAXED);
	out->conf = c->conf;
	out->conf.fd = -1;
	if (out->writing) {
		capture_sums(c, &out->n_matched, &out->n_lost);
	} else {
		out->n_matched = c->n_matched;
		out->n_lost = c->n_lost;
	}
	out->n_written = __atomic_load_n(&c->n_written, __ATOMIC_RELAXED);
	out->n_bytes = __atomic_load_n(&c->n_bytes, __ATOMIC_RELAXED);
	out->n_file_bytes = __atomic_load_n(&c->n_file_bytes, __ATOMIC_RELAXED);
	out->age_ns = now_ns() - c->started_ns;
}

int ob_capture_next(uint32_t *cursor, struct ob_capture_info *out)
{
	int rc = -ENOENT;

	pthread_mutex_lock(&lock);
	for (; rc != 0 && *cursor < OB_CAPTURE_MAX; (*cursor)++) {
		if (captures[*cursor] == NULL)
			continue;
		tell(captures[*cursor], out);
		rc = 0;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void ob_capture_fini(void)
{
	const struct timespec nap = {.tv_nsec = FINI_NAP_MS * 1000000l};
	bool busy = true;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < OB_CAPTURE_MAX; i++)
		if (captures[i] != NULL)
			end_one(captures[i], OB_CAPTURE_STOPPED);
	pthread_mutex_unlock(&lock);
	for (unsigned ms = 0; busy && ms < FINI_MS; ms += FINI_NAP_MS) {
		busy = false;
		for (unsigned i = 0; i < OB_CAPTURE_MAX; i++) {
			if (captures[i] != NULL && capture_manual)
				writer_finish(captures[i]);
			busy |= captures[i] != NULL && !ended(captures[i]);
		}
		if (busy)
			nanosleep(&nap, NULL);
	}
	/* One that hangs in a write to somebody's file system keeps its memory. */
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < OB_CAPTURE_MAX; i++) {
		if (captures[i] != NULL && ended(captures[i]))
			destroy(captures[i]);
		captures[i] = NULL;
	}
	pthread_mutex_unlock(&lock);
}
