/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CLI_PINNED_H
#define XDPLB_CLI_PINNED_H

/* The pinned maps, only read: a daemon, if there is one, does not notice. */
#include "dataplane/dataplane.h"

struct pinned;

int pinned_open(const char *bpffs, struct pinned **pinned, struct dp_error *err);
void pinned_close(struct pinned *pinned); /* NULL is allowed */

/* Names by row; "" where there is none any more. */
const char *pinned_service_name(const struct pinned *pinned, uint32_t id);
const char *pinned_backend_pool(const struct pinned *pinned, uint32_t id);

/* Visits every flow (a consistent copy of each), established ones first; false from @visit ends it. */
void pinned_each_flow(const struct pinned *pinned,
		      bool (*visit)(void *arg, const struct xdplb_flow *flow), void *arg);

#endif /* XDPLB_CLI_PINNED_H */
