// SPDX-License-Identifier: GPL-2.0-only
/* Reload: all of the new configuration, or the old one and a reason. */
#include "daemon/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

struct reload {
	struct daemon *d;
	struct config config; /* new; moved into the model half way */
	int http_fd; /* opened for it, -1: none or unchanged */
	bool http_changes;
	char *notes; /* what is said beside the changes */
	char *failure; /* one line, NULL: none yet */
	int status;
};

static bool fail(struct reload *reload, int status, const char *text)
{
	reload->status = status;
	reload->failure = xstrdup(text);
	return false;
}

static void note(char **notes, const char *text)
{
	char *longer = xasprintf("%s%s\n", *notes ? *notes : "", text);

	free(*notes);
	*notes = longer;
}

/* What only a start can change stays as it is; *notes tells so. */
void daemon_keep_fixed(struct daemon *d, struct config *config, char **notes)
{
	const struct config *now = model_config(d->model);
	uint32_t rows = dataplane_flow_table(d->dp);

	if (now && config->flow_table != now->flow_table && config->flow_table != rows) {
		auto_free char *text = xasprintf("flow_table: %u -> %u at the next start", rows,
						 config->flow_table);

		note(notes, text);
	}
	if (now && config->has_hash_seed &&
	    memcmp(config->hash_seed, d->hash_seed, SEED_BYTES) != 0)
		note(notes, "hash_seed: changes at the next start");
	else if (now && !config->has_hash_seed && d->seed_configured)
		note(notes, "hash_seed: left out now, changes at the next start");
	memcpy(config->hash_seed, d->hash_seed, SEED_BYTES);
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

static bool model_try(struct reload *reload, char **changes)
{
	struct daemon *d = reload->d;
	struct cfg_error cfg_err;
	struct dp_error err;

	if (!model_set_config(d->model, &reload->config, &cfg_err))
		return fail(reload, 1, cfg_err.text);
	backends_stand_in(d);
	if (daemon_reconcile_told(d, changes, &err))
		return true;
	if (!model_revert(d->model, &cfg_err))
		log_error("going back to the former configuration: %s", cfg_err.text);
	daemon_reconcile_soon(d);
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

static bool reload_try(struct reload *reload, char **changes)
{
	struct daemon *d = reload->d;
	struct cfg_error err;

	watch_note(d->watch);
	if (!config_load(d->options->file, &reload->config, &err))
		return fail(reload, 2, err.text);
	daemon_keep_fixed(d, &reload->config, &reload->notes);
	if (http_prepare(reload) && interfaces_try(reload) && model_try(reload, changes))
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

void daemon_reload(struct daemon *d, struct reload_result *result)
{
	struct reload reload = { .d = d, .http_fd = -1 };
	auto_free char *changes = NULL;

	if (reload_try(&reload, &changes)) {
		reload_commit(&reload);
		result->status = 0;
		result->text =
			xasprintf("%s%s", changes ? changes : "", reload.notes ? reload.notes : "");
		log_info("reloaded %s%s", d->options->file,
			 *result->text ? "" : ": nothing changed");
		lines_log(result->text);
		daemon_log_warnings(d);
	} else {
		d->reload_ok = false;
		result->status = reload.status;
		result->text = reload.failure;
		log_error("reload refused, the former configuration goes on: %s", reload.failure);
	}
	config_free(&reload.config);
	free(reload.notes);
}

void daemon_reload_unasked(struct daemon *d)
{
	struct reload_result result = { 0 };

	d->reload_wanted = !d->serving;
	if (!d->serving)
		return;
	daemon_reload(d, &result);
	free(result.text);
}
