// SPDX-License-Identifier: GPL-2.0-only
/* Regular expressions: which are taken, and that what they say of a beginning holds. */
#include "sniff_fixture.h"

#include "sniff/rules.h"

static struct sniff_regex *taken(const char *pattern)
{
	char why[128] = "";
	size_t at;
	struct sniff_regex *regex = regex_compile(pattern, why, sizeof(why), &at);

	if (!regex)
		fail_msg("%s: %s at %zu", pattern, why, at);
	return regex;
}

static void refused(const char *pattern, size_t where, const char *because)
{
	char why[128] = "";
	size_t at = SIZE_MAX;
	struct sniff_regex *regex = regex_compile(pattern, why, sizeof(why), &at);

	if (regex || at != where || !strstr(why, because))
		print_message("%s: '%s' at %zu\n", pattern, why, at);
	assert_null(regex);
	assert_int_equal(at, where);
	assert_non_null(strstr(why, because));
}

static enum sniff_verdict match(const struct sniff_regex *regex, const void *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct sniff_piece piece = { copy, len };
	enum sniff_verdict verdict;

	assert_non_null(copy);
	memcpy(copy, data, len);
	verdict = regex_match(regex, &piece, 1);
	free(copy);
	return verdict;
}

/* @text is undecided up to byte @at, then @verdict. */
static void says(const char *pattern, const void *text, size_t len, size_t at,
		 enum sniff_verdict verdict)
{
	struct sniff_regex *regex = taken(pattern);

	for (size_t n = 0; n <= len; n++) {
		enum sniff_verdict have = match(regex, text, n);

		if (have != (n < at ? SNIFF_MORE : verdict))
			print_message("%s after %zu of %zu bytes\n", pattern, n, len);
		assert_int_equal(have, n < at ? SNIFF_MORE : verdict);
	}
	regex_free(regex);
}

#define SAYS(pattern, text, at, verdict) says(pattern, text, sizeof(text) - 1, at, verdict)

static void a_pattern_matches_as_soon_as_it_can(void **state)
{
	(void)state;
	SAYS("^STAT[0-9]+", "STAT1234", 5, SNIFF_YES);
	SAYS("abc", "xxabcx", 5, SNIFF_YES);
	SAYS("(?i)^hello (there|you)", "HeLLo You!", 9, SNIFF_YES);
	SAYS("^a{3}", "aaaa", 3, SNIFF_YES);
	SAYS("^(a|ab)(c|bcd)", "abcd", 3, SNIFF_YES);
	SAYS("(?m)^x", "a\nx", 3, SNIFF_YES);
}

static void an_anchored_pattern_refuses_at_the_byte_that_says_so(void **state)
{
	(void)state;
	SAYS("^STAT[0-9]+", "STAX1", 4, SNIFF_NO);
	SAYS("^STAT[0-9]+", "x", 1, SNIFF_NO);
	SAYS("\\Aab|^cd", "cx", 2, SNIFF_NO);
}

static void a_pattern_without_anchor_may_begin_anywhere_in_the_first_kilobyte(void **state)
{
	char text[SNIFF_REGEX_BYTES + 100];

	(void)state;
	memset(text, '.', sizeof(text));
	says("abcd", text, sizeof(text), SNIFF_REGEX_BYTES - 3, SNIFF_NO);
	memcpy(text + SNIFF_REGEX_BYTES - 4, "abcd", 4);
	says("abcd", text, sizeof(text), SNIFF_REGEX_BYTES, SNIFF_YES);
	memcpy(text + SNIFF_REGEX_BYTES - 4, ".abcd", 5);
	says("abcd", text, sizeof(text), SNIFF_REGEX_BYTES - 3, SNIFF_NO);
}

static void bytes_are_bytes(void **state)
{
	(void)state;
	SAYS("^\\x00\\xff[\\x00-\\x1f]", "\0\xff\1", 3, SNIFF_YES);
	SAYS("^a\\0b", "a\0b", 3, SNIFF_YES);
	SAYS("^\xc3\xa4", "\xc3\xa4", 2, SNIFF_YES);
}

static void what_more_bytes_could_undo_is_refused_with_its_place(void **state)
{
	(void)state;
	refused("^abc$", 4, "'$'");
	refused("ab\\b", 2, "beyond");
	refused("a\\B", 1, "beyond");
	refused("a\\z", 1, "beyond");
	refused("a\\Z", 1, "beyond");
	refused("[[:]:]\\z", 6, "beyond"); /* no named class: it ends at the first bracket */
	refused("a(?=b)", 1, "looks around");
	refused("a(?!b)", 1, "looks around");
	refused("(?<=b)a", 0, "looks around");
	refused("(?<!b)a", 0, "looks around");
	refused("(?(?=a)a|b)", 2, "looks around");
	refused("(?>ab?)b", 0, "goes back");
	refused("a++b", 1, "goes back");
	refused("ab?+b", 2, "goes back");
	refused("a{1,2}+b", 1, "goes back");
	refused("a\\Gb", 1, "\\G");
	refused("a\\Kb", 1, "\\K");
	refused("(*COMMIT)a", 0, "(*...)");
	refused("a(*pla:b)", 1, "(*...)");
	refused("(?ix)a +", 0, "extended");
	refused("a(?s:.{3})", 1, "[\\x00-\\xff]");
	refused("(?is)a", 0, "[\\x00-\\xff]");
	refused("a\\C{3}", 1, "[\\x00-\\xff]");
}

