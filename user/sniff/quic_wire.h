/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SNIFF_QUIC_WIRE_H
#define XDPLB_SNIFF_QUIC_WIRE_H

/* Reads what is all there, a datagram or a packet's payload: too short is wrong, not "more". */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quic_cursor {
	const uint8_t *at, *end;
};

static inline size_t quic_left(const struct quic_cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* RFC 9000, 16: the first two bits say of how many bytes. */
static inline bool quic_varint(struct quic_cursor *cursor, uint64_t *value)
{
	uint64_t number;
	size_t size;

	if (!quic_left(cursor))
		return false;
	size = (size_t)1 << (*cursor->at >> 6);
	if (quic_left(cursor) < size)
		return false;
	number = *cursor->at++ & 0x3f;
	while (--size)
		number = number << 8 | *cursor->at++;
	*value = number;
	return true;
}

/* The next @len bytes, or NULL. */
static inline const uint8_t *quic_take(struct quic_cursor *cursor, uint64_t len)
{
	const uint8_t *bytes = cursor->at;

	if (quic_left(cursor) < len)
		return NULL;
	cursor->at += len;
	return bytes;
}

#endif /* XDPLB_SNIFF_QUIC_WIRE_H */
