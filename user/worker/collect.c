// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "worker/collect.h"

#define SIZE_FIRST 256 /* most first flights of clients are a few hundred bytes */
#define SIZE_STEP 4096

/* The room for @end bytes: powers of two, then pages, so that idle halves of a hello stay small. */
static size_t size_for(size_t end)
{
	size_t size = SIZE_FIRST;

	while (size < end)
		size = size < SIZE_STEP ? size * 2 : size + SIZE_STEP;
	return size;
}

size_t collect_growth(const struct collect *in, int64_t end)
{
	if (end > COLLECT_MAX)
		end = COLLECT_MAX;
	return end <= in->size ? 0 : size_for((size_t)end) - in->size;
}

static bool make_room(struct collect *in, size_t end)
{
	size_t size = size_for(end);
	uint8_t *data;

	if (end <= in->size)
		return true;
	data = realloc(in->data, size);
	if (!data)
		return false;
	in->data = data;
	in->size = (uint16_t)size;
	return true;
}

/* Copies what of [from, to) is not there yet; @data begins at offset @from. */
static bool copy_new(struct collect *in, uint32_t from, uint32_t to, const uint8_t *data)
{
	uint32_t at = from;
	bool any = false;

	for (unsigned i = 0; at < to; i++) {
		uint32_t hole_end = i < in->spans ? in->span[i].from : to;

		if (hole_end > to)
			hole_end = to;
		if (at < hole_end) {
			memcpy(in->data + at, data + (at - from), hole_end - at);
			any = true;
		}
		if (i == in->spans)
			break;
		if (at < in->span[i].to)
			at = in->span[i].to;
	}
	return any;
}

/* Spans [*first, *last) touch [from, to): they and it become one. */
static void find_touching(const struct collect *in, uint32_t from, uint32_t to, unsigned *first,
			  unsigned *last)
{
	*first = 0;
	while (*first < in->spans && in->span[*first].to < from)
		(*first)++;
	*last = *first;
	while (*last < in->spans && in->span[*last].from <= to)
		(*last)++;
}

static void remove_spans(struct collect *in, unsigned first, unsigned last)
{
	memmove(&in->span[first], &in->span[last], (in->spans - last) * sizeof(in->span[0]));
	in->spans = (uint8_t)(in->spans - (last - first));
}

static void insert_span(struct collect *in, unsigned at, uint32_t from, uint32_t to)
{
	memmove(&in->span[at + 1], &in->span[at], (in->spans - at) * sizeof(in->span[0]));
	in->span[at] = (struct collect_span){ (uint16_t)from, (uint16_t)to };
	in->spans++;
}

/* [from, to), from >= len, is there now: one prefix, and spans that don't touch. */
static void merge(struct collect *in, uint32_t from, uint32_t to)
{
	unsigned first, last;

	find_touching(in, from, to, &first, &last);
	if (first < last) {
		if (in->span[first].from < from)
			from = in->span[first].from;
		if (in->span[last - 1].to > to)
			to = in->span[last - 1].to;
		remove_spans(in, first, last);
	}
	if (from <= in->len)
		in->len = (uint16_t)to;
	else
		insert_span(in, first, from, to);
}

static bool has_place(const struct collect *in, uint32_t from, uint32_t to)
{
	unsigned first, last;

	if (from <= in->len || in->spans < COLLECT_SPANS)
		return true;
	find_touching(in, from, to, &first, &last);
	return first < last;
}

enum collect_result collect_add(struct collect *in, int32_t at, const uint8_t *data, size_t len)
{
	uint32_t limit = in->fin < COLLECT_MAX ? in->fin : COLLECT_MAX;
	int64_t from = at, to = (int64_t)at + (int64_t)len;
	bool beyond = to > limit;

	if (from < in->len)
		from = in->len;
	if (to > limit)
		to = limit;
	if (from >= to)
		return beyond ? COLLECT_REFUSED : COLLECT_OLD;
	if (!has_place(in, (uint32_t)from, (uint32_t)to) || !make_room(in, (size_t)to))
		return COLLECT_REFUSED;
	if (!copy_new(in, (uint32_t)from, (uint32_t)to, data + (from - at)))
		return COLLECT_OLD;
	at = in->len;
	merge(in, (uint32_t)from, (uint32_t)to);
	return in->len > at ? COLLECT_GREW : COLLECT_HELD;
}

void collect_fin(struct collect *in, int32_t at)
{
	if (in->fin == COLLECT_NO_FIN && at >= 0 && at <= COLLECT_MAX &&
	    (uint32_t)at >= collect_end(in))
		in->fin = (uint16_t)at;
}

void collect_free(struct collect *in)
{
	free(in->data);
	*in = (struct collect)COLLECT_EMPTY;
}
