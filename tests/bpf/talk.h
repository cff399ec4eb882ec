/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_TALK_H
#define XDPLB_TEST_TALK_H

/*
 * The scene that most tests play in, and conversations in it: one service, a
 * pool of a few backends, a range of ports. Every packet that is sent on is
 * compared, as a whole, with one built from scratch.
 */
#include "audit.h"

#define SERVICE_ID 7
#define POOL_ID 3
#define IDLE_TICKS 100000
#define PORT_MIN 20000
#define PORT_MAX 20099

struct talk {
	struct lab *lab;
	struct end client, vip, nat, server; /* the latter two: once a packet was sent on */
	uint32_t client_seq, server_seq; /* what each says next */
	uint8_t client_mac[ETH_ALEN];
	struct shape extra; /* of what to send: options, padding, ttl */
};

static const uint8_t our_mac[ETH_ALEN] = { 2, 0, 0, 0, 0xff, 1 }; /* towards clients */
static const uint8_t far_mac[ETH_ALEN] = { 2, 0, 0, 0, 0xff, 2 }; /* towards backends */

static inline struct xdplb_addr ip_of(const struct lab *lab, uint32_t number)
{
	return lab->v6 ? ip6(number) : ip4(number);
}

static inline struct end vip_end(const struct lab *lab)
{
	return (struct end){ .ip = ip_of(lab, 0xc000020a), .port = 80 };
}

static inline struct end server_end(const struct lab *lab, uint32_t id)
{
	return (struct end){ .ip = ip_of(lab, 0x0a010000 + id), .port = 8080 };
}

static inline struct xdplb_addr nat_addr(const struct lab *lab, uint32_t i)
{
	return ip_of(lab, 0xc0000264 + i);
}

static inline void backend_mac(uint32_t id, uint8_t mac[ETH_ALEN])
{
	memcpy(mac, (uint8_t[]){ 2, 0, 0, 0, 2, (uint8_t)id }, ETH_ALEN);
}

static inline void backend_set(const struct lab *lab, uint32_t id, uint8_t flags)
{
	struct xdplb_backend backend = {
		.addr = server_end(lab, id).ip,
		.nat_addr = nat_addr(lab, 0),
		.nexthop.ifindex = LAB_IFINDEX,
		.pool = POOL_ID,
		.port = to_be16(server_end(lab, id).port),
		.flags = flags,
		.weight = 1,
	};

	backend_mac(id, backend.nexthop.dst_mac);
	memcpy(backend.nexthop.src_mac, far_mac, ETH_ALEN);
	row_put(lab->skel->maps.backends, id, &backend);
}

#define BACKEND_GOOD (XDPLB_BACKEND_USED | XDPLB_BACKEND_UP | XDPLB_BACKEND_RESOLVED)
#define BACKEND_DOWN (XDPLB_BACKEND_USED | XDPLB_BACKEND_RESOLVED)

/* The scene's pool chooses among backends @from to @to. */
static inline void pool_range(const struct lab *lab, enum xdplb_balance balance, uint32_t from,
			      uint32_t to)
{
	struct xdplb_slot slots[LAB_BACKENDS] = { 0 };
	uint32_t count = 0;

	for (uint32_t id = from; id <= to; id++)
		slots[count++] = (struct xdplb_slot){ .backend = id, .cost = 1 };
	pool_set(lab, POOL_ID, balance, lab->v6, slots, count);
}

static inline void service_put(const struct lab *lab, uint8_t flags)
{
	struct end vip = vip_end(lab);
	struct xdplb_service service = {
		.id = SERVICE_ID, .pool = POOL_ID, .idle_ticks = IDLE_TICKS, .flags = flags
	};

	service_set(lab, &vip, lab->proto, &service);
}

static inline void scene_set(struct lab *lab, const struct variant *variant)
{
	struct xdplb_addr addr;

	lab_reset(lab);
	lab->v6 = variant->v6;
	lab->proto = variant->proto;
	addr = nat_addr(lab, 0);
	service_put(lab, 0);
	for (uint32_t id = 1; id <= 4; id++)
		backend_set(lab, id, BACKEND_GOOD);
	pool_range(lab, XDPLB_ROUND_ROBIN, 1, 4);
	nat_set(lab, lab->v6, PORT_MIN, PORT_MAX, &addr, 1);
}

