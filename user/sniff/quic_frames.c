// SPDX-License-Identifier: GPL-2.0-only
#include "sniff/quic_frames.h"

#include <string.h>

#include "sniff/quic_wire.h"

enum { /* what an Initial may carry of RFC 9000, 12.4, table 3 */
	FRAME_PADDING = 0x00,
	FRAME_PING = 0x01,
	FRAME_ACK = 0x02,
	FRAME_ACK_ECN = 0x03,
	FRAME_CRYPTO = 0x06
};

void quic_stream_init(struct quic_stream *stream)
{
	stream->ready = 0;
	memset(stream->have, 0, sizeof(stream->have));
}

/*
 * Bytes that come again must be the same: who says one thing to the balancer
 * and another to the backend is not routed at all.
 */
static bool stream_add(struct quic_stream *stream, size_t offset, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (stream->have[offset + i] && stream->data[offset + i] != data[i])
			return false;
	memcpy(stream->data + offset, data, len);
	memset(stream->have + offset, 1, len);
	while (stream->ready < QUIC_CRYPTO_MAX && stream->have[stream->ready])
		stream->ready++;
	return true;
}

/* RFC 9000, 19.6. */
static bool crypto_read(struct quic_cursor *payload, struct quic_stream *stream)
{
	uint64_t offset, len;
	const uint8_t *data;

	if (!quic_varint(payload, &offset) || !quic_varint(payload, &len))
		return false;
	data = quic_take(payload, len);
	if (!data || offset > QUIC_CRYPTO_MAX || len > QUIC_CRYPTO_MAX - offset)
		return false;
	return stream_add(stream, offset, data, len);
}

static bool varints_skip(struct quic_cursor *payload, uint64_t count)
{
	uint64_t number;

	while (count && quic_varint(payload, &number))
		count--;
	return !count;
}

/* RFC 9000, 19.3: what came from the server, and that is nothing to us. */
static bool ack_skip(struct quic_cursor *payload, bool ecn)
{
	uint64_t ranges;

	return varints_skip(payload, 2) && /* largest, delay */
	       quic_varint(payload, &ranges) &&
	       ranges < quic_left(payload) && /* or doubling it might overflow */
	       varints_skip(payload, 1 + 2 * ranges + (ecn ? 3 : 0));
}

bool quic_frames_read(const uint8_t *payload, size_t len, struct quic_stream *stream)
{
	struct quic_cursor cursor = { payload, payload + len };
	bool valid = len > 0; /* RFC 9000, 12.4: a packet has at least one frame */

	while (valid && quic_left(&cursor)) {
		switch (*cursor.at++) {
		case FRAME_PADDING:
		case FRAME_PING:
			break;
		case FRAME_ACK:
			valid = ack_skip(&cursor, false);
			break;
		case FRAME_ACK_ECN:
			valid = ack_skip(&cursor, true);
			break;
		case FRAME_CRYPTO:
			valid = crypto_read(&cursor, stream);
			break;
		default: /* CONNECTION_CLOSE too: nothing comes after it */
			valid = false;
		}
	}
	return valid;
}
