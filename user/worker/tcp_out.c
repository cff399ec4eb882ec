// SPDX-License-Identifier: GPL-2.0-only
/* What the mini TCP sends and asks for. */
#include <string.h>

#include "worker/icmp.h"
#include "worker/tcp_parts.h"

#define TTL_DEFAULT 64

static void frame_send(struct tcp *tcp, uint32_t ifindex, const void *frame, size_t len)
{
	tcp->env.ops->send(tcp->env.ctx, ifindex, frame, len);
	tcp->env.stats->packets_out++;
}

/* ---- to the client */

static void client_send(struct tcp *tcp, const struct conn *conn, struct segment *segment)
{
	struct segment_frame frame;

	segment->tuple = &conn->tuple;
	segment->to_client = true;
	segment->macs = conn->macs;
	segment->ttl = TTL_DEFAULT;
	segment->seq = conn->client_ack;
	frame_send(tcp, conn->ifindex, frame.data, segment_build(segment, &frame));
}

/*
 * What room there is in the client's units (RFC 7323, 2.4). Rounded up, as down
 * could close the window; bytes beyond the room are only repeated.
 */
static uint16_t client_window(const struct conn *conn)
{
	uint32_t scale = conn->our_wscale == SEGMENT_NO_SCALE ? 0 : conn->our_wscale;
	uint32_t room = COLLECT_MAX - conn->owned;

	return (uint16_t)((room + (1U << scale) - 1) >> scale);
}

/*
 * Acknowledges what is owned. @again: a retransmission that we have already, named
 * in a D-SACK (RFC 2883, 4), by which the client takes its slowing down back.
 */
void client_ack_send(struct tcp *tcp, struct conn *conn, const struct arrival *again)
{
	struct segment segment = { .flags = SEGMENT_ACK,
				   .ack = client_seq(conn, conn->owned),
				   .window = client_window(conn) };

	if (again && conn->sack && again->len &&
	    client_offset(conn, again->seq + (uint32_t)again->len) <= conn->owned)
		segment_add_sack(&segment, again->seq, again->seq + (uint32_t)again->len);
	client_send(tcp, conn, &segment);
}

/* Its number is the one that the client expects: RFC 5961, 3.2 */
void client_reset(struct tcp *tcp, struct conn *conn)
{
	struct segment segment = { .flags = SEGMENT_RST | SEGMENT_ACK,
				   .ack = client_seq(conn,
						     conn->in.len + collect_ended(&conn->in)) };

	client_send(tcp, conn, &segment);
}

/* ---- to the backend */

/* @segment, addressed as the client's packets are, becomes what the flow makes of it. */
static void backend_send(struct tcp *tcp, struct conn *conn, struct segment *segment)
{
	struct peer *peer = conn->peer;
	struct segment_frame frame;
	struct xdplb_pkt pkt;
	size_t len;

	segment->tuple = &conn->tuple;
	segment->macs = conn->macs;
	segment->ttl = conn->ttl > 1 ? conn->ttl : TTL_DEFAULT;
	len = segment_build(segment, &frame);
	if (xdplb_pkt_parse(frame.data, frame.data + len, &pkt))
		return;
	xdplb_pkt_rewrite(&pkt, &peer->half[XDPLB_TO_BACKEND]);
	memcpy(frame.data, peer->nexthop.dst_mac, ETH_ALEN);
	memcpy(frame.data + ETH_ALEN, peer->nexthop.src_mac, ETH_ALEN);
	peer->packets[XDPLB_TO_BACKEND]++;
	peer->bytes[XDPLB_TO_BACKEND] += pkt.ip_len;
	frame_send(tcp, peer->nexthop.ifindex, frame.data, len);
}

/* Did we promise the client to understand its scaled windows? Then its SYN's go on to the backend. */
static bool is_scaled(const struct conn *conn)
{
	return conn->wscale != SEGMENT_NO_SCALE && conn->our_wscale != SEGMENT_NO_SCALE;
}

static uint16_t saturate(uint32_t window)
{
	return window > UINT16_MAX ? UINT16_MAX : (uint16_t)window;
}

