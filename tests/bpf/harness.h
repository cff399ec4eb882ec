/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_HARNESS_H
#define XDPLB_TEST_HARNESS_H

/*
 * The real program, run packet by packet with BPF_PROG_TEST_RUN over tables of
 * a few rows. The program is verified once for each test program; between the
 * tests everything its maps hold is cleared. Packets come in by loopback
 * (interface 1), so a next hop there means XDP_TX.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "packet.h"
#include "xdplb/outcome.h"
#include "xdplb.skel.h"

#define MAX_CPUS 64
#define LAB_BACKENDS 256 /* rows, so ids below that */
#define LAB_SERVICES 64
#define LAB_POOLS 16
#define LAB_IFINDEX 1 /* where packets of a test run come from */
#define LAB_FUTURE_TICKS (1U << 30) /* a heartbeat that is never stale */

/* What the tests of a program run in. Sizes as the maps were made. */
struct lab {
	struct xdplb_bpf *skel;
	uint32_t flow_rows, embryo_rows, buckets;
	uint32_t table_flags; /* that a selection table is created with */
	struct xdplb_flow *flows, *embryos; /* mapped */
	struct xdplb_bucket *index;
	struct xdplb_settings *settings;
	uint64_t outcomes[XDPLB_OUTCOME_MAX]; /* as counted when a packet was last run */
	bool v6; /* which variant of the test this is */
	uint8_t proto;
};

static const char *const outcome_names[] = {
#define X(name, action, help) #name,
	XDPLB_OUTCOMES(X)
#undef X
};

static inline uint32_t outcome_action(enum xdplb_outcome out)
{
	static const uint8_t actions[] = {
#define X(name, action, help) action,
		XDPLB_OUTCOMES(X)
#undef X
	};

	return actions[out];
}

/* ---- maps as they are */

static inline int map_fd(const struct bpf_map *map)
{
	return bpf_map__fd(map);
}

static inline void row_put(const struct bpf_map *map, uint32_t row, const void *value)
{
	assert_int_equal(bpf_map_update_elem(map_fd(map), &row, value, BPF_ANY), 0);
}

static inline void row_get(const struct bpf_map *map, uint32_t row, void *value)
{
	assert_int_equal(bpf_map_lookup_elem(map_fd(map), &row, value), 0);
}

static inline uint64_t counter_get(const struct bpf_map *map, uint32_t row)
{
	uint64_t each[MAX_CPUS] = { 0 }, sum = 0;

	row_get(map, row, each);
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		sum += each[cpu];
	return sum;
}

static inline uint64_t outcome_count(const struct lab *lab, enum xdplb_outcome out)
{
	return counter_get(lab->skel->maps.outcomes, out);
}

static inline uint64_t event_count(const struct lab *lab, enum xdplb_event event)
{
	return counter_get(lab->skel->maps.flow_events, event);
}

static inline struct xdplb_gauges gauges(const struct lab *lab)
{
	struct xdplb_gauges now;

	row_get(lab->skel->maps.gauges, 0, &now);
	return now;
}

static inline struct xdplb_backend_state backend_state(const struct lab *lab, uint32_t id)
{
	struct xdplb_backend_state state;

	row_get(lab->skel->maps.backend_state, id, &state);
	return state;
}

static inline struct xdplb_stats stats_sum(const struct bpf_map *map, uint32_t row)
{
	struct xdplb_stats each[MAX_CPUS] = { 0 }, sum = { 0 };

	row_get(map, row, each);
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++) {
		sum.connections += each[cpu].connections;
		sum.ended += each[cpu].ended;
		for (int dir = 0; dir < XDPLB_DIRS; dir++) {
			sum.packets[dir] += each[cpu].packets[dir];
			sum.bytes[dir] += each[cpu].bytes[dir];
		}
	}
	return sum;
}

static inline uint32_t tick_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)(((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) >>
			  XDPLB_TICK_SHIFT);
}

/* ---- loading */

