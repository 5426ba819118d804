/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a vhost-user function, and the callbacks of rte_vhost. */
#include "ob_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_version.h>

#include "vhost_priv.h"

RTE_LOG_REGISTER(vhost_logtype, ob.vhost, INFO);

#define LOG_BURST 10

/* Messages that the library's own table does not show to its users. Spec: QEMU docs/interop/vhost-user. */
#define MSG_RESET_OWNER	   4
#define MSG_SET_MEM_TABLE  5
#define MSG_GET_VRING_BASE 11
#define MSG_GET_QUEUE_NUM  17
#define MSG_SET_BACKEND	   21 /* the socket that we may send messages to */
#define MSG_GET_CONFIG	   24
#define MSG_SET_CONFIG	   25

#define PROTOCOL_F_MQ	     0
#define PROTOCOL_F_REPLY_ACK 3
#define PROTOCOL_F_NET_MTU   4

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct vhost_config config;
	};
} __attribute__((packed));

#define MESSAGE_HEAD offsetof(struct message, u64)

/* What the library hands to before_message, as far as its versions agree: the message, then the descriptors that came with it. */
#if RTE_VERSION >= RTE_VERSION_NUM(22, 11, 0, 0) && RTE_VERSION < RTE_VERSION_NUM(23, 3, 0, 0)
#define MESSAGE_BODY_MAX 632
#define MESSAGE_FDS	 8

struct message_fds {
	uint8_t message[MESSAGE_HEAD + MESSAGE_BODY_MAX];
	int fd[MESSAGE_FDS];
	int n;
} __attribute__((packed));

/* The library closes those of messages that it handles itself, and sends them back with an answer of ours. */
static void close_fds(void *msg)
{
	struct message_fds *m = msg;

	for (int i = 0; i < m->n && i < MESSAGE_FDS; i++)
		if (m->fd[i] >= 0)
			close(m->fd[i]);
	m->n = 0;
}

static int first_fd(const void *msg)
{
	const struct message_fds *m = msg;

	return m->n > 0 ? m->fd[0] : -1;
}
#else
static void close_fds(void *msg)
{
	(void)msg;
}

static int first_fd(const void *msg)
{
	(void)msg;
	return -1;
}
#endif

/* rte_vhost names a device by number, and a number by its path. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ob_vhost *list;

static struct ob_vhost *find(int vid)
{
	char path[OB_VIRTIO_PATH_MAX] = "";
	struct ob_vhost *vh;

	if (rte_vhost_get_ifname(vid, path, sizeof(path)) != 0)
		return NULL;
	pthread_mutex_lock(&list_lock);
	for (vh = list; vh != NULL; vh = vh->next)
		if (strcmp(vh->path, path) == 0)
			break;
	pthread_mutex_unlock(&list_lock);
	return vh;
}

static void list_add(struct ob_vhost *vh)
{
	pthread_mutex_lock(&list_lock);
	vh->next = list;
	list = vh;
	pthread_mutex_unlock(&list_lock);
}

static void list_del(struct ob_vhost *vh)
{
	struct ob_vhost **pp;

	pthread_mutex_lock(&list_lock);
	for (pp = &list; *pp != NULL; pp = &(*pp)->next)
		if (*pp == vh) {
			*pp = vh->next;
			break;
		}
	pthread_mutex_unlock(&list_lock);
}

bool vhost_may_log(struct ob_vhost *vh)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (ts.tv_sec - vh->log_s >= LOG_BURST)
		vh->log_s = ts.tv_sec - LOG_BURST;
	if (vh->log_s >= ts.tv_sec)
		return false;
	vh->log_s++; /* lines logged count as seconds passed */
	return true;
}

/* ---- handing over to the main thread ---- */

/* Returns what the main thread answers, or -ESHUTDOWN while it closes this function (it waits for rte_vhost's thread then, so
 * the two must not wait for each other). */
