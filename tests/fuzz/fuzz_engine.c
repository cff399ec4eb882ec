// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine among strangers: segments with any numbers and flags of a few
 * clients and backends, whole frames of noise, commands that fail, rules that
 * change, time that jumps. Nothing crashes, limits hold, what is sent is a
 * valid frame with right checksums, and in the end all of it is let go of.
 */
#include <stdlib.h>

#include "../bpf/packet.h"
#include "worker/engine.h"
#include "xdplb/rewrite.h"

#define CLIENTS 6
#define CONNECTIONS 4
#define BYTES 60000
#define PEER_BYTES 1024 /* more than a decided one costs beside what it holds */
#define ALIGN 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool holds)
{
	if (!holds)
		abort();
}

struct input {
	const uint8_t *data;
	size_t len;
};

struct world {
	struct input *in;
	struct engine_stats stats;
	struct rules rules;
	uint32_t conn[CLIENTS]; /* handles, as OPEN said */
	bool noise; /* what comes is no valid frame */
	uint64_t sent;
};

static uint32_t take(struct input *in, unsigned bytes)
{
	uint32_t value = 0;

	for (; bytes; bytes--) {
		value = value << 8 | (in->len ? *in->data : 0);
		in->data += in->len > 0;
		in->len -= in->len > 0;
	}
	return value;
}

static struct end client_end(unsigned i)
{
	return (struct end){ i & 1 ? ip6(0x100 + i) : ip4(0x0b000000 + i), (uint16_t)(1000 + i) };
}

static struct end vip_end(unsigned i)
{
	return (struct end){ i & 1 ? ip6(1) : ip4(0xc0000201), 443 };
}

static struct end nat_end(unsigned i)
{
	return (struct end){ i & 1 ? ip6(2) : ip4(0x0a000001), (uint16_t)(2000 + i) };
}

static struct end server_end(unsigned i)
{
	return (struct end){ i & 1 ? ip6(3) : ip4(0x0a000002), 8443 };
}

static void op_send(void *ctx, uint32_t ifindex, const void *data, size_t len)
{
	struct world *w = ctx;
	struct frame frame = { .len = (uint32_t)len };

	(void)ifindex;
	w->sent++;
	require(len >= 34 && len <= FRAME_MAX);
	memcpy(frame.data, data, len);
	if (frame.data[frame_is_v6(&frame) ? 20 : 23] != IPPROTO_TCP || w->noise)
		return;
	require(frame_ip_len(&frame) + ETH_HLEN == len && frame_sums_right(&frame));
}

static struct xdplb_half half_make(struct end src, struct end dst, struct end new_src,
				   struct end new_dst)
{
	struct xdplb_half half = { .src = src.ip.w[3],
				   .dst = dst.ip.w[3],
				   .sport = to_be16(src.port),
				   .dport = to_be16(dst.port),
				   .new_src = new_src.ip.w[3],
				   .new_dst = new_dst.ip.w[3],
				   .new_sport = to_be16(new_src.port),
				   .new_dport = to_be16(new_dst.port) };

	if (end_is_v6(&src)) {
		memcpy(half.src_hi, src.ip.w, 12);
		memcpy(half.dst_hi, dst.ip.w, 12);
		memcpy(half.new_src_hi, new_src.ip.w, 12);
		memcpy(half.new_dst_hi, new_dst.ip.w, 12);
	}
	xdplb_half_diffs(&half);
	return half;
}

/* The frame names the client by its port; half of what is asked for fails if the input wants so. */
static bool op_command(void *ctx, struct xdplb_command *command, const void *data, size_t len)
{
	struct world *w = ctx;
	struct frame frame = { .len = (uint32_t)len };
	uint32_t mood = take(w->in, 1);
	unsigned i;

	command->result = mood < 200 ? XDPLB_CONTINUE : mood % XDPLB_OUTCOME_MAX;
	if (command->op != XDPLB_COMMAND_OPEN || !data)
		return mood != 255;
	require(len <= sizeof(frame.data));
	memcpy(frame.data, data, len);
	i = frame_end(&frame, true).port - 1000U;
	if (i < CLIENTS) {
		w->conn[i] = command->conn;
		command->backend = 1 + mood % 5;
		command->half[0] = half_make(client_end(i), vip_end(i), nat_end(i), server_end(i));
		command->half[1] = half_make(server_end(i), nat_end(i), vip_end(i), client_end(i));
	}
	return mood != 255;
}

