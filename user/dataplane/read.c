// SPDX-License-Identifier: GPL-2.0-only
/* What the pinned maps hold, as entries: the state that plans start from. */
#include "dataplane/internal.h"

#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* A whole map in one call; keys and values have room for @max. Returns how many, or -errno. */
static int map_read(int fd, void *keys, void *values, uint32_t max)
{
	uint64_t cursor[4]; /* at least a key's size; its content is the kernel's */
	uint32_t count = max;
	int ret = bpf_map_lookup_batch(fd, NULL, cursor, keys, values, &count, NULL);

	if (ret && errno != ENOENT) /* ENOENT: read to the end */
		return -errno;
	return (int)count;
}

static int read_services(const struct dataplane *dp, struct entries *entries)
{
	auto_free struct xdplb_service_key *keys = xcalloc(XDPLB_MAX_LISTENERS, sizeof(*keys));
	auto_free struct xdplb_service *rows = xcalloc(XDPLB_MAX_LISTENERS, sizeof(*rows));
	int count = map_read(dp->fd.services, keys, rows, XDPLB_MAX_LISTENERS);

	if (count < 0)
		return count;
	entries->services = xcalloc((size_t)count, sizeof(*entries->services));
	entries->service_count = (size_t)count;
	for (int i = 0; i < count; i++)
		entries->services[i] = (struct entry_service){ .key = keys[i], .row = rows[i] };
	return 0;
}

static int read_pools(const struct dataplane *dp, struct entries *entries)
{
	auto_free uint32_t *keys = xcalloc(XDPLB_MAX_POOLS, sizeof(*keys));
	auto_free struct xdplb_pool *rows = xcalloc(XDPLB_MAX_POOLS, sizeof(*rows));
	int count = map_read(dp->fd.pools, keys, rows, XDPLB_MAX_POOLS);

	for (int i = 0; i < count; i++)
		if (rows[i].used)
			*array_push(entries->pools, entries->pool_count) =
				(struct entry_pool){ .id = keys[i], .row = rows[i] };
	return count < 0 ? count : 0;
}

static int read_backends(const struct dataplane *dp, struct entries *entries)
{
	auto_free uint32_t *keys = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*keys));
	auto_free struct xdplb_backend *rows = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*rows));
	int count = map_read(dp->fd.backends, keys, rows, XDPLB_MAX_BACKENDS);

	for (int i = 0; i < count; i++)
		if (rows[i].flags & XDPLB_BACKEND_USED)
			*array_push(entries->backends, entries->backend_count) =
				(struct entry_backend){ .id = keys[i], .row = rows[i] };
	return count < 0 ? count : 0;
}

static int read_nat(const struct dataplane *dp, struct entries *entries)
{
	uint32_t row = (dp->settings->nat_buffer & 1) * XDPLB_FAMILIES;

	for (int family = 0; family < XDPLB_FAMILIES; family++, row++)
		if (bpf_map_lookup_elem(dp->fd.nat_ranges, &row, &entries->nat[family]))
			return -errno;
	return 0;
}

int dataplane_read(struct dataplane *dp, struct entries *entries, struct dp_error *err)
{
	struct entries read = { 0 };
	int ret = read_services(dp, &read);

	if (!ret)
		ret = read_pools(dp, &read);
	if (!ret)
		ret = read_backends(dp, &read);
	if (!ret)
		ret = read_nat(dp, &read);
	if (ret) {
		entries_free(&read);
		return dp_fail(err, ret, "reading the pinned maps: %s", strerror(-ret));
	}
	entries_sort(&read);
	*entries = read;
	return 0;
}
