/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of functions and queues: start, stop, resume, breaks, several workers, real threads. */
#include "fake_vif.h"

#include <time.h>

static int setup_split(void **state)
{
	*state = env_create(false, 1, true);
	return 0;
}

static int setup_packed(void **state)
{
	*state = env_create(true, 1, true);
	return 0;
}

static int setup_two_workers(void **state)
{
	*state = env_create(false, 2, true);
	return 0;
}

static int teardown(void **state)
{
	env_destroy(*state);
	return 0;
}

static const struct virtio_net_hdr_v1 plain;

/* ---- functions ---- */

static void create_checks_its_arguments(void **state)
{
	struct env *e = *state;
	struct ob_vif_conf c = {.name = "t1", .gm = e->gm, .n_pairs = 1};
	struct ob_vif *vif;

	c.n_pairs = 0;
	assert_int_equal(ob_vif_create(&c, &vif), -EINVAL);
	c.n_pairs = OB_VIF_MAX_PAIRS + 1;
	assert_int_equal(ob_vif_create(&c, &vif), -EINVAL);
	c.n_pairs = 1;
	c.name[0] = '\0';
	assert_int_equal(ob_vif_create(&c, &vif), -EINVAL);
	memset(c.name, 'x', sizeof(c.name));
	assert_int_equal(ob_vif_create(&c, &vif), -EINVAL);
	strcpy(c.name, "t0");
	assert_int_equal(ob_vif_create(&c, &vif), -EEXIST);
	ob_vif_destroy(NULL);
}

static void create_takes_the_smallest_free_index_with_fresh_counters(void **state)
{
	struct env *e = *state;
	struct ob_vif_conf c = {.gm = e->gm, .n_pairs = 1};
	struct ob_vif_queue_counters qc;
	struct ob_vif *vif[3], *again;

	for (unsigned i = 0; i < 3; i++) {
		snprintf(c.name, sizeof(c.name), "n%u", i);
		assert_int_equal(ob_vif_create(&c, &vif[i]), 0);
		assert_int_equal(ob_vif_idx(vif[i]), i + 1);
		assert_ptr_equal(ob_vif_get((uint16_t)(i + 1)), vif[i]);
		assert_string_equal(ob_vif_name(vif[i]), c.name);
	}
	ob_vif_kick(vif[1], 1);
	ob_drop_count(ob_worker_get(0), OB_DROP_VNET_HDR, 2, 5);
	ob_vif_destroy(vif[1]);
	assert_null(ob_vif_get(2));
	assert_int_equal(ob_vif_queue_counters(2, 0, &qc), -ENOENT);
	strcpy(c.name, "again");
	assert_int_equal(ob_vif_create(&c, &again), 0);
	assert_int_equal(ob_vif_idx(again), 2);
	assert_int_equal(ob_drops_read(2, OB_DROP_VNET_HDR), 0);
	assert_int_equal(ob_vif_queue_counters(2, 1, &qc), 0);
	assert_int_equal(qc.n_kicks, 0);
	assert_int_equal(ob_vif_queue_counters(2, 2, &qc), -ENOENT);
	assert_null(ob_vif_get(OB_MAX_VIFS));
	ob_vif_destroy(vif[0]);
	ob_vif_destroy(vif[2]);
	ob_vif_destroy(again);
}

/* ---- queues ---- */

