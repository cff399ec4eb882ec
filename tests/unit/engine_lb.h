/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ENGINE_LB_H
#define XDPLB_ENGINE_LB_H

/* The balancer of the engine's world: what XDP and the program `splice` do, and the world's clock. */
#include "engine_world.h"

/* ---- packets that leave the balancer */

static inline void world_post(struct world *w, const uint8_t *frame, size_t len, enum place to)
{
	struct wire_packet *p = packet_new(w);

	assert_true(len <= sizeof(p->data));
	memcpy(p->data, frame, len);
	p->len = (uint32_t)len;
	packet_post(w, p, to);
}

static inline bool frame_is_icmp(const uint8_t *frame)
{
	return get16(frame + 12) == ETH_P_IP ? frame[23] == 1 : frame[20] == 58;
}

static inline void op_send(void *ctx, uint32_t ifindex, const void *data, size_t len)
{
	struct world *w = ctx;
	const uint8_t *frame = data;
	struct tcp_in in;

	if (frame_is_icmp(frame)) {
		assert_int_equal(ifindex, CLIENT_IF);
		w->icmp++;
		return;
	}
	in = tcp_read(frame, (uint32_t)len);
	if (ifindex == CLIENT_IF) {
		memcpy(w->to_client, frame, len);
		w->to_client_len = (uint32_t)len;
		assert_memory_equal(frame, client_mac, 6);
		assert_memory_equal(frame + 6, lb_mac, 6);
		w->rsts_to_client += !!(in.flags & RST);
		w->acks_to_client += in.flags == ACK && !in.len;
		world_post(w, frame, len, AT_CLIENT);
		return;
	}
	assert_int_equal(ifindex, BACKEND_IF);
	assert_memory_equal(frame, server_mac, 6);
	assert_memory_equal(frame + 6, lb_back_mac, 6);
	memcpy(w->to_backend, frame, len);
	w->to_backend_len = (uint32_t)len;
	w->to_server++;
	w->syns += !!(in.flags & SYN);
	w->rsts_to_server += !!(in.flags & RST);
	assert_true(in.src.port >= NAT_BASE && in.src.port < NAT_BASE + CLIENTS_MAX);
	if (in.len && w->flow[in.src.port - NAT_BASE].state != FLOW_SPLICED)
		w->data_before_splice++;
	if (!in.len || !w->drop_data)
		world_post(w, frame, len, AT_SERVER);
}

/* ---- the program `splice` */

static inline struct xdplb_half world_half(const struct world *w, struct end src, struct end dst,
					   struct end new_src, struct end new_dst)
{
	struct xdplb_half half = { .src = src.ip.w[3],
				   .dst = dst.ip.w[3],
				   .sport = to_be16(src.port),
				   .dport = to_be16(dst.port),
				   .new_src = new_src.ip.w[3],
				   .new_dst = new_dst.ip.w[3],
				   .new_sport = to_be16(new_src.port),
				   .new_dport = to_be16(new_dst.port) };

	if (w->v6) {
		memcpy(half.src_hi, src.ip.w, 12);
		memcpy(half.dst_hi, dst.ip.w, 12);
		memcpy(half.new_src_hi, new_src.ip.w, 12);
		memcpy(half.new_dst_hi, new_dst.ip.w, 12);
	}
	xdplb_half_diffs(&half);
	return half;
}

static inline bool is_avoided(const struct xdplb_command *command, uint32_t server)
{
	for (int i = 0; i < XDPLB_COMMAND_AVOID; i++)
		if (command->avoid[i] == server)
			return true;
	return false;
}

