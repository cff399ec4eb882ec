/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ENGINE_WORLD_H
#define XDPLB_ENGINE_WORLD_H

/*
 * A world around the engine: clients and servers that are small TCPs, wires
 * that take time and may lose a packet, and the XDP side played in C: the rows
 * of sniffs, the program `splice`, translation of spliced flows. All packets
 * and commands are looked at as they pass. Verdicts come from a fake that obeys
 * the stream: see rules_match().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../bpf/packet.h"
#include "worker/engine.h"
#include "xdplb/rewrite.h"

#define MS 1000000ULL
#define WIRE (MS / 5) /* 0.2 ms a way */
#define CLIENTS_MAX 1024
#define SERVERS 5 /* backend ids 1 .. 5 */
#define POOL 7
#define POOL_DEFAULT 8
#define SERVICE 3
#define WORKER 2
#define NAT_BASE 20000
#define CLIENT_IF 11
#define BACKEND_IF 12
#define CWND 10 /* segments of a model TCP on their way */

enum place {
	AT_CLIENT,
	AT_BALANCER,
	AT_SERVER
};

/* One end of a connection. Streams are offsets from its ISN + 1. */
struct tcp_end {
	bool open, closed, reset; /* closed: LISTEN or gone */
	uint32_t isn, peer_isn;
	const uint8_t *out;
	size_t out_len, una, nxt; /* una, nxt count the FIN */
	bool fin;
	uint8_t *in;
	bool *have;
	size_t in_size, in_len; /* in order */
	long in_fin;
	uint32_t window; /* of the other side, bytes */
	uint8_t scale, peer_scale;
	uint16_t mss, peer_mss;
	size_t chunk; /* bytes a segment */
	uint64_t gap; /* between segments */
	uint64_t next_at, rto_at, rto;
	unsigned sent_again, segments_in, dups, limit; /* limit: bytes to hold back at, 0: none */
	bool ack_due;
};

enum flow_state {
	FLOW_NONE,
	FLOW_SNIFF, /* has a row of sniffs */
	FLOW_PENDING,
	FLOW_SPLICED
};

struct flow { /* what XDP knows of a client */
	enum flow_state state;
	uint32_t isn, delta, conn, server, client_isn, spliced_at_packet;
	bool row; /* of sniffs */
	uint8_t shift;
	struct xdplb_half half[XDPLB_DIRS];
};

struct wire_packet {
	struct wire_packet *next;
	uint64_t at;
	enum place to;
	uint32_t len;
	uint8_t align[2];
	uint8_t data[2048];
};

struct world {
	struct engine *engine;
	struct engine_stats stats;
	struct rules rules;
	struct rule_set set;
	struct rule rule;
	uint64_t now;
	bool v6;
	struct wire_packet *wire, *spare;
	unsigned clients;
	struct tcp_end client[CLIENTS_MAX], server[CLIENTS_MAX];
	struct flow flow[CLIENTS_MAX];
	bool silent[SERVERS + 1], refuses[SERVERS + 1], time_wait[SERVERS + 1];
	uint16_t server_mss;
	uint8_t server_scale; /* 15: none */
	uint8_t our_scale;
	bool server_sack;
	const uint8_t *reply;
	size_t reply_len;
	bool server_closes;
	size_t server_cap;
	uint32_t open_result, splice_result; /* forced, 0: none */
	unsigned open_failures; /* how many OPENs open_result applies to */
	unsigned events[XDPLB_EVENT_MAX + 1], opens, splices, closes, forgets, counts;
	unsigned icmp; /* to clients */
	struct xdplb_command last_open, last_splice, last_count;
	uint32_t reported[XDPLB_DIRS];
	unsigned packet, drop; /* the packet with number drop (from 1) is lost; 0: none */
	unsigned data_before_splice; /* payload to a server without the flow being installed */
	unsigned to_server, syns, rsts_to_server, rsts_to_client, acks_to_client;
	uint8_t to_client[2048], to_backend[2048]; /* the last frames */
	uint32_t to_client_len, to_backend_len;
	bool lenient; /* frames of commands may name numbers of before */
	bool drop_data; /* no payload reaches a server any more */
	bool hold_late; /* client's packets still go to the worker after the splice */
};

