/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_SPLICE_H
#define XDPLB_BPF_SPLICE_H

/*
 * What the workers ask of the flow tables: the steps of the program `splice`,
 * which is run on commands, not on packets (struct xdplb_command). A worker
 * holds no map: what it may do to them is what stands here. Commands are
 * believed to be well-meant, but not to be right: a flow is named by its slot
 * and life, and who comes too late is told so.
 */
#include "open.h"
#include "send.h"
#include "sniff.h"

#define DETOUR_STEPS 4096 /* through a table, past backends that failed */
#define NO_WSCALE 15 /* and above: no window scale (RFC 7323, 2.3: at most 14) */
#define NONSENSE XDPLB_OUTCOME_MAX /* the command's: nothing was changed */

/* ---- what is counted */

static __noinline int sniffed_count(__u32 service, __u32 protocol)
{
	const struct xdplb_sniffed_key key = { .service = service, .protocol = protocol };
	__u64 *count = bpf_map_lookup_elem(&sniffed, &key), none = 0;

	if (!count) {
		bpf_map_update_elem(&sniffed, &key, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&sniffed, &key);
	}
	if (count)
		(*count)++;
	return 0;
}

static __always_inline void traffic_add(struct xdplb_stats *stats,
					const struct xdplb_command *command)
{
	if (!stats)
		return;
	for (int dir = 0; dir < XDPLB_DIRS; dir++) {
		stats->packets[dir] += command->packets[dir];
		stats->bytes[dir] += command->bytes[dir];
	}
}

static __always_inline void command_traffic(const struct xdplb_command *command)
{
	__u32 service = command->service, backend = command->backend;

	traffic_add(bpf_map_lookup_elem(&service_stats, &service), command);
	if (backend)
		traffic_add(bpf_map_lookup_elem(&backend_stats, &backend), command);
	if (command->protocol < XDPLB_PROTOCOL_MAX)
		sniffed_count(service, command->protocol);
}

/* ---- OPEN: another backend than those that failed */

struct detour {
	__u32 avoid[XDPLB_COMMAND_AVOID];
	__u32 row, slots, start; /* of the table, and where the look begins */
	__u32 backend;
	__u64 load;
	bool least; /* look at all */
};

static __always_inline bool backend_avoided(const __u32 avoid[XDPLB_COMMAND_AVOID], __u32 backend)
{
	for (int i = 0; i < XDPLB_COMMAND_AVOID; i++)
		if (avoid[i] == backend)
			return true;
	return false;
}

static long detour_look(__u32 index, void *arg)
{
	struct detour *detour = arg;
	void *table = bpf_map_lookup_elem(&tables, &detour->row);
	__u32 backend = 0;
	__u64 load;

	if (!table)
		return 1;
	load = slot_load(table, (detour->start + index) % detour->slots, &backend);
	if (!backend || backend_avoided(detour->avoid, backend) || load >= detour->load)
		return 0;
	detour->load = load;
	detour->backend = backend;
	return !detour->least;
}

/*
 * The pool's choice for the client of @tuple, or, where that one is to be
 * avoided, the next in the table; of few by least-conn the least loaded.
 */
static __noinline __u32 backend_select_but(const struct xdplb_command *command,
					   const struct xdplb_tuple *tuple)
{
	struct detour detour = { .load = ~0ULL };
	__u32 pool_id = command->pool;
	const struct xdplb_pool *pool = bpf_map_lookup_elem(&pools, &pool_id);
	__u32 backend = backend_select(pool_id, tuple), steps;

	for (int i = 0; i < XDPLB_COMMAND_AVOID; i++)
		detour.avoid[i] = command->avoid[i];
	if (!backend || !backend_avoided(detour.avoid, backend))
		return backend;
	detour.row = pool_id * XDPLB_FAMILIES + (tuple->v6 ? XDPLB_V6 : XDPLB_V4);
	detour.slots = pool ? pool->slots[tuple->v6 ? XDPLB_V6 : XDPLB_V4] : 0;
	if (!pool || !detour.slots)
		return 0;
	detour.least = pool->balance == XDPLB_LEAST_CONN && detour.slots <= XDPLB_LEAST_CONN_EXACT;
	detour.start = pool->balance == XDPLB_LEAST_CONN ?
			       bpf_get_prandom_u32() % detour.slots :
			       slot_choose(pool, detour.row, detour.slots, tuple);
	steps = detour.slots < DETOUR_STEPS ? detour.slots : DETOUR_STEPS;
	bpf_loop(steps, detour_look, &detour, 0);
	return detour.backend;
}

