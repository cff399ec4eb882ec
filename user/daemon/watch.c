// SPDX-License-Identifier: GPL-2.0-only
#include "daemon/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include <event2/event.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/period.h"

/*
 * Directories are watched, not the file: what is renamed over it is another
 * file. Finished is a file that was closed or moved into place; one that is
 * created or being written may be half there, so more time goes by.
 */
#define EVENTS_FINISHED (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)
#define EVENTS_UNDER_WAY (IN_CREATE | IN_MODIFY)

#define QUIET_FINISHED_MS 100
#define QUIET_UNDER_WAY_MS 1000
#define PATIENCE_MS 2000 /* where events never cease, a look is taken all the same */

struct watch {
	struct event_base *base; /* not ours */
	const char *path; /* the caller's */
	void (*changed)(void *arg);
	void *arg;
	int fd; /* inotify, -1: asleep */
	struct event *readable, *quiet;
	uint64_t first_ns; /* of the events not looked at yet, 0: none */
	uint64_t digest; /* of the content last noted */
};

/* FNV-1a: tells texts apart, keeps nobody out. A file that can't be read is a text of its own. */
static uint64_t content_digest(const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t digest = 14695981039346656037U;
	unsigned char bytes[16384];
	ssize_t got;

	if (fd < 0)
		return (uint64_t)errno;
	while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < got; i++)
			digest = (digest ^ bytes[i]) * 1099511628211U;
	}
	return digest;
}

static void dir_add(struct watch *watch, const char *file)
{
	auto_free char *copy = xstrdup(file);

	/* Where there is no such directory at present, the look after a while tries again. */
	inotify_add_watch(watch->fd, dirname(copy),
			  EVENTS_FINISHED | EVENTS_UNDER_WAY | IN_DELETE_SELF | IN_MOVE_SELF |
				  IN_ONLYDIR);
}

/* Where the file is named, and where it is: the same, if no link leads on. */
static void dirs_add(struct watch *watch)
{
	auto_free char *target = realpath(watch->path, NULL);

	dir_add(watch, watch->path);
	if (target)
		dir_add(watch, target);
}

static void look_in(struct watch *watch, uint32_t ms)
{
	struct timeval delay = period(ms);

	evtimer_add(watch->quiet, &delay);
}

static void on_quiet(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;
	uint64_t digest = content_digest(watch->path);

	(void)fd;
	(void)what;
	watch->first_ns = 0;
	dirs_add(watch);
	if (digest == ENOENT || digest == ENOTDIR) {
		look_in(watch, PATIENCE_MS); /* between two versions, or its directory is gone */
		return;
	}
	if (digest == watch->digest)
		return;
	watch->digest = digest;
	watch->changed(watch->arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	_Alignas(struct inotify_event) char bytes[8192];
	struct watch *watch = arg;
	uint64_t now_ns = clock_now_ns(), waited_ms;
	uint32_t seen = 0, delay_ms;
	ssize_t got;

	(void)what;
	while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t at = 0; at < got;) {
			const struct inotify_event *event = (const void *)(bytes + at);

			seen = event->mask;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
	if (!seen)
		return;
	if (!watch->first_ns)
		watch->first_ns = now_ns;
	waited_ms = (now_ns - watch->first_ns) / 1000000;
	delay_ms = (seen & EVENTS_UNDER_WAY) ? QUIET_UNDER_WAY_MS : QUIET_FINISHED_MS;
	if (waited_ms + delay_ms > PATIENCE_MS)
		delay_ms = waited_ms < PATIENCE_MS ? (uint32_t)(PATIENCE_MS - waited_ms) : 0;
	look_in(watch, delay_ms);
}

struct watch *watch_new(struct event_base *base, const char *path, void (*changed)(void *arg),
			void *arg)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));

	watch->base = base;
	watch->path = path;
	watch->changed = changed;
	watch->arg = arg;
	watch->fd = -1;
	watch->quiet = evtimer_new(base, on_quiet, watch);
	return watch;
}

void watch_note(struct watch *watch)
{
	watch->digest = content_digest(watch->path);
}

static void watch_sleep(struct watch *watch)
{
	if (watch->fd < 0)
		return;
	event_free(watch->readable);
	event_del(watch->quiet);
	close(watch->fd);
	watch->fd = -1;
}

void watch_enable(struct watch *watch, bool enabled)
{
	if (!enabled) {
		watch_sleep(watch);
		return;
	}
	if (watch->fd >= 0)
		return;
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0) {
		log_warn("%s: changes are not noticed: inotify: %s", watch->path, strerror(errno));
		return;
	}
	watch->readable =
		event_new(watch->base, watch->fd, EV_READ | EV_PERSIST, on_readable, watch);
	event_add(watch->readable, NULL);
	dirs_add(watch);
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	watch_sleep(watch);
	event_free(watch->quiet);
	free(watch);
}