/* ---- for cmocka: each test finds the scene new, and leaves tables that hold together */

static struct lab the_lab;

static inline int setup(void **state)
{
	scene_set(&the_lab, *state);
	*state = &the_lab;
	return 0;
}

static inline int teardown(void **state)
{
	lab_audit(*state);
	return 0;
}

static inline int unload(void **state)
{
	(void)state;
	xdplb_bpf__destroy(the_lab.skel);
	return 0;
}

/* ---- conversations */

/* Client number @n, which has not said anything yet. */
static inline struct talk talk_of(struct lab *lab, uint32_t n)
{
	return (struct talk){
		.lab = lab,
		.client = { .ip = ip_of(lab, 0x0a000001 + n / 1000),
			    .port = (uint16_t)(40000 + n % 1000) },
		.vip = vip_end(lab),
		.client_seq = n * 7919 + 0xfffffff0, /* the numbers wrap */
		.server_seq = n * 104729 + 0xffffffe0,
		.client_mac = { 2, 0, 0, 0, 1, (uint8_t)n },
		.extra.ttl = 64,
	};
}

static inline struct shape client_shape(const struct talk *talk, uint8_t flags, uint16_t len)
{
	struct shape shape = talk->extra;

	shape.src = talk->client;
	shape.dst = talk->vip;
	shape.proto = talk->lab->proto;
	shape.flags = flags;
	shape.len = len;
	shape.seq = talk->client_seq;
	shape.ack = flags & ACK ? talk->server_seq : 0;
	memcpy(shape.src_mac, talk->client_mac, ETH_ALEN);
	memcpy(shape.dst_mac, our_mac, ETH_ALEN);
	return shape;
}

static inline uint32_t server_id(const struct talk *talk)
{
	return from_be32(talk->server.ip.w[3]) & 0xff;
}

static inline struct shape server_shape(const struct talk *talk, uint8_t flags, uint16_t len)
{
	struct shape shape = talk->extra;

	shape.src = talk->server;
	shape.dst = talk->nat;
	shape.proto = talk->lab->proto;
	shape.flags = flags;
	shape.len = len;
	shape.seq = talk->server_seq;
	shape.ack = flags & ACK ? talk->client_seq : 0;
	backend_mac(server_id(talk), shape.src_mac);
	memcpy(shape.dst_mac, far_mac, ETH_ALEN);
	return shape;
}

static inline void frame_check(const struct frame *frame, const struct shape *wanted)
{
	struct frame all = frame_make(wanted);

	assert_int_equal(frame->len, all.len);
	assert_memory_equal(frame->data, all.data, all.len);
}

/* A client's packet as it must reach the backend that the talk is with. */
static inline struct shape forwarded_shape(const struct talk *talk, const struct shape *sent)
{
	struct shape wanted = *sent;

	wanted.src = talk->nat;
	wanted.dst = talk->server;
	wanted.ttl = (uint8_t)(sent->ttl - 1);
	backend_mac(server_id(talk), wanted.dst_mac);
	memcpy(wanted.src_mac, far_mac, ETH_ALEN);
	return wanted;
}

static inline struct shape replied_shape(const struct talk *talk, const struct shape *sent)
{
	struct shape wanted = *sent;

	wanted.src = talk->vip;
	wanted.dst = talk->client;
	wanted.ttl = (uint8_t)(sent->ttl - 1);
	memcpy(wanted.dst_mac, talk->client_mac, ETH_ALEN);
	memcpy(wanted.src_mac, our_mac, ETH_ALEN);
	return wanted;
}

static inline void forwarded_check(const struct talk *talk, const struct frame *frame,
				   const struct shape *sent)
{
	struct shape wanted = forwarded_shape(talk, sent);

	frame_check(frame, &wanted);
}

static inline void replied_check(const struct talk *talk, const struct frame *frame,
				 const struct shape *sent)
{
	struct shape wanted = replied_shape(talk, sent);

	frame_check(frame, &wanted);
}

