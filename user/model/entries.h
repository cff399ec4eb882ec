/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ENTRIES_H
#define XDPLB_ENTRIES_H

/*
 * What the maps hold, or are to hold, as ABI bytes: render() makes one from
 * the model, dataplane_read() one from the pinned maps, and plan_make() walks two of
 * them side by side. Each array is sorted by its key (services: by memcmp) and
 * has no key twice.
 */
#include <stddef.h>
#include <stdint.h>

#include "xdplb/abi.h"

struct entry_service {
	struct xdplb_service_key key;
	struct xdplb_service row;
};

struct entry_pool {
	uint32_t id;
	struct xdplb_pool row; /* its digests and slots say what its tables hold */
};

struct entry_backend {
	uint32_t id; /* from 1 */
	struct xdplb_backend row;
};

struct entries {
	struct entry_service *services;
	size_t service_count;
	struct entry_pool *pools;
	size_t pool_count;
	struct entry_backend *backends;
	size_t backend_count;
	struct xdplb_nat_range nat[XDPLB_FAMILIES];
};

/* Brings the arrays into that order; of a key given twice one stays. */
void entries_sort(struct entries *entries);
void entries_free(struct entries *entries);

#endif /* XDPLB_ENTRIES_H */