static void start_checks_its_arguments(void **state)
{
	struct env *e = *state;
	struct ob_virtq_conf c = {.size = 63};

	env_start(e, 0, 64);
	assert_int_equal(ob_vif_start_queue(e->vif, 2 * ENV_PAIRS, &c, -1, false, -1), -EINVAL);
	assert_int_equal(ob_vif_start_queue(e->vif, 0, &c, -1, false, -1), -EALREADY);
	assert_int_equal(ob_vif_start_queue(e->vif, 2, &c, -1, false, -1), -EINVAL);
	assert_false(ob_vif_queue_running(e->vif, 2));
	assert_true(ob_vif_queue_running(e->vif, 1));
	assert_int_equal(ob_vif_queue_worker(e->vif, 1), 0);
	assert_int_equal(ob_vif_queue_worker(e->vif, 2), -1);
	assert_int_equal(ob_vif_stop_queue(e->vif, 2), -ENOENT);
	assert_int_equal(ob_vif_stop_queue(e->vif, 99), -ENOENT);
	assert_int_equal(ob_vif_stop_queue(e->vif, 1), 0);
	assert_int_equal(ob_vif_stop_queue(e->vif, 1), -ENOENT);
}

static struct ob_virtq_conf conf_of(struct env *e, unsigned q)
{
	return (struct ob_virtq_conf){
	    .size = e->ring[q].conf.size,
	    .packed = e->packed,
	    .indirect = true,
	    .desc.v = e->ring[q].desc_iova,
	    .driver.v = e->ring[q].driver_iova,
	    .device.v = e->ring[q].device_iova,
	};
}

static void queue_goes_on_where_it_was_stopped(void **state)
{
	struct env *e = *state;
	struct ob_virtq_conf c;
	int32_t next = 0;

	env_start(e, 0, 16);
	c = conf_of(e, 1);
	/* By arena and by number in turn, past the end of the ring several times. */
	for (unsigned k = 0; k < 30; k++) {
		uint64_t cookie;
		uint32_t used;

		for (unsigned i = 0; i < 5; i++) {
			pkt_be16(env_frame, 5 * k + i);
			env_send(e, &plain, env_frame, 60, 0);
		}
		env_round(e);
		assert_int_equal(e->n_in, 5);
		for (unsigned i = 0; i < 5; i++) {
			pkt_flat(e->in[i], env_flat);
			assert_int_equal(pkt_get16(env_flat), 5 * k + i);
			assert_int_equal(fake_ring_reap(&e->ring[1], &cookie, &used), 1);
		}
		env_drop_in(e);
		next = ob_vif_stop_queue(e->vif, 1);
		if (e->packed)
			assert_int_equal(
			    next, ((5 * (k + 1)) % 16) | ((5 * (k + 1) / 16) % 2 ? 0 : 0x8000));
		else
			assert_int_equal(next, 5 * (k + 1));
		assert_int_equal(
		    ob_vif_start_queue(e->vif, 1, &c, e->irq[1], true, k % 2 ? next : -1), 0);
	}
}

static void stopped_queue_is_left_alone(void **state)
{
	struct env *e = *state;

	env_start(e, 0, 16);
	env_post(e, 0, 1, 2000, 1);
	env_send(e, &plain, env_frame, 60, 0);
	ob_vif_stop_queue(e->vif, 1);
	ob_vif_stop_queue(e->vif, 0);
	ob_vif_kick(e->vif, 1);
	env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
	env_round(e);
	assert_int_equal(e->n_in, 0);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_DOWN), 1);
	assert_int_equal(fake_ring_outstanding(&e->ring[0]), 1);
}

static void stop_sends_what_waits_in_the_edge(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;

	env_start(e, 0, 16);
	env_post(e, 0, 1, 2000, 1);
	env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
	assert_int_equal(ob_vif_stop_queue(e->vif, 0), e->packed ? 0x8001 : 1);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 55);
	env_round(e);
}

static void kick_counts_and_irq_fd_changes(void **state)
{
	struct env *e = *state;
	struct ob_vif_queue_counters c;
	int other = eventfd(0, EFD_NONBLOCK);
	uint64_t n;

	env_start(e, 0, 16);
	ob_vif_kick(e->vif, 1);
	ob_vif_kick(e->vif, 1);
	ob_vif_queue_counters(0, 1, &c);
	assert_int_equal(c.n_kicks, 2);
	ob_vif_set_irq_fd(e->vif, 1, other);
	env_send(e, &plain, env_frame, 60, 0);
	env_round(e);
	assert_int_equal(env_irqs(e, 1), 0);
	assert_int_equal(read(other, &n, sizeof(n)), sizeof(n));
	ob_vif_set_irq_fd(e->vif, 1, -1);
	env_send(e, &plain, env_frame, 60, 0);
	env_round(e);
	assert_int_equal(e->n_in, 2);
	close(other);
}