/* What the worker must know to send to either side. */
static __noinline enum xdplb_outcome open_answer(const struct packet *p,
						 struct xdplb_command *command)
{
	struct xdplb_flow *flow = flow_at(p->slot);
	struct xdplb_backend *backend;
	__u32 id;

	if (!flow)
		return XDPLB_DROP_BUSY;
	if (p->pkt.tuple.proto == IPPROTO_TCP &&
	    (!(flow->half[XDPLB_TO_BACKEND].flags & XDPLB_HALF_WORKER) ||
	     flow->splice.worker != command->worker || flow->splice.conn != command->conn))
		return XDPLB_DROP_BUSY; /* there is a flow with this key, of another connection */
	id = XDPLB_IDS_BACKEND(flow->half[XDPLB_TO_BACKEND].ids);
	backend = bpf_map_lookup_elem(&backends, &id);
	if (!backend)
		return XDPLB_DROP_BUSY;
	command->backend = id;
	command->slot = p->slot;
	command->life = p->life;
	command->nexthop = backend->nexthop;
	command->half[XDPLB_TO_BACKEND] = flow->half[XDPLB_TO_BACKEND];
	command->half[XDPLB_TO_CLIENT] = flow->half[XDPLB_TO_CLIENT];
	if (p->pkt.tuple.proto == IPPROTO_UDP && command->protocol < XDPLB_PROTOCOL_MAX)
		sniffed_count(command->service, command->protocol);
	return XDPLB_CONTINUE;
}

/* ---- SPLICE, CLOSE */

/* Of the client's half: so OPEN answers. */
static __always_inline bool slot_is_embryo(__u64 slot)
{
	return slot & XDPLB_SLOT_EMBRYO && !(slot & XDPLB_SLOT_DIR);
}

/* Claims the embryo that @command names: what its state was, or XDPLB_FLOW_FREE: it is not the one. */
static __noinline __u32 pending_claim(const struct xdplb_command *command)
{
	struct xdplb_flow *flow = flow_at(command->slot);
	const struct xdplb_half *half;
	__u32 state;

	if (!flow)
		return XDPLB_FLOW_FREE;
	half = &flow->half[XDPLB_TO_BACKEND];
	state = READ_ONCE(half->state);
	if ((state != XDPLB_FLOW_UNANSWERED && state != XDPLB_FLOW_ANSWERED) ||
	    !flow_claim_own(flow, state, command->life))
		return XDPLB_FLOW_FREE;
	/* in another table, after the flows have moved, a life may be the same by chance */
	if (half->flags & XDPLB_HALF_WORKER &&
	    index_same_fingerprint(command->slot, half_hash(half)))
		return state;
	flow_set_state(flow, state);
	return XDPLB_FLOW_FREE;
}

/*
 * RFC 7323, 2.2: scaling is in force only where both SYNs had the option. The
 * client scales by what we promised; a backend without the option sends its
 * windows as they are, and takes the client's as they are (splice.scale).
 */
static __always_inline __s8 windows_shift(const struct xdplb_command *command)
{
	__u8 theirs = command->backend_wscale, ours = command->our_wscale;

	if (ours >= NO_WSCALE)
		return 0;
	return (__s8)((theirs >= NO_WSCALE ? 0 : theirs) - ours);
}

/* What @flow becomes: nobody finds it yet. */
static __always_inline void splice_fill(struct xdplb_flow *flow,
					const struct xdplb_command *command, __u32 now)
{
	struct xdplb_half *in = &flow->half[XDPLB_TO_BACKEND], *out = &flow->half[XDPLB_TO_CLIENT];
	__u32 ends = 0;
	__u8 flags;

	in->seq_end = command->client_seq_end;
	out->seq_end = command->backend_seq_end;
	out->mark = command->backend_isn + 1;
	if (command->flags & XDPLB_COMMAND_CLIENT_FIN) {
		ends |= XDPLB_END_FIN << XDPLB_TO_BACKEND * 2;
		in->mark = in->seq_end;
	}
	if (command->flags & XDPLB_COMMAND_BACKEND_FIN) {
		ends |= XDPLB_END_FIN << XDPLB_TO_CLIENT * 2;
		out->mark = out->seq_end;
	}
	flags = (in->flags & (XDPLB_HALF_V6 | XDPLB_HALF_SNIFFED)) | XDPLB_HALF_SPLICED |
		(ends ? XDPLB_HALF_TRACK : 0);
	out->state = ends;
	in->flags = out->flags = flags;
	in->seen_tick = out->seen_tick = now;
	flow->splice.delta = command->backend_isn - command->isn;
	flow->splice.shift = windows_shift(command);
	flow->splice.scale = command->client_scale;
	flow->splice.protocol = (__u8)command->protocol;
	flow->splice.name_len = command->name_len > 255 ? 255 : (__u8)command->name_len;
	__builtin_memcpy(flow->splice.name, command->name, sizeof(command->name));
}

