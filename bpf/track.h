/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_TRACK_H
#define XDPLB_BPF_TRACK_H

/*
 * What a packet means for its flow: answered, established, ending, expired.
 * Plain packets of established flows never come here.
 */
#include "flow.h"

#define LOOK_AFTER_TICKS 1000 /* a flow silent for about a second is looked at */
#define UDP_ONE_WAY_PACKETS 3
#define UDP_ONE_WAY_TICKS 954 /* one second */

enum track {
	TRACK_ON, /* go on with p->slot */
	TRACK_ANEW, /* the flow is gone: the packet may open another */
	TRACK_FULL /* answered, but `flows` is full */
};

struct tracked {
	struct xdplb_flow *flow;
	struct xdplb_half *half, *other; /* of this direction and the opposite */
	__u32 state, dir;
};

static __always_inline bool tracked_get(struct tracked *t, __u64 slot)
{
	t->flow = flow_at(slot);
	if (!t->flow)
		return false;
	t->dir = slot_dir(slot);
	t->half = &t->flow->half[t->dir];
	t->other = &t->flow->half[!t->dir];
	t->state = READ_ONCE(t->flow->half[XDPLB_TO_BACKEND].state);
	return true;
}

static __always_inline bool backend_takes_flows(__u32 ids)
{
	__u32 id = XDPLB_IDS_BACKEND(ids);
	const struct xdplb_backend *backend = bpf_map_lookup_elem(&backends, &id);

	return backend && backend->flags & XDPLB_BACKEND_UP;
}

static __always_inline enum track flow_anew(struct packet *p, const struct tracked *t, __u32 event)
{
	if (!flow_remove(p->slot, t->state, p->life))
		return TRACK_ON;
	event_count(event);
	return TRACK_ANEW;
}

static __always_inline enum track flow_answered(struct packet *p, __u32 state)
{
	enum flow_moved moved = flow_promote(p, state);

	if (moved == FLOW_MOVED)
		event_count(XDPLB_EVENT_PROMOTED);
	return moved == FLOW_NO_ROOM ? TRACK_FULL : TRACK_ON;
}

/* RFC 4787 knows no states: a flow is answered, or goes on for more than a moment. */
static __always_inline enum track udp_track(struct packet *p, const struct tracked *t)
{
	if (t->state != XDPLB_FLOW_UNANSWERED)
		return TRACK_ON;
	if (t->dir == XDPLB_TO_BACKEND) {
		if (!backend_takes_flows(t->half->ids))
			return flow_anew(p, t, XDPLB_EVENT_RESELECTED);
		t->half->seq_end++;
		if (t->half->seq_end < UDP_ONE_WAY_PACKETS ||
		    !tick_passed(p->now, t->half->born_tick, UDP_ONE_WAY_TICKS))
			return TRACK_ON;
	}
	if (flow_answered(p, t->state) == TRACK_FULL)
		event_count(XDPLB_EVENT_UDP_SHARE_FULL); /* it goes on as an embryo */
	return TRACK_ON;
}

/* An embryo that was refused or given up: its place rests, it no longer counts. */
static __always_inline void embryo_close(const struct packet *p, const struct tracked *t)
{
	if (!flow_claim_own(t->flow, t->state, p->life))
		return;
	/* not XDPLB_END_RESET: what was never established is not brought back by data */
	t->flow->half[XDPLB_TO_CLIENT].state = 0;
	flow_account(t->half->ids, false);
	flow_set_state(t->flow, XDPLB_FLOW_CLOSED);
}

static __always_inline bool seq_between(__u32 low, __u32 seq, __u32 high)
{
	return (__s32)(seq - low) >= 0 && (__s32)(high - seq) >= 0;
}

