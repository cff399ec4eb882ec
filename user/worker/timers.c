// SPDX-License-Identifier: GPL-2.0-only
#include "worker/timers.h"

#include <stdlib.h>

static void place(struct timers *timers, struct timer *timer, size_t at)
{
	timers->heap[at] = timer;
	timer->place = at;
}

static void rise(struct timers *timers, struct timer *timer)
{
	size_t at = timer->place;

	while (at > 1 && timers->heap[at / 2]->at_ns > timer->at_ns) {
		place(timers, timers->heap[at / 2], at);
		at /= 2;
	}
	place(timers, timer, at);
}

static void sink(struct timers *timers, struct timer *timer)
{
	size_t at = timer->place;

	for (;;) {
		size_t below = at * 2;

		if (below > timers->count)
			break;
		if (below < timers->count &&
		    timers->heap[below + 1]->at_ns < timers->heap[below]->at_ns)
			below++;
		if (timers->heap[below]->at_ns >= timer->at_ns)
			break;
		place(timers, timers->heap[below], at);
		at = below;
	}
	place(timers, timer, at);
}

static bool make_room(struct timers *timers)
{
	size_t room = timers->room ? timers->room * 2 : 64;
	struct timer **heap;

	if (timers->count + 1 < timers->room)
		return true;
	heap = realloc(timers->heap, room * sizeof(*heap));
	if (!heap)
		return false;
	timers->heap = heap;
	timers->room = room;
	return true;
}

bool timers_set(struct timers *timers, struct timer *timer, uint64_t at_ns)
{
	if (!timer->place) {
		if (!make_room(timers))
			return false;
		place(timers, timer, ++timers->count);
	}
	timer->at_ns = at_ns;
	rise(timers, timer);
	sink(timers, timer);
	return true;
}

void timers_end(struct timers *timers, struct timer *timer)
{
	struct timer *last;

	if (!timer->place)
		return;
	last = timers->heap[timers->count--];
	if (last != timer) {
		place(timers, last, timer->place);
		rise(timers, last);
		sink(timers, last);
	}
	timer->place = 0;
}

struct timer *timers_due(const struct timers *timers, uint64_t now_ns)
{
	return timers->count && timers->heap[1]->at_ns <= now_ns ? timers->heap[1] : NULL;
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->heap[1]->at_ns : UINT64_MAX;
}

void timers_free(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){ 0 };
}
