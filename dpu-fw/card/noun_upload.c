/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	return upload_add(c->upload, rec, t);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	(void)rec;
	(void)t;
	upload_drop(c->upload);
	return 0;
}

const struct noun noun_upload = {
    .name = "upload", .record_len = sizeof(struct ob_bus_upload), .add = add, .del = del};
