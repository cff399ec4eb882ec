/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_CIDS_H
#define XDPLB_BPF_CIDS_H

/*
 * QUIC connections that are known (RFC 9000, 5.1): the ids that servers choose
 * are learned from their long headers, which say them in the clear (RFC 8999,
 * 5.1), and a client that comes from another address is led back by them. Ids
 * that a server gives out later are encrypted: who changes its id deliberately
 * (RFC 9000, 9.5) is a stranger.
 */
#include "open.h"
#include "xdplb/protocol.h"

enum {
	QUIC_LONG = 0x80,
	QUIC_HEAD = 6, /* a long header's first byte, version, length of the first id */
	CID_TRIES = 4
};

struct cid_walk {
	struct xdplb_cid_key key;
	__u32 lengths; /* that may be: a bit each */
	__u32 tries;
	struct xdplb_cid found; /* backend 0: not yet */
};

/* One length, the longest first; what lies behind it in the key is 0. */
static long cid_step(__u32 index, void *arg)
{
	struct cid_walk *walk = arg;
	__u32 last = XDPLB_CID_MAX - 1 - index, len = last + 1;
	const struct xdplb_cid *row;

	if (last >= XDPLB_CID_MAX)
		return 1;
	if (walk->lengths >> len & 1) {
		walk->key.len = (__u8)len;
		row = bpf_map_lookup_elem(&quic_cids, &walk->key);
		if (row)
			walk->found = *row;
		if (row || ++walk->tries == CID_TRIES)
			return 1;
	}
	walk->key.id[last] = 0;
	return 0;
}

/* Bytes from @at on, at most @max, into @id; how many. */
static __always_inline __u32 cid_load(struct xdp_md *ctx, __u32 at, __u8 *id, __u32 max)
{
	__asm__("" : "+r"(max)); /* the bound below must be tested, whatever the compiler knows */
	if (max < 1 || max > XDPLB_CID_MAX || bpf_xdp_load_bytes(ctx, at, id, max))
		return 0;
	return max;
}

/* Where the payload of @p begins, and how long it is. */
static __always_inline __u32 udp_payload(const struct packet *p, __u32 *len)
{
	const struct udphdr *udp = xdplb_pkt_udp(&p->pkt);
	__u32 size = udp ? from_be16(udp->len) : 0;

	*len = size > sizeof(*udp) ? size - (__u32)sizeof(*udp) : 0;
	return ETH_HLEN + p->pkt.l4_offset + (__u32)sizeof(*udp);
}

/*
 * Does the datagram name a connection of @service that a backend has chosen
 * the id of? Its @len bytes of payload begin at @at.
 */
__noinline bool cid_find(struct xdp_md *ctx, __u32 at, __u32 len, __u32 service,
			 struct xdplb_cid *cid)
{
	const __u32 *lengths = bpf_map_lookup_elem(&cid_lengths, &service);
	struct cid_walk walk = { .key.service = service };
	__u8 head[QUIC_HEAD];

	if (!lengths || !*lengths || !cid || len < QUIC_HEAD ||
	    bpf_xdp_load_bytes(ctx, at, head, QUIC_HEAD))
		return false;
	if (head[0] & QUIC_LONG) {
		len = cid_load(ctx, at + QUIC_HEAD, walk.key.id, head[5]);
		walk.lengths = *lengths & 1U << (len & 31);
	} else { /* its "fixed" bit may be anything, RFC 9287 */
		len--;
		len = cid_load(ctx, at + 1, walk.key.id, len < XDPLB_CID_MAX ? len : XDPLB_CID_MAX);
		walk.lengths = *lengths & ((2U << (len & 31)) - 1);
	}
	walk.lengths &= ~1U;
	if (walk.lengths)
		bpf_loop(XDPLB_CID_MAX, cid_step, &walk, 0);
	*cid = walk.found;
	return walk.found.backend;
}

/* The row may have gone to another backend since; at worst that one does not know the id either. */
static __always_inline bool cid_usable(const struct packet *p, const struct xdplb_cid *cid)
{
	const struct xdplb_backend *backend = bpf_map_lookup_elem(&backends, &cid->backend);

	return backend && backend->flags & XDPLB_BACKEND_USED &&
	       xdplb_addr_is_ip4(&backend->addr) == !p->pkt.tuple.v6;
}

/* RFC 9000, 9: a client has another address: a flow of its own, to the same backend. */
static __always_inline enum xdplb_outcome quic_follow(struct packet *p, const struct xdplb_cid *cid,
						      bool keep_address)
{
	enum xdplb_outcome out;
	struct xdplb_flow *flow;

	p->backend = cid->backend;
	out = flow_create(p, cid->idle_ticks, keep_address);
	if (out)
		return out;
	flow = flow_at(p->slot);
	if (!flow)
		return XDPLB_DROP_BUSY;
	flow->splice = (struct xdplb_splice){ .protocol = XDPLB_PROTOCOL_QUIC };
	flow->half[XDPLB_TO_BACKEND].flags |= XDPLB_HALF_QUIC;
	flow->half[XDPLB_TO_CLIENT].flags |= XDPLB_HALF_QUIC;
	event_count(XDPLB_EVENT_QUIC_MIGRATED);
	return XDPLB_CONTINUE;
}

/* In `xdplb`: a server's long header says by which id it wants to be called. RFC 8999, 5.1. */
__noinline int cid_learn(struct xdp_md *ctx, __u32 at, __u32 len, __u32 ids, __u32 idle_ticks)
{
	struct xdplb_cid_key key = { .service = XDPLB_IDS_SERVICE(ids) };
	struct xdplb_cid cid = { .backend = XDPLB_IDS_BACKEND(ids), .idle_ticks = idle_ticks };
	const struct xdplb_cid *known;
	__u8 head[QUIC_HEAD], size;
	__u32 *lengths;

	if (len < QUIC_HEAD || bpf_xdp_load_bytes(ctx, at, head, QUIC_HEAD) ||
	    !(head[0] & QUIC_LONG) || head[5] > XDPLB_CID_MAX ||
	    !(head[1] | head[2] | head[3] | head[4])) /* version 0 repeats the client's ids */
		return 0;
	at += QUIC_HEAD + head[5];
	if (bpf_xdp_load_bytes(ctx, at, &size, 1))
		return 0;
	key.len = (__u8)cid_load(ctx, at + 1, key.id, size);
	if (!key.len)
		return 0;
	known = bpf_map_lookup_elem(&quic_cids, &key);
	if (!known || known->backend != cid.backend)
		bpf_map_update_elem(&quic_cids, &key, &cid, BPF_ANY);
	lengths = bpf_map_lookup_elem(&cid_lengths, &key.service);
	if (lengths && !(*lengths >> (key.len & 31) & 1))
		__sync_fetch_and_or(lengths, 1U << (key.len & 31));
	return 0;
}

/* A packet of a QUIC flow's server. */
static __always_inline void quic_look(struct xdp_md *ctx, const struct packet *p,
				      const struct xdplb_half *half)
{
	const struct xdplb_flow *flow = flow_at(p->slot);
	__u32 len, at = udp_payload(p, &len);

	if (flow)
		cid_learn(ctx, at, len, half->ids, flow->half[XDPLB_TO_BACKEND].idle_ticks);
}

#endif /* XDPLB_BPF_CIDS_H */
