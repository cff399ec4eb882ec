/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_AUDIT_H
#define XDPLB_TEST_AUDIT_H

/*
 * What must hold whenever no packet is under way: gauges, active flows, ports
 * in use and the index say what a walk over the rows says.
 */
#include "harness.h"
#include "xdplb/flow_hash.h"

struct census {
	uint32_t flows, flows_udp, embryos; /* rows in use */
	uint32_t active[LAB_BACKENDS], ports[LAB_BACKENDS]; /* by backend */
	uint32_t slots; /* index slots that these rows must have */
};

static inline uint32_t flow_state(const struct xdplb_flow *flow)
{
	return flow->half[XDPLB_TO_BACKEND].state;
}

static inline bool flow_live(const struct xdplb_flow *flow)
{
	return flow_state(flow) >= XDPLB_FLOW_UNANSWERED &&
	       !(flow->half[XDPLB_TO_BACKEND].life & 1);
}

static inline uint64_t half_hash(const struct lab *lab, const struct xdplb_half *half)
{
	struct xdplb_tuple tuple = {
		.src = half->src,
		.dst = half->dst,
		.sport = half->sport,
		.dport = half->dport,
		.proto = half->proto,
		.v6 = half->flags & XDPLB_HALF_V6,
	};

	memcpy(tuple.src_hi, half->src_hi, sizeof(tuple.src_hi));
	memcpy(tuple.dst_hi, half->dst_hi, sizeof(tuple.dst_hi));
	return xdplb_flow_hash(lab->settings->index_key, &tuple);
}

/* How often @slot stands in the whole index. */
static inline uint32_t slot_count(const struct lab *lab, uint64_t slot)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < lab->buckets; i++)
		for (int j = 0; j < XDPLB_BUCKET_SLOTS; j++)
			count += lab->index[i].slot[j] == slot;
	return count;
}

static inline void half_audit(const struct lab *lab, const struct xdplb_flow *flow, uint32_t row,
			      uint64_t table, int dir)
{
	const struct xdplb_half *half = &flow->half[dir], *other = &flow->half[!dir];
	uint64_t hash = half_hash(lab, half);
	uint64_t slot = hash >> XDPLB_SLOT_FP_SHIFT << XDPLB_SLOT_FP_SHIFT | table |
			(dir ? XDPLB_SLOT_DIR : 0) | row;

	assert_false(half->life & 1);
	assert_int_equal(slot_count(lab, slot), 1);
	/* each direction undoes the other */
	assert_int_equal(half->new_src, other->dst);
	assert_int_equal(half->new_dst, other->src);
	assert_int_equal(half->new_sport, other->dport);
	assert_int_equal(half->new_dport, other->sport);
	assert_memory_equal(half->new_src_hi, other->dst_hi, sizeof(half->new_src_hi));
	assert_memory_equal(half->new_dst_hi, other->src_hi, sizeof(half->new_dst_hi));
	assert_int_equal(half->ids, other->ids);
	assert_int_equal(half->proto, other->proto);
}

static inline void row_audit(const struct lab *lab, const struct xdplb_flow *flow, uint32_t row,
			     uint64_t table, struct census *census)
{
	uint32_t state = flow_state(flow), backend;

	assert_int_not_equal(state, XDPLB_FLOW_CLAIMED);
	if (state == XDPLB_FLOW_FREE)
		return;
	assert_int_equal(state == XDPLB_FLOW_ESTABLISHED, !table);
	backend = XDPLB_IDS_BACKEND(flow->half[0].ids);
	assert_in_range(backend, 1, LAB_BACKENDS - 1);
	census->ports[backend]++;
	census->active[backend] += state != XDPLB_FLOW_CLOSED;
	if (table)
		census->embryos++;
	else
		census->flows++;
	census->flows_udp += !table && flow->half[0].proto == IPPROTO_UDP;
	census->slots += 2;
	half_audit(lab, flow, row, table, XDPLB_TO_BACKEND);
	half_audit(lab, flow, row, table, XDPLB_TO_CLIENT);
}

static inline uint32_t slots_used(const struct lab *lab)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < lab->buckets; i++)
		for (int j = 0; j < XDPLB_BUCKET_SLOTS; j++)
			used += lab->index[i].slot[j] != 0;
	return used;
}

static inline void lab_audit(const struct lab *lab)
{
	struct xdplb_gauges gauge = gauges(lab);
	struct census census = { 0 };

	for (uint32_t row = 0; row < lab->flow_rows; row++)
		row_audit(lab, &lab->flows[row], row, 0, &census);
	for (uint32_t row = 0; row < lab->embryo_rows; row++)
		row_audit(lab, &lab->embryos[row], row, XDPLB_SLOT_EMBRYO, &census);
	assert_int_equal(gauge.flows_used, census.flows);
	assert_int_equal(gauge.flows_udp, census.flows_udp);
	assert_int_equal(gauge.embryos_used, census.embryos);
	assert_in_range(gauge.flows_touched, census.flows, lab->flow_rows);
	assert_int_equal(slots_used(lab), census.slots);
	for (uint32_t id = 1; id < LAB_BACKENDS; id++) {
		struct xdplb_backend_state state = backend_state(lab, id);
		struct xdplb_stats stats = stats_sum(lab->skel->maps.backend_stats, id);

		assert_int_equal(state.active, census.active[id]);
		assert_int_equal(state.ports_used, census.ports[id]);
		assert_int_equal(stats.connections - stats.ended, census.active[id]);
	}
}

#endif /* XDPLB_TEST_AUDIT_H */
