// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reload: all of the new configuration, or the old one and a reason. Backends
 * that come new get traffic at once, so their next hops are waited for between
 * the two halves, briefly: reload_begin() and reload_finish(). Until then the
 * maps stay as they are.
 */
#include "daemon/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "base/clock.h"
#include "daemon/period.h"

#define NEXTHOP_PATIENCE_MS 200
#define NEXTHOP_TICK_MS 2
#define WORKER_PATIENCE_MS 2000 /* of the first services that are sniffed */

struct reload {
	struct daemon *d;
	uint64_t ticket; /* of the request that is to be answered, 0: nobody asked */
	uint64_t begun_ns;
	struct config config; /* new; moved into the model half way */
	int http_fd; /* opened for it, -1: none or unchanged */
	bool http_changes;
	char *failure; /* one line, NULL: none yet */
	int status;
};

static bool fail(struct reload *reload, int status, const char *text)
{
	reload->status = status;
	reload->failure = xstrdup(text);
	return false;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool http_prepare(struct reload *reload)
{
	struct daemon *d = reload->d;
	const char *address = reload->config.http;
	auto_free char *text = NULL;

	reload->http_changes = !same_text(address, d->http_address);
	if (!reload->http_changes || !address)
		return true;
	reload->http_fd = http_open(address);
	if (reload->http_fd == -EADDRINUSE && d->http_address) {
		/* Perhaps by ourselves: all addresses of a port, and one of them. */
		http_serve(d->http, -1);
		reload->http_fd = http_open(address);
		if (reload->http_fd < 0)
			http_serve(d->http, http_open(d->http_address));
	}
	if (reload->http_fd >= 0)
		return true;
	text = daemon_http_trouble(address, reload->http_fd);
	return fail(reload, 1, text);
}

static bool interfaces_try(struct reload *reload)
{
	struct dp_error err;

	return interfaces_prepare(reload->d, &reload->config, &err) || fail(reload, 1, err.text);
}

static bool model_take(struct reload *reload)
{
	struct daemon *d = reload->d;
	struct cfg_error err;

	if (!model_set_config(d->model, &reload->config, &err))
		return fail(reload, 1, err.text);
	daemon_zero_fresh(d);
	backends_stand_in(d);
	backends_track(d);
	supervise_before(d); /* its start takes a moment */
	return true;
}

static bool model_apply(struct reload *reload, char **changes)
{
	struct daemon *d = reload->d;
	struct cfg_error cfg_err;
	struct dp_error err;

	if (daemon_reconcile_told(d, changes, &err))
		return true;
	if (!model_revert(d->model, &cfg_err))
		log_error("going back to the former configuration: %s", cfg_err.text);
	backends_track(d);
	return fail(reload, 1, err.text);
}

static void reload_undo(struct reload *reload)
{
	struct daemon *d = reload->d;

	interfaces_undo(d);
	if (reload->http_fd < 0)
		return;
	close(reload->http_fd);
	if (!http_serving(d->http))
		http_serve(d->http, http_open(d->http_address));
}

/* Nothing fails from here on. */
static void reload_commit(struct reload *reload)
{
	struct daemon *d = reload->d;
	const struct config *config = model_config(d->model);

	interfaces_commit(d);
	if (reload->http_changes) {
		http_serve(d->http, reload->http_fd);
		free(d->http_address);
		d->http_address = config->http ? xstrdup(config->http) : NULL;
	}
	daemon_config_taken(d);
}

/* What follows from a configuration that now holds, at the start and after a reload. */
void daemon_config_taken(struct daemon *d)
{
	const struct config *config = model_config(d->model);
	struct timespec now;

	dataplane_set_timeouts(d->dp, config->syn_timeout_ms, config->closing_timeout_ms);
	backends_track(d);
	watch_enable(d->watch, config->watch);
	d->taken_ns = clock_now_ns();
	clock_gettime(CLOCK_REALTIME, &now);
	d->reload_time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	d->reload_ok = true;
}

static bool reload_begin(struct reload *reload)
{
	struct daemon *d = reload->d;
	struct cfg_error err;

	watch_note(d->watch);
	if (!config_load(d->options->file, &reload->config, &err))
		return fail(reload, 2, err.text);
	if (http_prepare(reload) && interfaces_try(reload) && model_take(reload))
		return true;
	reload_undo(reload);
	return false;
}

static void lines_log(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		log_info("%.*s", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

/* One line that says why not, or lines of changes, if any; the reload's last act. */
static void reload_tell(struct reload *reload, const char *changes)
{
	struct daemon *d = reload->d;
	json_t *reply;

	if (reload->failure) {
		d->reload_ok = false;
		log_error("reload refused, the former configuration goes on: %s", reload->failure);
		reply = control_reply_error(reload->status, reload->failure);
	} else {
		log_info("reloaded %s%s", d->options->file, *changes ? "" : ": nothing changed");
		lines_log(changes);
		daemon_log_warnings(d);
		reply = control_reply_ok();
		json_object_set_new(reply, "changes", json_string(changes));
	}
	control_answer(d->control, reload->ticket, reply);
	config_free(&reload->config);
	free(reload->failure);
	free(reload);
}

static void reload_finish(struct daemon *d)
{
	struct reload *reload = d->reload;
	auto_free char *changes = NULL;

	d->reload = NULL;
	event_del(d->timers.reload);
	if (model_apply(reload, &changes)) {
		reload_commit(reload);
	} else {
		reload_undo(reload);
		daemon_reconcile_soon(d);
	}
	reload_tell(reload, changes ? changes : "");
}

void daemon_reload_tick(struct daemon *d)
{
	uint64_t waited_ms = (clock_now_ns() - d->reload->begun_ns) / 1000000;

	char why[128];

	if (!backends_resolved(d) && waited_ms < NEXTHOP_PATIENCE_MS)
		return;
	if (!supervise_in_force(d, why, sizeof(why)) && waited_ms < WORKER_PATIENCE_MS)
		return;
	reload_finish(d);
}

void daemon_reload_settle(struct daemon *d)
{
	if (d->reload)
		reload_finish(d);
}

void daemon_reload(struct daemon *d, uint64_t ticket)
{
	const struct timeval tick = period(NEXTHOP_TICK_MS);
	struct reload *reload = xcalloc(1, sizeof(*reload));

	daemon_reload_settle(d);
	reload->d = d;
	reload->ticket = ticket;
	reload->http_fd = -1;
	reload->begun_ns = clock_now_ns();
	if (!reload_begin(reload)) {
		reload_tell(reload, "");
		return;
	}
	d->reload = reload;
	event_add(d->timers.reload, &tick);
	daemon_reload_tick(d);
}

void daemon_reload_unasked(struct daemon *d)
{
	d->reload_wanted = !d->serving;
	if (d->serving)
		daemon_reload(d, 0);
}
