// SPDX-License-Identifier: GPL-2.0-only
/*
 * Segments in any order, with any overlap and loss: the collector holds what a
 * naive one that remembers each byte holds, as far as it did not refuse, and
 * never more than its bounds. Each segment lies in memory that ends with it.
 */
#include <stdlib.h>
#include <string.h>

#include "worker/collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool holds)
{
	if (!holds)
		abort();
}

struct naive {
	uint8_t byte[COLLECT_MAX];
	bool have[COLLECT_MAX];
	size_t len;
};

static void naive_add(struct naive *n, const struct collect *in, int32_t at, const uint8_t *data,
		      size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int64_t pos = (int64_t)at + (int64_t)i;

		if (pos < 0 || pos >= COLLECT_MAX || pos >= in->fin || n->have[pos])
			continue;
		n->have[pos] = true;
		n->byte[pos] = data[i];
	}
	while (n->len < COLLECT_MAX && n->have[n->len])
		n->len++;
}

static void compare(const struct naive *n, const struct collect *in)
{
	uint32_t from = 0, to = in->len;

	require(in->len == n->len && in->spans <= COLLECT_SPANS);
	require(in->size < COLLECT_MAX + 4096 && collect_end(in) <= COLLECT_MAX);
	for (unsigned i = 0; i <= in->spans; i++) {
		require(from <= to && to <= in->size);
		if (to > from)
			require(!memcmp(in->data + from, n->byte + from, to - from));
		if (i == in->spans)
			break;
		require(in->span[i].from > to && in->span[i].to > in->span[i].from);
		for (; to < in->span[i].from; to++)
			require(!n->have[to]);
		from = in->span[i].from;
		to = in->span[i].to;
	}
	for (; to < COLLECT_MAX; to++)
		require(!n->have[to]);
}

/* Six bytes of the input make a segment: offset, length, what is in it, and what else. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct collect in = COLLECT_EMPTY;
	static struct naive n;

	memset(&n, 0, sizeof(n));
	for (; len >= 6; data += 6, len -= 6) {
		int32_t at = data[0] << 8 | data[1];
		size_t size = (size_t)(data[2] << 8 | data[3]) % 3000;
		uint8_t *segment = malloc(size + !size);
		size_t before = in.size, growth;
		enum collect_result result;
		uint32_t was = in.len;

		if (data[5] & 1)
			at = (at % 64) * 100;
		if (data[5] & 2)
			at -= 1000;
		if (data[5] & 4)
			at = (int32_t)((uint32_t)at << 16);
		for (size_t i = 0; i < size; i++)
			segment[i] = (uint8_t)(data[4] + i);
		if (data[5] == 0xff)
			collect_fin(&in, at);
		growth = collect_growth(&in, (int64_t)at + (int64_t)size);
		result = collect_add(&in, at, segment, size);
		require(in.size == before || in.size == before + growth);
		if (result != COLLECT_REFUSED)
			naive_add(&n, &in, at, segment, size);
		require((result == COLLECT_GREW) == (in.len > was));
		compare(&n, &in);
		free(segment);
	}
	collect_free(&in);
	return 0;
}
