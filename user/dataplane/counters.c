// SPDX-License-Identifier: GPL-2.0-only
/* What the datapath counts and keeps, read when asked for; settings; the sweep. */
#include "dataplane/internal.h"

#include <string.h>
#include <sys/random.h>
#include <bpf/bpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"

/* Values are arrays of __u64, one a CPU behind the other: adds them up word by word. */
static void percpu_sum(const struct dataplane *dp, int map, const void *key, uint64_t *sum,
		       size_t words)
{
	auto_free uint64_t *values = xcalloc((size_t)dp->cpus * words, sizeof(*values));

	memset(sum, 0, words * sizeof(*sum));
	if (bpf_map_lookup_elem(map, key, values))
		return;
	for (int cpu = 0; cpu < dp->cpus; cpu++)
		for (size_t i = 0; i < words; i++)
			sum[i] += values[(size_t)cpu * words + i];
}

static void stats_sum(const struct dataplane *dp, int map, uint32_t row, struct xdplb_stats *stats)
{
	uint64_t sum[sizeof(*stats) / sizeof(uint64_t)];

	percpu_sum(dp, map, &row, sum, sizeof(sum) / sizeof(sum[0]));
	memcpy(stats, sum, sizeof(*stats));
}

static void percpu_zero(const struct dataplane *dp, int map, uint32_t row, size_t size)
{
	auto_free void *zeros = xcalloc((size_t)dp->cpus, size);

	bpf_map_update_elem(map, &row, zeros, BPF_ANY);
}

static void sniffed_zero(const struct dataplane *dp, uint32_t service)
{
	struct xdplb_sniffed_key key = { .service = service };

	for (; key.protocol < XDPLB_PROTOCOL_MAX; key.protocol++)
		bpf_map_delete_elem(dp->fd.sniffed, &key);
}

void dataplane_zero_service(struct dataplane *dp, uint32_t id)
{
	percpu_zero(dp, dp->fd.service_stats, id, sizeof(struct xdplb_stats));
	sniffed_zero(dp, id);
}

void dataplane_zero_backend(struct dataplane *dp, uint32_t id)
{
	struct xdplb_backend_state state = { 0 };

	percpu_zero(dp, dp->fd.backend_stats, id, sizeof(struct xdplb_stats));
	/* Anywhere will do; not the same place for all, nor after each start. */
	if (getrandom(&state.port_cursor, sizeof(state.port_cursor), 0) < 0)
		state.port_cursor = clock_now_tick() * 2654435761U + id;
	bpf_map_update_elem(dp->fd.backend_state, &id, &state, BPF_ANY);
}

void dataplane_service_stats(struct dataplane *dp, uint32_t id, struct xdplb_stats *stats)
{
	stats_sum(dp, dp->fd.service_stats, id, stats);
}

void dataplane_backend_stats(struct dataplane *dp, uint32_t id, struct xdplb_stats *stats)
{
	stats_sum(dp, dp->fd.backend_stats, id, stats);
}

void dataplane_backend_state(struct dataplane *dp, uint32_t id, struct xdplb_backend_state *state)
{
	memset(state, 0, sizeof(*state));
	bpf_map_lookup_elem(dp->fd.backend_state, &id, state);
}

void dataplane_outcomes(struct dataplane *dp, uint64_t outcomes[XDPLB_OUTCOME_MAX])
{
	for (uint32_t row = 0; row < XDPLB_OUTCOME_MAX; row++)
		percpu_sum(dp, dp->fd.outcomes, &row, &outcomes[row], 1);
}

void dataplane_events(struct dataplane *dp, uint64_t events[XDPLB_EVENT_MAX])
{
	for (uint32_t row = 0; row < XDPLB_EVENT_MAX; row++)
		percpu_sum(dp, dp->fd.flow_events, &row, &events[row], 1);
}

void dataplane_sniffed(struct dataplane *dp, uint32_t service, uint64_t counts[XDPLB_PROTOCOL_MAX])
{
	struct xdplb_sniffed_key key = { .service = service };

	for (; key.protocol < XDPLB_PROTOCOL_MAX; key.protocol++)
		percpu_sum(dp, dp->fd.sniffed, &key, &counts[key.protocol], 1);
}

