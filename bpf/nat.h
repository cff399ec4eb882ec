/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_NAT_H
#define XDPLB_BPF_NAT_H

/*
 * Source NAT: the address and port a backend sees. A port is reserved by
 * inserting the key of the replies into the flow index, so it is unique per
 * backend and port, whichever array its flow is in, and never given twice.
 * Ports are tried in order, so the one that rested longest comes first; a
 * closed flow keeps its port while it rests.
 */
#include "flow.h"
#include "flow_move.h"

#define PORT_TRIES 256
#define PORT_IN_ORDER 64 /* tries; those after look anywhere */
#define PORT_RECLAIM_AFTER \
	16 /* so many held by embryos: free ones are rare, the oldest gives way */

struct port_search {
	struct xdplb_tuple *reply; /* as replies will arrive; dst and dport are tried */
	__u64 row; /* the embryo's: XDPLB_SLOT_EMBRYO | row */
	__u64 hash; /* of reply, when found */
	__u64 victim; /* slot of the oldest embryo in the way */
	__u32 backend, range_row;
	__u32 victim_place, held;
	__u32 victim_seen; /* when, in ticks, it was heard of last */
	bool keep_address, found;
	__u16 pad;
};

static __always_inline void tuple_set_dst(struct xdplb_tuple *tuple, const struct xdplb_addr *addr)
{
	bool v6 = tuple->v6;

	tuple->dst = addr->w[3];
	for (int i = 0; i < 3; i++)
		tuple->dst_hi[i] = v6 ? addr->w[i] : 0;
}

static __always_inline void tuple_set_src(struct xdplb_tuple *tuple, const struct xdplb_addr *addr)
{
	bool v6 = tuple->v6;

	tuple->src = addr->w[3];
	for (int i = 0; i < 3; i++)
		tuple->src_hi[i] = v6 ? addr->w[i] : 0;
}

static __always_inline __u32 range_ports(const struct xdplb_nat_range *range)
{
	return range->port_max >= range->port_min ? range->port_max - range->port_min + 1U : 1;
}

static __always_inline __u32 range_places(const struct port_search *search,
					  const struct xdplb_nat_range *range)
{
	__u32 addrs = search->keep_address || !range->count ? 1 : range->count;

	return addrs * range_ports(range);
}

/* Writes address and port number @place of the range into search->reply. */
static __always_inline void place_set(struct port_search *search,
				      const struct xdplb_nat_range *range, __u32 place)
{
	__u32 ports = range_ports(range), index = place / ports;
	const struct xdplb_backend *backend = bpf_map_lookup_elem(&backends, &search->backend);

	search->reply->dport = to_be16((__u16)(range->port_min + place % ports));
	if (search->keep_address || !backend)
		return;
	if (range->count)
		tuple_set_dst(search->reply, &range->addr[index & (XDPLB_MAX_NAT_ADDRS - 1)]);
	else
		tuple_set_dst(search->reply, &backend->nat_addr);
}

/* 0: reserved; else the slot that is in the way, or INDEX_FULL. */
static __always_inline __u64 port_reserve(struct port_search *search)
{
	const struct xdplb_settings *set = settings_get();
	__u64 there;

	if (!set)
		return INDEX_FULL;
	search->hash = xdplb_flow_hash(set->index_key, search->reply);
	if (moving && old_find(search->hash, search->reply))
		return INDEX_FULL; /* its flow has not been taken over yet */
	there = index_insert(search->hash,
			     index_fingerprint(search->hash) | XDPLB_SLOT_DIR | search->row);
	search->found = !there;
	return there;
}

/* The flow at @slot, if it holds exactly this reply key and can be done without; and its life. */
static __always_inline struct xdplb_flow *port_holder(__u64 slot, const struct xdplb_tuple *reply,
						      __u32 *life)
{
	__u32 state;
	struct xdplb_half *half = slot == INDEX_FULL ? NULL : slot_half(slot, reply, life);
	struct xdplb_flow *flow = half ? flow_at(slot) : NULL;

	if (!flow || !(slot & XDPLB_SLOT_EMBRYO))
		return NULL;
	state = READ_ONCE(flow->half[XDPLB_TO_BACKEND].state);
	return state == XDPLB_FLOW_UNANSWERED || state == XDPLB_FLOW_CLOSED ? flow : NULL;
}

/* None is free, so no use looking on: our own place is counted already. */
static __always_inline bool ports_exhausted(const struct port_search *search,
					    const struct xdplb_nat_range *range,
					    const struct xdplb_backend_state *state)
{
	return !search->keep_address && READ_ONCE(state->ports_used) > range_places(search, range);
}

