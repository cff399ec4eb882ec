// SPDX-License-Identifier: GPL-2.0-only
/* Looking at pinned maps without loading anything: nobody notices. */
#include "dataplane/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <bpf/bpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static int view_fail(const char *bpffs, const char *name, int error, struct dp_error *err)
{
	if (error == -ENOENT)
		return dp_fail(err, error,
			       "%s: nothing of xdplb is pinned there; --bpffs names another "
			       "directory",
			       bpffs);
	return dp_fail(err, error, "%s/%s: %s", bpffs, name, strerror(-error));
}

static uint32_t rows_of(int fd, uint32_t value_size)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.value_size != value_size)
		return 0;
	return info.max_entries;
}

static const void *rows_map(int fd, uint32_t rows, size_t size)
{
	void *memory = rows ? mmap(NULL, rows * size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	return memory == MAP_FAILED ? NULL : memory;
}

static int view_open(struct dataplane *dp, struct dp_error *err)
{
	struct {
		const char *name;
		int *fd;
	} maps[] = {
#define X(map) { #map, &dp->fd.map },
		DP_MAPS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		*maps[i].fd = pin_get(dp->dir, maps[i].name);
		if (*maps[i].fd < 0)
			return view_fail(dp->dir, maps[i].name, *maps[i].fd, err);
	}
	dp->sizes.flows = rows_of(dp->fd.flows, sizeof(*dp->flows));
	dp->sizes.embryos = rows_of(dp->fd.embryos, sizeof(*dp->embryos));
	dp->flows = rows_map(dp->fd.flows, dp->sizes.flows, sizeof(*dp->flows));
	dp->embryos = rows_map(dp->fd.embryos, dp->sizes.embryos, sizeof(*dp->embryos));
	dp->settings = (void *)rows_map(dp->fd.settings,
					rows_of(dp->fd.settings, sizeof(*dp->settings)),
					sizeof(*dp->settings));
	if (!dp->flows || !dp->embryos || !dp->settings ||
	    dp->settings->abi_version != XDPLB_ABI_VERSION)
		return dp_fail(err, -EPROTO,
			       "%s: pinned by another version of xdplb, or cannot be mapped",
			       dp->dir);
	return 0;
}

int dataplane_view(const char *bpffs, struct dataplane **dp, struct dp_error *err)
{
	struct dataplane *view = xcalloc(1, sizeof(*view));
	int ret;

	view->dir = xstrdup(bpffs);
	memset(&view->fd, 0xff, sizeof(view->fd)); /* -1 each: nothing to close yet */
	ret = view_open(view, err);
	if (ret)
		dataplane_close(view);
	else
		*dp = view;
	return ret;
}

void view_close(const struct dataplane *dp)
{
#define X(map) cleanup_fd(&dp->fd.map);
	DP_MAPS(X)
#undef X
}
