// SPDX-License-Identifier: GPL-2.0-only
#include "health/fsm.h"

bool health_fsm_step(struct health_fsm *fsm, bool passed, uint32_t rise, uint32_t fall,
		     uint64_t now_ns)
{
	uint32_t state = passed ? HEALTH_UP : HEALTH_DOWN;
	uint32_t needed = fsm->settled ? (passed ? rise : fall) : 1;

	fsm->settled = true;
	if (state == fsm->state) {
		fsm->streak = 0;
		return false;
	}
	if (++fsm->streak < needed)
		return false;
	fsm->state = state;
	fsm->streak = 0;
	fsm->since_ns = now_ns;
	return true;
}

void health_fsm_restart(struct health_fsm *fsm)
{
	fsm->settled = false;
	fsm->streak = 0;
}

const char *health_state_name(enum health_state state)
{
	static const char *const names[] = { "unknown", "up", "down" };

	return names[state];
}
