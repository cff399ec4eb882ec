// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/flow_row.h"
#include "cli/pinned.h"

struct listing {
	const struct pinned *pinned;
	struct flow_filter filter;
	bool json;
	uint32_t now_tick;
	uint64_t shown;
};

static void print_json(struct listing *listing, const struct flow_row *row)
{
	json_t *object = flow_row_json(row);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	if (text)
		printf("%s%s", listing->shown ? ",\n" : "", text);
	free(text);
	json_decref(object);
}

static void print_line(struct listing *listing, const struct flow_row *row)
{
	char client[ENDPOINT_LEN], listener[ENDPOINT_LEN];
	char source[ENDPOINT_LEN], backend[ENDPOINT_LEN];

	endpoint_format(&row->client, row->client_port, client);
	endpoint_format(&row->listener, row->listener_port, listener);
	endpoint_format(&row->source, row->source_port, source);
	endpoint_format(&row->backend, row->backend_port, backend);
	if (!listing->shown)
		printf("%-5s %-12s %-21s %-21s %-21s %-21s %-11s %10s %10s\n", "PROTO", "SERVICE",
		       "CLIENT", "LISTENER", "SOURCE", "BACKEND", "STATE", "IDLE", "AGE");
	printf("%-5s %-12s %-21s %-21s %-21s %-21s %-11s %9u.%us %8u.%us%s%s%s%s\n", row->protocol,
	       row->service, client, listener, source, backend, row->state, row->idle_ms / 1000,
	       row->idle_ms % 1000 / 100, row->age_ms / 1000, row->age_ms % 1000 / 100,
	       row->sniffed ? " " : "", row->sniffed ? row->sniffed : "", *row->name ? " " : "",
	       row->name);
}

static bool flow_visit(void *arg, const struct xdplb_flow *flow)
{
	uint32_t ids = flow->half[XDPLB_TO_BACKEND].ids;
	struct listing *listing = arg;
	struct flow_row row;

	flow_row_make(flow, pinned_service_name(listing->pinned, XDPLB_IDS_SERVICE(ids)),
		      pinned_backend_pool(listing->pinned, XDPLB_IDS_BACKEND(ids)),
		      listing->now_tick, &row);
	if (!flow_filter_matches(&listing->filter, &row))
		return true;
	if (listing->json)
		print_json(listing, &row);
	else
		print_line(listing, &row);
	listing->shown++;
	return !ferror(stdout);
}

static bool filter_take(const struct cli *cli, enum cli_option option,
			struct endpoint_filter *filter)
{
	const char *text = cli->option[option];

	if (!text || endpoint_filter_parse(text, filter))
		return true;
	cli_fail(cli, EXIT_USAGE, "'%s' is not ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT", text);
	return false;
}

int cli_flows(const struct cli *cli)
{
	struct listing listing = { .filter = { .service = cli->option[OPTION_SERVICE] },
				   .json = cli->option[OPTION_JSON] };
	struct pinned *pinned;
	struct dp_error err;

	if (!filter_take(cli, OPTION_BACKEND, &listing.filter.backend) ||
	    !filter_take(cli, OPTION_CLIENT, &listing.filter.client))
		return EXIT_USAGE;
	if (pinned_open(cli->bpffs, &pinned, &err))
		return cli_fail(cli, EXIT_FAILED, "%s", err.text);
	listing.pinned = pinned;
	listing.now_tick = clock_now_tick();
	if (listing.json)
		fputs("[", stdout);
	pinned_each_flow(pinned, flow_visit, &listing);
	if (listing.json)
		fputs("]\n", stdout);
	pinned_close(pinned);
	return fflush(stdout) ? EXIT_FAILED : 0;
}
