// SPDX-License-Identifier: GPL-2.0-only
/* Opening: creates what is not pinned yet, or adopts it, whole or not at all. */
#include "dataplane/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "dataplane/netlink.h"
#include "dataplane/skeleton.h"

#define SYN_TIMEOUT_MS 10000
#define CLOSING_TIMEOUT_MS 60000
#define VERIFIER_LOG_SIZE (16U << 20) /* touched only if the verifier refuses */
#define VERIFIER_TAIL 240 /* bytes of it that go into the message */

static int libbpf_log(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	return log_level >= LOG_LEVEL_DEBUG ? vfprintf(stderr, format, args) : 0;
}

/* ---- the maps of the object that are pinned: not those of .rodata and the like, nor those of a move */

bool map_is_old(const char *name)
{
	return !strncmp(name, "old_", 4);
}

static struct bpf_map *next_map(const struct bpf_object *object, const struct bpf_map *map)
{
	struct bpf_map *next = bpf_object__next_map(object, map);

	while (next && (bpf_map__is_internal(next) || map_is_old(bpf_map__name(next))))
		next = bpf_object__next_map(object, next);
	return next;
}

int dp_each_map_name(int (*visit)(void *arg, const char *name), void *arg)
{
	struct xdplb_bpf *skeleton;
	struct bpf_map *map;
	int ret = 0;

	libbpf_set_print(libbpf_log);
	skeleton = xdplb_bpf__open();
	if (!skeleton)
		return -errno;
	bpf_object__for_each_map(map, skeleton->obj)
		if (!ret && !bpf_map__is_internal(map))
			ret = visit(arg, bpf_map__name(map));
	xdplb_bpf__destroy(skeleton);
	return ret;
}

/* ---- what is pinned already */

#define MAX_MAPS 64

struct pinned {
	int fds[MAX_MAPS]; /* in the object's order; -1: not pinned */
	bool outgrown[MAX_MAPS]; /* it is a list of counters, and too short */
	size_t maps, found;
	const char *missing; /* name of one that is not there */
	uint32_t abi_version; /* 0: creation did not finish */
	uint32_t flows_used;
	size_t links;
};

static void pinned_close(const struct pinned *pinned)
{
	for (size_t i = 0; i < pinned->maps; i++)
		cleanup_fd(&pinned->fds[i]);
}

/* The first word of row 0, whatever version made the map; 0 if there is none. */
static uint32_t first_word(int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	auto_free uint32_t *value = NULL;
	const uint32_t row = 0;

	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.type != BPF_MAP_TYPE_ARRAY ||
	    info.key_size != sizeof(row))
		return 0;
	value = xcalloc(1, info.value_size + sizeof(*value));
	return bpf_map_lookup_elem(fd, &row, value) ? 0 : *value;
}

static int pinned_open(const struct bpf_object *object, const char *dir, struct pinned *pinned,
		       struct dp_error *err)
{
	auto_free struct dp_link *links = NULL;

	for (struct bpf_map *map = next_map(object, NULL); map; map = next_map(object, map)) {
		const char *name = bpf_map__name(map);
		int fd = pin_get(dir, name);

		if (fd < 0 && fd != -ENOENT)
			return dp_fail(err, fd, "%s/%s: opening the pin: %s", dir, name,
				       strerror(-fd));
		if (pinned->maps == MAX_MAPS)
			return dp_fail(err, -E2BIG, "more than %d maps", MAX_MAPS);
		pinned->fds[pinned->maps++] = fd;
		if (fd < 0) {
			pinned->missing = name;
			continue;
		}
		pinned->found++;
		if (!strcmp(name, "settings"))
			pinned->abi_version = first_word(fd);
		if (!strcmp(name, "gauges"))
			pinned->flows_used = first_word(fd);
	}
	return dataplane_links(dir, &links, &pinned->links);
}

static int fail_unusable(const struct pinned *pinned, const char *dir, const char *why,
			 struct dp_error *err)
{
	return dp_fail(
		err, -EEXIST,
		"%s: pins that cannot be adopted: %s; `xdplb detach --all --bpffs %s` starts "
		"afresh and loses %u flows on %zu interfaces",
		dir, why, dir, pinned->flows_used, pinned->links);
}

