/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_QUIC_H
#define XDPLB_QUIC_H

/*
 * QUIC's long header as far as all versions share it (RFC 8999, 5.1): version
 * and both connection ids. The XDP program learns servers' connection ids by
 * it, the sniffer takes packets apart behind it. Pure, over [data, end), like
 * pkt.h; what lies behind the source connection id is the version's own.
 */
#include <stddef.h>
#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define XDPLB_QUIC_CID_MAX 20 /* of versions 1 and 2: RFC 9000, 17.2 */

enum {
	XDPLB_QUIC_LONG = 0x80, /* header form */
	XDPLB_QUIC_FIXED = 0x40 /* "QUIC bit"; 0 only in version negotiation, RFC 9000, 17.2.1 */
};

struct xdplb_quic_long {
	const __u8 *dcid, *scid;
	__u32 version; /* 0: version negotiation */
	__u8 dcid_len, scid_len;
	__u8 first; /* byte 0: form, fixed bit, the version's own */
	__u8 pad;
};

struct xdplb_quic_cid { /* as a key of a map: zeros behind @len bytes */
	__u8 len;
	__u8 bytes[XDPLB_QUIC_CID_MAX];
};
_Static_assert(sizeof(struct xdplb_quic_cid) == 21, "no padding");

/* Takes the next @size bytes, or NULL where the datagram ends before them: xdplb_pull() to read by. */
static __always_inline const __u8 *xdplb_quic_pull(const __u8 **pos, const __u8 *end, __u32 size)
{
	const __u8 *start = *pos;

	if (start + size > end)
		return NULL;
	*pos = start + size;
	return start;
}

/* A connection id with its length in front; NULL if it is longer than ours or not all there. */
static __always_inline const __u8 *xdplb_quic_cid_pull(const __u8 **pos, const __u8 *end, __u8 *len)
{
	const __u8 *size = xdplb_quic_pull(pos, end, 1);
	__u32 bytes;

	if (!size)
		return NULL;
	bytes = *size;
	if (bytes > XDPLB_QUIC_CID_MAX)
		return NULL;
	__asm__("" : "+r"(bytes)); /* or the compiler drops the bound that the verifier needs */
	bytes &= 0x1f;
	*len = (__u8)bytes;
	return xdplb_quic_pull(pos, end, bytes);
}

/* False if no long header with connection ids of at most 20 bytes starts at *@pos; else behind them. */
static __always_inline int xdplb_quic_long_parse(const __u8 **pos, const __u8 *end,
						 struct xdplb_quic_long *head)
{
	const __u8 *fixed = xdplb_quic_pull(pos, end, 5);

	if (!fixed || !(fixed[0] & XDPLB_QUIC_LONG))
		return 0;
	head->first = fixed[0];
	head->pad = 0;
	head->version = (__u32)fixed[1] << 24 | (__u32)fixed[2] << 16 | (__u32)fixed[3] << 8 |
			fixed[4];
	head->dcid = xdplb_quic_cid_pull(pos, end, &head->dcid_len);
	if (!head->dcid)
		return 0;
	head->scid = xdplb_quic_cid_pull(pos, end, &head->scid_len);
	return head->scid != NULL;
}

/*
 * Connection id @bytes of a packet as a key. False if fewer than 20 bytes follow
 * there: then it is no Initial, 0-RTT or Handshake packet, as these have at least
 * 21 behind their ids (RFC 9001, 5.4.2). Reading 20 whatever the length keeps
 * the verifier's cases few.
 */
static __always_inline int xdplb_quic_cid_load(struct xdplb_quic_cid *cid, const __u8 *bytes,
					       __u8 len, const __u8 *end)
{
	const __u8 *behind = bytes;

	if (!xdplb_quic_pull(&behind, end, XDPLB_QUIC_CID_MAX))
		return 0;
	cid->len = len;
	for (int i = 0; i < XDPLB_QUIC_CID_MAX; i++)
		cid->bytes[i] = i < len ? bytes[i] : 0;
	return 1;
}

#endif /* XDPLB_QUIC_H */