/* RFC 9293, 3.5: the three-way handshake, as seen from the middle; client's packets. */
static __always_inline enum track embryo_from_client(struct packet *p, const struct tracked *t,
						     __u32 seq, __u32 ack)
{
	__u8 flags = p->pkt.tcp_flags;

	if (flags & XDPLB_TCP_RST) {
		if (seq == t->half->mark)
			embryo_close(p, t);
		return TRACK_ON;
	}
	if (flags & XDPLB_TCP_SYN) {
		if (t->state != XDPLB_FLOW_UNANSWERED)
			return TRACK_ON;
		if (!backend_takes_flows(t->half->ids))
			return flow_anew(p, t, XDPLB_EVENT_RESELECTED);
		if (t->half->mark != seq + 1) { /* another attempt */
			t->half->mark = seq + 1;
			t->half->seq_end = p->pkt.seq_end;
		}
		return TRACK_ON;
	}
	if (t->state == XDPLB_FLOW_ANSWERED && flags & XDPLB_TCP_ACK &&
	    seq_between(t->other->mark, ack, t->other->seq_end))
		return flow_answered(p, t->state);
	return TRACK_ON;
}

static __always_inline void embryo_from_backend(const struct packet *p, const struct tracked *t,
						__u32 seq, __u32 ack)
{
	__u8 flags = p->pkt.tcp_flags;

	if (!(flags & XDPLB_TCP_ACK) || !seq_between(t->other->mark, ack, t->other->seq_end))
		return; /* not about this attempt */
	if (flags & XDPLB_TCP_RST) {
		embryo_close(p, t);
	} else if (flags & XDPLB_TCP_SYN) {
		t->half->mark = seq + 1;
		t->half->seq_end = p->pkt.seq_end;
		if (t->state == XDPLB_FLOW_UNANSWERED)
			__sync_val_compare_and_swap(&t->flow->half[XDPLB_TO_BACKEND].state,
						    XDPLB_FLOW_UNANSWERED, XDPLB_FLOW_ANSWERED);
	} else if (p->pkt.has_data && (__s32)(p->pkt.seq_end - t->half->seq_end) > 0) {
		t->half->seq_end =
			p->pkt.seq_end; /* RFC 7413: it speaks before the handshake ends */
	}
}

static __always_inline void flow_close(struct packet *p, __u32 event)
{
	if (flow_retire(p) == FLOW_MOVED)
		event_count(event);
}

/* Notes FINs and what acknowledges them; both acknowledged: the flow ends. */
static __always_inline void fin_track(struct packet *p, const struct tracked *t, __u32 ack)
{
	__u32 *ends = &t->flow->half[XDPLB_TO_CLIENT].state;
	__u32 mine = t->dir * 2, others = !t->dir * 2;
	const __u32 all = XDPLB_END_FIN_ACKED | XDPLB_END_FIN_ACKED << 2;

	if (p->pkt.tcp_flags & XDPLB_TCP_FIN) {
		t->half->mark = p->pkt.seq_end;
		barrier();
		__sync_fetch_and_or(ends, XDPLB_END_FIN << mine);
		t->half->flags |= XDPLB_HALF_TRACK;
		t->other->flags |= XDPLB_HALF_TRACK;
	}
	if (READ_ONCE(*ends) & XDPLB_END_FIN << others && p->pkt.tcp_flags & XDPLB_TCP_ACK &&
	    (__s32)(ack - t->other->mark) >= 0)
		__sync_fetch_and_or(ends, XDPLB_END_FIN_ACKED << others);
	if ((READ_ONCE(*ends) & all) == all)
		flow_close(p, XDPLB_EVENT_CLOSED);
}

