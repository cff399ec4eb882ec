// SPDX-License-Identifier: GPL-2.0-only
/*
 * A random walk: conversations in any order, with losses, repetitions and
 * junk, against a model of what must hold. What is established keeps its
 * backend and its ports until both sides have ended it or it was silent for
 * too long; whatever happens, tables and counters agree.
 */
#include "talk.h"

#define FLOW_ROWS 64
#define EMBRYO_ROWS 32
#define CLIENTS 48
#define STEPS 6000

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, FLOW_ROWS, EMBRYO_ROWS) ? 0 : -1;
}

enum phase {
	IDLE, /* nothing said, or all of it over */
	OPENING,
	ANSWERED,
	OPEN, /* and established, so nothing may take it away */
	FINISHING /* a FIN or a reset was said: what comes of it is not asked */
};

struct client {
	struct talk talk;
	enum phase phase;
	uint32_t number;
};

static uint32_t any(uint32_t below)
{
	return (uint32_t)random() % below;
}

static void client_renew(struct client *client, struct lab *lab)
{
	client->talk = talk_of(lab, client->number);
	client->talk.client_seq += any(1U << 30);
	client->phase = IDLE;
}

static bool went(enum xdplb_outcome out)
{
	return out == XDPLB_FORWARD_TX || out == XDPLB_REPLY_TX;
}

/* The first packets; each may be lost behind us or repeated, or its embryo evicted meanwhile. */
static void opening_step(struct client *client, struct lab *lab)
{
	struct talk *talk = &client->talk;
	enum xdplb_outcome out;

	if (client->phase == IDLE) {
		out = client_says(talk, SYN, 0);
		if (went(out))
			client->phase = OPENING;
		else
			client_renew(client, lab);
		return;
	}
	if (client->phase == OPENING) {
		out = server_says(talk, SYN | ACK, 0);
		if (went(out))
			client->phase = lab->proto == IPPROTO_TCP ? ANSWERED : OPEN;
		else
			client_renew(client, lab);
		return;
	}
	out = client_says(talk, ACK, (uint16_t)any(50));
	if (went(out))
		client->phase = OPEN;
	else
		client_renew(client, lab);
}

static void open_step(struct client *client, struct lab *lab)
{
	struct talk *talk = &client->talk;
	bool tcp = lab->proto == IPPROTO_TCP;

	switch (any(12)) {
	case 0:
		if (!tcp)
			break;
		client_sends(talk, any(2) ? FIN | ACK : RST, 0);
		client->phase = FINISHING;
		break;
	case 1:
		if (!tcp)
			break;
		server_sends(talk, any(2) ? FIN | ACK : RST | ACK, 0);
		client->phase = FINISHING;
		break;
	case 2: /* what was sent before comes once more */
		talk->client_seq -= 20;
		client_sends(talk, ACK, 20);
		break;
	case 3: /* a stranger's reset, beside the number */
		talk->client_seq += 1 + any(1U << 20);
		if (tcp) {
			uint32_t seq = talk->client_seq;

			client_sends(talk, RST, 0);
			talk->client_seq = seq;
		}
		break;
	case 4:
	case 5:
	case 6:
		client_sends(talk, ACK, (uint16_t)(20 + any(100)));
		break;
	default:
		server_sends(talk, ACK, (uint16_t)any(1000));
	}
}

static void finishing_step(struct client *client, struct lab *lab)
{
	static const uint8_t flags[] = { ACK, FIN | ACK, RST, RST | ACK, PSH | ACK, SYN };
	struct talk *talk = &client->talk;
	uint8_t say = flags[any(6)];

	if (any(2)) {
		if (say & SYN || lab->proto == IPPROTO_UDP)
			talk->server.port = 0; /* it may be a new flow */
		client_says(talk, say, (uint16_t)any(3));
	} else if (talk->server.port) {
		server_says(talk, say, (uint16_t)any(3));
	}
	if (!any(6)) {
		client->number += CLIENTS;
		client_renew(client, lab);
	}
}

/* Bits turned over, bytes cut off: nothing may come of it but a packet that was for us anyway. */
static void junk_step(const struct client *client, struct lab *lab)
{
	struct shape shape = client_shape(&client->talk, (uint8_t)any(256), (uint16_t)any(60));
	struct frame frame, copy;
	enum xdplb_outcome out;

	shape.src.ip = ip_of(lab, 0xac100000 + any(1U << 16));
	shape.src.port = (uint16_t)any(65536);
	if (any(2))
		shape.dst.port = (uint16_t)any(65536);
	frame = frame_make(&shape);
	for (uint32_t flips = any(4); flips; flips--)
		frame.data[any(frame.len)] ^= (uint8_t)(1U << any(8));
	if (!any(3))
		frame.len = ETH_HLEN + any(frame.len - ETH_HLEN);
	copy = frame;
	out = frame_run(lab, &copy);
	if (outcome_action(out) != XDP_PASS)
		return;
	assert_int_equal(copy.len, frame.len);
	assert_memory_equal(copy.data, frame.data, frame.len);
}

static void client_step(struct client *client, struct lab *lab)
{
	switch (client->phase) {
	case IDLE:
	case OPENING:
	case ANSWERED:
		opening_step(client, lab);
		break;
	case OPEN:
		open_step(client, lab);
		break;
	case FINISHING:
		finishing_step(client, lab);
		break;
	}
}

/* The world around: backends go down and come back, the daemon sweeps or does not. */
static void world_step(struct lab *lab)
{
	switch (any(4)) {
	case 0:
		backend_set(lab, 1 + any(4), BACKEND_DOWN);
		break;
	case 1:
		for (uint32_t id = 1; id <= 4; id++)
			backend_set(lab, id, BACKEND_GOOD);
		break;
	case 2:
		sweep_run(lab, any(100));
		break;
	default:
		for (uint32_t row = 0; row < EMBRYO_ROWS; row++)
			if (flow_live(&lab->embryos[row]) && !any(8))
				flow_age(&lab->embryos[row], 20000);
	}
}

static void a_walk_through_everything_leaves_established_flows_alone(void **state)
{
	struct lab *lab = *state;
	struct xdplb_addr addr = nat_addr(lab, 0);
	struct client clients[CLIENTS];
	/* more of UDP than its half find no room, and then there is no promise */
	uint32_t count = lab->proto == IPPROTO_TCP ? CLIENTS : FLOW_ROWS / 2;

	nat_set(lab, lab->v6, 1024, 39999, &addr, 1); /* none is used twice meanwhile */
	for (uint32_t i = 0; i < count; i++) {
		clients[i].number = i;
		client_renew(&clients[i], lab);
	}
	for (uint32_t step = 0; step < STEPS; step++) {
		struct client *client = &clients[any(count)];

		client_step(client, lab);
		if (!any(5))
			junk_step(client, lab);
		if (!any(20))
			world_step(lab);
		if (!any(200))
			lab_audit(lab);
	}
	assert_int_equal(event_count(lab, XDPLB_EVENT_EXPIRED_FLOW), 0);
	assert_int_equal(outcome_count(lab, XDPLB_CONTINUE), 0);
	assert_in_range(event_count(lab, XDPLB_EVENT_PROMOTED), count, STEPS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(a_walk_through_everything_leaves_established_flows_alone),
	};

	srandom(getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : 1);
	return cmocka_run_group_tests(tests, load, unload);
}
