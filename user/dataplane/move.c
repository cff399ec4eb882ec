// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another flow_table: makes flow tables of the new size, lets the datapath
 * look into the old ones on a miss, and takes over what lies there. The old
 * tables keep their pins, as old_NAME, until all is done; who is killed on
 * the way leaves what the next start goes on with.
 */
#include "dataplane/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "dataplane/skeleton.h"

#define MOVE_ROWS 65536 /* a call: some 50 ms */

/* Hold flows: kept as old_NAME while they are emptied. flows is the first to go and the last to be removed. */
static const char *const kept[] = { "flows", "embryos", "flow_index" };
/* Belong to a size, and hold nothing worth keeping. Pinned in this order, flows last. */
static const char *const sized[] = { "gauges", "flow_free", "flow_index", "embryos", "flows" };

static bool is_sized(const char *name)
{
	for (size_t i = 0; i < sizeof(sized) / sizeof(sized[0]); i++)
		if (!strcmp(name, sized[i]))
			return true;
	return false;
}

static bool pin_there(const char *dir, const char *name)
{
	auto_fd int fd = pin_get(dir, name);

	return fd >= 0;
}

/* Rows of a pinned map, 0: there is none. */
static uint32_t pin_rows(const char *dir, const char *name)
{
	auto_fd int fd = pin_get(dir, name);
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	return fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size) ? info.max_entries : 0;
}

/* Whether the pinned tables are ours to read. */
static bool abi_is_ours(const char *dir)
{
	auto_fd int fd = pin_get(dir, "settings");
	struct xdplb_settings settings = { .abi_version = 0 };
	const uint32_t row = 0;

	return fd >= 0 && !bpf_map_lookup_elem(fd, &row, &settings) &&
	       settings.abi_version == XDPLB_ABI_VERSION;
}

static int pin_rename(const char *dir, const char *from, const char *to)
{
	auto_free char *old_path = xasprintf("%s/%s", dir, from);
	auto_free char *new_path = xasprintf("%s/%s", dir, to);

	return rename(old_path, new_path) ? -errno : 0;
}

/* Puts the tables in use aside; goes on where a former attempt was killed. */
static int tables_put_aside(const char *dir)
{
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		auto_free char *old = xasprintf("old_%s", kept[i]);
		int ret = pin_there(dir, old) ? 0 : pin_rename(dir, kept[i], old);

		if (ret)
			return ret;
	}
	for (size_t i = 0; i < sizeof(sized) / sizeof(sized[0]); i++)
		pin_remove(dir, sized[i]); /* what a killed attempt made */
	return 0;
}

static int maps_reuse(struct bpf_object *object, const char *dir, bool fresh)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		const char *name = bpf_map__name(map);
		auto_fd int fd = -1;
		int ret;

		if (bpf_map__is_internal(map) || (fresh && is_sized(name)))
			continue;
		fd = pin_get(dir, name);
		if (fd == -ENOENT && map_is_old(name))
			continue; /* it was emptied already */
		ret = fd < 0 ? fd : bpf_map__reuse_fd(map, fd);
		if (ret)
			return ret;
	}
	return 0;
}

static void sizes_set(struct xdplb_bpf *skeleton, const struct dp_sizes *sizes, bool fresh)
{
	if (fresh) {
		bpf_map__set_max_entries(skeleton->maps.flows, sizes->flows);
		bpf_map__set_max_entries(skeleton->maps.flow_free, sizes->flows);
		bpf_map__set_max_entries(skeleton->maps.embryos, sizes->embryos);
		bpf_map__set_max_entries(skeleton->maps.flow_index, sizes->buckets);
	}
	skeleton->rodata->index_mask = sizes->buckets - 1;
	skeleton->rodata->embryo_mask = sizes->embryos - 1;
	skeleton->rodata->flows_max = sizes->flows;
	skeleton->rodata->old_index_mask = bpf_map__max_entries(skeleton->maps.old_flow_index) - 1;
	skeleton->rodata->moving = true;
}

