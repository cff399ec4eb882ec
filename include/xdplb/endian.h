/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ENDIAN_H
#define XDPLB_ENDIAN_H

/* Byte order that sparse can check, in BPF and user space alike. */
#include <linux/types.h>
#include <bpf/bpf_endian.h>

#ifdef __CHECKER__
#define XDPLB_FORCE __attribute__((force))
#else
#define XDPLB_FORCE
#endif

#define to_be16(x) ((XDPLB_FORCE __be16)bpf_htons(x))
#define to_be32(x) ((XDPLB_FORCE __be32)bpf_htonl(x))
#define from_be16(x) bpf_ntohs((XDPLB_FORCE __u16)(x))
#define from_be32(x) bpf_ntohl((XDPLB_FORCE __u32)(x))

#endif /* XDPLB_ENDIAN_H */
