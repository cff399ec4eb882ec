// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the backend's SYN-ACK until the connection is none of ours. What the
 * client still holds itself is sent on once the flow tables translate, as its
 * own retransmission mends a loss; what we acknowledged must arrive before.
 */
#include <string.h>

#include "worker/tcp_parts.h"

static bool seq_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* ---- what is held */

static uint32_t acked(const struct conn *conn)
{
	int32_t at = client_offset(conn, conn->peer->expects);

	return at < 0 ? 0 : at > conn->in.len ? conn->in.len : (uint32_t)at;
}

/* One segment of [from, to); its end; PSH and the client's FIN where they belong. */
static uint32_t held_segment(struct tcp *tcp, struct conn *conn, uint32_t from, uint32_t to)
{
	uint32_t most = conn->peer->mss;
	uint8_t flags = 0;

	if (to - from > most)
		to = from + most;
	if (to == conn->in.len && to > from)
		flags |= SEGMENT_PSH;
	if (to == conn->in.len && collect_ended(&conn->in))
		flags |= SEGMENT_FIN;
	backend_segment(tcp, conn, from, to, flags);
	return to;
}

/* All from @from on, also what lies behind holes; nothing: our acknowledgement alone. */
static void held_send(struct tcp *tcp, struct conn *conn, uint32_t from)
{
	do
		from = held_segment(tcp, conn, from, conn->in.len);
	while (from < conn->in.len);
	for (unsigned i = 0; i < conn->in.spans; i++)
		for (from = conn->in.span[i].from; from < conn->in.span[i].to;)
			from = held_segment(tcp, conn, from, conn->in.span[i].to);
}

static uint32_t held_segments(const struct conn *conn, uint32_t from)
{
	uint32_t len = conn->in.len - from;

	return len ? (len + conn->peer->mss - 1) / conn->peer->mss : 1;
}

/* The client slowed down for losses that were none: SPLICE.md, RFC 2883, 4 */
static void repay(struct tcp *tcp, struct conn *conn)
{
	for (; conn->in.len && conn->swallowed; conn->swallowed--)
		held_segment(tcp, conn, 0, conn->in.len);
}

/* ---- the splice */

/* Nothing can be saved: both sides are told. */
static void feed_abort(struct tcp *tcp, struct conn *conn)
{
	backend_reset(tcp, conn, conn->peer->expects);
	protocol_count(tcp, conn, XDPLB_EVENT_SNIFF_NO_BACKEND, conn->peer->splice.protocol);
	conn_refuse(tcp, conn, XDPLB_NO_EVENT);
}

/* What is reported includes what is about to be sent, so that one command is enough. */
static void traffic_take(struct conn *conn, struct xdplb_command *command, uint32_t packets,
			 uint32_t bytes)
{
	struct peer *peer = conn->peer;

	peer->packets[XDPLB_TO_BACKEND] += packets;
	peer->bytes[XDPLB_TO_BACKEND] += bytes;
	memcpy(command->packets, peer->packets, sizeof(command->packets));
	memcpy(command->bytes, peer->bytes, sizeof(command->bytes));
	memset(peer->packets, 0, sizeof(peer->packets));
	memset(peer->bytes, 0, sizeof(peer->bytes));
	peer->packets[XDPLB_TO_BACKEND] -= packets;
	peer->bytes[XDPLB_TO_BACKEND] -= bytes;
}

/* FINs that XDP did not see pass: it would take the flow for a living one. */
static uint32_t splice_flags(const struct peer *peer)
{
	return peer->flags | (peer->sack ? XDPLB_COMMAND_SACK : 0) |
	       (peer->client_fin ? XDPLB_COMMAND_CLIENT_FIN : 0) |
	       (peer->backend_fin ? XDPLB_COMMAND_BACKEND_FIN : 0);
}

/* From here on the flow tables translate. False: they could not, both sides were reset. */
static bool splice(struct tcp *tcp, struct conn *conn, uint32_t packets, uint32_t bytes)
{
	struct peer *peer = conn->peer;
	struct xdplb_command command;

	command_fill(tcp, conn, &command, XDPLB_COMMAND_SPLICE, XDPLB_NO_EVENT);
	command.pool = peer->pool;
	command.idle_ticks = peer->idle_ticks;
	command.protocol = peer->splice.protocol;
	command.flags = splice_flags(peer);
	command.backend_isn = peer->isn;
	command.client_seq_end = peer->client_next;
	command.backend_seq_end = peer->backend_next;
	command.backend_mss = peer->mss;
	command.backend_wscale = peer->wscale;
	command.our_wscale = conn->our_wscale;
	command.client_scale = peer->splice.scale;
	command.name_len = peer->name_len;
	memcpy(command.name, peer->splice.name, sizeof(command.name));
	command.nexthop = peer->nexthop;
	memcpy(command.half, peer->half, sizeof(command.half));
	traffic_take(conn, &command, packets, bytes);
	if (command_run(tcp, conn, &command) && command.result == XDPLB_CONTINUE)
		return true;
	feed_abort(tcp, conn);
	return false;
}