/* ---- broken rings ---- */

static unsigned n_broken, last_broken;

static void on_broken(void *ctx, unsigned q)
{
	assert_ptr_equal(ctx, &n_broken);
	n_broken++;
	last_broken = q;
}

static void break_ring(struct env *e, unsigned q)
{
	struct fake_ring *r = &e->ring[q];

	env_post(e, q, 1, 100, 1);
	if (e->packed)
		memset(r->desc + 8, 0, 4); /* length 0 */
	else
		pkt_be16(r->driver + 2, 0x7f7f); /* a jump */
}

static void broken_queue_is_told_once_and_the_other_lives(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;

	n_broken = 0;
	ob_vif_set_on_broken(e->vif, on_broken, &n_broken);
	env_start(e, 0, 16);
	break_ring(e, 1);
	assert_int_equal(ob_vif_poll_events(), 0);
	for (unsigned i = 0; i < 5; i++)
		env_round(e);
	assert_int_equal(ob_vif_poll_events(), 1);
	assert_int_equal(n_broken, 1);
	assert_int_equal(last_broken, 1);
	assert_string_not_equal(ob_vif_broken_why(e->vif, 1), "sound");
	assert_string_equal(ob_vif_broken_why(e->vif, 0), "sound");
	assert_string_equal(ob_vif_broken_why(e->vif, 2), "stopped");
	assert_int_equal(ob_vif_poll_events(), 0);
	assert_int_equal(e->n_in, 0);
	env_post(e, 0, 1, 2000, 1);
	env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
	env_round(e);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 55);
}

static void broken_receive_queue_drops_and_tells(void **state)
{
	struct env *e = *state;

	n_broken = 0;
	ob_vif_set_on_broken(e->vif, on_broken, &n_broken);
	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 16);
	break_ring(e, 0);
	for (unsigned i = 0; i < 5; i++) {
		env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
		env_round(e);
	}
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_DOWN), 5);
	assert_int_equal(ob_vif_poll_events(), 1);
	assert_int_equal(n_broken, 1);
	assert_int_equal(last_broken, 0);
}

static void ring_that_breaks_under_a_packet_is_told(void **state)
{
	struct env *e = *state;
	uint64_t at = fake_guest_alloc(&e->g, 64, 1);

	n_broken = 0;
	ob_vif_set_on_broken(e->vif, on_broken, &n_broken);
	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 16);
	/* One good buffer that is too small, then one of length 0. */
	env_post(e, 0, 1, 40, 1);
	fake_ring_add(&e->ring[0], &(struct fake_sg){at, 0}, 0, 1, 1);
	env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
	env_round(e);
	assert_int_equal(env_dropped_all(e), 1);
	assert_int_equal(ob_vif_poll_events(), 1);
	assert_int_equal(last_broken, 0);
}

static void destroy_others(void *ctx, unsigned q)
{
	(void)q;
	ob_vif_destroy(*(struct ob_vif **)ctx);
	*(struct ob_vif **)ctx = NULL;
}

static void handler_may_destroy_a_function(void **state)
{
	struct env *e = *state;
	struct ob_vif_conf c = {.name = "t1", .gm = e->gm, .n_pairs = 1};
	struct ob_vif *other;

	assert_int_equal(ob_vif_create(&c, &other), 0);
	ob_vif_set_on_broken(e->vif, destroy_others, &other);
	env_start(e, 0, 16);
	break_ring(e, 0);
	break_ring(e, 1);
	env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
	env_round(e);
	assert_int_equal(ob_vif_poll_events(), 2);
	assert_null(ob_vif_get(1));
}

