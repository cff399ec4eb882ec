/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_ICMP_H
#define XDPLB_WORKER_ICMP_H

/*
 * ICMP and ICMPv6 errors (RFC 792, RFC 4443) about a frame that came, as frames
 * back to where it came from: the address it was sent to answers. 0: @frame is
 * nothing that may be answered.
 */
#include <stddef.h>
#include <stdint.h>

#define ICMP_FRAME_MAX 1300 /* RFC 4443, 3.1: as much as fits into 1280 bytes */

size_t icmp_unreachable_port(uint8_t answer[ICMP_FRAME_MAX], const uint8_t *frame, size_t len);

/* RFC 1191, RFC 8201: segments to there must fit into @mtu bytes, IP header included. */
size_t icmp_too_big(uint8_t answer[ICMP_FRAME_MAX], const uint8_t *frame, size_t len, uint32_t mtu);

#endif /* XDPLB_WORKER_ICMP_H */
