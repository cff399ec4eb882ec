// SPDX-License-Identifier: GPL-2.0-only
/* Routes of the configuration: what becomes of them in the rows, in the workers' rules, in a reload's lines. */
#include "config/load.h"
#include "model_fixture.h"
#include "sniff/rules.h"
#include "base/clock.h"

#define HEAD                                                    \
	"interfaces: [eth0]\n"                                  \
	"pools:\n"                                              \
	"  a: { backends: [10.1.0.11:1, '[2001:db8::1]:1'] }\n" \
	"  b: { backends: [10.1.0.12:2] }\n"                    \
	"  c: { backends: [10.1.0.13:3] }\n"                    \
	"services:\n"

static const char mux[] = HEAD
	"  plain: { listen: tcp://192.0.2.10:80, pool: c }\n"
	"  mux:\n"
	"    listen: [tcp://192.0.2.10:443, udp://192.0.2.10:443, 'tcp://[2001:db8::10]:443']\n"
	"    source: client\n"
	"    routes:\n"
	"      - { match: { protocol: tls, server_name: [A.example., '*.B.example'], alpn: h2 },\n"
	"          pool: a, idle_timeout: 1h }\n"
	"      - { match: { protocol: http, host: c.example }, pool: b }\n"
	"      - { match: { protocol: regex, pattern: ['^X', '^Y'] }, pool: a }\n"
	"    sniff_timeout: 5s\n"
	"    pool: b\n";

static struct config parsed(const char *text)
{
	struct cfg_error err = { "" };
	struct config config;

	if (!config_parse(text, strlen(text), "lb.yaml", &config, &err))
		fail_msg("%s", err.text);
	return config;
}

static struct model *model_of(const char *text)
{
	struct model *model = model_new();

	fixture_set(model, parsed(text));
	return model;
}

/* The row of the listener at @port over @proto. */
static struct xdplb_service row_of_port(const struct model *model, uint8_t proto, uint16_t port)
{
	struct xdplb_service row = { .id = UINT32_MAX };
	struct entries entries;

	render(model, &entries);
	for (size_t i = 0; i < entries.service_count; i++)
		if (entries.services[i].key.proto == proto &&
		    entries.services[i].key.port == to_be16(port))
			row = entries.services[i].row;
	entries_free(&entries);
	assert_int_not_equal(row.id, UINT32_MAX);
	return row;
}

static uint32_t pool_row(const struct model *model, const char *name)
{
	const struct config *config = model_config(model);

	for (size_t i = 0; i < config->pool_count; i++)
		if (!strcmp(config->pools[i].name, name))
			return model_pool_id(model, i);
	return UINT32_MAX;
}

/* ---- rows of services */
static void each_listener_that_a_route_runs_over_is_sniffed(void **state)
{
	struct model *model = model_of(mux);
	struct xdplb_service row;

	(void)state;
	row = row_of_port(model, IPPROTO_TCP, 443);
	assert_int_equal(row.flags, XDPLB_SERVICE_SNIFF | XDPLB_SERVICE_SOURCE_CLIENT);
	assert_int_equal(row.pool, pool_row(model, "b"));
	row = row_of_port(model, IPPROTO_UDP, 443); /* regex runs over both */
	assert_int_equal(row.flags, XDPLB_SERVICE_SNIFF | XDPLB_SERVICE_SOURCE_CLIENT);
	row = row_of_port(model, IPPROTO_TCP, 80);
	assert_int_equal(row.flags, 0);
	assert_int_equal(row.pool, pool_row(model, "c"));
	model_free(model);
}

static void a_listener_that_no_route_runs_over_goes_to_the_pool_at_once(void **state)
{
	struct model *model = model_of(HEAD
				       "  mux:\n"
				       "    listen: [tcp://192.0.2.10:443, udp://192.0.2.10:443]\n"
				       "    routes: [{ match: { protocol: quic }, pool: a }]\n"
				       "    pool: b\n");

	(void)state;
	assert_int_equal(row_of_port(model, IPPROTO_UDP, 443).flags, XDPLB_SERVICE_SNIFF);
	assert_int_equal(row_of_port(model, IPPROTO_TCP, 443).flags, 0);
	assert_int_equal(row_of_port(model, IPPROTO_TCP, 443).pool, pool_row(model, "b"));
	model_free(model);
}

