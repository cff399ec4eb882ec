// SPDX-License-Identifier: GPL-2.0-only
#include "cli/pinned.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <bpf/bpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"

struct flow_map {
	const struct xdplb_flow *rows;
	uint32_t count;
};

struct pinned {
	struct flow_map flows, embryos;
	struct xdplb_pool *pools; /* by row */
	struct xdplb_backend *backends; /* by row */
	char (*services)[XDPLB_NAME_LEN]; /* by id */
};

static int map_open(const char *bpffs, const char *name, struct bpf_map_info *info,
		    struct dp_error *err)
{
	auto_free char *path = xasprintf("%s/%s", bpffs, name);
	uint32_t size = sizeof(*info);
	auto_fd int fd = bpf_obj_get(path);
	int error = errno;

	if (fd < 0 && error == ENOENT)
		snprintf(err->text, sizeof(err->text),
			 "%s: nothing of xdplb is pinned there; --bpffs names another directory",
			 bpffs);
	else if (fd < 0 || bpf_obj_get_info_by_fd(fd, info, &size))
		snprintf(err->text, sizeof(err->text), "%s: %s", path, strerror(errno));
	else
		return take_fd(&fd);
	return -error;
}

static int flows_open(const char *bpffs, const char *name, struct flow_map *map,
		      struct dp_error *err)
{
	struct bpf_map_info info = { 0 };
	auto_fd int fd = map_open(bpffs, name, &info, err);
	void *rows;

	if (fd < 0)
		return fd;
	rows = mmap(NULL, info.max_entries * sizeof(*map->rows), PROT_READ, MAP_SHARED, fd, 0);
	if (rows == MAP_FAILED || info.value_size != sizeof(*map->rows)) {
		snprintf(err->text, sizeof(err->text),
			 "%s/%s: is of another version of xdplb, or cannot be mapped", bpffs, name);
		return -EPROTO;
	}
	map->rows = rows;
	map->count = info.max_entries;
	return 0;
}

/* A whole map; @keys and @values have room for all of it. Returns how many, or -errno. */
static int map_read(const char *bpffs, const char *name, void *keys, void *values,
		    struct dp_error *err)
{
	struct bpf_map_info info = { 0 };
	auto_fd int fd = map_open(bpffs, name, &info, err);
	uint32_t count = info.max_entries;
	uint64_t cursor[4];

	if (fd < 0)
		return fd;
	if (bpf_map_lookup_batch(fd, NULL, cursor, keys, values, &count, NULL) && errno != ENOENT) {
		snprintf(err->text, sizeof(err->text), "%s/%s: %s", bpffs, name, strerror(errno));
		return -EIO;
	}
	return (int)count;
}

static int services_read(const char *bpffs, struct pinned *pinned, struct dp_error *err)
{
	auto_free struct xdplb_service_key *keys = xcalloc(XDPLB_MAX_LISTENERS, sizeof(*keys));
	auto_free struct xdplb_service *rows = xcalloc(XDPLB_MAX_LISTENERS, sizeof(*rows));
	int count = map_read(bpffs, "services", keys, rows, err);

	for (int i = 0; i < count; i++) {
		if (rows[i].id < XDPLB_MAX_SERVICES)
			memcpy(pinned->services[rows[i].id], rows[i].name, XDPLB_NAME_LEN - 1);
	}
	return count < 0 ? count : 0;
}

static int names_read(const char *bpffs, struct pinned *pinned, struct dp_error *err)
{
	auto_free uint32_t *keys = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*keys));
	int ret;

	pinned->services = xcalloc(XDPLB_MAX_SERVICES, sizeof(*pinned->services));
	pinned->pools = xcalloc(XDPLB_MAX_POOLS, sizeof(*pinned->pools));
	pinned->backends = xcalloc(XDPLB_MAX_BACKENDS, sizeof(*pinned->backends));
	ret = map_read(bpffs, "pools", keys, pinned->pools, err);
	if (ret >= 0)
		ret = map_read(bpffs, "backends", keys, pinned->backends, err);
	if (ret >= 0)
		ret = services_read(bpffs, pinned, err);
	return ret < 0 ? ret : 0;
}

int pinned_open(const char *bpffs, struct pinned **pinned, struct dp_error *err)
{
	struct pinned *opened = xcalloc(1, sizeof(*opened));
	int ret = flows_open(bpffs, "flows", &opened->flows, err);

	if (!ret)
		ret = flows_open(bpffs, "embryos", &opened->embryos, err);
	if (!ret)
		ret = names_read(bpffs, opened, err);
	if (!ret)
		*pinned = opened;
	else
		pinned_close(opened);
	return ret;
}

static void flows_close(const struct flow_map *map)
{
	if (map->rows)
		munmap((void *)map->rows, map->count * sizeof(*map->rows));
}

void pinned_close(struct pinned *pinned)
{
	if (!pinned)
		return;
	flows_close(&pinned->flows);
	flows_close(&pinned->embryos);
	free(pinned->services);
	free(pinned->pools);
	free(pinned->backends);
	free(pinned);
}

const char *pinned_service_name(const struct pinned *pinned, uint32_t id)
{
	return id < XDPLB_MAX_SERVICES ? pinned->services[id] : "";
}

const char *pinned_backend_pool(const struct pinned *pinned, uint32_t id)
{
	uint32_t pool = id < XDPLB_MAX_BACKENDS ? pinned->backends[id].pool : XDPLB_MAX_POOLS;

	return pool < XDPLB_MAX_POOLS ? pinned->pools[pool].name : "";
}

static bool holds_flow(uint32_t state)
{
	return state == XDPLB_FLOW_UNANSWERED || state == XDPLB_FLOW_ANSWERED ||
	       state == XDPLB_FLOW_ESTABLISHED || state == XDPLB_FLOW_CLOSED;
}

/* The datapath writes meanwhile: what changed under us is left out. */
static bool flow_copy(const struct xdplb_flow *row, struct xdplb_flow *copy)
{
	uint32_t life[XDPLB_DIRS];

	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		life[dir] = __atomic_load_n(&row->half[dir].life, __ATOMIC_ACQUIRE);
	if ((life[0] | life[1]) & 1)
		return false;
	memcpy(copy, row, sizeof(*copy));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (int dir = 0; dir < XDPLB_DIRS; dir++) {
		if (__atomic_load_n(&row->half[dir].life, __ATOMIC_RELAXED) != life[dir])
			return false;
	}
	return holds_flow(copy->half[XDPLB_TO_BACKEND].state);
}

static bool rows_visit(const struct flow_map *map,
		       bool (*visit)(void *arg, const struct xdplb_flow *flow), void *arg)
{
	struct xdplb_flow copy;

	for (uint32_t i = 0; i < map->count; i++) {
		if (holds_flow(map->rows[i].half[XDPLB_TO_BACKEND].state) &&
		    flow_copy(&map->rows[i], &copy) && !visit(arg, &copy))
			return false;
	}
	return true;
}

void pinned_each_flow(const struct pinned *pinned,
		      bool (*visit)(void *arg, const struct xdplb_flow *flow), void *arg)
{
	if (rows_visit(&pinned->flows, visit, arg))
		rows_visit(&pinned->embryos, visit, arg);
}
