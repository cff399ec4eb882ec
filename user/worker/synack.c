// SPDX-License-Identifier: GPL-2.0-only
#include "worker/synack.h"

#include <string.h>

#include "xdplb/addr.h"
#include "xdplb/cookie.h"

#define TTL 64 /* as of the first one */

size_t synack_build(const struct xdplb_sniff_key *key, const struct xdplb_handshake *handshake,
		    struct segment_frame *frame)
{
	bool v6 = !xdplb_addr_is_ip4(&key->src);
	struct xdplb_tuple tuple = { .src = key->src.w[3],
				     .dst = key->dst.w[3],
				     .sport = key->sport,
				     .dport = key->dport,
				     .proto = IPPROTO_TCP,
				     .v6 = v6 };
	struct segment segment = { .tuple = &tuple,
				   .to_client = true,
				   .macs = handshake->macs,
				   .ttl = TTL,
				   .flags = SEGMENT_SYN | SEGMENT_ACK,
				   .window = XDPLB_SNIFF_WINDOW,
				   .seq = handshake->isn,
				   .ack = handshake->client_isn + 1 };
	struct xdplb_cookie_options options;

	for (int i = 0; i < 3 && v6; i++) {
		tuple.src_hi[i] = key->src.w[i];
		tuple.dst_hi[i] = key->dst.w[i];
	}
	xdplb_cookie_options(handshake->isn, &options);
	segment_add_mss(&segment, handshake->mss);
	if (options.sack)
		segment_add_sack_permitted(&segment);
	if (options.our_wscale != XDPLB_NO_WSCALE)
		segment_add_wscale(&segment, options.our_wscale);
	return segment_build(&segment, frame);
}
