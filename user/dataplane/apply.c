// SPDX-License-Identifier: GPL-2.0-only
/*
 * Carries a plan out, run by run: steps of one kind that follow each other.
 * Each run is done whole or not at all; if one fails, those before it are
 * undone, the last one first.
 *
 * One thing may not be undone: a swapped table whose predecessor this process
 * may not open (by id, which needs CAP_SYS_ADMIN). It stays, its pool's digest
 * is cleared so that the next plan renders it again, and the error says so.
 * Tables come before everything that can fail for want of room, but creating
 * them can only fail before anything of their run is swapped.
 */
#include "dataplane/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <bpf/bpf.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"

struct run {
	const struct plan_step *steps;
	size_t count;
	struct table_swap swaps[TABLES_BATCH];
	size_t swap_count;
};

/* ---- rows: @to is an entry, or NULL for none */

static int backend_write(const struct dataplane *dp, uint32_t id, const struct entry_backend *to)
{
	static const struct xdplb_backend none;

	return bpf_map_update_elem(dp->fd.backends, &id, to ? &to->row : &none, BPF_ANY);
}

static int pool_write(const struct dataplane *dp, uint32_t id, const struct entry_pool *to)
{
	static const struct xdplb_pool none;

	return bpf_map_update_elem(dp->fd.pools, &id, to ? &to->row : &none, BPF_ANY);
}

static int service_write(const struct dataplane *dp, const struct plan_step *step,
			 const struct entry_service *to)
{
	const struct entry_service *any = step->after ? step->after : step->before;

	if (to)
		return bpf_map_update_elem(dp->fd.services, &to->key, &to->row, BPF_ANY);
	if (bpf_map_delete_elem(dp->fd.services, &any->key) && errno != ENOENT)
		return -errno;
	return 0;
}

/* Writes the buffer that nobody reads, then points at it. */
static int nat_write(const struct dataplane *dp, const struct xdplb_nat_range *to)
{
	uint32_t buffer = !dp->settings->nat_buffer;
	uint32_t row = buffer * XDPLB_FAMILIES;

	for (int family = 0; family < XDPLB_FAMILIES; family++, row++) {
		int ret = bpf_map_update_elem(dp->fd.nat_ranges, &row, &to[family], BPF_ANY);

		if (ret)
			return ret;
	}
	__atomic_store_n(&dp->settings->nat_buffer, buffer, __ATOMIC_RELEASE);
	return 0;
}

static int step_write(const struct dataplane *dp, const struct plan_step *step, const void *to)
{
	int ret = 0;

	switch (step->kind) {
	case PLAN_BACKEND_SET:
	case PLAN_BACKEND_DELETE:
		ret = backend_write(dp, step->id, to);
		break;
	case PLAN_POOL_SET:
	case PLAN_POOL_DELETE:
		ret = pool_write(dp, step->id, to);
		break;
	case PLAN_SERVICE_SET:
	case PLAN_SERVICE_DELETE:
		ret = service_write(dp, step, to);
		break;
	case PLAN_NAT_SET:
		ret = nat_write(dp, to);
		break;
	case PLAN_TABLE_SWAP: /* by batch, behind the rows of its run */
		break;
	}
	return ret ? -errno : 0;
}

/* ---- runs */

/* The pool's row must not claim to know what its table holds. */
static void digest_clear(const struct dataplane *dp, uint32_t row)
{
	uint32_t id = row / XDPLB_FAMILIES;
	struct xdplb_pool pool;

	if (bpf_map_lookup_elem(dp->fd.pools, &id, &pool) || !pool.used)
		return;
	pool.digest[row % XDPLB_FAMILIES] = 0;
	bpf_map_update_elem(dp->fd.pools, &id, &pool, BPF_ANY);
}

static int run_swap(struct dataplane *dp, const struct model *model, struct run *run)
{
	struct xdplb_slot *content[TABLES_BATCH] = { NULL };
	int ret;

	for (size_t i = 0; i < run->swap_count; i++) {
		struct table_swap *swap = &run->swaps[i];

		if (run->steps->kind == PLAN_TABLE_SWAP)
			content[i] = render_table(model, swap->row / XDPLB_FAMILIES,
						  swap->row % XDPLB_FAMILIES, &swap->slots);
		swap->content = content[i];
	}
	/* Should we be killed before the pool's row is written, the next daemon swaps again. */
	for (size_t i = 0; i < run->swap_count; i++)
		digest_clear(dp, run->swaps[i].row);
	ret = tables_swap(dp, run->swaps, run->swap_count);
	for (size_t i = 0; i < run->swap_count; i++)
		free(content[i]);
	return ret;
}

