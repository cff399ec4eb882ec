// SPDX-License-Identifier: GPL-2.0-only
/*
 * A merge walk over two sorted arrays: a key on the left alone goes, on the
 * right alone comes, on both sides changes where its bytes differ. First come
 * the things that others will point to, last go those that others pointed to.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/model.h"

struct kind {
	size_t size; /* of an entry, which starts with its key */
	size_t row_at, row_size;
	int (*compare)(const void *left, const void *right);
};

typedef void step_fn(struct plan *plan, const void *before, const void *after);

static int key_compare(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct xdplb_service_key));
}

static int row_compare(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static const struct kind services = { sizeof(struct entry_service),
				      offsetof(struct entry_service, row),
				      sizeof(struct xdplb_service), key_compare };
static const struct kind pools = { sizeof(struct entry_pool), offsetof(struct entry_pool, row),
				   sizeof(struct xdplb_pool), row_compare };
static const struct kind backends = { sizeof(struct entry_backend),
				      offsetof(struct entry_backend, row),
				      sizeof(struct xdplb_backend), row_compare };

struct rows {
	const void *at;
	size_t left; /* entries, from this one on */
};

static const char *rows_head(const struct rows *rows)
{
	return rows->left ? rows->at : NULL;
}

static void rows_next(const struct kind *kind, struct rows *rows)
{
	rows->at = (const char *)rows->at + kind->size;
	rows->left--;
}

/* Calls @step for each key whose rows differ, with NULL for the side that has none. */
static void walk(const struct kind *kind, struct rows from, struct rows to, struct plan *plan,
		 step_fn *step)
{
	const char *before, *after;

	while (before = rows_head(&from), after = rows_head(&to), before || after) {
		int order = before && after ? kind->compare(before, after) : 0;

		if (order < 0)
			after = NULL;
		else if (order > 0)
			before = NULL;
		if (!before || !after ||
		    memcmp(before + kind->row_at, after + kind->row_at, kind->row_size) != 0)
			step(plan, before, after);
		if (before)
			rows_next(kind, &from);
		if (after)
			rows_next(kind, &to);
	}
}

static void step_add(struct plan *plan, enum plan_kind kind, uint32_t id, const void *before,
		     const void *after)
{
	struct plan_step *step = array_push(plan->steps, plan->count);

	*step = (struct plan_step){ .kind = kind, .id = id, .before = before, .after = after };
}

static void backend_set(struct plan *plan, const void *before, const void *after)
{
	const struct entry_backend *entry = after;

	if (entry)
		step_add(plan, PLAN_BACKEND_SET, entry->id, before, after);
}

static void backend_delete(struct plan *plan, const void *before, const void *after)
{
	const struct entry_backend *entry = before;

	if (!after)
		step_add(plan, PLAN_BACKEND_DELETE, entry->id, before, NULL);
}

static void tables_swap(struct plan *plan, const void *before, const void *after)
{
	static const struct entry_pool none;
	const struct entry_pool *was = before ? before : &none, *now = after;

	if (!now)
		return;
	for (uint32_t family = 0; family < XDPLB_FAMILIES; family++)
		if (was->row.digest[family] != now->row.digest[family] ||
		    was->row.slots[family] != now->row.slots[family])
			step_add(plan, PLAN_TABLE_SWAP, XDPLB_FAMILIES * now->id + family, before,
				 after);
}

static void pool_set(struct plan *plan, const void *before, const void *after)
{
	const struct entry_pool *entry = after;

	if (entry)
		step_add(plan, PLAN_POOL_SET, entry->id, before, after);
}

static void pool_delete(struct plan *plan, const void *before, const void *after)
{
	const struct entry_pool *entry = before;

	if (!after)
		step_add(plan, PLAN_POOL_DELETE, entry->id, before, NULL);
}

static void service_set(struct plan *plan, const void *before, const void *after)
{
	const struct entry_service *entry = after;

	if (entry)
		step_add(plan, PLAN_SERVICE_SET, entry->row.id, before, after);
}

static void service_delete(struct plan *plan, const void *before, const void *after)
{
	const struct entry_service *entry = before;

	if (!after)
		step_add(plan, PLAN_SERVICE_DELETE, entry->row.id, before, NULL);
}

static void walk_services(const struct entries *from, const struct entries *to, struct plan *plan,
			  step_fn *step)
{
	walk(&services, (struct rows){ from->services, from->service_count },
	     (struct rows){ to->services, to->service_count }, plan, step);
}

static void walk_pools(const struct entries *from, const struct entries *to, struct plan *plan,
		       step_fn *step)
{
	walk(&pools, (struct rows){ from->pools, from->pool_count },
	     (struct rows){ to->pools, to->pool_count }, plan, step);
}

static void walk_backends(const struct entries *from, const struct entries *to, struct plan *plan,
			  step_fn *step)
{
	walk(&backends, (struct rows){ from->backends, from->backend_count },
	     (struct rows){ to->backends, to->backend_count }, plan, step);
}

void plan_make(const struct entries *from, const struct entries *to, struct plan *plan)
{
	*plan = (struct plan){ 0 };
	walk_backends(from, to, plan, backend_set);
	if (memcmp(from->nat, to->nat, sizeof(to->nat)) != 0)
		step_add(plan, PLAN_NAT_SET, 0, from->nat, to->nat);
	walk_pools(from, to, plan, tables_swap);
	walk_pools(from, to, plan, pool_set);
	walk_services(from, to, plan, service_set);
	walk_services(from, to, plan, service_delete);
	walk_pools(from, to, plan, pool_delete);
	walk_backends(from, to, plan, backend_delete);
}

void plan_free(struct plan *plan)
{
	free(plan->steps);
	*plan = (struct plan){ 0 };
}