/*
 * From the row at @place to a row of flows. The reply key changes over first:
 * what the client's next packet calls forth must be translated already.
 */
static __always_inline enum xdplb_outcome flow_splice(const struct xdplb_command *command,
						      __u32 now)
{
	__u64 hash, place = command->slot;
	struct xdplb_flow *from, *to;
	__u32 row, state;

	from = flow_at(place);
	state = pending_claim(command);
	if (!from || state == XDPLB_FLOW_FREE)
		return XDPLB_DROP_BUSY;
	row = flows_full(now) ? NO_ROW : flows_alloc(false);
	to = row == NO_ROW ? NULL : bpf_map_lookup_elem(&flows, &row);
	if (!to) {
		flow_set_state(from, state);
		return XDPLB_RESET_TABLE_FULL;
	}
	flow_life_end(to);
	half_copy(&to->half[XDPLB_TO_BACKEND], &from->half[XDPLB_TO_BACKEND]);
	half_copy(&to->half[XDPLB_TO_CLIENT], &from->half[XDPLB_TO_CLIENT]);
	splice_fill(to, command, now);
	flow_life_begin(to);
	hash = half_hash(&to->half[XDPLB_TO_CLIENT]);
	index_replace(hash, slot_make(hash, XDPLB_SLOT_EMBRYO, XDPLB_TO_CLIENT, slot_row(place)),
		      slot_make(hash, 0, XDPLB_TO_CLIENT, row));
	hash = half_hash(&to->half[XDPLB_TO_BACKEND]);
	index_replace(hash, slot_make(hash, XDPLB_SLOT_EMBRYO, XDPLB_TO_BACKEND, slot_row(place)),
		      slot_make(hash, 0, XDPLB_TO_BACKEND, row));
	embryo_release(from);
	flow_set_state(to, XDPLB_FLOW_ESTABLISHED);
	event_count(XDPLB_EVENT_PROMOTED);
	event_count(XDPLB_EVENT_SPLICED);
	return XDPLB_CONTINUE;
}

/* What our SYN-ACKs may promise from now on: no more than any backend that was met. */
static __noinline int offer_learn(const struct xdplb_command *command, bool v6)
{
	__u32 row = command->service;
	struct xdplb_offer *offer = bpf_map_lookup_elem(&sniff_offers, &row);
	__u8 wscale = command->backend_wscale, sack = !!(command->flags & XDPLB_COMMAND_SACK);
	__u8 family = v6 ? 1 << XDPLB_V6 : 1 << XDPLB_V4;
	__u16 mss = command->backend_mss, *least;

	if (!offer)
		return 0;
	least = v6 ? &offer->mss[XDPLB_V6] : &offer->mss[XDPLB_V4];
	if (wscale > NO_WSCALE)
		wscale = NO_WSCALE;
	if (!mss)
		mss = v6 ? 1220 : 536; /* RFC 9293, 3.7.1: where none is said */
	if (!(offer->known & family) || mss < *least)
		*least = mss;
	if (!offer->known) {
		offer->wscale = wscale;
		offer->sack = sack;
	} else if (offer->wscale != NO_WSCALE && (wscale == NO_WSCALE || wscale < offer->wscale)) {
		offer->wscale = wscale;
	}
	if (!sack)
		offer->sack = 0;
	if (!(offer->known & family))
		offer->known |= family;
	return 0;
}

/* The connection of @isn is no longer one without a backend; a later one of the client's is. */
static __noinline int sniff_forget(const struct xdplb_tuple *tuple, __u32 isn)
{
	const struct xdplb_sniff *sniff;
	struct xdplb_sniff_key key;

	sniff_key(&key, tuple);
	sniff = bpf_map_lookup_elem(&sniffs, &key);
	if (sniff && sniff->isn == isn)
		bpf_map_delete_elem(&sniffs, &key);
	return 0;
}

/* ---- the commands: OPEN here, the others on stacks of their own; 8 frames and 512 bytes are few */

/* p->service and p->backend, and that the way there is known. */
static __noinline enum xdplb_outcome open_choose(struct xdp_md *ctx, struct packet *p,
						 struct xdplb_command *command)
{
	const struct xdplb_backend *backend;
	enum xdplb_outcome out = opening_check(p);

