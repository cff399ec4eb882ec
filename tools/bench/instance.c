// SPDX-License-Identifier: GPL-2.0-only
#include "instance.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <linux/in.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dataplane/derive.h"
#include "xdplb/outcome.h"
#include "xdplb/pkt.h"
#include "xdplb.skel.h"
#include "wrap.skel.h"

#define RECORDS_MAX (8U << 20)
#define BACKENDS 64 /* of each family */
#define NAT_ADDRS 16 /* so many ports that a run never comes to used ones again */
#define SLOTS 4093
#define LOOPBACK_IFINDEX 1
#define FOREVER (1U << 30) /* ticks: within a run it does not pass */
#define FLOOR_BATCH 65536U
#define REFUSED_SHARE 1000 /* one of so many new flows at most */
#define ANSWERED 5000 /* resets in a run, where their number is limited: 1000 and 5000 a second */

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bench-cost: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void *map_view(const struct bpf_map *map, size_t size, int protection)
{
	void *view = mmap(NULL, size, protection, MAP_SHARED, bpf_map__fd(map), 0);

	if (view == MAP_FAILED)
		die("mapping %s: %s", bpf_map__name(map), strerror(errno));
	return view;
}

void instance_row_write(const struct bpf_map *map, const void *key, const void *value)
{
	int ret = bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY);

	if (ret)
		die("writing %s: %s", bpf_map__name(map), strerror(-ret));
}

static struct xdplb_addr addr_of(__be32 last, bool v6)
{
	const __be32 prefix[3] = INSTANCE_PREFIX6;
	struct xdplb_addr addr = xdplb_addr_from_ip4(last);

	if (v6)
		memcpy(addr.w, prefix, sizeof(prefix));
	return addr;
}

/* ---- rows of the data plane: pool 0 holds everybody, rows 1 .. of backends are theirs */

static void fill_backends(const struct xdplb_bpf *xdplb)
{
	for (uint32_t id = 1; id <= 2 * BACKENDS; id++) {
		bool v6 = id > BACKENDS;
		struct xdplb_backend backend = {
			.addr = addr_of(INSTANCE_BACKEND(id), v6),
			.nat_addr = addr_of(INSTANCE_NAT(0), v6),
			.nexthop = { LOOPBACK_IFINDEX, { 2, 0, 0, 0, 0, 3 }, { 2, 0, 0, 0, 0, 2 } },
			.port = to_be16(8080),
			.flags = XDPLB_BACKEND_USED | XDPLB_BACKEND_UP | XDPLB_BACKEND_RESOLVED,
			.weight = 1,
		};

		instance_row_write(xdplb->maps.backends, &id, &backend);
	}
}

static void fill_table(const struct xdplb_bpf *xdplb, uint32_t family, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "bench_table", sizeof(uint32_t),
				sizeof(struct xdplb_slot), SLOTS, &options);

	if (fd < 0)
		die("creating a table: %s", strerror(-fd));
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct xdplb_slot slot = { .backend = 1 + family * BACKENDS + i % BACKENDS };

		bpf_map_update_elem(fd, &i, &slot, BPF_ANY);
	}
	instance_row_write(xdplb->maps.tables, &family, &fd);
	close(fd);
}

static void fill_nat(const struct xdplb_bpf *xdplb, uint32_t family)
{
	struct xdplb_nat_range range = {
		.count = NAT_ADDRS,
		.port_min = 10000,
		.port_max = 30000,
	};

	for (uint32_t i = 0; i < NAT_ADDRS; i++)
		range.addr[i] = addr_of(INSTANCE_NAT(i), family == XDPLB_V6);
	instance_row_write(xdplb->maps.nat_ranges, &family, &range);
}

static void fill_service(const struct xdplb_bpf *xdplb, uint32_t id, uint8_t proto, bool v6,
			 uint8_t flags)
{
	struct xdplb_service_key key = {
		.vip = addr_of(INSTANCE_VIP, v6),
		.port = to_be16(INSTANCE_PORT),
		.proto = proto,
	};
	struct xdplb_service service = {
		.id = id, .pool = 0, .idle_ticks = FOREVER, .flags = flags
	};

	instance_row_write(xdplb->maps.services, &key, &service);
}

