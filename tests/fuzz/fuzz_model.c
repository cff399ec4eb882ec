// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes as a life: reloads with other pools and weights, probes that change
 * their mind, restarts, flows that end. After each step the plan must lead from
 * what was written to what is wanted, and in the end every table be as its row says.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/model.h"
#include "sniff/rules.h"
#include "xdplb/endian.h"

#define POOLS 3
#define BACKENDS 5

struct life {
	const uint8_t *data;
	size_t left;
	struct model *model;
	struct entries written;
};

static uint8_t byte_next(struct life *life)
{
	if (!life->left)
		return 0;
	life->left--;
	return *life->data++;
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void pool_make(struct life *life, struct config *config, uint32_t index)
{
	static const uint32_t tables[] = { 2039, 4093 };
	uint8_t members = byte_next(life), how = byte_next(life);
	struct cfg_pool *pool = array_push(config->pools, config->pool_count);

	pool->name = xasprintf("pool-%u", index);
	pool->balance = how % (XDPLB_FIRST + 1);
	pool->table = tables[how >> 4 & 1];
	pool->health.type = how >> 5 & 1 ? CFG_HEALTH_TCP : CFG_HEALTH_NONE;
	for (uint32_t i = 0; i < BACKENDS; i++) {
		struct cfg_backend *backend;

		if (!(members >> i & 1))
			continue;
		backend = array_push(pool->backends, pool->backend_count);
		backend->address = xasprintf("backend-%u", i);
		backend->addr.w[2] = i % 2 ? to_be32(0xffff) : 0;
		backend->addr.w[3] = to_be32(i);
		backend->port = 80;
		backend->weight = byte_next(life) * 4U;
	}
}

/* Without a pool of its own, or one that routes lead to, too. */
static void route_make(struct cfg_service *service, uint32_t pool, bool sanitize)
{
	struct cfg_route *route = array_push(service->routes, service->route_count);

	route->match.protocol = XDPLB_PROTOCOL_SSH;
	route->pool = pool;
	if (sanitize)
		service->pool = CFG_NO_POOL;
}

static void service_make(struct config *config, uint32_t pool, uint8_t which)
{
	struct cfg_service *service = array_push(config->services, config->service_count);
	struct cfg_listener *listener = array_push(service->listeners, service->listener_count);

	service->name = xasprintf("service-%s", config->pools[pool].name);
	service->pool = pool;
	listener->text = xstrdup("tcp");
	listener->proto = IPPROTO_TCP;
	listener->port = (uint16_t)(80 + pool);
	if (which >> 3 & 1)
		route_make(service, 0, which >> 4 & 1);
}

static void life_reload(struct life *life)
{
	struct config config = { 0 };
	uint8_t which = byte_next(life);
	struct cfg_error err;

	for (uint32_t i = 0; i < POOLS; i++)
		if (which >> i & 1)
			pool_make(life, &config, i);
	for (uint32_t i = 0; i < config.pool_count; i++)
		service_make(&config, i, which);
	config.nat_port_min = which;
	must(model_set_config(life->model, &config, &err));
}

static void life_restart(struct life *life)
{
	model_free(life->model);
	life->model = model_new();
	model_adopt(life->model, &life->written);
	life_reload(life);
}

static void life_release(struct life *life)
{
	uint32_t ids[POOLS];
	size_t count = model_removed_services(life->model, ids, POOLS);

	for (size_t i = 0; i < count; i++)
		model_release_service(life->model, ids[i]);
	model_release_backend(life->model, byte_next(life) % (2 * POOLS * BACKENDS));
}

static void life_probe(struct life *life)
{
	uint32_t id = byte_next(life) % (2 * POOLS * BACKENDS);
	struct model_backend *backend = model_backend_by_id(life->model, id);
	uint8_t what = byte_next(life);

	if (!backend || !backend->config)
		return;
	must(backend->id == id);
	backend->health = what % 3;
	backend->admin = what >> 4 & 1;
	backend->resolved = what >> 5 & 1;
}

static void tables_check(const struct life *life, const struct entry_pool *pool)
{
	for (enum xdplb_family family = XDPLB_V4; family < XDPLB_FAMILIES; family++) {
		uint32_t count;
		struct xdplb_slot *slots = render_table(life->model, pool->id, family, &count);

		must(count == pool->row.slots[family]);
		must(!count == !pool->row.digest[family]);
		for (uint32_t i = 0; i < count; i++) {
			const struct model_backend *backend =
				model_backend_by_id(life->model, slots[i].backend);

			must(backend && backend->config && backend->config->weight);
			must(backend->pool_id == pool->id);
		}
		free(slots);
	}
}

/* Everything that differs is in the plan, once, and nothing else is. */
static void life_apply(struct life *life)
{
	struct entries wanted;
	struct plan plan, none;
	struct rules *rules;
	char *text;

	rules = render_rules(life->model);
	for (size_t i = 0; i < rules->count; i++)
		must(rules->sets[i].rules[0].pool < XDPLB_MAX_POOLS);
	rules_free(rules);
	render(life->model, &wanted);
	plan_make(&life->written, &wanted, &plan);
	for (size_t i = 0; i < plan.count; i++) {
		const struct plan_step *step = &plan.steps[i];

		must(step->before || step->after);
		must(!i || step->kind != PLAN_BACKEND_SET || step[-1].kind == PLAN_BACKEND_SET);
		must(!i || step[-1].kind != PLAN_BACKEND_DELETE ||
		     step->kind == PLAN_BACKEND_DELETE);
	}
	plan_make(&wanted, &wanted, &none);
	must(!none.count);
	text = plan_describe(&plan, model_previous(life->model), model_config(life->model));
	free(text);
	plan_free(&plan);
	plan_free(&none);
	entries_free(&life->written);
	life->written = wanted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct life life = { .data = data, .left = size, .model = model_new() };

	for (int step = 0; life.left && step < 32; step++) {
		switch (byte_next(&life) % 5) {
		case 0:
			life_reload(&life);
			break;
		case 1:
			life_restart(&life);
			break;
		case 2:
			life_release(&life);
			break;
		case 3:
			life_probe(&life);
			break;
		default:
			model_revert(life.model, &(struct cfg_error){ "" });
		}
		life_apply(&life);
	}
	for (size_t i = 0; i < life.written.pool_count; i++)
		tables_check(&life, &life.written.pools[i]);
	entries_free(&life.written);
	model_free(life.model);
	return 0;
}
