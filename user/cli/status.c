// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void traffic_print(const json_t *object)
{
	printf(" %11lld %8lld %11lld %11lld %14lld %14lld\n", number_of(object, "connections"),
	       number_of(object, "active_flows"), number_of(object, "packets_in"),
	       number_of(object, "packets_out"), number_of(object, "bytes_in"),
	       number_of(object, "bytes_out"));
}

static void traffic_head(const char *what, const char *second, const char *third)
{
	printf("\n%-40s %-8s %-10s %11s %8s %11s %11s %14s %14s\n", what, second, third,
	       "CONNECTIONS", "ACTIVE", "PACKETS-IN", "PACKETS-OUT", "BYTES-IN", "BYTES-OUT");
}

static void services_print(json_t *services)
{
	const char *name;
	json_t *service;

	json_object_foreach(services, name, service)
	{
		json_t *listen = json_object_get(service, "listen");

		printf("%-40.63s %-8s %-10.63s", name, text_of(service, "mode"),
		       text_of(service, "pool"));
		traffic_print(service);
		for (size_t i = 0; i < json_array_size(listen); i++)
			printf("  %s\n", json_string_value(json_array_get(listen, i)));
	}
}

static void pools_print(json_t *pools)
{
	const char *name;
	json_t *pool;

	json_object_foreach(pools, name, pool)
	{
		json_t *backends = json_object_get(pool, "backends");

		printf("%s  %s\n", name, text_of(pool, "balance"));
		for (size_t i = 0; i < json_array_size(backends); i++) {
			const json_t *backend = json_array_get(backends, i);

			printf("  %-38s %-8s %-10lld", text_of(backend, "address"),
			       text_of(backend, "state"), number_of(backend, "weight"));
			traffic_print(backend);
		}
	}
}

static void lines_print(const json_t *array, const char *before)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		printf("%s%s\n", before, json_string_value(json_array_get(array, i)));
}

static void interfaces_print(const json_t *interfaces)
{
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *interface = json_array_get(interfaces, i);

		printf("%s: %s\n", text_of(interface, "name"), text_of(interface, "mode"));
	}
}

static void status_print(json_t *status)
{
	bool reload_ok = json_is_true(json_object_get(status, "last_reload_successful"));
	const char *name;
	json_t *table;

	printf("xdplb %s, pid %lld, %s%s\n", text_of(status, "version"), number_of(status, "pid"),
	       text_of(status, "config"),
	       reload_ok ? "" : " (the last reload was refused, see the log)");
	interfaces_print(json_object_get(status, "interfaces"));
	json_object_foreach(json_object_get(status, "tables"), name, table)
	{
		printf("%s: %lld of %lld\n", name, number_of(table, "used"),
		       number_of(table, "max"));
	}
	lines_print(json_object_get(status, "warnings"), "warning: ");
	traffic_head("SERVICE", "MODE", "POOL");
	services_print(json_object_get(status, "services"));
	traffic_head("POOL", "STATE", "WEIGHT");
	pools_print(json_object_get(status, "pools"));
}

int cli_status(const struct cli *cli)
{
	struct client_reply reply;
	json_t *status;

	client_ask_running(cli, json_pack("{s:s}", "verb", "status"), &reply);
	status = json_object_get(reply.json, "status");
	if (status && cli->option[OPTION_JSON]) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (status) {
		status_print(status);
	}
	json_decref(reply.json);
	return reply.status;
}
