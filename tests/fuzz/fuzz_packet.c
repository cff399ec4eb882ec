// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever the frame: the packet core reads and writes nothing outside of it,
 * leaves what it does not claim alone, writes the fields that a rewrite is
 * about and no others, and checksums that were right stay right.
 */
#include <stdlib.h>

#include "../bpf/packet.h"
#include "xdplb/rewrite.h"

#define ALIGN 2 /* bytes before an Ethernet header, so that words behind it lie straight */
#define TO_BYTES 37 /* of the input: what to rewrite to */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Whether the IP packet, by its own length, lies inside the frame, as the program demands. */
static bool is_whole(const struct frame *frame)
{
	return frame_ip_len(frame) + ETH_HLEN <= frame->len;
}

static uint8_t *check_field(struct frame *frame, const struct xdplb_pkt *pkt)
{
	uint8_t *l4 = frame->data + (frame_layer4(frame) - frame->data);

	return l4 + (pkt->tuple.proto == IPPROTO_TCP ? 16 : 6);
}

/* Both checksums made right; a UDP checksum of 0 stays. */
static void sums_repair(struct frame *frame, const struct xdplb_pkt *pkt)
{
	uint8_t *ip = frame->data + ETH_HLEN, *check = check_field(frame, pkt);
	const uint8_t *l4 = frame_layer4(frame);
	uint32_t len = frame_ip_len(frame) - (uint32_t)(l4 - ip), value;

	if (!pkt->tuple.v6) {
		put16(ip + 10, 0);
		put16(ip + 10, ~sum_bytes(ip, (uint32_t)(l4 - ip), 0));
	}
	if (pkt->tuple.proto == IPPROTO_UDP && !get16(check))
		return;
	put16(check, 0);
	value = 0xffff & ~sum_layer4(ip, l4, len, pkt->tuple.proto);
	put16(check, pkt->tuple.proto == IPPROTO_UDP && !value ? 0xffff : value);
}

static struct xdplb_half half_make(const struct xdplb_tuple *from, const uint8_t *to)
{
	struct xdplb_half half = {
		.src = from->src, .dst = from->dst, .sport = from->sport, .dport = from->dport
	};

	memcpy(half.src_hi, from->src_hi, sizeof(half.src_hi));
	memcpy(half.dst_hi, from->dst_hi, sizeof(half.dst_hi));
	memcpy(&half.new_src, to, 4);
	memcpy(&half.new_dst, to + 4, 4);
	memcpy(&half.new_sport, to + 8, 2);
	memcpy(&half.new_dport, to + 10, 2);
	if (from->v6) {
		memcpy(half.new_src_hi, to + 12, 12);
		memcpy(half.new_dst_hi, to + 24, 12);
	}
	xdplb_half_diffs(&half);
	return half;
}

/* Writes the fields of a rewrite into @frame, but for checksums, which are taken from @is. */
static void fields_write(struct frame *frame, const struct xdplb_pkt *pkt,
			 const struct xdplb_half *half, const uint8_t *is)
{
	uint8_t *ip = frame->data + ETH_HLEN, *l4 = ip + pkt->l4_offset;
	uint8_t *check = check_field(frame, pkt);

	if (pkt->tuple.v6) {
		ip[7]--;
		memcpy(ip + 8, half->new_src_hi, 12);
		memcpy(ip + 20, &half->new_src, 4);
		memcpy(ip + 24, half->new_dst_hi, 12);
		memcpy(ip + 36, &half->new_dst, 4);
	} else {
		ip[8]--;
		memcpy(ip + 12, &half->new_src, 4);
		memcpy(ip + 16, &half->new_dst, 4);
		memcpy(ip + 10, is + ETH_HLEN + 10, 2);
	}
	memcpy(l4, &half->new_sport, 2);
	memcpy(l4 + 2, &half->new_dport, 2);
	memcpy(check, is + (check - frame->data), 2);
}

static void rewrite_check(struct frame *frame, uint8_t *copy, struct xdplb_pkt *pkt,
			  const uint8_t *to)
{
	struct xdplb_half half = half_make(&pkt->tuple, to);
	bool whole = is_whole(frame), right = whole && frame_sums_right(frame);
	bool no_check = pkt->tuple.proto == IPPROTO_UDP && !get16(check_field(frame, pkt));

	if (!xdplb_pkt_ttl(pkt))
		return;
	xdplb_pkt_rewrite(pkt, &half);
	fields_write(frame, pkt, &half, copy);
	require(!memcmp(frame->data, copy, frame->len));
	if (pkt->tuple.proto == IPPROTO_UDP)
		require(no_check == !get16(check_field(frame, pkt)));
	if (right)
		require(frame_sums_right(frame));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct frame frame = { .len = 0 };
	enum xdplb_outcome out;
	struct xdplb_pkt pkt;
	uint8_t *block, *copy;

	if (len < TO_BYTES || len - TO_BYTES > FRAME_MAX)
		return 0;
	frame.len = (uint32_t)(len - TO_BYTES);
	memcpy(frame.data, data + TO_BYTES, frame.len);
	block = malloc(ALIGN + frame.len); /* ends with the frame: ASan sees one byte too far */
	copy = block + ALIGN;
	memcpy(copy, frame.data, frame.len);

	out = xdplb_pkt_parse(copy, copy + frame.len, &pkt);
	require(!memcmp(copy, frame.data, frame.len));
	require(out == XDPLB_CONTINUE ||
		(out >= XDPLB_PASS_NOT_OURS && out <= XDPLB_PASS_MULTICAST));
	if (!out) {
		if (data[0] & 1 && is_whole(&frame)) {
			sums_repair(&frame, &pkt);
			memcpy(copy, frame.data, frame.len);
			require(frame_sums_right(&frame));
		}
		rewrite_check(&frame, copy, &pkt, data + 1);
	}
	free(block);
	return 0;
}