/* The client's SYN as it might have been; a window in a SYN is never scaled (RFC 7323, 2.2). */
void backend_syn(struct tcp *tcp, struct conn *conn)
{
	uint16_t mss = segment_mss(conn->tuple.v6);
	struct segment segment = { .flags = SEGMENT_SYN, .seq = conn->client_isn };

	segment.window = saturate((uint32_t)conn->window << (is_scaled(conn) ? conn->wscale : 0));
	segment_add_mss(&segment, conn->mss && conn->mss < mss ? conn->mss : mss);
	if (conn->sack)
		segment_add_sack_permitted(&segment);
	if (is_scaled(conn))
		segment_add_wscale(&segment, conn->wscale);
	backend_send(tcp, conn, &segment);
}

uint8_t client_scale(const struct conn *conn, uint8_t backend_wscale)
{
	return is_scaled(conn) && backend_wscale == SEGMENT_NO_SCALE ? conn->wscale : 0;
}

void backend_reset(struct tcp *tcp, struct conn *conn, uint32_t seq)
{
	struct segment segment = { .flags = SEGMENT_RST, .seq = seq };

	backend_send(tcp, conn, &segment);
}

void backend_segment(struct tcp *tcp, struct conn *conn, uint32_t from, uint32_t to, uint8_t flags)
{
	const struct peer *peer = conn->peer;
	uint32_t window = conn->window;
	struct segment segment = { .flags = SEGMENT_ACK | flags,
				   .seq = client_seq(conn, from),
				   .ack = conn->client_ack + peer->splice.delta,
				   .data = to > from ? conn->in.data + from : NULL,
				   .len = (uint16_t)(to - from) };

	segment.window = saturate(window << peer->splice.scale);
	backend_send(tcp, conn, &segment);
}

/* ---- commands */

void command_fill(const struct tcp *tcp, const struct conn *conn, struct xdplb_command *command,
		  enum xdplb_command_op op, uint32_t event)
{
	memset(command, 0, sizeof(*command));
	command->op = op;
	command->result = XDPLB_CONTINUE;
	command->event = event;
	command->service = conn->service;
	command->ifindex = conn->ifindex;
	command->protocol = XDPLB_PROTOCOL_MAX;
	command->worker = tcp->env.worker;
	command->conn = conn->handle;
	command->isn = conn->isn;
	if (!conn->peer)
		return;
	command->backend = conn->peer->backend;
	command->life = conn->peer->life;
	command->slot = conn->peer->slot;
}

/* The frame that goes along is the client's SYN, whatever is asked for. */
bool command_run(struct tcp *tcp, struct conn *conn, struct xdplb_command *command)
{
	struct segment segment = { .tuple = &conn->tuple,
				   .macs = conn->macs,
				   .ttl = conn->ttl > 1 ? conn->ttl : TTL_DEFAULT,
				   .flags = SEGMENT_SYN,
				   .window = conn->window,
				   .seq = conn->client_isn };
	struct segment_frame frame;
	size_t len = segment_build(&segment, &frame);

	tcp->env.stats->commands++;
	return tcp->env.ops->command(tcp->env.ctx, command, frame.data, len);
}

void flow_close(struct tcp *tcp, struct conn *conn)
{
	struct xdplb_command command;

	if (!conn->peer || !conn->peer->backend)
		return;
	command_fill(tcp, conn, &command, XDPLB_COMMAND_CLOSE, XDPLB_NO_EVENT);
	command_run(tcp, conn, &command);
	conn->peer->backend = 0;
}

void row_forget(struct tcp *tcp, struct conn *conn, uint32_t event)
{
	struct xdplb_command command;

	command_fill(tcp, conn, &command, XDPLB_COMMAND_FORGET, event);
	command_run(tcp, conn, &command);
}

void protocol_count(struct tcp *tcp, struct conn *conn, uint32_t event, uint32_t protocol)
{
	struct xdplb_command command;

	command_fill(tcp, conn, &command, XDPLB_COMMAND_COUNT, event);
	command.backend = 0;
	command.protocol = protocol;
	command_run(tcp, conn, &command);
}

void conn_refuse(struct tcp *tcp, struct conn *conn, uint32_t event)
{
	client_reset(tcp, conn);
	flow_close(tcp, conn);
	row_forget(tcp, conn, event);
	conn_free(tcp, conn);
}
