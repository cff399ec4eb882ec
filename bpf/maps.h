/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_MAPS_H
#define XDPLB_BPF_MAPS_H

/*
 * Every map of the data plane, and who writes it. All are pinned by name; what
 * a row means stands in xdplb/abi.h. Sizes of flows, embryos, flow_index and
 * flow_free are set by the loader, which tells them by the constants below.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#include "xdplb/abi.h"
#include "xdplb/outcome.h"

/* Set before loading; both powers of two minus one. */
const volatile __u32 index_mask = (1U << 18) - 1; /* buckets of flow_index - 1 */
const volatile __u32 embryo_mask = (1U << 16) - 1; /* rows of embryos - 1 */
const volatile __u32 flows_max = 262144; /* rows of flows */
const volatile __u32 old_index_mask; /* buckets of old_flow_index - 1 */
const volatile bool moving; /* flows are being taken over from the old_ maps */

struct { /* user writes, BPF reads */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XDPLB_MAX_LISTENERS);
	__type(key, struct xdplb_service_key);
	__type(value, struct xdplb_service);
} services SEC(".maps");

struct { /* user writes, BPF reads */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDPLB_MAX_POOLS);
	__type(key, __u32);
	__type(value, struct xdplb_pool);
} pools SEC(".maps");

struct selection_table { /* its max_entries is that of the table it stands for */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE); /* filled through its mapping */
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct xdplb_slot));
};

struct { /* user swaps a whole table at once, BPF reads; row = pool * XDPLB_FAMILIES + family */
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, XDPLB_MAX_POOLS *XDPLB_FAMILIES);
	__type(key, __u32);
	__array(values, struct selection_table);
} tables SEC(".maps");

struct { /* BPF writes, atomically: where round-robin stands; rows as in tables */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDPLB_MAX_POOLS *XDPLB_FAMILIES);
	__type(key, __u32);
	__type(value, __u32);
} turns SEC(".maps");

struct { /* user writes, BPF reads; without the daemon BPF refreshes the next hop */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDPLB_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct xdplb_backend);
} backends SEC(".maps");

struct { /* BPF writes, atomically */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDPLB_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct xdplb_backend_state);
} backend_state SEC(".maps");

struct { /* BPF writes, user sums over CPUs */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDPLB_MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct xdplb_stats);
} backend_stats SEC(".maps");

struct { /* BPF writes, user sums over CPUs */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDPLB_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct xdplb_stats);
} service_stats SEC(".maps");

struct { /* BPF writes (flow.h), user reads; mapped memory, so that a row starts a cache line */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 262144);
	__type(key, __u32);
	__type(value, struct xdplb_flow);
} flows SEC(".maps");

struct { /* BPF writes (flow.h), user reads */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 16);
	__type(key, __u32);
	__type(value, struct xdplb_flow);
} embryos SEC(".maps");

struct { /* BPF writes (flow.h) */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 18);
	__type(key, __u32);
	__type(value, struct xdplb_bucket);
} flow_index SEC(".maps");

struct { /* BPF writes (flow.h): rows of flows that are free again, oldest first */
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 262144);
	__type(value, __u32);
} flow_free SEC(".maps");

/*
 * The tables of a predecessor whose flow_table was of another size, while
 * their flows are taken over (flow_move.h); one row, unused, otherwise.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdplb_flow);
} old_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdplb_flow);
} old_embryos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdplb_bucket);
} old_flow_index SEC(".maps");

#define XDPLB_INDEX_LOCKS 4096

struct index_lock {
	struct bpf_spin_lock lock;
};

struct { /* BPF takes (flow.h): keeps two CPUs from inserting the same key */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDPLB_INDEX_LOCKS);
	__type(key, __u32);
	__type(value, struct index_lock);
} index_locks SEC(".maps");

struct { /* BPF writes, atomically */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdplb_gauges);
} gauges SEC(".maps");

struct { /* user writes the buffer that settings.nat_buffer does not name, BPF reads */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * XDPLB_FAMILIES);
	__type(key, __u32);
	__type(value, struct xdplb_nat_range);
} nat_ranges SEC(".maps");

struct { /* user writes through its mapping, BPF reads */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdplb_settings);
} settings SEC(".maps");

struct { /* user writes: interfaces that packets may be redirected to */
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} egress SEC(".maps");

struct { /* BPF writes: rows enum xdplb_allowed */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDPLB_ALLOWED_MAX);
	__type(key, __u32);
	__type(value, struct xdplb_allowance);
} allowance SEC(".maps");

struct { /* BPF writes, user sums over CPUs */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDPLB_OUTCOME_MAX);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

struct { /* BPF writes, user sums over CPUs */
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDPLB_EVENT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} flow_events SEC(".maps");

/* ---- sniffing */

struct { /* user writes: one AF_XDP socket per interface slot and queue; a closed one leaves by itself */
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, XDPLB_WORKER_SLOTS *XDPLB_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct { /* user writes, BPF reads: ifindex -> interface slot */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, XDPLB_WORKER_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} worker_slots SEC(".maps");

enum { /* rows of programs */
	PROGRAM_SNIFF,
	PROGRAM_ICMP,
	PROGRAMS
};

int sniff(struct xdp_md *ctx);
int icmp(struct xdp_md *ctx);

struct { /* libbpf writes at load, also where the map was pinned before: what `xdplb` goes on in */
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PROGRAMS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} programs SEC(".maps") = {
	.values = { [PROGRAM_SNIFF] = (void *)&sniff, [PROGRAM_ICMP] = (void *)&icmp },
};

struct { /* user writes through its mapping, BPF reads */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct xdplb_cookie_secrets);
} cookie_secrets SEC(".maps");

struct { /* BPF writes; grows as it is used */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XDPLB_MAX_SNIFFS);
	__type(key, struct xdplb_sniff_key);
	__type(value, struct xdplb_sniff);
} sniffs SEC(".maps");

struct { /* BPF writes (handshake.h); the least lately noted give their places */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 12);
	__type(key, struct xdplb_sniff_key);
	__type(value, struct xdplb_handshake);
} handshakes SEC(".maps");

struct { /* BPF writes: rows by service id */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDPLB_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct xdplb_offer);
} sniff_offers SEC(".maps");

struct { /* BPF writes, user sums over CPUs */
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, XDPLB_MAX_SERVICES * 4);
	__type(key, struct xdplb_sniffed_key);
	__type(value, __u64);
} sniffed SEC(".maps");

struct { /* BPF writes */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct xdplb_cid_key);
	__type(value, struct xdplb_cid);
} quic_cids SEC(".maps");

struct { /* BPF writes, atomically: rows by service id */
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, XDPLB_MAX_SERVICES);
	__type(key, __u32);
	__type(value, __u32);
} cid_lengths SEC(".maps");

#endif /* XDPLB_BPF_MAPS_H */
