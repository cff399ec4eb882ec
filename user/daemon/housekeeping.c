// SPDX-License-Identifier: GPL-2.0-only
/* What the daemon does by the clock and on signals. */
#include "daemon/state.h"

#include <signal.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "daemon/period.h"

#define HEARTBEAT_MS 200
#define SNIFFS_MS 60000
#define SWEEP_MS 100
#define SWEEP_PASS_MS 2000 /* the whole flow table is looked at once in this time */
#define SWEEP_MAX_ROWS 65536
#define REAP_MS 1000
#define RETRY_MS 1000

static void on_reconcile(evutil_socket_t fd, short what, void *arg)
{
	struct timeval retry = period(RETRY_MS);
	struct daemon *d = arg;
	struct dp_error err;

	(void)fd;
	(void)what;
	if (d->reload || daemon_reconcile(d, &err))
		return;
	log_error("%s; tried again", err.text);
	evtimer_add(d->timers.reconcile, &retry);
}

static void on_reload_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	daemon_reload_tick(arg);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	dataplane_heartbeat(d->dp, clock_now_tick());
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	uint32_t rows = dataplane_flow_table(d->dp) / (SWEEP_PASS_MS / SWEEP_MS) + 1;

	(void)fd;
	(void)what;
	dataplane_sweep(d->dp, rows < SWEEP_MAX_ROWS ? rows : SWEEP_MAX_ROWS);
}

/* A worker may be at a connection for five times sniff_timeout, and for connecting after that. */
static void on_sniffs(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	const struct config *config = model_config(d->model);
	uint64_t longest_ms = 0;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct cfg_service *service = &config->services[i];

		if (service->route_count && service->sniff_timeout_ms > longest_ms)
			longest_ms = service->sniff_timeout_ms;
	}
	if (longest_ms)
		dataplane_sweep_sniffs(d->dp, 5 * longest_ms + SNIFFS_MS);
}

/* ---- removed backends and services, whose rows are free when their last flow has ended */

struct reap {
	struct daemon *d;
	uint32_t *ids;
	size_t count;
};

static void reap_backend(void *arg, struct model_backend *backend)
{
	struct reap *reap = arg;
	struct xdplb_backend_state state = { 0 };

	if (backend->config)
		return;
	dataplane_backend_state(reap->d->dp, backend->id, &state);
	if (!state.active && !state.ports_used)
		*array_push(reap->ids, reap->count) = backend->id;
}

static void reap_services(struct daemon *d)
{
	auto_free uint32_t *ids = xcalloc(XDPLB_MAX_SERVICES, sizeof(*ids));
	size_t count = model_removed_services(d->model, ids, XDPLB_MAX_SERVICES);

	for (size_t i = 0; i < count; i++) {
		struct xdplb_stats stats = { 0 };

		dataplane_service_stats(d->dp, ids[i], &stats);
		if (stats.connections == stats.ended)
			model_release_service(d->model, ids[i]);
	}
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct reap reap = { .d = arg };

	(void)fd;
	(void)what;
	/* A packet that chose by the former tables may not have counted its flow yet. */
	if (reap.d->reload || clock_now_ns() - reap.d->taken_ns < REAP_MS * 1000000ULL)
		return;
	reap_services(reap.d);
	model_each_backend(reap.d->model, reap_backend, &reap);
	for (size_t i = 0; i < reap.count; i++) {
		netlink_untrack(reap.d->netlink, reap.ids[i]);
		model_release_backend(reap.d->model, reap.ids[i]);
	}
	if (reap.count)
		daemon_reconcile_soon(reap.d);
	free(reap.ids);
}

/* ---- signals */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	daemon_stop(arg);
}

static void on_hup(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	daemon_reload_unasked(arg);
}

static struct event *every(struct daemon *d, uint32_t ms, event_callback_fn call)
{
	struct event *event = event_new(d->base, -1, EV_PERSIST, call, d);
	struct timeval each = period(ms);

	event_add(event, &each);
	return event;
}

static struct event *upon(struct daemon *d, int signal, event_callback_fn call)
{
	struct event *event = evsignal_new(d->base, signal, call, d);

	evsignal_add(event, NULL);
	return event;
}

/* Those that arrive before the loop runs are kept for it: none ends a start half way. */
void signals_start(struct daemon *d)
{
	d->timers.sigterm = upon(d, SIGTERM, on_stop);
	d->timers.sigint = upon(d, SIGINT, on_stop);
	d->timers.sighup = upon(d, SIGHUP, on_hup);
}

void housekeeping_start(struct daemon *d)
{
	d->timers.heartbeat = every(d, HEARTBEAT_MS, on_heartbeat);
	d->timers.sweep = every(d, SWEEP_MS, on_sweep);
	d->timers.sniffs = every(d, SNIFFS_MS, on_sniffs);
	d->timers.reconcile = evtimer_new(d->base, on_reconcile, d);
	d->timers.reload = event_new(d->base, -1, EV_PERSIST, on_reload_tick, d);
	dataplane_heartbeat(d->dp, clock_now_tick());
}

void housekeeping_serve(struct daemon *d)
{
	d->timers.reap = every(d, REAP_MS, on_reap);
	if (d->reload_wanted)
		daemon_reload_unasked(d);
}

void housekeeping_stop(struct daemon *d)
{
	struct event *events[] = {
		d->timers.sigterm, d->timers.sigint,	d->timers.sighup, d->timers.heartbeat,
		d->timers.sweep,   d->timers.reconcile, d->timers.reap,	  d->timers.ready,
		d->timers.reload,  d->timers.sniffs,
	};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (events[i])
			event_free(events[i]);
	}
}
