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

static void traffic_head(const char *what, int width)
{
	printf("\n%-*s %11s %8s %11s %11s %14s %14s\n", width, what, "CONNECTIONS", "ACTIVE",
	       "PACKETS-IN", "PACKETS-OUT", "BYTES-IN", "BYTES-OUT");
}

static void services_print(json_t *services)
{
	const char *name;
	json_t *service, *listener;
	size_t i;

	traffic_head("SERVICE", 62);
	json_object_foreach(services, name, service)
	{
		printf("%-20.63s %-20.63s %-20.63s", name, text_of(service, "mode"),
		       text_of(service, "pool"));
		traffic_print(service);
		json_array_foreach(json_object_get(service, "listen"), i, listener)
			printf("  %s\n", json_string_value(listener));
	}
}

static void pools_print(json_t *pools)
{
	const char *name;
	json_t *pool, *backend;
	size_t i;

	traffic_head("POOL", 62);
	json_object_foreach(pools, name, pool)
	{
		printf("%s  %s\n", name, text_of(pool, "balance"));
		json_array_foreach(json_object_get(pool, "backends"), i, backend)
		{
			printf("  %-40s %6lld %-12s", text_of(backend, "address"),
			       number_of(backend, "weight"), text_of(backend, "state"));
			traffic_print(backend);
		}
	}
}

static void status_print(json_t *status)
{
	json_t *item, *table;
	const char *name;
	size_t i;

	printf("xdplb %s, pid %lld, %s%s\n", text_of(status, "version"), number_of(status, "pid"),
	       text_of(status, "config"),
	       json_is_true(json_object_get(status, "last_reload_successful")) ?
		       "" :
		       " (the last reload was refused, see the log)");
	json_array_foreach(json_object_get(status, "interfaces"), i, item)
		printf("%s: %s\n", text_of(item, "name"), text_of(item, "mode"));
	json_object_foreach(json_object_get(status, "tables"), name, table) printf(
		"%s: %lld of %lld\n", name, number_of(table, "used"), number_of(table, "max"));
	json_array_foreach(json_object_get(status, "warnings"), i, item)
		printf("warning: %s\n", json_string_value(item));
	services_print(json_object_get(status, "services"));
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
