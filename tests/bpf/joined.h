/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_JOINED_H
#define XDPLB_TEST_JOINED_H

/*
 * What a worker does, for tests: commands to the program `splice`, and
 * conversations through flows that were joined by it. Between client and
 * backend every packet is compared, as a whole, with one built from scratch.
 */
#include "talk.h"
#include "translate.h"
#include "xdplb/protocol.h"

#define WORKER 5 /* row of xsks */
#define FLOW_ROWS 64
#define EMBRYO_ROWS 64
#define HELLO 517 /* bytes that the worker had and sends on */

/* ---- for cmocka: as in talk.h, and nothing is known of anybody's first bytes */

static inline int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, FLOW_ROWS, EMBRYO_ROWS) ? 0 : -1;
}

static inline int scene(void **state)
{
	static const struct xdplb_offer unknown;
	struct xdplb_bpf *skel = the_lab.skel;

	setup(state);
	hash_clear(skel->maps.sniffs);
	hash_clear(skel->maps.sniffed);
	row_put(skel->maps.sniff_offers, SERVICE_ID, &unknown);
	return 0;
}

#undef TCP4
#undef TCP6
#undef UDP4
#undef UDP6
#define TCP4(name) VARIANT(name, "TCP over IPv4", false, IPPROTO_TCP, scene, teardown)
#define TCP6(name) VARIANT(name, "TCP over IPv6", true, IPPROTO_TCP, scene, teardown)
#define UDP4(name) VARIANT(name, "UDP over IPv4", false, IPPROTO_UDP, scene, teardown)
#define UDP6(name) VARIANT(name, "UDP over IPv6", true, IPPROTO_UDP, scene, teardown)

/* ---- commands */

struct order {
	struct xdplb_command command;
	uint8_t frame[512];
};

/* Runs the first @len bytes of @order; what came back stands in it. */
static inline uint32_t order_run_len(const struct lab *lab, struct order *order, uint32_t len)
{
	struct order out;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = order, .data_size_in = len,
		    .data_out = &out, .data_size_out = sizeof(out), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.splice), &opts),
			 0);
	assert_int_equal(opts.data_size_out, len);
	memcpy(order, &out, len);
	return opts.retval;
}

static inline uint32_t order_run(const struct lab *lab, struct order *order)
{
	return order_run_len(lab, order, sizeof(*order));
}

static inline void order_check(const struct lab *lab, struct order *order,
			       enum xdplb_outcome wanted, const char *file, int line)
{
	_assert_int_equal(order_run(lab, order), XDP_PASS, file, line);
	outcome_check(order->command.result, wanted, file, line);
}

#define assert_order(lab, order, wanted) order_check(lab, order, XDPLB_##wanted, __FILE__, __LINE__)

/* A sniffed connection: talk->server_seq is the backend's, the client knows other numbers. */
struct joined {
	struct talk talk;
	struct order order; /* as last answered */
	uint32_t isn, backend_isn;
	uint8_t our_wscale, backend_wscale;
	uint8_t client_wscale; /* where the backend has none */
	uint16_t window; /* what the backend says of its own */
	uint16_t client_window; /* and the client */
	uint8_t options[40], options_size; /* of the client's packets */
};

static inline struct joined joined_of(struct lab *lab, uint32_t n)
{
	struct joined joined = {
		.talk = talk_of(lab, n),
		.isn = 0x7ffffff0 + n * 77777,
		.our_wscale = 7,
		.backend_wscale = 9,
		.window = 0x0123,
		.client_window = 0x8123,
	};

	joined.backend_isn = joined.talk.server_seq;
	return joined;
}

static inline uint32_t delta_of(const struct joined *joined)
{
	return joined->backend_isn - joined->isn;
}

static inline void order_begin(struct joined *joined, enum xdplb_command_op op)
{
	struct xdplb_command *command = &joined->order.command;
	struct shape shape = client_shape(&joined->talk, SYN, 0);
	struct frame frame = frame_make(&shape);

	command->op = op;
	command->result = XDPLB_OUTCOME_MAX;
	command->event = XDPLB_NO_EVENT;
	command->service = SERVICE_ID;
	command->pool = POOL_ID;
	command->idle_ticks = IDLE_TICKS;
	command->ifindex = LAB_IFINDEX;
	command->protocol = XDPLB_PROTOCOL_TLS;
	command->worker = WORKER;
	command->conn = joined->talk.client.port;
	command->isn = joined->isn;
	memcpy(joined->order.frame, frame.data, frame.len);
}

static inline void order_open(struct joined *joined)
{
	order_begin(joined, XDPLB_COMMAND_OPEN);
}

static inline struct end half_end(const struct lab *lab, const __be32 *hi, __be32 last, __be16 port)
{
	struct end end = { .ip = ip4(0), .port = from_be16(port) };

	if (lab->v6)
		memcpy(end.ip.w, hi, 12);
	end.ip.w[3] = last;
	return end;
}

