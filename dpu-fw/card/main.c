/* SPDX-License-Identifier: BSD-3-Clause */
/* ob-card: starts everything in order, runs the main thread's event loop, and stops everything in the reverse order. */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_log.h>

#include "eal.h"
#include "notify.h"
#include "ob_acl.h"
#include "ob_arena.h"
#include "ob_card.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_session.h"
#include "ob_vpc.h"
#include "options.h"
#include "prefault.h"
#include "version.h"

#define RECLAIM_US  10000 /* how long freed policy may wait for the workers */
#define MBUF_ROOM   2048
#define JUMBO_MBUFS 8191

struct app {
	struct options opt;
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_underlay *underlay;
	struct ob_card *card;
	struct ob_bus *bus;
	struct prefault *prefault;
	struct event *on_term, *on_int, *on_vif, *on_reclaim;
	bool eal, workers, encap, policy, acl, meter, nat, sessions, stages;
	char serial[32];
	char err[512];
};

/* ---- events ---- */

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct app *app = arg;

	(void)what;
	fprintf(stderr, "ob-card: stopping (signal %d)\n", (int)sig);
	notify("STOPPING=1");
	event_base_loopbreak(app->base);
}

static void on_vif(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ob_vif_poll_events();
}

static void on_reclaim(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ob_rcu_reclaim();
}

static int start_events(struct app *app)
{
	struct timeval tv = {.tv_usec = RECLAIM_US};

	app->on_term = evsignal_new(app->base, SIGTERM, on_signal, app);
	app->on_int = evsignal_new(app->base, SIGINT, on_signal, app);
	app->on_vif = event_new(app->base, ob_vif_event_fd(), EV_READ | EV_PERSIST, on_vif, app);
	app->on_reclaim = event_new(app->base, -1, EV_PERSIST, on_reclaim, app);
	if (app->on_term == NULL || app->on_int == NULL || app->on_vif == NULL ||
	    app->on_reclaim == NULL || event_add(app->on_term, NULL) < 0 ||
	    event_add(app->on_int, NULL) < 0 || event_add(app->on_vif, NULL) < 0 ||
	    event_add(app->on_reclaim, &tv) < 0)
		return -ENOMEM;
	return 0;
}

/* ---- start ---- */

/* The machine's id, so that two machines differ and one stays the same. */
static void find_serial(struct app *app)
{
	FILE *f = fopen("/etc/machine-id", "re");
	char id[13] = "";

	if (app->opt.serial != NULL)
		return;
	if (f != NULL) {
		if (fscanf(f, "%12s", id) != 1)
			id[0] = '\0';
		fclose(f);
	}
	snprintf(app->serial, sizeof(app->serial), "OB-%s", id[0] ? id : "0");
	app->opt.serial = app->serial;
}

static int make_run_dir(struct app *app)
{
	struct stat st;

	if (mkdir(app->opt.run_dir, 0755) == 0 ||
	    (errno == EEXIST && stat(app->opt.run_dir, &st) == 0 && S_ISDIR(st.st_mode)))
		return 0;
	snprintf(app->err, sizeof(app->err), "run folder %s: %s (choose another with --run-dir)",
	    app->opt.run_dir, strerror(errno));
	return -EINVAL;
}

