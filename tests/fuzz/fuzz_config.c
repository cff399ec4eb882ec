// SPDX-License-Identifier: GPL-2.0-only
/* Whatever the bytes: no crash, no leak, and a refusal is one line with a place in the text. */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A number from 1 to @max with a colon behind it; returns what follows. */
static const char *place_number(const char *text, size_t max)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end == text || *end != ':' || !number || number > max)
		abort();
	return end + 1;
}

static void error_check(const struct cfg_error *err, size_t len)
{
	static const char name[] = "fuzz.yaml:";
	const char *text = err->text;

	if (strncmp(text, name, sizeof(name) - 1) != 0)
		abort();
	text = place_number(text + sizeof(name) - 1, len + 1);
	text = place_number(text, len + 1);
	if (text[0] != ' ' || !text[1])
		abort();
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			abort();
}

static void config_check_complete(const struct config *config)
{
	for (size_t i = 0; i < config->service_count; i++) {
		const struct cfg_service *service = &config->services[i];

		if (service->pool >= config->pool_count &&
		    (service->pool != CFG_NO_POOL || !service->route_count))
			abort();
		for (size_t j = 0; j < service->route_count; j++)
			if (service->routes[j].pool >= config->pool_count ||
			    !service->routes[j].match.protocol)
				abort();
		if (!service->listener_count)
			abort();
	}
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
