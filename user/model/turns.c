// SPDX-License-Identifier: GPL-2.0-only
#include "model/turns.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

uint32_t turns_total(const uint32_t *weights, size_t count, uint32_t max)
{
	uint32_t divisor = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		divisor = gcd(weights[i], divisor);
		sum += weights[i];
	}
	if (!sum)
		return 0;
	return sum / divisor > max ? max : (uint32_t)(sum / divisor);
}

struct rest {
	uint64_t rest; /* of the division that gave the whole turns */
	size_t who;
};

static int rest_compare(const void *left, const void *right)
{
	const struct rest *a = left, *b = right;

	if (a->rest != b->rest)
		return a->rest > b->rest ? -1 : 1;
	return a->who < b->who ? -1 : a->who > b->who;
}

/*
 * Those whose share is below one turn get one, as long as that is so for
 * somebody: what they take makes the others' shares smaller. Takes their
 * turns and weights off *total and *sum.
 */
static void smallest_share(const uint32_t *weights, size_t count, uint32_t *total, uint64_t *sum,
			   uint32_t *turns)
{
	bool again;

	do {
		uint32_t given = 0;
		uint64_t weight = 0;

		for (size_t i = 0; i < count; i++) {
			if (turns[i] || (uint64_t)weights[i] * *total >= *sum)
				continue;
			turns[i] = 1;
			given++;
			weight += weights[i];
		}
		*total -= given;
		*sum -= weight;
		again = given > 0;
	} while (again);
}

void turns_share(const uint32_t *weights, size_t count, uint32_t total, uint32_t *turns)
{
	auto_free struct rest *rests = xcalloc(count, sizeof(*rests));
	size_t sharing = 0;
	uint32_t left;
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		turns[i] = 0;
		sum += weights[i];
	}
	if (count <= total)
		smallest_share(weights, count, &total, &sum, turns);
	left = total;
	for (size_t i = 0; i < count; i++) {
		uint64_t share = (uint64_t)weights[i] * total;

		if (turns[i])
			continue;
		turns[i] = (uint32_t)(share / sum);
		left -= turns[i];
		rests[sharing++] = (struct rest){ .rest = share % sum, .who = i };
	}
	qsort(rests, sharing, sizeof(*rests), rest_compare);
	for (size_t i = 0; i < sharing && left; i++, left--)
		turns[rests[i].who]++;
}

/* ---- order: whose next turn is due first, among those who are not ahead of their share */

struct due {
	uint64_t *heap; /* when << WHO_BITS | who, the smallest first */
	size_t count;
};

#define WHO_BITS 17
#define WHEN_BITS 20 /* behind the point */

static void due_push(struct due *due, uint64_t item)
{
	size_t at = due->count++;

	for (; at && due->heap[(at - 1) / 2] > item; at = (at - 1) / 2)
		due->heap[at] = due->heap[(at - 1) / 2];
	due->heap[at] = item;
}

static uint64_t due_pop(struct due *due)
{
	uint64_t first = due->heap[0], last = due->heap[--due->count];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < due->count) {
		if (child + 1 < due->count && due->heap[child + 1] < due->heap[child])
			child++;
		if (due->heap[child] >= last)
			break;
		due->heap[at] = due->heap[child];
		at = child;
	}
	due->heap[at] = last;
	return first;
}

static uint64_t due_item(uint32_t who, uint32_t taken, uint32_t turns, uint32_t total)
{
	uint64_t when = (((uint64_t)taken + 1) * total << WHEN_BITS) / turns;

	return when << WHO_BITS | who;
}

/*
 * The j-th turn of somebody with t of n turns may come from step j * n / t on
 * and is due at step (j + 1) * n / t. At each step somebody may (nobody
 * ahead, nobody behind: the sum of what all are owed is 0), and nobody gets more than t.
 */
void turns_order(const uint32_t *turns, size_t count, uint32_t total, uint32_t *order)
{
	auto_free uint32_t *first =
		xcalloc(total, sizeof(*first)); /* by step: who + 1 may from then on */
	auto_free uint32_t *next = xcalloc(count, sizeof(*next)); /* the others of that step */
	auto_free uint32_t *taken = xcalloc(count, sizeof(*taken));
	auto_free uint64_t *heap = xcalloc(count, sizeof(*heap));
	struct due due = { .heap = heap };

	for (uint32_t who = 0; who < count; who++)
		if (turns[who])
			due_push(&due, due_item(who, 0, turns[who], total));
	for (uint32_t step = 0; step < total; step++) {
		uint32_t who, from;

		for (uint32_t link = first[step]; link; link = next[link - 1])
			due_push(&due, due_item(link - 1, taken[link - 1], turns[link - 1], total));
		who = (uint32_t)due_pop(&due) & ((1U << WHO_BITS) - 1);
		order[step] = who;
		if (++taken[who] == turns[who])
			continue;
		from = (uint32_t)(((uint64_t)taken[who] * total + turns[who] - 1) / turns[who]);
		if (from <= step + 1) {
			due_push(&due, due_item(who, taken[who], turns[who], total));
			continue;
		}
		next[who] = first[from];
		first[from] = who + 1;
	}
}
