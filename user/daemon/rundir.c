// SPDX-License-Identifier: GPL-2.0-only
#include "daemon/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"

int rundir_make(const char *dir)
{
	auto_free char *path = xstrdup(dir);

	for (char *slash = path + 1;; slash++) {
		char end = *slash;

		if (end && end != '/')
			continue;
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*slash = end;
		if (!end)
			return 0;
	}
}

static int pid_read(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return (int)strtol(text, NULL, 10);
}

/* Of the whole file, held by the open file: it ends with the last descriptor. */
static struct flock lock_whole(void)
{
	return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

int rundir_lock(const char *dir, int *pid)
{
	auto_free char *path = xasprintf("%s/" RUNDIR_LOCK, dir);
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	struct flock lock = lock_whole();
	char text[16];
	int len;

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock)) {
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		*pid = pid_read(fd);
		return -EBUSY;
	}
	len = snprintf(text, sizeof(text), "%d\n", getpid());
	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)len, 0) != len)
		return -errno;
	return take_fd(&fd);
}

/* Only looks: a lock taken for a moment to try would get in the way of a daemon that starts. */
int rundir_holder(const char *dir)
{
	auto_free char *path = xasprintf("%s/" RUNDIR_LOCK, dir);
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	struct flock lock = lock_whole();

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fcntl(fd, F_OFD_GETLK, &lock))
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : pid_read(fd);
}

#define SEED_TEXT 32 /* hexadecimal digits of SEED_BYTES */

static bool seed_read(const char *path, uint8_t seed[SEED_BYTES])
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[SEED_TEXT + 1] = "";
	uint8_t read_seed[SEED_BYTES];

	if (fd < 0 || read(fd, text, SEED_TEXT) != SEED_TEXT ||
	    strspn(text, "0123456789abcdef") != SEED_TEXT)
		return false;
	for (size_t i = 0; i < SEED_BYTES; i++) {
		const char digits[3] = { text[i * 2], text[i * 2 + 1], '\0' };

		read_seed[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	memcpy(seed, read_seed, SEED_BYTES);
	return true;
}

/* Written aside and renamed: a crash leaves the old one or the new one. */
static int seed_write(const char *path, const uint8_t seed[SEED_BYTES])
{
	auto_free char *aside = xasprintf("%s.new", path);
	auto_fd int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char text[SEED_TEXT + 2];
	ssize_t written;

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < SEED_BYTES; i++)
		snprintf(&text[i * 2], 3, "%02x", seed[i]);
	text[SEED_TEXT] = '\n';
	written = write(fd, text, SEED_TEXT + 1);
	if (written != SEED_TEXT + 1)
		return written < 0 ? -errno : -ENOSPC;
	return rename(aside, path) ? -errno : 0;
}

int rundir_seed(const char *dir, uint8_t seed[SEED_BYTES])
{
	auto_free char *path = xasprintf("%s/" RUNDIR_SEED, dir);
	uint8_t fresh[SEED_BYTES];
	int ret;

	if (seed_read(path, seed))
		return 0;
	if (getrandom(fresh, sizeof(fresh), 0) != sizeof(fresh))
		return -errno;
	ret = seed_write(path, fresh);
	if (!ret)
		memcpy(seed, fresh, SEED_BYTES);
	return ret;
}