int vhost_call_main(struct ob_vhost *vh, struct vhost_call *c)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&vh->lock);
	c->rc = -ESHUTDOWN;
	if (!vh->closing) {
		vh->call = c;
		/* Fails only when the counter is full, and then it wakes too. */
		(void)!write(vh->call_fd, &one, sizeof(one));
	}
	while (!vh->closing && !c->done)
		pthread_cond_wait(&vh->cond, &vh->lock);
	vh->call = NULL;
	pthread_mutex_unlock(&vh->lock);
	return c->rc;
}

static void on_call(evutil_socket_t fd, short what, void *arg)
{
	struct ob_vhost *vh = arg;
	struct vhost_call *c;
	uint64_t n;

	(void)what;
	if (read((int)fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&vh->lock);
	if (vh->came) {
		vh->came = false;
		vh->connected = true;
		vh->peer_pid = vh->came_pid;
		vhost_log(INFO, vh, "connected, pid %d", (int)vh->peer_pid);
	}
	c = vh->call;
	if (c != NULL && !c->done) {
		c->fn(vh, c);
		c->done = true;
		pthread_cond_broadcast(&vh->cond);
	}
	pthread_mutex_unlock(&vh->lock);
}

static void main_apply(struct ob_vhost *vh, struct vhost_call *c)
{
	c->rc = vhost_apply(vh, c->s);
}

static void main_gone(struct ob_vhost *vh, struct vhost_call *c)
{
	vhost_clear(vh);
	vhost_log(INFO, vh, "disconnected");
	c->rc = 0;
}

/* ---- callbacks, on rte_vhost's thread ---- */

int vhost_sync(struct ob_vhost *vh, bool new_memory)
{
	struct vhost_snapshot s;
	struct vhost_call c = {.fn = main_apply, .s = &s};
	int rc;

	vhost_snapshot_take(vh, &s);
	s.new_memory = new_memory;
	rc = vhost_call_main(vh, &c);
	if (rc == -ESHUTDOWN)
		vhost_snapshot_drop(&s);
	else
		vhost_snapshot_bases(vh, &s);
	return rc;
}

static bool any_on(const struct ob_vhost *vh)
{
	for (unsigned q = 0; q < VHOST_MAX_RINGS; q++)
		if (vh->on[q])
			return true;
	return false;
}

/* A block function's rings are watched one by one; here one ends, and the library is about to tell the peer where. */
static void ring_ends(struct ob_vhost *vh, uint32_t q)
{
	if (vh->net != NULL || q >= VHOST_MAX_RINGS || !vh->on[q])
		return;
	vh->on[q] = false;
	vh->running = any_on(vh);
	(void)vhost_sync(vh, false);
}

/* 'fd' stays the caller's; -1: there is none any more. */
static void backend_set(struct ob_vhost *vh, int fd)
{
	pthread_mutex_lock(&vh->backend_lock);
	if (vh->backend_fd >= 0)
		close(vh->backend_fd);
	vh->backend_fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	pthread_mutex_unlock(&vh->backend_lock);
}

void vhost_tell_peer(struct ob_vhost *vh, uint32_t request)
{
	const struct {
		uint32_t request, flags, size;
	} head = {request, 1 /* version */, 0};

	pthread_mutex_lock(&vh->backend_lock);
	if (vh->backend_fd >= 0 && send(vh->backend_fd, &head, sizeof(head),
				       MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(head))
		vhost_log(INFO, vh, "the peer does not hear of changes");
	pthread_mutex_unlock(&vh->backend_lock);
}

/* 'msg' begins with the message; a body of the largest kind has room in it. */
static enum rte_vhost_msg_result config_message(struct ob_vhost *vh, void *msg)
{
	struct message m;

	memcpy(&m, msg, sizeof(m));
	if (vh->net != NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	close_fds(msg);
	if (m.request == MSG_SET_CONFIG)
		return vhost_config_set(vh, &m.config, m.size) == 0 ? RTE_VHOST_MSG_RESULT_OK
								    : RTE_VHOST_MSG_RESULT_ERR;
	/* A body of no bytes says that it failed. */
	if (vhost_config_get(vh, &m.config, m.size) != 0)
		m.size = 0;
	memcpy(msg, &m, sizeof(m));
	return RTE_VHOST_MSG_RESULT_REPLY;
}

static enum rte_vhost_msg_result before_message(int vid, void *msg)
{
	struct ob_vhost *vh = find(vid);
	struct message m;

	vhost_guard_thread();
	if (vh == NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	memcpy(&m, msg, MESSAGE_HEAD + sizeof(m.u64));
	switch (m.request) {
	case MSG_RESET_OWNER:
		vh->has_memory = false;
		if (vh->net == NULL) {
			vh->running = false;
			memset(vh->on, 0, sizeof(vh->on));
			(void)vhost_sync(vh, false);
		}
		break;
	case MSG_SET_MEM_TABLE:
		vh->has_memory = false;
		break;
	case MSG_GET_VRING_BASE:
		ring_ends(vh, (uint32_t)m.u64);
		break;
	case MSG_GET_QUEUE_NUM:
		close_fds(msg);
		/* The library would promise more pairs than this function has. */
		m.u64 = vh->net != NULL ? vh->n_rings / 2 : vh->n_rings;
		m.size = sizeof(m.u64);
		memcpy(msg, &m, MESSAGE_HEAD + sizeof(m.u64));
		return RTE_VHOST_MSG_RESULT_REPLY;
	case MSG_SET_BACKEND:
		backend_set(vh, first_fd(msg));
		break;
	case MSG_GET_CONFIG:
	case MSG_SET_CONFIG:
		return config_message(vh, msg);
	default:
		break;
	}
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static enum rte_vhost_msg_result after_message(int vid, void *msg)
{
	struct ob_vhost *vh = find(vid);
	uint32_t request;

	memcpy(&request, msg, sizeof(request));
	if (vh != NULL && request == MSG_SET_MEM_TABLE) {
		vh->has_memory = true;
		(void)vhost_sync(vh, true);
	}
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops extern_ops = {
    .pre_msg_handle = before_message,
    .post_msg_handle = after_message,
};

/* Does not wait for the main thread: the library calls it with the lock of its reconnect list held, which the main thread
 * may be asking for on behalf of another function. A client's first connect even happens on the main thread. */
static int new_connection(int vid)
{
	struct ob_vhost *vh = find(vid);
	const uint64_t one = 1;

	/* One peer at a time: a second one is turned away by the error. */
	if (vh == NULL || vh->vid >= 0 ||
	    rte_vhost_extern_callback_register(vid, &extern_ops, NULL) != 0)
		return -1;
	vh->vid = vid;
	vh->running = vh->has_memory = false;
	memset(vh->on, 0, sizeof(vh->on));
	pthread_mutex_lock(&vh->lock);
	vh->came = true;
	vh->came_pid = vhost_guard_connection(vh->path);
	pthread_mutex_unlock(&vh->lock);
	(void)!write(vh->call_fd, &one, sizeof(one));
	return 0;
}

static void destroy_connection(int vid)
{
	struct ob_vhost *vh = find(vid);
	struct vhost_call c = {.fn = main_gone};

	if (vh == NULL || vh->vid != vid)
		return;
	vh->running = vh->has_memory = false;
	(void)vhost_call_main(vh, &c);
	backend_set(vh, -1);
	vh->vid = -1;
}

static int new_device(int vid)
{
	struct ob_vhost *vh = find(vid);

	if (vh == NULL || vh->vid != vid)
		return -1;
	if (vh->net == NULL)
		return 0;
	vh->running = true;
	if (vhost_sync(vh, false) != 0) {
		vh->running = false;
		return -1;
	}
	return 0;
}

static void destroy_device(int vid)
{
	struct ob_vhost *vh = find(vid);

	/* One ring of a block function that stops does not stop the others. */
	if (vh == NULL || vh->vid != vid || vh->net == NULL)
		return;
	vh->running = false;
	(void)vhost_sync(vh, false);
}

static int vring_state_changed(int vid, uint16_t q, int enable)
{
	struct ob_vhost *vh = find(vid);

	if (vh == NULL || vh->vid != vid || q >= VHOST_MAX_RINGS)
		return 0;
	vh->on[q] = enable != 0;
	/* A driver may use some rings of a block function and never set up the others, so the library, which waits for all of
	 * them, never calls the device ready: any ring that is makes it run. */
	if (vh->net == NULL)
		vh->running = any_on(vh);
	if (vh->running || vh->net == NULL)
		(void)vhost_sync(vh, false);
	return 0;
}

static const struct rte_vhost_device_ops device_ops = {
    .new_device = new_device,
    .destroy_device = destroy_device,
    .vring_state_changed = vring_state_changed,
    .new_connection = new_connection,
    .destroy_connection = destroy_connection,
};

/* ---- the transport, on the main thread ---- */

void vhost_destroy(void *ctx)
{
	struct ob_vhost *vh = ctx;

	pthread_mutex_lock(&vh->lock);
	vh->closing = true;
	pthread_cond_broadcast(&vh->cond);
	pthread_mutex_unlock(&vh->lock);
	if (vh->v != NULL)
		vhost_clear(vh);
	/* Waits until no callback for this path runs. */
	if (vh->registered)
		rte_vhost_driver_unregister(vh->path);
	list_del(vh);
	if (vh->call_ev != NULL)
		event_free(vh->call_ev);
	close(vh->call_fd);
	backend_set(vh, -1);
	pthread_mutex_destroy(&vh->backend_lock);
	pthread_cond_destroy(&vh->cond);
	pthread_mutex_destroy(&vh->lock);
	free(vh);
}

/* The VMM has the device configuration; there is no way to tell it of a change that the guest would see. */
static void vhost_config_changed(void *ctx)
{
	(void)ctx;
}

int vhost_queue_irq_fd(void *ctx, unsigned q)
{
	struct ob_vhost *vh = ctx;

	return q < VHOST_MAX_RINGS ? vh->kick[q].call_fd : -1;
}

/* No control queue, so nobody asks. */
void vhost_queue_irq(void *ctx, unsigned q)
{
	(void)ctx;
	(void)q;
}

void vhost_get_peer(void *ctx, struct ob_virtio_peer *out)
{
	struct ob_vhost *vh = ctx;

	out->connected = vh->connected;
	out->pid = vh->peer_pid;
}

#define TRANSPORT(its_name)                                                                     \
	{                                                                                       \
		.name = its_name, .destroy = vhost_destroy,                                     \
		.config_changed = vhost_config_changed, .queue_irq_fd = vhost_queue_irq_fd,     \
		.queue_irq = vhost_queue_irq, .get_peer = vhost_get_peer,                       \
		.features_off =                                                                 \
		    VHOST_BIT(VIRTIO_NET_F_MAC) | VHOST_BIT(VIRTIO_NET_F_STATUS) |              \
		    VHOST_BIT(VIRTIO_NET_F_SPEED_DUPLEX) | VHOST_BIT(VIRTIO_NET_F_CTRL_RX) |    \
		    VHOST_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | VHOST_BIT(VIRTIO_NET_F_CTRL_VLAN) | \
		    VHOST_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |                                     \
		    VHOST_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | VHOST_BIT(VIRTIO_NET_F_RSS) |      \
		    VHOST_FEATURES_OFF,                                                         \
		.peer_has_ctrl = true,                                                          \
	}

static const struct ob_virtio_transport transports[] = {
    [OB_VHOST_LISTEN] = TRANSPORT("vhost-user"),
    [OB_VHOST_CONNECT] = TRANSPORT("vhost-user-client"),
};

/* ---- life ---- */

/* rte_vhost does not replace a socket file that a dead process left. Returns -EADDRINUSE if somebody serves it. */
static int remove_stale(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	rc = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 || errno == EAGAIN ? -EADDRINUSE
										     : 0;
	close(fd);
	if (rc == 0 && unlink(path) != 0)
		rc = -errno;
	return rc;
}

static int register_socket(struct ob_vhost *vh, uint64_t protocol_features)
{
	uint64_t ours = ob_virtio_offered(vh->v) | VHOST_BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	uint64_t flags = vh->mode == OB_VHOST_CONNECT ? RTE_VHOST_USER_CLIENT : 0, theirs = 0;
	int rc;

	/* Every message of every peer, at its INFO; errors at will of a hostile one. What matters is logged here. */
	rte_log_set_level_pattern("lib.vhost.*", RTE_LOG_CRIT);
	if (rte_vhost_driver_register(vh->path, flags) != 0)
		return -EIO;
	vh->registered = true;
	/* For a network function disabling, not setting: set_features would make the library wait for all rings it knows, also
	 * those of pairs that the driver does not use. For another it would take bits for those of the network. */
	if (vh->net == NULL)
		rc = rte_vhost_driver_set_features(vh->path, ours);
	else
		rc = rte_vhost_driver_get_features(vh->path, &theirs) != 0 ||
		     rte_vhost_driver_disable_features(vh->path, theirs & ~ours) != 0;
	if (rc != 0 ||
	    rte_vhost_driver_set_protocol_features(vh->path,
		protocol_features | VHOST_BIT(PROTOCOL_F_MQ) | VHOST_BIT(PROTOCOL_F_REPLY_ACK)) !=
		0 ||
	    rte_vhost_driver_callback_register(vh->path, &device_ops) != 0 ||
	    rte_vhost_driver_start(vh->path) != 0)
		return -EIO;
	return 0;
}

static int vhost_alloc(
    const char *path, struct event_base *base, enum ob_vhost_mode mode, struct ob_vhost **out)
{
	struct ob_vhost *vh = calloc(1, sizeof(*vh));

	if (vh == NULL)
		return -ENOMEM;
	snprintf(vh->path, sizeof(vh->path), "%s", path);
	vh->mode = mode;
	vh->base = base;
	vh->vid = vh->backend_fd = -1;
	for (unsigned q = 0; q < VHOST_MAX_RINGS; q++)
		vh->kick[q].kick_fd = vh->kick[q].call_fd = -1;
	vh->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (vh->call_fd < 0)
		goto err_free;
	vh->call_ev = event_new(base, vh->call_fd, EV_READ | EV_PERSIST, on_call, vh);
	if (vh->call_ev == NULL || event_add(vh->call_ev, NULL) != 0)
		goto err_fd;
	pthread_mutex_init(&vh->lock, NULL);
	pthread_mutex_init(&vh->backend_lock, NULL);
	pthread_cond_init(&vh->cond, NULL);
	*out = vh;
	return 0;

err_fd:
	if (vh->call_ev != NULL)
		event_free(vh->call_ev);
	close(vh->call_fd);
err_free:
	free(vh);
	return -ENOMEM;
}

int vhost_new(
    const char *path, struct event_base *base, enum ob_vhost_mode mode, struct ob_vhost **out)
{
	int rc;

	if ((mode != OB_VHOST_LISTEN && mode != OB_VHOST_CONNECT) || path == NULL ||
	    strlen(path) >= OB_VIRTIO_PATH_MAX)
		return -EINVAL;
	rc = vhost_guard_init();
	if (rc == 0 && mode == OB_VHOST_LISTEN)
		rc = remove_stale(path);
	return rc == 0 ? vhost_alloc(path, base, mode, out) : rc;
}

int vhost_listen(struct ob_vhost *vh, struct ob_virtio *v, uint64_t protocol_features)
{
	int rc;

	vh->v = v;
	list_add(vh);
	rc = register_socket(vh, protocol_features);
	if (rc != 0)
		vhost_log(ERR, vh, "rte_vhost does not take the socket");
	return rc;
}

int ob_vhost_create(const struct ob_vnet_conf *conf, enum ob_vhost_mode mode, struct ob_vnet **out)
{
	struct ob_vhost *vh;
	int rc = vhost_new(conf->path, conf->base, mode, &vh);

	if (rc != 0)
		return rc;
	rc = ob_vnet_create_on(conf, &transports[mode], vh, &vh->net);
	if (rc != 0) {
		vhost_destroy(vh);
		return rc;
	}
	vh->n_rings = ob_virtio_n_queues(ob_vnet_virtio(vh->net)) - 1;
	rc = vhost_listen(vh, ob_vnet_virtio(vh->net), VHOST_BIT(PROTOCOL_F_NET_MTU));
	if (rc != 0) {
		ob_vnet_destroy(vh->net);
		return rc;
	}
	*out = vh->net;
	return 0;
}
