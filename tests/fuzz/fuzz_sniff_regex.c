// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any pattern on any bytes, the two parted by the first NUL: what is refused is
 * refused with a place in the pattern, and what is taken never takes a verdict
 * back. Short texts, as the limits may say NO where fewer bytes said YES.
 */
#include <stdlib.h>
#include <string.h>

#include "sniff/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum {
	TEXT_MAX = 12
};

static enum sniff_verdict match(const struct sniff_regex *regex, const uint8_t *data, size_t len)
{
	struct sniff_piece piece = { malloc(len ? len : 1), len }; /* exact, for ASan */
	enum sniff_verdict verdict;

	memcpy((uint8_t *)piece.data, data, len);
	verdict = regex_match(regex, &piece, 1);
	free((uint8_t *)piece.data);
	return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nul = memchr(data, 0, len);
	enum sniff_verdict settled = SNIFF_MORE;
	struct sniff_regex *regex;
	char why[128] = "";
	size_t at = SIZE_MAX;

	if (!nul || nul - data > 60)
		return -1;
	len -= (size_t)(nul - data) + 1;
	regex = regex_compile((const char *)data, why, sizeof(why), &at);
	if (!regex && (!why[0] || at > (size_t)(nul - data)))
		abort();
	for (size_t n = 0; regex && n <= len && n <= TEXT_MAX; n++) {
		enum sniff_verdict verdict = match(regex, nul + 1, n);

		if (settled != SNIFF_MORE && verdict != settled)
			abort();
		settled = verdict;
	}
	regex_free(regex);
	return 0;
}
