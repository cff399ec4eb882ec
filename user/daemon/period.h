/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DAEMON_PERIOD_H
#define XDPLB_DAEMON_PERIOD_H

/* Milliseconds as the event loop takes them. */
#include <stdint.h>
#include <sys/time.h>

static inline struct timeval period(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

#endif /* XDPLB_DAEMON_PERIOD_H */
