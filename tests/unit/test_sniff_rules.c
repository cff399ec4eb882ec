// SPDX-License-Identifier: GPL-2.0-only
/* Routes: which one it is, when that is clear, and their way from the daemon to the worker. */
#include "sniff_fixture.h"

#include "base/alloc.h"
#include "sniff/rules.h"

#define SET_HEAD                                                                          \
	"\"pool\":9,\"sniff_timeout_ms\":3000,\"idle_ticks_tcp\":1,\"idle_ticks_udp\":2," \
	"\"keep_address\":true,\"rules\":["
#define RULE(protocol, names, alpn, patterns, pool)                         \
	"{\"protocol\":\"" protocol "\",\"names\":" names ",\"alpn\":" alpn \
	",\"patterns\":" patterns ",\"pool\":" pool ",\"idle_ticks\":7}"
#define ANY(protocol, pool) RULE(protocol, "null", "null", "null", pool)

static struct rules *rules_of(const char *list)
{
	char *text = xasprintf("[{\"service\":4," SET_HEAD "%s]}]", list);
	struct rules *rules = rules_parse(text, strlen(text));

	free(text);
	assert_non_null(rules);
	return rules;
}

/* What the routes in @list say of @text; the pool of the route, RULES_NO_POOL without one. */
static enum sniff_verdict ask(const char *list, unsigned transport, const void *text, size_t len,
			      uint32_t *pool, struct rule_match *match)
{
	struct rules *rules = rules_of(list);
	struct sniff_piece piece = { text, len };
	enum sniff_verdict verdict = rules_match(rules_find(rules, 4), transport, &piece, 1, match);

	assert_true(verdict == SNIFF_YES ? match->rule != NULL : !match->rule);
	*pool = match->rule ? match->rule->pool : RULES_NO_POOL;
	match->rule = NULL;
	rules_free(rules);
	return verdict;
}

static void says(const char *list, const char *text, enum sniff_verdict verdict, uint32_t pool,
		 enum xdplb_protocol protocol)
{
	struct rule_match match;
	uint32_t found;

	assert_int_equal(ask(list, XDPLB_OVER_TCP, text, strlen(text), &found, &match), verdict);
	assert_int_equal(found, pool);
	assert_int_equal(match.protocol, protocol);
}

#define REQUEST "GET / HTTP/1.1\r\nHost: www.B.example\r\n\r\n"

static void the_first_route_that_fits_wins(void **state)
{
	(void)state;
	says(ANY("ssh", "1") "," ANY("http", "2") "," ANY("http", "3"), REQUEST, SNIFF_YES, 2,
	     XDPLB_PROTOCOL_HTTP);
	says(RULE("http", "[\"a.example\",\"*.b.example\"]", "null", "null", "1") "," ANY("http",
											  "2"),
	     REQUEST, SNIFF_YES, 1, XDPLB_PROTOCOL_HTTP);
	says(RULE("http", "[\"b.example\"]", "null", "null", "1") "," ANY("http", "2"), REQUEST,
	     SNIFF_YES, 2, XDPLB_PROTOCOL_HTTP);
}

static void what_fits_no_name_is_still_known_for_what_it_is(void **state)
{
	(void)state;
	says(RULE("http", "[\"a.example\"]", "null", "null", "1"), REQUEST, SNIFF_NO, RULES_NO_POOL,
	     XDPLB_PROTOCOL_HTTP);
	says(ANY("ssh", "1"), REQUEST, SNIFF_NO, RULES_NO_POOL, XDPLB_PROTOCOL_NONE);
	says("", REQUEST, SNIFF_NO, RULES_NO_POOL, XDPLB_PROTOCOL_NONE);
}

static void a_route_that_may_still_fit_holds_up_those_behind_it_only(void **state)
{
	const char *syslog_first = ANY("syslog", "1") "," ANY("xmpp", "2");
	const char *pattern_first =
		RULE("regex", "null", "null", "[\"needle\"]", "1") "," ANY("http", "2");
	const char *pattern_last =
		ANY("http", "2") "," RULE("regex", "null", "null", "[\"needle\"]", "1");

	(void)state;
	says(syslog_first, "<", SNIFF_MORE, RULES_NO_POOL, XDPLB_PROTOCOL_NONE);
	says(syslog_first, "<stream:stream ", SNIFF_YES, 2, XDPLB_PROTOCOL_XMPP);
	says(pattern_first, REQUEST, SNIFF_MORE, RULES_NO_POOL, XDPLB_PROTOCOL_HTTP);
	says(pattern_first, REQUEST "needle", SNIFF_YES, 1, XDPLB_PROTOCOL_REGEX);
	says(pattern_last, REQUEST, SNIFF_YES, 2, XDPLB_PROTOCOL_HTTP);
	says(pattern_last, "SSH-2.0-needle", SNIFF_YES, 1, XDPLB_PROTOCOL_REGEX);
}

