/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_HEALTH_FSM_H
#define XDPLB_HEALTH_FSM_H

/*
 * What the results of one backend's probes make of it: (state, result, now) ->
 * state. Pure. The first result decides alone; from then on it takes `rise`
 * passes in a row to come up and `fall` failures in a row to go down, and one
 * result of the other kind starts the count anew.
 */
#include <stdbool.h>
#include <stdint.h>

enum health_state {
	HEALTH_UNKNOWN, /* not probed yet */
	HEALTH_UP,
	HEALTH_DOWN
};

struct health_fsm {
	uint32_t state; /* enum health_state; all zero is a fresh machine */
	uint32_t streak; /* results in a row that speak against the state */
	uint64_t since_ns; /* when the state came about, 0: never */
	bool settled; /* unset: the next result decides alone */
};

/* Takes one result at @now_ns. @rise and @fall are at least 1. True: the state changed. */
bool health_fsm_step(struct health_fsm *fsm, bool passed, uint32_t rise, uint32_t fall,
		     uint64_t now_ns);

/* What is asked has changed: the next result decides alone, until then the state stays. */
void health_fsm_restart(struct health_fsm *fsm);

/* "unknown", "up" or "down". */
const char *health_state_name(enum health_state state);

#endif /* XDPLB_HEALTH_FSM_H */
