/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_MESSAGE_H
#define XDPLB_WORKER_MESSAGE_H

/* struct worker_message over the socket pair, with descriptors; both ends use this. */
#include <stdbool.h>
#include <stddef.h>

#include "worker/worker.h"

#define MESSAGE_FDS 3

/* The receiver gets copies of the first @count of @fds. -errno; never blocks on a socket that does not. */
int message_send(int fd, const struct worker_message *message, const int *fds, size_t count);

/* 1: one came, *fds are its descriptors, -1 each where it has none. 0: the other end is gone. -errno. */
int message_receive(int fd, struct worker_message *message, int fds[MESSAGE_FDS]);

#endif /* XDPLB_WORKER_MESSAGE_H */
