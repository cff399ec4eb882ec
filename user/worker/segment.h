/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_SEGMENT_H
#define XDPLB_WORKER_SEGMENT_H

/*
 * Frames that the worker itself makes: a TCP segment with IPv4 or IPv6 and
 * Ethernet before it, checksums computed in full; and the options that a
 * SYN-ACK brings. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xdplb/flow_hash.h"

#define SEGMENT_PACKET 1500 /* bytes of IP that fit on any path to a backend; ours are not longer */
#define SEGMENT_OPTIONS 40 /* RFC 9293, 3.1: doff has four bits */
#define SEGMENT_NO_SCALE 15

enum { /* byte 13 of the TCP header */
	SEGMENT_FIN = 0x01,
	SEGMENT_SYN = 0x02,
	SEGMENT_RST = 0x04,
	SEGMENT_PSH = 0x08,
	SEGMENT_ACK = 0x10
};

struct segment {
	const struct xdplb_tuple *tuple; /* as the client's packets arrive */
	bool to_client; /* addresses, ports and MACs the other way round */
	const uint8_t *macs; /* destination and source of the client's packets */
	uint8_t ttl;
	uint8_t flags; /* SEGMENT_* */
	uint16_t window; /* as it stands in the header */
	uint32_t seq, ack;
	uint8_t options[SEGMENT_OPTIONS];
	uint8_t options_len; /* a multiple of 4 */
	const uint8_t *data;
	uint16_t len;
};

/* A frame with its IP header at a multiple of four bytes. */
struct segment_frame {
	uint8_t align[2];
	uint8_t data[14 + SEGMENT_PACKET];
} __attribute__((aligned(4)));

/* Bytes of the frame. Headers, options and data must fit into SEGMENT_PACKET. */
size_t segment_build(const struct segment *segment, struct segment_frame *frame);

/* Appends to segment->options: an option of @len bytes with its value, NOPs in front as usual. */
void segment_add_mss(struct segment *segment, uint16_t mss);
void segment_add_wscale(struct segment *segment, uint8_t wscale);
void segment_add_sack_permitted(struct segment *segment);
void segment_add_sack(struct segment *segment, uint32_t from, uint32_t to);

/* Most payload of a segment without options. */
static inline uint16_t segment_mss(bool v6)
{
	return SEGMENT_PACKET - 20 - (v6 ? 40 : 20);
}

struct segment_offer { /* of a SYN-ACK */
	uint16_t mss; /* RFC 9293, 3.7.1: 536 or 1220 where it says none */
	uint8_t wscale; /* RFC 7323, 2.3: at most 14; SEGMENT_NO_SCALE: none */
	bool sack;
};

/* @options: the @len bytes between the TCP header and its data. */
struct segment_offer segment_offer_read(const uint8_t *options, size_t len, bool v6);

#endif /* XDPLB_WORKER_SEGMENT_H */