/* The tables that the steps of @run swap. A deleted pool's become empty ones: deleting waits 8 ms each. */
static void run_collect(const struct dataplane *dp, struct run *run)
{
	run->swap_count = 0;
	for (size_t i = 0; i < run->count; i++) {
		const struct plan_step *step = &run->steps[i];
		uint32_t row = step->id * XDPLB_FAMILIES;

		if (step->kind == PLAN_TABLE_SWAP)
			run->swaps[run->swap_count++].row = step->id;
		for (int j = 0; step->kind == PLAN_POOL_DELETE && j < XDPLB_FAMILIES; j++, row++)
			if (table_exists(dp, row))
				run->swaps[run->swap_count++].row = row;
	}
}

static void rows_undo(const struct dataplane *dp, const struct run *run, size_t count)
{
	while (count--)
		step_write(dp, &run->steps[count], run->steps[count].before);
}

static int run_do(struct dataplane *dp, const struct model *model, struct run *run)
{
	size_t done = 0;
	int ret = 0;

	run_collect(dp, run);
	while (done < run->count && !ret) {
		ret = step_write(dp, &run->steps[done], run->steps[done].after);
		done += !ret;
	}
	if (!ret && run->swap_count)
		ret = run_swap(dp, model, run);
	if (ret)
		rows_undo(dp, run, done);
	return ret;
}

static size_t run_undo(struct dataplane *dp, struct run *run)
{
	size_t lost = tables_restore(dp, run->swaps, run->swap_count);

	rows_undo(dp, run, run->count);
	for (size_t i = 0; i < run->swap_count; i++)
		if (run->swaps[i].lost)
			digest_clear(dp, run->swaps[i].row);
	return lost;
}

/* ---- plans */

/* Tables being undone are held by descriptor: as many as may be, rather than the usual 1024. */
static void descriptors_allow(size_t count)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= count + 2UL * TABLES_BATCH)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		log_debug("raising the limit of open files: %s", strerror(errno));
}

/* The longest run of one kind from @steps on whose tables fit a batch. */
static struct run *run_start(const struct plan_step *steps, size_t left)
{
	struct run *run = xcalloc(1, sizeof(*run));
	size_t most = left;

	if (steps->kind == PLAN_TABLE_SWAP)
		most = TABLES_BATCH;
	else if (steps->kind == PLAN_POOL_DELETE)
		most = TABLES_BATCH / XDPLB_FAMILIES;
	run->steps = steps;
	while (run->count < left && run->count < most && steps[run->count].kind == steps->kind)
		run->count++;
	return run;
}

static int fail_step(enum plan_kind kind, int error, struct dp_error *err)
{
	static const char *const names[] = {
		[PLAN_BACKEND_SET] = "writing backends",
		[PLAN_TABLE_SWAP] = "swapping selection tables",
		[PLAN_POOL_SET] = "writing pools",
		[PLAN_NAT_SET] = "writing NAT ranges",
		[PLAN_SERVICE_SET] = "writing services",
		[PLAN_SERVICE_DELETE] = "deleting services",
		[PLAN_POOL_DELETE] = "deleting pools",
		[PLAN_BACKEND_DELETE] = "deleting backends",
	};

	return dp_fail(err, error, "%s: %s; everything is as it was before", names[kind],
		       error == -E2BIG ? "the map is full" : strerror(-error));
}

int dataplane_apply(struct dataplane *dp, const struct model *model, const struct plan *plan,
		    struct dp_error *err)
{
	struct run **runs = NULL;
	size_t count = 0, lost = 0;
	int ret = 0;

	descriptors_allow(plan->count);
	for (size_t at = 0; at < plan->count && !ret;) {
		struct run *run = run_start(&plan->steps[at], plan->count - at);

		ret = run_do(dp, model, run);
		at += run->count;
		if (ret) {
			fail_step(run->steps->kind, ret, err);
			free(run);
		} else {
			*array_push(runs, count) = run;
		}
	}
	for (size_t i = count; i--;) {
		if (ret)
			lost += run_undo(dp, runs[i]);
		tables_forget(runs[i]->swaps, runs[i]->swap_count);
		free(runs[i]);
	}
	free(runs);
	if (lost)
		log_warn("%zu selection tables could not be put back (needs CAP_SYS_ADMIN): they "
			 "are the new ones, and rendered again with the next change",
			 lost);
	return ret;
}
