/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_BPF_FLOW_INDEX_H
#define XDPLB_BPF_FLOW_INDEX_H

/*
 * The index of flow.h: from the hash of a tuple to the row that holds it. Used
 * by flow.h alone.
 *
 * A key may stand in either of two buckets of eight slots; the first is
 * preferred while one of its first six is free, so that an established packet
 * reads one cache line here. A slot holds 38 bits of the hash, so that only a
 * row whose tuple will match is looked at. Readers take no lock. Who inserts
 * holds the lock of the key's first bucket, so a key goes in once; slots change
 * by compare and swap alone, so a row can be exchanged for another at no moment
 * of absence.
 *
 * Functions that take numbers only are not static: the verifier then looks at
 * each once, not at every call.
 */
#include "maps.h"
#include "xdplb/flow_hash.h"

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

#define INDEX_PREFER_FIRST 6
#define INDEX_FULL (~0ULL)

static __always_inline __u64 index_fingerprint(__u64 hash)
{
	return hash >> XDPLB_SLOT_FP_SHIFT << XDPLB_SLOT_FP_SHIFT;
}

static __always_inline __u32 index_row_first(__u64 hash, __u32 mask)
{
	return (__u32)hash & mask;
}

/* Far from the first, and a different one for most that share the first. */
static __always_inline __u32 index_row_second(__u64 hash, __u32 mask)
{
	return ((__u32)hash ^ ((__u32)(hash >> 32) * 0x9e3779b1U | 1)) & mask;
}

static __always_inline struct xdplb_bucket *index_first(__u64 hash)
{
	__u32 row = index_row_first(hash, index_mask);

	return bpf_map_lookup_elem(&flow_index, &row);
}

static __always_inline struct xdplb_bucket *index_second(__u64 hash)
{
	__u32 row = index_row_second(hash, index_mask);

	return bpf_map_lookup_elem(&flow_index, &row);
}

static __always_inline bool index_same_fingerprint(__u64 a, __u64 b)
{
	return (a ^ b) >> XDPLB_SLOT_FP_SHIFT == 0;
}

/* The first slot of @bucket with the fingerprint of @hash, 0: none. */
static __always_inline __u64 index_match(struct xdplb_bucket *bucket, __u64 hash)
{
#pragma unroll
	for (int i = 0; i < XDPLB_BUCKET_SLOTS; i++) {
		__u64 slot = READ_ONCE(bucket->slot[i]);

		if (index_same_fingerprint(slot, hash) && slot)
			return slot;
	}
	return 0;
}

/* The slot of the key in its second bucket, 0: none. */
static __always_inline __u64 index_find_second(__u64 hash)
{
	struct xdplb_bucket *second = index_second(hash);

	return second ? index_match(second, hash) : 0;
}

/* Exchanges @from for @to (0: removes it) in one bucket; false: it isn't there. */
static __always_inline bool bucket_replace(struct xdplb_bucket *bucket, __u64 from, __u64 to)
{
	for (int i = 0; i < XDPLB_BUCKET_SLOTS; i++) {
		if (READ_ONCE(bucket->slot[i]) == from &&
		    __sync_val_compare_and_swap(&bucket->slot[i], from, to) == from)
			return true;
	}
	return false;
}

__noinline bool index_replace(__u64 hash, __u64 from, __u64 to)
{
	struct xdplb_bucket *first = index_first(hash), *second;

	if (!first)
		return false;
	if (bucket_replace(first, from, to))
		return true;
	second = index_second(hash);
	return second && bucket_replace(second, from, to);
}

/* Without branches: eight of them would be 256 ways for the verifier to walk. */
static __always_inline __u32 bucket_free(struct xdplb_bucket *bucket)
{
	__u64 used = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < XDPLB_BUCKET_SLOTS; i++) {
		__u64 slot = READ_ONCE(bucket->slot[i]), negative = -slot;

		__asm__("" : "+r"(negative)); /* or the compiler makes a comparison of it */
		used += (slot | negative) >> 63;
	}
	return XDPLB_BUCKET_SLOTS - (__u32)used;
}

/* Takes one of the first @count slots of @bucket, if one is free. */
static __always_inline bool bucket_take(struct xdplb_bucket *bucket, int count, __u64 slot)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < count; i++) {
		if (READ_ONCE(bucket->slot[i]) == 0 &&
		    __sync_val_compare_and_swap(&bucket->slot[i], 0, slot) == 0)
			return true;
	}
	return false;
}

/* Takes a free slot in the emptier of two buckets, the first of which is rather full. */
static __always_inline bool index_take(struct xdplb_bucket *first, struct xdplb_bucket *second,
				       __u64 slot)
{
	if (bucket_free(second) <= bucket_free(first) &&
	    bucket_take(first, XDPLB_BUCKET_SLOTS, slot))
		return true;
	return bucket_take(second, XDPLB_BUCKET_SLOTS, slot) ||
	       bucket_take(first, XDPLB_BUCKET_SLOTS, slot);
}

/*
 * Puts @slot in, unless its fingerprint is there already: 0 when done, the
 * slot that is there, or INDEX_FULL when neither bucket has room. Two keys
 * with one fingerprint are taken for the same: once in 2^35 insertions.
 */
__noinline __u64 index_insert(__u64 hash, __u64 slot)
{
	__u32 row = (__u32)hash & (XDPLB_INDEX_LOCKS - 1);
	struct xdplb_bucket *first = index_first(hash), *second = index_second(hash);
	struct index_lock *lock = bpf_map_lookup_elem(&index_locks, &row);
	__u64 there;

	if (!first || !second || !lock)
		return INDEX_FULL;
	bpf_spin_lock(&lock->lock);
	there = index_match(first, hash);
	if (!there)
		there = index_match(second, hash);
	if (!there && !bucket_take(first, INDEX_PREFER_FIRST, slot) &&
	    !index_take(first, second, slot))
		there = INDEX_FULL;
	bpf_spin_unlock(&lock->lock);
	return there;
}

#endif /* XDPLB_BPF_FLOW_INDEX_H */
