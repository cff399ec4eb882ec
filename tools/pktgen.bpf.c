// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live frames: `send` is run by BPF_PROG_TEST_RUN and makes UDP packets of its
 * frames, whole headers each time since frames come back; `sink` counts and
 * drops what arrives; `pass` lets a veth take and give XDP frames, and drops
 * what is sent to the addresses of a flood.
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

#include "pktgen.h"

#define PORTS_A_HOST 16384 /* flows that differ in the port only */
#define FIRST_PORT 40000
#define FLOOD_NET 0x64400000 /* 100.64.0.0/10: nobody's */
#define FLOOD_MASK 0xffc00000

char _license[] SEC("license") = "GPL";

struct pktgen_plan plans[PKTGEN_CPUS];
__be16 wanted_port; /* of the sink */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pktgen_seen);
} seen SEC(".maps");

static __always_inline __u16 sum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

static __always_inline bool tcp_finish(void *data, void *end, const struct pktgen_plan *plan,
				       __u32 src)
{
	struct tcphdr *tcp = data + ETH_HLEN + sizeof(struct iphdr);
	__u32 sum;

	if ((void *)(tcp + 1) > end)
		return false;
	sum = plan->l4_sum + (src >> 16) + (src & 0xffff) + bpf_ntohs(tcp->source);
	tcp->check = bpf_htons(sum_fold(sum));
	return true;
}

SEC("xdp.frags")
int send(struct xdp_md *ctx)
{
	__u64 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	struct pktgen_plan *plan = &plans[bpf_get_smp_processor_id() & (PKTGEN_CPUS - 1)];
	__u32 flow, src;

	if ((void *)(data + PKTGEN_WORDS) > end || !plan->flows)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < PKTGEN_WORDS; i++)
		data[i] = plan->header[i];
	flow = plan->first + plan->cursor++ % plan->flows;
	src = plan->src + flow / PORTS_A_HOST;
	ip->saddr = bpf_htonl(src);
	ip->check = bpf_htons(sum_fold(plan->sum + (src >> 16) + (src & 0xffff)));
	udp->source = bpf_htons((__u16)(FIRST_PORT + flow % PORTS_A_HOST));
	return !plan->tcp || tcp_finish(data, end, plan, src) ? XDP_TX : XDP_ABORTED;
}

static __always_inline bool is_wanted(const struct ethhdr *eth, const void *end)
{
	const struct iphdr *ip = (void *)(eth + 1);
	const struct udphdr *udp = (void *)(ip + 1); /* the ports of TCP lie as they do here */

	return (void *)(udp + 1) <= end && eth->h_proto == bpf_htons(ETH_P_IP) &&
	       (ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_TCP) &&
	       udp->dest == wanted_port;
}

SEC("xdp.frags")
int sink(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct pktgen_seen *count = bpf_map_lookup_elem(&seen, &zero);

	if (!count)
		return XDP_ABORTED;
	if (is_wanted((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		count->wanted++;
	else
		count->other++;
	return XDP_DROP;
}

SEC("xdp.frags")
int pass(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 zero = 0;
	struct pktgen_seen *count = bpf_map_lookup_elem(&seen, &zero);

	if (!count || (void *)(ip + 1) > (void *)(long)ctx->data_end ||
	    eth->h_proto != bpf_htons(ETH_P_IP) || (bpf_ntohl(ip->daddr) & FLOOD_MASK) != FLOOD_NET)
		return XDP_PASS;
	count->wanted++;
	return XDP_DROP;
}
