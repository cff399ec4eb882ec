/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_WORKER_COLLECT_H
#define XDPLB_WORKER_COLLECT_H

/*
 * A client's first bytes, put in order (RFC 9293, 3.10.7.4): segments may come
 * swapped, repeated and overlapping; of bytes that come twice the first ones
 * win, so what was judged is what is sent on. Offsets count from the byte
 * behind the client's SYN. Bounded: COLLECT_MAX bytes, COLLECT_SPANS pieces
 * behind the first hole; what is beyond is left for the client to repeat.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sniff/sniff.h"

#define COLLECT_MAX SNIFF_STREAM_MAX
#define COLLECT_SPANS 8
#define COLLECT_NO_FIN UINT16_MAX

struct collect_span {
	uint16_t from, to;
};

struct collect {
	uint8_t *data; /* NULL: nothing yet */
	uint16_t size; /* of data */
	uint16_t len; /* bytes without a hole */
	uint16_t fin; /* offset of the FIN, COLLECT_NO_FIN: none yet */
	uint8_t spans; /* pieces behind a hole */
	uint8_t pad;
	struct collect_span span[COLLECT_SPANS]; /* in order, apart from each other and from len */
};

enum collect_result {
	COLLECT_GREW, /* len did */
	COLLECT_HELD, /* new bytes behind a hole */
	COLLECT_OLD, /* nothing that is not there already */
	COLLECT_REFUSED /* new bytes beyond the bounds, or no memory: as if lost */
};

#define COLLECT_EMPTY                 \
	{                             \
		.fin = COLLECT_NO_FIN \
	}

/* @len bytes at offset @at, which may lie before the first. */
enum collect_result collect_add(struct collect *in, int32_t at, const uint8_t *data, size_t len);

/* A FIN at offset @at; of several the first that can be true counts. */
void collect_fin(struct collect *in, int32_t at);

/* Bytes that collect_add() would allocate beyond in->size for a segment that ends at @end. */
size_t collect_growth(const struct collect *in, int64_t end);

/* Have all bytes come that the client will ever send? */
static inline bool collect_ended(const struct collect *in)
{
	return in->fin == in->len;
}

/* Offset behind the last byte that is there. */
static inline uint32_t collect_end(const struct collect *in)
{
	return in->spans ? in->span[in->spans - 1].to : in->len;
}

void collect_free(struct collect *in);

#endif /* XDPLB_WORKER_COLLECT_H */
