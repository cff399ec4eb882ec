/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_MODEL_FIXTURE_H
#define XDPLB_MODEL_FIXTURE_H

/* Configurations made by hand, laid out as the loader does it, for the tests of the model. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/config.h"
#include "model/model.h"
#include "xdplb/endian.h"

/* "192.0.2.1" or "2001:db8::1" */
static inline struct xdplb_addr fixture_addr(const char *text)
{
	struct xdplb_addr addr = { { 0, 0, to_be32(0xffff), 0 } };

	if (inet_pton(AF_INET, text, &addr.w[3]) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &addr), 1);
	return addr;
}

/* "192.0.2.1:80" or "[2001:db8::1]:80" */
static inline void fixture_address(const char *text, struct xdplb_addr *addr, uint16_t *port)
{
	auto_free char *copy = xstrdup(text);
	char *colon = strrchr(copy, ':'), *host = copy;

	assert_non_null(colon);
	*colon = '\0';
	if (*host == '[') {
		host++;
		colon[-1] = '\0';
	}
	*addr = fixture_addr(host);
	*port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

static inline struct config fixture_config(void)
{
	return (struct config){
		.file = xstrdup("lb.yaml"),
		.flow_table = 262144,
		.nat_port_min = 10000,
		.nat_port_max = 30000,
		.syn_timeout_ms = 10000,
		.closing_timeout_ms = 60000,
	};
}

/* Valid until the next pool is added. Not probed. */
static inline struct cfg_pool *fixture_pool(struct config *config, const char *name,
					    enum xdplb_balance balance)
{
	struct cfg_pool *pool = array_push(config->pools, config->pool_count);

	pool->name = xstrdup(name);
	pool->balance = balance;
	pool->table = 4093;
	return pool;
}

static inline void fixture_probed(struct cfg_pool *pool)
{
	pool->health = (struct cfg_health){ .type = CFG_HEALTH_TCP, .interval_ms = 2000 };
	pool->health.timeout_ms = 1000;
	pool->health.rise = pool->health.fall = 2;
}

static inline void fixture_backend(struct cfg_pool *pool, const char *address, uint32_t weight)
{
	struct cfg_backend *backend = array_push(pool->backends, pool->backend_count);

	backend->address = xstrdup(address);
	backend->weight = weight;
	fixture_address(address, &backend->addr, &backend->port);
}

/* @count backends 10.1.x.y:8080, of weight 1 each. */
static inline void fixture_backends(struct cfg_pool *pool, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct cfg_backend *backend = array_push(pool->backends, pool->backend_count);

		backend->address =
			xasprintf("10.%u.%u.%u:8080", 1 + (i >> 16), i >> 8 & 0xff, i & 0xff);
		backend->weight = 1;
		fixture_address(backend->address, &backend->addr, &backend->port);
	}
}

/* Valid until the next service is added. */
static inline struct cfg_service *fixture_service(struct config *config, const char *name,
						  size_t pool)
{
	struct cfg_service *service = array_push(config->services, config->service_count);

	service->name = xstrdup(name);
	service->pool = pool;
	return service;
}

static inline void fixture_listener(struct cfg_service *service, uint8_t proto, const char *address)
{
	struct cfg_listener *listener = array_push(service->listeners, service->listener_count);

	listener->text = xasprintf("%s://%s", proto == IPPROTO_TCP ? "tcp" : "udp", address);
	listener->proto = proto;
	fixture_address(address, &listener->addr, &listener->port);
}

static inline void fixture_set(struct model *model, struct config config)
{
	struct cfg_error err = { "" };

	if (!model_set_config(model, &config, &err))
		fail_msg("%s", err.text);
	assert_null(config.pools); /* moved out of */
}

/* Service web (TCP and UDP of one address) in front of pool web: .11 weight 3, .12, and ::13. */
static inline struct config fixture_web(void)
{
	struct config config = fixture_config();
	struct cfg_pool *pool = fixture_pool(&config, "web", XDPLB_MAGLEV);
	struct cfg_service *service = fixture_service(&config, "web", 0);

	fixture_backend(pool, "10.1.0.11:8080", 3);
	fixture_backend(pool, "10.1.0.12:8080", 1);
	fixture_backend(pool, "[2001:db8::13]:8080", 1);
	fixture_listener(service, IPPROTO_TCP, "192.0.2.10:80");
	fixture_listener(service, IPPROTO_UDP, "192.0.2.10:80");
	fixture_listener(service, IPPROTO_TCP, "[2001:db8::10]:80");
	return config;
}

static inline const struct xdplb_backend *backend_row(const struct entries *entries, uint32_t id)
{
	for (size_t i = 0; i < entries->backend_count; i++)
		if (entries->backends[i].id == id)
			return &entries->backends[i].row;
	return NULL;
}

#endif /* XDPLB_MODEL_FIXTURE_H */
