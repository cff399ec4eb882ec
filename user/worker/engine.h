/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_ENGINE_H
#define XDPLB_WORKER_ENGINE_H

/*
 * The mini TCP and the held datagrams of sniffed services: packets and time
 * in, packets and commands out. No I/O, no clock, no threads: an engine is
 * owned by whoever holds its lock, and everything around it comes in by
 * engine_ops, so tests and fuzzers drive it alone. Memory is bounded by
 * engine_limits: the oldest undecided connection gives its place to a new one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sniff/rules.h"
#include "xdplb/abi.h"

struct engine_ops {
	/* Sends a whole Ethernet frame by @ifindex; losing it is allowed. */
	void (*send)(void *ctx, uint32_t ifindex, const void *frame, size_t len);
	/*
	 * Carries out @command with the @len bytes of @frame (see abi.h); false: the
	 * kernel refused the call itself. @command->result says how it went.
	 */
	bool (*command)(void *ctx, struct xdplb_command *command, const void *frame, size_t len);
	/* The rules in force; valid until engine_rules_changed() returns. */
	const struct rules *(*rules)(void *ctx);
};

struct engine_limits {
	uint32_t connections; /* TCP, undecided or pending */
	uint32_t datagram_flows; /* UDP, undecided */
	size_t bytes; /* held in all */
};

#define ENGINE_LIMITS_DEFAULT                                                       \
	{                                                                           \
		.connections = 200000, .datagram_flows = 16384, .bytes = 256U << 20 \
	}

struct engine_stats { /* gauges and counters of one engine, in shared memory: only it writes */
	uint64_t connections, datagram_flows, bytes; /* now */
	uint64_t packets_in, packets_out;
	uint64_t commands;
	uint64_t sent_again; /* segments to backends that had to be repeated */
	uint64_t owned; /* connections whose prefix had to be acknowledged */
	uint64_t late; /* packets that came after the flow was installed */
	uint64_t dropped; /* packets that belonged to nothing, or made no sense */
};

struct engine;

/* @worker: its row of xsks, which goes into commands; @stats must outlive it. NULL: no memory. */
struct engine *engine_new(const struct engine_ops *ops, void *ctx, uint32_t worker,
			  const struct engine_limits *limits, struct engine_stats *stats);
void engine_free(struct engine *engine);

/* A frame that XDP handed over. Copies what it keeps; may write to @frame. */
void engine_packet(struct engine *engine, const struct xdplb_meta *meta, uint8_t *frame, size_t len,
		   uint64_t now_ns);

/* Does what is due; the time when it must be called next, UINT64_MAX: never. */
uint64_t engine_run(struct engine *engine, uint64_t now_ns);

/* ops.rules() gives others from now on: undecided connections are judged by them. */
void engine_rules_changed(struct engine *engine, uint64_t now_ns);

#endif /* XDPLB_WORKER_ENGINE_H */
