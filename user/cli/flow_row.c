// SPDX-License-Identifier: GPL-2.0-only
#include "cli/flow_row.h"

#include <string.h>

#include "config/config.h"
#include "xdplb/endian.h"

bool endpoint_filter_parse(const char *text, struct endpoint_filter *filter)
{
	filter->set = endpoint_parse(text, &filter->addr, &filter->port);
	return filter->set;
}

static struct xdplb_addr addr_make(bool v6, const __be32 high[3], __be32 last)
{
	struct xdplb_addr addr = { .w = { 0, 0, to_be32(0xffff), last } };

	if (v6)
		memcpy(addr.w, high, 3 * sizeof(high[0]));
	return addr;
}

static uint32_t ms_since(uint32_t now_tick, uint32_t tick)
{
	int32_t ticks = (int32_t)(now_tick - tick);

	/* One of this very moment may be a tick ahead of us. */
	return ticks > 0 ? (uint32_t)(((uint64_t)ticks << XDPLB_TICK_SHIFT) / 1000000) : 0;
}

static const char *state_word(uint32_t state)
{
	switch (state) {
	case XDPLB_FLOW_UNANSWERED:
		return "unanswered";
	case XDPLB_FLOW_ANSWERED:
		return "answered";
	case XDPLB_FLOW_ESTABLISHED:
		return "established";
	case XDPLB_FLOW_CLOSED:
		return "closed";
	default:
		return "changing";
	}
}

static void sniffed_take(const struct xdplb_splice *splice, struct flow_row *row)
{
	bool cut = splice->name_len > sizeof(splice->name);
	size_t len = cut ? sizeof(splice->name) : splice->name_len;

	row->sniffed = protocol_word(splice->protocol);
	memcpy(row->name, cut ? "..." : "", cut ? 3 : 0);
	memcpy(row->name + (cut ? 3 : 0), splice->name, len);
}

void flow_row_make(const struct xdplb_flow *flow, const char *service, const char *pool,
		   uint32_t now_tick, struct flow_row *row)
{
	const struct xdplb_half *in = &flow->half[XDPLB_TO_BACKEND];
	const struct xdplb_half *out = &flow->half[XDPLB_TO_CLIENT];
	bool v6 = in->flags & XDPLB_HALF_V6;
	uint32_t idle_in = ms_since(now_tick, in->seen_tick);
	uint32_t idle_out = ms_since(now_tick, out->seen_tick);

	*row = (struct flow_row){
		.service = service,
		.pool = pool,
		.protocol = in->proto == IPPROTO_UDP ? "udp" : "tcp",
		.state = state_word(in->state),
		.client = addr_make(v6, in->src_hi, in->src),
		.client_port = (uint16_t)from_be16(in->sport),
		.listener = addr_make(v6, in->dst_hi, in->dst),
		.listener_port = (uint16_t)from_be16(in->dport),
		.source = addr_make(v6, in->new_src_hi, in->new_src),
		.source_port = (uint16_t)from_be16(in->new_sport),
		.backend = addr_make(v6, in->new_dst_hi, in->new_dst),
		.backend_port = (uint16_t)from_be16(in->new_dport),
		.idle_ms = idle_in < idle_out ? idle_in : idle_out,
		.age_ms = ms_since(now_tick, in->born_tick),
	};
	if (in->flags & XDPLB_HALF_SNIFFED)
		sniffed_take(&flow->splice, row);
}

static bool endpoint_matches(const struct endpoint_filter *filter, const struct xdplb_addr *addr,
			     uint16_t port)
{
	return !filter->set || (!memcmp(&filter->addr, addr, sizeof(*addr)) &&
				(!filter->port || filter->port == port));
}

bool flow_filter_matches(const struct flow_filter *filter, const struct flow_row *row)
{
	return (!filter->service || !strcmp(filter->service, row->service)) &&
	       endpoint_matches(&filter->backend, &row->backend, row->backend_port) &&
	       endpoint_matches(&filter->client, &row->client, row->client_port);
}

static json_t *endpoint_json(const struct xdplb_addr *addr, uint16_t port)
{
	char text[ENDPOINT_LEN];

	endpoint_format(addr, port, text);
	return json_string(text);
}

json_t *flow_row_json(const struct flow_row *row)
{
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:s, s:I, s:I, s:s*, s:s*}",
			 "service", row->service, "pool", row->pool, "backend",
			 endpoint_json(&row->backend, row->backend_port), "protocol", row->protocol,
			 "client", endpoint_json(&row->client, row->client_port), "listener",
			 endpoint_json(&row->listener, row->listener_port), "source",
			 endpoint_json(&row->source, row->source_port), "state", row->state,
			 "idle_ms", (json_int_t)row->idle_ms, "age_ms", (json_int_t)row->age_ms,
			 "sniffed", row->sniffed, "name", row->sniffed ? row->name : NULL);
}