static void fill_settings(struct xdplb_bpf *xdplb, uint32_t flow_table)
{
	const uint32_t row = 0;
	struct xdplb_settings settings = {
		.abi_version = XDPLB_ABI_VERSION,
		.heartbeat_tick = clock_now_tick() + FOREVER, /* no FIB lookups */
		.syn_ticks = 10000,
		.closing_ticks = 60000,
		.flow_table = flow_table,
		.select_key = { 1, 2, 3, 4 },
	};

	if (getrandom(settings.index_key, sizeof(settings.index_key), 0) !=
	    (ssize_t)sizeof(settings.index_key))
		die("getrandom: %s", strerror(errno));
	instance_row_write(xdplb->maps.settings, &row, &settings);
}

static void fill_all(const struct instance *instance, uint32_t flow_table)
{
	const uint32_t row = 0;
	const struct xdplb_pool pool = {
		.name = "bench",
		.slots = { SLOTS, SLOTS },
		.balance = XDPLB_MAGLEV,
		.used = 1,
	};

	fill_backends(instance->xdplb);
	for (uint32_t family = 0; family < XDPLB_FAMILIES; family++) {
		fill_table(instance->xdplb, family, instance->table_flags);
		fill_nat(instance->xdplb, family);
	}
	instance_row_write(instance->xdplb->maps.pools, &row, &pool);
	fill_service(instance->xdplb, 0, IPPROTO_TCP, false,
		     instance->sniffed ? XDPLB_SERVICE_SNIFF : 0);
	fill_service(instance->xdplb, 1, IPPROTO_TCP, true, 0);
	fill_service(instance->xdplb, 2, IPPROTO_UDP, false, 0);
	fill_settings(instance->xdplb, flow_table);
}

/* What the floor looks up: the flows of KIND_TCP4. */
static void fill_floor(const struct instance *instance)
{
	int fd = bpf_map__fd(instance->wrap->maps.floor_flows);
	struct wrap_floor_key *keys = xcalloc(instance->flows, sizeof(*keys));
	struct wrap_floor_value *values = xcalloc(instance->flows, sizeof(*values));

	for (uint32_t i = 0; i < instance->flows; i++) {
		struct wrap_record record = client_record(KIND_TCP4, i);

		keys[i] = (struct wrap_floor_key){
			.src = record.src,
			.dst = record.dst,
			.sport = record.sport,
			.dport = record.dport,
			.proto = IPPROTO_TCP,
		};
		values[i].port = record.sport;
	}
	for (uint32_t i = 0; i < instance->flows; i += FLOOR_BATCH) {
		uint32_t count = instance->flows - i < FLOOR_BATCH ? instance->flows - i :
								     FLOOR_BATCH;
		int ret = bpf_map_update_batch(fd, keys + i, values + i, &count, NULL);

		if (ret)
			die("filling the LRU map: %s", strerror(-ret));
	}
	free(keys);
	free(values);
}

/* ---- loading */

static void xdplb_load(struct instance *instance, uint32_t flow_table)
{
	struct xdplb_bpf *xdplb = xdplb_bpf__open();
	struct dp_sizes sizes;

	if (!xdplb || !derive_sizes(flow_table, &sizes))
		die("opening the BPF object: %s", strerror(errno));
	bpf_map__set_max_entries(xdplb->maps.flows, sizes.flows);
	bpf_map__set_max_entries(xdplb->maps.flow_free, sizes.flows);
	bpf_map__set_max_entries(xdplb->maps.embryos, sizes.embryos);
	bpf_map__set_max_entries(xdplb->maps.flow_index, sizes.buckets);
	xdplb->rodata->index_mask = sizes.buckets - 1;
	xdplb->rodata->embryo_mask = sizes.embryos - 1;
	xdplb->rodata->flows_max = sizes.flows;
	/* Loading forgets how a selection table is to be made. */
	instance->table_flags = bpf_map__map_flags(bpf_map__inner_map(xdplb->maps.tables));
	if (xdplb_bpf__load(xdplb))
		die("loading the BPF program: %s", strerror(errno));
	instance->embryo_rows = sizes.embryos;
	instance->xdplb = xdplb;
}