static void one_pattern_of_a_route_is_enough(void **state)
{
	const char *list = RULE("regex", "null", "null", "[\"^a\",\"^b\"]", "1");

	(void)state;
	says(list, "b", SNIFF_YES, 1, XDPLB_PROTOCOL_REGEX);
	says(list, "c", SNIFF_NO, RULES_NO_POOL, XDPLB_PROTOCOL_NONE);
	says(list, "", SNIFF_MORE, RULES_NO_POOL, XDPLB_PROTOCOL_NONE);
}

static void a_pattern_decides_by_the_first_datagram(void **state)
{
	const char *list = RULE("regex", "null", "null", "[\"needle\"]", "1");
	struct sniff_piece pieces[] = { { (const uint8_t *)"hay", 3 },
					{ (const uint8_t *)"needle", 6 } };
	struct rules *rules = rules_of(list);
	struct rule_match match;
	uint32_t pool;

	(void)state;
	assert_int_equal(ask(list, XDPLB_OVER_UDP, "a needle", 8, &pool, &match), SNIFF_YES);
	assert_int_equal(ask(list, XDPLB_OVER_UDP, "a need", 6, &pool, &match), SNIFF_NO);
	assert_int_equal(rules_match(&rules->sets[0], XDPLB_OVER_UDP, pieces, 2, &match), SNIFF_NO);
	assert_int_equal(rules_match(&rules->sets[0], XDPLB_OVER_UDP, pieces, 0, &match),
			 SNIFF_MORE);
	rules_free(rules);
}

/* Asks of the hello of openssl: a.example, offering h2 and http/1.1. */
static void hello_says(const char *list, enum sniff_verdict verdict, uint32_t pool)
{
	size_t len;
	uint8_t *hello = sample("tls-openssl-1.3", &len);
	struct rule_match match;
	uint32_t found;

	assert_int_equal(ask(list, XDPLB_OVER_TCP, hello, len - 1, &found, &match), SNIFF_MORE);
	assert_int_equal(ask(list, XDPLB_OVER_TCP, hello, len, &found, &match), verdict);
	assert_int_equal(found, pool);
	assert_int_equal(match.protocol, XDPLB_PROTOCOL_TLS);
	assert_string_equal(match.info.name, "a.example");
	free(hello);
}

static void names_and_protocol_lists_must_both_fit(void **state)
{
	(void)state;
	hello_says(RULE("tls", "[\"x.example\",\"A.Example\"]", "[\"h3\",\"h2\"]", "null", "1"),
		   SNIFF_YES, 1);
	hello_says(RULE("tls", "null", "[\"http/1.1\"]", "null", "1"), SNIFF_YES, 1);
	hello_says(RULE("tls", "null", "[\"http/1\",\"h\",\"H2\"]", "null", "1"), SNIFF_NO,
		   RULES_NO_POOL);
	hello_says(RULE("tls", "[\"b.example\"]", "[\"h2\"]", "null", "1"), SNIFF_NO,
		   RULES_NO_POOL);
	hello_says(RULE("tls", "[\"b.example\"]", "null", "null",
			"1") "," RULE("tls", "null", "[\"h2\"]", "null", "2"),
		   SNIFF_YES, 2);
}

static void wildcards_match_one_label_or_more_in_front(void **state)
{
	(void)state;
	assert_true(name_matches("a.example", "a.example"));
	assert_true(name_matches("A.Example", "a.example"));
	assert_true(name_matches("*.b.example", "x.b.example"));
	assert_true(name_matches("*.B.example", "y.x.b.example"));
	assert_false(name_matches("*.b.example", "b.example"));
	assert_false(name_matches("*.b.example", ".b.example"));
	assert_false(name_matches("*.b.example", "xb.example"));
	assert_false(name_matches("*.b.example", ""));
	assert_false(name_matches("a.example", ""));
	assert_false(name_matches("", ""));
	assert_false(name_matches("a.example", "a.example.org"));
}

static void a_set_is_found_by_its_service(void **state)
{
	struct rules none = { .count = 0 }, *rules;
	const char *text = "[{\"service\":1," SET_HEAD "]},{\"service\":5," SET_HEAD
			   "]},{\"service\":6," SET_HEAD "]}]";

	(void)state;
	rules = rules_parse(text, strlen(text));
	assert_non_null(rules);
	assert_ptr_equal(rules_find(rules, 1), &rules->sets[0]);
	assert_ptr_equal(rules_find(rules, 6), &rules->sets[2]);
	assert_null(rules_find(rules, 2));
	assert_null(rules_find(&none, 2));
	rules_free(rules);
}

