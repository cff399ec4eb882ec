/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_SELECT_H
#define XDPLB_BPF_SELECT_H

/*
 * The choice of a backend: an index into the pool's table. What the table
 * holds, and so what a weight means, user space decided when it rendered it.
 */
#include "flow.h"

static __always_inline __u32 slot_backend(void *table, __u32 index)
{
	const struct xdplb_slot *slot = bpf_map_lookup_elem(table, &index);

	return slot ? slot->backend : 0;
}

/* What one more connection would make of this backend's load. */
static __always_inline __u64 slot_load(void *table, __u32 index, __u32 *backend)
{
	const struct xdplb_slot *slot = bpf_map_lookup_elem(table, &index);
	const struct xdplb_backend_state *state;

	if (!slot)
		return ~0ULL;
	*backend = slot->backend;
	state = bpf_map_lookup_elem(&backend_state, backend);
	return state ? (READ_ONCE(state->active) + 1ULL) * slot->cost : ~0ULL;
}

struct least {
	__u32 row, slots, start; /* of the table; where this look begins, so that ties take turns */
	__u32 backend;
	__u64 load;
};

static long least_look(__u32 index, void *arg)
{
	struct least *least = arg;
	void *table = bpf_map_lookup_elem(&tables, &least->row);
	__u32 backend = 0;
	__u64 load;

	if (!table)
		return 1;
	load = slot_load(table, (least->start + index) % least->slots, &backend);
	if (load < least->load) {
		least->load = load;
		least->backend = backend;
	}
	return 0;
}

/* Exactly the least loaded of few; of many the better of two distinct samples. */
__noinline __u32 least_select(__u32 row, __u32 slots)
{
	struct least least = { .row = row, .slots = slots, .load = ~0ULL };
	__u32 step;

	if (!slots)
		return 0;
	least.start = bpf_get_prandom_u32() % slots;
	if (slots <= XDPLB_LEAST_CONN_EXACT) {
		bpf_loop(slots, least_look, &least, 0);
		return least.backend;
	}
	step = 1 + bpf_get_prandom_u32() % (slots - 1);
	least_look(0, &least);
	least_look(step, &least);
	return least.backend;
}

/* The index into a table of @slots by the pool's method. */
static __always_inline __u32 slot_choose(const struct xdplb_pool *pool, __u32 row, __u32 slots,
					 const struct xdplb_tuple *tuple)
{
	const struct xdplb_settings *set = settings_get();
	__u32 *turn;

	if (!set)
		return 0;
	switch (pool->balance) {
	case XDPLB_ROUND_ROBIN:
		turn = bpf_map_lookup_elem(&turns, &row);
		return turn ? __sync_fetch_and_add(turn, 1) % slots : 0;
	case XDPLB_RANDOM:
		return bpf_get_prandom_u32() % slots;
	case XDPLB_SOURCE_IP:
		return xdplb_scale(xdplb_source_hash(set->select_key, tuple, 0), slots);
	case XDPLB_SOURCE_SOCKET:
		return xdplb_scale(xdplb_source_hash(set->select_key, tuple, tuple->sport), slots);
	case XDPLB_FIRST:
		return 0;
	default:
		return xdplb_scale(xdplb_flow_hash(set->select_key, tuple), slots);
	}
}

/* A backend of @pool_id for the client of @tuple, 0: none is usable. */
__noinline __u32 backend_select(__u32 pool_id, const struct xdplb_tuple *tuple)
{
	const struct xdplb_pool *pool = bpf_map_lookup_elem(&pools, &pool_id);
	__u32 row, slots, backend;
	void *table;

	if (!pool || !tuple)
		return 0;
	row = pool_id * XDPLB_FAMILIES + (tuple->v6 ? XDPLB_V6 : XDPLB_V4);
	slots = pool->slots[tuple->v6 ? XDPLB_V6 : XDPLB_V4];
	table = bpf_map_lookup_elem(&tables, &row);
	if (!table || !slots)
		return 0;
	if (pool->balance == XDPLB_LEAST_CONN)
		return least_select(row, slots);
	backend = slot_backend(table, slot_choose(pool, row, slots, tuple));
	/* a table swapped for a shorter one a moment ago still has its first slot */
	return backend ? backend : slot_backend(table, 0);
}

#endif /* XDPLB_BPF_SELECT_H */
