// SPDX-License-Identifier: GPL-2.0-only
/* Segments of either side passed on as XDP will do once it has taken over. */
#include <string.h>

#include "worker/icmp.h"
#include "worker/tcp_parts.h"
#include "xdplb/splice.h"

static void answer_send(struct tcp *tcp, struct conn *conn, const uint8_t *frame, size_t len)
{
	uint32_t mtu = conn->peer->mss + (uint32_t)(SEGMENT_PACKET - segment_mss(conn->tuple.v6));
	uint8_t answer[ICMP_FRAME_MAX];
	size_t answer_len = icmp_too_big(answer, frame, len, mtu);

	conn->peer->told = true;
	if (!answer_len)
		return;
	tcp->env.ops->send(tcp->env.ctx, conn->ifindex, answer, answer_len);
	tcp->env.stats->packets_out++;
}

/*
 * Our SYN-ACK promised more than this backend takes: RFC 1191, 4, RFC 8201, 4.
 * Quotes the first segment that is not acknowledged, as the client checks that.
 */
void client_too_big(struct tcp *tcp, struct conn *conn)
{
	uint16_t most = segment_mss(conn->tuple.v6), len = conn->longest;
	struct segment segment = { .tuple = &conn->tuple,
				   .macs = conn->macs,
				   .ttl = conn->ttl,
				   .flags = SEGMENT_ACK,
				   .window = conn->window,
				   .seq = client_seq(conn, conn->owned),
				   .ack = conn->client_ack };
	struct segment_frame frame;

	if (conn->peer->told)
		return;
	len = len < most ? len : most;
	segment.len = len < conn->in.size ? len : conn->in.size;
	segment.data = conn->in.data;
	answer_send(tcp, conn, frame.data, segment_build(&segment, &frame));
}

void segment_forward(struct tcp *tcp, struct conn *conn, struct arrival *in, enum xdplb_dir dir)
{
	struct peer *peer = conn->peer;
	bool out = dir == XDPLB_TO_BACKEND;
	const struct xdplb_nexthop *nexthop = &peer->nexthop;

	if (xdplb_pkt_ttl(&in->pkt) <= 1) {
		tcp->env.stats->dropped++;
		return;
	}
	if (out && in->len > peer->mss && !peer->told)
		answer_send(tcp, conn, in->frame, in->frame_len);
	if (out)
		xdplb_splice_to_backend(&in->pkt, &peer->splice);
	else
		xdplb_splice_to_client(&in->pkt, &peer->splice);
	xdplb_pkt_rewrite(&in->pkt, &peer->half[dir]);
	memcpy(in->frame, out ? nexthop->dst_mac : conn->macs + ETH_ALEN, ETH_ALEN);
	memcpy(in->frame + ETH_ALEN, out ? nexthop->src_mac : conn->macs, ETH_ALEN);
	peer->packets[dir]++;
	peer->bytes[dir] += in->pkt.ip_len;
	tcp->env.ops->send(tcp->env.ctx, out ? nexthop->ifindex : conn->ifindex, in->frame,
			   in->frame_len);
	tcp->env.stats->packets_out++;
}
