/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_FLOW_H
#define XDPLB_BPF_FLOW_H

/*
 * The flow tables. This file, with flow_index.h, flow_touch.h and flow_age.h,
 * alone knows what they are made of: two arrays of rows, `flows` for established
 * flows and `embryos`, a ring, for unanswered and closed ones, and one index
 * over both.
 *
 * A row holds both directions of a flow, so neither can be lost without the
 * other, and everything a flow owns (two index slots, a source port, a place
 * in active_flows) goes when its row is taken apart. Who wants to change what
 * a row is must win its state by compare and swap to CLAIMED first. Readers
 * win nothing: they check that `life` is even and did not change while they
 * read. (Stores are seen in order on x86; the atomic increments of life order
 * them elsewhere.) A flow that moves between the arrays is copied, then its
 * index slots are exchanged; who still reads the old row reads the same there,
 * until another flow takes it and its life changes.
 */
#include "flow_index.h"
#include "flow_touch.h"
#include "xdplb/pkt.h"
#include "xdplb/rewrite.h"

#define NO_ROW (~0U)
#define FLOW_LOOKUPS 3 /* a row may be recycled under a reader; not that often */
#define EMBRYO_TRIES 8
/* in every state */
#define HALF_LASTS (XDPLB_HALF_V6 | XDPLB_HALF_SPLICED | XDPLB_HALF_QUIC | XDPLB_HALF_SNIFFED)
#define HEARTBEAT_STALE_TICKS 954 /* a second without a heartbeat: no daemon */

/* A packet on its way through the program. */
struct packet {
	struct xdplb_pkt pkt;
	__u64 hash; /* of the tuple, for the index */
	__u64 slot; /* the flow's, once it is known */
	__u32 life; /* of the flow's row, when p->slot was found to be ours */
	__u32 now; /* tick */
	__u32 ifindex; /* where it came from */
	__u32 backend, service; /* ids, once known */
	const struct xdplb_command *command; /* the worker's that opens a flow; NULL: a packet */
};

static __always_inline void event_count(__u32 event)
{
	__u64 *count = bpf_map_lookup_elem(&flow_events, &event);

	if (count)
		(*count)++;
}

static __always_inline struct xdplb_gauges *gauges_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gauges, &zero);
}

static __always_inline struct xdplb_settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline __u32 tick_now(void)
{
	return (__u32)(bpf_ktime_get_coarse_ns() >> XDPLB_TICK_SHIFT);
}

static __always_inline __u32 slot_row(__u64 slot)
{
	return slot & ((1U << XDPLB_SLOT_ROW_BITS) - 1);
}

/* Two calls, each with one map: only those become a multiplication in place. */
static __always_inline struct xdplb_flow *flow_at(__u64 slot)
{
	__u32 row = slot_row(slot);
	struct xdplb_flow *flow;

	if (slot & XDPLB_SLOT_EMBRYO) {
		flow = bpf_map_lookup_elem(&embryos, &row);
		__asm__ volatile("" : "+r"(flow)); /* or the compiler makes them one */
		return flow;
	}
	return bpf_map_lookup_elem(&flows, &row);
}

static __always_inline __u32 slot_dir(__u64 slot)
{
	return !!(slot & XDPLB_SLOT_DIR);
}

static __always_inline bool half_matches(const struct xdplb_half *half, const struct xdplb_tuple *t)
{
	if (half->src != t->src || half->dst != t->dst || half->sport != t->sport ||
	    half->dport != t->dport || half->proto != t->proto ||
	    (half->flags & XDPLB_HALF_V6) != t->v6)
		return false;
	if (!t->v6)
		return true;
	for (int i = 0; i < 3; i++)
		if (half->src_hi[i] != t->src_hi[i] || half->dst_hi[i] != t->dst_hi[i])
			return false;
	return true;
}

static __always_inline void half_tuple(const struct xdplb_half *half, struct xdplb_tuple *t)
{
	*t = (struct xdplb_tuple){
		.src = half->src,
		.dst = half->dst,
		.sport = half->sport,
		.dport = half->dport,
		.proto = half->proto,
		.v6 = half->flags & XDPLB_HALF_V6,
	};
	for (int i = 0; i < 3; i++) {
		t->src_hi[i] = half->src_hi[i];
		t->dst_hi[i] = half->dst_hi[i];
	}
}