static void what_only_looks_like_it_is_taken(void **state)
{
	static const char *const patterns[] = {
		"[$]",		"\\$",	       "[\\b]",	    "[(?=]", "\\(?=",
		"\\Qa$(?=\\E",	"a\\++",       "[]$]+",	    "[^]$]", "\\x{41}+",
		"[[:alpha:]$]", "(?<name>a)+", "(?:a|b)+?", "a+?b",  "\\p{L}+",
		"(?i)a",	"\\c$a",       "(?|a|b)",   "a{x}+",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		regex_free(taken(patterns[i]));
}

static void what_is_no_pattern_is_refused_with_its_place(void **state)
{
	(void)state;
	refused("(a", 2, "parenthesis");
	refused("a[b", 3, "]");
	refused("*", 0, "quantifier");
	refused("", 0, "even nothing");
	refused("a*", 0, "even nothing");
	refused("(a|b?)", 0, "even nothing");
}

/* Every text of up to seven letters: a verdict, once given, stays. */
static void no_verdict_is_taken_back(void **state)
{
	static const char *const patterns[] = {
		"^ab?c*",
		"ab*a",
		"^(a|ab)(c|bcd)?b",
		"(a+)+b",
		"^a.*c",
		"(a|b)\\1c",
		"^(?:ab)+?c",
		"[^a]a{2,3}",
		"(ab|a)(bc)?",
		"^(a)?(?(1)b|c)",
		"a(?1)?(b)cc",
		"\\Ra",
		"^[\\x00-\\xff]{3}b",
		"^\\w{3}b",
		"^[^c]{2,3}b",
		"^a{3}b",
		"^(?i)A{2}b",
		"^\\X{2}a",
		"^(ab){2}c",
		"^.?.{2,4}a",
		"^(a|b){3}\\1",
		"^\\N{3}b",
		"^\\D{3}b",
		"^[ab]{3}c",
		"^(?U)a+b",
		"^(a|b)\\1{2}c",
		"^[^ab]{2}c",
		"^\\H{3}a",
		"^(?:a|bc){2,}?c",
		"^(a(?1)?b)c",
		"^(?:a{2}){2}b",
		"^\\p{L}{3}b",
		"^\\V{2}b",
	};
	enum {
		LENGTH = 7,
		LETTERS = 3
	};

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct sniff_regex *regex = taken(patterns[i]);

		for (int number = 0; number < 2187; number++) {
			enum sniff_verdict last = SNIFF_MORE, verdict;
			char text[LENGTH];
			int rest = number;

			for (int n = 0; n < LENGTH; n++, rest /= LETTERS)
				text[n] = "abc"[rest % LETTERS];
			for (size_t n = 0; n <= LENGTH; n++) {
				verdict = match(regex, text, n);
				if (last != SNIFF_MORE && verdict != last)
					fail_msg("%s, %.*s: %d, then %d", patterns[i], (int)n, text,
						 last, verdict);
				last = verdict;
			}
		}
		regex_free(regex);
	}
}

static void a_pattern_that_tries_too_many_ways_is_a_no(void **state)
{
	struct sniff_regex *regex = taken("^(a+)+b");
	char text[SNIFF_REGEX_BYTES];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 'c';
	assert_int_equal(match(regex, text, sizeof(text)), SNIFF_NO);
	regex_free(regex);
	regex = taken("^(a|(?R))+b");
	assert_int_equal(match(regex, text, sizeof(text)), SNIFF_NO);
	regex_free(regex);
}

static void no_datagram_is_no_match_yet(void **state)
{
	struct sniff_regex *regex = taken("^a");

	(void)state;
	assert_int_equal(regex_match(regex, NULL, 0), SNIFF_MORE);
	regex_free(regex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_matches_as_soon_as_it_can),
		cmocka_unit_test(an_anchored_pattern_refuses_at_the_byte_that_says_so),
		cmocka_unit_test(a_pattern_without_anchor_may_begin_anywhere_in_the_first_kilobyte),
		cmocka_unit_test(bytes_are_bytes),
		cmocka_unit_test(what_more_bytes_could_undo_is_refused_with_its_place),
		cmocka_unit_test(what_only_looks_like_it_is_taken),
		cmocka_unit_test(what_is_no_pattern_is_refused_with_its_place),
		cmocka_unit_test(no_verdict_is_taken_back),
		cmocka_unit_test(a_pattern_that_tries_too_many_ways_is_a_no),
		cmocka_unit_test(no_datagram_is_no_match_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
