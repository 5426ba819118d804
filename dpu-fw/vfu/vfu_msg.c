/* SPDX-License-Identifier: BSD-3-Clause */
/* The message table: what a message must look like before any handler sees it. */
#include "vfu_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <json.h>

enum when {
	BEFORE_VERSION,
	AFTER_VERSION,
};

struct command {
	const char *name;
	uint32_t min_body, max_body;
	unsigned max_fds;
	enum when when;
	/* NULL: known, but not of this server: -ENOTSUP. */
	int (*handle)(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
};

#define REGION_IO_MAX (sizeof(struct vfu_region_io) + VFU_MAX_XFER)
#define SET_IRQS_MAX  (sizeof(struct vfio_irq_set) + OB_VFU_MAX_VECTORS)
#define MULTI_MAX     (sizeof(uint64_t) + VFU_MAX_MULTI * sizeof(struct vfu_multi_write))
#define ANY_BODY      (VFU_MAX_MSG - sizeof(struct vfu_hdr))

/* clang-format off */
static const struct command commands[VFU_N_CMDS] = {
	/*                         name             min                            max               fds when            handler */
	[VFU_VERSION]            = {"VERSION",      sizeof(struct vfu_version),    VFU_MAX_VERSION,  0,  BEFORE_VERSION, vfu_on_version},
	[VFU_DMA_MAP]            = {"DMA_MAP",      sizeof(struct vfu_dma_map),    sizeof(struct vfu_dma_map), 1, AFTER_VERSION, vfu_on_dma_map},
	[VFU_DMA_UNMAP]          = {"DMA_UNMAP",    sizeof(struct vfu_dma_unmap),  sizeof(struct vfu_dma_unmap) + 16, 0, AFTER_VERSION, vfu_on_dma_unmap},
	[VFU_DEVICE_GET_INFO]    = {"GET_INFO",     sizeof(struct vfu_device_info), sizeof(struct vfu_device_info) + 8, 0, AFTER_VERSION, vfu_on_device_info},
	[VFU_GET_REGION_INFO]    = {"GET_REGION_INFO", sizeof(struct vfio_region_info), ANY_BODY,    0,  AFTER_VERSION,  vfu_on_region_info},
	[VFU_GET_REGION_IO_FDS]  = {"GET_REGION_IO_FDS", 0,                        ANY_BODY,         0,  AFTER_VERSION,  NULL},
	[VFU_GET_IRQ_INFO]       = {"GET_IRQ_INFO", sizeof(struct vfio_irq_info),  sizeof(struct vfio_irq_info), 0, AFTER_VERSION, vfu_on_irq_info},
	[VFU_SET_IRQS]           = {"SET_IRQS",     sizeof(struct vfio_irq_set),   SET_IRQS_MAX,     VFU_MAX_FDS, AFTER_VERSION, vfu_on_set_irqs},
	[VFU_REGION_READ]        = {"REGION_READ",  sizeof(struct vfu_region_io),  sizeof(struct vfu_region_io), 0, AFTER_VERSION, vfu_on_region_read},
	[VFU_REGION_WRITE]       = {"REGION_WRITE", sizeof(struct vfu_region_io),  REGION_IO_MAX,    0,  AFTER_VERSION,  vfu_on_region_write},
	[VFU_DEVICE_RESET]       = {"DEVICE_RESET", 0,                             0,                0,  AFTER_VERSION,  vfu_on_reset},
	[VFU_DIRTY_PAGES]        = {"DIRTY_PAGES",  0,                             ANY_BODY,         0,  AFTER_VERSION,  NULL},
	[VFU_REGION_WRITE_MULTI] = {"WRITE_MULTI",  sizeof(uint64_t),              MULTI_MAX,        0,  AFTER_VERSION,  vfu_on_write_multi},
	[VFU_DEVICE_FEATURE]     = {"DEVICE_FEATURE", 0,                           ANY_BODY,         0,  AFTER_VERSION,  NULL},
	[VFU_MIG_DATA_READ]      = {"MIG_DATA_READ", 0,                            ANY_BODY,         0,  AFTER_VERSION,  NULL},
	[VFU_MIG_DATA_WRITE]     = {"MIG_DATA_WRITE", 0,                           ANY_BODY,         0,  AFTER_VERSION,  NULL},
	/* DMA_READ and DMA_WRITE go the other way: as commands from a client they have no name, and end the connection. */
};
/* clang-format on */
static_assert(MULTI_MAX <= ANY_BODY, "a full WRITE_MULTI fits the buffer");

void vfu_send(struct ob_vfu *v, const void *bytes, size_t len, int fd)
{
	int rc = vfu_tx_msg(&v->conn.tx, bytes, len, fd);

	if (rc == -ENOBUFS)
		v->conn.dead = "does not read its replies";
	else if (rc < 0)
		v->conn.dead = "reply could not be sent";
}

static void answer(struct ob_vfu *v, const struct vfu_hdr *req, const struct vfu_reply *rep, int rc)
{
	struct vfu_hdr hdr = {.id = req->id, .cmd = req->cmd, .flags = VFU_F_REPLY};

	if (req->flags & VFU_F_NO_REPLY)
		return;
	hdr.size = (uint32_t)(sizeof(hdr) + rep->len);
	if (rc < 0) {
		hdr.size = sizeof(hdr);
		hdr.flags |= VFU_F_ERROR;
		hdr.error = (uint32_t)-rc;
	}
	memcpy(v->tx_buf, &hdr, sizeof(hdr));
	vfu_send(v, v->tx_buf, hdr.size, rc < 0 ? -1 : rep->fd);
}

static const char *check(const struct ob_vfu *v, const struct command *c, const struct vfu_msg *msg)
{
	if (c->name == NULL)
		return "a command that only a server sends";
	if (c->when == BEFORE_VERSION && v->conn.ready)
		return "VERSION twice";
	if (c->when == AFTER_VERSION && !v->conn.ready)
		return "a command before VERSION";
	if (msg->len < c->min_body)
		return "message too short";
	if (msg->len > c->max_body)
		return "message too long";
	if (msg->n_fds > c->max_fds)
		return "too many descriptors";
	return NULL;
}

static void run_command(struct ob_vfu *v, struct vfu_msg *msg)
{
	struct vfu_reply rep = {.body = v->tx_buf + sizeof(struct vfu_hdr), .fd = -1};
	const struct command *c;
	int rc;

	if (msg->hdr.cmd == 0 || msg->hdr.cmd >= VFU_N_CMDS) {
		/* A command of a later protocol; but nobody may skip VERSION. */
		if (!v->conn.ready)
			v->conn.dead = "a command before VERSION";
		else
			answer(v, &msg->hdr, &rep, -ENOTSUP);
		v->stats.n_bad_messages++;
		return;
	}
	c = &commands[msg->hdr.cmd];
	v->conn.dead = check(v, c, msg);
	if (v->conn.dead != NULL) {
		v->stats.n_bad_messages++;
		VFU_LOG_PEER(WARNING, v, "%s with %zu bytes and %u descriptors: %s",
		    c->name ? c->name : "DMA", msg->len, msg->n_fds, v->conn.dead);
		return;
	}
	rc = c->handle == NULL ? -ENOTSUP : c->handle(v, msg, &rep);
	if (rc < 0) {
		v->stats.n_bad_messages++;
		VFU_LOG_PEER(DEBUG, v, "%s refused: %s", c->name, strerror(-rc));
	}
	answer(v, &msg->hdr, &rep, rc);
}

void vfu_dispatch(struct ob_vfu *v, struct vfu_msg *msg)
{
	v->stats.n_messages++;
	if ((msg->hdr.flags & VFU_F_TYPE_MASK) == VFU_F_COMMAND) {
		run_command(v, msg);
	} else if (msg->n_fds > 0) {
		v->conn.dead = "descriptors in a reply";
		v->stats.n_bad_messages++;
	} else {
		vfu_on_dma_read_reply(v, msg);
	}
	vfu_msg_close_fds(msg);
}

/* Reads a positive number of the peer's "capabilities"; absent is fine. */
static int cap_number(struct json_object *caps, const char *key, uint64_t *out)
{
	struct json_object *o;
	int64_t n;

	if (!json_object_object_get_ex(caps, key, &o))
		return 0;
	if (!json_object_is_type(o, json_type_int))
		return -EINVAL;
	n = json_object_get_int64(o);
	if (n < 0)
		return -EINVAL;
	*out = (uint64_t)n;
	return 0;
}

static int read_caps(struct ob_vfu *v, struct json_object *caps, bool *multi)
{
	uint64_t max_fds = 1, pgsizes = 4096;
	struct json_object *o;
	int rc;

	if (!json_object_is_type(caps, json_type_object))
		return -EINVAL;
	rc = cap_number(caps, "max_msg_fds", &max_fds);
	if (rc == 0)
		rc = cap_number(caps, "pgsizes", &pgsizes);
	if (rc == 0)
		rc = cap_number(caps, "max_data_xfer_size", &v->conn.peer_max_xfer);
	if (rc < 0)
		return rc;
	/* Maps come in pages of 4 KiB; a peer that cannot make them has no use for this server. */
	if ((pgsizes & 4096) == 0)
		return -EINVAL;
	if (json_object_object_get_ex(caps, "write_multiple", &o)) {
		if (!json_object_is_type(o, json_type_boolean))
			return -EINVAL;
		*multi = json_object_get_boolean(o);
	}
	return 0;
}

static int read_json(struct ob_vfu *v, const char *text, size_t len, bool *multi)
{
	struct json_tokener *tok = json_tokener_new_ex(8);
	struct json_object *root, *caps;
	int rc = -EINVAL;

	if (tok == NULL)
		return -ENOMEM;
	root = json_tokener_parse_ex(tok, text, (int)len);
	if (root == NULL)
		goto out;
	if (!json_object_is_type(root, json_type_object))
		goto out;
	rc = json_object_object_get_ex(root, "capabilities", &caps) ? read_caps(v, caps, multi) : 0;
out:
	json_object_put(root);
	json_tokener_free(tok);
	return rc;
}

int vfu_on_version(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfu_version ver;
	size_t json_len = msg->len - sizeof(ver);
	bool multi = false;
	int rc = 0, n;

	memcpy(&ver, msg->body, sizeof(ver));
	v->conn.peer_max_xfer = 1u
				<< 20; /* what the specification says for one that does not tell */
	if (ver.major != 0)
		rc = -EPROTONOSUPPORT;
	else if (json_len > 0 && msg->body[msg->len - 1] != '\0')
		rc = -EINVAL;
	else if (json_len > 1)
		rc = read_json(v, (const char *)msg->body + sizeof(ver), json_len, &multi);
	if (rc < 0) {
		v->conn.dead = "VERSION that cannot be served";
		return rc;
	}
	ver.minor = 0; /* at most what was proposed, and 0.0 is all this server needs */
	memcpy(rep->body, &ver, sizeof(ver));
	n = snprintf((char *)rep->body + sizeof(ver), VFU_MAX_VERSION,
	    "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u%s}}", VFU_MAX_FDS,
	    VFU_MAX_XFER, multi ? ",\"write_multiple\":true" : "");
	rep->len = sizeof(ver) + (size_t)n + 1;
	v->conn.ready = true;
	return 0;
}
