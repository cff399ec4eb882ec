// SPDX-License-Identifier: GPL-2.0-only
/*
 * Selection tables: arrays that are made, filled and swapped into the outer
 * map whole. An update of the outer map waits for the end of all readers, some
 * 8 ms; a batch waits once, so tables travel in batches.
 */
#include "dataplane/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* Says what a slot is, so that dumps of a table read as structs. */
void tables_init(struct dataplane *dp, uint32_t flags)
{
	struct btf *btf = btf__new_empty();
	int word, slot;

	dp->table_flags = flags;
	if (!btf)
		return;
	word = btf__add_int(btf, "__u32", sizeof(uint32_t), 0);
	slot = btf__add_struct(btf, "xdplb_slot", sizeof(struct xdplb_slot));
	if (word < 0 || slot < 0 ||
	    btf__add_field(btf, "backend", word, 8 * offsetof(struct xdplb_slot, backend), 0) ||
	    btf__add_field(btf, "cost", word, 8 * offsetof(struct xdplb_slot, cost), 0) ||
	    btf__load_into_kernel(btf)) {
		btf__free(btf);
		return;
	}
	dp->slot_btf = btf;
	dp->key_type = (uint32_t)word;
	dp->slot_type = (uint32_t)slot;
}

void tables_end(struct dataplane *dp)
{
	btf__free(dp->slot_btf);
}

static int table_create(const struct dataplane *dp, uint32_t slots)
{
	struct bpf_map_create_opts options = {
		.sz = sizeof(options),
		.map_flags = dp->table_flags,
	};
	int fd;

	if (dp->slot_btf) {
		options.btf_fd = (uint32_t)btf__fd(dp->slot_btf);
		options.btf_key_type_id = dp->key_type;
		options.btf_value_type_id = dp->slot_type;
	}
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "table", sizeof(uint32_t),
			    sizeof(struct xdplb_slot), slots, &options);
	return fd < 0 ? -errno : fd;
}

/* Slot i is @swap's slot i modulo their number; none at all: every slot says "none". */
static void slots_repeat(const struct table_swap *swap, struct xdplb_slot *slots, uint32_t count)
{
	for (uint32_t at = 0; swap->slots && at < count; at += swap->slots) {
		uint32_t part = count - at < swap->slots ? count - at : swap->slots;

		memcpy(&slots[at], swap->content, part * sizeof(*slots));
	}
}

static int table_fill_mapped(int fd, const struct table_swap *swap, uint32_t count)
{
	size_t size = count * sizeof(struct xdplb_slot);
	void *slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (slots == MAP_FAILED)
		return -errno;
	slots_repeat(swap, slots, count);
	munmap(slots, size);
	return 0;
}

static int table_fill(int fd, const struct table_swap *swap, uint32_t count)
{
	auto_free struct xdplb_slot *slots = xcalloc(count, sizeof(*slots));
	auto_free uint32_t *keys = xcalloc(count, sizeof(*keys));

	slots_repeat(swap, slots, count);
	for (uint32_t i = 0; i < count; i++)
		keys[i] = i;
	return bpf_map_update_batch(fd, keys, slots, &count, NULL) ? -errno : 0;
}

/* How many slots the datapath takes the table to have: what its pool's row says now. */
static uint32_t slots_published(const struct dataplane *dp, uint32_t row)
{
	uint32_t pool = row / XDPLB_FAMILIES;
	struct xdplb_pool now;

	if (bpf_map_lookup_elem(dp->fd.pools, &pool, &now) || !now.used)
		return 0;
	return now.slots[row % XDPLB_FAMILIES];
}

/*
 * The pool's row is written after the swap, and before it when undoing: in
 * between the datapath takes slots of the other count. So a table that shrinks
 * keeps its size, filled up with repetitions.
 */
static int table_make(const struct dataplane *dp, const struct table_swap *swap)
{
	uint32_t count = slots_published(dp, swap->row);
	auto_fd int fd = -1;
	int ret;

	if (count < swap->slots || !count)
		count = swap->slots ? swap->slots : 1;
	fd = table_create(dp, count);
	if (fd < 0)
		return fd;
	if (dp->table_flags & BPF_F_MMAPABLE)
		ret = table_fill_mapped(fd, swap, count);
	else
		ret = table_fill(fd, swap, count);
	return ret ? ret : take_fd(&fd);
}

bool table_exists(const struct dataplane *dp, uint32_t row)
{
	uint32_t id;

	return !bpf_map_lookup_elem(dp->fd.tables, &row, &id);
}

/* A table is named by id; opening it by id needs CAP_SYS_ADMIN. */
static void table_keep(const struct dataplane *dp, struct table_swap *swap)
{
	uint32_t id;

	swap->old_fd = -1;
	swap->lost = false;
	if (bpf_map_lookup_elem(dp->fd.tables, &swap->row, &id))
		return;
	swap->old_fd = bpf_map_get_fd_by_id(id);
	swap->lost = swap->old_fd < 0;
}

int tables_swap(struct dataplane *dp, struct table_swap *swaps, size_t count)
{
	uint32_t rows[TABLES_BATCH], done = (uint32_t)count;
	int fds[TABLES_BATCH];
	size_t made = 0;
	int ret = count > TABLES_BATCH ? -E2BIG : 0;

	while (made < count && !ret) {
		rows[made] = swaps[made].row;
		fds[made] = table_make(dp, &swaps[made]);
		if (fds[made] < 0)
			ret = fds[made];
		else
			made++;
	}
	if (!ret) {
		for (size_t i = 0; i < count; i++)
			table_keep(dp, &swaps[i]);
		if (count && bpf_map_update_batch(dp->fd.tables, rows, fds, &done, NULL)) {
			ret = -errno;
			tables_restore(dp, swaps, count);
		}
	}
	for (size_t i = 0; i < made; i++)
		close(fds[i]);
	return ret;
}

size_t tables_restore(struct dataplane *dp, struct table_swap *swaps, size_t count)
{
	uint32_t rows[TABLES_BATCH], kept = 0;
	int fds[TABLES_BATCH];
	size_t lost = 0;

	for (size_t i = 0; i < count; i++) {
		lost += swaps[i].lost;
		if (swaps[i].old_fd < 0)
			continue;
		rows[kept] = swaps[i].row;
		fds[kept++] = swaps[i].old_fd;
	}
	if (kept)
		bpf_map_update_batch(dp->fd.tables, rows, fds, &kept, NULL);
	tables_forget(swaps, count);
	return lost;
}

void tables_forget(struct table_swap *swaps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (swaps[i].old_fd >= 0)
			close(swaps[i].old_fd);
		swaps[i].old_fd = -1;
	}
}
