/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_ENV_H
#define XDPLB_WORKER_ENV_H

/* What the halves of an engine, TCP and UDP, know of their surroundings: a copy each. */
#include "worker/engine.h"

struct engine_env {
	const struct engine_ops *ops;
	void *ctx; /* for ops */
	uint32_t worker; /* row of xsks */
	struct engine_limits limits;
	struct engine_stats *stats;
};

#endif /* XDPLB_WORKER_ENV_H */
