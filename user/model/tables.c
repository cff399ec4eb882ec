// SPDX-License-Identifier: GPL-2.0-only
#include "model/tables.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "model/mix.h"
#include "model/state.h"
#include "model/turns.h"

#define TABLE_VERSION 1 /* of the rendering: another one makes pinned tables stale */

/* What a connection costs at weight 1: divisible by 1 to 20, so that equals compare as equal. */
#define COST_OF_WEIGHT_1 232792560U

static bool balance_is_hashed(uint32_t balance)
{
	return balance == XDPLB_MAGLEV || balance == XDPLB_SOURCE_IP ||
	       balance == XDPLB_SOURCE_SOCKET;
}

static int member_compare(const void *left, const void *right)
{
	const struct table_member *a = left, *b = right;
	int order = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return order ? order : (int)a->port - (int)b->port;
}

/*
 * In file order, where that order can be seen; sorted where it must not
 * matter; the first one alone where no other ever comes into play.
 */
void table_gather(const struct model *model, uint32_t pool_id, enum xdplb_family family,
		  struct table_input *input)
{
	const struct model_pool *pool = &model->pool[pool_id];
	const struct cfg_pool *config = pool->config;

	*input = (struct table_input){ .balance = pool->balance };
	if (!config)
		return;
	input->size = balance_is_hashed(config->balance) ? config->table : 0;
	input->members = xcalloc(config->backend_count, sizeof(*input->members));
	for (size_t i = 0; i < config->backend_count; i++) {
		const struct model_backend *backend =
			&model->backend[model->backend_rows[pool->first + i]];

		if (addr_family(&backend->addr) != family || !backend->config ||
		    !backend->config->weight || !model_backend_usable(backend, config))
			continue;
		input->members[input->count++] = (struct table_member){
			.addr = backend->addr,
			.id = backend->id,
			.weight = backend->config->weight,
			.port = backend->port,
		};
	}
	if (input->size)
		qsort(input->members, input->count, sizeof(*input->members), member_compare);
	if (config->balance == XDPLB_FIRST && input->count)
		input->count = 1;
}

uint64_t table_digest(const struct table_input *input)
{
	uint64_t hash = mix(TABLE_VERSION, (uint64_t)input->balance << 32 | input->size);

	if (!input->count)
		return 0;
	for (size_t i = 0; i < input->count; i++)
		hash = mix_bytes(hash, &input->members[i], sizeof(input->members[i]));
	return hash ? hash : 1;
}

static uint32_t smooth_slots(const struct table_input *input)
{
	auto_free uint32_t *weights = xcalloc(input->count, sizeof(*weights));

	for (size_t i = 0; i < input->count; i++)
		weights[i] = input->members[i].weight;
	return turns_total(weights, input->count, XDPLB_MAX_SLOTS);
}

uint32_t table_slots(const struct table_input *input)
{
	if (!input->count || input->size)
		return input->count ? input->size : 0;
	if (input->balance == XDPLB_ROUND_ROBIN || input->balance == XDPLB_RANDOM)
		return smooth_slots(input);
	return (uint32_t)input->count; /* least-conn; first, of which there is one */
}

static uint32_t cost_of(uint32_t weight)
{
	return (COST_OF_WEIGHT_1 + weight / 2) / weight;
}

static void table_fill(const struct table_input *input, struct xdplb_slot *slots, uint32_t count)
{
	if (input->size) {
		maglev_fill(input->members, input->count, slots, count);
		return;
	}
	if (input->balance == XDPLB_ROUND_ROBIN || input->balance == XDPLB_RANDOM) {
		smooth_fill(input->members, input->count, slots, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		slots[i] = (struct xdplb_slot){ .backend = input->members[i].id,
						.cost = cost_of(input->members[i].weight) };
}

struct xdplb_slot *render_table(const struct model *model, uint32_t pool_id,
				enum xdplb_family family, uint32_t *count)
{
	struct xdplb_slot *slots = NULL;
	struct table_input input;

	table_gather(model, pool_id, family, &input);
	*count = table_slots(&input);
	if (*count) {
		slots = xcalloc(*count, sizeof(*slots));
		table_fill(&input, slots, *count);
	}
	free(input.members);
	return slots;
}
