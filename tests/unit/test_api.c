// SPDX-License-Identifier: GPL-2.0-only
/* What the daemon shows of itself, from snapshots made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "api/metrics.h"
#include "api/outcome_doc.h"
#include "api/status.h"

static const char *listeners[] = { "tcp://192.0.2.10:80", "udp://192.0.2.10:80" };

static const char *warnings[] = { "VIP 192.0.2.10 is not an address of this host" };

static struct snap_interface interfaces[] = { { .name = "eth0", .mode = "native" } };

static struct snap_backend backends[] = {
	{ .address = "10.1.0.11:8080",
	  .state = "up",
	  .why = "connected",
	  .up = 1,
	  .resolved = true,
	  .weight = 3,
	  .ports_used = 7,
	  .ports_max = 20001,
	  .traffic = { .connections = 40,
		       .active_flows = 4,
		       .packets = { 400, 300 },
		       .bytes = { 40000, 30000 } } },
	{ .address = "[2001:db8::13]:8080",
	  .state = "down",
	  .why = "connection refused",
	  .weight = 1,
	  .traffic = { .connections = 2 } },
};

static struct snap_service services[] = {
	{ .name = "web",
	  .mode = "nat",
	  .pool = "web",
	  .listeners = listeners,
	  .listener_count = 2,
	  .traffic = { .connections = 42,
		       .active_flows = 4,
		       .packets = { 400, 300 },
		       .bytes = { 40000, 18446744073709551615U } } },
};

static struct snap_pool pools[] = {
	{ .name = "web", .balance = "maglev", .backends = backends, .backend_count = 2 },
};

static struct snapshot snapshot_make(void)
{
	return (struct snapshot){
		.version = "1.2.3",
		.file = "lb.yaml",
		.pid = 77,
		.reload_ok = true,
		.reload_time = 1700000000.5,
		.warnings = warnings,
		.warning_count = 1,
		.interfaces = interfaces,
		.interface_count = 1,
		.services = services,
		.service_count = 1,
		.pools = pools,
		.pool_count = 1,
		.tables = { { .name = "flows", .used = 5, .max = 262144 },
			    { .name = "embryos", .used = 6, .max = 65536 } },
		.outcomes = { [XDPLB_FORWARD_TX] = 9, [XDPLB_RESET_NO_BACKEND] = 3 },
		.events = { [XDPLB_EVENT_PROMOTED] = 8 },
	};
}

/* Caller frees. */
static char *metrics_text(const struct snapshot *snapshot)
{
	struct evbuffer *out = evbuffer_new();
	size_t len;
	char *text;

	metrics_render(snapshot, out);
	len = evbuffer_get_length(out);
	text = calloc(len + 1, 1);
	assert_non_null(text);
	evbuffer_remove(out, text, len);
	evbuffer_free(out);
	return text;
}

static void assert_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	size_t len = strlen(line);

	while (at && ((at != text && at[-1] != '\n') || at[len] != '\n'))
		at = strstr(at + 1, line);
	if (!at)
		fail_msg("no line '%s'", line);
}

static void each_number_of_the_contract_is_a_metric(void **state)
{
	static const char *const lines[] = {
		"xdplb_build_info{version=\"1.2.3\"} 1",
		"xdplb_config_last_reload_successful 1",
		"xdplb_config_last_reload_success_timestamp_seconds 1700000000.500",
		"xdplb_service_connections_total{service=\"web\"} 42",
		"xdplb_service_packets_total{service=\"web\",direction=\"in\"} 400",
		"xdplb_service_packets_total{service=\"web\",direction=\"out\"} 300",
		"xdplb_service_bytes_total{service=\"web\",direction=\"in\"} 40000",
		"xdplb_service_bytes_total{service=\"web\",direction=\"out\"} 18446744073709551615",
		"xdplb_backend_up{pool=\"web\",backend=\"10.1.0.11:8080\"} 1",
		"xdplb_backend_up{pool=\"web\",backend=\"[2001:db8::13]:8080\"} 0",
		"xdplb_backend_weight{pool=\"web\",backend=\"10.1.0.11:8080\"} 3",
		"xdplb_backend_connections_total{pool=\"web\",backend=\"10.1.0.11:8080\"} 40",
		"xdplb_backend_active_flows{pool=\"web\",backend=\"10.1.0.11:8080\"} 4",
		"xdplb_backend_packets_total{pool=\"web\",backend=\"10.1.0.11:8080\","
		"direction=\"out\"} 300",
		"xdplb_backend_bytes_total{pool=\"web\",backend=\"10.1.0.11:8080\","
		"direction=\"in\"} 40000",
		"xdplb_flows{table=\"flows\"} 5",
		"xdplb_flows{table=\"embryos\"} 6",
		"xdplb_flows_max{table=\"flows\"} 262144",
		"xdplb_nat_ports_used{pool=\"web\",backend=\"10.1.0.11:8080\"} 7",
		"xdplb_nat_ports_max{pool=\"web\",backend=\"10.1.0.11:8080\"} 20001",
		"xdplb_outcomes_total{outcome=\"forward_tx\"} 9",
		"xdplb_outcomes_total{outcome=\"reset_no_backend\"} 3",
		"xdplb_flow_events_total{event=\"promoted\"} 8",
	};
	struct snapshot snapshot = snapshot_make();
	char *text = metrics_text(&snapshot);

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_line(text, lines[i]);
	free(text);
}

