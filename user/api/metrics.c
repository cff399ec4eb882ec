// SPDX-License-Identifier: GPL-2.0-only
#include "api/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <event2/buffer.h>

#include "api/outcome_doc.h"

#define LINE_MAX_BYTES 2048 /* names are short; one that is not is cut, never overflows */

static const char *const directions[XDPLB_DIRS] = { "in", "out" };

/* One line of samples under construction: `name{label="value",label="value"} number`. */
struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
	bool labelled;
};

static void line_put(struct line *line, char c)
{
	if (line->len < sizeof(line->text))
		line->text[line->len++] = c;
}

static void line_add(struct line *line, const char *text)
{
	for (; *text; text++)
		line_put(line, *text);
}

static void line_start(struct line *line, const char *name)
{
	line->len = 0;
	line->labelled = false;
	line_add(line, name);
}

/* Backslash, quote and newline are what the format asks to escape. */
static void line_label(struct line *line, const char *label, const char *value)
{
	line_put(line, line->labelled ? ',' : '{');
	line->labelled = true;
	line_add(line, label);
	line_add(line, "=\"");
	for (; *value && line->len < sizeof(line->text) - 64; value++) {
		if (*value == '\\' || *value == '"')
			line_put(line, '\\');
		if (*value == '\n')
			line_add(line, "\\n");
		else
			line_put(line, *value);
	}
	line_put(line, '"');
}

static void line_end(struct line *line, uint64_t value, struct evbuffer *out)
{
	char number[32];

	snprintf(number, sizeof(number), "%s %" PRIu64 "\n", line->labelled ? "}" : "", value);
	line_add(line, number);
	evbuffer_add(out, line->text, line->len);
}

struct metric {
	const char *name, *type, *help;
	void (*samples)(const struct metric *metric, const struct snapshot *snapshot,
			struct evbuffer *out);
	size_t member; /* where in struct snap_service, snap_backend or snap_table the number stands */
};

static uint64_t number_at(const void *row, size_t member)
{
	uint64_t number;

	memcpy(&number, (const char *)row + member, sizeof(number));
	return number;
}

static void build_info(const struct metric *metric, const struct snapshot *snapshot,
		       struct evbuffer *out)
{
	struct line line;

	line_start(&line, metric->name);
	line_label(&line, "version", snapshot->version);
	line_end(&line, 1, out);
}

static void reload_successful(const struct metric *metric, const struct snapshot *snapshot,
			      struct evbuffer *out)
{
	evbuffer_add_printf(out, "%s %d\n", metric->name, snapshot->reload_ok);
}

static void reload_timestamp(const struct metric *metric, const struct snapshot *snapshot,
			     struct evbuffer *out)
{
	evbuffer_add_printf(out, "%s %.3f\n", metric->name, snapshot->reload_time);
}

static void services(const struct metric *metric, const struct snapshot *snapshot,
		     struct evbuffer *out)
{
	for (size_t i = 0; i < snapshot->service_count; i++) {
		const struct snap_service *service = &snapshot->services[i];
		struct line line;

		line_start(&line, metric->name);
		line_label(&line, "service", service->name);
		line_end(&line, number_at(service, metric->member), out);
	}
}

static void services_by_direction(const struct metric *metric, const struct snapshot *snapshot,
				  struct evbuffer *out)
{
	for (size_t i = 0; i < snapshot->service_count * XDPLB_DIRS; i++) {
		const struct snap_service *service = &snapshot->services[i / XDPLB_DIRS];
		size_t dir = i % XDPLB_DIRS;
		struct line line;

		line_start(&line, metric->name);
		line_label(&line, "service", service->name);
		line_label(&line, "direction", directions[dir]);
		line_end(&line, number_at(service, metric->member + dir * sizeof(uint64_t)), out);
	}
}

static void backend_start(struct line *line, const char *name, const struct snap_pool *pool,
			  const struct snap_backend *backend)
{
	line_start(line, name);
	line_label(line, "pool", pool->name);
	line_label(line, "backend", backend->address);
}

