// SPDX-License-Identifier: GPL-2.0-only
/*
 * Outcomes and events are lists that newer versions append to. A pinned list
 * that is too short is replaced by a longer one that starts with its counts.
 */
#include "dataplane/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"

bool grow_is_list(const char *name)
{
	return !strcmp(name, "outcomes") || !strcmp(name, "flow_events");
}

/* Counts that the former program adds from here on are lost: it is being replaced. */
static int counts_copy(const struct dataplane *dp, int from, int to)
{
	auto_free uint64_t *counts = xcalloc((size_t)dp->cpus, sizeof(*counts));

	for (uint32_t row = 0; !bpf_map_lookup_elem(from, &row, counts); row++)
		if (bpf_map_update_elem(to, &row, counts, BPF_ANY))
			return -errno;
	return 0;
}

int grow_replace(const struct dataplane *dp, const char *name, int from, int to)
{
	auto_free char *old_path = xasprintf("%s/%s", dp->dir, name);
	auto_free char *new_name = xasprintf("%s_new", name);
	auto_free char *new_path = xasprintf("%s/%s", dp->dir, new_name);
	int ret = counts_copy(dp, from, to);

	if (ret)
		return ret;
	pin_remove(dp->dir, new_name); /* of a daemon that was killed right here */
	ret = pin_put(dp->dir, new_name, to);
	if (ret)
		return ret;
	return rename(new_path, old_path) ? -errno : 0;
}
