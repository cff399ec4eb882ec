// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live frames: `send` is run by BPF_PROG_TEST_RUN and makes UDP packets of its
 * frames, whole headers each time since frames come back; `sink` counts and
 * drops what arrives; `pass` lets a veth take and give XDP frames.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "pktgen.h"

#define PORTS_A_HOST 16384 /* flows that differ in the port only */
#define FIRST_PORT 40000

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
	return XDP_TX;
}

SEC("xdp.frags")
int sink(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 zero = 0;
	struct pktgen_seen *count = bpf_map_lookup_elem(&seen, &zero);

	if (!count)
		return XDP_ABORTED;
	if ((void *)(udp + 1) <= (void *)(long)ctx->data_end &&
	    eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_UDP &&
	    udp->dest == wanted_port)
		count->wanted++;
	else
		count->other++;
	return XDP_DROP;
}

SEC("xdp.frags")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
