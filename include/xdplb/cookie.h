/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_COOKIE_H
#define XDPLB_COOKIE_H

/*
 * SYN cookies (RFC 4987, 3.6): what a handshake needs to be remembered, in the
 * 32 bits of our ISN; the format stands in abi.h. Pure, like pkt.h.
 */
#include "xdplb/pkt.h"

struct xdplb_cookie_options {
	__u16 mss; /* the client's, rounded down to a class; RFC 9293, 3.7.1 */
	__u8 wscale; /* the client's, 15: none; RFC 7323, 2 */
	__u8 sack; /* the client permits it; RFC 2018, 2 */
	__u8 our_wscale; /* as promised to it, 15: none */
};

/* The ISN of our SYN-ACK. options->mss and ->our_wscale are rounded down to what a cookie can say. */
static __always_inline __u32 xdplb_cookie_make(const struct xdplb_cookie_secrets *secrets,
					       const struct xdplb_tuple *tuple, __u32 client_isn,
					       __u64 now_ns, struct xdplb_cookie_options *options);

/* Is @cookie one that we made for @tuple and @client_isn, and not too long ago? */
static __always_inline bool xdplb_cookie_check(const struct xdplb_cookie_secrets *secrets,
					       const struct xdplb_tuple *tuple, __u32 client_isn,
					       __u32 cookie, __u64 now_ns);

/* What a cookie that was checked says. */
static __always_inline void xdplb_cookie_options(__u32 cookie,
						 struct xdplb_cookie_options *options);

#endif /* XDPLB_COOKIE_H */