/* Created by a process that did not get to the end: nothing uses them. */
static int pinned_remove(const struct bpf_object *object, const char *dir, struct dp_error *err)
{
	log_warn("%s: pins of an unfinished creation are removed", dir);
	for (struct bpf_map *map = next_map(object, NULL); map; map = next_map(object, map)) {
		int ret = pin_remove(dir, bpf_map__name(map));

		if (ret)
			return dp_fail(err, ret, "%s/%s: removing the pin: %s", dir,
				       bpf_map__name(map), strerror(-ret));
	}
	return 0;
}

/* ---- adopting */

static bool is_sized_by_us(const char *name)
{
	return !strcmp(name, "flows") || !strcmp(name, "flow_free") || !strcmp(name, "embryos") ||
	       !strcmp(name, "flow_index");
}

static int map_adopt(struct bpf_map *map, int fd, struct dp_sizes *sizes, bool *outgrown,
		     char why[128])
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	const char *name = bpf_map__name(map);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	/* BPF_F_RDONLY_PROG: the kernel sets it itself on device maps. */
	if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map) ||
	    (info.map_flags & ~BPF_F_RDONLY_PROG) != bpf_map__map_flags(map) ||
	    (!is_sized_by_us(name) && !grow_is_list(name) &&
	     info.max_entries != bpf_map__max_entries(map))) {
		snprintf(why, 128, "map %s has another shape", name);
		return -EEXIST;
	}
	*outgrown = grow_is_list(name) && info.max_entries < bpf_map__max_entries(map);
	if (!strcmp(name, "flows"))
		sizes->flows = info.max_entries;
	else if (!strcmp(name, "embryos"))
		sizes->embryos = info.max_entries;
	else if (!strcmp(name, "flow_index"))
		sizes->buckets = info.max_entries;
	return *outgrown ? 0 : bpf_map__reuse_fd(map, fd);
}

static int maps_adopt(struct dataplane *dp, struct bpf_object *object, struct pinned *pinned,
		      struct dp_error *err)
{
	char why[128] = "";
	size_t i = 0;

	if (pinned->abi_version != XDPLB_ABI_VERSION) {
		snprintf(why, sizeof(why), "their ABI version is %u, this program's is %d",
			 pinned->abi_version, XDPLB_ABI_VERSION);
		return fail_unusable(pinned, dp->dir, why, err);
	}
	if (pinned->missing) {
		snprintf(why, sizeof(why), "map %s is missing", pinned->missing);
		return fail_unusable(pinned, dp->dir, why, err);
	}
	for (struct bpf_map *map = next_map(object, NULL); map; map = next_map(object, map)) {
		int ret = map_adopt(map, pinned->fds[i], &dp->sizes, &pinned->outgrown[i], why);

		if (ret)
			return fail_unusable(pinned, dp->dir, *why ? why : strerror(-ret), err);
		i++;
	}
	if (!derive_sizes_valid(&dp->sizes))
		return fail_unusable(pinned, dp->dir, "sizes of the flow table do not fit", err);
	return 0;
}

/* ---- loading */

static void log_tail(const char *log, char tail[VERIFIER_TAIL])
{
	size_t len = strlen(log);
	size_t at = len > VERIFIER_TAIL - 1 ? len - (VERIFIER_TAIL - 1) : 0;

	snprintf(tail, VERIFIER_TAIL, "%s", log + at);
	for (char *c = tail; *c; c++)
		if (*c == '\n')
			*c = c[1] ? '|' : '\0';
}

static void log_to(const struct bpf_object *object, char *log, size_t size)
{
	struct bpf_program *program = NULL;

	while ((program = bpf_object__next_program(object, program)))
		bpf_program__set_log_buf(program, log, size);
}

static int skeleton_load(struct xdplb_bpf *skeleton, struct dp_error *err)
{
	auto_free char *log = xcalloc(1, VERIFIER_LOG_SIZE);
	char tail[VERIFIER_TAIL];
	int ret;

	log_to(skeleton->obj, log, VERIFIER_LOG_SIZE);
	ret = xdplb_bpf__load(skeleton);
	log_to(skeleton->obj, NULL, 0);
	if (!ret)
		return 0;
	log_tail(log, tail);
	return dp_fail(err, ret, "loading the BPF program: %s%s%s%s", strerror(-ret),
		       ret == -EPERM ? " (needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)" : "",
		       *tail ? "; the verifier says: " : "", tail);
}

static void maps_resize(struct xdplb_bpf *skeleton, const struct dp_sizes *sizes)
{
	bpf_map__set_max_entries(skeleton->maps.flows, sizes->flows);
	bpf_map__set_max_entries(skeleton->maps.flow_free, sizes->flows);
	bpf_map__set_max_entries(skeleton->maps.embryos, sizes->embryos);
	bpf_map__set_max_entries(skeleton->maps.flow_index, sizes->buckets);
}

