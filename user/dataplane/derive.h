/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DERIVE_H
#define XDPLB_DERIVE_H

/*
 * What follows from options alone: map sizes, keys, names of pins. Pure, and
 * the same on every node and in every version: pins and choices depend on it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DP_MAX_FLOW_TABLE (1U << 24) /* what a slot of flow_index can name */

struct dp_sizes {
	uint32_t flows, embryos, buckets; /* rows of flows, embryos and flow_index */
};

/* False: @flow_table is out of range. */
bool derive_sizes(uint32_t flow_table, struct dp_sizes *sizes);

/* True if maps of these sizes can have been made by derive_sizes() of some version. */
bool derive_sizes_valid(const struct dp_sizes *sizes);

/* Stretches the hash seed to the key that selects backends: word i is SipHash-2-4 of i. */
void derive_select_key(const uint8_t seed[16], uint64_t key[4]);

/*
 * "link_IFNAME": bpffs reserves dots, so those (and %) are written %2e (and
 * %25). Both return false if the name does not fit or is not one of ours.
 */
#define DP_LINK_NAME_SIZE 64
bool derive_link_name(const char *ifname, char name[DP_LINK_NAME_SIZE]);
bool derive_link_ifname(const char *name, char ifname[16]);

#endif /* XDPLB_DERIVE_H */