/* ---- rules: the stream says what is to become of it */

/*
 * 'y' and two bytes of length: YES once so many bytes are there. 'n': NO. All
 * else: MORE, but 'm' is YES for a rule with patterns.
 */
enum sniff_verdict rules_match(const struct rule_set *set, unsigned transport,
			       const struct sniff_piece *pieces, size_t count,
			       struct rule_match *match)
{
	const uint8_t *data = pieces->data;

	(void)transport;
	(void)count;
	memset(match, 0, sizeof(*match));
	if (pieces->len && data[0] == 'm' && set->rules->pattern_count) {
		match->rule = set->rules;
		return SNIFF_YES;
	}
	if (!pieces->len || (data[0] != 'y' && data[0] != 'n'))
		return SNIFF_MORE;
	match->protocol = XDPLB_PROTOCOL_TLS;
	if (data[0] == 'n')
		return SNIFF_NO;
	if (pieces->len < 3 || pieces->len < get16(data + 1))
		return SNIFF_MORE;
	match->rule = set->rules;
	strcpy(match->info.name, "a-rather-long-name-of-a-host.a.example");
	return SNIFF_YES;
}

const struct rule_set *rules_find(const struct rules *rules, uint32_t service)
{
	return rules->count && rules->sets->service == service ? rules->sets : NULL;
}

/* ---- addresses */

static inline struct end client_end(const struct world *w, unsigned i)
{
	return (struct end){ w->v6 ? ip6(0xc0000000 + i) : ip4(0xcb007100 + i),
			     (uint16_t)(30000 + i) };
}

static inline struct end vip_end(const struct world *w)
{
	return (struct end){ w->v6 ? ip6(0x55) : ip4(0xc0000255), 443 };
}

static inline struct end nat_end(const struct world *w, unsigned i)
{
	return (struct end){ w->v6 ? ip6(0x66) : ip4(0x0a000001), (uint16_t)(NAT_BASE + i) };
}

static inline struct end server_end(const struct world *w, uint32_t server)
{
	return (struct end){ w->v6 ? ip6(0x7700 + server) : ip4(0x0a000100 + server), 8443 };
}

static const uint8_t client_mac[6] = { 2, 0, 0, 0, 0, 1 }, lb_mac[6] = { 2, 0, 0, 0, 0, 2 },
		     lb_back_mac[6] = { 2, 0, 0, 0, 0, 3 }, server_mac[6] = { 2, 0, 0, 0, 0, 4 };

/* ---- wires */

static inline struct wire_packet *packet_new(struct world *w)
{
	struct wire_packet *p = w->spare;

	if (p)
		w->spare = p->next;
	else
		p = malloc(sizeof(*p));
	assert_non_null(p);
	return p;
}

