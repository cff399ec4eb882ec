// SPDX-License-Identifier: GPL-2.0-only
/*
 * Around a program that is measured by BPF_PROG_TEST_RUN with many repeats,
 * which does not restore the packet: each run makes the next flow's packet of
 * the frame, then goes on in the program under test. `stub` does the same and
 * ends there: what it costs is subtracted.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#include "wrap.h"

char _license[] SEC("license") = "GPL";

struct wrap_plan plans[WRAP_CPUS];

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wrap_record);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, WRAP_SLOTS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct wrap_floor_key);
	__type(value, struct wrap_floor_value);
} floor_flows SEC(".maps");

struct ports { /* TCP and UDP alike */
	__be16 sport, dport;
	__be32 seq; /* TCP */
};

static __always_inline bool record_write(void *data, void *end, const struct wrap_plan *plan,
					 const struct wrap_record *record)
{
	__be32 *src = data + (plan->v6 ? 34 : 26), *dst = data + (plan->v6 ? 50 : 30);
	struct ports *ports = data + (plan->v6 ? 54 : 34);

	if ((void *)(dst + 1) > end || (void *)(ports + 1) > end)
		return false;
	*src = record->src;
	*dst = record->dst;
	ports->sport = record->sport;
	ports->dport = record->dport;
	if (plan->seq_step)
		ports->seq = bpf_htonl(plan->seq);
	return true;
}

static __always_inline bool packet_restore(struct xdp_md *ctx)
{
	struct wrap_plan *plan = &plans[bpf_get_smp_processor_id() & (WRAP_CPUS - 1)];
	__u32 row = plan->first + (plan->cursor++ & plan->mask);
	const struct wrap_record *record = bpf_map_lookup_elem(&records, &row);
	__u32 length = (__u32)(ctx->data_end - ctx->data);
	__u64 *data;
	void *end;

	if (length != plan->length && bpf_xdp_adjust_tail(ctx, (int)(plan->length - length)))
		return false;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (!record || (void *)(data + WRAP_WORDS) > end)
		return false;
#pragma unroll
	for (int i = 0; i < WRAP_WORDS; i++)
		data[i] = plan->header[i];
	plan->seq += plan->seq_step;
	return record_write(data, end, plan, record);
}

SEC("xdp.frags")
int stub(struct xdp_md *ctx)
{
	return packet_restore(ctx) ? XDP_TX : XDP_ABORTED;
}

/* The slot is a constant each time: the call becomes a plain jump. */
SEC("xdp.frags")
int wrap_xdplb(struct xdp_md *ctx)
{
	if (packet_restore(ctx))
		bpf_tail_call(ctx, &programs, WRAP_XDPLB);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int wrap_empty(struct xdp_md *ctx)
{
	if (packet_restore(ctx))
		bpf_tail_call(ctx, &programs, WRAP_EMPTY);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int wrap_floor(struct xdp_md *ctx)
{
	if (packet_restore(ctx))
		bpf_tail_call(ctx, &programs, WRAP_FLOOR);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

static __always_inline int frame_return(struct ethhdr *eth)
{
	__u16 *half = (__u16 *)eth, mac;

#pragma unroll
	for (int i = 0; i < ETH_ALEN / 2; i++) {
		mac = half[i];
		half[i] = half[i + ETH_ALEN / 2];
		half[i + ETH_ALEN / 2] = mac;
	}
	return XDP_TX;
}

/* The least a NAT can do: parse, one lookup in an LRU map, and back by the way it came. */
SEC("xdp.frags")
int floor_nat(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *ports = (void *)(ip + 1);
	struct wrap_floor_key key = { 0 };

	if ((void *)(ports + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4 ||
	    ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_UDP &&
	    (ip->protocol != IPPROTO_TCP || (void *)ports + sizeof(struct tcphdr) > end))
		return XDP_PASS;
	key.src = ip->saddr;
	key.dst = ip->daddr;
	key.sport = ports->source;
	key.dport = ports->dest;
	key.proto = ip->protocol;
	if (!bpf_map_lookup_elem(&floor_flows, &key))
		return XDP_PASS;
	return frame_return(eth);
}