static inline void command_open(struct world *w, struct xdplb_command *command, unsigned i)
{
	uint32_t server = 1;
	struct flow *flow = &w->flow[i];

	w->opens++;
	w->last_open = *command;
	assert_int_equal(flow->state, FLOW_SNIFF);
	assert_int_equal(command->ifindex, CLIENT_IF);
	if (w->open_result && w->open_failures) {
		w->open_failures--;
		command->result = w->open_result;
		return;
	}
	while (server <= SERVERS && is_avoided(command, server))
		server++;
	if (server > SERVERS) {
		command->result = XDPLB_RESET_NO_BACKEND;
		return;
	}
	flow->state = FLOW_PENDING;
	flow->server = server;
	flow->conn = command->conn;
	flow->half[0] =
		world_half(w, client_end(w, i), vip_end(w), nat_end(w, i), server_end(w, server));
	flow->half[1] =
		world_half(w, server_end(w, server), nat_end(w, i), vip_end(w), client_end(w, i));
	command->result = XDPLB_CONTINUE;
	command->backend = server;
	command->life = 100 + i;
	command->slot = i;
	command->nexthop.ifindex = BACKEND_IF;
	memcpy(command->nexthop.dst_mac, server_mac, 6);
	memcpy(command->nexthop.src_mac, lb_back_mac, 6);
	memcpy(command->half, flow->half, sizeof(flow->half));
}

static inline void command_splice(struct world *w, struct xdplb_command *command, unsigned i)
{
	struct flow *flow = &w->flow[i];

	w->splices++;
	w->last_splice = *command;
	assert_int_equal(flow->state, FLOW_PENDING);
	assert_int_equal(command->slot, i);
	assert_int_equal(command->life, 100 + i);
	assert_int_equal(command->isn, flow->isn);
	assert_int_equal(command->backend_isn, w->server[i].isn);
	assert_int_equal(command->our_wscale, w->our_scale);
	if (w->splice_result) {
		command->result = w->splice_result;
		return;
	}
	flow->state = FLOW_SPLICED;
	flow->row = false;
	flow->delta = command->backend_isn - command->isn;
	w->reported[0] += command->packets[0];
	w->reported[1] += command->packets[1];
}

/* The frame is the client's SYN: it names the flow. */
static inline unsigned command_flow(const struct world *w, const void *frame, size_t len)
{
	struct tcp_in in = tcp_read(frame, (uint32_t)len);
	unsigned i = in.src.port - 30000U;
	struct end vip = vip_end(w), client;

	assert_true(i < w->clients);
	client = client_end(w, i);
	assert_true(end_equal(&in.src, &client) && end_equal(&in.dst, &vip));
	assert_int_equal(in.flags, SYN);
	if (!w->lenient)
		assert_int_equal(in.seq, w->flow[i].client_isn);
	return i;
}

static inline bool op_command(void *ctx, struct xdplb_command *command, const void *frame,
			      size_t len)
{
	struct world *w = ctx;
	unsigned i = command_flow(w, frame, len);
	struct flow *flow = &w->flow[i];

	assert_int_equal(command->service, SERVICE);
	command->result = XDPLB_CONTINUE;
	switch (command->op) {
	case XDPLB_COMMAND_OPEN:
		assert_int_equal(command->worker, WORKER);
		command_open(w, command, i);
		break;
	case XDPLB_COMMAND_SPLICE:
		command_splice(w, command, i);
		break;
	case XDPLB_COMMAND_CLOSE:
		w->closes++;
		assert_int_equal(command->slot, i);
		assert_int_equal(command->life, 100 + i);
		flow->state = flow->row ? FLOW_SNIFF : FLOW_NONE;
		break;
	case XDPLB_COMMAND_FORGET:
		w->forgets++;
		assert_int_equal(command->isn, flow->isn);
		flow->row = false;
		if (flow->state == FLOW_SNIFF)
			flow->state = FLOW_NONE;
		break;
	default:
		assert_int_equal(command->op, XDPLB_COMMAND_COUNT);
		w->counts++;
		w->last_count = *command;
		w->reported[0] += command->packets[0];
		w->reported[1] += command->packets[1];
	}
	if (command->result == XDPLB_CONTINUE && command->event != XDPLB_NO_EVENT) {
		assert_true(command->event < XDPLB_EVENT_MAX);
		w->events[command->event]++;
	}
	return true;
}

