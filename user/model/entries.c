// SPDX-License-Identifier: GPL-2.0-only
#include "model/entries.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Keys stand first in each entry: an address and port, or a row number. */
static int service_compare(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct xdplb_service_key));
}

static int id_compare(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static void array_sort(void *array, size_t *count, size_t size,
		       int (*compare)(const void *left, const void *right))
{
	char *base = array;
	size_t kept = 0;
	bool sorted = true;

	for (size_t i = 1; i < *count && sorted; i++)
		sorted = compare(base + (i - 1) * size, base + i * size) < 0;
	if (sorted)
		return;
	qsort(base, *count, size, compare);
	for (size_t i = 1; i < *count; i++)
		if (compare(base + kept * size, base + i * size) != 0 && ++kept != i)
			memcpy(base + kept * size, base + i * size, size);
	*count = kept + 1;
}

void entries_sort(struct entries *entries)
{
	array_sort(entries->services, &entries->service_count, sizeof(*entries->services),
		   service_compare);
	array_sort(entries->pools, &entries->pool_count, sizeof(*entries->pools), id_compare);
	array_sort(entries->backends, &entries->backend_count, sizeof(*entries->backends),
		   id_compare);
}

void entries_free(struct entries *entries)
{
	free(entries->services);
	free(entries->pools);
	free(entries->backends);
	*entries = (struct entries){ 0 };
}
