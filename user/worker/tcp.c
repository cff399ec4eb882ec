// SPDX-License-Identifier: GPL-2.0-only
/* Which connection a packet, a moment or a change of the rules belongs to. */
#include "worker/tcp.h"

#include <stdlib.h>
#include <string.h>

#include "worker/tcp_parts.h"

struct tcp *tcp_new(const struct engine_env *env)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return NULL;
	tcp->env = *env;
	if (!conn_tables_new(tcp)) {
		free(tcp);
		return NULL;
	}
	return tcp;
}

void tcp_free(struct tcp *tcp)
{
	if (!tcp)
		return;
	conn_tables_free(tcp);
	free(tcp);
}

static bool arrival_parse(struct arrival *in, uint8_t *frame, size_t len)
{
	const struct tcphdr *tcp;
	const uint8_t *packet_end;

	if (xdplb_pkt_parse(frame, frame + len, &in->pkt) || in->pkt.tuple.proto != IPPROTO_TCP ||
	    in->pkt.ip_len + ETH_HLEN > len)
		return false;
	tcp = xdplb_pkt_tcp(&in->pkt);
	packet_end = (const uint8_t *)in->pkt.l3 + in->pkt.ip_len;
	in->frame = frame;
	in->frame_len = in->pkt.ip_len + ETH_HLEN;
	in->seq = from_be32(tcp->seq);
	in->ack = from_be32(tcp->ack_seq);
	in->window = (uint16_t)from_be16(tcp->window);
	in->flags = in->pkt.tcp_flags;
	in->options = (const uint8_t *)(tcp + 1);
	in->data = (const uint8_t *)tcp + tcp->doff * (size_t)4;
	in->options_len = (size_t)(in->data - in->options);
	in->len = (size_t)(packet_end - in->data);
	return true;
}

/* ---- beginning */

/* Limits hold: the oldest undecided connection gives its place. False: there is none. */
static bool place_find(struct tcp *tcp)
{
	if (tcp->env.stats->connections < tcp->env.limits.connections)
		return true;
	if (!tcp->undecided.oldest)
		return false;
	conn_refuse(tcp, tcp->undecided.oldest, XDPLB_EVENT_SNIFF_EVICTED);
	return true;
}

static struct conn *opening(struct tcp *tcp, const struct xdplb_meta *meta,
			    const struct arrival *in, uint64_t now_ns)
{
	const struct rules *rules = tcp->env.ops->rules(tcp->env.ctx);
	const struct rule_set *set = rules ? rules_find(rules, meta->service) : NULL;
	uint64_t silent_at_ns = now_ns + (set ? set->sniff_timeout_ms * MS_NS : 0);
	struct conn *conn = place_find(tcp) ? conn_new(tcp, &in->pkt.tuple, silent_at_ns) : NULL;

	if (!conn)
		return NULL;
	conn->silent_at_ns = silent_at_ns;
	conn->own_at_ns = UINT64_MAX;
	conn->service = meta->service;
	conn->isn = meta->isn;
	conn->client_isn = meta->client_isn;
	conn->client_ack = meta->isn + 1;
	conn->mss = (uint16_t)meta->mss;
	conn->wscale = meta->wscale > 14 ? SEGMENT_NO_SCALE : meta->wscale; /* RFC 7323, 2.3 */
	conn->our_wscale = meta->our_wscale > 14 ? SEGMENT_NO_SCALE : meta->our_wscale;
	conn->sack = meta->sack;
	conn->ifindex = meta->ifindex;
	conn->ttl = xdplb_pkt_ttl(&in->pkt);
	conn->window = in->window;
	memcpy(conn->macs, in->frame, sizeof(conn->macs));
	if (set)
		return conn;
	conn_refuse(tcp, conn, XDPLB_EVENT_SNIFF_REFUSED);
	return NULL;
}

/* A pair of ISNs is one connection, whatever flow stood there when the packet came by. */
static bool is_meant(const struct conn *conn, const struct xdplb_meta *meta)
{
	return meta->isn == conn->isn && meta->client_isn == conn->client_isn;
}

/* ---- packets */

