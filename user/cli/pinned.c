// SPDX-License-Identifier: GPL-2.0-only
#include "cli/pinned.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct pinned {
	struct dataplane *dp;
	struct entries entries;
	const char **services; /* names, by id */
	const char **pools; /* names, by row */
	uint32_t *pool_of; /* by backend's row */
};

static void names_index(struct pinned *pinned)
{
	const struct entries *entries = &pinned->entries;

	pinned->services = xcalloc(XDPLB_MAX_SERVICES, sizeof(*pinned->services));
	pinned->pools = xcalloc(XDPLB_MAX_POOLS, sizeof(*pinned->pools));
	pinned->pool_of = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*pinned->pool_of));
	for (size_t i = 0; i < entries->service_count; i++) {
		const struct xdplb_service *row = &entries->services[i].row;

		if (row->id < XDPLB_MAX_SERVICES)
			pinned->services[row->id] = row->name;
	}
	for (size_t i = 0; i < entries->pool_count; i++)
		pinned->pools[entries->pools[i].id] = entries->pools[i].row.name;
	for (size_t i = 0; i < entries->backend_count; i++)
		pinned->pool_of[entries->backends[i].id] = entries->backends[i].row.pool;
}

int pinned_open(const char *bpffs, struct pinned **pinned, struct dp_error *err)
{
	struct pinned *opened = xcalloc(1, sizeof(*opened));
	int ret = dataplane_view(bpffs, &opened->dp, err);

	if (!ret)
		ret = dataplane_read(opened->dp, &opened->entries, err);
	if (ret) {
		pinned_close(opened);
		return ret;
	}
	names_index(opened);
	*pinned = opened;
	return 0;
}

void pinned_close(struct pinned *pinned)
{
	if (!pinned)
		return;
	dataplane_close(pinned->dp);
	entries_free(&pinned->entries);
	free(pinned->services);
	free(pinned->pools);
	free(pinned->pool_of);
	free(pinned);
}

const char *pinned_service_name(const struct pinned *pinned, uint32_t id)
{
	return id < XDPLB_MAX_SERVICES && pinned->services[id] ? pinned->services[id] : "";
}

const char *pinned_backend_pool(const struct pinned *pinned, uint32_t id)
{
	uint32_t pool = id < XDPLB_MAX_BACKENDS ? pinned->pool_of[id] : XDPLB_MAX_POOLS;

	return pool < XDPLB_MAX_POOLS && pinned->pools[pool] ? pinned->pools[pool] : "";
}

void pinned_each_flow(const struct pinned *pinned,
		      bool (*visit)(void *arg, const struct xdplb_flow *flow), void *arg)
{
	dataplane_each_flow(pinned->dp, visit, arg);
}
