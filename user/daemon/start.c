// SPDX-License-Identifier: GPL-2.0-only
/*
 * From nothing to serving, and back. Each step of the way up returns an exit
 * status, 0 to go on; the way down takes whatever there is.
 */
#include "daemon/state.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "base/clock.h"
#include "daemon/notify.h"
#include "daemon/period.h"

#define READY_TICK_MS 10
#define NEXTHOP_PATIENCE_MS 1000
#define PROBE_PATIENCE_MAX_MS 5000
#define WORKER_PATIENCE_MS 10000 /* without it there is no service to speak of */
#define PROBE_GRACE_MS 100 /* a timeout is a result too, and takes a moment to arrive */

__attribute__((format(printf, 3, 4))) static int fail(struct daemon *d, int status,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->err->text, sizeof(d->err->text), format, args);
	va_end(args);
	d->exit_status = status;
	return status;
}

char *daemon_http_trouble(const char *address, int error)
{
	return xasprintf("http: cannot listen at %s: %s", address, strerror(-error));
}

/* ---- the way up */

static int rundir_start(struct daemon *d)
{
	const char *dir = d->options->run_dir;
	int pid = 0, ret = rundir_make(dir);

	if (ret)
		return fail(d, 1, "%s: cannot make the run directory: %s", dir, strerror(-ret));
	d->lock_fd = rundir_lock(dir, &pid);
	d->err->busy = d->lock_fd == -EBUSY;
	if (d->err->busy)
		return fail(d, 1,
			    "%s: xdplb is already running, pid %d: `xdplb stop` ends it, another "
			    "--run-dir runs beside it",
			    dir, pid);
	if (d->lock_fd < 0)
		return fail(d, 1, "%s/" RUNDIR_LOCK ": %s", dir, strerror(-d->lock_fd));
	return 0;
}

static int seed_start(struct daemon *d, const struct config *config)
{
	int ret;

	if (config->has_hash_seed) {
		memcpy(d->hash_seed, config->hash_seed, SEED_BYTES);
		return 0;
	}
	ret = rundir_seed(d->options->run_dir, d->hash_seed);
	if (ret)
		return fail(d, 1, "%s/" RUNDIR_SEED ": %s", d->options->run_dir, strerror(-ret));
	return 0;
}

static int http_start(struct daemon *d, const struct config *config)
{
	auto_free char *trouble = NULL;

	if (!config->http)
		return 0;
	d->http_fd = http_open(config->http);
	if (d->http_fd < 0) {
		trouble = daemon_http_trouble(config->http, d->http_fd);
		return fail(d, 1, "%s", trouble);
	}
	d->http_address = xstrdup(config->http);
	return 0;
}

static int datapath_start(struct daemon *d, const struct config *config)
{
	struct dp_options options = { .bpffs = d->options->bpffs,
				      .flow_table = config->flow_table };
	struct dp_error err;

	memcpy(options.hash_seed, d->hash_seed, SEED_BYTES);
	if (dataplane_open(&options, &d->dp, &d->adopted, &err) ||
	    dataplane_read(d->dp, &d->written, &err))
		return fail(d, 1, "%s", err.text);
	supervise_start(d);
	if (d->adopted) {
		log_info("adopted the datapath pinned in %s", d->options->bpffs);
		return 0;
	}
	/* Of an adopted one a device may be away for the moment; here it is a mistake. */
	return interfaces_there(config, &err) ? 0 : fail(d, 1, "%s", err.text);
}

static int model_start(struct daemon *d, struct config *config)
{
	struct cfg_error err;

	d->model = model_new();
	d->why = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*d->why));
	d->hop_told = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*d->hop_told));
	model_adopt(d->model, &d->written);
	if (!model_set_config(d->model, config, &err))
		return fail(d, 1, "%s", err.text);
	daemon_zero_fresh(d); /* before netlink tells of them */
	return 0;
}

static void on_file_changed(void *arg)
{
	struct daemon *d = arg;

	log_info("%s changed", d->options->file);
	daemon_reload_unasked(d);
}

static int watchers_start(struct daemon *d)
{
	const struct netlink_events events = {
		.arg = d,
		.resolved = daemon_on_nexthop,
		.link_changed = interface_link_changed,
	};
	const struct http_source source = {
		.metrics = daemon_gather,
		.status = daemon_gather_status,
		.arg = d,
	};
	struct dp_error err;

	if (netlink_open(d->base, &events, &d->netlink, &err))
		return fail(d, 1, "%s", err.text);
	d->health = health_checker_new(d->base, daemon_on_health, d);
	d->http = http_new(d->base, &source);
	d->watch = watch_new(d->base, d->options->file, on_file_changed, d);
	return 0;
}

/* ---- ready */

static uint32_t probe_patience_ms(const struct daemon *d)
{
	const struct config *config = model_config(d->model);
	uint32_t longest = 0;

	for (size_t i = 0; i < config->pool_count; i++) {
		const struct cfg_health *health = &config->pools[i].health;

		if (health->type != CFG_HEALTH_NONE && health->timeout_ms > longest)
			longest = health->timeout_ms;
	}
	longest += PROBE_GRACE_MS;
	return longest < PROBE_PATIENCE_MAX_MS ? longest : PROBE_PATIENCE_MAX_MS;
}

