/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_API_METRICS_H
#define XDPLB_API_METRICS_H

/* A snapshot in Prometheus' text format, appended to @out. */
#include "api/snapshot.h"

struct evbuffer;

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_render(const struct snapshot *snapshot, struct evbuffer *out);

#endif /* XDPLB_API_METRICS_H */
