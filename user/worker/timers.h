/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_TIMERS_H
#define XDPLB_WORKER_TIMERS_H

/*
 * Timers as a heap: the next one is at hand, setting and ending one costs
 * O(log n). A timer lies in what it belongs to and may be set anew at will.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
	uint64_t at_ns;
	size_t place; /* in the heap, from 1; 0: not set */
};

struct timers {
	struct timer **heap; /* from 1 */
	size_t count, room;
};

bool timers_set(struct timers *timers, struct timer *timer, uint64_t at_ns); /* false: no memory */
void timers_end(struct timers *timers, struct timer *timer); /* not set: nothing */
struct timer *timers_due(const struct timers *timers,
			 uint64_t now_ns); /* the next that is due, or NULL */
uint64_t timers_next(const struct timers *timers); /* UINT64_MAX: none is set */
void timers_free(struct timers *timers);

#endif /* XDPLB_WORKER_TIMERS_H */