/* A function takes a dozen files or more: sockets, guest memory, doorbells, interrupts. */
static void allow_files(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* A port without scattered receive needs a frame to fit one buffer, and net_af_packet needs its whole ring slot to. */
static unsigned long frame_room(const struct options *o)
{
	const char *slot = o->uplink ? strstr(o->uplink, "framesz=") : NULL;
	unsigned long room = (o->mtu + 64u + 63u) / 64u * 64u;
	unsigned long framesz = slot ? strtoul(slot + strlen("framesz="), NULL, 10) : 0;

	if (framesz > room)
		room = framesz;
	return room < 32768 ? room : 32768;
}

/* The tables of connections: memory is touched only as connections come, but the arena must have the room. */
static int start_sessions(struct app *app)
{
	struct ob_session_conf conf = {.n_workers = app->opt.n_workers,
	    .max_v4 = app->opt.sessions4,
	    .max_v6 = app->opt.sessions6};
	int rc = ob_session_init(app->arena, &conf);

	app->sessions = rc == 0;
	if (rc < 0)
		snprintf(app->err, sizeof(app->err),
		    "tables for %u IPv4 and %u IPv6 connections a worker: %s (--sessions, "
		    "--sessions6; more room: --arena-max)",
		    conf.max_v4, conf.max_v6, strerror(-rc));
	return rc;
}

/* What decides about packets, in the order in which it stands on each other. */
static int start_policy(struct app *app)
{
	const struct ob_meter_conf meters = {.arena = app->arena, .n_workers = app->opt.n_workers};
	int rc;

	if ((rc = ob_vif_init(app->arena)) < 0 || (rc = ob_encap_init(app->arena)) < 0)
		return rc;
	app->encap = true;
	if ((rc = ob_policy_init(app->arena)) < 0)
		return rc;
	app->policy = true;
	if ((rc = ob_acl_init(app->arena)) < 0)
		return rc;
	app->acl = true;
	if ((rc = ob_meter_init(&meters)) < 0)
		return rc;
	app->meter = true;
	if ((rc = ob_nat_init(app->arena)) < 0)
		return rc;
	app->nat = true;
	return start_sessions(app);
}

static int start_dataplane(struct app *app)
{
	const struct options *o = &app->opt;
	struct ob_workers_conf conf = {
	    .arena = app->arena,
	    .n_workers = o->n_workers,
	    .cpus = o->pinned ? o->cpu : NULL,
	    .poll_always = o->poll_always,
	};
	unsigned long room;
	int rc;

	room = frame_room(o);
	if (room > MBUF_ROOM) {
		conf.mbuf_data_room = (uint16_t)room;
		conf.n_mbufs = JUMBO_MBUFS;
	}
	rc = ob_workers_start(&conf);
	if (rc < 0) {
		snprintf(app->err, sizeof(app->err), "%u workers: %s%s", o->n_workers,
		    strerror(-rc),
		    rc == -ENOMEM ? " (more packet memory: --mem)"
		    : o->pinned	  ? " (do the CPUs of --cpus exist?)"
				  : "");
		return rc;
	}
	app->workers = true;
	rc = start_policy(app);
	if (rc == 0 && (rc = ob_stages_init(app->arena)) == 0) {
		app->stages = true;
		rc = ob_vpc_init();
	}
	if (rc < 0 && app->err[0] == '\0')
		snprintf(app->err, sizeof(app->err), "dataplane: %s", strerror(-rc));
	return rc;
}

/* Not having it costs time, not function. */
static void start_prefault(struct app *app)
{
	int rc = app->opt.no_prefault ? 0 : prefault_start(app->arena, &app->prefault);

	if (rc < 0)
		fprintf(stderr,
		    "ob-card: memory of connections is taken as they come: %s (fewer: --sessions, "
		    "--sessions6)\n",
		    strerror(-rc));
}

static int start_underlay(struct app *app)
{
	struct ob_underlay_conf conf = {
	    .base = app->base,
	    .devargs = app->opt.uplink,
	    .netns = app->opt.netns,
	    .kernel_if = app->opt.kernel_if,
	    .mtu = app->opt.mtu,
	};

	if (app->opt.uplink == NULL)
		return 0;
	return ob_underlay_create(&conf, &app->underlay, app->err, sizeof(app->err));
}

static int start_control(struct app *app)
{
	struct ob_card_conf conf = {
	    .base = app->base,
	    .arena = app->arena,
	    .arena_bytes = app->opt.arena_max,
	    .serial = app->opt.serial,
	    .version = OB_VERSION,
	    .run_dir = app->opt.run_dir,
	    .underlay = app->underlay,
	    .models = &ob_card_models,
	};
	int rc = ob_card_create(&conf, &app->card);

	if (rc < 0) {
		snprintf(app->err, sizeof(app->err),
		    "%s (serial '%s' has 1 to 31 characters without spaces?)", strerror(-rc),
		    app->opt.serial);
		return rc;
	}
	return ob_bus_create(
	    app->card, app->base, app->opt.bus, &app->bus, app->err, sizeof(app->err));
}

static int start(struct app *app)
{
	int rc;

	app->base = event_base_new();
	if (app->base == NULL)
		return -ENOMEM;
	find_serial(app);
	allow_files();
	if ((rc = make_run_dir(app)) < 0 ||
	    (rc = eal_start(&app->opt, app->err, sizeof(app->err))) < 0)
		return rc;
	app->eal = true;
	if ((rc = ob_gmem_catch_faults()) < 0)
		return rc;
	rc = app->opt.no_huge ? -ENOMEM
			      : ob_arena_create_huge("outboard", app->opt.arena_max, &app->arena);
	if (rc < 0)
		rc = ob_arena_create("outboard", app->opt.arena_max, &app->arena);
	if (rc < 0) {
		snprintf(app->err, sizeof(app->err), "arena: %s (a smaller limit: --arena-max)",
		    strerror(-rc));
		return rc;
	}
	if ((rc = start_dataplane(app)) < 0 || (rc = start_underlay(app)) < 0 ||
	    (rc = start_events(app)) < 0)
		return rc;
	start_prefault(app);
	return start_control(app);
}

static void free_event(struct event *ev)
{
	if (ev != NULL)
		event_free(ev);
}

static void stop(struct app *app)
{
	ob_bus_destroy(app->bus);
	ob_card_destroy(app->card);
	ob_underlay_destroy(app->underlay);
	prefault_stop(app->prefault);
	if (app->stages)
		ob_vpc_fini();
	if (app->workers)
		ob_workers_stop();
	if (app->stages)
		ob_stages_fini();
	if (app->sessions)
		ob_session_fini();
	if (app->nat)
		ob_nat_fini();
	if (app->meter)
		ob_meter_fini();
	if (app->acl)
		ob_acl_fini();
	if (app->policy)
		ob_policy_fini();
	if (app->encap)
		ob_encap_fini();
	free_event(app->on_term);
	free_event(app->on_int);
	free_event(app->on_vif);
	free_event(app->on_reclaim);
	ob_arena_destroy(app->arena);
	if (app->eal)
		eal_stop();
	if (app->base != NULL)
		event_base_free(app->base);
}

int main(int argc, char **argv)
{
	static struct app app;
	int rc = options_parse(argc, argv, &app.opt);

	if (rc != 0)
		return rc < 0 ? 2 : 0;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	rc = start(&app);
	if (rc < 0) {
		fprintf(stderr, "ob-card: %s\n", app.err[0] ? app.err : strerror(-rc));
	} else {
		printf("ob-card: ready (bus %s, %u worker%s, %s)\n", app.opt.bus, app.opt.n_workers,
		    app.opt.n_workers == 1 ? "" : "s", eal_memory());
		notify("READY=1");
		event_base_dispatch(app.base);
	}
	stop(&app);
	if (rc == 0)
		printf("ob-card: stopped\n");
	return rc < 0 ? 1 : 0;
}
