/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DAEMON_RUNDIR_H
#define XDPLB_DAEMON_RUNDIR_H

/*
 * The run directory: a lock that says who runs here, the control socket, the
 * hash seed. Two daemons with directories of their own know nothing of each other.
 */
#include <stdint.h>

#define RUNDIR_SOCKET "control.sock"
#define RUNDIR_LOCK "lock"
#define RUNDIR_LOG "xdplb.log"
#define RUNDIR_SEED "hash_seed"
#define SEED_BYTES 16

/* Makes @dir and its parents where they are missing: 0 or -errno. */
int rundir_make(const char *dir);

/*
 * Takes the lock of @dir, held as long as the descriptor is open and our pid
 * in it. -EBUSY: a daemon runs here, *pid says which (0: not known); else -errno.
 */
int rundir_lock(const char *dir, int *pid);

/* Who holds the lock: its pid, 0: nobody, or -errno. */
int rundir_holder(const char *dir);

/* The seed kept in @dir, made at random where there is none: 0 or -errno. */
int rundir_seed(const char *dir, uint8_t seed[SEED_BYTES]);

#endif /* XDPLB_DAEMON_RUNDIR_H */