/* The half that @slot names, if it is alive and @tuple's; *life is that of its row then. */
static __always_inline struct xdplb_half *slot_half(__u64 slot, const struct xdplb_tuple *tuple,
						    __u32 *life)
{
	struct xdplb_flow *flow = flow_at(slot);
	struct xdplb_half *half;

	if (!flow)
		return NULL;
	half = &flow->half[slot_dir(slot)];
	*life = READ_ONCE(half->life);
	barrier();
	if (*life & 1 || !half_matches(half, tuple))
		return NULL;
	return half;
}

#define FLOW_CHANGING (~0ULL)

/* Looks at every slot with the fingerprint. FLOW_CHANGING: some row was being changed. */
__noinline __u64 flow_find_slowly(__u64 hash, const struct xdplb_tuple *tuple)
{
	struct xdplb_bucket *first = index_first(hash), *second = index_second(hash);
	__u64 found = 0;
	__u32 life;

	if (!first || !second || !tuple)
		return 0;
	for (int i = 0; i < XDPLB_BUCKET_SLOTS; i++) {
		__u64 one = READ_ONCE(first->slot[i]), two = READ_ONCE(second->slot[i]);

		if (one && index_same_fingerprint(one, hash)) {
			if (slot_half(one, tuple, &life))
				return one;
			found = FLOW_CHANGING;
		}
		if (two && index_same_fingerprint(two, hash)) {
			if (slot_half(two, tuple, &life))
				return two;
			found = FLOW_CHANGING;
		}
	}
	return found;
}

/* A packet without a flow that may open one. */
static __always_inline bool packet_opens(const struct packet *p)
{
	return p->pkt.tuple.proto != IPPROTO_TCP || p->pkt.tcp_flags & XDPLB_TCP_SYN;
}

/* The half that @p belongs to, with p->slot and p->life; NULL: there is no such flow. */
static __always_inline struct xdplb_half *flow_find(struct packet *p)
{
	struct xdplb_bucket *bucket = index_first(p->hash);
	struct xdplb_half *half;
	__u64 slot;

	if (!bucket)
		return NULL;
	p->slot = index_match(bucket, p->hash);
	if (!p->slot) {
		if (packet_opens(p))
			embryo_touch(gauges_get());
		p->slot = index_find_second(p->hash);
		if (!p->slot)
			return NULL;
	}
	half = slot_half(p->slot, &p->pkt.tuple, &p->life);
	if (half)
		return half;
#pragma unroll
	for (int attempt = 0; attempt < FLOW_LOOKUPS; attempt++) {
		slot = flow_find_slowly(p->hash, &p->pkt.tuple);
		if (slot != FLOW_CHANGING) {
			p->slot = slot;
			return slot ? slot_half(slot, &p->pkt.tuple, &p->life) : NULL;
		}
	}
	return NULL;
}

/* p->slot is a row that was just written for @p by this CPU. */
static __always_inline void packet_follow(struct packet *p, struct xdplb_flow *flow, __u64 slot)
{
	p->slot = slot;
	p->life = READ_ONCE(flow->half[slot_dir(slot)].life);
}

static __always_inline bool tick_passed(__u32 now, __u32 since, __u32 ticks)
{
	__s32 gap = (__s32)(now - since);

	return gap >= 0 && (__u32)gap > ticks;
}

/* Without a daemon what it does is done on the way of packets. */
static __always_inline bool daemon_is_silent(__u32 now)
{
	const struct xdplb_settings *set = settings_get();

	return set && tick_passed(now, READ_ONCE(set->heartbeat_tick), HEARTBEAT_STALE_TICKS);
}

static __always_inline __u32 flow_last_seen(const struct xdplb_flow *flow)
{
	__u32 in = READ_ONCE(flow->half[XDPLB_TO_BACKEND].seen_tick);
	__u32 out = READ_ONCE(flow->half[XDPLB_TO_CLIENT].seen_tick);

	return (__s32)(in - out) > 0 ? in : out;
}

/* Both sides have said all they had to say, though not all of it was acknowledged. */
static __always_inline bool flow_ending(const struct xdplb_flow *flow)
{
	const __u32 both = XDPLB_END_FIN | XDPLB_END_FIN << 2;

	return (READ_ONCE(flow->half[XDPLB_TO_CLIENT].state) & both) == both;
}