static const struct rules *op_rules(void *ctx)
{
	return &((struct world *)ctx)->rules;
}

static uint32_t number_near(struct input *in, uint32_t base)
{
	uint32_t how = take(in, 1);

	if (how < 128)
		return base + how % 4 * 100;
	return how < 250 ? base + (uint32_t)(int16_t)take(in, 2) : take(in, 4);
}

/* Known beginnings, so that verdicts of all kinds come about. */
static void payload_write(struct frame *frame, const struct shape *shape, uint32_t kind)
{
	static const char *const texts[] = { "SSH-2.0-x\r\n", "GET / HTTP/1.1\r\n", "\x16\x03\x01",
					     "?" };
	uint8_t *ip = frame->data + ETH_HLEN,
		*l4 = frame->data + (frame_layer4(frame) - frame->data);
	size_t len = strlen(texts[kind % 4]), headers = (size_t)(l4[12] >> 4) * 4;

	if (kind >= 128)
		return;
	memcpy(l4 + headers, texts[kind % 4], len < shape->len ? len : shape->len);
	put16(l4 + 16, 0);
	layer4_check(shape, ip, l4, (uint32_t)(frame->data + frame->len - l4));
}

static void packet_give(struct engine *engine, const struct xdplb_meta *meta,
			const struct frame *frame, uint64_t now)
{
	uint8_t *copy = malloc(ALIGN + frame->len); /* ends with the frame: ASan sees beyond */

	memcpy(copy + ALIGN, frame->data, frame->len);
	engine_packet(engine, meta, copy + ALIGN, frame->len, now);
	free(copy);
}

static void segment_give(struct world *w, struct engine *engine, bool server, uint64_t now)
{
	uint32_t pick = take(w->in, 1), i = pick % CLIENTS, flags = take(w->in, 1);
	struct shape shape = { .src = server ? server_end(i) : client_end(i),
			       .dst = server ? nat_end(i) : vip_end(i),
			       .proto = IPPROTO_TCP,
			       .flags = flags < 128 ? (server && flags & 1 ? SYN | ACK : ACK) :
						      (uint8_t)flags,
			       .ttl = 64 };
	struct xdplb_meta meta = { .kind = server     ? XDPLB_META_BACKEND :
					   pick < 128 ? XDPLB_META_OPENING :
							XDPLB_META_CLIENT,
				   .service = pick == 77 ? 9 : 1,
				   .conn = server ? w->conn[i] : 0,
				   .isn = 0x80000000 + i + (pick == 78),
				   .client_isn = 0xfffffff0 + i,
				   .mss = (uint16_t)(pick * 40),
				   .wscale = pick % 16,
				   .sack = pick & 1,
				   .our_wscale = pick % 5 ? 7 : 15 };
	struct frame frame;

	shape.seq = number_near(w->in, server ? 5000 : meta.client_isn + 1);
	shape.ack = number_near(w->in, server ? meta.client_isn + 1 : meta.isn + 1);
	shape.len = (uint16_t)(flags & 2 ? take(w->in, 2) % 1500 : take(w->in, 1));
	frame = frame_make(&shape);
	payload_write(&frame, &shape, take(w->in, 1));
	packet_give(engine, &meta, &frame, now);
}