static void program_set(const struct wrap_bpf *wrap, uint32_t slot, const struct bpf_program *prog)
{
	int fd = bpf_program__fd(prog);

	instance_row_write(wrap->maps.programs, &slot, &fd);
}

static void wrap_load(struct instance *instance)
{
	struct wrap_bpf *wrap = wrap_bpf__open();

	if (!wrap)
		die("opening the wrapper: %s", strerror(errno));
	bpf_map__set_max_entries(wrap->maps.records, RECORDS_MAX);
	/* An LRU map needs room to spare, or it forgets before it is full. */
	bpf_map__set_max_entries(wrap->maps.floor_flows,
				 instance->flows + instance->flows / 4 + 8192);
	if (wrap_bpf__load(wrap))
		die("loading the wrapper: %s", strerror(errno));
	program_set(wrap, WRAP_XDPLB, instance->xdplb->progs.xdplb);
	program_set(wrap, WRAP_EMPTY, wrap->progs.empty);
	program_set(wrap, WRAP_FLOOR, wrap->progs.floor_nat);
	instance->wrap = wrap;
	instance->plans = wrap->bss->plans;
	instance->records_max = RECORDS_MAX;
	instance->record = map_view(wrap->maps.records, RECORDS_MAX * sizeof(struct wrap_record),
				    PROT_READ | PROT_WRITE);
}

struct instance *instance_open(uint32_t flow_table, uint32_t flows, bool sniffed)
{
	struct instance *instance = xcalloc(1, sizeof(*instance));

	instance->flows = flows;
	instance->sniffed = sniffed;
	instance->worker = -1;
	xdplb_load(instance, flow_table);
	instance->embryos = map_view(instance->xdplb->maps.embryos,
				     instance->embryo_rows * sizeof(struct xdplb_flow), PROT_READ);
	wrap_load(instance);
	fill_all(instance, flow_table);
	if (sniffed)
		instance_sniff(instance);
	else
		fill_floor(instance);
	return instance;
}

void instance_close(struct instance *instance)
{
	munmap((void *)instance->embryos, instance->embryo_rows * sizeof(struct xdplb_flow));
	munmap(instance->record, RECORDS_MAX * sizeof(struct wrap_record));
	if (instance->worker >= 0)
		close(instance->worker);
	wrap_bpf__destroy(instance->wrap);
	xdplb_bpf__destroy(instance->xdplb);
	for (int kind = 0; kind < KINDS_SEEDED; kind++)
		free(instance->seen[kind]);
	free(instance->seeding);
	free(instance);
}

/* ---- records */

uint32_t instance_room(struct instance *instance, uint32_t count)
{
	uint32_t first = instance->records;

	if (instance->records_max - first < count)
		die("more than %u records", instance->records_max);
	instance->records += count;
	return first;
}

/* Number @turn of a walk over 0 .. @count - 1 (a power of two) without a stride. */
static uint32_t walk(uint32_t turn, uint32_t count)
{
	uint32_t mask = count - 1, half = 0;

	while (count >> (2 * half + 2))
		half++;
	turn = (turn * 0x9e3779b1U) & mask;
	turn ^= turn >> (half ? half : 1);
	return (turn * 0x85ebca6bU) & mask;
}

void instance_records(struct instance *instance, struct burst *burst)
{
	burst->first = instance_room(instance, burst->count);
	for (uint32_t i = 0; i < burst->count; i++) {
		uint32_t flow = walk(i, burst->count);

		instance->record[burst->first + i] = burst->reply ?
							     instance->seen[burst->kind][flow] :
							     client_record(burst->kind, flow);
	}
}

/* ---- running */