/* Puts it on the wire; the one that is to be lost is lost here. */
static inline void packet_post(struct world *w, struct wire_packet *p, enum place to)
{
	struct wire_packet **at = &w->wire;

	if (++w->packet == w->drop) {
		p->next = w->spare;
		w->spare = p;
		return;
	}
	p->at = w->now + WIRE;
	p->to = to;
	while (*at && (*at)->at <= p->at)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

struct tcp_out {
	struct end src, dst;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	uint8_t options[40];
	uint32_t options_len;
	const uint8_t *data;
	size_t len;
};

static inline uint32_t tcp_write(const struct tcp_out *out, uint8_t *data)
{
	struct shape shape = { .src = out->src, .dst = out->dst, .proto = IPPROTO_TCP, .ttl = 60 };
	uint8_t l4[2048] = { 0 }, *ip = data + ETH_HLEN;
	uint32_t l4_len = 20 + out->options_len + (uint32_t)out->len, size;

	put16(l4, out->src.port);
	put16(l4 + 2, out->dst.port);
	put32(l4 + 4, out->seq);
	put32(l4 + 8, out->ack);
	l4[12] = (uint8_t)((20 + out->options_len) << 2);
	l4[13] = out->flags;
	put16(l4 + 14, out->window);
	memcpy(l4 + 20, out->options, out->options_len);
	if (out->len)
		memcpy(l4 + 20 + out->options_len, out->data, out->len);
	memset(data, 0, ETH_HLEN + 40);
	size = ip_header_write(&shape, ip, l4_len);
	put16(data + 12, end_is_v6(&out->src) ? ETH_P_IPV6 : ETH_P_IP);
	memcpy(ip + size, l4, l4_len);
	layer4_check(&shape, ip, ip + size, l4_len);
	return ETH_HLEN + size + l4_len;
}

struct tcp_in {
	struct end src, dst;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	const uint8_t *options, *data;
	uint32_t options_len, len;
};

static inline struct tcp_in tcp_read(const uint8_t *data, uint32_t len)
{
	static struct frame frame;
	const uint8_t *l4;
	uint32_t l4_len, headers;

	assert_true(len <= sizeof(frame.data));
	memcpy(frame.data, data, len);
	frame.len = len;
	assert_true(frame_ip_len(&frame) + ETH_HLEN == len);
	assert_true(frame_sums_right(&frame));
	l4 = frame_layer4(&frame);
	l4_len = (uint32_t)(frame.data + len - l4);
	headers = (l4[12] >> 4) * 4U;
	assert_true(headers >= 20 && headers <= l4_len);
	return (struct tcp_in){ .src = frame_end(&frame, true),
				.dst = frame_end(&frame, false),
				.seq = get32(l4 + 4),
				.ack = get32(l4 + 8),
				.flags = l4[13],
				.window = (uint16_t)get16(l4 + 14),
				.options = data + (l4 + 20 - frame.data),
				.options_len = headers - 20,
				.data = data + (l4 + headers - frame.data),
				.len = l4_len - headers };
}

/* ---- a small TCP */

static inline void end_init(struct tcp_end *e, const uint8_t *out, size_t out_len, size_t in_size)
{
	memset(e, 0, sizeof(*e));
	e->out = out;
	e->out_len = out_len;
	e->in_size = in_size;
	e->in = calloc(1, in_size + 1);
	e->have = calloc(in_size + 1, sizeof(bool));
	e->in_fin = -1;
	e->mss = e->peer_mss = 1460;
	e->chunk = 1460;
	e->rto = 200 * MS;
	e->rto_at = e->next_at = UINT64_MAX;
}

static inline size_t end_total(const struct tcp_end *e)
{
	return e->out_len + e->fin;
}

static inline bool end_all_in(const struct tcp_end *e)
{
	return e->in_fin >= 0 && e->in_len == (size_t)e->in_fin;
}

static inline uint32_t end_ack(const struct tcp_end *e)
{
	return e->peer_isn + 1 + (uint32_t)e->in_len + end_all_in(e);
}

struct flow_at {
	struct world *w;
	unsigned i;
	bool server;
};

static inline void end_emit(struct flow_at at, uint8_t flags, size_t from, size_t len)
{
	struct world *w = at.w;
	struct tcp_end *e = at.server ? &w->server[at.i] : &w->client[at.i];
	struct tcp_out out = { .src = at.server ? server_end(w, w->flow[at.i].server) :
						  client_end(w, at.i),
			       .dst = at.server ? nat_end(w, at.i) : vip_end(w),
			       .seq = e->isn + 1 + (uint32_t)from,
			       .ack = end_ack(e),
			       .flags = flags,
			       .window = (uint16_t)(60000 >> e->scale),
			       .data = e->out + from,
			       .len = len };
	struct wire_packet *p = packet_new(w);

	if (!len)
		out.data = NULL;
	p->len = tcp_write(&out, p->data);
	memcpy(p->data, at.server ? lb_back_mac : lb_mac, 6);
	memcpy(p->data + 6, at.server ? server_mac : client_mac, 6);
	e->ack_due = false;
	packet_post(w, p, AT_BALANCER);
}

static inline void end_segment(struct flow_at at, size_t from)
{
	struct tcp_end *e = at.server ? &at.w->server[at.i] : &at.w->client[at.i];
	size_t most = e->chunk < e->peer_mss ? e->chunk : e->peer_mss, len = e->out_len - from;
	uint8_t flags = ACK;

	if (from > e->out_len)
		return;
	if (len > most)
		len = most;
	if (from + len == e->out_len && e->fin)
		flags |= FIN;
	if (len)
		flags |= PSH;
	end_emit(at, flags, from, len);
	if (from + len + !!(flags & FIN) > e->nxt)
		e->nxt = from + len + !!(flags & FIN);
}

/* Sends what may be sent now. */
static inline void end_output(struct flow_at at)
{
	struct world *w = at.w;
	struct tcp_end *e = at.server ? &w->server[at.i] : &w->client[at.i];
	size_t total = end_total(e), most = e->chunk < e->peer_mss ? e->chunk : e->peer_mss;

	if (!e->open || e->reset)
		return;
	if (e->limit && total > e->limit)
		total = e->limit;
	while (e->nxt < total && e->nxt - e->una < most * CWND && e->nxt - e->una < e->window &&
	       (e->next_at == UINT64_MAX || e->next_at <= w->now)) {
		end_segment(at, e->nxt);
		if (e->rto_at == UINT64_MAX)
			e->rto_at = w->now + e->rto;
		e->next_at = e->gap ? w->now + e->gap : UINT64_MAX;
	}
	if (e->next_at <= w->now)
		e->next_at = UINT64_MAX;
	if (e->ack_due)
		end_emit(at, ACK, e->nxt, 0);
}

static inline void end_timer(struct flow_at at)
{
	struct world *w = at.w;
	struct tcp_end *e = at.server ? &w->server[at.i] : &w->client[at.i];

	if (e->next_at <= w->now)
		end_output(at);
	if (e->rto_at > w->now || e->reset)
		return;
	e->rto *= 2;
	e->rto_at = w->now + e->rto;
	e->sent_again++;
	end_segment(at, e->una);
}

static inline void end_ack_in(struct flow_at at, const struct tcp_in *in)
{
	struct world *w = at.w;
	struct tcp_end *e = at.server ? &w->server[at.i] : &w->client[at.i];
	size_t acked = in->ack - (e->isn + 1);

	e->window = (uint32_t)in->window << e->peer_scale;
	if (acked > e->una && acked <= end_total(e)) {
		assert_true(acked <= e->nxt);
		e->una = acked;
		e->dups = 0;
		e->rto = 200 * MS;
		e->rto_at = e->una == e->nxt ? UINT64_MAX : w->now + e->rto;
	} else if (acked == e->una && !in->len && e->nxt > e->una && ++e->dups == 3) {
		e->sent_again++;
		end_segment(at, e->una);
	}
}

/* Each byte must be the one that the other side sent. */
static inline void end_data_in(struct tcp_end *e, const struct tcp_end *peer,
			       const struct tcp_in *in)
{
	long at = (int32_t)(in->seq - (e->peer_isn + 1));

	for (uint32_t i = 0; i < in->len; i++) {
		long pos = at + (long)i;

		if (pos < 0)
			continue;
		assert_true((size_t)pos < peer->out_len && (size_t)pos < e->in_size);
		assert_int_equal(in->data[i], peer->out[pos]);
		e->in[pos] = in->data[i];
		e->have[pos] = true;
	}
	while (e->in_len < e->in_size && e->have[e->in_len])
		e->in_len++;
	if (in->flags & FIN) {
		e->in_fin = at + (long)in->len;
		assert_true(peer->fin && (size_t)e->in_fin == peer->out_len);
	}
	if (in->len || in->flags & FIN)
		e->ack_due = true;
}

static inline void end_input(struct flow_at at, const struct tcp_in *in)
{
	struct world *w = at.w;
	struct tcp_end *e = at.server ? &w->server[at.i] : &w->client[at.i];
	const struct tcp_end *peer = at.server ? &w->client[at.i] : &w->server[at.i];

	e->segments_in++;
	if (in->flags & RST) {
		assert_int_equal(in->seq, end_ack(e));
		e->reset = true;
		e->rto_at = e->next_at = UINT64_MAX;
		return;
	}
	if (e->reset || !e->open)
		return;
	if (in->flags & SYN) { /* a SYN-ACK that came through: our ACK was lost */
		e->ack_due = true;
		end_output(at);
		return;
	}
	end_ack_in(at, in);
	end_data_in(e, peer, in);
	end_output(at);
}

#endif /* XDPLB_ENGINE_WORLD_H */