static void linger_begin(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	conn_spliced(tcp, conn);
	conn_wait(tcp, conn, now_ns + LINGER_NS);
	if (tcp->lingering.count > LINGER_MAX)
		linger_end(tcp, tcp->lingering.oldest);
}

/* Entries first, then the bytes: an exchange that fits into one call would be over before. */
static bool splice_and_send(struct tcp *tcp, struct conn *conn, uint32_t from)
{
	uint32_t packets = held_segments(conn, from);
	uint32_t headers = SEGMENT_PACKET - segment_mss(conn->tuple.v6);

	if (!splice(tcp, conn, packets, conn->in.len - from + packets * headers))
		return false;
	held_send(tcp, conn, from);
	return true;
}

/* ---- being a sender */

static void feed_send(struct tcp *tcp, struct conn *conn)
{
	struct peer *peer = conn->peer;
	uint32_t most = (uint32_t)FEED_SEGMENTS * peer->mss, end;

	if (peer->window < most)
		most = peer->window;
	end = acked(conn) + most;
	if (end > conn->in.len)
		end = conn->in.len;
	while (peer->sent < end)
		peer->sent = (uint16_t)held_segment(tcp, conn, peer->sent, end);
}

static void feed_wait(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	conn_wait(tcp, conn, now_ns + (RTO_NS << conn->peer->tries));
}

void feed_begin(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	struct peer *peer = conn->peer;
	bool ended = collect_ended(&conn->in);

	peer->expects = client_seq(conn, 0);
	peer->client_next = client_seq(conn, collect_end(&conn->in) + ended);
	if (ended)
		peer->client_fin = true;
	if (conn->longest > peer->mss)
		client_too_big(tcp, conn);
	if (conn->owned) {
		conn->state = CONN_FEED;
		feed_send(tcp, conn);
		feed_wait(tcp, conn, now_ns);
		return;
	}
	if (!splice_and_send(tcp, conn, 0))
		return;
	repay(tcp, conn);
	linger_begin(tcp, conn, now_ns);
}

/* Go back N (RFC 9293, 3.8.1): the first segment, what follows as acknowledgements come. */
void feed_due(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	struct peer *peer = conn->peer;

	if (peer->tries == SEGMENT_TRIES) {
		feed_abort(tcp, conn);
		return;
	}
	peer->tries++;
	peer->repeated = 0;
	tcp->env.stats->sent_again++;
	peer->sent = (uint16_t)held_segment(tcp, conn, acked(conn), conn->in.len);
	feed_wait(tcp, conn, now_ns);
}

/* ---- packets of both sides */

static void client_noted(struct conn *conn, const struct arrival *in)
{
	struct peer *peer = conn->peer;

	memcpy(conn->macs, in->frame, sizeof(conn->macs));
	conn->ifindex = in->ifindex;
	conn->window = in->window;
	if (in->flags & SEGMENT_ACK && seq_after(in->ack, conn->client_ack) &&
	    !seq_after(in->ack + peer->splice.delta, peer->backend_next))
		conn->client_ack = in->ack;
	if (seq_after(in->pkt.seq_end, peer->client_next))
		peer->client_next = in->pkt.seq_end;
	if (in->flags & SEGMENT_FIN)
		peer->client_fin = true;
}

/* All of it goes on, retransmissions of what we owe too: it can only help. */
void feed_client(struct tcp *tcp, struct conn *conn, struct arrival *in)
{
	struct peer *peer = conn->peer;
	bool reset = in->flags & SEGMENT_RST &&
		     (in->seq == peer->client_next || in->seq == peer->expects);

	if (in->flags & SEGMENT_SYN) {
		tcp->env.stats->dropped++;
		return;
	}
	if (!(in->flags & SEGMENT_RST))
		client_noted(conn, in);
	segment_forward(tcp, conn, in, XDPLB_TO_BACKEND);
	if (!reset)
		return;
	flow_close(tcp, conn);
	row_forget(tcp, conn, XDPLB_NO_EVENT);
	conn_free(tcp, conn);
}

