/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_UDP_H
#define XDPLB_WORKER_UDP_H

/*
 * Held datagrams: UDP of sniffed services until it is known where it goes. A
 * verdict makes the flow, then what was held goes out in order; what still
 * comes from XDP's queue after that follows it. Undecided when sniff_timeout
 * is over: the default pool, or dropped and counted.
 */
#include "worker/env.h"

struct udp;

struct udp *udp_new(const struct engine_env *env); /* NULL: no memory */
void udp_free(struct udp *udp);

/* As engine.h says of the engine. */
void udp_packet(struct udp *udp, const struct xdplb_meta *meta, uint8_t *frame, size_t len,
		uint64_t now_ns);
uint64_t udp_run(struct udp *udp, uint64_t now_ns);
void udp_rules_changed(struct udp *udp, uint64_t now_ns);

#endif /* XDPLB_WORKER_UDP_H */