static __always_inline void established_track(struct packet *p, const struct tracked *t, __u32 seq,
					      __u32 ack)
{
	if (p->pkt.tcp_flags & XDPLB_TCP_RST) {
		/* RFC 5961, 3.2: only a reset with the very next number counts */
		if (seq != t->half->seq_end)
			return;
		__sync_fetch_and_or(&t->flow->half[XDPLB_TO_CLIENT].state, XDPLB_END_RESET);
		flow_close(p, XDPLB_EVENT_CLOSED);
		return;
	}
	if (t->dir == XDPLB_TO_CLIENT && p->pkt.tcp_flags & XDPLB_TCP_SYN) {
		if (t->half->flags & XDPLB_HALF_SPLICED)
			return; /* it says so again: our acknowledgement of its SYN was lost */
		/* the backend began anew: it had forgotten a connection that we had not */
		t->half->seq_end = p->pkt.seq_end;
		t->other->seq_end = ack;
		WRITE_ONCE(t->flow->half[XDPLB_TO_CLIENT].state, 0);
		return;
	}
	if ((__s32)(p->pkt.seq_end - t->half->seq_end) > 0)
		t->half->seq_end = p->pkt.seq_end;
	fin_track(p, t, ack);
}

static __always_inline enum track closed_track(struct packet *p, const struct tracked *t)
{
	__u32 ends = READ_ONCE(t->flow->half[XDPLB_TO_CLIENT].state);
	__u8 flags = p->pkt.tcp_flags;

	if (t->dir == XDPLB_TO_BACKEND &&
	    (flags & (XDPLB_TCP_SYN | XDPLB_TCP_ACK | XDPLB_TCP_RST)) == XDPLB_TCP_SYN)
		return flow_anew(p, t, XDPLB_EVENT_RESELECTED);
	if (ends & XDPLB_END_RESET && p->pkt.has_data && !(flags & XDPLB_TCP_RST) &&
	    flow_promote(p, t->state) == FLOW_MOVED)
		event_count(XDPLB_EVENT_REVIVED);
	return TRACK_ON;
}

static __always_inline enum track tcp_track(struct packet *p, struct tracked *t, __u32 seq,
					    __u32 ack)
{
	enum track track;

	switch (t->state) {
	case XDPLB_FLOW_UNANSWERED:
	case XDPLB_FLOW_ANSWERED:
		if (t->dir == XDPLB_TO_CLIENT) {
			embryo_from_backend(p, t, seq, ack);
			return TRACK_ON;
		}
		track = embryo_from_client(p, t, seq, ack);
		if (track != TRACK_ON || p->slot & XDPLB_SLOT_EMBRYO || !tracked_get(t, p->slot))
			return track;
		established_track(p, t, seq, ack);
		return TRACK_ON;
	case XDPLB_FLOW_ESTABLISHED:
		established_track(p, t, seq, ack);
		return TRACK_ON;
	case XDPLB_FLOW_CLOSED:
		return closed_track(p, t);
	default: /* another CPU is moving it: this packet goes the old way */
		return TRACK_ON;
	}
}

/*
 * What @p acknowledges, in the numbers of who is acknowledged: halves keep them
 * as packets arrive, and the client of a spliced flow knows others.
 */
static __always_inline __u32 tracked_ack(const struct tracked *t, const struct tcphdr *tcp)
{
	__u32 ack = from_be32(tcp->ack_seq);

	if (t->dir == XDPLB_TO_BACKEND && t->half->flags & XDPLB_HALF_SPLICED)
		ack += t->flow->splice.delta;
	return ack;
}

static __noinline enum track flow_track(struct packet *p)
{
	const struct tcphdr *tcp = xdplb_pkt_tcp(&p->pkt);
	struct tracked t;

	if (!tracked_get(&t, p->slot))
		return TRACK_ANEW;
	if (t.state > XDPLB_FLOW_CLAIMED && flow_expired(t.flow, t.state, p->now) &&
	    flow_remove(p->slot, t.state, p->life)) {
		event_count(p->slot & XDPLB_SLOT_EMBRYO ? XDPLB_EVENT_EXPIRED_EMBRYO :
							  XDPLB_EVENT_EXPIRED_FLOW);
		return TRACK_ANEW;
	}
	WRITE_ONCE(t.half->seen_tick, p->now);
	if (!tcp)
		return udp_track(p, &t);
	return tcp_track(p, &t, from_be32(tcp->seq), tracked_ack(&t, tcp));
}

#endif /* XDPLB_BPF_TRACK_H */