/* Timeouts, RFC 5382 REQ-5 and RFC 4787 REQ-5 for the defaults. */
static __always_inline bool flow_expired(const struct xdplb_flow *flow, __u32 state, __u32 now)
{
	const struct xdplb_half *half = &flow->half[XDPLB_TO_BACKEND];
	const struct xdplb_settings *set = settings_get();
	__u32 limit = half->idle_ticks;

	if (!set)
		return false;
	if (state == XDPLB_FLOW_CLOSED || (state == XDPLB_FLOW_ESTABLISHED && flow_ending(flow)))
		limit = set->closing_ticks;
	else if (state != XDPLB_FLOW_ESTABLISHED && half->proto == IPPROTO_TCP)
		limit = set->syn_ticks;
	return tick_passed(now, flow_last_seen(flow), limit);
}

/* ---- rows: claim, publish, take apart */

static __always_inline bool flow_claim(struct xdplb_flow *flow, __u32 state)
{
	__u32 *word = &flow->half[XDPLB_TO_BACKEND].state;

	return __sync_val_compare_and_swap(word, state, XDPLB_FLOW_CLAIMED) == state;
}

static __always_inline void flow_set_state(struct xdplb_flow *flow, __u32 state)
{
	barrier();
	WRITE_ONCE(flow->half[XDPLB_TO_BACKEND].state, state);
}

/* Claims the row if it still holds the flow with @life; it may be another's by now. */
static __always_inline bool flow_claim_own(struct xdplb_flow *flow, __u32 state, __u32 life)
{
	if (!flow_claim(flow, state))
		return false;
	if (READ_ONCE(flow->half[XDPLB_TO_BACKEND].life) == life)
		return true;
	flow_set_state(flow, state);
	return false;
}

static __always_inline void life_step(struct xdplb_half *half, __u32 odd)
{
	if ((half->life & 1) != odd)
		__sync_fetch_and_add(&half->life, 1);
	barrier();
}

/* From here on readers of this row look elsewhere. */
static __always_inline void flow_life_end(struct xdplb_flow *flow)
{
	life_step(&flow->half[XDPLB_TO_BACKEND], 1);
	life_step(&flow->half[XDPLB_TO_CLIENT], 1);
}

static __always_inline void flow_life_begin(struct xdplb_flow *flow)
{
	barrier();
	life_step(&flow->half[XDPLB_TO_BACKEND], 0);
	life_step(&flow->half[XDPLB_TO_CLIENT], 0);
}

static __always_inline __u64 half_hash(const struct xdplb_half *half)
{
	const struct xdplb_settings *set = settings_get();
	struct xdplb_tuple tuple;

	if (!set)
		return 0;
	half_tuple(half, &tuple);
	return xdplb_flow_hash(set->index_key, &tuple);
}

static __always_inline __u64 slot_make(__u64 hash, __u64 table, __u32 dir, __u32 row)
{
	return index_fingerprint(hash) | table | (dir ? XDPLB_SLOT_DIR : 0) | row;
}

/* Counts a flow of which the backend was chosen, or its end. */
static __always_inline void flow_account(__u32 ids, bool begin)
{
	__u32 backend = XDPLB_IDS_BACKEND(ids), service = XDPLB_IDS_SERVICE(ids);
	struct xdplb_backend_state *state = bpf_map_lookup_elem(&backend_state, &backend);
	struct xdplb_stats *of_backend = bpf_map_lookup_elem(&backend_stats, &backend);
	struct xdplb_stats *of_service = bpf_map_lookup_elem(&service_stats, &service);

	if (state)
		__sync_fetch_and_add(&state->active, begin ? 1 : -1);
	if (of_backend && of_service) {
		if (begin) {
			of_backend->connections++;
			of_service->connections++;
		} else {
			of_backend->ended++;
			of_service->ended++;
		}
	}
}

static __always_inline void port_release(__u32 ids)
{
	__u32 backend = XDPLB_IDS_BACKEND(ids);
	struct xdplb_backend_state *state = bpf_map_lookup_elem(&backend_state, &backend);

	if (state)
		__sync_fetch_and_add(&state->ports_used, -1);
}

/*
 * Takes the flow of the claimed row at @place apart: both index slots, port,
 * and, if @counted, its place in active_flows. The row stays claimed, without life.
 */
