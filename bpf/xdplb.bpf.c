// SPDX-License-Identifier: GPL-2.0-only
/*
 * The XDP fast path: parse -> flow lookup -> (miss: service, backend, new
 * flow) -> rewrite -> send. Each step fills in what the next one needs or
 * names the outcome; finish() alone counts it and turns it into an action.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "flow.h"
#include "flow_age.h"
#include "flow_move.h"
#include "open.h"
#include "track.h"
#include "forward.h"
#include "splice.h"
#include "answer.h"
#include "sniff.h"
#include "icmp.h"

#define SEEN_GRAIN_TICKS 64 /* last use is written this rarely */

char _license[] SEC("license") = "GPL";

/* Frames say how long they are, and so do IP headers: the shorter one is believed. */
static __always_inline bool length_lies(struct xdp_md *ctx, const struct packet *p)
{
	__u32 need = p->pkt.ip_len + ETH_HLEN;

	if (need <= ctx->data_end - ctx->data)
		return false;
	return need > bpf_xdp_get_buff_len(ctx);
}

/* A plain packet of an established flow takes note of itself and goes on; false: it is more than that. */
static __always_inline bool flow_note(const struct packet *p, struct xdplb_half *half)
{
	__u32 idle = p->now - READ_ONCE(half->seen_tick);

	if (half->flags & (XDPLB_HALF_TRACK | XDPLB_HALF_QUIC) || idle >= LOOK_AFTER_TICKS ||
	    p->pkt.tcp_flags & (XDPLB_TCP_SYN | XDPLB_TCP_FIN | XDPLB_TCP_RST))
		return false;
	if (idle >= SEEN_GRAIN_TICKS)
		WRITE_ONCE(half->seen_tick, p->now);
	if (p->pkt.has_data && (__s32)(p->pkt.seq_end - half->seq_end) > 0)
		half->seq_end = p->pkt.seq_end;
	return true;
}

/* Finds the flow of @p, or opens one: XDPLB_CONTINUE with p->slot set, or what became of it. */
static __always_inline enum xdplb_outcome flow_route(struct xdp_md *ctx, struct packet *p)
{
	struct xdplb_half *half = flow_find(p);

	if (moving && !half) {
		if (flow_bring(p) == MOVE_UNDER_WAY)
			return XDPLB_DROP_BUSY;
		half = flow_find(p);
	}
	if (!half)
		return flow_open(p);
	if (xdplb_pkt_ttl(&p->pkt) <= 1)
		return XDPLB_DROP_TTL_EXPIRED;
	if (flow_note(p, half))
		return XDPLB_CONTINUE;
	if (sniff_wants(p, half))
		return XDPLB_SNIFF;
	if (half->flags & XDPLB_HALF_QUIC && slot_dir(p->slot) == XDPLB_TO_CLIENT)
		quic_look(ctx, p, half);
	switch (flow_track(p)) {
	case TRACK_ON:
		return XDPLB_CONTINUE;
	case TRACK_FULL:
		return XDPLB_RESET_TABLE_FULL;
	default:
		return flow_open(p);
	}
}

static __always_inline enum xdplb_outcome process(struct xdp_md *ctx)
{
	const struct xdplb_settings *set = settings_get();
	enum xdplb_outcome out;
	struct packet p;

	out = xdplb_pkt_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p.pkt);
	if (out == XDPLB_PASS_NOT_L4)
		bpf_tail_call(ctx, &programs, PROGRAM_ICMP);
	if (out)
		return out;
	if (length_lies(ctx, &p))
		return XDPLB_PASS_TRUNCATED;
	if (!set)
		return XDPLB_PASS_NOT_OURS;
	p.now = tick_now();
	p.ifindex = ctx->ingress_ifindex;
	p.command = NULL;
	p.hash = xdplb_flow_hash(set->index_key, &p.pkt.tuple);
	out = flow_route(ctx, &p);
	if (out)
		return answer(ctx, &p, out);
	return flow_forward(ctx, &p);
}

/* The one exit: count the outcome and turn it into an XDP action. */
static __always_inline int finish(enum xdplb_outcome out)
{
	__u32 row = out;
	__u64 *count = bpf_map_lookup_elem(&outcomes, &row);

	if (count)
		(*count)++; /* per CPU: no atomics needed */
	switch (out) {
#define X(name, action, help) \
	case XDPLB_##name:    \
		return action;
		XDPLB_OUTCOMES(X)
#undef X
	case XDPLB_OUTCOME_MAX:
		break;
	}
	return XDP_ABORTED;
}

SEC("xdp.frags")
int xdplb(struct xdp_md *ctx)
{
	enum xdplb_outcome out = process(ctx);

	if (out == XDPLB_SNIFF) {
		bpf_tail_call(ctx, &programs, PROGRAM_SNIFF);
		out = XDPLB_DROP_NO_WORKER;
	}
	return finish(out);
}

/* Called by `xdplb` alone, for packets of sniffed services that are no flow's yet. */
SEC("xdp.frags")
int sniff(struct xdp_md *ctx)
{
	return finish(sniff_process(ctx));
}

/* Called by `xdplb` alone, for what is neither TCP nor UDP: errors about flows may be among it. */
SEC("xdp.frags")
int icmp(struct xdp_md *ctx)
{
	return finish(icmp_process(ctx));
}

/*
 * Run by the daemon now and then, not on packets: forgets expired flows among
 * the next rows; how many says the first word of the data.
 */
SEC("xdp")
int sweep(struct xdp_md *ctx)
{
	const __u32 *rows = (void *)(long)ctx->data;
	__u32 now = tick_now(), count;

	if ((void *)(rows + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	count = *rows;
	flows_sweep(count, now);
	embryos_sweep(count, now);
	return XDP_PASS;
}

/* Run by the daemon while flows are taken over: the data says from which row on, and how many. */
SEC("xdp")
int move(struct xdp_md *ctx)
{
	const struct {
		__u64 first;
		__u32 count;
	} *rows = (void *)(long)ctx->data;

	if ((void *)(rows + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	flows_move(rows->first, rows->count);
	return XDP_PASS;
}

/* Run by the workers: what they ask of the flow tables. The answer stands in the data. */
SEC("xdp")
int splice(struct xdp_md *ctx)
{
	return command_take(ctx) ? XDP_PASS : XDP_ABORTED;
}

/*
 * Run by the daemon now and then: forgets sniffed connections that began longer
 * ago than any may take. The data is struct sniffs_walk; ->left says how many stay.
 */
SEC("xdp")
int sweep_sniffs(struct xdp_md *ctx)
{
	struct sniffs_walk *data = (void *)(long)ctx->data, walk;

	if ((void *)(data + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	walk = (struct sniffs_walk){ .max_age = data->max_age, .now = tick_now() };
	bpf_for_each_map_elem(&sniffs, sniffs_walk_step, &walk, 0);
	data->left = walk.left;
	return XDP_PASS;
}

/* Run by the worker now and then: whose SYN-ACK is to be sent once more. The data is struct xdplb_handshakes_due. */
SEC("xdp")
int handshakes_due(struct xdp_md *ctx)
{
	return handshakes_give(ctx) ? XDP_PASS : XDP_ABORTED;
}