static void backends(const struct metric *metric, const struct snapshot *snapshot,
		     struct evbuffer *out)
{
	for (size_t i = 0; i < snapshot->pool_count; i++) {
		const struct snap_pool *pool = &snapshot->pools[i];

		for (size_t j = 0; j < pool->backend_count; j++) {
			struct line line;

			backend_start(&line, metric->name, pool, &pool->backends[j]);
			line_end(&line, number_at(&pool->backends[j], metric->member), out);
		}
	}
}

static void backends_by_direction(const struct metric *metric, const struct snapshot *snapshot,
				  struct evbuffer *out)
{
	for (size_t i = 0; i < snapshot->pool_count; i++) {
		const struct snap_pool *pool = &snapshot->pools[i];

		for (size_t j = 0; j < pool->backend_count * XDPLB_DIRS; j++) {
			const struct snap_backend *backend = &pool->backends[j / XDPLB_DIRS];
			size_t dir = j % XDPLB_DIRS;
			struct line line;

			backend_start(&line, metric->name, pool, backend);
			line_label(&line, "direction", directions[dir]);
			line_end(&line, number_at(backend, metric->member + dir * sizeof(uint64_t)),
				 out);
		}
	}
}

static void tables(const struct metric *metric, const struct snapshot *snapshot,
		   struct evbuffer *out)
{
	for (size_t i = 0; i < SNAP_TABLES; i++) {
		struct line line;

		line_start(&line, metric->name);
		line_label(&line, "table", snapshot->tables[i].name);
		line_end(&line, number_at(&snapshot->tables[i], metric->member), out);
	}
}

static void outcomes(const struct metric *metric, const struct snapshot *snapshot,
		     struct evbuffer *out)
{
	for (int i = 0; i < XDPLB_OUTCOME_MAX; i++) {
		char label[OUTCOME_LABEL_LEN];
		struct line line;

		outcome_label((enum xdplb_outcome)i, label);
		line_start(&line, metric->name);
		line_label(&line, "outcome", label);
		line_end(&line, snapshot->outcomes[i], out);
	}
}

static void flow_events(const struct metric *metric, const struct snapshot *snapshot,
			struct evbuffer *out)
{
	for (int i = 0; i < XDPLB_EVENT_MAX; i++) {
		char label[OUTCOME_LABEL_LEN];
		struct line line;

		event_label((enum xdplb_event)i, label);
		line_start(&line, metric->name);
		line_label(&line, "event", label);
		line_end(&line, snapshot->events[i], out);
	}
}

static void sniffed(const struct metric *metric, const struct snapshot *snapshot,
		    struct evbuffer *out)
{
	for (size_t i = 0; i < snapshot->service_count; i++) {
		const struct snap_service *service = &snapshot->services[i];

		for (size_t j = 0; j < service->sniffed_count; j++) {
			struct line line;

			line_start(&line, metric->name);
			line_label(&line, "service", service->name);
			line_label(&line, "protocol", service->sniffed[j].protocol);
			line_end(&line, service->sniffed[j].count, out);
		}
	}
}

static void sniffing(const struct metric *metric, const struct snapshot *snapshot,
		     struct evbuffer *out)
{
	struct line line;

	line_start(&line, metric->name);
	line_end(&line, number_at(&snapshot->sniffing, metric->member), out);
}

static void sniffing_by_direction(const struct metric *metric, const struct snapshot *snapshot,
				  struct evbuffer *out)
{
	for (size_t dir = 0; dir < XDPLB_DIRS; dir++) {
		struct line line;

		line_start(&line, metric->name);
		line_label(&line, "direction", directions[dir]);
		line_end(&line,
			 number_at(&snapshot->sniffing, metric->member + dir * sizeof(uint64_t)),
			 out);
	}
}

#define OF_SERVICE(member) offsetof(struct snap_service, traffic.member)
#define OF_BACKEND(member) offsetof(struct snap_backend, member)
#define OF_SNIFFING(member) offsetof(struct snap_sniffing, member)
#define OF_TABLE(member) offsetof(struct snap_table, member)

