// SPDX-License-Identifier: GPL-2.0-only
/*
 * Datagrams of a client, in two ways. Raw: as the input has them. Made: the input
 * chooses pieces of a hello, frames around them, order and repetition, ids, tokens
 * and damage, and the maker protects what comes of it; there we also know what
 * the verdict must be. Either way a verdict never changes, and eight datagrams
 * are enough for one.
 */
#include "../unit/quic_maker.h"

#define DATAGRAMS 10
#define NAME "fuzz.a.example"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *data;
	size_t len;
};

struct flow {
	struct sniff_piece pieces[DATAGRAMS]; /* each in memory of its own size */
	size_t count;
};

struct story { /* what was made, and what is known of it */
	struct flow flow;
	struct made hello;
	bool sent[MAKER_MAX]; /* bytes of the hello */
	bool honest; /* nothing was sent but pieces of it */
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static uint8_t next(struct input *input)
{
	if (!input->len)
		return 0;
	input->len--;
	return *input->data++;
}

static size_t next16(struct input *input)
{
	size_t high = next(input);

	return high << 8 | next(input);
}

static void flow_add(struct flow *flow, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (len)
		memcpy(copy, data, len);
	flow->pieces[flow->count++] = (struct sniff_piece){ copy, len };
}

static void info_check(const struct sniff_info *info)
{
	require(memchr(info->name, 0, sizeof(info->name)));
	require(info->alpn_len <= sizeof(info->alpn));
}

/* Asks at each datagram; the last verdict, whose @info it fills. */
static enum sniff_verdict flow_judge(const struct flow *flow, struct sniff_info *info)
{
	enum sniff_verdict verdict = SNIFF_MORE, now;

	for (size_t i = 0; i <= flow->count; i++) {
		memset(info, 0xa5, sizeof(*info));
		now = sniff_quic(flow->pieces, i, info);
		require(verdict == SNIFF_MORE || now == verdict);
		require(now != SNIFF_MORE || i < SNIFF_DATAGRAMS_MAX);
		if (now == SNIFF_YES)
			info_check(info);
		verdict = now;
	}
	return verdict;
}

static void flow_free(struct flow *flow)
{
	while (flow->count)
		free((void *)flow->pieces[--flow->count].data);
}

static void run_raw(struct input input)
{
	struct flow flow = { .count = 0 };
	struct sniff_info info;

	while (input.len >= 2 && flow.count < DATAGRAMS) {
		size_t len = next16(&input);

		if (len > input.len)
			len = input.len;
		flow_add(&flow, input.data, len);
		input.data += len;
		input.len -= len;
	}
	flow_judge(&flow, &info);
	flow_free(&flow);
}

static void piece_put(struct story *story, struct input *input, struct made *frames)
{
	size_t from = next16(input) % story->hello.len, len = next(input);

	if (len & 1)
		len = len << 3;
	if (len > story->hello.len - from)
		len = story->hello.len - from;
	put_crypto(frames, from, story->hello.data, len);
	memset(story->sent + from, 1, len);
}

/* Bytes of the input as frames: whatever they are. */
static void bytes_put(struct story *story, struct input *input, struct made *frames)
{
	size_t len = next(input);

	if (len > input->len)
		len = input->len;
	put(frames, input->data, len);
	input->data += len;
	input->len -= len;
	story->honest = false;
}

static void frames_make(struct story *story, struct input *input, struct made *frames)
{
	frames->len = 0;
	for (unsigned i = next(input) % 32; i && frames->len < 8000; i--) {
		switch (next(input) % 8) {
		case 0:
			put_byte(frames, 0, next(input)); /* PADDING */
			break;
		case 1:
			put_byte(frames, 1, 1); /* PING */
			break;
		case 2:
			put_ack(frames);
			break;
		case 3:
			if (next(input) % 8 == 0)
				bytes_put(story, input, frames);
			break;
		default:
			piece_put(story, input, frames);
		}
	}
}

/* One packet more in @datagram, differing from @recipe in what the input says. */
static void packet_add(struct story *story, struct input *input, struct recipe recipe,
		       struct made *datagram)
{
	static const struct cid server = { 5, { 9, 8, 7, 6, 5 } };
	unsigned how = next(input);
	static struct made frames;

