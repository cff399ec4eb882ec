/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_SPLICE_H
#define XDPLB_SPLICE_H

/*
 * Translation of a spliced connection (delayed binding): the client was
 * answered with a sequence number of ours before the backend had one, so
 * between them what counts the backend's bytes differs by a constant, and its
 * windows by a scale. The client's own numbers are the same on both sides, for
 * the backend was sent the client's ISN; so acknowledgements and SACK blocks of
 * the backend, and the client's windows, stay as they are. Pure, like pkt.h;
 * checksums by difference, like rewrite.h.
 */
#include "xdplb/rewrite.h"

#ifdef __bpf__
#include <bpf/bpf_helpers.h>
#endif

#define XDPLB_TCP_OPTIONS 40 /* bytes at most, RFC 9293, 3.1 */

enum { /* RFC 9293, 3.2; RFC 2018, 3 */
	XDPLB_OPTION_END = 0,
	XDPLB_OPTION_NOP = 1,
	XDPLB_OPTION_SACK = 5
};

/*
 * RFC 7323, 2.2: what is written is the window >> the sender's scale. Rounded
 * up, for a window rounded down below a segment stops the sender; the byte or
 * two promised too many the backend throws away. 0 stays 0.
 */
static __always_inline __u16 xdplb_window_shift(__u16 window, __s8 shift)
{
	__u32 wide = window, right = -shift & 15;

	if (shift >= 0) {
		wide <<= shift & 15;
		return wide > 0xffff ? 0xffff : (__u16)wide;
	}
	return (__u16)((wide + (1U << right) - 1) >> right);
}

/* A packet of the backend: the client knows its bytes by our numbers. */
static __always_inline void xdplb_splice_to_client(struct xdplb_pkt *pkt,
						   const struct xdplb_splice *splice)
{
	struct tcphdr *tcp = xdplb_pkt_tcp(pkt);
	__u16 scaled;
	__be16 window;
	__be32 seq;
	__u64 diff;

	if (!tcp)
		return;
	seq = to_be32(from_be32(tcp->seq) - splice->delta);
	scaled = (__u16)from_be16(tcp->window);
	if (!(pkt->tcp_flags & XDPLB_TCP_SYN)) /* RFC 7323, 2.2: that of a SYN is never scaled */
		scaled = xdplb_window_shift(scaled, splice->shift);
	window = to_be16(scaled);
	diff = xdplb_word_diff(tcp->seq, seq) + (__u16) ~(XDPLB_FORCE __u16)tcp->window +
	       (XDPLB_FORCE __u16)window;
	tcp->check = xdplb_csum_apply(tcp->check, xdplb_csum_fold(diff));
	tcp->seq = seq;
	tcp->window = window;
}

/* ---- SACK blocks, RFC 2018, 3 (and RFC 2883, 4: duplicates look the same) */

/* One number at @at moves by @delta; what that does to the sum. */
static __always_inline __u64 xdplb_number_add(__be32 *at, __u32 delta)
{
	__be32 from = *at, to = to_be32(from_be32(from) + delta);

	*at = to;
	return xdplb_word_diff(from, to);
}

struct xdplb_option_walk {
	union {
		__be32 word[XDPLB_TCP_OPTIONS / 4];
		__u8 byte[XDPLB_TCP_OPTIONS];
	};
	__u32 size, pos;
	__u32 edges; /* of the SACK option at pos, still to be moved */
	__u32 delta;
};

/* An option, or one edge of a SACK block: at most one step a byte. 1: that was the last. */
static inline long xdplb_option_step(__u32 index, void *arg)
{
	struct xdplb_option_walk *walk = arg;
	__u32 pos = walk->pos, len;
	__u8 *at;

	(void)index;
	if (pos > XDPLB_TCP_OPTIONS - 4 && walk->edges)
		return 1;
	if (pos > XDPLB_TCP_OPTIONS - 2 || pos + 2 > walk->size)
		return 1; /* not even a kind and a length */
	at = walk->byte + pos;
	if (walk->edges) {
		__u32 edge = (__u32)at[0] << 24 | (__u32)at[1] << 16 | (__u32)at[2] << 8 | at[3];

		edge += walk->delta;
		at[0] = (__u8)(edge >> 24);
		at[1] = (__u8)(edge >> 16);
		at[2] = (__u8)(edge >> 8);
		at[3] = (__u8)edge;
		walk->edges--;
		walk->pos = pos + 4;
		return 0;
	}
	if (at[0] == XDPLB_OPTION_END)
		return 1;
	len = at[0] == XDPLB_OPTION_NOP ? 1 : at[1];
	if (!len || (at[0] != XDPLB_OPTION_NOP && len < 2) || pos + len > walk->size)
		return 1; /* nobody reads on behind such a length */
	if (at[0] == XDPLB_OPTION_SACK && len % 8 == 2) {
		walk->edges = len / 4;
		len = 2;
	}
	walk->pos = pos + len;
	return 0;
}

