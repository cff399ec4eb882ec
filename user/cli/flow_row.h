/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CLI_FLOW_ROW_H
#define XDPLB_CLI_FLOW_ROW_H

/* A flow of the tables as `xdplb flows` shows it, and which of them it shows. Pure. */
#include <jansson.h>

#include "api/endpoint.h"
#include "xdplb/abi.h"

struct flow_row {
	const char *service, *pool; /* borrowed; "" where the name is gone */
	const char *protocol, *state; /* constant */
	const char *sniffed; /* what its first bytes showed, constant; NULL: it was not sniffed */
	char name[XDPLB_SPLICE_NAME + 4]; /* SNI or host, "" none; cut in front: "...le.example" */
	struct xdplb_addr client, listener, source, backend;
	uint16_t client_port, listener_port, source_port, backend_port; /* host order */
	uint32_t idle_ms, age_ms;
};

struct endpoint_filter {
	bool set;
	struct xdplb_addr addr;
	uint16_t port; /* 0: any */
};

struct flow_filter {
	const char *service; /* NULL: any */
	struct endpoint_filter backend, client;
};

/* False: @text is no ADDRESS or ADDRESS:PORT. */
bool endpoint_filter_parse(const char *text, struct endpoint_filter *filter);

/* @service and @pool are the names of the flow's; all of @row is filled. */
void flow_row_make(const struct xdplb_flow *flow, const char *service, const char *pool,
		   uint32_t now_tick, struct flow_row *row);

bool flow_filter_matches(const struct flow_filter *filter, const struct flow_row *row);

/* Caller owns the reference. */
json_t *flow_row_json(const struct flow_row *row);

#endif /* XDPLB_CLI_FLOW_ROW_H */
