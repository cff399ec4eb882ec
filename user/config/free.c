// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static void pool_free(struct cfg_pool *pool)
{
	for (size_t i = 0; i < pool->backend_count; i++)
		free(pool->backends[i].address);
	free(pool->backends);
	free(pool->health.path);
	free(pool->health.host);
	free(pool->health.body);
	free(pool->name);
}

static void texts_free(struct cfg_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->texts[i].text);
	free(texts->texts);
}

static void route_free(struct cfg_route *route)
{
	texts_free(&route->match.server_names);
	texts_free(&route->match.alpn);
	texts_free(&route->match.hosts);
	texts_free(&route->match.patterns);
}

static void service_free(struct cfg_service *service)
{
	for (size_t i = 0; i < service->route_count; i++)
		route_free(&service->routes[i]);
	free(service->routes);
	for (size_t i = 0; i < service->listener_count; i++)
		free(service->listeners[i].text);
	free(service->listeners);
	free(service->name);
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->interface_count; i++)
		free(config->interfaces[i].name);
	for (size_t i = 0; i < config->pool_count; i++)
		pool_free(&config->pools[i]);
	for (size_t i = 0; i < config->service_count; i++)
		service_free(&config->services[i]);
	for (size_t i = 0; i < config->warning_count; i++)
		free(config->warnings[i]);
	free(config->interfaces);
	free(config->pools);
	free(config->services);
	free(config->warnings);
	free(config->nat_addrs);
	free(config->http);
	free(config->file);
	memset(config, 0, sizeof(*config));
}
