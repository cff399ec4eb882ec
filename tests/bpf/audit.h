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
	uint64_t *slots; /* that stand in the index, sorted */
	uint32_t slot_count, slots_wanted;
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

static inline int slot_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static inline void slots_gather(const struct lab *lab, struct census *census)
{
	census->slots = calloc(lab->buckets * XDPLB_BUCKET_SLOTS, sizeof(*census->slots));
	assert_non_null(census->slots);
	for (uint32_t i = 0; i < lab->buckets; i++)
		for (int j = 0; j < XDPLB_BUCKET_SLOTS; j++)
			if (lab->index[i].slot[j])
				census->slots[census->slot_count++] = lab->index[i].slot[j];
	qsort(census->slots, census->slot_count, sizeof(*census->slots), slot_compare);
	for (uint32_t i = 1; i < census->slot_count; i++)
		assert_int_not_equal(census->slots[i - 1], census->slots[i]);
}

static inline void half_audit(const struct lab *lab, const struct census *census,
			      const struct xdplb_flow *flow, uint32_t row, uint64_t table, int dir)
{
	const struct xdplb_half *half = &flow->half[dir], *other = &flow->half[!dir];
	uint64_t hash = half_hash(lab, half);
	uint64_t slot = hash >> XDPLB_SLOT_FP_SHIFT << XDPLB_SLOT_FP_SHIFT | table |
			(dir ? XDPLB_SLOT_DIR : 0) | row;

	assert_false(half->life & 1);
	assert_non_null(
		bsearch(&slot, census->slots, census->slot_count, sizeof(slot), slot_compare));
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
	census->slots_wanted += 2;
	half_audit(lab, census, flow, row, table, XDPLB_TO_BACKEND);
	half_audit(lab, census, flow, row, table, XDPLB_TO_CLIENT);
}

static inline void lab_audit(const struct lab *lab)
{
	struct xdplb_gauges gauge = gauges(lab);
	struct census census = { 0 };

	slots_gather(lab, &census);
	for (uint32_t row = 0; row < lab->flow_rows; row++)
		row_audit(lab, &lab->flows[row], row, 0, &census);
	for (uint32_t row = 0; row < lab->embryo_rows; row++)
		row_audit(lab, &lab->embryos[row], row, XDPLB_SLOT_EMBRYO, &census);
	assert_int_equal(gauge.flows_used, census.flows);
	assert_int_equal(gauge.flows_udp, census.flows_udp);
	assert_int_equal(gauge.embryos_used, census.embryos);
	assert_in_range(gauge.flows_touched, census.flows, lab->flow_rows);
	assert_int_equal(census.slot_count, census.slots_wanted);
	free(census.slots);
	for (uint32_t id = 1; id < LAB_BACKENDS; id++) {
		struct xdplb_backend_state state = backend_state(lab, id);
		struct xdplb_stats stats = stats_sum(lab->skel->maps.backend_stats, id);

		assert_int_equal(state.active, census.active[id]);
		assert_int_equal(state.ports_used, census.ports[id]);
		assert_int_equal(stats.connections - stats.ended, census.active[id]);
	}
}

#endif /* XDPLB_TEST_AUDIT_H */
