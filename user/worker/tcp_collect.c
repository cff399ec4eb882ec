// SPDX-License-Identifier: GPL-2.0-only
/* The client's side of a sniffed connection until a backend has answered. */
#include <string.h>

#include "worker/tcp_parts.h"

static const struct rule_set *rules_of(const struct tcp *tcp, const struct conn *conn)
{
	const struct rules *rules = tcp->env.ops->rules(tcp->env.ctx);

	return rules ? rules_find(rules, conn->service) : NULL;
}

/* When the next thing is to be done for an undecided connection. */
static void wait_on(struct tcp *tcp, struct conn *conn)
{
	bool owning = conn->in.len && !conn->owned;

	conn_wait(tcp, conn,
		  owning && conn->own_at_ns < conn->silent_at_ns ? conn->own_at_ns :
								   conn->silent_at_ns);
}

/* ---- the verdict */

/* No route: the default pool, or nobody. */
static void take_default(struct tcp *tcp, struct conn *conn, const struct rule_set *set,
			 const struct rule_match *match, uint32_t event, uint64_t now_ns)
{
	struct choice choice = { .pool = set->pool,
				 .idle_ticks = set->idle_ticks_tcp,
				 .event = event,
				 .keep_address = set->keep_address,
				 .match = match };

	if (set->pool != RULES_NO_POOL) {
		connect_begin(tcp, conn, &choice, now_ns);
		return;
	}
	protocol_count(tcp, conn, XDPLB_EVENT_SNIFF_REFUSED, match->protocol);
	conn_refuse(tcp, conn, XDPLB_NO_EVENT);
}

static void take_route(struct tcp *tcp, struct conn *conn, const struct rule_set *set,
		       const struct rule_match *match, uint64_t now_ns)
{
	struct choice choice = { .pool = match->rule->pool,
				 .idle_ticks = match->rule->idle_ticks ? match->rule->idle_ticks :
									 set->idle_ticks_tcp,
				 .event = XDPLB_EVENT_SNIFF_ROUTED,
				 .keep_address = set->keep_address,
				 .match = match };

	connect_begin(tcp, conn, &choice, now_ns);
}

bool collect_judge(struct tcp *tcp, struct conn *conn, bool silent, uint64_t now_ns)
{
	const struct rule_set *set = rules_of(tcp, conn);
	struct sniff_piece piece = { conn->in.data ? conn->in.data : (const uint8_t *)"",
				     conn->in.len };
	struct rule_match match = { .rule = NULL };
	enum sniff_verdict verdict;

	if (!set) {
		conn_refuse(tcp, conn, XDPLB_EVENT_SNIFF_REFUSED);
		return false;
	}
	verdict = rules_match(set, XDPLB_OVER_TCP, &piece, 1, &match);
	if (verdict == SNIFF_YES)
		take_route(tcp, conn, set, &match, now_ns);
	else if (verdict == SNIFF_NO || collect_ended(&conn->in) || conn->in.len == COLLECT_MAX)
		take_default(tcp, conn, set, &match, XDPLB_EVENT_SNIFF_DEFAULT, now_ns);
	else if (silent)
		take_default(tcp, conn, set, &match, XDPLB_EVENT_SNIFF_SILENT, now_ns);
	else
		return true;
	return false;
}

/* ---- acknowledging */

/* What is held in order is acknowledged, so from now on it is ours to deliver. */
static void own(struct tcp *tcp, struct conn *conn, const struct arrival *again)
{
	if (!conn->owned)
		tcp->env.stats->owned++;
	conn->owned = conn->in.len;
	client_ack_send(tcp, conn, again);
}

static void own_if_due(struct tcp *tcp, struct conn *conn, const struct arrival *in, bool again,
		       bool whole)
{
	if (!conn->in.len || !in->len)
		return;
	if (conn->owned || again || conn->segments >= OWN_SEGMENTS || conn->in.len >= OWN_BYTES)
		own(tcp, conn, whole ? in : NULL);
}

/* ---- packets */

/* RFC 5961, 3.2: only the very next number resets; one near it is asked about. */
static void reset_came(struct tcp *tcp, struct conn *conn, const struct arrival *in)
{
	bool undecided = conn->state == CONN_COLLECT;
	int32_t at = client_offset(conn, in->seq);
	uint32_t next = conn->in.len + collect_ended(&conn->in);

	if (at == (int32_t)next || at == conn->owned) {
		if (conn->state == CONN_CONNECT)
			backend_reset(tcp, conn, client_seq(conn, 0));
		flow_close(tcp, conn);
		row_forget(tcp, conn, undecided ? XDPLB_EVENT_SNIFF_LEFT : XDPLB_NO_EVENT);
		conn_free(tcp, conn);
		return;
	}
	if (at > 0 && at <= COLLECT_MAX && conn->challenges < CHALLENGES_MAX) {
		conn->challenges++;
		client_ack_send(tcp, conn, NULL);
	}
}

