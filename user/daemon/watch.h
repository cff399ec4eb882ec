/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DAEMON_WATCH_H
#define XDPLB_DAEMON_WATCH_H

/*
 * Notices that the content of a file is another one: written in place, renamed
 * over, or reached through symbolic links that now lead elsewhere. It calls
 * back once things have been quiet for a moment, and only if the content
 * differs from what was last noted.
 */
#include <stdbool.h>

struct event_base;
struct watch;

/* @path is the caller's and stays. Never NULL; asleep until watch_enable(). */
struct watch *watch_new(struct event_base *base, const char *path, void (*changed)(void *arg),
			void *arg);
void watch_free(struct watch *watch); /* NULL is allowed */

void watch_enable(struct watch *watch, bool enabled);

/* The content as it is now is known: somebody is about to read it. */
void watch_note(struct watch *watch);

#endif /* XDPLB_DAEMON_WATCH_H */