static long port_try(__u32 index, void *arg)
{
	struct port_search *search = arg;
	const struct xdplb_nat_range *range = bpf_map_lookup_elem(&nat_ranges, &search->range_row);
	struct xdplb_backend_state *state = bpf_map_lookup_elem(&backend_state, &search->backend);
	const struct xdplb_flow *holder;
	__u32 place, places, seen, life;
	__u64 there;

	if (!range || !state)
		return 1;
	places = range_places(search, range);
	place = index < PORT_IN_ORDER || places <= PORT_TRIES ?
			__sync_fetch_and_add(&state->port_cursor, 1) :
			bpf_get_prandom_u32(); /* out of a long run of ports in use */
	place %= places;
	place_set(search, range, place);
	there = port_reserve(search);
	if (!there)
		return 1;
	holder = port_holder(there, search->reply, &life);
	if (holder) {
		seen = flow_last_seen(holder);
		if (!search->held++ || (__s32)(seen - search->victim_seen) < 0) {
			search->victim = there;
			search->victim_place = place;
			search->victim_seen = seen;
		}
		if (search->held >= PORT_RECLAIM_AFTER || ports_exhausted(search, range, state))
			return 1;
	}
	return 0;
}

/* The oldest embryo in the way loses its port to us. */
static __always_inline bool port_reclaim(struct port_search *search)
{
	const struct xdplb_nat_range *range = bpf_map_lookup_elem(&nat_ranges, &search->range_row);
	__u32 row = slot_row(search->victim);
	struct xdplb_flow *flow = bpf_map_lookup_elem(&embryos, &row);
	__u32 state, life;

	if (!range || !flow)
		return false;
	place_set(search, range, search->victim_place);
	state = READ_ONCE(flow->half[XDPLB_TO_BACKEND].state);
	if (!port_holder(search->victim, search->reply, &life) ||
	    !flow_remove(XDPLB_SLOT_EMBRYO | row, state, life))
		return false;
	event_count(XDPLB_EVENT_RECLAIMED_PORT);
	return !port_reserve(search);
}

/* The client's own port, if it may be used and is free. */
static __always_inline bool port_keep(struct port_search *search,
				      const struct xdplb_nat_range *range, __u16 number)
{
	if (!search->keep_address) {
		if (number < range->port_min || number > range->port_max)
			return false;
		place_set(search, range,
			  (range->count ? number % range->count : 0) * range_ports(range) + number -
				  range->port_min);
	} else {
		search->reply->dport = to_be16(number);
	}
	return !port_reserve(search);
}

enum {
	PORT_KEEP_ADDRESS = 1U << 16 /* source: client; below it the client's port */
};

/*
 * Notes at the embryo in which buckets the next reply key of this backend will
 * likely stand, that of the port that follows (embryo_touch).
 */
static __always_inline void port_foresee(const struct port_search *search, const __u64 key[4])
{
	__u32 row = slot_row(search->row);
	struct xdplb_flow *flow = bpf_map_lookup_elem(&embryos, &row);
	__be16 port = search->reply->dport;
	__u64 hash;

	if (!flow)
		return;
	search->reply->dport = to_be16((__u16)(from_be16(port) + 1));
	hash = xdplb_flow_hash(key, search->reply);
	search->reply->dport = port;
	WRITE_ONCE(flow->spare[HINT_NEXT_FIRST], index_row_first(hash, index_mask));
	WRITE_ONCE(flow->spare[HINT_NEXT_SECOND], index_row_second(hash, index_mask));
}

/*
 * Reserves an address and port towards @backend for the embryo at @row:
 * completes @reply and gives its hash. 0: none is free.
 */
__noinline __u64 port_find(struct xdplb_tuple *reply, __u64 row, __u32 backend, __u32 client_port)
{
	const struct xdplb_settings *set = settings_get();
	struct port_search search = { .reply = reply, .row = row, .backend = backend };
	const struct xdplb_nat_range *range;
	__u32 tries;

	if (!set || !reply)
		return 0;
	search.keep_address = client_port & PORT_KEEP_ADDRESS;
	search.range_row = (READ_ONCE(set->nat_buffer) & 1) * XDPLB_FAMILIES +
			   (reply->v6 ? XDPLB_V6 : XDPLB_V4);
	range = bpf_map_lookup_elem(&nat_ranges, &search.range_row);
	if (!range)
		return 0;
	if (!port_keep(&search, range, (__u16)client_port)) {
		tries = range_places(&search, range);
		bpf_loop(tries < PORT_TRIES ? tries : PORT_TRIES, port_try, &search, 0);
		if (!search.found && !(search.victim && port_reclaim(&search)))
			return 0;
		port_foresee(&search, set->index_key);
	}
	return search.hash ? search.hash : 1;
}

#endif /* XDPLB_BPF_NAT_H */