static inline const struct rules *op_rules(void *ctx)
{
	return &((struct world *)ctx)->rules;
}

/* ---- XDP */

static inline void world_translate(struct world *w, struct wire_packet *p, unsigned i, bool out)
{
	struct flow *flow = &w->flow[i];
	struct tcp_in in = tcp_read(p->data, p->len);
	struct tcp_out to = { .seq = in.seq - (out ? 0 : flow->delta),
			      .ack = in.ack + (out ? flow->delta : 0),
			      .flags = in.flags,
			      .window = in.window,
			      .data = in.data,
			      .len = in.len };
	struct wire_packet *q = packet_new(w);

	if (!out && w->server_scale != 15 && w->our_scale != 15) { /* see struct xdplb_splice */
		int shift = w->server_scale - w->our_scale;
		uint32_t window = in.window;

		window = shift >= 0 ? window << shift : (window + (1U << -shift) - 1) >> -shift;
		to.window = (uint16_t)(window > 65535 ? 65535 : window);
	}
	to.src = out ? nat_end(w, i) : vip_end(w);
	to.dst = out ? server_end(w, flow->server) : client_end(w, i);
	q->len = tcp_write(&to, q->data);
	packet_post(w, q, out ? AT_SERVER : AT_CLIENT);
}

static inline void engine_give(struct world *w, struct wire_packet *p, uint32_t kind, unsigned i)
{
	struct xdplb_meta meta = { .kind = (uint8_t)kind,
				   .service = SERVICE,
				   .worker = WORKER,
				   .isn = w->flow[i].isn,
				   .client_isn = w->flow[i].client_isn,
				   .ifindex = kind == XDPLB_META_BACKEND ? BACKEND_IF : CLIENT_IF,
				   .mss = 1400,
				   .wscale = w->client[i].scale,
				   .sack = 1,
				   .our_wscale = w->our_scale };

	if (w->flow[i].state == FLOW_PENDING || (w->hold_late && w->flow[i].state == FLOW_SPLICED))
		meta.conn = w->flow[i].conn;
	engine_packet(w->engine, &meta, p->data, p->len, w->now);
}

static inline void balancer_from_client(struct world *w, struct wire_packet *p,
					const struct tcp_in *in)
{
	unsigned i = in->src.port - 30000U;
	struct flow *flow = &w->flow[i];

	if (flow->state == FLOW_SPLICED && !w->hold_late) {
		world_translate(w, p, i, true);
	} else if (flow->state != FLOW_NONE) {
		engine_give(w, p, XDPLB_META_CLIENT, i);
	} else if (in->seq == flow->client_isn + 1 && !(in->flags & RST) && !flow->server) {
		flow->state = FLOW_SNIFF;
		flow->row = true;
		engine_give(w, p, XDPLB_META_OPENING, i);
	}
}

static inline void balancer_from_server(struct world *w, struct wire_packet *p,
					const struct tcp_in *in)
{
	unsigned i = in->dst.port - NAT_BASE;
	struct end from = server_end(w, w->flow[i].server);

	if (!end_equal(&in->src, &from))
		return;
	if (w->flow[i].state == FLOW_SPLICED && !w->hold_late)
		world_translate(w, p, i, false);
	else if (w->flow[i].state != FLOW_NONE && w->flow[i].state != FLOW_SNIFF)
		engine_give(w, p, XDPLB_META_BACKEND, i);
}

/* ---- servers */

static inline void server_answer(struct world *w, unsigned i, uint8_t flags, uint32_t seq,
				 uint32_t ack, bool offer)
{
	struct tcp_out out = { .src = server_end(w, w->flow[i].server),
			       .dst = nat_end(w, i),
			       .seq = seq,
			       .ack = ack,
			       .flags = flags,
			       .window = 60000 };
	struct wire_packet *p = packet_new(w);

	if (offer) {
		const uint8_t options[] = { 2,
					    4,
					    (uint8_t)(w->server_mss >> 8),
					    (uint8_t)w->server_mss,
					    1,
					    3,
					    3,
					    w->server_scale,
					    1,
					    1,
					    4,
					    2 };

		out.options_len = w->server_scale == 15 ? 4 : w->server_sack ? 12 : 8;
		memcpy(out.options, options, out.options_len);
	}
	p->len = tcp_write(&out, p->data);
	memcpy(p->data, lb_back_mac, 6);
	memcpy(p->data + 6, server_mac, 6);
	packet_post(w, p, AT_BALANCER);
}

