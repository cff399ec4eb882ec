/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_IDS_H
#define XDPLB_IDS_H

/*
 * Rows for keys: each key (bytes of one fixed size, without padding) has one
 * row number for as long as it is in here. New keys get the lowest free row.
 * Finding and taking cost the same for a key among ten and among 65,536.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDS_NONE UINT32_MAX

enum {
	IDS_USED = 1U << 0,
	IDS_FRESH = 1U << 1, /* given to a new key, not yet told by ids_fresh() */
	IDS_WANTED = 1U << 2 /* in the configuration; the owner sets and clears it */
};

struct ids {
	size_t key_size;
	uint32_t first, limit; /* rows are first .. limit - 1 */
	unsigned char *keys;
	uint8_t *flags; /* IDS_* by row */
	uint32_t *buckets, *chain; /* by hash, by row: next row + 1, 0 ends */
	uint32_t mask;
	uint32_t lowest; /* no free row below */
	uint32_t end; /* no row in use from here on */
	uint32_t used, fresh; /* how many */
};

void ids_init(struct ids *ids, size_t key_size, uint32_t first, uint32_t limit);
void ids_free(struct ids *ids);

/* IDS_NONE: not in here. */
uint32_t ids_find(const struct ids *ids, const void *key);

/* The row of @key, a new one where it has none. IDS_NONE: all are taken. */
uint32_t ids_take(struct ids *ids, const void *key);

/* Gives @key this very row, not fresh; false: the row or the key is taken, or out of range. */
bool ids_claim(struct ids *ids, const void *key, uint32_t id);
void ids_drop(struct ids *ids, uint32_t id);

const void *ids_key(const struct ids *ids, uint32_t id);
bool ids_has(const struct ids *ids, uint32_t id, uint8_t flags); /* all of @flags */
uint32_t ids_left(const struct ids *ids); /* free rows */

/* Clears IDS_WANTED everywhere. */
void ids_unwant(struct ids *ids);

/* Fills up to @max fresh rows, which are not fresh any more; returns how many. */
size_t ids_fresh(struct ids *ids, uint32_t *rows, size_t max);

#endif /* XDPLB_IDS_H */