/* A segment of client or server @i that is as it should be; @text is its payload. */
static void right_give(struct world *w, struct engine *engine, const struct shape *said, unsigned i,
		       const char *text, uint64_t now)
{
	bool server = said->flags & SYN;
	struct shape shape = *said;
	struct xdplb_meta meta = { .kind = server ? XDPLB_META_BACKEND : XDPLB_META_OPENING,
				   .service = 1,
				   .conn = server ? w->conn[i] : 0,
				   .isn = 0x80000000 + i,
				   .client_isn = 0xfffffff0 + i,
				   .mss = 1400,
				   .wscale = 7,
				   .sack = 1,
				   .our_wscale = 7 };
	struct frame frame;
	uint8_t *ip, *l4;

	shape.src = server ? server_end(i) : client_end(i);
	shape.dst = server ? nat_end(i) : vip_end(i);
	shape.proto = IPPROTO_TCP;
	shape.ttl = 64;
	shape.len = (uint16_t)strlen(text);
	shape.seq += server ? 5000 : meta.client_isn + 1;
	shape.ack = server ? meta.client_isn + 1 : meta.isn + 1;
	frame = frame_make(&shape);
	ip = frame.data + ETH_HLEN;
	l4 = frame.data + (frame_layer4(&frame) - frame.data);
	memcpy(l4 + 20, text, shape.len);
	put16(l4 + 16, 0);
	layer4_check(&shape, ip, l4, 20U + shape.len);
	packet_give(engine, &meta, &frame, now);
}

/* As far as a backend that owes acknowledgements: chance alone hardly gets there. */
static void prelude_give(struct world *w, struct engine *engine, uint64_t now)
{
	unsigned i = take(w->in, 1) % CLIENTS;

	right_give(w, engine, &(struct shape){ .flags = ACK }, i, "SSH-", now);
	right_give(w, engine, &(struct shape){ .flags = ACK }, i, "SSH-", now);
	right_give(w, engine, &(struct shape){ .flags = ACK, .seq = 4 }, i, "2.0-x\r\n", now);
	right_give(w, engine, &(struct shape){ .flags = SYN | ACK }, i, "", now);
}

static void noise_give(struct world *w, struct engine *engine, uint64_t now)
{
	struct xdplb_meta meta = { .service = 1 };
	struct frame frame = { .len = take(w->in, 1) };

	meta.kind = take(w->in, 1) % 6;
	meta.conn = w->conn[take(w->in, 1) % CLIENTS];
	meta.isn = take(w->in, 4);
	for (uint32_t i = 0; i < frame.len; i++)
		frame.data[i] = (uint8_t)take(w->in, 1);
	w->noise = true;
	packet_give(engine, &meta, &frame, now);
	w->noise = false;
}

static void step(struct world *w, struct engine *engine, uint64_t *now)
{
	uint32_t op = take(w->in, 1);
	uint64_t next;

	if (op < 120)
		segment_give(w, engine, false, *now);
	else if (op < 200)
		segment_give(w, engine, true, *now);
	else if (op < 206)
		prelude_give(w, engine, *now);
	else if (op < 210)
		noise_give(w, engine, *now);
	else if (op < 215)
		engine_rules_changed(engine, *now);
	else if (op < 217)
		w->rules.count = !w->rules.count;
	else
		*now += (uint64_t)take(w->in, 1) << (op % 4 * 8);
	next = engine_run(engine, *now);
	require(next > *now);
	if (op > 240 && next != UINT64_MAX)
		*now = next;
	require(w->stats.connections <= CONNECTIONS);
	require(w->stats.bytes <= BYTES + CLIENTS * PEER_BYTES + 20000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct engine_ops ops = { op_send, op_command, op_rules };
	const struct engine_limits limits = { CONNECTIONS, 4, BYTES };
	struct rule rules[] = { { .protocol = XDPLB_PROTOCOL_SSH, .pool = 1 },
				{ .protocol = XDPLB_PROTOCOL_TLS, .pool = 2 } };
	struct rule_set set = { .service = 1,
				.pool = len & 1 ? RULES_NO_POOL : 3,
				.sniff_timeout_ms = 1000,
				.rules = rules,
				.rule_count = 2 };
	struct input in = { data, len };
	struct world w = { .in = &in, .rules = { &set, 1 } };
	struct engine *engine = engine_new(&ops, &w, 1, &limits, &w.stats);
	uint64_t now = 1000000000;

	require(engine);
	while (in.len)
		step(&w, engine, &now);
	for (int i = 0; i < 10000 && now != UINT64_MAX; i++)
		now = engine_run(engine, now);
	require(now == UINT64_MAX);
	require(!w.stats.connections && !w.stats.bytes);
	engine_free(engine);
	return 0;
}
