// SPDX-License-Identifier: GPL-2.0-only
/*
 * HTTP/2 with prior knowledge: the frames up to the first request's header
 * block, and in it :authority, or host. HPACK is libnghttp2's.
 */
#include "sniff/http2.h"

#include <nghttp2/nghttp2.h>

enum {
	FRAME_HEADER = 9, /* bytes */
	FRAME_MAX = 16384, /* until a server's SETTINGS allow for more (RFC 9113, 4.2) */
	FRAME_HEADERS = 1, /* types (6) */
	FRAME_PRIORITY = 2,
	FRAME_SETTINGS = 4,
	FRAME_PING = 6,
	FRAME_WINDOW_UPDATE = 8,
	FRAME_CONTINUATION = 9,
	FLAG_END_HEADERS = 0x4,
	FLAG_PADDED = 0x8,
	FLAG_PRIORITY = 0x20,
	PRIORITY_BYTES = 5
};

/* Where in a connection's beginning a frame may stand. */
enum phase {
	PHASE_FIRST = 1, /* behind the preface (3.4) */
	PHASE_BETWEEN = 2, /* up to the first request */
	PHASE_BLOCK = 4 /* until the header block ends (6.10) */
};

/* What a frame of a type must look like; a row without phases: never here. */
static const struct frame_rule {
	unsigned phases;
	size_t length_min, length_max, length_step;
	size_t stream_min, stream_max;
} frame_rules[] = {
	[FRAME_HEADERS] = { PHASE_BETWEEN, 0, FRAME_MAX, 1, 1, INT32_MAX },
	[FRAME_PRIORITY] = { PHASE_BETWEEN, 5, 5, 1, 1, INT32_MAX },
	[FRAME_SETTINGS] = { PHASE_FIRST | PHASE_BETWEEN, 0, FRAME_MAX, 6, 0, 0 },
	[FRAME_PING] = { PHASE_BETWEEN, 8, 8, 1, 0, 0 },
	[FRAME_WINDOW_UPDATE] = { PHASE_BETWEEN, 4, 4, 1, 0, INT32_MAX },
	[FRAME_CONTINUATION] = { PHASE_BLOCK, 0, FRAME_MAX, 1, 1, INT32_MAX },
};

/* Types that nobody knows are to be passed over (5.5). */
static const struct frame_rule unknown_rule = { PHASE_BETWEEN, 0, FRAME_MAX, 1, 0, INT32_MAX };

struct frame {
	size_t type, flags, stream;
	struct reader payload;
};

/* What there is of the first header block. */
struct block {
	uint8_t data[SNIFF_STREAM_MAX];
	size_t len;
	bool whole;
};

static const struct frame_rule *rule_of(size_t type)
{
	return type < sizeof(frame_rules) / sizeof(frame_rules[0]) ? &frame_rules[type] :
								     &unknown_rule;
}

/* What HEADERS have beside the block: the padding's length and a priority (6.2). */
static size_t headers_overhead(const struct frame *frame)
{
	if (frame->type != FRAME_HEADERS)
		return 0;
	return (frame->flags & FLAG_PADDED ? 1 : 0) +
	       (frame->flags & FLAG_PRIORITY ? PRIORITY_BYTES : 0);
}

/* A frame's header (4.1); its payload may be still to come. */
static enum sniff_verdict read_frame(struct reader *stream, enum phase phase, struct frame *frame)
{
	size_t left = reader_left(stream), length = 0;
	const struct frame_rule *rule;
	enum sniff_verdict verdict;

	if (left < FRAME_HEADER)
		return SNIFF_NO;
	left -= FRAME_HEADER;
	verdict = read_number(stream, 3, 0, left < FRAME_MAX ? left : FRAME_MAX, &length);
	if (verdict == SNIFF_YES)
		verdict = read_number(stream, 1, 0, 255, &frame->type);
	if (verdict != SNIFF_YES)
		return verdict;
	rule = rule_of(frame->type);
	if (!(rule->phases & phase) || length < rule->length_min || length > rule->length_max ||
	    length % rule->length_step)
		return SNIFF_NO;
	verdict = read_number(stream, 1, 0, 255, &frame->flags);
	if (verdict == SNIFF_YES && length < headers_overhead(frame))
		return SNIFF_NO;
	if (verdict == SNIFF_YES)
		verdict =
			read_number(stream, 4, rule->stream_min, rule->stream_max, &frame->stream);
	if (verdict != SNIFF_YES)
		return verdict;
	frame->payload = *stream;
	frame->payload.end = stream->at + length;
	stream->at += length;
	return SNIFF_YES;
}

