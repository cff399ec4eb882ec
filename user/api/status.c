// SPDX-License-Identifier: GPL-2.0-only
#include "api/status.h"

#include <event2/buffer.h>

#include "api/outcome_doc.h"

/* Counters beyond 2^63 would not fit JSON's integers; nobody counts that far. */
static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Text that is no UTF-8 (a name from an odd file) is shown as such instead of breaking the document. */
static json_t *text(const char *value)
{
	json_t *string = json_string(value ? value : "");

	return string ? string : json_string("(not UTF-8)");
}

static void traffic_add(json_t *object, const struct snap_traffic *traffic)
{
	json_object_set_new(object, "connections", number(traffic->connections));
	json_object_set_new(object, "active_flows", number(traffic->active_flows));
	json_object_set_new(object, "packets_in", number(traffic->packets[XDPLB_TO_BACKEND]));
	json_object_set_new(object, "packets_out", number(traffic->packets[XDPLB_TO_CLIENT]));
	json_object_set_new(object, "bytes_in", number(traffic->bytes[XDPLB_TO_BACKEND]));
	json_object_set_new(object, "bytes_out", number(traffic->bytes[XDPLB_TO_CLIENT]));
}

static json_t *interfaces_document(const struct snapshot *snapshot)
{
	json_t *array = json_array();

	for (size_t i = 0; i < snapshot->interface_count; i++) {
		json_t *object = json_object();

		json_object_set_new(object, "name", text(snapshot->interfaces[i].name));
		json_object_set_new(object, "mode", text(snapshot->interfaces[i].mode));
		json_array_append_new(array, object);
	}
	return array;
}

static json_t *sniffed_document(const struct snap_service *service)
{
	json_t *object = json_object();

	for (size_t i = 0; i < service->sniffed_count; i++)
		json_object_set_new(object, service->sniffed[i].protocol,
				    number(service->sniffed[i].count));
	return object;
}

static json_t *sniffing_document(const struct snap_sniffing *sniffing)
{
	json_t *object = json_object();

	json_object_set_new(object, "threads", number(sniffing->threads));
	json_object_set_new(object, "connections", number(sniffing->connections));
	json_object_set_new(object, "datagram_flows", number(sniffing->datagram_flows));
	json_object_set_new(object, "held_bytes", number(sniffing->bytes));
	json_object_set_new(object, "restarts", number(sniffing->restarts));
	return object;
}

static json_t *service_document(const struct snap_service *service)
{
	json_t *object = json_object(), *listen = json_array();

	for (size_t i = 0; i < service->listener_count; i++)
		json_array_append_new(listen, text(service->listeners[i]));
	json_object_set_new(object, "mode", text(service->mode));
	json_object_set_new(object, "pool", text(service->pool));
	json_object_set_new(object, "listen", listen);
	if (service->sniffed)
		json_object_set_new(object, "sniffed", sniffed_document(service));
	traffic_add(object, &service->traffic);
	return object;
}

static json_t *backend_document(const struct snap_backend *backend)
{
	json_t *object = json_object();

	json_object_set_new(object, "address", text(backend->address));
	json_object_set_new(object, "weight", number(backend->weight));
	json_object_set_new(object, "state", text(backend->state));
	json_object_set_new(object, "why", text(backend->why));
	json_object_set_new(object, "resolved", json_boolean(backend->resolved));
	json_object_set_new(object, "removed", json_boolean(backend->removed));
	json_object_set_new(object, "nat_ports_used", number(backend->ports_used));
	json_object_set_new(object, "nat_ports_max", number(backend->ports_max));
	traffic_add(object, &backend->traffic);
	return object;
}

static json_t *pool_document(const struct snap_pool *pool)
{
	json_t *object = json_object(), *backends = json_array();

	for (size_t i = 0; i < pool->backend_count; i++)
		json_array_append_new(backends, backend_document(&pool->backends[i]));
	json_object_set_new(object, "balance", text(pool->balance));
	json_object_set_new(object, "backends", backends);
	return object;
}

static json_t *tables_document(const struct snapshot *snapshot)
{
	json_t *tables = json_object();

	for (size_t i = 0; i < SNAP_TABLES; i++) {
		json_t *table = json_object();

		json_object_set_new(table, "used", number(snapshot->tables[i].used));
		json_object_set_new(table, "max", number(snapshot->tables[i].max));
		json_object_set_new(tables, snapshot->tables[i].name, table);
	}
	return tables;
}

static json_t *counts_document(const struct snapshot *snapshot)
{
	json_t *counts = json_object();

	for (int i = 0; i < XDPLB_OUTCOME_MAX; i++) {
		char label[OUTCOME_LABEL_LEN];

		outcome_label((enum xdplb_outcome)i, label);
		json_object_set_new(counts, label, number(snapshot->outcomes[i]));
	}
	return counts;
}

json_t *status_document(const struct snapshot *snapshot)
{
	json_t *document = json_object(), *services = json_object(), *pools = json_object();
	json_t *warnings = json_array();

	for (size_t i = 0; i < snapshot->warning_count; i++)
		json_array_append_new(warnings, text(snapshot->warnings[i]));
	for (size_t i = 0; i < snapshot->service_count; i++)
		json_object_set_new(services, snapshot->services[i].name,
				    service_document(&snapshot->services[i]));
	for (size_t i = 0; i < snapshot->pool_count; i++)
		json_object_set_new(pools, snapshot->pools[i].name,
				    pool_document(&snapshot->pools[i]));
	json_object_set_new(document, "version", text(snapshot->version));
	json_object_set_new(document, "pid", number(snapshot->pid));
	json_object_set_new(document, "config", text(snapshot->file));
	json_object_set_new(document, "last_reload_successful", json_boolean(snapshot->reload_ok));
	json_object_set_new(document, "warnings", warnings);
	json_object_set_new(document, "interfaces", interfaces_document(snapshot));
	json_object_set_new(document, "services", services);
	json_object_set_new(document, "pools", pools);
	json_object_set_new(document, "tables", tables_document(snapshot));
	json_object_set_new(document, "sniffing", sniffing_document(&snapshot->sniffing));
	json_object_set_new(document, "outcomes", counts_document(snapshot));
	return document;
}

static int evbuffer_dump(const char *bytes, size_t len, void *out)
{
	return evbuffer_add(out, bytes, len);
}

void json_render(const json_t *json, struct evbuffer *out)
{
	json_dump_callback(json, evbuffer_dump, out, JSON_COMPACT);
}
