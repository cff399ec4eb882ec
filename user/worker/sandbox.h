/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_SANDBOX_H
#define XDPLB_WORKER_SANDBOX_H

#include <stdbool.h>

/*
 * Leaves the process with no more than it works with, for good: another user
 * (if it was root), no capability, few descriptors, and the system calls that
 * its threads need; any other ends it. False: it could not, errno says why,
 * and the process must not go on. It ends with @parent, a process id.
 */
bool sandbox_enter(int parent);

#endif /* XDPLB_WORKER_SANDBOX_H */