/* RFC 5681, 3.2: three acknowledgements that say nothing new mean one lost segment. */
static void repeated_ack(struct tcp *tcp, struct conn *conn, const struct arrival *in)
{
	struct peer *peer = conn->peer;

	if (in->ack != peer->expects || in->len || in->flags & SEGMENT_FIN ||
	    acked(conn) >= conn->in.len)
		return;
	if (++peer->repeated == REPEATED_ACKS) {
		tcp->env.stats->sent_again++;
		held_segment(tcp, conn, acked(conn), conn->in.len);
	}
}

static void backend_noted(struct tcp *tcp, struct conn *conn, const struct arrival *in,
			  uint64_t now_ns)
{
	struct peer *peer = conn->peer;

	if (seq_after(in->pkt.seq_end, peer->backend_next))
		peer->backend_next = in->pkt.seq_end;
	if (in->flags & SEGMENT_FIN)
		peer->backend_fin = true;
	if (!(in->flags & SEGMENT_ACK))
		return;
	peer->window =
		(uint32_t)in->window
		<< (peer->wscale == SEGMENT_NO_SCALE || conn->our_wscale == SEGMENT_NO_SCALE ?
			    0 :
			    peer->wscale);
	if (!seq_after(in->ack, peer->expects) || seq_after(in->ack, peer->client_next)) {
		repeated_ack(tcp, conn, in);
		return;
	}
	peer->expects = in->ack;
	peer->repeated = 0;
	peer->tries = 0;
	if (peer->sent < acked(conn))
		peer->sent = (uint16_t)acked(conn);
	feed_wait(tcp, conn, now_ns);
}

static void feed_reset(struct tcp *tcp, struct conn *conn, struct arrival *in)
{
	segment_forward(tcp, conn, in, XDPLB_TO_CLIENT);
	flow_close(tcp, conn);
	row_forget(tcp, conn, XDPLB_NO_EVENT);
	conn_free(tcp, conn);
}

/* What we owed is there: the rest, which the client still has, follows the splice. */
static void feed_done(struct tcp *tcp, struct conn *conn, struct arrival *in, uint64_t now_ns)
{
	bool rest = conn->peer->sent < conn->in.len;

	if (!(rest ? splice_and_send(tcp, conn, conn->peer->sent) : splice(tcp, conn, 0, 0)))
		return;
	segment_forward(tcp, conn, in, XDPLB_TO_CLIENT);
	linger_begin(tcp, conn, now_ns);
}

void feed_backend(struct tcp *tcp, struct conn *conn, struct arrival *in, uint64_t now_ns)
{
	if (in->flags & SEGMENT_RST) {
		feed_reset(tcp, conn, in);
		return;
	}
	if (in->flags & SEGMENT_SYN) { /* our answer was lost */
		backend_segment(tcp, conn, 0, 0, 0);
		return;
	}
	backend_noted(tcp, conn, in, now_ns);
	if (acked(conn) >= conn->owned) {
		feed_done(tcp, conn, in, now_ns);
		return;
	}
	feed_send(tcp, conn);
	segment_forward(tcp, conn, in, XDPLB_TO_CLIENT);
}

/* ---- afterwards */

/* Was on its way to us when the flow tables took over: what XDP would have done. */
void linger_packet(struct tcp *tcp, struct conn *conn, struct arrival *in, enum xdplb_dir dir)
{
	if (!(in->flags & SEGMENT_SYN)) {
		tcp->env.stats->late++;
		segment_forward(tcp, conn, in, dir);
	} else if (dir == XDPLB_TO_CLIENT && in->flags & SEGMENT_ACK) {
		tcp->env.stats->late++;
		backend_segment(tcp, conn, 0, 0, 0);
	} else {
		tcp->env.stats->dropped++;
	}
}

void linger_end(struct tcp *tcp, struct conn *conn)
{
	const struct peer *peer = conn->peer;
	struct xdplb_command command;

	if (peer->packets[XDPLB_TO_BACKEND] || peer->packets[XDPLB_TO_CLIENT]) {
		command_fill(tcp, conn, &command, XDPLB_COMMAND_COUNT, XDPLB_NO_EVENT);
		memcpy(command.packets, peer->packets, sizeof(command.packets));
		memcpy(command.bytes, peer->bytes, sizeof(command.bytes));
		command_run(tcp, conn, &command);
	}
	conn_free(tcp, conn);
}