static void unmapped_ring_stalls_and_recovers(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1_hash h;

	env_start(e, 0, 16);
	env_post(e, 0, 1, 2000, 1);
	env_send(e, &plain, env_frame, 60, 0);
	assert_int_equal(ob_gmem_del(e->gm, (ob_iova_t){e->g.iova}, e->g.len), 1);
	env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
	env_round(e);
	assert_int_equal(e->n_in, 0);
	assert_int_equal(env_dropped(e, OB_DROP_GUEST_DOWN), 1);
	assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){e->g.iova}, e->g.len,
			     OB_GMEM_READ | OB_GMEM_WRITE, e->g.fd, 0),
	    0);
	env_output(e, &(struct pkt_spec){.payload = 1}, 0, 0);
	env_round(e);
	assert_int_equal(e->n_in, 1);
	assert_int_equal(env_receive(e, 0, 12, &h, env_flat), 55);
	assert_int_equal(ob_vif_poll_events(), 0);
}

static void resume_without_the_ring_is_eagain(void **state)
{
	struct env *e = *state;
	struct ob_virtq_conf c;

	env_start(e, 0, 16);
	c = conf_of(e, 1);
	ob_vif_stop_queue(e->vif, 1);
	assert_int_equal(ob_gmem_del(e->gm, (ob_iova_t){e->g.iova}, e->g.len), 1);
	assert_int_equal(ob_vif_start_queue(e->vif, 1, &c, e->irq[1], true, -1), -EAGAIN);
	assert_false(ob_vif_queue_running(e->vif, 1));
	assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){e->g.iova}, e->g.len,
			     OB_GMEM_READ | OB_GMEM_WRITE, e->g.fd, 0),
	    0);
	assert_int_equal(ob_vif_start_queue(e->vif, 1, &c, e->irq[1], true, -1), 0);
	/* Its interrupt may have been lost with its predecessor. */
	assert_int_equal(env_irqs(e, 1), 1);
}

/* ---- several workers ---- */

static void handoff(struct ob_worker *w, struct ob_burst *b, void *arg)
{
	(void)arg;
	ob_vif_handoff_in(w, b);
}

static void start_second_pair(struct env *e, uint16_t size)
{
	env_start_queue(e, 2, size);
	env_start_queue(e, 3, size);
}

static void pairs_live_on_different_workers_and_get_their_packets(void **state)
{
	struct env *e = *state;
	struct ob_vif_steering s = {.n_pairs = 2,
	    .rss = true,
	    .hash_types = OB_VIF_HASH_TYPES,
	    .table_len = 2,
	    .table = {0, 1},
	    .key_len = 40};
	struct virtio_net_hdr_v1_hash h;
	unsigned n[2] = {0}, last[2] = {0};

	ob_workers_set_handoff(handoff, NULL);
	env_start(e, 0, 256);
	start_second_pair(e, 256);
	assert_int_equal(ob_vif_queue_worker(e->vif, 0), 0);
	assert_int_equal(ob_vif_queue_worker(e->vif, 3), 1);
	assert_int_equal(ob_vif_pairs(e->vif), 1);
	/* The last bit of the source port decides. */
	s.key[13] = 0x02; /* what key bit 79 + 31 does to hash bit 0 */
	assert_int_equal(ob_vif_set_steering(e->vif, &s), 0);
	assert_int_equal(ob_vif_pairs(e->vif), 2);
	env_post(e, 0, 100, 200, 1);
	env_post(e, 2, 100, 200, 1);
	for (unsigned i = 0; i < 150; i++)
		env_output(e,
		    &(struct pkt_spec){.udp = true, .payload = 20, .sport = (uint16_t)(i + 1)}, 0,
		    0);
	env_round(e);
	for (unsigned p = 0; p < 2; p++) {
		while (env_receive(e, 2 * p, 12, &h, env_flat) > 0) {
			unsigned port = pkt_get16(env_flat + 34);

			assert_true(port > last[p]);
			last[p] = port;
			n[p]++;
		}
	}
	assert_int_equal(n[0] + n[1], 150);
	assert_int_equal(n[0], 75);
	assert_int_equal(env_dropped_all(e), 0);
	/* A pair that the driver did not start: the first one takes it. */
	ob_vif_stop_queue(e->vif, 2);
	env_output(e, &(struct pkt_spec){.udp = true, .payload = 20, .sport = 1}, 0, 0);
	env_output(e, &(struct pkt_spec){.udp = true, .payload = 20, .sport = 2}, 0, 0);
	env_round(e);
	assert_true(env_receive(e, 0, 12, &h, env_flat) > 0);
	assert_true(env_receive(e, 0, 12, &h, env_flat) > 0);
}

