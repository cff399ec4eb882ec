/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_FLOW_MOVE_H
#define XDPLB_BPF_FLOW_MOVE_H

/*
 * Taking flows over from tables of another size, a part of flow.h. While
 * `moving`, a packet without a flow looks into the old tables and brings its
 * flow along; the daemon walks what is left and then loads the program anew
 * without this. Both tables hash by the same key.
 */
#include "flow.h"

static __always_inline struct xdplb_flow *old_flow_at(__u64 slot)
{
	__u32 row = slot_row(slot);

	if (slot & XDPLB_SLOT_EMBRYO)
		return bpf_map_lookup_elem(&old_embryos, &row);
	return bpf_map_lookup_elem(&old_flows, &row);
}

static __always_inline bool old_slot_holds(__u64 slot, __u64 hash, const struct xdplb_tuple *tuple)
{
	struct xdplb_flow *flow;

	if (!slot || !index_same_fingerprint(slot, hash))
		return false;
	flow = old_flow_at(slot);
	/* a row that was taken over is free; one that is on its way is claimed */
	return flow && READ_ONCE(flow->half[XDPLB_TO_BACKEND].state) != XDPLB_FLOW_FREE &&
	       half_matches(&flow->half[slot_dir(slot)], tuple);
}

/* The slot of the old index that holds @tuple, 0: none. */
__noinline __u64 old_find(__u64 hash, const struct xdplb_tuple *tuple)
{
	__u32 row = index_row_first(hash, old_index_mask);
	struct xdplb_bucket *first = bpf_map_lookup_elem(&old_flow_index, &row), *second;

	row = index_row_second(hash, old_index_mask);
	second = bpf_map_lookup_elem(&old_flow_index, &row);
	if (!first || !second || !tuple)
		return 0;
	for (int i = 0; i < XDPLB_BUCKET_SLOTS; i++) {
		__u64 one = READ_ONCE(first->slot[i]), two = READ_ONCE(second->slot[i]);

		if (old_slot_holds(one, hash, tuple))
			return one;
		if (old_slot_holds(two, hash, tuple))
			return two;
	}
	return 0;
}

enum move {
	MOVE_NOTHING,
	MOVE_DONE,
	MOVE_UNDER_WAY /* on another CPU */
};

/* A flow that finds no place ends here. */
static __always_inline void move_lose(const struct xdplb_flow *flow, __u32 state)
{
	__u32 ids = flow->half[XDPLB_TO_BACKEND].ids;

	event_count(XDPLB_EVENT_MOVE_LOST);
	if (state != XDPLB_FLOW_CLOSED)
		flow_account(ids, false);
	port_release(ids);
}

/* Takes over the row at @place of the old tables; enum move. */
__noinline int flow_move(__u64 place)
{
	struct xdplb_flow *from = old_flow_at(place), *to;
	__u64 table = XDPLB_SLOT_EMBRYO;
	__u32 state, row;

	if (!from)
		return MOVE_NOTHING;
	state = READ_ONCE(from->half[XDPLB_TO_BACKEND].state);
	if (state == XDPLB_FLOW_FREE)
		return MOVE_NOTHING;
	if (state == XDPLB_FLOW_CLAIMED || !flow_claim(from, state))
		return MOVE_UNDER_WAY;
	if (state == XDPLB_FLOW_ESTABLISHED) {
		table = 0;
		row = flows_alloc(from->half[XDPLB_TO_BACKEND].proto == IPPROTO_UDP);
		to = row == NO_ROW ? NULL : bpf_map_lookup_elem(&flows, &row);
	} else {
		row = embryo_alloc();
		to = bpf_map_lookup_elem(&embryos, &row);
	}
	if (!to) {
		move_lose(from, state);
		flow_set_state(from, XDPLB_FLOW_FREE);
		return MOVE_NOTHING;
	}
	flow_life_end(to);
	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		half_copy(&to->half[dir], &from->half[dir]);
	to->splice = from->splice;
	flow_life_begin(to);
	for (__u32 dir = 0; dir < XDPLB_DIRS; dir++) {
		__u64 hash = half_hash(&to->half[dir]);

		index_insert(hash, slot_make(hash, table, dir, row));
	}
	flow_set_state(to, state);
	flow_set_state(from, XDPLB_FLOW_FREE);
	event_count(XDPLB_EVENT_MOVED);
	return MOVE_DONE;
}

/* Brings the flow of a packet along, if the old tables have it. */
static __always_inline int flow_bring(struct packet *p)
{
	__u64 slot = old_find(p->hash, &p->pkt.tuple);

	if (!slot)
		return MOVE_NOTHING;
	return flow_move(slot & ~(~0ULL << XDPLB_SLOT_FP_SHIFT) & ~XDPLB_SLOT_DIR);
}

struct move_walk {
	__u64 first;
};

static long move_row(__u32 index, void *arg)
{
	const struct move_walk *walk = arg;

	flow_move(walk->first + index);
	return 0;
}

/* Takes over @count rows from @first (a row, with XDPLB_SLOT_EMBRYO of old_embryos). */
static __noinline int flows_move(__u64 first, __u32 count)
{
	struct move_walk walk = { .first = first };

	bpf_loop(count, move_row, &walk, 0);
	return 0;
}

#endif /* XDPLB_BPF_FLOW_MOVE_H */
