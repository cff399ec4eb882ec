/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_MODEL_STATE_H
#define XDPLB_MODEL_STATE_H

/* What the files of user/model/ share: the model from inside. */
#include "model/ids.h"
#include "model/model.h"

struct backend_key {
	uint32_t pool;
	struct xdplb_addr addr;
	uint16_t port;
	uint16_t pad;
};

/* By row. A pool without config stays while it has members: removed backends. */
struct model_pool {
	const struct cfg_pool *config;
	size_t first; /* its backends are model.backend_rows[first ...] */
	uint32_t members; /* rows of backends that belong to it */
	uint32_t balance; /* enum xdplb_balance, the last known */
	bool probed; /* config.health, as last configured, is not none */
};

struct model {
	struct config *config, *previous; /* NULL: none */
	struct ids services, pools; /* by name, padded with zeros to XDPLB_NAME_LEN */
	struct ids backends; /* by struct backend_key */
	struct model_pool *pool; /* by row */
	struct model_backend *backend; /* by row */
	uint32_t *service_rows, *pool_rows; /* by index of config */
	uint32_t *backend_rows; /* those of all pools, one after the other */
};

/* Of established flows without packets, over @proto (IPPROTO_*). */
uint32_t service_idle_ticks(const struct cfg_service *service, uint8_t proto);

#endif /* XDPLB_MODEL_STATE_H */
