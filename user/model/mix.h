/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_MIX_H
#define XDPLB_MIX_H

/*
 * A 64-bit hash of words, for rows, digests and permutations: what stands in
 * the configuration is nobody's attack, so it is fast, not secret. Tables on
 * all nodes and digests in pinned maps depend on it: changing it moves flows.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MIX_FIRST 0x6a09e667f3bcc909ULL /* behind the point of sqrt(2) and sqrt(3) */
#define MIX_SECOND 0xbb67ae8584caa73bULL

/* Takes one more word in; every bit of both reaches every bit of the result. */
static inline uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * MIX_FIRST;
	hash = (hash ^ hash >> 32) * MIX_SECOND;
	return hash ^ hash >> 29;
}

static inline uint64_t mix_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (; size;) {
		size_t part = size < sizeof(uint64_t) ? size : sizeof(uint64_t);
		uint64_t word = 0;

		memcpy(&word, at, part);
		hash = mix(hash, word + part);
		at += part;
		size -= part;
	}
	return hash;
}

#endif /* XDPLB_MIX_H */
