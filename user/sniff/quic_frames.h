/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SNIFF_QUIC_FRAMES_H
#define XDPLB_SNIFF_QUIC_FRAMES_H

/* The frames of a client's Initial packets, and the stream that the CRYPTO ones are pieces of. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sniff/sniff.h"

#define QUIC_CRYPTO_MAX SNIFF_STREAM_MAX /* RFC 9000, 7.5: a server must take 4096 bytes */

struct quic_stream {
	size_t ready; /* bytes there without a gap */
	uint8_t data[QUIC_CRYPTO_MAX];
	bool have[QUIC_CRYPTO_MAX]; /* of data, byte by byte */
};

void quic_stream_init(struct quic_stream *stream);

/* False if a server would close the connection upon this payload: @stream is then of no more use. */
bool quic_frames_read(const uint8_t *payload, size_t len, struct quic_stream *stream);

#endif /* XDPLB_SNIFF_QUIC_FRAMES_H */
