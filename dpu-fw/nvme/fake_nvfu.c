/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_nvfu.h"

#include <errno.h>
#include <string.h>

struct fake_nvfu fake_nvfu[FAKE_NVFU_MAX];
int fake_nvfu_create_rc;

static struct fake_nvfu *of(struct ob_vfu *v)
{
	return (struct fake_nvfu *)v;
}

static const struct fake_nvfu *of_const(const struct ob_vfu *v)
{
	return (const struct fake_nvfu *)v;
}

void fake_nvfu_reset(void)
{
	memset(fake_nvfu, 0, sizeof(fake_nvfu));
	fake_nvfu_create_rc = 0;
	for (unsigned i = 0; i < FAKE_NVFU_MAX; i++)
		for (unsigned v = 0; v < 65; v++)
			fake_nvfu[i].vector_fd[v] = -1;
}

int ob_vfu_create(const struct ob_vfu_conf *conf, struct ob_vfu **out)
{
	if (fake_nvfu_create_rc != 0)
		return fake_nvfu_create_rc;
	for (unsigned i = 0; i < FAKE_NVFU_MAX; i++) {
		if (fake_nvfu[i].exists)
			continue;
		fake_nvfu[i].exists = true;
		fake_nvfu[i].conf = *conf;
		*out = (struct ob_vfu *)&fake_nvfu[i];
		return 0;
	}
	return -ENOSPC;
}

void ob_vfu_destroy(struct ob_vfu *v)
{
	if (v == NULL)
		return;
	of(v)->conf.ops->reset(of(v)->conf.ctx);
	of(v)->exists = false;
}

void ob_vfu_irq(struct ob_vfu *v, unsigned vector)
{
	if (vector < 65)
		of(v)->n_irq[vector]++;
}

void ob_vfu_intx(struct ob_vfu *v, bool level)
{
	of(v)->intx = level;
}

bool ob_vfu_msix_enabled(const struct ob_vfu *v)
{
	return of_const(v)->msix;
}

int ob_vfu_irq_fd(const struct ob_vfu *v, unsigned vector)
{
	return of_const(v)->msix && vector < 65 ? of_const(v)->vector_fd[vector] : -1;
}

int ob_vfu_check_shared(
    struct ob_vfu *v, ob_iova_t iova, uint32_t len, ob_vfu_shared_cb cb, void *ctx)
{
	(void)iova;
	(void)cb;
	(void)ctx;
	of(v)->n_checks += len > 0;
	return 0;
}

void ob_vfu_get_stats(const struct ob_vfu *v, struct ob_vfu_stats *out)
{
	(void)v;
	*out = (struct ob_vfu_stats){.connected = true, .peer_pid = 42};
}
