/* SPDX-License-Identifier: BSD-3-Clause */
/* What decap listens to: own addresses and overlay ports, one immutable record. */
#include "encap_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct ob_encap_local nothing;
static const struct ob_encap_local *local = &nothing;

const struct ob_encap_local *ob_encap_local(void)
{
	return ob_rcu_load(&local);
}

static void free_local(void *p)
{
	if (p != &nothing)
		free(p);
}

static struct ob_encap_local *copy_local(void)
{
	struct ob_encap_local *l = malloc(sizeof(*l));

	if (l != NULL)
		memcpy(l, local, sizeof(*l));
	return l;
}

static void swap_local(const struct ob_encap_local *l)
{
	const struct ob_encap_local *old = local;

	ob_rcu_publish(&local, l);
	ob_rcu_defer(free_local, (void *)(uintptr_t)old);
}

int ob_encap_set_local(const struct ob_ip *addr, unsigned n, const uint8_t mac[6])
{
	struct ob_encap_local *l;

	if (n > OB_MAX_LOCAL_ADDRS)
		return -ENOSPC;
	l = copy_local();
	if (l == NULL)
		return -ENOMEM;
	l->n_addr4 = l->n_addr6 = 0;
	for (unsigned i = 0; i < n; i++) {
		if (addr[i].family == AF_INET)
			memcpy(&l->addr4[l->n_addr4++], addr[i].b, 4);
		else if (addr[i].family == AF_INET6)
			encap_words(&addr[i], l->addr6[l->n_addr6++]);
	}
	memset(&l->mac, 0, sizeof(l->mac));
	if (mac != NULL)
		memcpy(&l->mac, mac, 6);
	l->check_mac = !rte_is_zero_ether_addr(&l->mac);
	swap_local(l);
	return 0;
}

int local_set_ports(const struct port *port, unsigned n)
{
	struct ob_encap_local *l = copy_local();

	if (l == NULL)
		return -ENOMEM;
	l->n_ports = (uint8_t)n;
	memcpy(l->port, port, n * sizeof(*port));
	swap_local(l);
	return 0;
}

void local_fini(void)
{
	swap_local(&nothing);
}