static int target_program(const struct instance *instance, enum target target)
{
	const struct wrap_bpf *wrap = instance->wrap;

	switch (target) {
	case TARGET_STUB:
		return bpf_program__fd(wrap->progs.stub);
	case TARGET_EMPTY:
		return bpf_program__fd(wrap->progs.wrap_empty);
	case TARGET_FLOOR:
		return bpf_program__fd(wrap->progs.wrap_floor);
	default:
		return bpf_program__fd(wrap->progs.wrap_xdplb);
	}
}

static uint64_t outcome_count(const struct instance *instance, uint32_t outcome, int cpu)
{
	uint64_t counts[WRAP_CPUS] = { 0 };

	if (bpf_map_lookup_elem(bpf_map__fd(instance->xdplb->maps.outcomes), &outcome, counts))
		die("reading outcomes: %s", strerror(errno));
	return counts[cpu];
}

uint32_t instance_embryo_head(const struct instance *instance)
{
	struct xdplb_gauges gauges;
	const uint32_t row = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(instance->xdplb->maps.gauges), &row, &gauges))
		die("reading gauges: %s", strerror(errno));
	return gauges.embryo_head;
}

/* What every packet so far has become, to stderr: where something went wrong. */
static void outcomes_tell(const struct instance *instance)
{
	static const char *const names[] = {
#define X(name, action, help) #name,
		XDPLB_OUTCOMES(X)
#undef X
	};

	for (uint32_t i = 0; i < XDPLB_OUTCOME_MAX; i++) {
		uint64_t count = outcome_count(instance, i, 0);

		if (count)
			fprintf(stderr, "%s %llu\n", names[i], (unsigned long long)count);
	}
}

/* How many of @repeat packets may become something else than expected. */
static uint32_t others_allowed(const struct burst *burst, uint32_t repeat)
{
	if (burst->kind == KIND_SYN4) /* a crowded index refuses a new flow now and then */
		return repeat / REFUSED_SHARE;
	if (client_expected(burst) == XDPLB_DROP_ANSWER_LIMITED)
		return ANSWERED;
	return 0;
}

static void outcome_check(const struct instance *instance, const struct burst *burst,
			  uint64_t counted, uint32_t repeat)
{
	if (repeat - counted <= others_allowed(burst, repeat))
		return;
	outcomes_tell(instance);
	die("kind %d, flags %#x, reply %d: %llu of %u packets had outcome %u", burst->kind,
	    burst->tcp_flags, burst->reply, (unsigned long long)counted, repeat,
	    client_expected(burst));
}

/* Where in the records of @burst this run begins: new clients go on, handshakes start over. */
static uint32_t cursor_begin(const struct instance *instance, const struct burst *burst,
			     uint32_t last)
{
	if (burst->kind == KIND_SYN4)
		return instance->syns;
	return burst->tcp_flags ? 0 : last;
}

uint32_t instance_run(struct instance *instance, enum target target, const struct burst *burst,
		      uint32_t repeat, int cpu)
{
	struct wrap_plan *plan = &instance->plans[cpu];
	uint32_t expected = client_expected(burst), cursor = plan->cursor;
	uint64_t before = outcome_count(instance, expected, cpu);
	uint8_t frame[256] = { 0 };
	int ret;

	client_plan(burst, plan);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = plan->length,
		    .repeat = (int)repeat);
	plan->cursor = cursor_begin(instance, burst, cursor);
	plan->seq = __atomic_fetch_add(&instance->seq, repeat, __ATOMIC_RELAXED) + 1000000;
	ret = bpf_prog_test_run_opts(target_program(instance, target), &options);
	if (ret)
		die("running a program: %s", strerror(-ret));
	if (burst->kind == KIND_SYN4)
		instance->syns = plan->cursor;
	if (target == TARGET_XDPLB)
		outcome_check(instance, burst, outcome_count(instance, expected, cpu) - before,
			      repeat);
	if (target == TARGET_FLOOR && options.retval != XDP_TX)
		die("the floor found no flow");
	return options.duration;
}
