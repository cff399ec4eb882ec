// SPDX-License-Identifier: GPL-2.0-only
/* From the verdict to a backend's SYN-ACK. */
#include <string.h>

#include "worker/tcp_parts.h"

static void open_try(struct tcp *tcp, struct conn *conn, uint64_t now_ns);

/* Nobody takes it. */
static void give_up(struct tcp *tcp, struct conn *conn)
{
	protocol_count(tcp, conn, XDPLB_EVENT_SNIFF_NO_BACKEND, conn->peer->splice.protocol);
	conn_refuse(tcp, conn, XDPLB_NO_EVENT);
}

static void syn_send(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	backend_syn(tcp, conn);
	conn_wait(tcp, conn, now_ns + (RTO_NS << conn->peer->tries));
}

static bool may_pass(uint32_t result)
{
	return result == XDPLB_DROP_UNRESOLVED || result == XDPLB_DROP_NO_PORT ||
	       result == XDPLB_DROP_BUSY;
}

static void open_fill(const struct tcp *tcp, const struct conn *conn, struct xdplb_command *command)
{
	const struct peer *peer = conn->peer;

	command_fill(tcp, conn, command, XDPLB_COMMAND_OPEN,
		     peer->opened ? XDPLB_EVENT_SNIFF_RETRIED : peer->event);
	command->pool = peer->pool;
	command->idle_ticks = peer->idle_ticks;
	command->flags = peer->flags;
	command->protocol = peer->splice.protocol;
	command->backend = 0;
	command->name_len = peer->name_len;
	memcpy(command->name, peer->splice.name, sizeof(command->name));
	memcpy(command->avoid, peer->avoid, sizeof(command->avoid));
}

/* OPEN could not be done for a reason that may be gone soon. */
static void open_later(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	struct peer *peer = conn->peer;

	if (peer->tries >= OPEN_TRIES) {
		give_up(tcp, conn);
		return;
	}
	conn->state = CONN_OPENING;
	conn_wait(tcp, conn, now_ns + (OPEN_AGAIN_NS << peer->tries++));
}

static void open_try(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	struct peer *peer = conn->peer;
	struct xdplb_command command;

	open_fill(tcp, conn, &command);
	if (!command_run(tcp, conn, &command) || may_pass(command.result)) {
		open_later(tcp, conn, now_ns);
		return;
	}
	if (command.result != XDPLB_CONTINUE || !command.backend) {
		give_up(tcp, conn);
		return;
	}
	conn->state = CONN_CONNECT;
	peer->opened = true;
	peer->backend = command.backend;
	peer->life = command.life;
	peer->slot = command.slot;
	peer->nexthop = command.nexthop;
	memcpy(peer->half, command.half, sizeof(peer->half));
	peer->tries = 0;
	peer->resets = 0;
	syn_send(tcp, conn, now_ns);
}

/* The end of a long name says more than its beginning. */
static void name_keep(struct peer *peer, const char *name)
{
	size_t len = strlen(name), cut = 0;

	if (len > sizeof(peer->splice.name))
		cut = len - sizeof(peer->splice.name);
	peer->name_len = (uint32_t)len;
	memcpy(peer->splice.name, name + cut, len - cut);
}

void connect_begin(struct tcp *tcp, struct conn *conn, const struct choice *choice, uint64_t now_ns)
{
	struct peer *peer;

	if (!conn_decided(tcp, conn)) { /* no memory */
		conn_refuse(tcp, conn, XDPLB_EVENT_SNIFF_EVICTED);
		return;
	}
	peer = conn->peer;
	peer->pool = choice->pool;
	peer->idle_ticks = choice->idle_ticks;
	peer->event = choice->event;
	peer->flags = choice->keep_address ? XDPLB_COMMAND_KEEP_ADDRESS : 0;
	peer->splice.protocol = (uint8_t)choice->match->protocol;
	name_keep(peer, choice->match->info.name);
	open_try(tcp, conn, now_ns);
}

/* This backend refused or was silent: another one. */
static void backend_failed(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	struct peer *peer = conn->peer;

	peer->avoid[peer->failed++] = peer->backend;
	flow_close(tcp, conn);
	if (peer->failed == XDPLB_COMMAND_AVOID) {
		give_up(tcp, conn);
		return;
	}
	peer->tries = 0;
	open_try(tcp, conn, now_ns);
}

void connect_due(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	struct peer *peer = conn->peer;

	if (conn->state == CONN_OPENING) {
		open_try(tcp, conn, now_ns);
		return;
	}
	if (peer->tries == SYN_TRIES) {
		backend_failed(tcp, conn, now_ns);
		return;
	}
	peer->tries++;
	tcp->env.stats->sent_again++;
	syn_send(tcp, conn, now_ns);
	if (peer->tries == SYN_TRIES) /* not for long: 1.8 s a backend in all */
		conn_wait(tcp, conn, now_ns + 2 * RTO_NS);
}

/* RFC 7323, 2.2: scaling is in force only where both SYNs had the option; see struct xdplb_splice */
static int8_t shift_between(uint8_t backend, uint8_t ours)
{
	if (ours == SEGMENT_NO_SCALE)
		return 0;
	return (int8_t)((backend == SEGMENT_NO_SCALE ? 0 : backend) - ours);
}

static void backend_accepted(struct tcp *tcp, struct conn *conn, const struct arrival *in,
			     uint64_t now_ns)
{
	struct segment_offer offer =
		segment_offer_read(in->options, in->options_len, conn->tuple.v6);
	uint16_t most = segment_mss(conn->tuple.v6);
	struct peer *peer = conn->peer;

	peer->isn = in->seq;
	peer->mss = offer.mss < most ? offer.mss : most;
	peer->wscale = offer.wscale;
	peer->sack = offer.sack;
	peer->window = in->window;
	peer->splice.delta = peer->isn - conn->isn;
	peer->splice.shift = shift_between(offer.wscale, conn->our_wscale);
	peer->splice.scale = client_scale(conn, offer.wscale);
	peer->backend_next = peer->isn + 1;
	peer->packets[XDPLB_TO_CLIENT]++;
	peer->bytes[XDPLB_TO_CLIENT] += in->pkt.ip_len;
	peer->tries = 0;
	feed_begin(tcp, conn, now_ns);
}

void connect_packet(struct tcp *tcp, struct conn *conn, const struct arrival *in, uint64_t now_ns)
{
	struct peer *peer = conn->peer;
	bool ours = in->flags & SEGMENT_ACK && in->ack == client_seq(conn, 0);

	if (in->flags & SEGMENT_RST) { /* RFC 9293, 3.10.7.3 */
		if (ours)
			backend_failed(tcp, conn, now_ns);
	} else if (in->flags & SEGMENT_SYN) {
		if (ours)
			backend_accepted(tcp, conn, in, now_ns);
	} else if (in->flags & SEGMENT_ACK && peer->resets < TIME_WAIT_RESETS) {
		/* the port's last connection is in TIME_WAIT there: RFC 9293, 3.10.7.3 ends it */
		peer->resets++;
		backend_reset(tcp, conn, in->ack);
		backend_syn(tcp, conn);
	}
}
