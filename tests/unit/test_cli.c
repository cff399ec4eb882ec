// SPDX-License-Identifier: GPL-2.0-only
/* The command line taken apart, and flows as `xdplb flows` shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "cli/flow_row.h"

#define WORDS(...) ((char *[]){ "xdplb", __VA_ARGS__, NULL })

static enum cli_parsed parse(char **argv, struct cli *cli)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return cli_parse(argc, argv, cli);
}

static void options_stand_before_or_behind_the_verb(void **state)
{
	struct cli cli;

	(void)state;
	assert_int_equal(parse(WORDS("--run-dir", "/a", "status", "--json"), &cli), CLI_RUN);
	assert_string_equal(cli.verb->name, "status");
	assert_string_equal(cli.run_dir, "/a");
	assert_non_null(cli.option[OPTION_JSON]);
	assert_int_equal(parse(WORDS("status", "--run-dir=/b", "--bpffs", "/c"), &cli), CLI_RUN);
	assert_string_equal(cli.run_dir, "/b");
	assert_string_equal(cli.bpffs, "/c");
}

static void directories_come_from_option_environment_or_default(void **state)
{
	struct cli cli;

	(void)state;
	unsetenv("XDPLB_RUN_DIR");
	unsetenv("XDPLB_BPFFS");
	assert_int_equal(parse(WORDS("stop"), &cli), CLI_RUN);
	assert_string_equal(cli.run_dir, "/run/xdplb");
	assert_string_equal(cli.bpffs, "/sys/fs/bpf/xdplb");
	setenv("XDPLB_RUN_DIR", "/env", 1);
	assert_int_equal(parse(WORDS("stop"), &cli), CLI_RUN);
	assert_string_equal(cli.run_dir, "/env");
	assert_int_equal(parse(WORDS("stop", "--run-dir", "/x"), &cli), CLI_RUN);
	assert_string_equal(cli.run_dir, "/x");
	unsetenv("XDPLB_RUN_DIR");
}

static void names_and_values_are_kept_in_order(void **state)
{
	struct cli cli;

	(void)state;
	assert_int_equal(parse(WORDS("attach", "eth0", "-c", "lb.yaml", "eth1", "--mode=generic"),
			       &cli),
			 CLI_RUN);
	assert_int_equal(cli.name_count, 2);
	assert_string_equal(cli.names[1], "eth1");
	assert_string_equal(cli.option[OPTION_CONFIG], "lb.yaml");
	assert_string_equal(cli.option[OPTION_MODE], "generic");
	assert_int_equal(parse(WORDS("run", "-clb.yaml"), &cli), CLI_RUN);
	assert_string_equal(cli.option[OPTION_CONFIG], "lb.yaml");
	assert_int_equal(parse(WORDS("check", "--", "-odd.yaml"), &cli), CLI_RUN);
	assert_string_equal(cli.names[0], "-odd.yaml");
}

static void a_wrong_command_line_is_refused(void **state)
{
	char **const wrong[] = {
		WORDS("explode"),
		WORDS("--run-dir"),
		WORDS("status", "--jason"),
		WORDS("status", "--json=yes"),
		WORDS("status", "eth0"),
		WORDS("stop", "--json"),
		WORDS("check"),
		WORDS("check", "a", "b"),
		WORDS("attach"),
		WORDS("run", "-c"),
		WORDS("run", "-c", ""),
		WORDS("status", "-x"),
		WORDS("--json"),
	};
	struct cli cli;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse(wrong[i], &cli), CLI_WRONG);
}

static void help_is_given_for_every_verb(void **state)
{
	struct cli cli;

	(void)state;
	assert_int_equal(parse(WORDS("--help"), &cli), CLI_DONE);
	for (size_t i = 0; i < verb_count; i++) {
		char name[32];

		strncpy(name, verbs[i].name, sizeof(name) - 1);
		name[sizeof(name) - 1] = '\0';
		assert_int_equal(parse(WORDS(name, "--help"), &cli), CLI_DONE);
	}
}

static void addresses_are_read_as_they_are_written(void **state)
{
	static const char *const good[] = { "192.0.2.1:80", "[2001:db8::1]:443", "[::1]:65535" };
	static const char *const bad[] = { "",
					   "80",
					   "192.0.2.1:",
					   "192.0.2.1:0",
					   "192.0.2.1:65536",
					   "192.0.2.1:8x",
					   "[192.0.2.1]:80",
					   "[2001:db8::1]8",
					   "[2001:db8::1",
					   "[",
					   "]",
					   "example:80",
					   ":80",
					   "[]:80" };
	char text[ENDPOINT_LEN];
	struct xdplb_addr addr;
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(endpoint_parse(good[i], &addr, &port));
		endpoint_format(&addr, port, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(endpoint_parse(bad[i], &addr, &port));
	assert_true(endpoint_parse("2001:db8::1", &addr, &port));
	assert_int_equal(port, 0);
	assert_true(endpoint_parse("[2001:db8::1]", &addr, &port));
	assert_int_equal(port, 0);
}

static struct xdplb_flow flow_make(void)
{
	struct xdplb_flow flow = { 0 };
	struct xdplb_half *in = &flow.half[XDPLB_TO_BACKEND];

	in->src = inet_addr("198.51.100.7");
	in->sport = htons(40000);
	in->dst = inet_addr("192.0.2.10");
	in->dport = htons(80);
	in->new_src = inet_addr("10.1.0.1");
	in->new_sport = htons(10001);
	in->new_dst = inet_addr("10.1.0.11");
	in->new_dport = htons(8080);
	in->proto = IPPROTO_TCP;
	in->state = XDPLB_FLOW_ESTABLISHED;
	in->born_tick = 1000;
	in->seen_tick = 2000;
	flow.half[XDPLB_TO_CLIENT].seen_tick = 2500;
	return flow;
}

static void a_flow_is_shown_with_both_sides_and_its_times(void **state)
{
	struct xdplb_flow flow = flow_make();
	struct flow_row row;
	json_t *json;
	char *text;

	(void)state;
	flow_row_make(&flow, "web", "pool", 3000, &row);
	json = flow_row_json(&row);
	text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, "{\"service\":\"web\",\"pool\":\"pool\","
				  "\"backend\":\"10.1.0.11:8080\",\"protocol\":\"tcp\","
				  "\"client\":\"198.51.100.7:40000\","
				  "\"listener\":\"192.0.2.10:80\",\"source\":\"10.1.0.1:10001\","
				  "\"state\":\"established\",\"idle_ms\":524,\"age_ms\":2097}");
	free(text);
	json_decref(json);
}

static void times_survive_the_wrap_of_the_clock_and_a_future_packet(void **state)
{
	struct xdplb_flow flow = flow_make();
	struct flow_row row;

	(void)state;
	flow.half[XDPLB_TO_BACKEND].born_tick = 0xffffff00;
	flow_row_make(&flow, "", "", 0x100, &row);
	assert_int_equal(row.age_ms, 536);
	flow.half[XDPLB_TO_CLIENT].seen_tick = 0x101;
	flow_row_make(&flow, "", "", 0x100, &row);
	assert_int_equal(row.idle_ms, 0);
}

static void filters_must_all_hold(void **state)
{
	struct xdplb_flow flow = flow_make();
	struct flow_filter filter = { 0 };
	struct flow_row row;

	(void)state;
	flow_row_make(&flow, "web", "pool", 3000, &row);
	assert_true(flow_filter_matches(&filter, &row));
	filter.service = "web";
	assert_true(endpoint_filter_parse("198.51.100.7", &filter.client));
	assert_true(endpoint_filter_parse("10.1.0.11:8080", &filter.backend));
	assert_true(flow_filter_matches(&filter, &row));
	assert_true(endpoint_filter_parse("198.51.100.7:40001", &filter.client));
	assert_false(flow_filter_matches(&filter, &row));
	assert_true(endpoint_filter_parse("198.51.100.7:40000", &filter.client));
	assert_true(flow_filter_matches(&filter, &row));
	filter.service = "other";
	assert_false(flow_filter_matches(&filter, &row));
	assert_false(endpoint_filter_parse("nonsense", &filter.client));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_before_or_behind_the_verb),
		cmocka_unit_test(directories_come_from_option_environment_or_default),
		cmocka_unit_test(names_and_values_are_kept_in_order),
		cmocka_unit_test(a_wrong_command_line_is_refused),
		cmocka_unit_test(help_is_given_for_every_verb),
		cmocka_unit_test(addresses_are_read_as_they_are_written),
		cmocka_unit_test(a_flow_is_shown_with_both_sides_and_its_times),
		cmocka_unit_test(times_survive_the_wrap_of_the_clock_and_a_future_packet),
		cmocka_unit_test(filters_must_all_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
