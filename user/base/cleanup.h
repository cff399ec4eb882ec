/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CLEANUP_H
#define XDPLB_CLEANUP_H

/* Locals that let go of what they hold when they leave scope: `auto_fd int fd = -1;` */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define auto_fd __attribute__((cleanup(cleanup_fd)))
#define auto_free __attribute__((cleanup(cleanup_free)))
#define auto_file __attribute__((cleanup(cleanup_file)))

/* Hands a descriptor over: the local no longer closes it. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif /* XDPLB_CLEANUP_H */