	frames.len = 0;
	recipe.number_len = (uint8_t)(1 + (how & 3));
	recipe.token_len = how & 4 ? next16(input) % 300 : 0;
	if (how & 8) /* an id of the server's; with keys of it, as after a Retry */
		recipe.dcid = server;
	if ((how & 0x18) == 0x18)
		recipe.keys = server;
	if (how & 0x20) {
		recipe.version = next(input) & 1 ? MAKER_V1 : MAKER_V2;
		story->honest = false;
	}
	if ((how & 0xc0) == 0xc0)
		recipe.type = next(input) & 1 ? QUIC_ZERO_RTT : QUIC_HANDSHAKE;
	if (how & 0x98)
		story->honest = false;
	frames_make(story, input, &frames);
	if (!frames.len) /* no client sends such a packet */
		story->honest = false;
	packet_make(datagram, &recipe, &frames);
}

static void datagram_add(struct story *story, struct input *input, const struct recipe *recipe)
{
	static struct made datagram;
	unsigned how = next(input);
	struct recipe last = *recipe;

	datagram.len = 0;
	last.pad_to = 0;
	if (how % 4 == 1)
		packet_add(story, input, last, &datagram);
	last.number = recipe->number + 1;
	last.pad_to = how & 0x80 ? next16(input) % 1500 : 1200;
	packet_add(story, input, last, &datagram);
	if (datagram.len < 1200)
		story->honest = false;
	if (how & 0x40) {
		datagram.data[next16(input) % datagram.len] ^= 1U << (how & 7);
		story->honest = false;
	}
	if ((how & 0x30) == 0x30) {
		datagram.len -= next16(input) % datagram.len;
		story->honest = false;
	}
	flow_add(&story->flow, datagram.data, datagram.len);
	if ((how & 0x38) == 0x08 && story->flow.count < DATAGRAMS) /* twice */
		flow_add(&story->flow, datagram.data, datagram.len);
}

/* What of the hello was not sent yet, in one datagram. */
static void rest_send(struct story *story, const struct recipe *recipe)
{
	static struct made frames, datagram;
	struct recipe last = *recipe;
	size_t from, to;

	frames.len = datagram.len = 0;
	for (from = 0; from < story->hello.len; from = to) {
		for (to = from; to < story->hello.len && !story->sent[to]; to++)
			story->sent[to] = true;
		if (to > from)
			put_crypto(&frames, from, story->hello.data, to - from);
		to += to == from;
	}
	last.number_len = 2;
	last.pad_to = 1200;
	packet_make(&datagram, &last, &frames);
	flow_add(&story->flow, datagram.data, datagram.len);
}

static bool hello_is_sent(const struct story *story)
{
	for (size_t i = 0; i < story->hello.len; i++)
		if (!story->sent[i])
			return false;
	return true;
}

static void run_made(struct input input)
{
	unsigned how = next(&input);
	struct recipe recipe = { .version = how & 1 ? MAKER_V1 : MAKER_V2, .type = QUIC_INITIAL };
	static struct story story;
	enum sniff_verdict verdict;
	struct sniff_info info;

	memset(&story, 0, sizeof(story));
	story.honest = true;
	recipe.keys.len = recipe.scid.len = (uint8_t)(8 + next(&input) % 13);
	memset(recipe.keys.data, next(&input), recipe.keys.len);
	recipe.dcid = recipe.keys;
	hello_make(&story.hello, NAME, 100 + next16(&input) % 4000);
	while (input.len && story.flow.count < SNIFF_DATAGRAMS_MAX) {
		datagram_add(&story, &input, &recipe);
		recipe.number += 2;
	}
	if (how & 2 && story.flow.count < SNIFF_DATAGRAMS_MAX)
		rest_send(&story, &recipe);
	verdict = flow_judge(&story.flow, &info);
	if (story.honest && story.flow.count && story.flow.count <= SNIFF_DATAGRAMS_MAX) {
		if (hello_is_sent(&story))
			require(verdict == SNIFF_YES && !strcmp(info.name, NAME) &&
				info.alpn_len == 3 && !memcmp(info.alpn, "\2h3", 3));
		else
			require(verdict ==
				(story.flow.count == SNIFF_DATAGRAMS_MAX ? SNIFF_NO : SNIFF_MORE));
	}
	flow_free(&story.flow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input input = { data, len };

	if (next(&input) & 1)
		run_made(input);
	else
		run_raw(input);
	return 0;
}
