// SPDX-License-Identifier: GPL-2.0-only
/* What is known of backends at run time: their health, their next hops. */
#include "daemon/state.h"

#include <stdlib.h>
#include <string.h>

#include "xdplb/addr.h"

static enum backend_health health_of(enum health_state state)
{
	switch (state) {
	case HEALTH_UP:
		return BACKEND_UP;
	case HEALTH_DOWN:
		return BACKEND_DOWN;
	case HEALTH_UNKNOWN:
		break;
	}
	return BACKEND_UNKNOWN;
}

static void backend_said(struct daemon *d, uint32_t id, const char *why)
{
	free(d->why[id]);
	d->why[id] = why ? xstrdup(why) : NULL;
}

void daemon_on_health(void *arg, uint32_t id, enum health_state state, const char *why)
{
	struct daemon *d = arg;
	struct model_backend *backend = model_backend_by_id(d->model, id);
	const struct cfg_pool *pool;

	if (!backend || !backend->config)
		return;
	pool = model_pool_by_id(d->model, backend->pool_id);
	backend->health = health_of(state);
	backend_said(d, id, why);
	log_at(state == HEALTH_DOWN ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
	       "pool %s: backend %s is %s: %s", pool ? pool->name : "?", backend->config->address,
	       health_state_name(state), why);
	daemon_reconcile_soon(d);
}

void daemon_on_nexthop(void *arg, uint32_t id, bool resolved, const struct xdplb_nexthop *nexthop,
		       const struct xdplb_addr *nat_addr)
{
	struct daemon *d = arg;
	struct model_backend *backend = model_backend_by_id(d->model, id);

	if (!backend)
		return;
	d->hop_told[id] = true;
	if (backend->resolved && !resolved && backend->config)
		log_warn("backend %s: no way to it: no route, or its neighbour does not answer",
			 backend->config->address);
	backend->resolved = resolved;
	backend->nexthop = *nexthop;
	backend->nat_addr = *nat_addr;
	daemon_reconcile_soon(d);
}

static void removed_forget(void *arg, struct model_backend *backend)
{
	struct daemon *d = arg;

	if (backend->config)
		return;
	health_target_remove(d->health, backend->id);
	backend_said(d, backend->id, NULL);
}

void backends_track(struct daemon *d)
{
	const struct config *config = model_config(d->model);

	model_each_backend(d->model, removed_forget, d);
	for (size_t i = 0; i < config->pool_count; i++) {
		const struct cfg_pool *pool = &config->pools[i];

		for (size_t j = 0; j < pool->backend_count; j++) {
			const struct cfg_backend *backend = &pool->backends[j];
			uint32_t id = model_backend(d->model, i, j)->id;

			netlink_track(d->netlink, id, &backend->addr);
			health_target_set(d->health, id, &pool->health, &backend->addr,
					  backend->port);
			if (pool->health.type == CFG_HEALTH_NONE)
				backend_said(d, id, NULL);
		}
	}
}

static void pool_stand_in(struct daemon *d, size_t pool_index, bool v4)
{
	const struct cfg_pool *pool = &model_config(d->model)->pools[pool_index];

	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < pool->backend_count; i++) {
			struct model_backend *backend = model_backend(d->model, pool_index, i);

			if (xdplb_addr_is_ip4(&backend->addr) != v4 || !pool->backends[i].weight)
				continue;
			if (pass == 0 && model_backend_usable(backend, pool))
				return;
			if (pass == 1 && backend->health == BACKEND_UNKNOWN)
				backend->adopted_up = true;
		}
	}
}

/*
 * A reload that replaces all backends of a pool must not leave its clients
 * without any until the first probes are through: where nobody is known to be
 * up, those nobody has probed yet stand in.
 */
void backends_stand_in(struct daemon *d)
{
	const struct config *config = model_config(d->model);

	for (size_t i = 0; i < config->pool_count; i++) {
		pool_stand_in(d, i, true);
		pool_stand_in(d, i, false);
	}
}

bool backends_probed(const struct daemon *d)
{
	const struct config *config = model_config(d->model);

	for (size_t i = 0; i < config->pool_count; i++) {
		const struct cfg_pool *pool = &config->pools[i];

		for (size_t j = 0; j < pool->backend_count; j++) {
			if (pool->health.type != CFG_HEALTH_NONE &&
			    model_backend(d->model, i, j)->health == BACKEND_UNKNOWN)
				return false;
		}
	}
	return true;
}

bool backends_resolved(const struct daemon *d)
{
	const struct config *config = model_config(d->model);

	for (size_t i = 0; i < config->pool_count; i++) {
		for (size_t j = 0; j < config->pools[i].backend_count; j++) {
			if (!d->hop_told[model_backend(d->model, i, j)->id])
				return false;
		}
	}
	return true;
}