static int serve(struct daemon *d)
{
	auto_free char *path = xasprintf("%s/" RUNDIR_SOCKET, d->options->run_dir);
	struct dp_error err;

	if (!daemon_reconcile(d, &err))
		return fail(d, 1, "%s", err.text);
	if (!interfaces_start(d, &err)) {
		interfaces_undo(d);
		return fail(d, 1, "%s", err.text);
	}
	d->control = control_new(d->base, path, daemon_handle, d);
	if (!d->control)
		return fail(d, 1, "%s: %s", path, strerror(errno));
	if (d->http_fd >= 0)
		http_serve(d->http, take_fd(&d->http_fd));
	d->serving = true;
	housekeeping_serve(d);
	return 0;
}

static void say_ready(struct daemon *d)
{
	const struct config *config = model_config(d->model);
	size_t backends = 0, usable = 0;

	for (size_t i = 0; i < config->pool_count; i++) {
		for (size_t j = 0; j < config->pools[i].backend_count; j++) {
			backends++;
			usable += model_backend_usable(model_backend(d->model, i, j),
						       &config->pools[i]);
		}
	}
	log_info("ready: %zu services, %zu of %zu backends up", config->service_count, usable,
		 backends);
	notify_send("READY=1");
	if (d->options->ready_fd >= 0 && write(d->options->ready_fd, "r", 1) != 1)
		log_debug("nobody waits for us any more");
}

/* Sniffed services are served once their worker is there. */
static void on_worker_tick(struct daemon *d, uint64_t waited_ms)
{
	char why[128];

	if (supervise_in_force(d, why, sizeof(why))) {
		event_del(d->timers.ready);
		daemon_log_warnings(d);
		say_ready(d);
	} else if (waited_ms > WORKER_PATIENCE_MS) {
		fail(d, 1, "the worker of sniffed services: %s", why);
		event_base_loopbreak(d->base);
	}
}

/* Traffic is served once the first probes have spoken and next hops are known, or time is up. */
static void on_ready_tick(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	uint64_t waited_ms = (clock_now_ns() - d->started_ns) / 1000000;

	(void)fd;
	(void)what;
	if (!d->serving) {
		if (!backends_probed(d) && waited_ms < probe_patience_ms(d))
			return;
		if (!backends_resolved(d) && waited_ms < NEXTHOP_PATIENCE_MS)
			return;
		if (serve(d)) {
			event_base_loopbreak(d->base);
			return;
		}
	}
	on_worker_tick(d, waited_ms);
}

static void ready_await(struct daemon *d)
{
	const struct timeval tick = period(READY_TICK_MS);

	d->started_ns = clock_now_ns();
	d->timers.ready = event_new(d->base, -1, EV_PERSIST, on_ready_tick, d);
	event_add(d->timers.ready, &tick);
}

/* ---- all of it */

/* Probes need sockets; what may be had is had. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int start(struct daemon *d, struct config *config)
{
	struct cfg_error err;
	int status;

	if (!config_load(d->options->file, config, &err))
		return fail(d, 2, "%s", err.text);
	status = rundir_start(d);
	if (!status)
		status = seed_start(d, config);
	if (!status)
		status = http_start(d, config);
	if (!status)
		status = datapath_start(d, config);
	if (!status)
		status = model_start(d, config);
	if (!status)
		status = watchers_start(d);
	if (status)
		return status;
	housekeeping_start(d);
	watch_note(d->watch);
	daemon_config_taken(d);
	ready_await(d);
	return 0;
}

void daemon_stop(struct daemon *d)
{
	daemon_reload_settle(d);
	notify_send("STOPPING=1");
	event_base_loopexit(d->base, NULL);
}

/* A datapath that never came to serve is not left behind. */
static void let_go(struct daemon *d)
{
	struct dp_error err;

	if (!d->let_go && (d->adopted || !d->exit_status || !d->dp))
		return;
	if (dataplane_detach_all(d->options->bpffs, &err)) {
		if (!d->exit_status)
			fail(d, 1, "%s", err.text);
		else
			log_error("%s", err.text);
	}
}

static void finish(struct daemon *d)
{
	control_free(d->control);
	http_free(d->http);
	if (d->http_fd >= 0)
		close(d->http_fd);
	watch_free(d->watch);
	health_checker_free(d->health);
	if (d->netlink)
		netlink_close(d->netlink);
	housekeeping_stop(d);
	supervise_stop(d);
	if (d->base)
		event_base_free(d->base);
	if (d->dp)
		dataplane_close(d->dp);
	let_go(d);
	model_free(d->model);
	entries_free(&d->written);
	for (uint32_t id = 0; d->why && id < XDPLB_MAX_BACKENDS; id++)
		free(d->why[id]);
	free(d->why);
	free(d->hop_told);
	free(d->interfaces);
	free(d->http_address);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
}

int daemon_run(const struct daemon_options *options, struct daemon_error *err)
{
	struct daemon d = { .options = options, .err = err, .lock_fd = -1, .http_fd = -1 };
	struct config config = { 0 };

	signal(SIGPIPE, SIG_IGN);
	descriptors_raise();
	d.base = event_base_new();
	signals_start(&d);
	if (!start(&d, &config)) {
		event_base_dispatch(d.base);
		if (!d.exit_status)
			log_info("stopping%s", d.let_go ? " and letting go of the datapath" :
							  ": the datapath goes on by itself");
	}
	config_free(&config);
	finish(&d);
	return d.exit_status;
}
