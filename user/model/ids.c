// SPDX-License-Identifier: GPL-2.0-only
#include "model/ids.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/mix.h"

void ids_init(struct ids *ids, size_t key_size, uint32_t first, uint32_t limit)
{
	uint32_t buckets = 1;

	while (buckets < limit)
		buckets *= 2;
	*ids = (struct ids){ .key_size = key_size, .first = first, .limit = limit };
	ids->mask = buckets - 1;
	ids->lowest = ids->end = first;
	ids->keys = xcalloc(limit, key_size);
	ids->flags = xcalloc(limit, sizeof(*ids->flags));
	ids->buckets = xcalloc(buckets, sizeof(*ids->buckets));
	ids->chain = xcalloc(limit, sizeof(*ids->chain));
}

void ids_free(struct ids *ids)
{
	free(ids->keys);
	free(ids->flags);
	free(ids->buckets);
	free(ids->chain);
}

static uint32_t *bucket_of(const struct ids *ids, const void *key)
{
	return &ids->buckets[mix_bytes(0, key, ids->key_size) & ids->mask];
}

const void *ids_key(const struct ids *ids, uint32_t id)
{
	return ids->keys + id * ids->key_size;
}

uint32_t ids_find(const struct ids *ids, const void *key)
{
	uint32_t link = *bucket_of(ids, key);

	while (link && memcmp(ids_key(ids, link - 1), key, ids->key_size) != 0)
		link = ids->chain[link - 1];
	return link ? link - 1 : IDS_NONE;
}

static void row_link(struct ids *ids, const void *key, uint32_t id, uint8_t flags)
{
	uint32_t *bucket = bucket_of(ids, key);

	memcpy(ids->keys + id * ids->key_size, key, ids->key_size);
	ids->flags[id] = flags;
	ids->chain[id] = *bucket;
	*bucket = id + 1;
	ids->used++;
	if (id >= ids->end)
		ids->end = id + 1;
	if (flags & IDS_FRESH)
		ids->fresh++;
}

uint32_t ids_take(struct ids *ids, const void *key)
{
	uint32_t id = ids_find(ids, key);

	if (id != IDS_NONE)
		return id;
	while (ids->lowest < ids->limit && ids->flags[ids->lowest] & IDS_USED)
		ids->lowest++;
	if (ids->lowest == ids->limit)
		return IDS_NONE;
	id = ids->lowest++;
	row_link(ids, key, id, IDS_USED | IDS_FRESH);
	return id;
}

bool ids_claim(struct ids *ids, const void *key, uint32_t id)
{
	if (id < ids->first || id >= ids->limit || ids->flags[id] & IDS_USED)
		return false;
	if (ids_find(ids, key) != IDS_NONE)
		return false;
	row_link(ids, key, id, IDS_USED);
	return true;
}

void ids_drop(struct ids *ids, uint32_t id)
{
	uint32_t *link = bucket_of(ids, ids_key(ids, id));

	while (*link != id + 1)
		link = &ids->chain[*link - 1];
	*link = ids->chain[id];
	if (ids->flags[id] & IDS_FRESH)
		ids->fresh--;
	ids->flags[id] = 0;
	ids->used--;
	if (id < ids->lowest)
		ids->lowest = id;
}

bool ids_has(const struct ids *ids, uint32_t id, uint8_t flags)
{
	return id < ids->limit && (ids->flags[id] & flags) == flags;
}

uint32_t ids_left(const struct ids *ids)
{
	return ids->limit - ids->first - ids->used;
}

void ids_unwant(struct ids *ids)
{
	for (uint32_t id = ids->first; id < ids->end; id++)
		ids->flags[id] &= (uint8_t)~IDS_WANTED;
}

size_t ids_fresh(struct ids *ids, uint32_t *rows, size_t max)
{
	size_t count = 0;

	for (uint32_t id = ids->first; ids->fresh && count < max && id < ids->end; id++) {
		if (!(ids->flags[id] & IDS_FRESH))
			continue;
		ids->flags[id] &= (uint8_t)~IDS_FRESH;
		ids->fresh--;
		rows[count++] = id;
	}
	return count;
}
