/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SNIFF_BYTES_H
#define XDPLB_SNIFF_BYTES_H

/*
 * What the sniffers share: a reader for nested structures that judges bytes as
 * they come, the comparison of a prefix, and the check of host names.
 */
#include <stdbool.h>
#include <string.h>

#include "sniff/sniff.h"

/*
 * Reads one structure. @end is where the enclosing one says that it ends, @have
 * how much is there; @at may lie beyond @have, as what is skipped need not be
 * there. Numbers too large for what encloses them are refused before they, or
 * what they count, have come whole: so MORE means that YES is still possible.
 */
struct reader {
	const uint8_t *data;
	size_t at, end, have;
};

static inline size_t reader_left(const struct reader *reader)
{
	return reader->end - reader->at;
}

/* A big-endian number of @width bytes from @min to @max. */
static inline enum sniff_verdict read_number(struct reader *reader, unsigned width, size_t min,
					     size_t max, size_t *number)
{
	size_t low = 0, high = 0; /* the bounds that the bytes which are there set */

	if (min > max || reader_left(reader) < width)
		return SNIFF_NO;
	for (size_t at = reader->at; at < reader->at + width; at++) {
		low = low << 8 | (at < reader->have ? reader->data[at] : 0);
		high = high << 8 | (at < reader->have ? reader->data[at] : 0xff);
	}
	if (low > max || high < min)
		return SNIFF_NO;
	if (reader->at + width > reader->have)
		return SNIFF_MORE;
	reader->at += width;
	*number = low;
	return SNIFF_YES;
}

/*
 * A vector of @min to @max bytes with its length in @width bytes in front, and
 * at least @tail bytes of the enclosing structure behind it. @inner then reads
 * what is in it, whether it is there already or not.
 */
static inline enum sniff_verdict read_vector(struct reader *reader, unsigned width, size_t min,
					     size_t max, size_t tail, struct reader *inner)
{
	size_t left = reader_left(reader), length;
	enum sniff_verdict verdict;

	if (left < width + tail)
		return SNIFF_NO;
	left -= width + tail;
	verdict = read_number(reader, width, min, max < left ? max : left, &length);
	if (verdict != SNIFF_YES)
		return verdict;
	*inner = *reader;
	inner->end = reader->at + length;
	reader->at += length;
	return SNIFF_YES;
}

/* The stream of a TCP sniffer, cut where it must have decided. */
static inline struct sniff_piece sniff_stream(const struct sniff_piece *pieces, size_t count)
{
	struct sniff_piece stream = { (const uint8_t *)"", 0 };

	if (count && pieces[0].len)
		stream = pieces[0];
	if (stream.len > SNIFF_STREAM_MAX)
		stream.len = SNIFF_STREAM_MAX;
	return stream;
}

/* Compares what is there before asking for more: "GE" is no SSH already. */
static inline enum sniff_verdict match_bytes(const uint8_t *data, size_t len, const void *want,
					     size_t want_len)
{
	if (memcmp(data, want, len < want_len ? len : want_len) != 0)
		return SNIFF_NO;
	return len < want_len ? SNIFF_MORE : SNIFF_YES;
}

/* Nothing was found but that it is this protocol. */
static inline enum sniff_verdict found_nameless(struct sniff_info *info)
{
	*info = (struct sniff_info){ .alpn_len = 0 };
	return SNIFF_YES;
}

/*
 * Writes host name @text to @name, in lower case and without a final dot; false,
 * and @name is "", if it isn't one: letters, digits, hyphens and underscores in
 * labels of 1 to 63, at most 253 characters altogether (RFC 1035, 2.3.4).
 */
bool host_name(const uint8_t *text, size_t len, char name[SNIFF_NAME_MAX]);

/* Is @name, a host_name(), an IPv4 address? No top level domain is a number (RFC 3696, 2). */
bool name_is_number(const char *name);

#endif /* XDPLB_SNIFF_BYTES_H */