__noinline int flow_dismantle(__u64 place, bool counted)
{
	__u64 table = place & XDPLB_SLOT_EMBRYO;
	__u32 row = slot_row(place);
	struct xdplb_flow *flow = flow_at(place);
	__u32 ids;

	if (!flow)
		return 0;
	ids = flow->half[XDPLB_TO_BACKEND].ids;
	for (__u32 dir = 0; dir < XDPLB_DIRS; dir++) {
		__u64 hash = half_hash(&flow->half[dir]);

		index_replace(hash, slot_make(hash, table, dir, row), 0);
	}
	flow_life_end(flow);
	if (counted)
		flow_account(ids, false);
	port_release(ids);
	return 0;
}

/* ---- embryos: a ring, the newest takes the place of the oldest */

static __always_inline void embryo_release(struct xdplb_flow *flow)
{
	struct xdplb_gauges *gauge = gauges_get();

	if (gauge)
		__sync_fetch_and_add(&gauge->embryos_used, -1);
	flow_set_state(flow, XDPLB_FLOW_FREE);
}

/* A claimed row of the ring, NO_ROW if other CPUs hold all we tried. */
__noinline __u32 embryo_alloc(void)
{
	struct xdplb_gauges *gauge = gauges_get();

	if (!gauge)
		return NO_ROW;
	for (int i = 0; i < EMBRYO_TRIES; i++) {
		__u32 row = __sync_fetch_and_add(&gauge->embryo_head, 1) & embryo_mask;
		struct xdplb_flow *flow = bpf_map_lookup_elem(&embryos, &row);
		__u32 state;

		if (!flow)
			return NO_ROW;
		state = READ_ONCE(flow->half[XDPLB_TO_BACKEND].state);
		if (state == XDPLB_FLOW_CLAIMED || !flow_claim(flow, state))
			continue;
		if (state == XDPLB_FLOW_FREE) {
			__sync_fetch_and_add(&gauge->embryos_used, 1);
			return row;
		}
		event_count(state == XDPLB_FLOW_CLOSED ? XDPLB_EVENT_EVICTED_CLOSED :
							 XDPLB_EVENT_EVICTED_EMBRYO);
		flow_dismantle(XDPLB_SLOT_EMBRYO | row, state != XDPLB_FLOW_CLOSED);
		return row;
	}
	return NO_ROW;
}

/* ---- established flows: rows never used, then a queue of those that are free again */

static __always_inline __u32 flows_pop(struct xdplb_gauges *gauge)
{
	__u32 row;

	if (READ_ONCE(gauge->flows_touched) < flows_max) {
		row = __sync_fetch_and_add(&gauge->flows_touched, 1);
		if (row < flows_max)
			return row;
		__sync_fetch_and_add(&gauge->flows_touched, -1);
	}
	return bpf_map_pop_elem(&flow_free, &row) ? NO_ROW : row;
}

__noinline __u32 flows_alloc(bool udp)
{
	struct xdplb_gauges *gauge = gauges_get();
	__u32 row;

	if (!gauge)
		return NO_ROW;
	if (udp && __sync_fetch_and_add(&gauge->flows_udp, 1) >= flows_max / 2) {
		__sync_fetch_and_add(&gauge->flows_udp, -1);
		return NO_ROW;
	}
	if (__sync_fetch_and_add(&gauge->flows_used, 1) < flows_max) {
		row = flows_pop(gauge);
		if (row != NO_ROW)
			return row;
	}
	__sync_fetch_and_add(&gauge->flows_used, -1);
	if (udp)
		__sync_fetch_and_add(&gauge->flows_udp, -1);
	return NO_ROW;
}

static __always_inline void flows_release(struct xdplb_flow *flow, __u32 row)
{
	struct xdplb_gauges *gauge = gauges_get();
	bool udp = flow->half[XDPLB_TO_BACKEND].proto == IPPROTO_UDP;

	flow_set_state(flow, XDPLB_FLOW_FREE);
	bpf_map_push_elem(&flow_free, &row, 0);
	if (!gauge)
		return;
	if (udp)
		__sync_fetch_and_add(&gauge->flows_udp, -1);
	__sync_fetch_and_add(&gauge->flows_used, -1);
}

static __always_inline void row_release(struct xdplb_flow *flow, __u64 place)
{
	if (place & XDPLB_SLOT_EMBRYO)
		embryo_release(flow);
	else
		flows_release(flow, slot_row(place));
}

