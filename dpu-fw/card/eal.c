/* SPDX-License-Identifier: BSD-3-Clause */
#include "eal.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_pci.h>

#define MAX_ARGS (16 + OPTIONS_DPDK_ARGS)
#define ARG_LEN	 1024

struct args {
	int n;
	char *v[MAX_ARGS];
	char text[MAX_ARGS][ARG_LEN];
};

static bool huge;

static void __attribute__((format(printf, 2, 3))) put(struct args *a, const char *fmt, ...)
{
	va_list ap;

	if (a->n == MAX_ARGS - 1)
		abort();
	va_start(ap, fmt);
	vsnprintf(a->text[a->n], ARG_LEN, fmt, ap);
	va_end(ap);
	a->v[a->n] = a->text[a->n];
	a->n++;
}

static unsigned long read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long n = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* Free hugepages of all sizes, MB. */
static unsigned long free_huge_mb(void)
{
	static const char base[] = "/sys/kernel/mm/hugepages";
	DIR *d = opendir(base);
	unsigned long kb, total = 0;
	char path[512];
	struct dirent *e;

	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) {
		if (sscanf(e->d_name, "hugepages-%lukB", &kb) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", base, e->d_name);
		total += read_number(path) * (kb / 1024);
	}
	closedir(d);
	return total;
}

/* The main thread may run wherever the process may; DPDK would pin it to one CPU. */
static void put_lcores(struct args *a)
{
	char list[ARG_LEN - 64];
	size_t len = 0;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && cpu < RTE_MAX_LCORE && len < sizeof(list) - 8;
	     cpu++) {
		if (CPU_ISSET(cpu, &set))
			len += (size_t)snprintf(
			    list + len, sizeof(list) - len, "%s%d", len ? "," : "", cpu);
	}
	if (len > 0)
		put(a, "--lcores=0@(%s)", list);
}

static bool allows_pci(const char *arg)
{
	return strncmp(arg, "-a", 2) == 0 || strncmp(arg, "--allow", 7) == 0;
}

/* A PCI uplink, and what the operator named, are the only devices that the EAL may touch. */
static void put_devices(struct args *a, const struct options *o)
{
	const char *uplink = o->uplink;
	struct rte_pci_addr addr;
	char name[64];
	bool pci;

	snprintf(name, sizeof(name), "%s", uplink ? uplink : "");
	name[strcspn(name, ",")] = '\0';
	pci = rte_pci_addr_parse(name, &addr) == 0;
	if (pci)
		put(a, "--allow=%s", uplink);
	for (unsigned i = 0; i < o->n_dpdk_args; i++) {
		pci |= allows_pci(o->dpdk_arg[i]);
		put(a, "%s", o->dpdk_arg[i]);
	}
	if (!pci) {
		put(a, "--no-pci");
		put(a, "--iova-mode=va");
	}
}

static unsigned level_of(const char *name)
{
	return strcmp(name, "error") == 0     ? RTE_LOG_ERR
	       : strcmp(name, "warning") == 0 ? RTE_LOG_WARNING
	       : strcmp(name, "notice") == 0  ? RTE_LOG_NOTICE
	       : strcmp(name, "info") == 0    ? RTE_LOG_INFO
					      : RTE_LOG_DEBUG;
}

/* A worker's packet buffers take about 40 MB at the default size; twice that leaves room for larger frames. */
static unsigned memory_mb(const struct options *o)
{
	return o->mem_mb ? o->mem_mb : 128 + 96 * o->n_workers + (o->mtu > 1500 ? 256 : 0);
}

int eal_start(const struct options *o, char *err, size_t err_len)
{
	struct args *a = calloc(1, sizeof(*a));
	unsigned mb = memory_mb(o);
	int rc;

	if (a == NULL)
		return -ENOMEM;
	huge = !o->no_huge && free_huge_mb() >= mb;
	rte_openlog_stream(stderr);
	put(a, "ob-card");
	put_lcores(a);
	put_devices(a, o);
	put(a, "--no-telemetry");
	put(a, "--file-prefix=outboard-%d", getpid());
	if (huge) {
		put(a, "--in-memory");
	} else {
		/* DPDK 22.11 refuses --in-memory together with --no-huge. */
		put(a, "--no-shconf");
		put(a, "--no-huge");
		put(a, "-m");
		put(a, "%u", mb);
	}
	/* DPDK's own talk begins at warnings unless somebody debugs. */
	put(a, "--log-level=lib.*:%s", strcmp(o->log_level, "debug") == 0 ? "info" : "warning");
	put(a, "--log-level=ob.*:%u", level_of(o->log_level));
	rc = rte_eal_init(a->n, a->v);
	free(a);
	if (rc >= 0)
		return 0;
	rc = rte_errno ? -rte_errno : -EFAULT;
	snprintf(err, err_len, "DPDK does not start: %s (%s)", strerror(-rc),
	    huge ? "try --no-huge" : "its reason stands above; memory is set by --mem");
	return rc;
}

void eal_stop(void)
{
	(void)rte_eal_cleanup();
}

const char *eal_memory(void)
{
	return huge ? "hugepages" : "no hugepages";
}