static void without_a_pool_a_row_names_none_and_its_routes_pools_are_rendered(void **state)
{
	struct model *model = model_of(HEAD
				       "  mux:\n"
				       "    listen: tcp://192.0.2.10:443\n"
				       "    routes: [{ match: { protocol: ssh }, pool: a }]\n");
	struct rules *rules = render_rules(model);
	struct entries entries;

	(void)state;
	assert_int_equal(row_of_port(model, IPPROTO_TCP, 443).pool, XDPLB_NO_POOL);
	assert_int_equal(rules->sets[0].pool, RULES_NO_POOL);
	render(model, &entries);
	assert_int_equal(entries.pool_count, 3);
	assert_int_equal(entries.pools[pool_row(model, "a")].row.slots[XDPLB_V6], 4093);
	entries_free(&entries);
	rules_free(rules);
	model_free(model);
}

/* ---- rules */
static void rules_say_what_the_file_says(void **state)
{
	struct model *model = model_of(mux);
	struct rules *rules = render_rules(model);
	const struct rule_set *set = &rules->sets[0];

	(void)state;
	assert_int_equal(rules->count, 1);
	assert_int_equal(set->service, model_service_id(model, 1));
	assert_int_equal(set->pool, pool_row(model, "b"));
	assert_int_equal(set->sniff_timeout_ms, 5000);
	assert_int_equal(set->idle_ticks_tcp, ticks_of_ms(7440000));
	assert_int_equal(set->idle_ticks_udp, ticks_of_ms(30000));
	assert_true(set->keep_address);
	assert_int_equal(set->rule_count, 3);
	assert_int_equal(set->rules[0].protocol, XDPLB_PROTOCOL_TLS);
	assert_int_equal(set->rules[0].name_count, 2);
	assert_string_equal(set->rules[0].names[0], "a.example");
	assert_string_equal(set->rules[0].names[1], "*.b.example");
	assert_int_equal(set->rules[0].alpn_count, 1);
	assert_string_equal(set->rules[0].alpn[0], "h2");
	assert_int_equal(set->rules[0].pool, pool_row(model, "a"));
	assert_int_equal(set->rules[0].idle_ticks, ticks_of_ms(3600000));
	assert_int_equal(set->rules[1].protocol, XDPLB_PROTOCOL_HTTP);
	assert_string_equal(set->rules[1].names[0], "c.example");
	assert_null(set->rules[1].alpn);
	assert_int_equal(set->rules[1].idle_ticks, 0);
	assert_int_equal(set->rules[2].pattern_count, 2);
	assert_string_equal(set->rules[2].patterns[1], "^Y");
	assert_null(set->rules[2].names);
	rules_free(rules);
	model_free(model);
}

static void rules_survive_the_way_to_the_worker(void **state)
{
	struct model *model = model_of(mux);
	struct rules *rules = render_rules(model), *there;
	char *text = rules_format(rules), *again;

	(void)state;
	assert_non_null(text);
	there = rules_parse(text, strlen(text));
	assert_non_null(there);
	again = rules_format(there);
	assert_string_equal(again, text);
	assert_non_null(rules_find(there, model_service_id(model, 1)));
	assert_null(rules_find(there, model_service_id(model, 0)));
	free(text);
	free(again);
	rules_free(rules);
	rules_free(there);
	model_free(model);
}

