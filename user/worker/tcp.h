/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_TCP_H
#define XDPLB_WORKER_TCP_H

/*
 * The mini TCP of sniffed connections: delayed binding. A client's first bytes
 * are collected without acknowledging them, judged, and sent to a backend that
 * is opened with the client's own ISN; then the flow tables translate, and the
 * connection is none of ours any more. Where a client would stall for want of
 * an acknowledgement it gets one, and what was acknowledged is ours to deliver.
 */
#include "worker/env.h"

struct tcp;

struct tcp *tcp_new(const struct engine_env *env); /* NULL: no memory */
void tcp_free(struct tcp *tcp);

/* As engine.h says of the engine. */
void tcp_packet(struct tcp *tcp, const struct xdplb_meta *meta, uint8_t *frame, size_t len,
		uint64_t now_ns);
uint64_t tcp_run(struct tcp *tcp, uint64_t now_ns);
void tcp_rules_changed(struct tcp *tcp, uint64_t now_ns);

#endif /* XDPLB_WORKER_TCP_H */
