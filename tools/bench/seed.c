// SPDX-License-Identifier: GPL-2.0-only
/*
 * Flows as clients and backends would make them: first packets, answers, and
 * what completes the handshake, a batch of clients at a time. In between the
 * ring of embryos is read: it says which address and port a backend sees.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "instance.h"
#include "xdplb/pkt.h"

#define BATCH 16384U
#define CPU 0

/* Which of the rows before @head holds the flow of @client. */
static const struct xdplb_half *embryo_find(const struct instance *instance, uint32_t row,
					    const struct wrap_record *client)
{
	const struct xdplb_flow *flow = &instance->embryos[row & (instance->embryo_rows - 1)];
	const struct xdplb_half *half = &flow->half[XDPLB_TO_BACKEND];

	if (half->src != client->src || half->sport != client->sport || half->dst != client->dst)
		die("the ring of embryos is not in the order of packets");
	return &flow->half[XDPLB_TO_CLIENT];
}

static void seen_read(struct instance *instance, struct wrap_record *seen, uint32_t head,
		      uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct xdplb_half *half =
			embryo_find(instance, head + i, &instance->record[first + i]);

		seen[i] = (struct wrap_record){
			.src = half->src,
			.dst = half->dst,
			.sport = half->sport,
			.dport = half->dport,
		};
	}
}

static void batch_seed(struct instance *instance, enum kind kind, uint32_t from, uint32_t count,
		       uint32_t room)
{
	bool tcp = kind != KIND_UDP4;
	struct wrap_record *seen = instance->seen[kind] + from;
	struct seeding *cost = &instance->seeding[instance->seedings];
	struct burst open = { kind, false, tcp ? XDPLB_TCP_SYN : 0, room, count, OPTIONS_NONE };
	struct burst answer = { kind,	      true,  tcp ? XDPLB_TCP_SYN | XDPLB_TCP_ACK : 0,
				room + BATCH, count, OPTIONS_NONE };
	struct burst promote = { kind, false, tcp ? XDPLB_TCP_ACK : 0, room, count, OPTIONS_NONE };
	uint32_t head = instance_embryo_head(instance);

	for (uint32_t i = 0; i < count; i++)
		instance->record[room + i] = client_record(kind, from + i);
	cost->stub = instance_run(instance, TARGET_STUB, &open, count, CPU);
	cost->open = instance_run(instance, TARGET_XDPLB, &open, count, CPU);
	seen_read(instance, seen, head, room, count);
	memcpy(&instance->record[room + BATCH], seen, count * sizeof(*seen));
	cost->answer = instance_run(instance, TARGET_XDPLB, &answer, count, CPU);
	if (tcp)
		cost->promote = instance_run(instance, TARGET_XDPLB, &promote, count, CPU);
	instance->seedings += kind == KIND_TCP4 && count == BATCH;
}

void instance_seed(struct instance *instance, enum kind kind)
{
	uint32_t room = instance_room(instance, 2 * BATCH);

	instance->seen[kind] = xcalloc(instance->flows, sizeof(struct wrap_record));
	if (!instance->seeding)
		instance->seeding =
			xcalloc(instance->flows / BATCH + 1, sizeof(*instance->seeding));
	for (uint32_t from = 0; from < instance->flows; from += BATCH) {
		uint32_t left = instance->flows - from;

		batch_seed(instance, kind, from, left < BATCH ? left : BATCH, room);
	}
	instance->records -= 2 * BATCH;
}