	if (out)
		return out;
	p->service = command->service;
	p->backend = backend_select_but(command, &p->pkt.tuple);
	if (!p->backend)
		return no_backend(p);
	nexthop_refresh(ctx, p);
	backend = bpf_map_lookup_elem(&backends, &p->backend);
	if (!backend || !(backend->flags & XDPLB_BACKEND_RESOLVED))
		return XDPLB_DROP_UNRESOLVED;
	if (daemon_is_silent(p->now)) {
		flows_sweep(SWEEP_PER_FLOW, p->now);
		embryos_sweep(SWEEP_PER_FLOW, p->now);
	}
	return XDPLB_CONTINUE;
}

static __always_inline enum xdplb_outcome command_open(struct xdp_md *ctx,
						       struct xdplb_command *command)
{
	const struct xdplb_settings *set = settings_get();
	enum xdplb_outcome out;
	struct packet p;

	if (!set || xdplb_pkt_parse(command + 1, (void *)(long)ctx->data_end, &p.pkt))
		return NONSENSE;
	p.now = tick_now();
	p.ifindex = command->ifindex;
	p.hash = xdplb_flow_hash(set->index_key, &p.pkt.tuple);
	p.command = command;
	out = open_choose(ctx, &p, command);
	if (!out)
		out = flow_create(&p, command->idle_ticks,
				  command->flags & XDPLB_COMMAND_KEEP_ADDRESS);
	return out ? out : open_answer(&p, command);
}

static __noinline enum xdplb_outcome command_splice(const struct xdplb_command *command)
{
	struct xdplb_flow *flow = flow_at(command->slot);
	struct xdplb_tuple tuple;
	enum xdplb_outcome out;

	if (!slot_is_embryo(command->slot) || !flow)
		return NONSENSE;
	half_tuple(&flow->half[XDPLB_TO_BACKEND], &tuple); /* read now: then it is another's row */
	out = flow_splice(command, tick_now());
	if (out)
		return out;
	offer_learn(command, tuple.v6);
	sniff_forget(&tuple, command->isn);
	command_traffic(command);
	return XDPLB_CONTINUE;
}

static __noinline enum xdplb_outcome command_close(const struct xdplb_command *command)
{
	struct xdplb_flow *flow = flow_at(command->slot);

	if (!slot_is_embryo(command->slot) || !flow)
		return NONSENSE;
	if (pending_claim(command) == XDPLB_FLOW_FREE)
		return XDPLB_DROP_BUSY;
	flow_dismantle(command->slot, true);
	embryo_release(flow);
	return XDPLB_CONTINUE;
}

static __noinline enum xdplb_outcome command_forget(struct xdp_md *ctx,
						    struct xdplb_command *command)
{
	struct xdplb_pkt pkt;

	if (xdplb_pkt_parse(command + 1, (void *)(long)ctx->data_end, &pkt))
		return NONSENSE;
	sniff_forget(&pkt.tuple, command->isn);
	return XDPLB_CONTINUE;
}

static __always_inline enum xdplb_outcome command_run(struct xdp_md *ctx,
						      struct xdplb_command *command)
{
	if (command->service >= XDPLB_MAX_SERVICES || command->protocol > XDPLB_PROTOCOL_MAX ||
	    (command->event >= XDPLB_EVENT_MAX && command->event != XDPLB_NO_EVENT))
		return NONSENSE;
	switch (command->op) {
	case XDPLB_COMMAND_OPEN:
		return command_open(ctx, command);
	case XDPLB_COMMAND_SPLICE:
		return command_splice(command);
	case XDPLB_COMMAND_CLOSE:
		return command_close(command);
	case XDPLB_COMMAND_FORGET:
		return command_forget(ctx, command);
	case XDPLB_COMMAND_COUNT:
		command_traffic(command);
		return XDPLB_CONTINUE;
	default:
		return NONSENSE;
	}
}

/* Carries out the command in the data of @ctx and answers in it; false: it made no sense. */
static __always_inline bool command_take(struct xdp_md *ctx)
{
	struct xdplb_command *command = (void *)(long)ctx->data;
	enum xdplb_outcome out;

	if ((void *)(command + 1) > (void *)(long)ctx->data_end)
		return false;
	out = command_run(ctx, command);
	if (out == NONSENSE)
		return false;
	if (!out && command->event < XDPLB_EVENT_MAX)
		event_count(command->event);
	command->result = out;
	return true;
}

#endif /* XDPLB_BPF_SPLICE_H */
