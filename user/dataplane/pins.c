// SPDX-License-Identifier: GPL-2.0-only
#include "dataplane/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <dirent.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <bpf/bpf.h>
#include <linux/magic.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define MOUNT_SOURCE "xdplb" /* marks a mount as ours in /proc/self/mountinfo */

int dp_fail(struct dp_error *err, int error, const char *format, ...)
{
	struct dp_error nobody;
	va_list args;

	va_start(args, format);
	vsnprintf(err ? err->text : nobody.text, sizeof(nobody.text), format, args);
	va_end(args);
	return error;
}

static bool fs_is(const char *path, uint32_t magic)
{
	struct statfs fs;

	return !statfs(path, &fs) && (uint32_t)fs.f_type == magic;
}

/* But for what the kernel puts into a new bpffs: names with a dot, which nobody else can make there. */
static bool dir_is_empty(const char *path)
{
	bool bpffs = fs_is(path, BPF_FS_MAGIC), empty = true;
	const struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return false;
	while (empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
			(bpffs && strchr(entry->d_name, '.'));
	closedir(dir);
	return empty;
}

static int bpffs_mount(const char *path, struct dp_error *err)
{
	if (!dir_is_empty(path))
		return dp_fail(err, -ENOTEMPTY,
			       "%s: is no bpffs and not empty, so none is mounted over it; choose "
			       "another --bpffs",
			       path);
	if (mount(MOUNT_SOURCE, path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return dp_fail(err, -errno, "%s: mounting a bpffs: %s", path, strerror(errno));
	return 0;
}

/* Makes @path, whose parent is there. /sys/fs/bpf without its bpffs is sysfs, where nobody can. */
static int dir_make(const char *parent, const char *path, struct dp_error *err)
{
	if (fs_is(parent, SYSFS_MAGIC)) {
		int ret = bpffs_mount(parent, err);

		if (ret)
			return ret;
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		return dp_fail(err, -errno, "%s: making the directory: %s", path, strerror(errno));
	return 0;
}

int pins_prepare(const char *dir, struct dp_error *err)
{
	char path[PATH_MAX], parent[PATH_MAX] = "/";
	size_t len = strlen(dir);
	struct stat st;
	int ret;

	if (dir[0] != '/' || len >= sizeof(path))
		return dp_fail(err, -EINVAL,
			       "%s: the directory of the pins must be an absolute path", dir);
	for (size_t i = 1; i <= len; i++) {
		if (dir[i] && dir[i] != '/')
			continue;
		memcpy(path, dir, i);
		path[i] = '\0';
		if (stat(path, &st)) {
			ret = dir_make(parent, path, err);
			if (ret)
				return ret;
		} else if (!S_ISDIR(st.st_mode)) {
			return dp_fail(err, -ENOTDIR, "%s: is not a directory", path);
		}
		memcpy(parent, path, i + 1);
	}
	return fs_is(dir, BPF_FS_MAGIC) ? 0 : bpffs_mount(dir, err);
}

bool pins_there(const char *dir)
{
	return fs_is(dir, BPF_FS_MAGIC);
}

/* Undoes the octal escapes of mountinfo. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* Is @path (resolved) a mount point, and the mount one of ours? */
static bool mounted_by_us(const char *path)
{
	auto_file FILE *file = fopen("/proc/self/mountinfo", "re");
	auto_free char *line = NULL;
	size_t size = 0;
	bool ours = false;

	while (file && getline(&line, &size, file) > 0) {
		char *rest = line, *point = NULL;

		for (int field = 0; field < 5; field++)
			point = strsep(&rest, " ");
		if (!point || !rest)
			continue;
		unescape(point);
		if (!strcmp(point, path)) /* the last one lies on top */
			ours = strstr(rest, " - bpf " MOUNT_SOURCE " ");
	}
	return ours;
}

static int is_pin(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	return type == FTW_F && !strchr(path + at->base, '.');
}

/*
 * Lazily: a daemon may still hold a descriptor, and its pins are gone anyway.
 * iproute2 makes folders and symbolic links in whichever bpffs it finds first:
 * they hold nothing, and go with the mount.
 */
static void unmount_if_ours(const char *path)
{
	if (fs_is(path, BPF_FS_MAGIC) && mounted_by_us(path) && !nftw(path, is_pin, 8, FTW_PHYS))
		umount2(path, MNT_DETACH);
}

void pins_release(const char *dir)
{
	auto_free char *path = realpath(dir, NULL);
	char *slash;

	if (!path)
		return;
	unmount_if_ours(path);
	if (rmdir(path))
		return; /* somebody else's things are in it */
	slash = strrchr(path, '/');
	if (slash && slash != path) {
		*slash = '\0';
		unmount_if_ours(path);
	}
}

int pin_get(const char *dir, const char *name)
{
	auto_free char *path = xasprintf("%s/%s", dir, name);
	int fd = bpf_obj_get(path);

	return fd < 0 ? -errno : fd;
}

int pin_put(const char *dir, const char *name, int fd)
{
	auto_free char *path = xasprintf("%s/%s", dir, name);

	return bpf_obj_pin(fd, path) ? -errno : 0;
}

int pin_remove(const char *dir, const char *name)
{
	auto_free char *path = xasprintf("%s/%s", dir, name);

	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int pins_lock(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX)) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd < 0 ? -errno : fd;
}