/*
 * SACK blocks wherever they stand. The difference is taken word by word over
 * all options: so it doesn't matter whether an edge begins at an odd byte.
 */
static __attribute__((noinline, unused)) __u64 xdplb_options_walk(void *options, void *end,
								  __u32 size, __u32 delta)
{
	struct xdplb_option_walk walk = { .delta = delta };
	void *pos = options;
	__u64 diff = 0;
	__be32 *word;

	for (int i = 0; i < XDPLB_TCP_OPTIONS / 4; i++) {
		word = walk.size < size ? xdplb_pull(&pos, end, sizeof(*word)) : NULL;
		if (!word)
			break;
		walk.word[i] = *word;
		walk.size += sizeof(*word);
	}
#ifdef __bpf__
	bpf_loop(XDPLB_TCP_OPTIONS, xdplb_option_step, &walk, 0);
#else
	for (__u32 i = 0; i < XDPLB_TCP_OPTIONS && !xdplb_option_step(i, &walk); i++)
		;
#endif
	pos = options;
	for (__u32 i = 0; i < XDPLB_TCP_OPTIONS / 4; i++) {
		word = i * sizeof(*word) < size ? xdplb_pull(&pos, end, sizeof(*word)) : NULL;
		if (!word)
			break;
		diff += xdplb_word_diff(*word, walk.word[i]);
		*word = walk.word[i];
	}
	return diff;
}

/*
 * In one line: two NOPs, so that numbers lie straight, and SACK blocks. So
 * everybody sends them beside whom no timestamps stand, and we negotiate none.
 */
static __always_inline __u64 xdplb_options_translate(const struct xdplb_pkt *pkt, __u32 doff,
						     __u32 delta)
{
	void *options = pkt->l4 + sizeof(struct tcphdr), *pos = options;
	const __be32 *head = xdplb_pull(&pos, pkt->end, sizeof(*head));
	__u32 blocks = (doff - 6) / 2; /* what is left behind them is too short for another */
	__be32 *edge;
	__u64 diff = 0;

	if (!head)
		return 0;
	if (*head != to_be32(0x01010502 + 8 * blocks))
		return xdplb_options_walk(options, pkt->end,
					  doff * 4 - (__u32)sizeof(struct tcphdr), delta);
	for (__u32 i = 0; i < 4; i++) {
		edge = i < blocks ? xdplb_pull(&pos, pkt->end, 2 * sizeof(*edge)) : NULL;
		if (!edge)
			break;
		diff += xdplb_number_add(edge, delta);
		diff += xdplb_number_add(edge + 1, delta);
	}
	return diff;
}

/* What is said to a backend that doesn't scale; returns what that does to the sum. */
static __always_inline __u64 xdplb_window_unscale(struct tcphdr *tcp, __u8 scale)
{
	__u16 window = xdplb_window_shift((__u16)from_be16(tcp->window), (__s8)(scale & 15));
	__u64 diff = (__u64)(__u16) ~(XDPLB_FORCE __u16)tcp->window;

	tcp->window = to_be16(window);
	return diff + (XDPLB_FORCE __u16)tcp->window;
}

/* A packet of the client: it acknowledges the backend's bytes by our numbers. */
static __always_inline void xdplb_splice_to_backend(struct xdplb_pkt *pkt,
						    const struct xdplb_splice *splice)
{
	struct tcphdr *tcp = xdplb_pkt_tcp(pkt);
	__u32 doff;
	__u64 diff;

	if (!tcp || !(pkt->tcp_flags & XDPLB_TCP_ACK))
		return;
	doff = tcp->doff;
	diff = xdplb_number_add(&tcp->ack_seq, splice->delta);
	if (doff > 5)
		diff += xdplb_options_translate(pkt, doff, splice->delta);
	if (splice->scale && !(pkt->tcp_flags & XDPLB_TCP_SYN))
		diff += xdplb_window_unscale(tcp, splice->scale);
	tcp->check = xdplb_csum_apply(tcp->check, xdplb_csum_fold(diff));
}

#endif /* XDPLB_SPLICE_H */
