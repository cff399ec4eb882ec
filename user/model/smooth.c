// SPDX-License-Identifier: GPL-2.0-only
/*
 * Smooth weighted round-robin: with weights 5, 1, 1 not a a a a a b c but the
 * light ones spread among the heavy one's turns.
 */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "model/tables.h"
#include "model/turns.h"

void smooth_fill(const struct table_member *members, size_t member_count, struct xdplb_slot *slots,
		 uint32_t count)
{
	auto_free uint32_t *weights = xcalloc(member_count, sizeof(*weights));
	auto_free uint32_t *turns = xcalloc(member_count, sizeof(*turns));
	auto_free uint32_t *order = xcalloc(count, sizeof(*order));

	for (size_t i = 0; i < member_count; i++)
		weights[i] = members[i].weight;
	turns_share(weights, member_count, count, turns);
	turns_order(turns, member_count, count, order);
	for (uint32_t turn = 0; turn < count; turn++)
		slots[turn].backend = members[order[turn]].id;
}
