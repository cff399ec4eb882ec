// SPDX-License-Identifier: GPL-2.0-only
#include "worker/engine.h"

#include <stdlib.h>

#include "worker/tcp.h"
#include "worker/udp.h"

struct engine {
	struct tcp *tcp;
	struct udp *udp;
	struct engine_stats *stats;
};

struct engine *engine_new(const struct engine_ops *ops, void *ctx, uint32_t worker,
			  const struct engine_limits *limits, struct engine_stats *stats)
{
	struct engine_env env = { ops, ctx, worker, *limits, stats };
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->stats = stats;
	engine->tcp = tcp_new(&env);
	engine->udp = udp_new(&env);
	if (engine->tcp && engine->udp)
		return engine;
	engine_free(engine);
	return NULL;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	tcp_free(engine->tcp);
	udp_free(engine->udp);
	free(engine);
}

void engine_packet(struct engine *engine, const struct xdplb_meta *meta, uint8_t *frame, size_t len,
		   uint64_t now_ns)
{
	engine->stats->packets_in++;
	switch (meta->kind) {
	case XDPLB_META_OPENING:
	case XDPLB_META_CLIENT:
	case XDPLB_META_BACKEND:
		tcp_packet(engine->tcp, meta, frame, len, now_ns);
		break;
	case XDPLB_META_DATAGRAM:
		udp_packet(engine->udp, meta, frame, len, now_ns);
		break;
	default:
		engine->stats->dropped++;
	}
}

uint64_t engine_run(struct engine *engine, uint64_t now_ns)
{
	uint64_t tcp = tcp_run(engine->tcp, now_ns), udp = udp_run(engine->udp, now_ns);

	return tcp < udp ? tcp : udp;
}

void engine_rules_changed(struct engine *engine, uint64_t now_ns)
{
	tcp_rules_changed(engine->tcp, now_ns);
	udp_rules_changed(engine->udp, now_ns);
}