/* Not found by name: libbpf calls a map that is used again what the kernel calls it. */
static int sized_pin(const struct xdplb_bpf *skeleton, const char *dir)
{
	const struct bpf_map *const maps[] = { skeleton->maps.gauges, skeleton->maps.flow_free,
					       skeleton->maps.flow_index, skeleton->maps.embryos,
					       skeleton->maps.flows };

	_Static_assert(sizeof(maps) == sizeof(sized), "one map a name");
	for (size_t i = 0; i < sizeof(sized) / sizeof(sized[0]); i++) {
		int ret = pin_put(dir, sized[i], bpf_map__fd(maps[i]));

		if (ret)
			return ret;
	}
	return 0;
}

/* Everything in [first, first + rows), by the program that does the same for packets. */
static void rows_move(int program, uint64_t first, uint32_t rows)
{
	for (uint32_t done = 0; done < rows; done += MOVE_ROWS) {
		uint32_t count = rows - done < MOVE_ROWS ? rows - done : MOVE_ROWS;
		struct {
			uint64_t first;
			uint32_t count, pad[13];
		} frame = { .first = first + done, .count = count };
		struct bpf_test_run_opts run = {
			.sz = sizeof(run),
			.data_in = &frame,
			.data_size_in = sizeof(frame),
		};

		bpf_prog_test_run_opts(program, &run);
	}
}

/* The packets' program first, so that nothing comes into the old tables behind our back. */
static int flows_take(struct xdplb_bpf *skeleton, const char *dir, struct dp_error *err)
{
	auto_free char *own_dir = xstrdup(dir);
	const struct dataplane dp = { .dir = own_dir,
				      .program = bpf_program__fd(skeleton->progs.xdplb) };
	int program = bpf_program__fd(skeleton->progs.move);
	int ret = links_update(&dp, err);

	if (ret)
		return ret;
	rows_move(program, 0, bpf_map__max_entries(skeleton->maps.old_flows));
	rows_move(program, XDPLB_SLOT_EMBRYO, bpf_map__max_entries(skeleton->maps.old_embryos));
	for (size_t i = sizeof(kept) / sizeof(kept[0]); i > 0; i--) {
		auto_free char *old = xasprintf("old_%s", kept[i - 1]);

		pin_remove(dir, old);
	}
	return 0;
}

static int move_between(struct xdplb_bpf *skeleton, const char *dir, const struct dp_sizes *sizes,
			bool fresh, struct dp_error *err)
{
	int ret = fresh ? tables_put_aside(dir) : 0;

	if (!ret)
		ret = maps_reuse(skeleton->obj, dir, fresh);
	if (ret)
		return dp_fail(err, ret, "%s: taking over the flow table: %s", dir, strerror(-ret));
	sizes_set(skeleton, sizes, fresh);
	ret = xdplb_bpf__load(skeleton);
	if (!ret && fresh)
		ret = sized_pin(skeleton, dir);
	if (ret)
		return dp_fail(err, ret, "%s: making another flow table: %s", dir, strerror(-ret));
	return flows_take(skeleton, dir, err);
}

int flow_table_move(const char *dir, uint32_t flow_table, struct dp_error *err)
{
	uint32_t rows = pin_rows(dir, "flows");
	bool begun = pin_there(dir, "old_flows");
	struct dp_sizes sizes;
	struct xdplb_bpf *skeleton;
	int ret;

	if ((!begun && (!rows || rows == flow_table)) || !abi_is_ours(dir))
		return 0;
	if (begun && rows)
		flow_table =
			rows; /* what a killed attempt made is complete: flows is pinned last */
	if (!derive_sizes(flow_table, &sizes))
		return 0; /* said where the table would be made */
	log_info("flow_table: flows move into a table of %u", flow_table);
	skeleton = xdplb_bpf__open();
	if (!skeleton)
		return dp_fail(err, -errno, "the BPF object in this program: %s", strerror(errno));
	ret = move_between(skeleton, dir, &sizes, !(begun && rows), err);
	xdplb_bpf__destroy(skeleton);
	return ret;
}
