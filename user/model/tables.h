/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TABLES_H
#define XDPLB_TABLES_H

/*
 * Selection tables from inside: what one is made of, and how large it gets.
 * The input is gathered first; its digest says whether a table is still right
 * without building it.
 */
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"
#include "xdplb/endian.h"

struct table_member {
	struct xdplb_addr addr;
	uint32_t id; /* row of backends */
	uint32_t weight; /* 1 or more */
	uint16_t port;
	uint16_t pad;
};

struct table_input {
	uint32_t balance; /* enum xdplb_balance */
	uint32_t size; /* slots where the configuration fixes them, else 0 */
	struct table_member *members; /* that get new flows, in the order that counts */
	size_t count;
};

static inline enum xdplb_family addr_family(const struct xdplb_addr *addr)
{
	return !addr->w[0] && !addr->w[1] && addr->w[2] == to_be32(0xffff) ? XDPLB_V4 : XDPLB_V6;
}

/* Caller frees input->members. */
void table_gather(const struct model *model, uint32_t pool_id, enum xdplb_family family,
		  struct table_input *input);

uint64_t table_digest(const struct table_input *input); /* 0: no members */
uint32_t table_slots(const struct table_input *input);

/*
 * Fills @count (a prime) slots, all zero before, so that each member has its
 * weight's share, and few slots change hands when members come and go. Members
 * sorted by address and port.
 */
void maglev_fill(const struct table_member *members, size_t member_count, struct xdplb_slot *slots,
		 uint32_t count);

/* Fills @count slots in the order of smooth weighted round-robin. */
void smooth_fill(const struct table_member *members, size_t member_count, struct xdplb_slot *slots,
		 uint32_t count);

#endif /* XDPLB_TABLES_H */
