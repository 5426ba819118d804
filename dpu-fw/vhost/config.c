/* SPDX-License-Identifier: BSD-3-Clause */
/* GET_CONFIG and SET_CONFIG: the device configuration space goes over the socket, and is the main thread's. */
#include "vhost_priv.h"

#include <errno.h>
#include <stddef.h>

#define CONFIG_HEAD offsetof(struct vhost_config, bytes)

static bool config_valid(const struct vhost_config *c, uint32_t size)
{
	return size >= CONFIG_HEAD && c->len <= VHOST_CONFIG_MAX && c->len <= size - CONFIG_HEAD &&
	       c->off <= VHOST_CONFIG_MAX;
}

static void main_config_get(struct ob_vhost *vh, struct vhost_call *c)
{
	ob_virtio_config_read(vh->v, c->config->off, c->config->bytes, c->config->len);
	c->rc = 0;
}

static void main_config_set(struct ob_vhost *vh, struct vhost_call *c)
{
	ob_virtio_config_write(vh->v, c->config->off, c->config->bytes, c->config->len);
	c->rc = 0;
}

int vhost_config_get(struct ob_vhost *vh, struct vhost_config *config, uint32_t size)
{
	struct vhost_call c = {.fn = main_config_get, .config = config};

	return config_valid(config, size) ? vhost_call_main(vh, &c) : -EPROTO;
}

int vhost_config_set(struct ob_vhost *vh, const struct vhost_config *config, uint32_t size)
{
	struct vhost_config copy = *config;
	struct vhost_call c = {.fn = main_config_set, .config = &copy};

	return config_valid(config, size) ? vhost_call_main(vh, &c) : -EPROTO;
}
