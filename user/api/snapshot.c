// SPDX-License-Identifier: GPL-2.0-only
#include "api/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

const char *snapshot_keep(struct snapshot *snapshot, const char *text)
{
	return *array_push(snapshot->kept, snapshot->kept_count) = xstrdup(text);
}

static void service_free(const struct snap_service *service)
{
	free(service->listeners);
	free(service->sniffed);
}

void snapshot_free(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->service_count; i++)
		service_free(&snapshot->services[i]);
	for (size_t i = 0; i < snapshot->pool_count; i++)
		free(snapshot->pools[i].backends);
	for (size_t i = 0; i < snapshot->kept_count; i++)
		free(snapshot->kept[i]);
	free(snapshot->kept);
	free(snapshot->warnings);
	free(snapshot->interfaces);
	free(snapshot->services);
	free(snapshot->pools);
	memset(snapshot, 0, sizeof(*snapshot));
}
