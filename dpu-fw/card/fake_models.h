/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions without a host: what the tests and the fuzz target of the bus put behind the card. */
#pragma once

#include "ob_card.h"

struct fake_models {
	int create_rc;	 /* what the next create returns */
	const char *err; /* and says; NULL: nothing */
	unsigned n_alive;
	bool link_down; /* as last set */
	uint8_t driver_status;
	bool connected;
	/* Of the last create; their pointers are dead. */
	struct ob_vnet_conf last;
	struct ob_virtio_blk_conf last_blk;
	struct ob_nvme_conf last_nvme;
	struct ob_nvme_ns *last_ns; /* of the last add_ns; no reference */
};
extern struct fake_models fake_models;
extern const struct ob_card_models fake_card_models;