/*
 * The client sends; what comes of it. What is sent on must be right to the
 * last byte: the first packet tells which backend and port were chosen, from
 * then on they must stay.
 */
static inline enum xdplb_outcome client_says(struct talk *talk, uint8_t flags, uint16_t len)
{
	struct shape shape = client_shape(talk, flags, len);
	struct frame frame = frame_make(&shape);
	enum xdplb_outcome out = frame_run(talk->lab, &frame);

	if (out != XDPLB_FORWARD_TX && out != XDPLB_FORWARD_REDIRECT)
		return out;
	if (!talk->server.port) {
		talk->nat = frame_end(&frame, true);
		talk->server = frame_end(&frame, false);
	}
	forwarded_check(talk, &frame, &shape);
	talk->client_seq += len + !!(flags & SYN) + !!(flags & FIN);
	return out;
}

static inline enum xdplb_outcome server_says(struct talk *talk, uint8_t flags, uint16_t len)
{
	struct shape shape = server_shape(talk, flags, len);
	struct frame frame = frame_make(&shape);
	enum xdplb_outcome out = frame_run(talk->lab, &frame);

	if (out != XDPLB_REPLY_TX && out != XDPLB_REPLY_REDIRECT)
		return out;
	replied_check(talk, &frame, &shape);
	talk->server_seq += len + !!(flags & SYN) + !!(flags & FIN);
	return out;
}

#define client_sends(talk, flags, len) assert_outcome(client_says(talk, flags, len), FORWARD_TX)
#define server_sends(talk, flags, len) assert_outcome(server_says(talk, flags, len), REPLY_TX)

/* From the first packet to an established flow. */
static inline void talk_establish(struct talk *talk)
{
	if (talk->lab->proto == IPPROTO_TCP) {
		client_sends(talk, SYN, 0);
		server_sends(talk, SYN | ACK, 0);
		client_sends(talk, ACK, 0);
	} else {
		client_sends(talk, 0, 10);
		server_sends(talk, 0, 20);
	}
}

/* Both say what they like, and are heard. */
static inline void talk_goes_on(struct talk *talk)
{
	client_sends(talk, ACK | PSH, 33);
	server_sends(talk, ACK | PSH, 55);
	client_sends(talk, ACK, 0);
}

/* Both FINs, both acknowledged; the client's comes first. */
static inline void talk_close(struct talk *talk)
{
	client_sends(talk, FIN | ACK, 0);
	server_sends(talk, FIN | ACK, 0);
	client_sends(talk, ACK, 0);
}

/* ---- the rows of a talk's flow */

static inline struct xdplb_flow *row_in(struct xdplb_flow *rows, uint32_t count,
					const struct talk *talk)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct xdplb_half *half = &rows[i].half[XDPLB_TO_BACKEND];

		if (flow_live(&rows[i]) && half->src == talk->client.ip.w[3] &&
		    half->sport == to_be16(talk->client.port))
			return &rows[i];
	}
	return NULL;
}

static inline struct xdplb_flow *established_row(const struct talk *talk)
{
	return row_in(talk->lab->flows, talk->lab->flow_rows, talk);
}

static inline struct xdplb_flow *embryo_row(const struct talk *talk)
{
	return row_in(talk->lab->embryos, talk->lab->embryo_rows, talk);
}

/* As if nothing had been heard of the flow for @ticks more. */
static inline void flow_age(struct xdplb_flow *flow, uint32_t ticks)
{
	assert_non_null(flow);
	flow->half[XDPLB_TO_BACKEND].seen_tick -= ticks;
	flow->half[XDPLB_TO_CLIENT].seen_tick -= ticks;
	flow->half[XDPLB_TO_BACKEND].born_tick -= ticks;
}

static inline void flow_count_check(const struct lab *lab, uint32_t flows, uint32_t embryos)
{
	assert_int_equal(gauges(lab).flows_used, flows);
	assert_int_equal(gauges(lab).embryos_used, embryos);
}

#endif /* XDPLB_TEST_TALK_H */
