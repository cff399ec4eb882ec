// SPDX-License-Identifier: GPL-2.0-only
/* Gathers a snapshot: counters are read from the maps when somebody asks. */
#include "daemon/state.h"

#include <stdlib.h>
#include <string.h>

#include "api/endpoint.h"
#include "config/schema.h"
#include "xdplb/endian.h"

static const char *const mode_words[] = { [XDPLB_MODE_NAT] = "nat" };

/* The configuration's own word for @balance. */
static const char *balance_word(uint32_t balance)
{
	const struct field *field = field_find(pool_mapping.fields, "balance");

	for (const struct word *word = field->words; word->word; word++) {
		if (word->value == balance)
			return word->word;
	}
	return "";
}

static void traffic_take(struct snap_traffic *traffic, const struct xdplb_stats *stats)
{
	traffic->connections = stats->connections;
	/* Summed over CPUs one after the other: a flow may end on one that was already read. */
	traffic->active_flows =
		stats->connections > stats->ended ? stats->connections - stats->ended : 0;
	memcpy(traffic->packets, stats->packets, sizeof(traffic->packets));
	memcpy(traffic->bytes, stats->bytes, sizeof(traffic->bytes));
}

/* What its routes look for, what nobody looked for, and what was met under earlier routes. */
static void sniffed_gather(struct daemon *d, size_t index, struct snap_service *snap)
{
	const struct cfg_service *service = &model_config(d->model)->services[index];
	uint64_t counts[XDPLB_PROTOCOL_MAX];
	uint32_t shown = 1U << XDPLB_PROTOCOL_NONE;

	dataplane_sniffed(d->dp, model_service_id(d->model, index), counts);
	for (size_t i = 0; i < service->route_count; i++)
		shown |= 1U << service->routes[i].match.protocol;
	for (uint32_t i = 0; i < XDPLB_PROTOCOL_MAX; i++) {
		struct snap_sniffed *sniffed;

		if (!(shown & 1U << i) && !counts[i])
			continue;
		sniffed = array_push(snap->sniffed, snap->sniffed_count);
		sniffed->protocol = protocol_word(i);
		sniffed->count = counts[i];
	}
}

static void service_gather(struct daemon *d, size_t index, struct snap_service *snap)
{
	const struct config *config = model_config(d->model);
	const struct cfg_service *service = &config->services[index];
	struct xdplb_stats stats = { 0 };

	snap->name = service->name;
	snap->mode = mode_words[service->mode];
	if (service->pool != CFG_NO_POOL)
		snap->pool = config->pools[service->pool].name;
	snap->listeners = xcalloc(service->listener_count, sizeof(*snap->listeners));
	snap->listener_count = service->listener_count;
	for (size_t i = 0; i < service->listener_count; i++)
		snap->listeners[i] = service->listeners[i].text;
	dataplane_service_stats(d->dp, model_service_id(d->model, index), &stats);
	traffic_take(&snap->traffic, &stats);
	if (service->route_count)
		sniffed_gather(d, index, snap);
}

/* Ports of all source addresses of the backend's family. */
static uint64_t ports_max(const struct daemon *d, const struct model_backend *backend)
{
	const struct xdplb_addr *addr = &backend->addr;
	bool v4 = !addr->w[0] && !addr->w[1] && addr->w[2] == to_be32(0xffff);
	const struct xdplb_nat_range *range = &d->written.nat[v4 ? XDPLB_V4 : XDPLB_V6];
	const struct config *config = model_config(d->model);
	uint64_t ports = (uint64_t)(config->nat_port_max - config->nat_port_min) + 1;

	return ports * (range->count ? range->count : 1);
}

struct gather {
	struct daemon *d;
	struct snapshot *snapshot;
};

static void backend_gather(struct gather *gather, const struct model_backend *backend,
			   struct snap_pool *snap_pool)
{
	struct daemon *d = gather->d;
	struct snap_backend *snap = array_push(snap_pool->backends, snap_pool->backend_count);
	const struct cfg_pool *pool = model_pool_by_id(d->model, backend->pool_id);
	struct xdplb_backend_state state = { 0 };
	struct xdplb_stats stats = { 0 };
	char text[ENDPOINT_LEN];

	endpoint_format(&backend->addr, backend->port, text);
	snap->address = backend->config ? backend->config->address :
					  snapshot_keep(gather->snapshot, text);
	snap->state = model_backend_state(backend, pool);
	snap->why = d->why[backend->id] ? d->why[backend->id] : "";
	snap->up = model_backend_usable(backend, pool);
	snap->resolved = backend->resolved;
	snap->removed = !backend->config;
	snap->weight = backend->config ? backend->config->weight : 0;
	dataplane_backend_stats(d->dp, backend->id, &stats);
	dataplane_backend_state(d->dp, backend->id, &state);
	traffic_take(&snap->traffic, &stats);
	snap->traffic.active_flows = state.active;
	snap->ports_used = state.ports_used;
	snap->ports_max = ports_max(d, backend);
}