/* Ends the flow with @life in @state altogether. False: another CPU has it. */
__noinline bool flow_remove(__u64 place, __u32 state, __u32 life)
{
	struct xdplb_flow *flow = flow_at(place);

	if (!flow || !flow_claim_own(flow, state, life))
		return false;
	flow_dismantle(place, state != XDPLB_FLOW_CLOSED);
	row_release(flow, place);
	return true;
}

/* ---- moving between the arrays */

static __always_inline void half_copy(struct xdplb_half *to, const struct xdplb_half *from)
{
	/* all but life */
	__builtin_memcpy((char *)to + sizeof(to->life), (const char *)from + sizeof(from->life),
			 sizeof(*to) - sizeof(to->life));
}

/* Copies a flow into a claimed row of the other array and exchanges its index slots. */
static __always_inline void flow_copy(struct xdplb_flow *from, __u64 from_place,
				      struct xdplb_flow *to, __u64 to_place, __u8 flags)
{
	flow_life_end(to);
	for (int dir = 0; dir < XDPLB_DIRS; dir++) {
		half_copy(&to->half[dir], &from->half[dir]);
		to->half[dir].flags = flags;
	}
	to->splice = from->splice;
	flow_life_begin(to);
	for (__u32 dir = 0; dir < XDPLB_DIRS; dir++) {
		__u64 hash = half_hash(&from->half[dir]);

		hint_bucket(to, dir, hash);
		index_replace(
			hash,
			slot_make(hash, from_place & XDPLB_SLOT_EMBRYO, dir, slot_row(from_place)),
			slot_make(hash, to_place & XDPLB_SLOT_EMBRYO, dir, slot_row(to_place)));
	}
}

enum flow_moved {
	FLOW_MOVED,
	FLOW_HELD, /* another CPU has it: go on with what is there */
	FLOW_NO_ROOM
};

/* An embryo (or closed flow) in @state becomes an established flow; p->slot follows. */
static __noinline enum flow_moved flow_promote(struct packet *p, __u32 state)
{
	struct xdplb_flow *from = flow_at(p->slot), *to;
	__u64 place = p->slot;
	__u32 row;

	if (!from || !flow_claim_own(from, state, p->life))
		return FLOW_HELD;
	row = flows_alloc(from->half[XDPLB_TO_BACKEND].proto == IPPROTO_UDP);
	to = row == NO_ROW ? NULL : bpf_map_lookup_elem(&flows, &row);
	if (!to) {
		flow_set_state(from, state);
		return FLOW_NO_ROOM;
	}
	from->half[XDPLB_TO_CLIENT].state = 0; /* no end is in sight */
	/* The copy carries state CLAIMED, so nobody else moves it before we are done. */
	flow_copy(from, place, to, row, from->half[XDPLB_TO_BACKEND].flags & HALF_LASTS);
	embryo_release(from);
	flow_set_state(to, XDPLB_FLOW_ESTABLISHED);
	if (state == XDPLB_FLOW_CLOSED)
		flow_account(to->half[XDPLB_TO_BACKEND].ids, true);
	packet_follow(p, to, slot_make(p->hash, 0, slot_dir(place), row));
	return FLOW_MOVED;
}

/* An established flow ends: it rests among the embryos, its port with it. */
static __noinline enum flow_moved flow_retire(struct packet *p)
{
	struct xdplb_flow *from = flow_at(p->slot), *to;
	__u64 place = p->slot;
	__u32 row;

	if (!from || !flow_claim_own(from, XDPLB_FLOW_ESTABLISHED, p->life))
		return FLOW_HELD;
	row = embryo_alloc();
	to = row == NO_ROW ? NULL : bpf_map_lookup_elem(&embryos, &row);
	if (!to) {
		flow_set_state(from, XDPLB_FLOW_ESTABLISHED);
		return FLOW_NO_ROOM;
	}
	flow_copy(from, place, to, XDPLB_SLOT_EMBRYO | row,
		  from->half[XDPLB_TO_BACKEND].flags | XDPLB_HALF_TRACK);
	flow_account(to->half[XDPLB_TO_BACKEND].ids, false);
	row_release(from, place);
	flow_set_state(to, XDPLB_FLOW_CLOSED);
	packet_follow(p, to, slot_make(p->hash, XDPLB_SLOT_EMBRYO, slot_dir(place), row));
	return FLOW_MOVED;
}

#endif /* XDPLB_BPF_FLOW_H */
