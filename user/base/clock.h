/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CLOCK_H
#define XDPLB_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "xdplb/abi.h"

/* CLOCK_MONOTONIC: the clock of the datapath. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static inline uint32_t clock_now_tick(void)
{
	return (uint32_t)(clock_now_ns() >> XDPLB_TICK_SHIFT);
}

/* Rounded up, so that a timeout is never shorter than configured. */
static inline uint32_t ticks_of_ms(uint64_t ms)
{
	return (uint32_t)((ms * 1000000U + (1U << XDPLB_TICK_SHIFT) - 1) >> XDPLB_TICK_SHIFT);
}

#endif /* XDPLB_CLOCK_H */