static inline void *map_memory(const struct bpf_map *map, size_t size)
{
	size_t whole = (size + 4095) / 4096 * 4096;
	void *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd(map), 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static inline void sizes_set(const struct lab *lab)
{
	struct xdplb_bpf *skel = lab->skel;

	skel->rodata->flows_max = lab->flow_rows;
	skel->rodata->embryo_mask = lab->embryo_rows - 1;
	skel->rodata->index_mask = lab->buckets - 1;
	bpf_map__set_max_entries(skel->maps.flows, lab->flow_rows);
	bpf_map__set_max_entries(skel->maps.flow_free, lab->flow_rows);
	bpf_map__set_max_entries(skel->maps.embryos, lab->embryo_rows);
	bpf_map__set_max_entries(skel->maps.flow_index, lab->buckets);
	bpf_map__set_max_entries(skel->maps.services, LAB_SERVICES);
	bpf_map__set_max_entries(skel->maps.service_stats, LAB_SERVICES);
	bpf_map__set_max_entries(skel->maps.pools, LAB_POOLS);
	bpf_map__set_max_entries(skel->maps.tables, LAB_POOLS * XDPLB_FAMILIES);
	bpf_map__set_max_entries(skel->maps.turns, LAB_POOLS * XDPLB_FAMILIES);
	bpf_map__set_max_entries(skel->maps.backends, LAB_BACKENDS);
	bpf_map__set_max_entries(skel->maps.backend_state, LAB_BACKENDS);
	bpf_map__set_max_entries(skel->maps.backend_stats, LAB_BACKENDS);
}

static inline bool lab_load(struct lab *lab, uint32_t flow_rows, uint32_t embryo_rows)
{
	*lab = (struct lab){ .flow_rows = flow_rows, .embryo_rows = embryo_rows, .buckets = 16 };
	while (lab->buckets * XDPLB_BUCKET_SLOTS < 4 * (flow_rows + embryo_rows))
		lab->buckets *= 2;
	lab->skel = xdplb_bpf__open();
	if (!lab->skel || libbpf_num_possible_cpus() > MAX_CPUS)
		return false;
	sizes_set(lab);
	lab->table_flags = bpf_map__map_flags(bpf_map__inner_map(lab->skel->maps.tables));
	if (xdplb_bpf__load(lab->skel))
		return false;
	lab->flows = map_memory(lab->skel->maps.flows, flow_rows * sizeof(*lab->flows));
	lab->embryos = map_memory(lab->skel->maps.embryos, embryo_rows * sizeof(*lab->embryos));
	lab->index = map_memory(lab->skel->maps.flow_index, lab->buckets * sizeof(*lab->index));
	lab->settings = map_memory(lab->skel->maps.settings, sizeof(*lab->settings));
	return lab->flows && lab->embryos && lab->index && lab->settings;
}

/* ---- clearing */

static inline void array_clear(const struct bpf_map *map)
{
	static const uint8_t zero[MAX_CPUS * 64];

	for (uint32_t row = 0; row < bpf_map__max_entries(map); row++)
		row_put(map, row, zero);
}

static inline void hash_clear(const struct bpf_map *map)
{
	uint8_t key[64];

	while (!bpf_map_get_next_key(map_fd(map), NULL, key))
		bpf_map_delete_elem(map_fd(map), key);
}

static inline void settings_default(struct lab *lab)
{
	*lab->settings = (struct xdplb_settings){
		.abi_version = XDPLB_ABI_VERSION,
		.heartbeat_tick = tick_now() + LAB_FUTURE_TICKS,
		.syn_ticks = 10000,
		.closing_ticks = 60000,
		.flow_table = lab->flow_rows,
	};
	for (int i = 0; i < 4; i++) {
		lab->settings->index_key[i] = (uint64_t)random() << 33 ^ (uint64_t)random() << 11;
		lab->settings->select_key[i] = (uint64_t)random() << 33 ^ (uint64_t)random() << 7;
	}
}

static inline void lab_reset(struct lab *lab)
{
	struct xdplb_bpf *skel = lab->skel;
	static const struct xdplb_backend no_backend;
	static const struct xdplb_pool no_pool;
	static const struct xdplb_nat_range no_range;
	uint32_t row;

	memset(lab->flows, 0, lab->flow_rows * sizeof(*lab->flows));
	memset(lab->embryos, 0, lab->embryo_rows * sizeof(*lab->embryos));
	memset(lab->index, 0, lab->buckets * sizeof(*lab->index));
	memset(lab->outcomes, 0, sizeof(lab->outcomes));
	settings_default(lab);
	while (!bpf_map_lookup_and_delete_elem(map_fd(skel->maps.flow_free), NULL, &row))
		;
	array_clear(skel->maps.gauges);
	array_clear(skel->maps.outcomes);
	array_clear(skel->maps.flow_events);
	array_clear(skel->maps.turns);
	array_clear(skel->maps.allowance);
	array_clear(skel->maps.backend_state);
	array_clear(skel->maps.backend_stats);
	array_clear(skel->maps.service_stats);
	hash_clear(skel->maps.services);
	hash_clear(skel->maps.egress);
	for (row = 0; row < LAB_BACKENDS; row++)
		row_put(skel->maps.backends, row, &no_backend);
	for (row = 0; row < LAB_POOLS; row++)
		row_put(skel->maps.pools, row, &no_pool);
	for (row = 0; row < LAB_POOLS * XDPLB_FAMILIES; row++)
		bpf_map_delete_elem(map_fd(skel->maps.tables), &row);
	for (row = 0; row < 2 * XDPLB_FAMILIES; row++)
		row_put(skel->maps.nat_ranges, row, &no_range);
}

/* ---- what the daemon would write */

static inline void service_set(const struct lab *lab, const struct end *vip, uint8_t proto,
			       const struct xdplb_service *service)
{
	struct xdplb_service_key key = { .vip = vip->ip,
					 .port = to_be16(vip->port),
					 .proto = proto };

	assert_int_equal(
		bpf_map_update_elem(map_fd(lab->skel->maps.services), &key, service, BPF_ANY), 0);
}

/* The table of one family of @pool: @count slots. */
static inline void pool_set(const struct lab *lab, uint32_t id, enum xdplb_balance balance, bool v6,
			    const struct xdplb_slot *slots, uint32_t count)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = lab->table_flags);
	uint32_t row = id * XDPLB_FAMILIES + v6;
	struct xdplb_pool pool;
	int table = bpf_map_create(BPF_MAP_TYPE_ARRAY, "table", sizeof(row), sizeof(*slots),
				   count ? count : 1, &opts);

	assert_true(table >= 0);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(bpf_map_update_elem(table, &i, &slots[i], BPF_ANY), 0);
	row_get(lab->skel->maps.pools, id, &pool);
	pool.balance = balance;
	pool.used = 1;
	pool.slots[v6] = count;
	row_put(lab->skel->maps.tables, row, &table);
	row_put(lab->skel->maps.pools, id, &pool);
	close(table);
}