static void packet_on_its_way_does_not_reach_the_next_function_of_its_index(void **state)
{
	struct env *e = *state;
	struct ob_vif_conf c = {.name = "next", .gm = e->gm, .n_pairs = ENV_PAIRS};
	struct ob_vif_steering s = {.n_pairs = 2};
	struct virtio_net_hdr_v1_hash h;
	uint64_t before = ob_drops_read(OB_VIF_NONE, OB_DROP_GUEST_DOWN);

	ob_workers_set_handoff(handoff, NULL);
	env_start(e, 0, 64);
	start_second_pair(e, 64);
	assert_int_equal(ob_vif_set_steering(e->vif, &s), 0);
	/* Its hash says the second pair: it now lies in the other worker's ring. */
	env_output(e, &(struct pkt_spec){.payload = 10, .host = 2}, 0, 0);
	assert_int_equal(env_dropped_all(e), 0);
	for (unsigned q = 0; q < 4; q++)
		ob_vif_stop_queue(e->vif, q);
	ob_vif_destroy(e->vif);
	assert_int_equal(ob_vif_create(&c, &e->vif), 0);
	assert_int_equal(ob_vif_idx(e->vif), 0);
	assert_int_equal(ob_vif_set_steering(e->vif, &s), 0);
	for (unsigned q = 0; q < 4; q++) {
		fake_ring_fini(&e->ring[q]);
		close(e->irq[q]);
		env_start_queue(e, q, 64);
	}
	env_post(e, 0, 2, 200, 1);
	env_post(e, 2, 2, 200, 1);
	env_round(e);
	assert_int_equal(
	    env_receive(e, 0, 12, &h, env_flat) + env_receive(e, 2, 12, &h, env_flat), 0);
	assert_int_equal(ob_drops_read(OB_VIF_NONE, OB_DROP_GUEST_DOWN), before + 1);
	assert_int_equal(env_dropped_all(e), 0);
	env_output(e, &(struct pkt_spec){.payload = 10, .host = 2}, 0, 0);
	env_round(e);
	assert_int_equal(env_receive(e, 2, 12, &h, env_flat), 64);
}

/* Sends everything back where it came from. */
static void loop_input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		b->meta[i].out_vif = ob_vif_idx(vif);
		b->meta[i].hash = (uint32_t)i * 0x9e3779b1u;
	}
	ob_vif_output(w, b->pkt, b->meta, b->n);
}

/* Threads, two pairs, and control that restarts queues and swaps settings under the traffic: every frame comes back or is
 * counted, none twice, and nothing is left behind. */
