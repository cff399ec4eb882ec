/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_QUIC_FIXTURE_H
#define XDPLB_QUIC_FIXTURE_H

/* A client's flow of datagrams, and what the sniffer says of it, for the tests of QUIC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "quic_maker.h"
#include "quic_vectors.h"

#define DATAGRAMS 12
#define NAME "www.a.example"
#define HELLO_SIZE 1900 /* as Chromium's */

static const struct cid client_cid = { 8, { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 } };
static const struct cid server_cid = { 4, { 0xaa, 0xbb, 0xcc, 0xdd } };

struct flow { /* the datagrams of a client, in order of arrival */
	struct made datagrams[DATAGRAMS];
	size_t count;
	struct made hello;
	struct sniff_info info;
};

static inline size_t unhex(const char *hex, uint8_t *bytes)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		bytes[i] = (uint8_t)byte;
	}
	return len;
}

static inline struct recipe recipe_make(uint32_t version)
{
	return (struct recipe){ .version = version,
				.type = QUIC_INITIAL,
				.keys = client_cid,
				.dcid = client_cid,
				.number_len = 1,
				.pad_to = 1200 };
}

static inline struct flow *flow_new(size_t hello_size)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	hello_make(&flow->hello, NAME, hello_size);
	return flow;
}

/* The next datagram: an Initial with bytes @from to @to of the hello. */
static inline void send_part(struct flow *flow, const struct recipe *recipe, size_t from, size_t to)
{
	static struct made frames;

	frames.len = 0;
	put_crypto(&frames, from, flow->hello.data, to - from);
	packet_make(&flow->datagrams[flow->count++], recipe, &frames);
}

static inline void send_frames(struct flow *flow, const struct recipe *recipe,
			       const struct made *frames)
{
	packet_make(&flow->datagrams[flow->count++], recipe, frames);
}

static inline void send_bytes(struct flow *flow, const void *bytes, size_t len)
{
	put(&flow->datagrams[flow->count++], bytes, len);
}

/*
 * The verdict upon the datagrams in the given order, each in memory of its own
 * size. In passing: what was said of fewer of them stands.
 */
static inline enum sniff_verdict judge_order(struct flow *flow, const size_t *order)
{
	struct sniff_piece pieces[DATAGRAMS];
	enum sniff_verdict verdict = SNIFF_MORE, next;

	for (size_t i = 0; i < flow->count; i++) {
		const struct made *datagram = &flow->datagrams[order ? order[i] : i];
		uint8_t *copy = malloc(datagram->len ? datagram->len : 1);

		memcpy(copy, datagram->data, datagram->len);
		pieces[i] = (struct sniff_piece){ copy, datagram->len };
		next = sniff_quic(pieces, i + 1, &flow->info);
		assert_true(verdict == SNIFF_MORE || verdict == next);
		verdict = next;
	}
	for (size_t i = 0; i < flow->count; i++)
		free((void *)pieces[i].data);
	return verdict;
}

static inline enum sniff_verdict judge(struct flow *flow)
{
	enum sniff_verdict verdict = judge_order(flow, NULL);

	if (verdict == SNIFF_YES) {
		assert_string_equal(flow->info.name, NAME);
		assert_int_equal(flow->info.alpn_len, 3);
		assert_memory_equal(flow->info.alpn, "\2h3", 3);
	}
	return verdict;
}

static inline enum sniff_verdict judge_free(struct flow *flow)
{
	enum sniff_verdict verdict = judge(flow);

	free(flow);
	return verdict;
}

#endif /* XDPLB_QUIC_FIXTURE_H */
