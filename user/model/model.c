// SPDX-License-Identifier: GPL-2.0-only
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/state.h"
#include "xdplb/endian.h"

struct name_key {
	char text[XDPLB_NAME_LEN];
};

static struct name_key name_key(const char *name)
{
	struct name_key key = { 0 };

	memcpy(key.text, name, strnlen(name, XDPLB_NAME_LEN - 1));
	return key;
}

static struct backend_key backend_key(uint32_t pool, const struct cfg_backend *backend)
{
	return (struct backend_key){ .pool = pool, .addr = backend->addr, .port = backend->port };
}

struct model *model_new(void)
{
	struct model *model = xcalloc(1, sizeof(*model));

	ids_init(&model->services, sizeof(struct name_key), 0, XDPLB_MAX_SERVICES);
	ids_init(&model->pools, sizeof(struct name_key), 0, XDPLB_MAX_POOLS);
	ids_init(&model->backends, sizeof(struct backend_key), 1, XDPLB_MAX_BACKENDS);
	model->pool = xcalloc(XDPLB_MAX_POOLS, sizeof(*model->pool));
	model->backend = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*model->backend));
	return model;
}

static void config_drop(struct config **config)
{
	if (*config)
		config_free(*config);
	free(*config);
	*config = NULL;
}

void model_free(struct model *model)
{
	if (!model)
		return;
	config_drop(&model->config);
	config_drop(&model->previous);
	ids_free(&model->services);
	ids_free(&model->pools);
	ids_free(&model->backends);
	free(model->pool);
	free(model->backend);
	free(model->service_rows);
	free(model->pool_rows);
	free(model->backend_rows);
	free(model);
}

static void backend_adopt(struct model *model, const struct entry_backend *entry)
{
	const struct xdplb_backend *row = &entry->row;
	struct backend_key key = { .pool = row->pool, .addr = row->addr };
	struct model_backend *backend;

	key.port = (uint16_t)from_be16(row->port);
	if (!(row->flags & XDPLB_BACKEND_USED) || !ids_has(&model->pools, row->pool, IDS_USED))
		return; /* an apply that was cut short: no flow can use it */
	if (!ids_claim(&model->backends, &key, entry->id))
		return;
	backend = &model->backend[entry->id];
	*backend = (struct model_backend){ .id = entry->id, .pool_id = row->pool };
	backend->addr = key.addr;
	backend->port = key.port;
	backend->adopted_up = row->flags & XDPLB_BACKEND_UP;
	backend->resolved = row->flags & XDPLB_BACKEND_RESOLVED;
	backend->nexthop = row->nexthop;
	backend->nat_addr = row->nat_addr;
	model->pool[row->pool].members++;
}

void model_adopt(struct model *model, const struct entries *pinned)
{
	for (size_t i = 0; i < pinned->service_count; i++) {
		const struct xdplb_service *row = &pinned->services[i].row;
		struct name_key key = name_key(row->name);

		ids_claim(&model->services, &key,
			  row->id); /* a second listener's row changes nothing */
	}
	for (size_t i = 0; i < pinned->pool_count; i++) {
		const struct entry_pool *entry = &pinned->pools[i];
		struct name_key key = name_key(entry->row.name);

		if (entry->row.used && ids_claim(&model->pools, &key, entry->id))
			model->pool[entry->id].balance = entry->row.balance;
	}
	for (size_t i = 0; i < pinned->backend_count; i++)
		backend_adopt(model, &pinned->backends[i]);
}

/* ---- a new configuration */

static bool rows_suffice(const char *what, size_t wanted, const struct ids *ids,
			 struct cfg_error *err)
{
	if (wanted <= ids_left(ids))
		return true;
	snprintf(err->text, sizeof(err->text),
		 "the configuration brings %zu new %s, but only %u of %u are left: removed ones "
		 "count until their last flow has ended",
		 wanted, what, ids_left(ids), ids->limit - ids->first);
	return false;
}

static bool config_fits(const struct model *model, const struct config *config,
			struct cfg_error *err)
{
	size_t services = 0, pools = 0, backends = 0;