static void restarts_under_traffic_lose_nothing_uncounted(void **state)
{
	struct env *e = *state;
	struct ob_vif_steering s = {.n_pairs = 2};
	struct ob_vif_filter f = {.promisc = true};
	unsigned sent = 0, back = 0, k = 0;
	struct timespec nap = {.tv_nsec = 200000};
	struct virtio_net_hdr_v1_hash h;
	uint64_t tx[2], cookie;
	uint32_t used;

	ob_workers_set_handoff(handoff, NULL);
	ob_vif_set_input(loop_input);
	env_start(e, F(VIRTIO_NET_F_MRG_RXBUF), 256);
	start_second_pair(e, 256);
	assert_int_equal(ob_vif_set_steering(e->vif, &s), 0);
	for (unsigned p = 0; p < 2; p++) {
		tx[p] = fake_guest_alloc(&e->g, 100, 1);
		env_post(e, 2 * p, 255, 200, 1);
	}
	for (unsigned turn = 0; turn < 400 && (sent < 4000 || sent > back + env_dropped_all(e));
	     turn++) {
		for (unsigned p = 0; p < 2 && sent < 4000; p++) {
			struct fake_sg sg = {tx[p], 100};

			while (fake_ring_reap(&e->ring[2 * p + 1], &cookie, &used) == 1)
				;
			for (unsigned i = 0;
			     i < 32 && fake_ring_add(&e->ring[2 * p + 1], &sg, 1, 0, i) == 0; i++)
				sent++;
			ob_vif_kick(e->vif, 2 * p + 1);
		}
		if (turn % 8 == 7 && turn < 200) {
			unsigned q = k++ % 4;
			struct ob_virtq_conf c = conf_of(e, q);

			ob_vif_stop_queue(e->vif, q);
			assert_int_equal(ob_vif_start_queue(e->vif, q, &c, e->irq[q], true, -1), 0);
			assert_int_equal(ob_vif_set_steering(e->vif, &s), 0);
			assert_int_equal(ob_vif_set_filter(e->vif, &f), 0);
			ob_rcu_reclaim();
		}
		nanosleep(&nap, NULL);
		for (unsigned p = 0; p < 2; p++) {
			while (env_receive(e, 2 * p, 12, &h, env_flat) > 0) {
				back++;
				env_post(e, 2 * p, 1, 200, 1);
			}
		}
	}
	assert_int_equal(ob_vif_poll_events(), 0);
	assert_int_equal(sent, 4000);
	assert_int_equal(back + env_dropped_all(e), sent);
	assert_true(back > sent / 2);
}

static void threads(bool packed)
{
	struct env *e = env_create(packed, 2, false);

	restarts_under_traffic_lose_nothing_uncounted((void **)&e);
	env_destroy(e);
}

static void restarts_under_traffic_split(void **state)
{
	(void)state;
	threads(false);
}

static void restarts_under_traffic_packed(void **state)
{
	(void)state;
	threads(true);
}

#define BOTH(test)                                                    \
	{#test " (split)", test, setup_split, teardown, NULL},        \
	{                                                             \
#test " (packed)", test, setup_packed, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(create_checks_its_arguments, setup_split, teardown),
	    cmocka_unit_test_setup_teardown(
		create_takes_the_smallest_free_index_with_fresh_counters, setup_split, teardown),
	    cmocka_unit_test_setup_teardown(start_checks_its_arguments, setup_split, teardown),
	    BOTH(queue_goes_on_where_it_was_stopped),
	    BOTH(stopped_queue_is_left_alone),
	    BOTH(stop_sends_what_waits_in_the_edge),
	    cmocka_unit_test_setup_teardown(kick_counts_and_irq_fd_changes, setup_split, teardown),
	    BOTH(broken_queue_is_told_once_and_the_other_lives),
	    BOTH(broken_receive_queue_drops_and_tells),
	    BOTH(ring_that_breaks_under_a_packet_is_told),
	    BOTH(handler_may_destroy_a_function),
	    BOTH(resume_without_the_ring_is_eagain),
	    BOTH(unmapped_ring_stalls_and_recovers),
	    cmocka_unit_test_setup_teardown(
		pairs_live_on_different_workers_and_get_their_packets, setup_two_workers, teardown),
	    cmocka_unit_test_setup_teardown(
		packet_on_its_way_does_not_reach_the_next_function_of_its_index, setup_two_workers,
		teardown),
	    cmocka_unit_test(restarts_under_traffic_split),
	    cmocka_unit_test(restarts_under_traffic_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
