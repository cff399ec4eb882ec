/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_FLOW_AGE_H
#define XDPLB_BPF_FLOW_AGE_H

/*
 * Ageing of flows: by the daemon's sweep while it lives, else a few rows on the
 * way of every new flow. A part of flow.h.
 */
#include "flow.h"

#define SWEEP_WHEN_FULL 64

__noinline int flow_sweep_one(__u64 place, __u32 now)
{
	struct xdplb_flow *flow = flow_at(place);
	__u32 state, life;

	if (!flow)
		return 0;
	life = READ_ONCE(flow->half[XDPLB_TO_BACKEND].life);
	barrier();
	state = READ_ONCE(flow->half[XDPLB_TO_BACKEND].state);
	if (state == XDPLB_FLOW_FREE || state == XDPLB_FLOW_CLAIMED)
		return 0;
	if (!flow_expired(flow, state, now) || !flow_remove(place, state, life))
		return 0;
	event_count(place & XDPLB_SLOT_EMBRYO ? XDPLB_EVENT_EXPIRED_EMBRYO :
						XDPLB_EVENT_EXPIRED_FLOW);
	return 0;
}

struct sweep {
	__u32 hand, limit, now;
};

static long sweep_flow(__u32 index, void *arg)
{
	struct sweep *sweep = arg;

	flow_sweep_one((sweep->hand + index) % sweep->limit, sweep->now);
	return 0;
}

static long sweep_embryo(__u32 index, void *arg)
{
	struct sweep *sweep = arg;

	flow_sweep_one(XDPLB_SLOT_EMBRYO | ((sweep->hand + index) & embryo_mask), sweep->now);
	return 0;
}

/* Forgets what has expired among the next @rows rows of flows. */
__noinline int flows_sweep(__u32 rows, __u32 now)
{
	struct xdplb_gauges *gauge = gauges_get();
	struct sweep sweep = { .now = now };
	__u32 touched;

	if (!gauge)
		return 0;
	touched = READ_ONCE(gauge->flows_touched);
	if (!touched)
		return 0;
	sweep.limit = touched < flows_max ? touched : flows_max;
	sweep.hand = __sync_fetch_and_add(&gauge->flow_hand, rows);
	bpf_loop(rows, sweep_flow, &sweep, 0);
	return 0;
}

__noinline int embryos_sweep(__u32 rows, __u32 now)
{
	struct xdplb_gauges *gauge = gauges_get();
	struct sweep sweep = { .now = now };

	if (!gauge)
		return 0;
	sweep.hand = __sync_fetch_and_add(&gauge->embryo_hand, rows);
	bpf_loop(rows, sweep_embryo, &sweep, 0);
	return 0;
}

/* No room for another established flow, even after a look for expired ones. */
static __always_inline bool flows_full(__u32 now)
{
	struct xdplb_gauges *gauge = gauges_get();

	if (!gauge || READ_ONCE(gauge->flows_used) < flows_max)
		return false;
	flows_sweep(SWEEP_WHEN_FULL, now);
	return READ_ONCE(gauge->flows_used) >= flows_max;
}

#endif /* XDPLB_BPF_FLOW_AGE_H */
