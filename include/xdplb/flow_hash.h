/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_FLOW_HASH_H
#define XDPLB_FLOW_HASH_H

/*
 * The keyed hash of addresses and ports: of the flow index (secret and of
 * this host alone) and of the choice of backends (the same on every node that
 * shares hash_seed). Multiply and fold with secret factors: a sender who
 * doesn't see the results can't aim at a bucket.
 */
#include "xdplb/abi.h"
#include "xdplb/endian.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Addresses, ports and protocol of a packet, as it arrives. For IPv4 the first words are 0. */
struct xdplb_tuple {
	__be32 src, dst; /* last words */
	__be16 sport, dport;
	__u8 proto;
	__u8 v6;
	__u16 pad;
	__be32 src_hi[3], dst_hi[3];
};

static __always_inline __u64 xdplb_fold(__u64 hash, __u64 word, __u64 factor)
{
	hash = (hash ^ word) * (factor | 1);
	return hash ^ hash >> 32;
}

static __always_inline __u64 xdplb_pair(__be32 low, __be32 high)
{
	return (XDPLB_FORCE __u64)low | (XDPLB_FORCE __u64)high << 32;
}

static __always_inline __u64 xdplb_flow_hash(const __u64 key[4], const struct xdplb_tuple *tuple)
{
	__u64 ports = (XDPLB_FORCE __u64)tuple->sport | (XDPLB_FORCE __u64)tuple->dport << 16 |
		      (__u64)tuple->proto << 32 | (__u64)tuple->v6 << 40;
	__u64 hash = xdplb_fold(key[0], xdplb_pair(tuple->src, tuple->dst), key[1]);

	if (tuple->v6) {
		hash = xdplb_fold(hash, xdplb_pair(tuple->src_hi[0], tuple->dst_hi[0]), key[3]);
		hash = xdplb_fold(hash, xdplb_pair(tuple->src_hi[1], tuple->dst_hi[1]), key[1]);
		hash = xdplb_fold(hash, xdplb_pair(tuple->src_hi[2], tuple->dst_hi[2]), key[3]);
	}
	hash = xdplb_fold(hash, ports ^ key[2], key[3]);
	return xdplb_fold(hash, key[0], 0x9e3779b97f4a7c15ULL);
}

/* Of the client alone: address, and port where @port. TCP and UDP of a client meet. */
static __always_inline __u64 xdplb_source_hash(const __u64 key[4], const struct xdplb_tuple *tuple,
					       __be16 port)
{
	struct xdplb_tuple source = { .src = tuple->src, .sport = port, .v6 = tuple->v6 };

	for (int i = 0; i < 3; i++)
		source.src_hi[i] = tuple->src_hi[i];
	return xdplb_flow_hash(key, &source);
}

/* A number below @count, each as likely. */
static __always_inline __u32 xdplb_scale(__u64 hash, __u32 count)
{
	return (__u32)((hash >> 32) * count >> 32);
}

#endif /* XDPLB_FLOW_HASH_H */