/* Adds what is there of a fragment; MORE, if something is missing. */
static enum sniff_verdict block_add(struct block *block, const struct reader *fragment)
{
	size_t end = fragment->end < fragment->have ? fragment->end : fragment->have;

	if (fragment->at < end) {
		memcpy(block->data + block->len, fragment->data + fragment->at, end - fragment->at);
		block->len += end - fragment->at;
	}
	return fragment->end > fragment->have ? SNIFF_MORE : SNIFF_YES;
}

/* HEADERS of a client's stream, padding and priority taken off. */
static enum sniff_verdict read_headers(struct frame *frame, struct block *block)
{
	size_t padding = 0, room = reader_left(&frame->payload) - headers_overhead(frame);
	enum sniff_verdict verdict = SNIFF_YES;

	if (frame->stream % 2 == 0)
		return SNIFF_NO;
	if (frame->flags & FLAG_PADDED)
		verdict = read_number(&frame->payload, 1, 0, room, &padding);
	if (verdict != SNIFF_YES)
		return verdict;
	frame->payload.at += frame->flags & FLAG_PRIORITY ? PRIORITY_BYTES : 0;
	frame->payload.end -= padding;
	return block_add(block, &frame->payload);
}

/* The header block of the first request, over all frames that it comes in. */
static enum sniff_verdict read_block(struct reader *stream, struct block *block)
{
	struct frame frame = { .type = 0 };
	enum sniff_verdict verdict = read_frame(stream, PHASE_FIRST, &frame);
	size_t id;

	while (verdict == SNIFF_YES && frame.type != FRAME_HEADERS)
		verdict = read_frame(stream, PHASE_BETWEEN, &frame);
	if (verdict == SNIFF_YES)
		verdict = read_headers(&frame, block);
	id = frame.stream;
	while (verdict == SNIFF_YES && !(frame.flags & FLAG_END_HEADERS)) {
		verdict = read_frame(stream, PHASE_BLOCK, &frame);
		if (verdict == SNIFF_YES && frame.stream != id)
			return SNIFF_NO;
		if (verdict == SNIFF_YES)
			verdict = block_add(block, &frame.payload);
	}
	block->whole = verdict == SNIFF_YES;
	return verdict;
}

struct authority {
	char name[SNIFF_NAME_MAX];
	bool pseudo, host; /* seen */
};

/* RFC 9113, 8.3.1: :authority, once; host only where it is missing. */
static enum sniff_verdict authority_add(struct authority *authority, const nghttp2_nv *field)
{
	struct sniff_piece value = { field->value, field->valuelen };
	bool pseudo = field->namelen == 10 && memcmp(field->name, ":authority", 10) == 0;
	bool host = field->namelen == 4 && memcmp(field->name, "host", 4) == 0;

	if (pseudo ? authority->pseudo : host && authority->host)
		return SNIFF_NO;
	authority->pseudo |= pseudo;
	authority->host |= host;
	if (pseudo || (host && !authority->pseudo))
		authority_name(value, authority->name);
	return SNIFF_YES;
}

static enum sniff_verdict inflate(nghttp2_hd_inflater *inflater, const struct block *block,
				  struct authority *authority)
{
	size_t at = 0;
	int flags = 0;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv field;
		ssize_t used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, block->data + at,
						      block->len - at, block->whole);

		if (used < 0)
			return SNIFF_NO;
		at += (size_t)used;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) &&
		    authority_add(authority, &field) == SNIFF_NO)
			return SNIFF_NO;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && at == block->len && !block->whole)
			return SNIFF_MORE;
	}
	return SNIFF_YES;
}

enum sniff_verdict sniff_http2(struct sniff_piece bytes, struct sniff_info *info)
{
	struct reader stream = { bytes.data, strlen(HTTP2_PREFACE), SNIFF_STREAM_MAX, bytes.len };
	struct authority authority = { .pseudo = false };
	nghttp2_hd_inflater *inflater;
	enum sniff_verdict verdict;
	struct block block;

	block.len = 0;
	block.whole = false;
	if (read_block(&stream, &block) == SNIFF_NO || nghttp2_hd_inflate_new(&inflater) != 0)
		return SNIFF_NO;
	verdict = inflate(inflater, &block, &authority);
	nghttp2_hd_inflate_del(inflater);
	if (verdict != SNIFF_YES)
		return verdict;
	found_nameless(info);
	memcpy(info->name, authority.name, sizeof(info->name));
	return SNIFF_YES;
}