/* OPEN was answered: where the connection goes. */
static inline void opened_take(struct joined *joined)
{
	const struct xdplb_half *half = &joined->order.command.half[XDPLB_TO_BACKEND];
	struct lab *lab = joined->talk.lab;

	joined->talk.nat = half_end(lab, half->new_src_hi, half->new_src, half->new_sport);
	joined->talk.server = half_end(lab, half->new_dst_hi, half->new_dst, half->new_dport);
}

static inline void joined_open(struct joined *joined)
{
	order_open(joined);
	assert_order(joined->talk.lab, &joined->order, CONTINUE);
	opened_take(joined);
	joined->talk.client_seq++;
}

/* The command by which client and backend are joined; the hello of @len bytes is the worker's to send. */
static inline void order_splice(struct joined *joined, uint16_t len)
{
	struct xdplb_command *command = &joined->order.command;

	command->op = XDPLB_COMMAND_SPLICE;
	command->result = XDPLB_OUTCOME_MAX;
	command->event = XDPLB_NO_EVENT;
	command->flags = XDPLB_COMMAND_SACK;
	command->isn = joined->isn;
	command->backend_isn = joined->backend_isn;
	command->client_seq_end = joined->talk.client_seq + len;
	command->backend_seq_end = joined->backend_isn + 1;
	command->backend_mss = 1460;
	command->backend_wscale = joined->backend_wscale;
	command->our_wscale = joined->our_wscale;
	command->client_scale = joined->client_wscale;
	command->name_len = 11;
	memcpy(command->name, "example.com", 11);
}

static inline void joined_splice(struct joined *joined)
{
	order_splice(joined, HELLO);
	assert_order(joined->talk.lab, &joined->order, CONTINUE);
	joined->talk.client_seq += HELLO;
	joined->talk.server_seq++;
}

static inline void joined_establish(struct joined *joined)
{
	joined_open(joined);
	joined_splice(joined);
}

/* ---- packets */

static inline void same_check(const struct frame *frame, const struct frame *wanted)
{
	assert_int_equal(frame->len, wanted->len);
	assert_memory_equal(frame->data, wanted->data, wanted->len);
}

static inline enum xdplb_outcome joined_client_says(struct joined *joined, uint8_t flags,
						    uint16_t len)
{
	struct shape shape = client_shape(&joined->talk, flags, len), wanted;
	uint8_t options[40];
	struct frame frame, all;
	enum xdplb_outcome out;

	shape.ack -= flags & ACK ? delta_of(joined) : 0;
	shape.tcp_options = joined->options_size;
	frame = frame_with(&shape, joined->client_window, joined->options);
	out = frame_run(joined->talk.lab, &frame);
	if (out != XDPLB_FORWARD_TX && out != XDPLB_FORWARD_REDIRECT)
		return out;
	wanted = forwarded_shape(&joined->talk, &shape);
	wanted.ack += flags & ACK ? delta_of(joined) : 0;
	memcpy(options, joined->options, sizeof(options));
	if (flags & ACK)
		sacks_shift(options, joined->options_size, delta_of(joined));
	all = frame_with(&wanted, window_seen(joined->client_window, joined->client_wscale, 0),
			 options);
	same_check(&frame, &all);
	joined->talk.client_seq += len + !!(flags & SYN) + !!(flags & FIN);
	return out;
}

static inline enum xdplb_outcome joined_server_says(struct joined *joined, uint8_t flags,
						    uint16_t len)
{
	struct shape shape = server_shape(&joined->talk, flags, len), wanted;
	uint8_t options[40] = { 1, 1, 5, 10, 9, 8, 7, 6, 5, 4, 3, 2 }; /* about the client's bytes */
	struct frame frame, all;
	enum xdplb_outcome out;

	shape.tcp_options = flags & SYN ? 0 : 12;
	frame = frame_with(&shape, joined->window, options);
	out = frame_run(joined->talk.lab, &frame);
	if (out != XDPLB_REPLY_TX && out != XDPLB_REPLY_REDIRECT)
		return out;
	wanted = replied_shape(&joined->talk, &shape);
	wanted.seq -= delta_of(joined);
	all = frame_with(&wanted,
			 flags & SYN ? joined->window :
				       window_seen(joined->window, joined->backend_wscale,
						   joined->our_wscale),
			 options);
	frame_id_set(&all, (uint16_t)shape.seq);
	same_check(&frame, &all);
	joined->talk.server_seq += len + !!(flags & SYN) + !!(flags & FIN);
	return out;
}

#define joined_client_sends(joined, flags, len) \
	assert_outcome(joined_client_says(joined, flags, len), FORWARD_TX)
#define joined_server_sends(joined, flags, len) \
	assert_outcome(joined_server_says(joined, flags, len), REPLY_TX)

/* Both say what they like, and are heard. */
static inline void joined_go_on(struct joined *joined)
{
	joined_client_sends(joined, ACK | PSH, 33);
	joined_server_sends(joined, ACK | PSH, 55);
	joined_client_sends(joined, ACK, 0);
}

#endif /* XDPLB_TEST_JOINED_H */
