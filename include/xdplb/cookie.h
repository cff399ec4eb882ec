/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_COOKIE_H
#define XDPLB_COOKIE_H

/*
 * SYN cookies (RFC 4987, 3.6): what a handshake needs to be remembered, in the
 * 32 bits of our ISN; the format stands in abi.h. Pure, like pkt.h. A guess is
 * right once in 2^20, and then opens a connection that nobody listens to.
 */
#include <stdbool.h>

#include "xdplb/pkt.h"

#define XDPLB_NO_WSCALE 15
#define XDPLB_WSCALE_MAX 14 /* RFC 7323, 2.3: a larger one counts as this */
#define XDPLB_COOKIE_BITS 12 /* below the hashes */
#define XDPLB_COOKIE_TUPLE 0xff000000U /* that of the tuple alone */

struct xdplb_cookie_options {
	__u16 mss; /* the client's, rounded down to a class; RFC 9293, 3.7.1 */
	__u8 wscale; /* the client's, 15: none; RFC 7323, 2 */
	__u8 sack; /* the client permits it; RFC 2018, 2 */
	__u8 our_wscale; /* as promised to it, 15: none */
};

/*
 * RFC 9293, 3.7.1: 536 and 1220 are what counts where nothing is said; 1440 and
 * 1460 are Ethernet's, 8940 is that of jumbo frames for both families. Not an
 * array: clang 14 puts a short one where the BTF says it isn't.
 */
static __always_inline __u16 xdplb_mss_class(__u32 row)
{
	const __u64 low = 536ULL | 1220ULL << 16 | 1300ULL << 32 | 1360ULL << 48;
	const __u64 high = 1400ULL | 1440ULL << 16 | 1460ULL << 32 | 8940ULL << 48;

	return (__u16)((row & 4 ? high : low) >> (row & 3) * 16);
}

/* What our SYN-ACK may promise: in the cookie there are two bits for it. */
static __always_inline __u8 xdplb_our_wscale(__u32 row)
{
	return (__u8)((4U << 8 | 7U << 16 | 9U << 24) >> (row & 3) * 8);
}

static __always_inline __u32 xdplb_mss_row(__u32 mss)
{
	__u32 row = 0;

	while (row < 7 && mss >= xdplb_mss_class(row + 1))
		row++;
	return row;
}

static __always_inline __u32 xdplb_our_wscale_row(__u32 wscale)
{
	__u32 row = 0;

	while (row < 3 && wscale >= xdplb_our_wscale(row + 1))
		row++;
	return row;
}

/* ---- SipHash-2-4, Aumasson and Bernstein, 2012, section 2 */