static inline void server_syn(struct world *w, unsigned i, const struct tcp_in *in)
{
	struct tcp_end *e = &w->server[i];
	uint32_t server = w->flow[i].server;

	if (w->silent[server])
		return;
	if (w->refuses[server]) {
		server_answer(w, i, RST | ACK, 0, in->seq + 1, false);
		return;
	}
	if (w->time_wait[server]) { /* RFC 9293, 3.10.7.4: an acknowledgement of old */
		server_answer(w, i, ACK, 777, in->seq - 5000, false);
		return;
	}
	if (!e->open) {
		end_init(e, w->reply, w->reply_len, w->server_cap);
		e->isn = 0xfffff000U + i * 77; /* wraps soon */
		e->peer_isn = in->seq;
		e->fin = w->server_closes;
		e->scale = w->server_scale == 15 ? 0 : w->server_scale;
		e->peer_scale =
			w->server_scale == 15 || w->client[i].scale == 15 ? 0 : w->client[i].scale;
		e->peer_mss = (uint16_t)get16(in->options + 2);
		e->open = true;
		e->closed = true; /* until the handshake's third packet */
		e->rto_at = w->now + e->rto;
	}
	assert_int_equal(in->seq, w->client[i].isn);
	server_answer(w, i, SYN | ACK, e->isn, e->isn ? in->seq + 1 : 0, true);
}

static inline void server_input(struct world *w, unsigned i, const struct tcp_in *in)
{
	struct tcp_end *e = &w->server[i];
	struct flow_at at = { w, i, true };

	if (in->flags & RST && w->time_wait[w->flow[i].server]) {
		assert_int_equal(in->seq, w->client[i].isn - 5000);
		w->time_wait[w->flow[i].server] = false;
		return;
	}
	if (in->flags & SYN) {
		server_syn(w, i, in);
		return;
	}
	if (!e->open) {
		return;
	}
	if (e->closed && !(in->flags & RST)) {
		assert_int_equal(in->ack, e->isn + 1);
		e->closed = false;
		e->rto = 200 * MS;
		e->rto_at = UINT64_MAX;
	}
	assert_true(in->len <= w->server_mss);
	end_input(at, in);
}

static inline void server_timer(struct world *w, unsigned i)
{
	struct tcp_end *e = &w->server[i];

	if (!e->open)
		return;
	if (!e->closed) {
		end_timer((struct flow_at){ w, i, true });
	} else if (e->rto_at <= w->now && !e->reset) {
		e->rto *= 2;
		e->rto_at = w->now + e->rto;
		server_answer(w, i, SYN | ACK, e->isn, e->peer_isn + 1, true);
	}
}

/* ---- the world */

static inline struct world *world_new(bool v6)
{
	static const struct engine_ops ops = { op_send, op_command, op_rules };
	const struct engine_limits limits = ENGINE_LIMITS_DEFAULT;
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->now = 1000 * MS;
	w->v6 = v6;
	w->rule = (struct rule){ .protocol = XDPLB_PROTOCOL_TLS, .pool = POOL };
	w->set = (struct rule_set){ .service = SERVICE,
				    .pool = POOL_DEFAULT,
				    .sniff_timeout_ms = 3000,
				    .idle_ticks_tcp = 5000,
				    .rules = &w->rule,
				    .rule_count = 1 };
	w->rules = (struct rules){ &w->set, 1 };
	w->server_mss = 1460;
	w->server_scale = 7;
	w->our_scale = 7;
	w->server_sack = true;
	w->server_cap = 65536;
	w->engine = engine_new(&ops, w, WORKER, &limits, &w->stats);
	assert_non_null(w->engine);
	return w;
}