static void pool_gather(struct gather *gather, size_t index)
{
	const struct cfg_pool *pool = &model_config(gather->d->model)->pools[index];
	struct snap_pool *snap = array_push(gather->snapshot->pools, gather->snapshot->pool_count);

	snap->name = pool->name;
	snap->balance = balance_word(pool->balance);
	for (size_t i = 0; i < pool->backend_count; i++)
		backend_gather(gather, model_backend(gather->d->model, index, i), snap);
}

/* Where a removed backend is shown: in its pool, or in one that is there only for its sake. */
static struct snap_pool *pool_of_removed(struct gather *gather, uint32_t pool_id)
{
	const struct config *config = model_config(gather->d->model);
	const struct cfg_pool *pool = model_pool_by_id(gather->d->model, pool_id);
	const struct entries *written = &gather->d->written;
	struct snapshot *snapshot = gather->snapshot;
	struct snap_pool *snap;

	if (pool)
		return &snapshot->pools[pool - config->pools];
	for (size_t i = 0; i < written->pool_count; i++) {
		const struct entry_pool *entry = &written->pools[i];

		if (entry->id != pool_id)
			continue;
		for (size_t j = config->pool_count; j < snapshot->pool_count; j++) {
			if (!strcmp(snapshot->pools[j].name, entry->row.name))
				return &snapshot->pools[j];
		}
		snap = array_push(snapshot->pools, snapshot->pool_count);
		snap->name = entry->row.name;
		snap->balance = balance_word(entry->row.balance);
		return snap;
	}
	return NULL;
}

/* Shown while flows go on; what remains of closed ones is of no interest. */
static void removed_gather(void *arg, struct model_backend *backend)
{
	struct xdplb_backend_state state = { 0 };
	struct gather *gather = arg;
	struct snap_pool *snap;

	if (backend->config)
		return;
	dataplane_backend_state(gather->d->dp, backend->id, &state);
	snap = state.active ? pool_of_removed(gather, backend->pool_id) : NULL;
	if (snap)
		backend_gather(gather, backend, snap);
}

static void interfaces_gather(struct daemon *d, struct snapshot *snapshot, bool in_file)
{
	for (size_t i = 0; i < d->interface_count; i++) {
		const struct interface *interface = &d->interfaces[i];
		const char *mode = interface->native ? "native" : "generic";
		struct snap_interface *snap;

		if (interface->off || interface->in_file != in_file)
			continue;
		snap = array_push(snapshot->interfaces, snapshot->interface_count);
		snap->name = interface->name;
		snap->mode = interface->attached ? mode : "gone";
	}
}

static void tables_gather(struct daemon *d, struct snapshot *snapshot)
{
	struct xdplb_gauges gauges = { 0 };

	dataplane_gauges(d->dp, &gauges);
	snapshot->tables[0] = (struct snap_table){ .name = "flows",
						   .used = gauges.flows_used,
						   .max = dataplane_flow_table(d->dp) };
	snapshot->tables[1] = (struct snap_table){ .name = "embryos",
						   .used = gauges.embryos_used,
						   .max = dataplane_embryo_table(d->dp) };
}

static void sniffing_gather(const struct daemon *d, struct snap_sniffing *snap)
{
	struct worker_totals totals;
	const struct worker_thread *sum = &totals.thread;

	worker_stats_sum(d, &totals);
	*snap = (struct snap_sniffing){ .threads = totals.threads,
					.connections = sum->engine.connections,
					.datagram_flows = sum->engine.datagram_flows,
					.bytes = sum->engine.bytes,
					.packets = { sum->rx, sum->tx },
					.dropped = sum->engine.dropped + sum->rx_invalid +
						   sum->tx_full,
					.restarts = totals.restarts };
}

void daemon_gather(void *arg, struct snapshot *snapshot)
{
	struct gather gather = { .d = arg, .snapshot = snapshot };
	struct daemon *d = arg;
	const struct config *config = model_config(d->model);

	snapshot->version = XDPLB_VERSION;
	snapshot->file = d->options->file;
	snapshot->pid = (uint32_t)getpid();
	snapshot->reload_ok = d->reload_ok;
	snapshot->reload_time = d->reload_time;
	interfaces_gather(d, snapshot, true);
	interfaces_gather(d, snapshot, false); /* attached by command */
	snapshot->services = xcalloc(config->service_count, sizeof(*snapshot->services));
	snapshot->service_count = config->service_count;
	for (size_t i = 0; i < config->service_count; i++)
		service_gather(d, i, &snapshot->services[i]);
	for (size_t i = 0; i < config->pool_count; i++)
		pool_gather(&gather, i);
	model_each_backend(d->model, removed_gather, &gather);
	tables_gather(d, snapshot);
	sniffing_gather(d, &snapshot->sniffing);
	dataplane_outcomes(d->dp, snapshot->outcomes);
	dataplane_events(d->dp, snapshot->events);
}

void daemon_gather_status(void *arg, struct snapshot *snapshot)
{
	size_t count;
	char **warnings = daemon_warnings(arg, &count);

	daemon_gather(arg, snapshot);
	snapshot->warnings = xcalloc(count, sizeof(*snapshot->warnings));
	for (size_t i = 0; i < count; i++)
		snapshot->warnings[i] = snapshot_keep(snapshot, warnings[i]);
	snapshot->warning_count = count;
	warnings_free(warnings, count);
}
