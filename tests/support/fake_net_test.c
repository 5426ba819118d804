/* SPDX-License-Identifier: BSD-3-Clause */
/* The fake driver against a device of a page: what it sends comes back to it. Also an example of use. */
#include "fake_net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ob_virtq.h"

#define HDR 12

struct loop {
	struct fake_guest g;
	struct fake_net n;
	struct ob_gmem *gm;
	struct ob_virtq_state st[2];
	struct ob_virtq *rx, *tx;
	struct ob_virtq_chain ch[64];
	struct ob_virtq_seg seg[512];
	uint8_t frame[70000];
};

static struct ob_virtq *queue(struct loop *l, const struct fake_ring *r, struct ob_virtq_state *st)
{
	struct ob_virtq_conf c = {
	    .gm = l->gm,
	    .state = st,
	    .desc = {r->desc_iova},
	    .driver = {r->driver_iova},
	    .device = {r->device_iova},
	    .size = r->conf.size,
	    .packed = r->conf.packed,
	    .event_idx = r->conf.event_idx,
	    .in_order = r->conf.in_order,
	    .indirect = r->conf.indirect,
	};
	struct ob_virtq *vq;

	ob_virtq_state_init(st);
	assert_int_equal(ob_virtq_create(&c, &vq), 0);
	return vq;
}

static void up(struct loop *l, const struct fake_net_conf *nc)
{
	struct ob_gmem_conf gc = {.name = "loop"};

	assert_int_equal(fake_guest_init(&l->g, 64 << 20, 1 << 20), 0);
	assert_int_equal(fake_net_init(&l->n, &l->g, nc), 0);
	assert_int_equal(ob_gmem_create(&gc, &l->gm), 0);
	assert_int_equal(ob_gmem_add(l->gm, (ob_iova_t){l->g.iova}, l->g.len,
			     OB_GMEM_READ | OB_GMEM_WRITE, l->g.fd, 0),
	    0);
	l->rx = queue(l, &l->n.rx, &l->st[0]);
	l->tx = queue(l, &l->n.tx, &l->st[1]);
}

static void down(struct loop *l)
{
	ob_virtq_destroy(l->rx);
	ob_virtq_destroy(l->tx);
	ob_gmem_destroy(l->gm);
	fake_net_fini(&l->n);
	fake_guest_fini(&l->g);
}

/* Takes one frame with its header from the transmit ring. */
static uint32_t device_take(struct loop *l)
{
	uint32_t len = 0, none = 0;

	assert_int_equal(ob_virtq_begin(l->tx), 0);
	assert_int_equal(ob_virtq_pop(l->tx, l->ch, 1, l->seg, 512), 1);
	for (unsigned i = 0; i < l->ch[0].n_seg; i++) {
		assert_int_equal(ob_gmem_fetch(ob_virtq_map(l->tx), l->frame + len, l->seg[i].iova,
				     l->seg[i].len),
		    0);
		len += l->seg[i].len;
	}
	ob_virtq_push(l->tx, l->ch, &none, 1);
	ob_virtq_flush(l->tx);
	return len;
}

/* Puts it into as many receive buffers as it needs. */
static void device_give(struct loop *l, uint32_t len)
{
	uint32_t done = 0, written[64];
	uint16_t n = 0;

	assert_int_equal(ob_virtq_begin(l->rx), 0);
	while (done < len) {
		uint32_t part;

		assert_int_equal(ob_virtq_pop(l->rx, &l->ch[n], 1, &l->seg[n], 1), 1);
		part = len - done < l->seg[n].len ? len - done : l->seg[n].len;
		assert_int_equal(
		    ob_gmem_store(ob_virtq_map(l->rx), l->seg[n].iova, l->frame + done, part), 0);
		written[n++] = part;
		done += part;
	}
	assert_int_equal(
	    ob_gmem_store(ob_virtq_map(l->rx), (ob_iova_t){l->seg[0].iova.v + 10}, &n, 2), 0);
	ob_virtq_push(l->rx, l->ch, written, n);
	ob_virtq_flush(l->rx);
}

static void frames_come_back(void **state)
{
	struct loop *l = malloc(sizeof(*l));
	static uint8_t out[65535], in[65535];

	(void)state;
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 31 + (i >> 8));
	for (unsigned bits = 0; bits < 16; bits++) {
		struct fake_net_conf nc = {
		    .ring = {.size = 64,
			.packed = bits & 1,
			.indirect = bits & 2,
			.in_order = bits & 4,
			.event_idx = bits & 8},
		    .mergeable = true,
		    .tx_split = bits % 5,
		};
		struct virtio_net_hdr_v1 hdr = {.flags = 1, .csum_start = 14}, got;

		up(l, &nc);
		assert_int_equal(fake_net_post(&l->n), 64);
		assert_int_equal(fake_net_receive(&l->n, &got, in, sizeof(in)), 0);
		for (unsigned i = 0; i < 300; i++) {
			uint32_t len = 14 + (i * 577) % 60000;

			assert_true(fake_net_send(&l->n, &hdr, out, len) >= 0);
			assert_int_equal(device_take(l), HDR + len);
			device_give(l, HDR + len);
			assert_int_equal(fake_net_receive(&l->n, &got, in, sizeof(in)), len);
			assert_memory_equal(in, out, len);
			assert_int_equal(got.flags, 1);
			assert_int_equal(got.num_buffers, (HDR + len + 1535) / 1536);
		}
		assert_int_equal(fake_net_sent(&l->n), 0);
		assert_int_equal(l->n.n_bad, 0);
		down(l);
	}
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_come_back),
	};

	return cmocka_run_group_tests_name("fake_net", tests, NULL, NULL);
}
