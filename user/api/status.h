/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_STATUS_H
#define XDPLB_API_STATUS_H

/* A snapshot as the document of `status --json` and GET /api/v1/status. */
#include <jansson.h>

#include "api/snapshot.h"

struct evbuffer;

/* Caller owns the reference. */
json_t *status_document(const struct snapshot *snapshot);

/* Appends @json to @out, compact, in one line without the newline. */
void json_render(const json_t *json, struct evbuffer *out);

#endif /* XDPLB_API_STATUS_H */