static void client_packet(struct tcp *tcp, const struct xdplb_meta *meta, struct arrival *in,
			  uint64_t now_ns)
{
	struct conn *conn = conn_find(tcp, &in->pkt.tuple);

	if (conn && !is_meant(conn, meta)) {
		if (meta->kind != XDPLB_META_OPENING) {
			tcp->env.stats->dropped++;
			return;
		}
		/* the client began anew: the cookie says so */
		if (conn->state == CONN_LINGER) {
			linger_end(tcp, conn);
		} else {
			flow_close(tcp, conn);
			conn_free(tcp, conn);
		}
		conn = NULL;
	}
	/* a row of sniffs we know nothing of: the packet that opened it was lost on its way to us */
	if (!conn && (meta->kind == XDPLB_META_OPENING || meta->isn))
		conn = opening(tcp, meta, in, now_ns);
	if (!conn) {
		tcp->env.stats->dropped++;
		return;
	}
	if (conn->state == CONN_LINGER)
		linger_packet(tcp, conn, in, XDPLB_TO_BACKEND);
	else if (conn->state == CONN_FEED)
		feed_client(tcp, conn, in);
	else
		collect_packet(tcp, conn, in, now_ns);
}

/* Does it come from the backend that the connection has now? */
static bool is_from_backend(const struct conn *conn, const struct xdplb_tuple *t)
{
	const struct xdplb_half *half = conn->peer ? &conn->peer->half[XDPLB_TO_CLIENT] : NULL;

	return half && t->src == half->src && t->dst == half->dst && t->sport == half->sport &&
	       t->dport == half->dport && t->v6 == conn->tuple.v6 &&
	       (!t->v6 || (!memcmp(t->src_hi, half->src_hi, sizeof(t->src_hi)) &&
			   !memcmp(t->dst_hi, half->dst_hi, sizeof(t->dst_hi))));
}

static void backend_packet(struct tcp *tcp, const struct xdplb_meta *meta, struct arrival *in,
			   uint64_t now_ns)
{
	struct conn *conn = conn_by_handle(tcp, meta->conn);

	if (!conn || !is_from_backend(conn, &in->pkt.tuple)) {
		tcp->env.stats->dropped++;
		return;
	}
	if (conn->state == CONN_CONNECT)
		connect_packet(tcp, conn, in, now_ns);
	else if (conn->state == CONN_FEED)
		feed_backend(tcp, conn, in, now_ns);
	else if (conn->state == CONN_LINGER)
		linger_packet(tcp, conn, in, XDPLB_TO_CLIENT);
	else
		tcp->env.stats->dropped++;
}

void tcp_packet(struct tcp *tcp, const struct xdplb_meta *meta, uint8_t *frame, size_t len,
		uint64_t now_ns)
{
	struct arrival in = { .ifindex = meta->ifindex };

	if (!arrival_parse(&in, frame, len))
		tcp->env.stats->dropped++;
	else if (meta->kind == XDPLB_META_BACKEND)
		backend_packet(tcp, meta, &in, now_ns);
	else
		client_packet(tcp, meta, &in, now_ns);
}

/* ---- time and rules */

static void conn_due(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	switch ((enum conn_state)conn->state) {
	case CONN_COLLECT:
		collect_due(tcp, conn, now_ns);
		break;
	case CONN_OPENING:
	case CONN_CONNECT:
		connect_due(tcp, conn, now_ns);
		break;
	case CONN_FEED:
		feed_due(tcp, conn, now_ns);
		break;
	case CONN_LINGER:
		linger_end(tcp, conn);
		break;
	}
}

uint64_t tcp_run(struct tcp *tcp, uint64_t now_ns)
{
	struct timer *timer;

	while ((timer = timers_due(&tcp->timers, now_ns)))
		conn_due(tcp, (struct conn *)timer, now_ns);
	return timers_next(&tcp->timers);
}

void tcp_rules_changed(struct tcp *tcp, uint64_t now_ns)
{
	struct conn *conn = tcp->undecided.oldest, *newer;

	for (; conn; conn = newer) {
		newer = conn->newer;
		collect_judge(tcp, conn, false, now_ns);
	}
}