static inline void world_limit(struct world *w, const struct engine_limits *limits)
{
	static const struct engine_ops ops = { op_send, op_command, op_rules };

	engine_free(w->engine);
	w->engine = engine_new(&ops, w, WORKER, limits, &w->stats);
	assert_non_null(w->engine);
}

static inline void packets_free(struct wire_packet *p)
{
	while (p) {
		struct wire_packet *next = p->next;

		free(p);
		p = next;
	}
}

static inline void world_free(struct world *w)
{
	engine_free(w->engine);
	assert_int_equal(w->stats.bytes, 0);
	for (unsigned i = 0; i < w->clients; i++) {
		free(w->client[i].in);
		free(w->client[i].have);
		free(w->server[i].in);
		free(w->server[i].have);
	}
	packets_free(w->wire);
	packets_free(w->spare);
	free(w);
}

/* A client that has just got our SYN-ACK: its acknowledgement goes out, then what it has to say. */
static inline struct tcp_end *world_client(struct world *w, const uint8_t *out, size_t len)
{
	unsigned i = w->clients++;
	struct tcp_end *e = &w->client[i];

	assert_true(i < CLIENTS_MAX);
	end_init(e, out, len, w->reply_len + 1);
	e->open = true;
	e->isn = 0xffffff00U + i * 1001;
	e->peer_isn = 0x12345678 + i * 99;
	e->scale = 6;
	e->peer_scale = w->our_scale == 15 ? 0 : w->our_scale;
	e->window = 16384;
	e->ack_due = true;
	w->flow[i].isn = e->peer_isn;
	w->flow[i].client_isn = e->isn;
	return e;
}

static inline void world_deliver(struct world *w, struct wire_packet *p)
{
	struct tcp_in in = tcp_read(p->data, p->len);

	if (p->to == AT_CLIENT)
		end_input((struct flow_at){ w, in.dst.port - 30000U, false }, &in);
	else if (p->to == AT_SERVER)
		server_input(w, in.src.port - (unsigned)NAT_BASE, &in);
	else if (in.dst.port == 443)
		balancer_from_client(w, p, &in);
	else
		balancer_from_server(w, p, &in);
}

/* Runs the world until @until_ns. */
static inline void world_run(struct world *w, uint64_t until_ns)
{
	for (;;) {
		uint64_t next = engine_run(w->engine, w->now);

		for (unsigned i = 0; i < w->clients; i++) {
			struct flow_at at = { w, i, false };

			if (w->client[i].ack_due && w->client[i].segments_in == 0 &&
			    w->client[i].nxt == 0)
				end_emit(at, ACK, 0, 0);
			end_output(at);
			end_timer(at);
			server_timer(w, i);
			if (w->client[i].rto_at < next)
				next = w->client[i].rto_at;
			if (w->client[i].next_at < next)
				next = w->client[i].next_at;
			if (w->server[i].open && w->server[i].rto_at < next)
				next = w->server[i].rto_at;
		}
		if (w->wire && w->wire->at < next)
			next = w->wire->at;
		if (next > until_ns)
			break;
		if (next > w->now)
			w->now = next;
		while (w->wire && w->wire->at <= w->now) {
			struct wire_packet *p = w->wire;

			w->wire = p->next;
			world_deliver(w, p);
			p->next = w->spare;
			w->spare = p;
		}
	}
	w->now = until_ns;
}

static inline void world_wait(struct world *w, uint64_t ms)
{
	world_run(w, w->now + ms * MS);
}

/* Did the server get all that the client sent, and the client all of the answer? */
static inline bool world_done(const struct world *w, unsigned i)
{
	const struct tcp_end *c = &w->client[i], *s = &w->server[i];

	return s->open && s->in_len == c->out_len && c->in_len == w->reply_len &&
	       end_all_in(s) == c->fin && !c->reset && !s->reset;
}

#endif /* XDPLB_ENGINE_LB_H */
