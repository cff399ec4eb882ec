// SPDX-License-Identifier: GPL-2.0-only
#include "api/snapshot.h"

#include <stdlib.h>
#include <string.h>

void snapshot_free(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->service_count; i++)
		free(snapshot->services[i].listeners);
	for (size_t i = 0; i < snapshot->pool_count; i++)
		free(snapshot->pools[i].backends);
	free(snapshot->interfaces);
	free(snapshot->services);
	free(snapshot->pools);
	memset(snapshot, 0, sizeof(*snapshot));
}
