// SPDX-License-Identifier: GPL-2.0-only
/*
 * The funnel: whatever changed the model, what the maps are to hold is rendered
 * anew, compared with what was last written, and the difference applied.
 */
#include "daemon/state.h"

#include <string.h>

#include <event2/event.h>

void daemon_reconcile_soon(struct daemon *d)
{
	/* Serving begins with a reconcile, a reload ends with one; until then the tables stay. */
	if (d->serving && !d->reload)
		event_active(d->timers.reconcile, EV_TIMEOUT, 0);
}

void daemon_zero_fresh(struct daemon *d)
{
	uint32_t ids[256];
	size_t count;

	while ((count = model_fresh_services(d->model, ids, 256))) {
		for (size_t i = 0; i < count; i++)
			dataplane_zero_service(d->dp, ids[i]);
	}
	while ((count = model_fresh_backends(d->model, ids, 256))) {
		for (size_t i = 0; i < count; i++) {
			dataplane_zero_backend(d->dp, ids[i]);
			d->hop_told[ids[i]] = false;
		}
	}
}

bool daemon_reconcile_told(struct daemon *d, char **changes, struct dp_error *err)
{
	struct entries rendered = { 0 };
	struct plan plan = { 0 };
	bool done;

	render(d->model, &rendered);
	plan_make(&d->written, &rendered, &plan);
	supervise_before(d);
	done = !plan.count || !dataplane_apply(d->dp, d->model, &plan, err);
	if (done && changes)
		*changes = plan_describe(&plan, model_previous(d->model), model_config(d->model));
	plan_free(&plan);
	if (done) {
		entries_free(&d->written);
		d->written = rendered;
		supervise_after(d);
	} else {
		entries_free(&rendered);
	}
	return done;
}

bool daemon_reconcile(struct daemon *d, struct dp_error *err)
{
	return daemon_reconcile_told(d, NULL, err);
}
