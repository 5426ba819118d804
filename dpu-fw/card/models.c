/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_card.h"

#include <errno.h>

#include "ob_vhost.h"

static int create(const struct ob_vnet_conf *conf, uint8_t transport, struct ob_vnet **out)
{
	switch (transport) {
	case OB_BUS_VFIO_USER:
		return ob_vnet_create(conf, out);
	case OB_BUS_VHOST_USER:
		return ob_vhost_create(conf, OB_VHOST_LISTEN, out);
	case OB_BUS_VHOST_USER_CLIENT:
		return ob_vhost_create(conf, OB_VHOST_CONNECT, out);
	default:
		return -EINVAL;
	}
}

const struct ob_card_models ob_card_models = {
    .create = create,
    .destroy = ob_vnet_destroy,
    .set_link = ob_vnet_set_link,
    .get_status = ob_vnet_get_status,
    .queue_counters = ob_vif_queue_counters,
};
