/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices: references, what stands on what, listeners. */
#include "ob_block.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block_core.h"

int blk_err(char *err, size_t err_len, int rc, const char *fmt, ...)
{
	va_list ap;

	if (err != NULL && err_len > 0) {
		va_start(ap, fmt);
		vsnprintf(err, err_len, fmt, ap);
		va_end(ap);
	}
	return rc;
}

int blk_check_size(uint64_t bytes, uint32_t block_bytes, char *err, size_t err_len)
{
	if (block_bytes != 512 && block_bytes != 4096)
		return blk_err(err, err_len, -EINVAL, "a block has 512 or 4096 bytes");
	if (bytes == 0 || bytes > INT64_MAX || bytes % block_bytes != 0)
		return blk_err(err, err_len, -EINVAL,
		    "the size is a multiple of %u bytes, and not 0", block_bytes);
	return 0;
}

static bool name_ok(const char *name)
{
	static const char legal[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t n = name != NULL ? strnlen(name, OB_BLK_NAME_MAX) : 0;

	return n > 0 && n < OB_BLK_NAME_MAX && strspn(name, legal) == n;
}

static int parent_add(struct ob_blk *child, struct ob_blk *parent)
{
	struct blk_core *c = child->core;
	struct ob_blk **p = realloc(c->parents, (c->n_parents + 1) * sizeof(struct ob_blk *));

	if (p == NULL)
		return -ENOMEM;
	c->parents = p;
	c->parents[c->n_parents++] = parent;
	return 0;
}

static void parent_del(struct ob_blk *child, const struct ob_blk *parent)
{
	struct blk_core *c = child->core;

	for (unsigned i = 0; i < c->n_parents; i++)
		if (c->parents[i] == parent) {
			c->parents[i] = c->parents[--c->n_parents];
			return;
		}
}

int blk_new(const struct blk_ops *ops, const char *name, struct ob_blk *const *children,
    unsigned n_children, struct ob_blk **out)
{
	struct ob_blk *b;

	if (!name_ok(name) || n_children > BLK_MAX_CHILDREN)
		return -EINVAL;
	blk_stats_init();
	b = calloc(1, ops->dev_bytes);
	if (b == NULL)
		return -ENOMEM;
	b->core = calloc(1, sizeof(*b->core));
	if (b->core == NULL) {
		free(b);
		return -ENOMEM;
	}
	b->ops = ops;
	b->core->n_refs = 1;
	strcpy(b->info.name, name);
	b->info.kind = ops->kind;
	for (unsigned i = 0; i < n_children; i++) {
		if (parent_add(children[i], b) != 0) {
			/* The kind's own part is not made yet: its destroy must not see it. */
			for (unsigned k = 0; k < b->n_children; k++) {
				parent_del(b->child[k], b);
				ob_blk_put(b->child[k]);
			}
			free(b->core);
			free(b);
			return -ENOMEM;
		}
		b->child[b->n_children++] = ob_blk_get(children[i]);
	}
	*out = b;
	return 0;
}

struct ob_blk *ob_blk_get(struct ob_blk *b)
{
	b->core->n_refs++;
	return b;
}

void ob_blk_put(struct ob_blk *b)
{
	struct blk_listener *l;

	if (b == NULL || --b->core->n_refs > 0)
		return;
	assert(b->core->channels == NULL && b->core->n_parents == 0);
	if (b->ops->destroy != NULL)
		b->ops->destroy(b);
	for (unsigned i = 0; i < b->n_children; i++) {
		parent_del(b->child[i], b);
		ob_blk_put(b->child[i]);
	}
	while ((l = b->core->listeners) != NULL) {
		b->core->listeners = l->next;
		free(l);
	}
	free(b->core->parents);
	free(b->core);
	free(b);
}

void ob_blk_info(const struct ob_blk *b, struct ob_blk_info *out)
{
	*out = b->info;
}

int ob_blk_resize(struct ob_blk *b, uint64_t bytes)
{
	if (b->ops->resize == NULL)
		return -EOPNOTSUPP;
	if (bytes == 0 || bytes % b->info.block_bytes != 0 || bytes > INT64_MAX)
		return -EINVAL;
	if (bytes == b->info.bytes)
		return 0;
	return b->ops->resize(b, bytes);
}

void blk_changed(struct ob_blk *b, uint64_t bytes)
{
	struct blk_core *c = b->core;

	/* Release: pairs with the owners' acquire in ob_blk_submit; who sees the size sees what the kind made for it. */
	__atomic_store_n(&b->info.bytes, bytes, __ATOMIC_RELEASE);
	c->n_telling++;
	for (struct blk_listener *l = c->listeners; l != NULL; l = l->next)
		if (l->fn != NULL)
			l->fn(l->ctx);
	for (unsigned i = 0; i < c->n_parents; i++) {
		struct ob_blk *p = c->parents[i];

		if (p->ops->child_changed != NULL)
			p->ops->child_changed(p);
		else if (p->n_children == 1)
			blk_changed(p, bytes);
	}
	if (--c->n_telling > 0)
		return;
	for (struct blk_listener **pl = &c->listeners, *l; (l = *pl) != NULL;) {
		if (l->fn != NULL) {
			pl = &l->next;
			continue;
		}
		*pl = l->next;
		free(l);
	}
}

static struct blk_listener *find(struct ob_blk *b, void (*fn)(void *ctx), const void *ctx)
{
	for (struct blk_listener *l = b->core->listeners; l != NULL; l = l->next)
		if (l->fn == fn && l->ctx == ctx)
			return l;
	return NULL;
}

int ob_blk_on_change(struct ob_blk *b, void (*fn)(void *ctx), void *ctx)
{
	struct blk_listener *l;

	if (fn == NULL)
		return -EINVAL;
	if (find(b, fn, ctx) != NULL)
		return -EEXIST;
	l = malloc(sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	*l = (struct blk_listener){.fn = fn, .ctx = ctx, .next = b->core->listeners};
	b->core->listeners = l;
	return 0;
}

void ob_blk_off_change(struct ob_blk *b, void (*fn)(void *ctx), void *ctx)
{
	struct blk_listener *l = fn != NULL ? find(b, fn, ctx) : NULL;

	if (l == NULL)
		return;
	if (b->core->n_telling > 0) {
		/* Somebody walks the list: blk_changed sweeps it out. */
		l->fn = NULL;
		return;
	}
	for (struct blk_listener **pl = &b->core->listeners; *pl != NULL; pl = &(*pl)->next)
		if (*pl == l) {
			*pl = l->next;
			free(l);
			return;
		}
}

void ob_blk_stats(struct ob_blk *b, struct ob_blk_stats *out)
{
	*out = b->core->closed;
	for (const struct ob_blk_ch *ch = b->core->channels; ch != NULL; ch = ch->next)
		blk_stats_add(out, &ch->stats);
}