static void rules_come_back_as_they_were(void **state)
{
	const char *list = RULE("tls", "[\"*.b.example\"]", "[\"h2\",\"http/1.1\"]", "null",
				"1") "," RULE("regex", "null", "null", "[\"^\\\\x00\xc3\xa4\\\"\"]",
					      "4294967295");
	struct rules *rules = rules_of(list), *again;
	char *text = rules_format(rules), *twice;

	(void)state;
	assert_non_null(text);
	again = rules_parse(text, strlen(text));
	assert_non_null(again);
	twice = rules_format(again);
	assert_string_equal(text, twice);
	assert_int_equal(again->count, 1);
	assert_int_equal(again->sets[0].service, 4);
	assert_int_equal(again->sets[0].pool, 9);
	assert_int_equal(again->sets[0].sniff_timeout_ms, 3000);
	assert_int_equal(again->sets[0].idle_ticks_tcp, 1);
	assert_int_equal(again->sets[0].idle_ticks_udp, 2);
	assert_true(again->sets[0].keep_address);
	assert_int_equal(again->sets[0].rule_count, 2);
	assert_int_equal(again->sets[0].rules[0].protocol, XDPLB_PROTOCOL_TLS);
	assert_string_equal(again->sets[0].rules[0].names[0], "*.b.example");
	assert_string_equal(again->sets[0].rules[0].alpn[1], "http/1.1");
	assert_null(again->sets[0].rules[0].patterns);
	assert_int_equal(again->sets[0].rules[0].idle_ticks, 7);
	assert_null(again->sets[0].rules[1].names);
	assert_string_equal(again->sets[0].rules[1].patterns[0], "^\\x00\xc3\xa4\"");
	assert_int_equal(again->sets[0].rules[1].pool, RULES_NO_POOL);
	free(text);
	free(twice);
	rules_free(again);
	rules_free(rules);
}

static void what_is_not_wholly_understood_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"{}",
		"[1]",
		"[{}]",
		"[{\"service\":4," SET_HEAD "]}",
		"[{\"service\":4," SET_HEAD "]}]x",
		"[{\"service\":-1," SET_HEAD "]}]",
		"[{\"service\":4294967296," SET_HEAD "]}]",
		"[{\"service\":\"4\"," SET_HEAD "]}]",
		"[{\"service\":4,\"more\":1," SET_HEAD "]}]",
		"[{\"service\":5," SET_HEAD "]},{\"service\":4," SET_HEAD "]}]",
		"[{\"service\":4," SET_HEAD "]},{\"service\":4," SET_HEAD "]}]",
		"[{\"service\":4," SET_HEAD "null]}]",
		"[{\"service\":4," SET_HEAD "{}]}]",
		"[{\"service\":4," SET_HEAD ANY("gopher", "1") "]}]",
		"[{\"service\":4," SET_HEAD ANY("unknown", "1") "]}]",
		"[{\"service\":4," SET_HEAD ANY("tls", "-1") "]}]",
		"[{\"service\":4," SET_HEAD RULE("tls", "\"a\"", "null", "null", "1") "]}]",
		"[{\"service\":4," SET_HEAD RULE("tls", "[1]", "null", "null", "1") "]}]",
		"[{\"service\":4," SET_HEAD RULE("tls", "[\"a\\u0000b\"]", "null", "null",
						 "1") "]}]",
		"[{\"service\":4," SET_HEAD RULE("regex", "null", "null", "[\"a\",\"(\"]",
						 "1") "]}]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct rules *rules = rules_parse(wrong[i], strlen(wrong[i]));

		if (rules)
			print_message("taken: %s\n", wrong[i]);
		assert_null(rules);
	}
	rules_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_route_that_fits_wins),
		cmocka_unit_test(what_fits_no_name_is_still_known_for_what_it_is),
		cmocka_unit_test(a_route_that_may_still_fit_holds_up_those_behind_it_only),
		cmocka_unit_test(one_pattern_of_a_route_is_enough),
		cmocka_unit_test(a_pattern_decides_by_the_first_datagram),
		cmocka_unit_test(names_and_protocol_lists_must_both_fit),
		cmocka_unit_test(wildcards_match_one_label_or_more_in_front),
		cmocka_unit_test(a_set_is_found_by_its_service),
		cmocka_unit_test(rules_come_back_as_they_were),
		cmocka_unit_test(what_is_not_wholly_understood_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
