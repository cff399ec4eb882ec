/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_SNIFF_FIXTURE_H
#define XDPLB_TEST_SNIFF_FIXTURE_H

/*
 * Sniffers judged at every prefix of a sample: MORE up to where the test says
 * that it is decided, then always the same. As sniffers keep no state, that is
 * also what they say of one byte a segment, or of any other split.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sniff/sniff.h"

#define SAMPLES "tests/fuzz/corpus/fuzz_sniff/"
#define DECIDED_AT_END SIZE_MAX
#define LITERAL(text) (const uint8_t *)(text), sizeof(text) - 1

/* Of a copy in memory of its own, so that ASan sees every border. */
static inline enum sniff_verdict verdict_of(enum xdplb_protocol protocol, unsigned transport,
					    const uint8_t *data, size_t len,
					    struct sniff_info *info)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct sniff_piece piece = { copy, len };
	enum sniff_verdict verdict;

	assert_non_null(copy);
	memcpy(copy, data, len);
	verdict = sniff(protocol, transport, &piece, 1, info);
	free(copy);
	return verdict;
}

/* The stream is @verdict from byte @at on, and nothing before; returns what was found. */
static inline struct sniff_info decided(enum xdplb_protocol protocol, const uint8_t *data,
					size_t len, size_t at, enum sniff_verdict verdict)
{
	struct sniff_info first = { .alpn_len = 0 }, info;

	at = at == DECIDED_AT_END ? len : at;
	for (size_t n = 0; n <= len; n++) {
		enum sniff_verdict want = n < at ? SNIFF_MORE : verdict;
		enum sniff_verdict have;

		memset(&info, 0xaa, sizeof(info));
		have = verdict_of(protocol, XDPLB_OVER_TCP, data, n, &info);
		if (have != want)
			print_message("after %zu of %zu bytes\n", n, len);
		assert_int_equal(have, want);
		if (have != SNIFF_YES) {
			assert_int_equal(info.name[0] & 0xff, 0xaa); /* written on success only */
			continue;
		}
		if (n == at)
			first = info;
		assert_string_equal(info.name, first.name);
		assert_int_equal(info.alpn_len, first.alpn_len);
		assert_memory_equal(info.alpn, first.alpn, first.alpn_len);
	}
	return first;
}

/* A sample of the corpus, without the byte in front that tells the fuzzer what it is; free it. */
static inline uint8_t *sample(const char *name, size_t *len)
{
	char path[256];
	FILE *file;
	uint8_t *data = malloc(1 << 16);

	snprintf(path, sizeof(path), SAMPLES "%s", name);
	file = fopen(path, "re");
	if (!file)
		fail_msg("no %s: tests run in the top folder", path);
	assert_non_null(data);
	assert_int_not_equal(fgetc(file), EOF);
	*len = fread(data, 1, 1 << 16, file);
	fclose(file);
	return data;
}

/* A sample that is decided at byte @at: YES with @name. */
static inline struct sniff_info sample_is(enum xdplb_protocol protocol, const char *file, size_t at,
					  const char *name)
{
	size_t len;
	uint8_t *data = sample(file, &len);
	struct sniff_info info = decided(protocol, data, len, at, SNIFF_YES);

	assert_string_equal(info.name, name);
	free(data);
	return info;
}

/* No other sniffer over TCP takes what belongs to @protocol. */
static inline void only_one_takes(enum xdplb_protocol protocol, const char *file)
{
	size_t len;
	uint8_t *data = sample(file, &len);
	struct sniff_info info;

	for (int other = 0; other < XDPLB_PROTOCOL_MAX; other++) {
		enum sniff_verdict verdict =
			verdict_of((enum xdplb_protocol)other, XDPLB_OVER_TCP, data, len, &info);

		if ((verdict == SNIFF_YES) != (other == (int)protocol))
			print_message("%s: protocol %d says %d\n", file, other, verdict);
		assert_int_equal(verdict == SNIFF_YES, other == (int)protocol);
	}
	free(data);
}

#endif /* XDPLB_TEST_SNIFF_FIXTURE_H */