struct xdplb_sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 xdplb_turn(__u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static __always_inline void xdplb_sip_round(struct xdplb_sip *sip)
{
	sip->v0 += sip->v1;
	sip->v2 += sip->v3;
	sip->v1 = xdplb_turn(sip->v1, 13) ^ sip->v0;
	sip->v3 = xdplb_turn(sip->v3, 16) ^ sip->v2;
	sip->v0 = xdplb_turn(sip->v0, 32);
	sip->v2 += sip->v1;
	sip->v0 += sip->v3;
	sip->v1 = xdplb_turn(sip->v1, 17) ^ sip->v2;
	sip->v3 = xdplb_turn(sip->v3, 21) ^ sip->v0;
	sip->v2 = xdplb_turn(sip->v2, 32);
}

static __always_inline void xdplb_sip_start(struct xdplb_sip *sip, const __u64 key[2])
{
	sip->v0 = key[0] ^ 0x736f6d6570736575ULL;
	sip->v1 = key[1] ^ 0x646f72616e646f6dULL;
	sip->v2 = key[0] ^ 0x6c7967656e657261ULL;
	sip->v3 = key[1] ^ 0x7465646279746573ULL;
}

static __always_inline void xdplb_sip_word(struct xdplb_sip *sip, __u64 word)
{
	sip->v3 ^= word;
	xdplb_sip_round(sip);
	xdplb_sip_round(sip);
	sip->v0 ^= word;
}

/* @bytes: length of the whole message; @tail: those behind its last whole word, at most 7. */
static __always_inline __u64 xdplb_sip_end(struct xdplb_sip *sip, __u64 tail, __u64 bytes)
{
	xdplb_sip_word(sip, tail | bytes << 56);
	sip->v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		xdplb_sip_round(sip);
	return sip->v0 ^ sip->v1 ^ sip->v2 ^ sip->v3;
}

/* ---- the cookie */

/*
 * Of addresses, ports, options and the whole tick: without that a cookie long
 * dead would come to life when bit 9 comes round.
 */
static __always_inline __u64 xdplb_cookie_tuple(const struct xdplb_cookie_secrets *secrets,
						const struct xdplb_tuple *tuple, __u64 tick,
						__u32 bits)
{
	__u32 ports = (XDPLB_FORCE __u32)tuple->sport | (XDPLB_FORCE __u32)tuple->dport << 16;
	__u64 bytes = 16;
	struct xdplb_sip sip;

	xdplb_sip_start(&sip, secrets->key[bits >> 8 & 1]);
	xdplb_sip_word(&sip, xdplb_pair(tuple->src, tuple->dst));
	xdplb_sip_word(&sip, ports | tick << 32);
	if (tuple->v6) {
		xdplb_sip_word(&sip, xdplb_pair(tuple->src_hi[0], tuple->dst_hi[0]));
		xdplb_sip_word(&sip, xdplb_pair(tuple->src_hi[1], tuple->dst_hi[1]));
		xdplb_sip_word(&sip, xdplb_pair(tuple->src_hi[2], tuple->dst_hi[2]));
		bytes = 40;
	}
	return xdplb_sip_end(&sip, bits, bytes + 2);
}

/* The upper bits: those of the tuple alone, below them those that the client's ISN goes into. */
static __always_inline __u32 xdplb_cookie_hash(const struct xdplb_cookie_secrets *secrets,
					       __u64 of_tuple, __u32 client_isn, __u32 bits)
{
	struct xdplb_sip sip;

	xdplb_sip_start(&sip, secrets->key[bits >> 8 & 1]);
	xdplb_sip_word(&sip, of_tuple);
	return ((__u32)xdplb_sip_end(&sip, client_isn, 12) << XDPLB_COOKIE_BITS &
		~XDPLB_COOKIE_TUPLE) |
	       ((__u32)of_tuple & XDPLB_COOKIE_TUPLE);
}

/*
 * The ISN of our SYN-ACK. options->mss and ->our_wscale are rounded down to
 * what a cookie can say; where one side has no window scale, neither has.
 */
static __always_inline __u32 xdplb_cookie_make(const struct xdplb_cookie_secrets *secrets,
					       const struct xdplb_tuple *tuple, __u32 client_isn,
					       __u64 now_ns, struct xdplb_cookie_options *options)
{
	__u64 tick = now_ns >> XDPLB_COOKIE_TICK_SHIFT;
	__u32 class = xdplb_mss_row(options->mss), bits;
	__u32 ours = xdplb_our_wscale_row(options->our_wscale);

	options->mss = xdplb_mss_class(class);
	options->our_wscale = xdplb_our_wscale(ours);
	if (options->wscale > XDPLB_WSCALE_MAX) {
		options->wscale = options->our_wscale = XDPLB_NO_WSCALE;
		ours = 0;
	}
	bits = class | (__u32)options->wscale << 3 | (__u32) !!options->sack << 7 |
	       (secrets->current & 1) << 8 | (__u32)(tick & 1) << 9 | ours << 10;
	return xdplb_cookie_hash(secrets, xdplb_cookie_tuple(secrets, tuple, tick, bits),
				 client_isn, bits) |
	       bits;
}

/* When it was made, if it is alive: in this tick, or the one before. */
static __always_inline __u64 xdplb_cookie_tick(__u32 cookie, __u64 now_ns)
{
	__u64 tick = now_ns >> XDPLB_COOKIE_TICK_SHIFT;

	return tick - ((tick ^ cookie >> 9) & 1);
}

/* Is @cookie one that we made for @tuple and @client_isn, and not too long ago? */
static __always_inline bool xdplb_cookie_check(const struct xdplb_cookie_secrets *secrets,
					       const struct xdplb_tuple *tuple, __u32 client_isn,
					       __u32 cookie, __u64 now_ns)
{
	__u32 bits = cookie & ((1U << XDPLB_COOKIE_BITS) - 1);
	__u64 tick = xdplb_cookie_tick(cookie, now_ns);

	return xdplb_cookie_hash(secrets, xdplb_cookie_tuple(secrets, tuple, tick, bits),
				 client_isn, bits) == cookie - bits;
}

/*
 * May it be one that we made for @tuple, whatever the client's ISN? So it is of
 * a segment that arrives before the one that shows the ISN, and once in 256 of
 * any other.
 */
static __always_inline bool xdplb_cookie_likely(const struct xdplb_cookie_secrets *secrets,
						const struct xdplb_tuple *tuple, __u32 cookie,
						__u64 now_ns)
{
	__u32 bits = cookie & ((1U << XDPLB_COOKIE_BITS) - 1);
	__u64 tick = xdplb_cookie_tick(cookie, now_ns);

	return !(((__u32)xdplb_cookie_tuple(secrets, tuple, tick, bits) ^ cookie) &
		 XDPLB_COOKIE_TUPLE);
}

/* What a cookie that was checked says. */
static __always_inline void xdplb_cookie_options(__u32 cookie, struct xdplb_cookie_options *options)
{
	options->mss = xdplb_mss_class(cookie & 7);
	options->wscale = cookie >> 3 & 15;
	options->sack = cookie >> 7 & 1;
	options->our_wscale = options->wscale == XDPLB_NO_WSCALE ?
				      XDPLB_NO_WSCALE :
				      xdplb_our_wscale(cookie >> 10 & 3);
}

#endif /* XDPLB_COOKIE_H */
