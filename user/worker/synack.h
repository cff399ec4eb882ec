/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_SYNACK_H
#define XDPLB_WORKER_SYNACK_H

/* The SYN-ACK that XDP answered a SYN with, once more: to the byte what bpf/synack.h wrote. Pure. */
#include "worker/segment.h"

/* Bytes of the frame. */
size_t synack_build(const struct xdplb_sniff_key *key, const struct xdplb_handshake *handshake,
		    struct segment_frame *frame);

#endif /* XDPLB_WORKER_SYNACK_H */
