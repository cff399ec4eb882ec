// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maglev hashing: every member has a permutation of all slots, made from its
 * address and port alone, and takes the first free slot of it when it has its
 * turn. All nodes agree without a word, and a member that goes leaves
 * most slots of the others where they were.
 *
 * The permutations are offset + skip * k, with the k shuffled: with plain k,
 * two members whose skips happen to be related chase each other over the
 * table, and one that leaves then moves up to 4 % of 4093 slots instead of 1.3 %.
 */
#include "base/alloc.h"
#include "base/cleanup.h"
#include "model/mix.h"
#include "model/tables.h"
#include "model/turns.h"
#include "xdplb/endian.h"

#define MAGLEV_KEY 0x78646c70626d6167ULL /* public: nodes agree by it */

struct walk {
	uint32_t offset, skip;
	uint32_t step; /* next in the order of steps */
};

static struct walk walk_start(const struct table_member *member, uint32_t count)
{
	uint64_t hash = MAGLEV_KEY;

	for (int i = 0; i < 4; i += 2)
		hash = mix(hash, (uint64_t)from_be32(member->addr.w[i]) << 32 |
					 from_be32(member->addr.w[i + 1]));
	hash = mix(hash, member->port);
	return (struct walk){
		.offset = (uint32_t)(mix(hash, 1) % count),
		.skip = (uint32_t)(mix(hash, 2) % (count > 1 ? count - 1 : 1)) + 1,
	};
}

static uint32_t walk_next(struct walk *walk, const uint32_t *steps, uint32_t count)
{
	uint64_t at = steps[walk->step++];

	return (uint32_t)((walk->offset + at * walk->skip) % count);
}

/* The numbers below @count, shuffled the same way everywhere. */
static uint32_t *steps_shuffled(uint32_t count)
{
	uint32_t *steps = xcalloc(count, sizeof(*steps));

	for (uint32_t i = 0; i < count; i++) {
		uint32_t k = (uint32_t)(mix(MAGLEV_KEY, i) % (i + 1));

		steps[i] = steps[k];
		steps[k] = i;
	}
	return steps;
}

void maglev_fill(const struct table_member *members, size_t member_count, struct xdplb_slot *slots,
		 uint32_t count)
{
	auto_free struct walk *walks = xcalloc(member_count, sizeof(*walks));
	auto_free uint32_t *weights = xcalloc(member_count, sizeof(*weights));
	auto_free uint32_t *turns = xcalloc(member_count, sizeof(*turns));
	auto_free uint32_t *steps = steps_shuffled(count);
	auto_free uint32_t *order = xcalloc(count, sizeof(*order));

	for (size_t i = 0; i < member_count; i++) {
		walks[i] = walk_start(&members[i], count);
		weights[i] = members[i].weight;
	}
	turns_share(weights, member_count, count, turns);
	turns_order(turns, member_count, count, order);
	for (uint32_t turn = 0; turn < count; turn++) {
		uint32_t who = order[turn], slot;

		do
			slot = walk_next(&walks[who], steps, count);
		while (slots[slot].backend);
		slots[slot].backend = members[who].id;
	}
}