static void outcomes_that_never_happened_are_shown_as_zero(void **state)
{
	struct snapshot snapshot = snapshot_make();
	char *text = metrics_text(&snapshot);

	(void)state;
	for (int i = 0; i < XDPLB_OUTCOME_MAX; i++) {
		char label[OUTCOME_LABEL_LEN], line[128];

		outcome_label((enum xdplb_outcome)i, label);
		snprintf(line, sizeof(line), "xdplb_outcomes_total{outcome=\"%s\"} %llu", label,
			 (unsigned long long)snapshot.outcomes[i]);
		assert_line(text, line);
	}
	free(text);
}

static void labels_are_escaped(void **state)
{
	struct snapshot snapshot = snapshot_make();
	struct snap_service odd = services[0];
	char *text;

	(void)state;
	odd.name = "a\"b\\c\nd";
	snapshot.services = &odd;
	text = metrics_text(&snapshot);
	assert_line(text, "xdplb_service_connections_total{service=\"a\\\"b\\\\c\\nd\"} 42");
	free(text);
}

static void a_name_without_end_stays_within_its_line(void **state)
{
	struct snapshot snapshot = snapshot_make();
	struct snap_service odd = services[0];
	char *name = malloc(100001), *text;

	(void)state;
	assert_non_null(name);
	memset(name, '"', 100000);
	name[100000] = '\0';
	odd.name = name;
	snapshot.services = &odd;
	text = metrics_text(&snapshot);
	assert_non_null(strstr(text, "\\\"\"} 42\n"));
	free(text);
	free(name);
}

static json_t *at(json_t *document, const char *path)
{
	char key[64];

	while (*path) {
		size_t len = strcspn(path, "/");

		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		if (json_is_array(document))
			document = json_array_get(document, strtoul(key, NULL, 10));
		else
			document = json_object_get(document, key);
		path += len + (path[len] == '/');
	}
	return document;
}

static void the_status_document_is_the_one_of_the_contract(void **state)
{
	struct snapshot snapshot = snapshot_make();
	json_t *document = status_document(&snapshot);

	(void)state;
	assert_string_equal(json_string_value(at(document, "interfaces/0/name")), "eth0");
	assert_string_equal(json_string_value(at(document, "interfaces/0/mode")), "native");
	assert_string_equal(json_string_value(at(document, "services/web/mode")), "nat");
	assert_string_equal(json_string_value(at(document, "services/web/listen/1")),
			    "udp://192.0.2.10:80");
	assert_int_equal(json_integer_value(at(document, "services/web/connections")), 42);
	assert_int_equal(json_integer_value(at(document, "services/web/packets_in")), 400);
	assert_int_equal(json_integer_value(at(document, "services/web/packets_out")), 300);
	assert_int_equal(json_integer_value(at(document, "services/web/bytes_in")), 40000);
	assert_int_equal(json_integer_value(at(document, "services/web/active_flows")), 4);
	assert_string_equal(json_string_value(at(document, "pools/web/balance")), "maglev");
	assert_int_equal(json_array_size(at(document, "pools/web/backends")), 2);
	assert_string_equal(json_string_value(at(document, "pools/web/backends/1/address")),
			    "[2001:db8::13]:8080");
	assert_string_equal(json_string_value(at(document, "pools/web/backends/1/state")), "down");
	assert_int_equal(json_integer_value(at(document, "pools/web/backends/0/weight")), 3);
	assert_int_equal(json_integer_value(at(document, "pools/web/backends/0/connections")), 40);
	assert_int_equal(json_integer_value(at(document, "pools/web/backends/0/active_flows")), 4);
	assert_int_equal(json_integer_value(at(document, "pools/web/backends/0/bytes_out")), 30000);
	assert_int_equal(json_array_size(at(document, "warnings")), 1);
	json_decref(document);
}

static void text_that_is_no_utf8_does_not_break_the_document(void **state)
{
	struct snapshot snapshot = snapshot_make();
	struct evbuffer *out = evbuffer_new();
	json_t *document;

	(void)state;
	snapshot.file = "lb\xff.yaml";
	document = status_document(&snapshot);
	json_render(document, out);
	assert_true(evbuffer_get_length(out) > 100);
	assert_non_null(at(document, "pools/web"));
	assert_non_null(at(document, "config"));
	json_decref(document);
	evbuffer_free(out);
}

static void committed_compare(const char *path, void (*write)(FILE *out))
{
	char *made = NULL, committed[65536];
	size_t len = 0, read;
	FILE *out = open_memstream(&made, &len), *file = fopen(path, "re");

	assert_non_null(out);
	assert_non_null(file);
	write(out);
	fclose(out);
	read = fread(committed, 1, sizeof(committed) - 1, file);
	committed[read] = '\0';
	fclose(file);
	assert_string_equal(committed, made); /* else: build/outcomedoc, see tools/outcomedoc.c */
	free(made);
}

static void the_committed_lists_are_those_in_the_code(void **state)
{
	(void)state;
	committed_compare("docs/outcomes.md", outcome_doc_write);
	committed_compare("docs/protocols.md", protocol_doc_write);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_number_of_the_contract_is_a_metric),
		cmocka_unit_test(outcomes_that_never_happened_are_shown_as_zero),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(a_name_without_end_stays_within_its_line),
		cmocka_unit_test(the_status_document_is_the_one_of_the_contract),
		cmocka_unit_test(text_that_is_no_utf8_does_not_break_the_document),
		cmocka_unit_test(the_committed_lists_are_those_in_the_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
