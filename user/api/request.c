// SPDX-License-Identifier: GPL-2.0-only
#include "api/request.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

static const struct {
	const char *name;
	bool interfaces, mode, all; /* keys it takes beside its name */
} verbs[] = {
	[REQUEST_STATUS] = { "status", false, false, false },
	[REQUEST_RELOAD] = { "reload", false, false, false },
	[REQUEST_ATTACH] = { "attach", true, true, false },
	[REQUEST_DETACH] = { "detach", true, false, true },
	[REQUEST_STOP] = { "stop", false, false, false },
};

__attribute__((format(printf, 2, 3))) static bool refuse(char why[128], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, 128, format, args);
	va_end(args);
	return false;
}

static bool verb_parse(const json_t *json, struct request *request, char why[128])
{
	const char *name = json_string_value(json);

	if (!name)
		return refuse(why, "a request needs \"verb\", a string");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (!strcmp(verbs[i].name, name)) {
			request->verb = (enum request_verb)i;
			return true;
		}
	}
	return refuse(why, "there is no verb '%.40s'", name);
}

/* What the kernel accepts as the name of a device. */
static bool interface_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strcspn(name, "/: \t\n\v\f\r") == len;
}

static bool interfaces_parse(const json_t *json, struct request *request, char why[128])
{
	size_t count = json_array_size(json);

	if (!json_is_array(json) || count > REQUEST_MAX_INTERFACES)
		return refuse(why, "\"interfaces\" is no list of at most %d names",
			      REQUEST_MAX_INTERFACES);
	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(json, i));

		if (!name || !interface_name_ok(name))
			return refuse(why, "'%.40s' cannot be the name of an interface",
				      name ? name : "");
		snprintf(request->interfaces[i], sizeof(request->interfaces[i]), "%s", name);
	}
	request->interface_count = count;
	return true;
}

static bool mode_parse(const json_t *json, struct request *request, char why[128])
{
	const char *mode = json_string_value(json);

	if (!mode || (strcmp(mode, "auto") != 0 && strcmp(mode, "native") != 0 &&
		      strcmp(mode, "generic") != 0))
		return refuse(why, "mode: '%.40s' is not auto, native or generic",
			      mode ? mode : "");
	snprintf(request->mode, sizeof(request->mode), "%s", mode);
	return true;
}

static bool key_parse(const char *key, const json_t *value, struct request *request, char why[128])
{
	if (!strcmp(key, "verb"))
		return true;
	if (!strcmp(key, "interfaces") && verbs[request->verb].interfaces)
		return interfaces_parse(value, request, why);
	if (!strcmp(key, "mode") && verbs[request->verb].mode)
		return mode_parse(value, request, why);
	if (!strcmp(key, "all") && verbs[request->verb].all) {
		request->all = json_is_true(value);
		return json_is_boolean(value) || refuse(why, "\"all\" is not true or false");
	}
	return refuse(why, "'%s' takes no \"%.40s\"", verbs[request->verb].name, key);
}

static bool object_parse(json_t *json, struct request *request, char why[128])
{
	struct request parsed = { .mode = "auto" };
	const char *key;
	json_t *value;

	if (!json_is_object(json))
		return refuse(why, "a request is one JSON object in one line");
	if (!verb_parse(json_object_get(json, "verb"), &parsed, why))
		return false;
	json_object_foreach(json, key, value)
	{
		if (!key_parse(key, value, &parsed, why))
			return false;
	}
	if (verbs[parsed.verb].interfaces && !parsed.interface_count && !parsed.all)
		return refuse(why, "'%s' needs \"interfaces\"", verbs[parsed.verb].name);
	*request = parsed;
	return true;
}

bool request_parse(const char *line, size_t len, struct request *request, char why[128])
{
	json_t *json;
	bool ok;

	if (len > REQUEST_MAX_BYTES)
		return refuse(why, "a request has at most %d bytes", REQUEST_MAX_BYTES);
	json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	ok = object_parse(json, request, why);
	json_decref(json);
	return ok;
}