void dataplane_gauges(struct dataplane *dp, struct xdplb_gauges *gauges)
{
	const uint32_t row = 0;

	memset(gauges, 0, sizeof(*gauges));
	bpf_map_lookup_elem(dp->fd.gauges, &row, gauges);
}

/* ---- settings are mapped: a word at a time */

void dataplane_set_timeouts(struct dataplane *dp, uint32_t syn_ms, uint32_t closing_ms)
{
	__atomic_store_n(&dp->settings->syn_ticks, ticks_of_ms(syn_ms), __ATOMIC_RELAXED);
	__atomic_store_n(&dp->settings->closing_ticks, ticks_of_ms(closing_ms), __ATOMIC_RELAXED);
}

void dataplane_heartbeat(struct dataplane *dp, uint32_t now_tick)
{
	__atomic_store_n(&dp->settings->heartbeat_tick, now_tick, __ATOMIC_RELAXED);
}

/* Runs a program that is told one number. */
static void number_run(int program, uint32_t number)
{
	uint32_t frame[16] = { number }; /* shorter ones the kernel refuses */
	struct bpf_test_run_opts run = {
		.sz = sizeof(run),
		.data_in = frame,
		.data_size_in = sizeof(frame),
	};

	bpf_prog_test_run_opts(program, &run);
}

void dataplane_sweep(struct dataplane *dp, uint32_t rows)
{
	number_run(dp->sweep, rows);
}

void dataplane_sweep_sniffs(struct dataplane *dp, uint64_t older_than_ms)
{
	number_run(dp->sweep_sniffs, ticks_of_ms(older_than_ms));
}

/* ---- flows are mapped, and the datapath writes them meanwhile */

static bool holds_flow(uint32_t state)
{
	return state == XDPLB_FLOW_UNANSWERED || state == XDPLB_FLOW_ANSWERED ||
	       state == XDPLB_FLOW_ESTABLISHED || state == XDPLB_FLOW_CLOSED;
}

/* False: the row is free, or somebody wrote it while we read. */
static bool flow_copy(const struct xdplb_flow *row, struct xdplb_flow *copy)
{
	uint32_t life[XDPLB_DIRS];

	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		life[dir] = __atomic_load_n(&row->half[dir].life, __ATOMIC_ACQUIRE);
	if ((life[0] | life[1]) & 1 || !holds_flow(row->half[XDPLB_TO_BACKEND].state))
		return false;
	memcpy(copy, row, sizeof(*copy));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		if (__atomic_load_n(&row->half[dir].life, __ATOMIC_RELAXED) != life[dir])
			return false;
	return holds_flow(copy->half[XDPLB_TO_BACKEND].state);
}

static bool rows_visit(const struct xdplb_flow *rows, uint32_t count,
		       bool (*visit)(void *arg, const struct xdplb_flow *flow), void *arg)
{
	struct xdplb_flow copy;

	for (uint32_t i = 0; i < count; i++)
		if (flow_copy(&rows[i], &copy) && !visit(arg, &copy))
			return false;
	return true;
}

void dataplane_each_flow(struct dataplane *dp,
			 bool (*visit)(void *arg, const struct xdplb_flow *flow), void *arg)
{
	struct xdplb_gauges gauges;
	uint32_t touched;

	dataplane_gauges(dp, &gauges);
	touched = gauges.flows_touched < dp->sizes.flows ? gauges.flows_touched : dp->sizes.flows;
	if (rows_visit(dp->flows, touched, visit, arg))
		rows_visit(dp->embryos, dp->sizes.embryos, visit, arg);
}

int dataplane_egress_set(struct dataplane *dp, uint32_t ifindex)
{
	return bpf_map_update_elem(dp->fd.egress, &ifindex, &ifindex, BPF_ANY);
}

int dataplane_egress_delete(struct dataplane *dp, uint32_t ifindex)
{
	return bpf_map_delete_elem(dp->fd.egress, &ifindex);
}