static void services_of_any_order_are_sorted_by_id(void **state)
{
	static const char names[] = "zyx";
	struct model *model = model_new();
	struct rules *rules;

	(void)state;
	for (int turn = 0; turn < 2; turn++) { /* ids stay, the file's order turns round */
		auto_free char *text = xasprintf("%s", HEAD);

		for (int i = 0; i < 3; i++) {
			char *more =
				xasprintf("%s  %c: { listen: tcp://192.0.2.10:%d, "
					  "routes: [{ match: { protocol: ssh }, pool: a }] }\n",
					  text, names[turn ? 2 - i : i], 80 + i);

			free(text);
			text = more;
		}
		fixture_set(model, parsed(text));
	}
	rules = render_rules(model);
	assert_int_equal(rules->count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(rules->sets[i].service, i);
	rules_free(rules);
	model_free(model);
}

static void a_model_without_routes_has_no_rules(void **state)
{
	struct model *model = model_new();
	struct rules *rules = render_rules(model);

	(void)state;
	assert_int_equal(rules->count, 0);
	rules_free(rules);
	fixture_set(model, fixture_web());
	rules = render_rules(model);
	assert_int_equal(rules->count, 0);
	rules_free(rules);
	model_free(model);
}

/* ---- what a reload says */
static void reload_says(const char *from, const char *to, const char *want)
{
	struct config before = parsed(from), after = parsed(to);
	const struct plan nothing = { 0 };
	char *have = plan_describe(&nothing, &before, &after);

	assert_string_equal(have, want);
	free(have);
	config_free(&before);
	config_free(&after);
}

#define MUX(routes, rest) HEAD "  mux:\n    listen: tcp://192.0.2.10:443\n" routes rest
#define ROUTES(list) "    routes: [" list "]\n"
#define SSH "{ match: { protocol: ssh }, pool: a },"
#define TLS "{ match: { protocol: tls, server_name: a.example }, pool: a },"
#define TLS2 "{ match: { protocol: tls, server_name: [a.example, b.example] }, pool: b },"
#define RDP "{ match: { protocol: rdp }, pool: c, idle_timeout: 2m },"
#define POOL "    pool: c\n"

static void a_reload_names_the_routes_that_changed(void **state)
{
	(void)state;
	reload_says(MUX(ROUTES(SSH TLS), POOL), MUX(ROUTES(SSH TLS), POOL), "");
	reload_says(MUX(ROUTES(SSH RDP), POOL), MUX(ROUTES(SSH TLS RDP), POOL),
		    "service mux: route 2 added: tls server_name a.example to pool a\n");
	reload_says(MUX(ROUTES(SSH TLS RDP), POOL), MUX(ROUTES(TLS RDP), POOL),
		    "service mux: route 1 removed: ssh to pool a\n");
	reload_says(MUX(ROUTES(SSH TLS RDP), POOL), MUX(ROUTES(SSH TLS2 RDP), POOL),
		    "service mux: route 2 match server_name a.example -> a.example, b.example\n"
		    "service mux: route 2 pool a -> b\n");
	reload_says(MUX(ROUTES(SSH RDP), POOL), MUX(ROUTES(RDP SSH), POOL),
		    "service mux: route 1 idle_timeout the service's -> 2m\n"
		    "service mux: route 1 match protocol ssh -> rdp\n"
		    "service mux: route 1 pool a -> c\n"
		    "service mux: route 2 idle_timeout 2m -> the service's\n"
		    "service mux: route 2 match protocol rdp -> ssh\n"
		    "service mux: route 2 pool c -> a\n");
}

static void a_reload_names_the_pool_and_the_patience(void **state)
{
	(void)state;
	reload_says(MUX(ROUTES(SSH), POOL), MUX(ROUTES(SSH), "    sniff_timeout: 1s\n"),
		    "service mux: pool c -> none\n"
		    "service mux: sniff_timeout 3s -> 1s\n");
	reload_says(MUX("", POOL), MUX(ROUTES(SSH), POOL),
		    "service mux: route 1 added: ssh to pool a\n");
	reload_says(MUX(ROUTES(SSH), ""), MUX("", POOL),
		    "service mux: pool none -> c\n"
		    "service mux: route 1 removed: ssh to pool a\n");
}

/* ---- values */
static void names_are_taken_as_they_are_compared(void **state)
{
	struct config config =
		parsed(MUX(ROUTES("{ match: { protocol: http, host: [C.Example., '*.d.EXAMPLE.', "
				  "'[2001:DB8:0::1]', 192.0.2.10] }, pool: a }"),
			   ""));
	const struct cfg_texts *hosts = &config.services[0].routes[0].match.hosts;

	(void)state;
	assert_int_equal(hosts->count, 4);
	assert_string_equal(hosts->texts[0].text, "c.example");
	assert_string_equal(hosts->texts[1].text, "*.d.example");
	assert_string_equal(hosts->texts[2].text, "[2001:db8::1]");
	assert_string_equal(hosts->texts[3].text, "192.0.2.10");
	assert_int_equal(config.services[0].pool, CFG_NO_POOL);
	assert_int_equal(config.services[0].sniff_timeout_ms, 3000);
	assert_int_equal(config.warning_count, 0);
	config_free(&config);
}

static void every_word_of_the_protocols_but_unknown_is_taken(void **state)
{
	(void)state;
	for (uint32_t protocol = XDPLB_PROTOCOL_NONE + 1; protocol < XDPLB_PROTOCOL_MAX;
	     protocol++) {
		auto_free char *text =
			xasprintf(HEAD "  mux:\n"
				       "    listen: [tcp://192.0.2.10:443, udp://192.0.2.10:443]\n"
				       "    pool: a\n"
				       "    routes: [{ match: { protocol: %s%s }, pool: a }]\n",
				  protocol_word(protocol),
				  protocol == XDPLB_PROTOCOL_REGEX ? ", pattern: '^A'" : "");
		struct config config = parsed(text);

		assert_int_equal(config.services[0].routes[0].match.protocol, protocol);
		config_free(&config);
	}
}

static void as_many_routes_as_there_can_be_are_taken_and_no_more(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		struct config config;
		struct cfg_error err;
		char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		fputs(HEAD "  mux:\n    listen: tcp://192.0.2.10:443\n    routes:\n", out);
		for (int i = 0; i < 16384 + more; i++)
			fprintf(out,
				"    - { match: { protocol: tls, server_name: a%d }, pool: a }\n",
				i);
		fclose(out);
		assert_int_equal(config_parse(text, size, "lb.yaml", &config, &err), !more);
		free(text);
		if (more)
			assert_string_equal(err.text,
					    "lb.yaml:16394:7: routes: there can be 16384 at most");
		else
			config_free(&config);
	}
}

