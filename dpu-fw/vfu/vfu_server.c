/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a function's server: its configuration, reset, statistics. */
#include "ob_vfu.h"
#include "vfu_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BURST 10u
#define PAGE	  4096u

RTE_LOG_REGISTER(vfu_logtype, ob.vfu, INFO);

bool vfu_log_allowed(struct ob_vfu *v)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != v->log_at.tv_sec) {
		uint64_t gained = (uint64_t)(now.tv_sec - v->log_at.tv_sec);

		v->log_tokens = gained >= LOG_BURST ? LOG_BURST : v->log_tokens + (unsigned)gained;
		if (v->log_tokens > LOG_BURST)
			v->log_tokens = LOG_BURST;
		v->log_at = now;
	}
	if (v->log_tokens == 0)
		return false;
	v->log_tokens--;
	return true;
}

static bool bar_ok(const struct ob_vfu_conf *conf, unsigned i)
{
	const struct ob_vfu_bar *b = &conf->bar[i];
	int seals;

	if (b->size == 0)
		return b->mmap_len == 0;
	if (b->size < 16 || (b->size & (b->size - 1)) != 0 || (!b->is_64bit && b->size > 1u << 31))
		return false;
	if (b->is_64bit && (i + 1 == OB_VFU_N_BARS || conf->bar[i + 1].size != 0))
		return false;
	if (b->mmap_len == 0)
		return true;
	if (b->mmap_off % PAGE != 0 || b->mmap_len % PAGE != 0 || b->mmap_off > b->size ||
	    b->mmap_len > b->size - b->mmap_off)
		return false;
	seals = fcntl(b->mmap_fd, F_GET_SEALS);
	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

static bool msix_ok(const struct ob_vfu_conf *conf)
{
	uint64_t table_len = (uint64_t)conf->n_vectors * 16,
		 pba_len = ((uint64_t)conf->n_vectors + 63) / 64 * 8;
	uint64_t table = conf->msix_table_off, pba = conf->msix_pba_off, size;

	if (conf->n_vectors == 0)
		return true;
	if (conf->n_vectors > OB_VFU_MAX_VECTORS || conf->msix_bar >= OB_VFU_N_BARS)
		return false;
	size = conf->bar[conf->msix_bar].size;
	/* The low three bits of the registers hold the BAR's number. */
	if (table % 8 != 0 || pba % 8 != 0)
		return false;
	return table + table_len <= size && pba + pba_len <= size &&
	       (table + table_len <= pba || pba + pba_len <= table);
}

static int check_conf(const struct ob_vfu_conf *conf)
{
	if (conf->name == NULL || conf->base == NULL || conf->gm == NULL || conf->ops == NULL)
		return -EINVAL;
	if (conf->ops->bar_read == NULL || conf->ops->bar_write == NULL || conf->ops->reset == NULL)
		return -EINVAL;
	if (conf->class_code > 0xffffff || !msix_ok(conf))
		return -EINVAL;
	for (unsigned i = 0; i < OB_VFU_N_BARS; i++) {
		if (!bar_ok(conf, i))
			return -EINVAL;
	}
	return 0;
}

int ob_vfu_create(const struct ob_vfu_conf *conf, struct ob_vfu **out)
{
	struct ob_vfu *v;
	int rc = check_conf(conf);

	if (rc < 0)
		return rc;
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	v->conf = *conf;
	v->listen_fd = -1;
	v->log_tokens = LOG_BURST;
	v->conn.fd = -1;
	v->name = strdup(conf->name);
	v->path = conf->path != NULL ? strdup(conf->path) : NULL;
	rc = v->name == NULL || (conf->path != NULL && v->path == NULL) ? -ENOMEM : 0;
	if (rc == 0)
		rc = vfu_irq_init(v);
	if (rc == 0)
		rc = vfu_config_init(v);
	if (rc == 0)
		rc = vfu_conn_init(v);
	if (rc == 0 && v->path != NULL)
		rc = vfu_listen_open(v);
	if (rc < 0) {
		ob_vfu_destroy(v);
		return rc;
	}
	v->conf.name = v->name;
	v->conf.path = v->path;
	v->conf.vpd_serial = NULL;
	v->conf.vpd_part = NULL;
	v->conf.vpd_ident = NULL;
	*out = v;
	return 0;
}

void ob_vfu_destroy(struct ob_vfu *v)
{
	if (v == NULL)
		return;
	vfu_listen_close(v);
	vfu_conn_fini(v);
	vfu_irq_fini(v);
	free(v->path);
	free(v->name);
	free(v);
}

int ob_vfu_attach(struct ob_vfu *v, int fd)
{
	int rc = v->conn.fd >= 0 ? -EBUSY : vfu_conn_open(v, fd);

	if (rc < 0)
		close(fd);
	return rc;
}

void vfu_reset(struct ob_vfu *v)
{
	uint16_t old = vfu_config_command(v);

	vfu_config_reset(v);
	vfu_irq_reset(v);
	v->conf.ops->reset(v->conf.ctx);
	ob_gmem_heal(v->conf.gm);
	if ((old & (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)) != 0 && v->conf.ops->command != NULL)
		v->conf.ops->command(v->conf.ctx, vfu_config_command(v));
}

int vfu_on_reset(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	(void)msg;
	(void)rep;
	v->stats.n_resets++;
	vfu_reset(v);
	return 0;
}

uint16_t ob_vfu_command(const struct ob_vfu *v)
{
	return vfu_config_command(v);
}

void ob_vfu_get_stats(const struct ob_vfu *v, struct ob_vfu_stats *out)
{
	*out = v->stats;
}
