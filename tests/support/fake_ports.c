/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_ports.h"

#include <errno.h>
#include <string.h>

struct fake_vif fake_vif;
struct fake_vfu fake_vfu;

void fakes_reset(void)
{
	memset(&fake_vif, 0, sizeof(fake_vif));
	memset(&fake_vfu, 0, sizeof(fake_vfu));
	for (unsigned i = 0; i < 64; i++)
		fake_vfu.vector_fd[i] = -1;
}

/* ---- vif ---- */

void ob_rcu_sync(void *ctx)
{
	(void)ctx;
}

void ob_rcu_reclaim(void)
{
}

int ob_vif_create(const struct ob_vif_conf *conf, struct ob_vif **out)
{
	if (fake_vif.create_rc != 0)
		return fake_vif.create_rc;
	if (fake_vif.exists)
		return -EEXIST;
	fake_vif.exists = true;
	fake_vif.conf = *conf;
	*out = (struct ob_vif *)&fake_vif;
	return 0;
}

void ob_vif_destroy(struct ob_vif *vif)
{
	if (vif != NULL)
		fake_vif.exists = false;
}

uint16_t ob_vif_idx(const struct ob_vif *vif)
{
	(void)vif;
	return 7;
}

void ob_vif_set_features(struct ob_vif *vif, uint64_t features)
{
	(void)vif;
	fake_vif.features = features;
}

int ob_vif_start_queue(struct ob_vif *vif, unsigned q, const struct ob_virtq_conf *conf, int irq_fd,
    bool resume, int32_t start_idx)
{
	(void)vif;
	if (fake_vif.start_rc != 0)
		return fake_vif.start_rc;
	if (q >= 2u * fake_vif.conf.n_pairs)
		return -EINVAL;
	if (fake_vif.running[q])
		return -EALREADY;
	fake_vif.running[q] = true;
	fake_vif.queue[q] = *conf;
	fake_vif.irq_fd[q] = irq_fd;
	fake_vif.resume[q] = resume;
	fake_vif.start_idx[q] = start_idx;
	return 0;
}

int32_t ob_vif_stop_queue(struct ob_vif *vif, unsigned q)
{
	(void)vif;
	if (q >= FAKE_MAX_QUEUES || !fake_vif.running[q])
		return -ENOENT;
	fake_vif.running[q] = false;
	return fake_vif.stop_pos[q];
}

void ob_vif_set_irq_fd(struct ob_vif *vif, unsigned q, int irq_fd)
{
	(void)vif;
	fake_vif.irq_fd[q] = irq_fd;
}

void ob_vif_kick(struct ob_vif *vif, unsigned q)
{
	(void)vif;
	fake_vif.n_kicks[q]++;
}

void ob_vif_set_on_broken(struct ob_vif *vif, void (*fn)(void *ctx, unsigned q), void *ctx)
{
	(void)vif;
	fake_vif.on_broken = fn;
	fake_vif.on_broken_ctx = ctx;
}

const char *ob_vif_broken_why(const struct ob_vif *vif, unsigned q)
{
	(void)vif;
	(void)q;
	return "broken by the test";
}

int ob_vif_set_filter(struct ob_vif *vif, const struct ob_vif_filter *f)
{
	(void)vif;
	if (fake_vif.filter_rc == 0)
		fake_vif.filter = *f;
	return fake_vif.filter_rc;
}

int ob_vif_set_steering(struct ob_vif *vif, const struct ob_vif_steering *s)
{
	(void)vif;
	fake_vif.steering = *s;
	return 0;
}

uint16_t ob_vif_pairs(const struct ob_vif *vif)
{
	(void)vif;
	return fake_vif.steering.n_pairs;
}

void ob_vif_set_link(struct ob_vif *vif, bool up)
{
	(void)vif;
	fake_vif.link = up;
}

int ob_vif_queue_worker(const struct ob_vif *vif, unsigned q)
{
	(void)vif;
	return fake_vif.running[q] ? (int)(q % 2) : -1;
}

/* ---- vfu ---- */

int ob_vfu_create(const struct ob_vfu_conf *conf, struct ob_vfu **out)
{
	if (fake_vfu.create_rc != 0)
		return fake_vfu.create_rc;
	fake_vfu.exists = true;
	fake_vfu.conf = *conf;
	*out = (struct ob_vfu *)&fake_vfu;
	return 0;
}

void ob_vfu_destroy(struct ob_vfu *v)
{
	if (v == NULL)
		return;
	fake_vfu.conf.ops->reset(fake_vfu.conf.ctx);
	fake_vfu.exists = false;
}

int ob_vfu_cap_add(struct ob_vfu *v, uint8_t cap_id, const void *body, size_t len,
    unsigned window_off, unsigned window_len)
{
	struct fake_cap *c = &fake_vfu.cap[fake_vfu.n_caps];

	(void)v;
	if (fake_vfu.n_caps == FAKE_MAX_CAPS || len > sizeof(c->body))
		return -ENOSPC;
	*c = (struct fake_cap){
	    .id = cap_id, .len = len, .window_off = window_off, .window_len = window_len};
	memcpy(c->body, body, len);
	return (int)(0x40 + 0x18 * fake_vfu.n_caps++);
}

void ob_vfu_irq(struct ob_vfu *v, unsigned vector)
{
	(void)v;
	if (vector < 64)
		fake_vfu.n_irq[vector]++;
}

void ob_vfu_intx(struct ob_vfu *v, bool level)
{
	(void)v;
	fake_vfu.n_intx += level;
	fake_vfu.intx = level;
}

bool ob_vfu_msix_enabled(const struct ob_vfu *v)
{
	(void)v;
	return fake_vfu.msix;
}

int ob_vfu_irq_fd(const struct ob_vfu *v, unsigned vector)
{
	(void)v;
	return fake_vfu.msix && vector < 64 ? fake_vfu.vector_fd[vector] : -1;
}

int ob_vfu_check_shared(
    struct ob_vfu *v, ob_iova_t iova, uint32_t len, ob_vfu_shared_cb cb, void *ctx)
{
	(void)v;
	(void)iova;
	(void)cb;
	(void)ctx;
	fake_vfu.n_checks += len > 0;
	return 0;
}

void ob_vfu_get_stats(const struct ob_vfu *v, struct ob_vfu_stats *out)
{
	(void)v;
	*out = (struct ob_vfu_stats){.connected = true, .peer_pid = 42};
}
