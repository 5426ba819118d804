/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_net.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HDR	((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define MAX_TX	65535u
#define MAX_MRG 64

int fake_net_init(struct fake_net *n, struct fake_guest *g, const struct fake_net_conf *conf)
{
	uint32_t size = conf->ring.size;
	int rc;

	*n = (struct fake_net){.conf = *conf, .g = g, .tx_buf_len = HDR + MAX_TX};
	if (n->conf.buf_len == 0)
		n->conf.buf_len = 1536;
	rc = fake_ring_init(&n->rx, g, &conf->ring);
	if (rc != 0)
		return rc;
	rc = fake_ring_init(&n->tx, g, &conf->ring);
	if (rc != 0)
		goto err_rx;
	/* A test that sends small frames only should not need 64 KiB a slot. */
	while (n->tx_buf_len > 2048 && (uint64_t)size * n->tx_buf_len > g->len / 4)
		n->tx_buf_len /= 2;
	n->rx_buf = fake_guest_alloc(g, (size_t)size * n->conf.buf_len, 64);
	n->tx_buf = fake_guest_alloc(g, (size_t)size * n->tx_buf_len, 64);
	n->tx_free = calloc(size, sizeof(*n->tx_free));
	if (n->rx_buf == 0 || n->tx_buf == 0 || n->tx_free == NULL) {
		rc = -ENOMEM;
		goto err_tx;
	}
	for (uint16_t i = 0; i < size; i++)
		n->tx_free[n->n_tx_free++] = i;
	return 0;
err_tx:
	free(n->tx_free);
	fake_ring_fini(&n->tx);
err_rx:
	fake_ring_fini(&n->rx);
	return rc;
}

void fake_net_fini(struct fake_net *n)
{
	free(n->tx_free);
	fake_ring_fini(&n->tx);
	fake_ring_fini(&n->rx);
}

static int post_one(struct fake_net *n, uint64_t idx)
{
	struct fake_sg sg = {n->rx_buf + idx * n->conf.buf_len, n->conf.buf_len};

	return fake_ring_add(&n->rx, &sg, 0, 1, idx);
}

unsigned fake_net_post(struct fake_net *n)
{
	unsigned added = 0;

	while (added < n->conf.ring.size && post_one(n, added) == 0)
		added++;
	return added;
}

unsigned fake_net_sent(struct fake_net *n)
{
	uint64_t cookie;
	uint32_t len;

	while (fake_ring_reap(&n->tx, &cookie, &len) == 1)
		n->tx_free[n->n_tx_free++] = (uint16_t)cookie;
	return fake_ring_outstanding(&n->tx);
}

int fake_net_send(
    struct fake_net *n, const struct virtio_net_hdr_v1 *hdr, const void *frame, uint32_t len)
{
	unsigned pieces = n->conf.tx_split, n_sg = 0;
	struct fake_sg sg[FAKE_RING_TABLE];
	uint64_t at;
	uint16_t idx;
	int rc;

	if (len > MAX_TX || HDR + len > n->tx_buf_len || pieces >= FAKE_RING_TABLE)
		return -EMSGSIZE;
	fake_net_sent(n);
	if (n->n_tx_free == 0)
		return -ENOSPC;
	idx = n->tx_free[n->n_tx_free - 1];
	at = n->tx_buf + (uint64_t)idx * n->tx_buf_len;
	memset(fake_guest_ptr(n->g, at), 0, HDR);
	if (hdr != NULL)
		memcpy(fake_guest_ptr(n->g, at), hdr, HDR);
	memcpy(fake_guest_ptr(n->g, at + HDR), frame, len);
	if (pieces <= 1) {
		sg[n_sg++] = (struct fake_sg){at, HDR + len};
	} else {
		uint32_t done = 0;

		sg[n_sg++] = (struct fake_sg){at, HDR};
		for (unsigned i = 0; i < pieces && done < len; i++) {
			uint32_t part = i + 1 == pieces ? len - done : (len + pieces - 1) / pieces;

			part = part < len - done ? part : len - done;
			sg[n_sg++] = (struct fake_sg){at + HDR + done, part};
			done += part;
		}
	}
	rc = fake_ring_add(&n->tx, sg, n_sg, 0, idx);
	if (rc != 0)
		return rc;
	n->n_tx_free--;
	return fake_ring_kick(&n->tx);
}

int fake_net_receive(struct fake_net *n, struct virtio_net_hdr_v1 *hdr, void *frame, uint32_t cap)
{
	uint32_t len, total = 0, want = 1;
	uint64_t idx[MAX_MRG];
	bool bad = false, fits = true;

	for (uint32_t i = 0; i < want; i++) {
		const uint8_t *buf;
		uint32_t skip = 0;
		int rc = fake_ring_reap(&n->rx, &idx[i], &len);

		if (rc < 0)
			return rc;
		if (rc == 0) {
			/* Fewer buffers than the header says: the rest should have come with it. */
			n->n_bad += i > 0;
			return 0;
		}
		buf = fake_guest_ptr(n->g, n->rx_buf + idx[i] * n->conf.buf_len);
		if (i == 0) {
			memcpy(hdr, buf, HDR);
			skip = HDR;
			if (n->conf.mergeable)
				want = le16toh(hdr->num_buffers);
			if (want == 0 || want > MAX_MRG)
				bad = true, want = 1;
		}
		if (len < skip || len > n->conf.buf_len) {
			bad = true;
			continue;
		}
		if (len - skip > cap - total)
			fits = false;
		else
			memcpy((uint8_t *)frame + total, buf + skip, len - skip);
		total += fits ? len - skip : 0;
	}
	for (uint32_t i = 0; i < want; i++)
		post_one(n, idx[i]);
	if (bad) {
		n->n_bad++;
		return 0;
	}
	return fits ? (int)total : -EMSGSIZE;
}