static inline void nat_set(const struct lab *lab, bool v6, uint16_t min, uint16_t max,
			   const struct xdplb_addr *addrs, uint32_t count)
{
	struct xdplb_nat_range range = { .count = count, .port_min = min, .port_max = max };

	memcpy(range.addr, addrs, count * sizeof(*addrs));
	row_put(lab->skel->maps.nat_ranges, lab->settings->nat_buffer * XDPLB_FAMILIES + v6,
		&range);
}

/* ---- packets */

/* Through the program; @frame becomes what left it. The action. */
static inline uint32_t frame_run_raw(const struct lab *lab, struct frame *frame)
{
	struct frame out;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame->data, .data_size_in = frame->len,
		    .data_out = out.data, .data_size_out = sizeof(out.data), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.xdplb), &opts), 0);
	memcpy(frame->data, out.data, opts.data_size_out);
	frame->len = opts.data_size_out;
	return opts.retval;
}

/* The same, and which outcome was counted: exactly one, once, and its action taken. */
static inline enum xdplb_outcome frame_run(struct lab *lab, struct frame *frame)
{
	uint32_t action = frame_run_raw(lab, frame);
	enum xdplb_outcome out = XDPLB_OUTCOME_MAX;

	for (uint32_t row = 0; row < XDPLB_OUTCOME_MAX; row++) {
		uint64_t count = outcome_count(lab, row);

		if (count == lab->outcomes[row])
			continue;
		assert_int_equal(count, lab->outcomes[row] + 1);
		assert_int_equal(out, XDPLB_OUTCOME_MAX);
		lab->outcomes[row] = count;
		out = row;
	}
	assert_int_not_equal(out, XDPLB_OUTCOME_MAX);
	assert_int_equal(action, outcome_action(out));
	return out;
}

static inline void outcome_check(enum xdplb_outcome is, enum xdplb_outcome wanted, const char *file,
				 int line)
{
	if (is != wanted)
		print_error("outcome %s, wanted %s\n", outcome_names[is], outcome_names[wanted]);
	_assert_int_equal(is, wanted, file, line);
}

#define assert_outcome(is, wanted) outcome_check(is, XDPLB_##wanted, __FILE__, __LINE__)

/* Runs the daemon's sweep over @rows rows of each table. */
static inline void sweep_run(const struct lab *lab, uint32_t rows)
{
	uint8_t data[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = sizeof(data),
		    .repeat = 1);

	memcpy(data, &rows, sizeof(rows));
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.sweep), &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
}

/* ---- each behaviour is tested in these variants */

struct variant {
	bool v6;
	uint8_t proto;
};

#define VARIANT(name, text, six, protocol, before, after)                   \
	{                                                                   \
#name " (" text ")", name, before, after, &(struct variant) \
		{                                                           \
			.v6 = (six), .proto = (protocol)                    \
		}                                                           \
	}
#define TCP4(name) VARIANT(name, "TCP over IPv4", false, IPPROTO_TCP, setup, teardown)
#define TCP6(name) VARIANT(name, "TCP over IPv6", true, IPPROTO_TCP, setup, teardown)
#define UDP4(name) VARIANT(name, "UDP over IPv4", false, IPPROTO_UDP, setup, teardown)
#define UDP6(name) VARIANT(name, "UDP over IPv6", true, IPPROTO_UDP, setup, teardown)
#define TCP(name) TCP4(name), TCP6(name)
#define UDP(name) UDP4(name), UDP6(name)
#define ALL(name) TCP(name), UDP(name)

#endif /* XDPLB_TEST_HARNESS_H */