static int maps_pin(const struct bpf_object *object, const char *dir, struct dp_error *err)
{
	for (struct bpf_map *map = next_map(object, NULL); map; map = next_map(object, map)) {
		int ret = pin_put(dir, bpf_map__name(map), bpf_map__fd(map));

		if (ret)
			return dp_fail(err, ret, "pinning %s/%s: %s", dir, bpf_map__name(map),
				       strerror(-ret));
	}
	return 0;
}

/* Once the program that fills the new ones is in place. */
static int maps_grow(const struct dataplane *dp, const struct pinned *pinned, struct dp_error *err)
{
	const struct xdplb_bpf *skeleton = dp->skeleton;
	const struct bpf_map *map = next_map(skeleton->obj, NULL);

	for (size_t i = 0; map && i < pinned->maps; i++, map = next_map(skeleton->obj, map)) {
		const char *name = bpf_map__name(map);
		int ret;

		if (!pinned->outgrown[i])
			continue;
		ret = grow_replace(dp, name, pinned->fds[i], bpf_map__fd(map));
		if (ret)
			return dp_fail(err, ret, "replacing %s/%s by a longer one: %s", dp->dir,
				       name, strerror(-ret));
	}
	return 0;
}

/* ---- settings */

static void *map_memory(int fd, size_t size, int protection)
{
	void *memory = mmap(NULL, size, protection, MAP_SHARED, fd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int maps_map(struct dataplane *dp, struct dp_error *err)
{
	dp->settings = map_memory(dp->fd.settings, sizeof(*dp->settings), PROT_READ | PROT_WRITE);
	dp->flows = map_memory(dp->fd.flows, sizeof(*dp->flows) * dp->sizes.flows, PROT_READ);
	dp->embryos =
		map_memory(dp->fd.embryos, sizeof(*dp->embryos) * dp->sizes.embryos, PROT_READ);
	dp->secrets =
		map_memory(dp->fd.cookie_secrets, sizeof(*dp->secrets), PROT_READ | PROT_WRITE);
	if (!dp->settings || !dp->flows || !dp->embryos || !dp->secrets)
		return dp_fail(err, -errno, "mapping the flow table: %s", strerror(errno));
	return 0;
}

/* The row is complete when abi_version stands in it; until then nobody adopts these maps. */
static int settings_init(struct dataplane *dp, const struct dp_options *options, bool adopted,
			 struct dp_error *err)
{
	struct xdplb_settings *settings = dp->settings;
	uint64_t key[4];

	derive_select_key(options->hash_seed, key);
	for (int i = 0; i < 4; i++)
		__atomic_store_n(&settings->select_key[i], key[i], __ATOMIC_RELAXED);
	settings->flow_table = dp->sizes.flows;
	if (adopted)
		return 0;
	if (getrandom(settings->index_key, sizeof(settings->index_key), 0) !=
		    (ssize_t)sizeof(settings->index_key) ||
	    getrandom(dp->secrets->key, sizeof(dp->secrets->key), 0) !=
		    (ssize_t)sizeof(dp->secrets->key))
		return dp_fail(err, -EIO, "getrandom: %s", strerror(errno));
	dataplane_set_timeouts(dp, SYN_TIMEOUT_MS, CLOSING_TIMEOUT_MS);
	dataplane_heartbeat(dp, clock_now_tick());
	__atomic_store_n(&settings->abi_version, XDPLB_ABI_VERSION, __ATOMIC_RELEASE);
	return 0;
}

/* ---- opening */

static void dataplane_fill(struct dataplane *dp, const struct xdplb_bpf *skeleton)
{
#define X(map) dp->fd.map = bpf_map__fd(skeleton->maps.map);
	DP_MAPS(X)
#undef X
	dp->program = bpf_program__fd(skeleton->progs.xdplb);
	dp->sweep = bpf_program__fd(skeleton->progs.sweep);
	dp->sweep_sniffs = bpf_program__fd(skeleton->progs.sweep_sniffs);
	dp->handshakes_due = bpf_program__fd(skeleton->progs.handshakes_due);
	dp->splice = bpf_program__fd(bpf_object__find_program_by_name(skeleton->obj, "splice"));
}

/* Decides between creating and adopting, then loads. What a failed creation leaves, the next one removes. */
static int skeleton_bring_up(struct dataplane *dp, const struct dp_options *options,
			     struct pinned *pinned, struct dp_error *err)
{
	struct xdplb_bpf *skeleton = dp->skeleton;
	int ret = pinned_open(skeleton->obj, dp->dir, pinned, err);

	if (!ret && pinned->found && !pinned->abi_version && !pinned->links) {
		pinned->found = 0;
		ret = pinned_remove(skeleton->obj, dp->dir, err);
	}
	if (ret)
		return ret;
	tables_init(dp, bpf_map__map_flags(bpf_map__inner_map(skeleton->maps.tables)));
	if (pinned->found) {
		ret = maps_adopt(dp, skeleton->obj, pinned, err);
		if (ret)
			return ret;
	} else {
		if (!derive_sizes(options->flow_table, &dp->sizes))
			return dp_fail(err, -EINVAL, "flow_table: %u is not from 1 to %u",
				       options->flow_table, DP_MAX_FLOW_TABLE);
		maps_resize(skeleton, &dp->sizes);
	}
	skeleton->rodata->index_mask = dp->sizes.buckets - 1;
	skeleton->rodata->embryo_mask = dp->sizes.embryos - 1;
	skeleton->rodata->flows_max = dp->sizes.flows;
	ret = skeleton_load(skeleton, err);
	if (ret)
		return ret;
	dataplane_fill(dp, skeleton);
	return pinned->found ? 0 : maps_pin(skeleton->obj, dp->dir, err);
}

static int dataplane_bring_up(struct dataplane *dp, const struct dp_options *options, bool *adopted,
			      struct dp_error *err)
{
	struct pinned pinned = { .maps = 0 };
	auto_fd int lock = pins_lock(dp->dir);
	int ret;

	if (lock < 0)
		return dp_fail(err, lock, "%s: %s", dp->dir, strerror(-lock));
	ret = flow_table_move(dp->dir, options->flow_table, err);
	if (ret)
		return ret;
	dp->skeleton = xdplb_bpf__open();
	if (!dp->skeleton)
		return dp_fail(err, -errno, "the BPF object in this program: %s", strerror(errno));
	ret = skeleton_bring_up(dp, options, &pinned, err);
	if (!ret)
		ret = maps_map(dp, err);
	if (!ret)
		ret = settings_init(dp, options, pinned.found, err);
	/* A link without maps has lost them: its program works on what nobody can reach. */
	if (!ret && pinned.links)
		ret = links_update(dp, err);
	if (!ret)
		ret = maps_grow(dp, &pinned, err);
	pinned_close(&pinned);
	if (!ret)
		*adopted = pinned.found;
	return ret;
}

int dataplane_open(const struct dp_options *options, struct dataplane **dp, bool *adopted,
		   struct dp_error *err)
{
	struct dataplane *new;
	int ret;

	libbpf_set_print(libbpf_log);
	ret = pins_prepare(options->bpffs, err);
	if (ret)
		return ret;
	new = xcalloc(1, sizeof(*new));
	memset(&new->fd, 0xff, sizeof(new->fd)); /* -1 each, until a program is loaded */
	new->dir = xstrdup(options->bpffs);
	new->cpus = libbpf_num_possible_cpus();
	if (new->cpus < 1)
		ret = dp_fail(err, -EIO, "the number of possible CPUs is not known");
	if (!ret)
		ret = dataplane_bring_up(new, options, adopted, err);
	if (ret) {
		dataplane_close(new);
		return ret;
	}
	netlink_enable_fib_on_lo();
	*dp = new;
	return 0;
}

void dataplane_close(struct dataplane *dp)
{
	if (!dp)
		return;
	if (dp->settings)
		munmap(dp->settings, sizeof(*dp->settings));
	if (dp->flows)
		munmap((void *)dp->flows, sizeof(*dp->flows) * dp->sizes.flows);
	if (dp->embryos)
		munmap((void *)dp->embryos, sizeof(*dp->embryos) * dp->sizes.embryos);
	if (dp->secrets)
		munmap(dp->secrets, sizeof(*dp->secrets));
	if (!dp->skeleton)
		view_close(dp);
	tables_end(dp);
	xdplb_bpf__destroy(dp->skeleton);
	free(dp->dir);
	free(dp);
}

uint32_t dataplane_flow_table(const struct dataplane *dp)
{
	return dp->sizes.flows;
}

uint32_t dataplane_embryo_table(const struct dataplane *dp)
{
	return dp->sizes.embryos;
}
