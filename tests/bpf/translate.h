/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_TRANSLATE_H
#define XDPLB_TEST_TRANSLATE_H

/*
 * What translating a spliced connection's packets comes to, written once more:
 * byte by byte, and every checksum computed in full. Like packet.h it shares no
 * code with the packet core.
 */
#include "packet.h"

static inline void frame_mend(struct frame *frame)
{
	uint8_t *ip = frame->data + ETH_HLEN, *l4 = (uint8_t *)frame_layer4(frame);
	uint32_t len = frame_ip_len(frame) - (uint32_t)(l4 - ip);

	put16(l4 + 16, 0);
	put16(l4 + 16, 0xffff & ~sum_layer4(ip, l4, len, IPPROTO_TCP));
}

static inline struct frame frame_with(const struct shape *shape, uint16_t window,
				      const uint8_t *options)
{
	struct frame frame = frame_make(shape);
	uint8_t *l4 = (uint8_t *)frame_layer4(&frame);

	put16(l4 + 14, window);
	memcpy(l4 + 20, options, shape->tcp_options);
	frame_mend(&frame);
	return frame;
}

/* The identification of an IPv4 packet is the shape's seq, which isn't translated there. */
static inline void frame_id_set(struct frame *frame, uint16_t id)
{
	uint8_t *ip = frame->data + ETH_HLEN;

	if (frame_is_v6(frame))
		return;
	put16(ip + 4, id);
	put16(ip + 10, 0);
	put16(ip + 10, ~sum_bytes(ip, (ip[0] & 15) * 4U, 0));
}

/* By the book, and not as the program does it: to bytes and back. 15: no scale, RFC 7323, 2.2. */
static inline uint16_t window_seen(uint16_t window, uint8_t backend_wscale, uint8_t our_wscale)
{
	uint32_t unit, wide;

	if (our_wscale > 14)
		return window;
	wide = (uint32_t)window << (backend_wscale > 14 ? 0 : backend_wscale);
	unit = 1U << our_wscale;
	wide = (wide + unit - 1) / unit;
	return wide > 65535 ? 65535 : (uint16_t)wide;
}

/* SACK blocks as the backend must see them: an option is read as RFC 9293, 3.1 has it. */
static inline void sacks_shift(uint8_t *options, uint32_t size, uint32_t delta)
{
	for (uint32_t i = 0; i + 1 < size && options[i] != 0;) {
		uint32_t len = options[i] == 1 ? 1 : options[i + 1];

		if (!len || (options[i] != 1 && len < 2) || i + len > size)
			return;
		if (options[i] == 5 && len % 8 == 2)
			for (uint32_t at = i + 2; at < i + len; at += 4)
				put32(options + at, get32(options + at) + delta);
		i += len;
	}
}

#endif /* XDPLB_TEST_TRANSLATE_H */