	for (size_t i = 0; i < config->service_count; i++) {
		struct name_key key = name_key(config->services[i].name);

		services += ids_find(&model->services, &key) == IDS_NONE;
	}
	for (size_t i = 0; i < config->pool_count; i++) {
		const struct cfg_pool *pool = &config->pools[i];
		struct name_key name = name_key(pool->name);
		uint32_t id = ids_find(&model->pools, &name);

		pools += id == IDS_NONE;
		for (size_t k = 0; k < pool->backend_count; k++) {
			struct backend_key key = backend_key(id, &pool->backends[k]);

			backends += ids_find(&model->backends, &key) == IDS_NONE;
		}
	}
	return rows_suffice("services", services, &model->services, err) &&
	       rows_suffice("pools", pools, &model->pools, err) &&
	       rows_suffice("backends", backends, &model->backends, err);
}

static uint32_t row_want(struct ids *ids, const void *key)
{
	uint32_t id = ids_take(ids, key);

	ids->flags[id] |= IDS_WANTED;
	return id;
}

/*
 * Without probes a backend is up, whatever the last probe said; where probes
 * begin, it stays up until the first one.
 */
static void health_carry(struct model_backend *backend, bool was_probed, bool probed)
{
	if (!probed) {
		backend->health = BACKEND_UNKNOWN;
		backend->adopted_up = false;
	} else if (!was_probed) {
		backend->adopted_up = true;
	}
}

static uint32_t backend_set(struct model *model, uint32_t pool_id, const struct cfg_backend *config)
{
	struct backend_key key = backend_key(pool_id, config);
	bool known = ids_find(&model->backends, &key) != IDS_NONE;
	uint32_t id = row_want(&model->backends, &key);
	struct model_backend *backend = &model->backend[id];
	struct model_pool *pool = &model->pool[pool_id];

	if (!known) {
		*backend = (struct model_backend){ .id = id, .pool_id = pool_id };
		backend->addr = config->addr;
		backend->port = config->port;
		pool->members++;
	} else if (backend->config) {
		health_carry(backend, pool->probed, pool->config->health.type != CFG_HEALTH_NONE);
	}
	backend->config = config;
	return id;
}

static void pool_set(struct model *model, const struct cfg_pool *config, uint32_t *pool_row,
		     size_t *next)
{
	struct name_key key = name_key(config->name);
	uint32_t id = row_want(&model->pools, &key);
	struct model_pool *pool = &model->pool[id];

	*pool_row = id;
	pool->config = config;
	pool->first = *next;
	pool->balance = config->balance;
	for (size_t i = 0; i < config->backend_count; i++)
		model->backend_rows[(*next)++] = backend_set(model, id, &config->backends[i]);
	pool->probed = config->health.type != CFG_HEALTH_NONE;
}

static void pool_forget(struct model *model, uint32_t id)
{
	struct model_pool *pool = &model->pool[id];

	if (ids_has(&model->pools, id, IDS_WANTED))
		return;
	pool->config = NULL;
	if (!pool->members) {
		ids_drop(&model->pools, id);
		*pool = (struct model_pool){ 0 };
	}
}

/* What is not wanted any more: backends wait for their last flow, pools for their last backend. */
static void unwanted_settle(struct model *model)
{
	for (uint32_t id = model->backends.first; id < model->backends.end; id++) {
		struct model_backend *backend = &model->backend[id];

		if (!ids_has(&model->backends, id, IDS_USED) ||
		    ids_has(&model->backends, id, IDS_WANTED))
			continue;
		backend->config = NULL;
		backend->health = BACKEND_UNKNOWN;
		backend->admin = BACKEND_ENABLED;
		backend->adopted_up = false; /* should it come back, the first probe decides */
	}
	for (uint32_t id = 0; id < model->pools.end; id++)
		if (ids_has(&model->pools, id, IDS_USED))
			pool_forget(model, id);
}

static void config_take(struct model *model, struct config *config)
{
	size_t backends = 0, next = 0;

	for (size_t i = 0; i < config->pool_count; i++)
		backends += config->pools[i].backend_count;
	model->service_rows =
		xrealloc(model->service_rows, config->service_count, sizeof(*model->service_rows));
	model->pool_rows =
		xrealloc(model->pool_rows, config->pool_count, sizeof(*model->pool_rows));
	model->backend_rows = xrealloc(model->backend_rows, backends, sizeof(*model->backend_rows));
	ids_unwant(&model->services);
	ids_unwant(&model->pools);
	ids_unwant(&model->backends);
	for (size_t i = 0; i < config->service_count; i++) {
		struct name_key key = name_key(config->services[i].name);

		model->service_rows[i] = row_want(&model->services, &key);
	}
	for (size_t i = 0; i < config->pool_count; i++)
		pool_set(model, &config->pools[i], &model->pool_rows[i], &next);
	unwanted_settle(model);
}

