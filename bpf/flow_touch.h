/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_FLOW_TOUCH_H
#define XDPLB_BPF_FLOW_TOUCH_H

/*
 * Loading early what a new flow will need: a part of flow.h. Nothing here
 * decides anything. The hints are words of xdplb_flow.spare, in embryos, each a
 * row of flow_index that will soon be looked at; who holds the claim of the
 * row writes them. Stale or never written, what they name is loaded in vain.
 * The place is beside the first miss: touched behind the last locked operation
 * of the flow before, the same lines were measured to cost 100 ns more.
 */
#include "flow_index.h"

enum {
	HINT_KEY = 0, /* and the next, by direction: where the flow's own keys stand */
	HINT_NEXT_FIRST = 2, /* where the next reply key of its backend will likely go */
	HINT_NEXT_SECOND = 3,
};

static __always_inline void hint_bucket(struct xdplb_flow *flow, __u32 dir, __u64 hash)
{
	WRITE_ONCE(flow->spare[HINT_KEY + dir], index_row_first(hash, index_mask));
}

static __always_inline void hint_touch(const struct xdplb_flow *flow, __u32 hint)
{
	__u32 row = READ_ONCE(flow->spare[hint]);
	struct xdplb_bucket *bucket = bpf_map_lookup_elem(&flow_index, &row);

	if (bucket)
		(void)READ_ONCE(bucket->slot[0]);
}

/*
 * Loads what a new flow will need, without looking at it: the buckets of the
 * embryo it evicts and of its reply key, and the row that the flow after it
 * will write. The CPU waits for all of them at once, and for the bucket it
 * misses anyway; later each would be waited for alone, for locked operations
 * stand between them.
 */
static __always_inline void embryo_touch(const struct xdplb_gauges *gauge)
{
	const struct xdplb_flow *oldest, *newest, *next;
	__u32 head, row;

	if (!gauge)
		return;
	head = READ_ONCE(gauge->embryo_head);
	row = head & embryo_mask;
	oldest = bpf_map_lookup_elem(&embryos, &row);
	row = (head - 1) & embryo_mask;
	newest = bpf_map_lookup_elem(&embryos, &row);
	row = (head + 1) & embryo_mask;
	next = bpf_map_lookup_elem(&embryos, &row);
	if (!oldest || !newest || !next)
		return;
	hint_touch(oldest, HINT_KEY + XDPLB_TO_BACKEND);
	hint_touch(oldest, HINT_KEY + XDPLB_TO_CLIENT);
	hint_touch(newest, HINT_NEXT_FIRST);
	hint_touch(newest, HINT_NEXT_SECOND);
	for (int dir = 0; dir < XDPLB_DIRS; dir++) {
		(void)READ_ONCE(next->half[dir].life);
		(void)READ_ONCE(next->half[dir].src_hi[0]); /* its second line */
	}
	(void)READ_ONCE(next->spare[HINT_KEY]);
}

#endif /* XDPLB_BPF_FLOW_TOUCH_H */
