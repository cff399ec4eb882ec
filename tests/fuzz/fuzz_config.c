// SPDX-License-Identifier: GPL-2.0-only
/* Whatever the bytes: no crash, no leak, and a refusal is one line with a place in the text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void error_check(const struct cfg_error *err, size_t len)
{
	unsigned int line = 0, column = 0;
	int end = 0;

	if (sscanf(err->text, "fuzz.yaml:%u:%u: %n", &line, &column, &end) != 2 || !end ||
	    !err->text[end])
		abort();
	if (!line || !column || line > len + 1 || column > len + 1)
		abort();
	for (const char *c = err->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			abort();
}

static void config_check_complete(const struct config *config)
{
	for (size_t i = 0; i < config->service_count; i++)
		if (config->services[i].pool >= config->pool_count ||
		    !config->services[i].listener_count)
			abort();
	for (size_t i = 0; i < config->pool_count; i++)
		for (size_t j = 0; j < config->pools[i].backend_count; j++)
			if (!config->pools[i].backends[j].address ||
			    !config->pools[i].backends[j].port)
				abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cfg_error err = { "" };
	struct config config;

	if (config_parse((const char *)data, len, "fuzz.yaml", &config, &err)) {
		config_check_complete(&config);
		config_free(&config);
	} else {
		error_check(&err, len);
	}
	return 0;
}