/* Makes room for the segment; the oldest undecided ones pay for it. False: it did, or there is none. */
static bool make_room(struct tcp *tcp, struct conn *conn, const struct arrival *in)
{
	size_t limit = tcp->env.limits.bytes;
	size_t more =
		collect_growth(&conn->in, (int64_t)client_offset(conn, in->seq) + (int64_t)in->len);

	while (more && tcp->env.stats->bytes + more > limit && tcp->undecided.oldest) {
		struct conn *oldest = tcp->undecided.oldest;

		conn_refuse(tcp, oldest, XDPLB_EVENT_SNIFF_EVICTED);
		if (oldest == conn)
			return false;
	}
	if (!more || tcp->env.stats->bytes + more <= limit)
		return true;
	tcp->env.stats->dropped++;
	return false;
}

static void client_seen(struct conn *conn, const struct arrival *in)
{
	memcpy(conn->macs, in->frame, sizeof(conn->macs));
	conn->ifindex = in->ifindex;
	conn->window = in->window;
	conn->ttl = xdplb_pkt_ttl(&in->pkt);
	if (in->len > conn->longest)
		conn->longest = (uint16_t)in->len;
}

/* sniff_timeout begins again with each new byte, but not for ever. */
static void silence_ends(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	const struct rule_set *set = rules_of(tcp, conn);

	if (conn->own_at_ns == UINT64_MAX)
		conn->own_at_ns = now_ns + OWN_NS;
	if (!set || conn->waits >= SILENT_WAITS)
		return;
	conn->waits++;
	conn->silent_at_ns = now_ns + set->sniff_timeout_ms * MS_NS;
}

static void undecided_packet(struct tcp *tcp, struct conn *conn, const struct arrival *in,
			     enum collect_result result, bool again, uint64_t now_ns)
{
	bool ended = collect_ended(&conn->in), old = result == COLLECT_OLD;

	if (in->len && conn->segments < OWN_SEGMENTS)
		conn->segments++;
	if (result == COLLECT_GREW)
		silence_ends(tcp, conn, now_ns);
	if ((result == COLLECT_GREW || ended) && !collect_judge(tcp, conn, false, now_ns))
		return;
	own_if_due(tcp, conn, in, again || old, old);
	wait_on(tcp, conn);
}

/* While a backend is being found, retransmissions are answered where they must be, or counted. */
static void waiting_packet(struct tcp *tcp, struct conn *conn, const struct arrival *in,
			   enum collect_result result)
{
	if (result != COLLECT_OLD || !in->len)
		return;
	if (client_offset(conn, in->seq) < conn->owned)
		client_ack_send(tcp, conn, in);
	else if (conn->swallowed < REPAY_MAX)
		conn->swallowed++;
}

void collect_packet(struct tcp *tcp, struct conn *conn, const struct arrival *in, uint64_t now_ns)
{
	enum collect_result result = COLLECT_OLD;
	int32_t at = client_offset(conn, in->seq);
	bool again = in->len && at < conn->in.len; /* maybe with new bytes behind */

	if (in->flags & SEGMENT_RST) {
		reset_came(tcp, conn, in);
		return;
	}
	/* RFC 9293, 3.10.7.4: we sent nothing but our SYN, so one number is right */
	if (in->flags & SEGMENT_SYN || !(in->flags & SEGMENT_ACK) || in->ack != conn->isn + 1) {
		tcp->env.stats->dropped++;
		return;
	}
	client_seen(conn, in);
	if (in->len) {
		if (!make_room(tcp, conn, in))
			return;
		result = conn_collect(tcp, conn, at, in->data, in->len);
	} else if (at < conn->owned) { /* asks whether we are alive: RFC 9293, 3.8.4 */
		client_ack_send(tcp, conn, NULL);
	}
	if (in->flags & SEGMENT_FIN)
		collect_fin(&conn->in, at + (int32_t)in->len);
	if (conn->state == CONN_COLLECT)
		undecided_packet(tcp, conn, in, result, again, now_ns);
	else
		waiting_packet(tcp, conn, in, result);
}

void collect_due(struct tcp *tcp, struct conn *conn, uint64_t now_ns)
{
	if (now_ns >= conn->silent_at_ns) {
		collect_judge(tcp, conn, true, now_ns);
		return;
	}
	if (conn->in.len && !conn->owned)
		own(tcp, conn, NULL);
	wait_on(tcp, conn);
}
