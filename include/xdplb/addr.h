/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ADDR_H
#define XDPLB_ADDR_H

/* One address type for both families: what is IPv4 in it. */
#include "xdplb/abi.h"
#include "xdplb/endian.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __always_inline struct xdplb_addr xdplb_addr_from_ip4(__be32 ip4)
{
	return (struct xdplb_addr){ .w = { 0, 0, to_be32(0xffff), ip4 } };
}

static __always_inline _Bool xdplb_addr_is_ip4(const struct xdplb_addr *addr)
{
	return !addr->w[0] && !addr->w[1] && addr->w[2] == to_be32(0xffff);
}

#endif /* XDPLB_ADDR_H */