bool model_set_config(struct model *model, struct config *config, struct cfg_error *err)
{
	struct config *own;

	if (!config_fits(model, config, err))
		return false;
	own = xcalloc(1, sizeof(*own));
	*own = *config;
	memset(config, 0, sizeof(*config));
	config_take(model, own);
	config_drop(&model->previous);
	model->previous = model->config;
	model->config = own;
	return true;
}

bool model_revert(struct model *model, struct cfg_error *err)
{
	struct config *previous = model->previous;

	if (!previous) {
		snprintf(err->text, sizeof(err->text), "there is no configuration to go back to");
		return false;
	}
	if (!config_fits(model, previous, err))
		return false;
	config_take(model, previous);
	model->previous = NULL;
	config_drop(&model->config);
	model->config = previous;
	return true;
}

/* ---- rows */

const struct config *model_config(const struct model *model)
{
	return model->config;
}

const struct config *model_previous(const struct model *model)
{
	return model->previous;
}

uint32_t model_service_id(const struct model *model, size_t service)
{
	return model->service_rows[service];
}

uint32_t model_pool_id(const struct model *model, size_t pool)
{
	return model->pool_rows[pool];
}

struct model_backend *model_backend(const struct model *model, size_t pool, size_t backend)
{
	size_t first = model->pool[model->pool_rows[pool]].first;

	return &model->backend[model->backend_rows[first + backend]];
}

const struct cfg_pool *model_pool_by_id(const struct model *model, uint32_t id)
{
	return id < XDPLB_MAX_POOLS ? model->pool[id].config : NULL;
}

struct model_backend *model_backend_by_id(const struct model *model, uint32_t id)
{
	return ids_has(&model->backends, id, IDS_USED) ? &model->backend[id] : NULL;
}

void model_each_backend(const struct model *model,
			void (*visit)(void *arg, struct model_backend *backend), void *arg)
{
	for (uint32_t id = model->backends.first; id < model->backends.end; id++)
		if (ids_has(&model->backends, id, IDS_USED))
			visit(arg, &model->backend[id]);
}

size_t model_fresh_services(struct model *model, uint32_t *ids, size_t max)
{
	return ids_fresh(&model->services, ids, max);
}

size_t model_fresh_backends(struct model *model, uint32_t *ids, size_t max)
{
	return ids_fresh(&model->backends, ids, max);
}

void model_release_backend(struct model *model, uint32_t id)
{
	uint32_t pool_id;

	if (!ids_has(&model->backends, id, IDS_USED) || ids_has(&model->backends, id, IDS_WANTED))
		return;
	pool_id = model->backend[id].pool_id;
	ids_drop(&model->backends, id);
	model->backend[id] = (struct model_backend){ 0 };
	model->pool[pool_id].members--;
	pool_forget(model, pool_id);
}

void model_release_service(struct model *model, uint32_t id)
{
	if (ids_has(&model->services, id, IDS_USED) && !ids_has(&model->services, id, IDS_WANTED))
		ids_drop(&model->services, id);
}

size_t model_removed_services(const struct model *model, uint32_t *ids, size_t max)
{
	size_t count = 0;

	for (uint32_t id = 0; id < model->services.end && count < max; id++)
		if (ids_has(&model->services, id, IDS_USED) &&
		    !ids_has(&model->services, id, IDS_WANTED))
			ids[count++] = id;
	return count;
}

bool model_backend_usable(const struct model_backend *backend, const struct cfg_pool *pool)
{
	if (!backend->config || !pool || backend->admin == BACKEND_DISABLED)
		return false;
	if (pool->health.type == CFG_HEALTH_NONE || backend->health == BACKEND_UP)
		return true;
	return backend->health == BACKEND_UNKNOWN && backend->adopted_up;
}

const char *model_backend_state(const struct model_backend *backend, const struct cfg_pool *pool)
{
	bool probed = pool && pool->health.type != CFG_HEALTH_NONE;

	if (!backend->config)
		return "draining";
	if (backend->admin == BACKEND_DISABLED)
		return "disabled";
	if (probed && backend->health == BACKEND_DOWN)
		return "down";
	if (backend->config->weight == 0)
		return "draining";
	return probed && backend->health == BACKEND_UNKNOWN ? "unknown" : "up";
}