/* 16,000 routes of one service, whose names all have wildcards to be looked up under. */
static void many_routes_load_at_once(void **state)
{
	uint64_t start_ns = clock_now_ns();
	struct cfg_error err;
	struct config config;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	fputs(HEAD "  mux:\n    listen: tcp://192.0.2.10:443\n    routes:\n", out);
	for (int i = 0; i < 16000; i++)
		fprintf(out,
			"    - { match: { protocol: tls, server_name: [a%d.b.c.d.e.example, "
			"'*.x%d.example'] }, pool: a }\n",
			i, i);
	fputs("    - { match: { protocol: tls, server_name: [y.x7.example] }, pool: b }\n", out);
	fclose(out);
	assert_true(config_parse(text, size, "lb.yaml", &config, &err));
	assert_int_equal(config.warning_count, 1);
	assert_non_null(strstr(config.warnings[0], "route 16001 of service 'mux' is never reached: "
						   "route 8, in line 17,"));
	assert_true(clock_now_ns() - start_ns < 20000000000U);
	config_free(&config);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_listener_that_a_route_runs_over_is_sniffed),
		cmocka_unit_test(a_listener_that_no_route_runs_over_goes_to_the_pool_at_once),
		cmocka_unit_test(without_a_pool_a_row_names_none_and_its_routes_pools_are_rendered),
		cmocka_unit_test(rules_say_what_the_file_says),
		cmocka_unit_test(rules_survive_the_way_to_the_worker),
		cmocka_unit_test(services_of_any_order_are_sorted_by_id),
		cmocka_unit_test(a_model_without_routes_has_no_rules),
		cmocka_unit_test(a_reload_names_the_routes_that_changed),
		cmocka_unit_test(a_reload_names_the_pool_and_the_patience),
		cmocka_unit_test(names_are_taken_as_they_are_compared),
		cmocka_unit_test(every_word_of_the_protocols_but_unknown_is_taken),
		cmocka_unit_test(as_many_routes_as_there_can_be_are_taken_and_no_more),
		cmocka_unit_test(many_routes_load_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