/* clang-format off */
static const struct metric metrics[] = {
	{ "xdplb_build_info", "gauge",
	  "Always 1; the label says which version runs.", build_info, 0 },
	{ "xdplb_config_last_reload_successful", "gauge",
	  "1 if the configuration file as last read was taken up, 0 if refused.", reload_successful, 0 },
	{ "xdplb_config_last_reload_success_timestamp_seconds", "gauge",
	  "When a configuration was last taken up.", reload_timestamp, 0 },
	{ "xdplb_service_connections_total", "counter",
	  "Flows of the service for which a backend was chosen.", services, OF_SERVICE(connections) },
	{ "xdplb_service_active_flows", "gauge",
	  "Flows of the service that have not ended.", services, OF_SERVICE(active_flows) },
	{ "xdplb_service_packets_total", "counter",
	  "Packets of the service: in to a backend, out to a client.", services_by_direction, OF_SERVICE(packets) },
	{ "xdplb_service_bytes_total", "counter",
	  "Bytes of the service, as IP lengths.", services_by_direction, OF_SERVICE(bytes) },
	{ "xdplb_backend_up", "gauge",
	  "1 if the backend's health lets it have new flows, else 0.", backends, OF_BACKEND(up) },
	{ "xdplb_backend_weight", "gauge",
	  "Weight as configured; 0 drains.", backends, OF_BACKEND(weight) },
	{ "xdplb_backend_connections_total", "counter",
	  "Flows for which the backend was chosen.", backends, OF_BACKEND(traffic.connections) },
	{ "xdplb_backend_active_flows", "gauge",
	  "Flows of the backend that have not ended.", backends, OF_BACKEND(traffic.active_flows) },
	{ "xdplb_backend_packets_total", "counter",
	  "Packets of the backend: in to it, out from it to a client.", backends_by_direction, OF_BACKEND(traffic.packets) },
	{ "xdplb_backend_bytes_total", "counter",
	  "Bytes of the backend, as IP lengths.", backends_by_direction, OF_BACKEND(traffic.bytes) },
	{ "xdplb_nat_ports_used", "gauge",
	  "Source ports reserved towards the backend.", backends, OF_BACKEND(ports_used) },
	{ "xdplb_nat_ports_max", "gauge",
	  "Source ports there are towards the backend.", backends, OF_BACKEND(ports_max) },
	{ "xdplb_flows", "gauge",
	  "Rows in use: established flows, and embryos (unanswered or closed).", tables, OF_TABLE(used) },
	{ "xdplb_flows_max", "gauge",
	  "Rows there are.", tables, OF_TABLE(max) },
	{ "xdplb_outcomes_total", "counter",
	  "Packets by what became of them, see docs/outcomes.md.", outcomes, 0 },
	{ "xdplb_flow_events_total", "counter",
	  "What happened to flows beside their packets, see docs/outcomes.md.", flow_events, 0 },
	{ "xdplb_sniffed_total", "counter",
	  "Flows by the protocol that their first bytes showed.", sniffed, 0 },
	{ "xdplb_sniffing_connections", "gauge",
	  "TCP connections of which the first bytes are awaited.", sniffing, OF_SNIFFING(connections) },
	{ "xdplb_sniffing_datagram_flows", "gauge",
	  "UDP flows of which the first datagrams are held.", sniffing, OF_SNIFFING(datagram_flows) },
	{ "xdplb_sniffing_held_bytes", "gauge",
	  "Bytes held of these.", sniffing, OF_SNIFFING(bytes) },
	{ "xdplb_worker_packets_total", "counter",
	  "Packets that passed through the workers: in from XDP, out by themselves.", sniffing_by_direction, OF_SNIFFING(packets) },
	{ "xdplb_worker_dropped_total", "counter",
	  "Packets that the workers could do nothing with, or had no room for.", sniffing, OF_SNIFFING(dropped) },
	{ "xdplb_worker_threads", "gauge",
	  "Interface queues that a worker looks after.", sniffing, OF_SNIFFING(threads) },
	{ "xdplb_worker_restarts_total", "counter",
	  "Times the workers' process was replaced since the daemon started.", sniffing, OF_SNIFFING(restarts) },
};
/* clang-format on */

void metrics_render(const struct snapshot *snapshot, struct evbuffer *out)
{
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		const struct metric *metric = &metrics[i];

		evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
				    metric->name, metric->type);
		metric->samples(metric, snapshot, out);
	}
}
