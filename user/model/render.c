// SPDX-License-Identifier: GPL-2.0-only
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "model/model.h"
#include "model/state.h"
#include "model/tables.h"
#include "xdplb/endian.h"

#define IDLE_MS_TCP 7440000
#define IDLE_MS_UDP 30000

uint32_t service_idle_ticks(const struct cfg_service *service, uint8_t proto)
{
	if (service->idle_timeout_ms)
		return ticks_of_ms(service->idle_timeout_ms);
	return ticks_of_ms(proto == IPPROTO_TCP ? IDLE_MS_TCP : IDLE_MS_UDP);
}

/* Row of pools, or XDPLB_NO_POOL. */
static uint32_t service_pool_row(const struct model *model, const struct cfg_service *service)
{
	return service->pool == CFG_NO_POOL ? XDPLB_NO_POOL : model->pool_rows[service->pool];
}

static void render_service(const struct model *model, size_t index, struct entries *entries)
{
	const struct cfg_service *config = &model->config->services[index];

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct cfg_listener *listener = &config->listeners[i];
		struct entry_service *entry = array_push(entries->services, entries->service_count);

		entry->key.vip = listener->addr;
		entry->key.port = to_be16(listener->port);
		entry->key.proto = listener->proto;
		entry->row.id = model->service_rows[index];
		entry->row.pool = service_pool_row(model, config);
		entry->row.idle_ticks = service_idle_ticks(config, listener->proto);
		entry->row.mode = (uint8_t)config->mode;
		if (config->source == CFG_SOURCE_CLIENT)
			entry->row.flags |= XDPLB_SERVICE_SOURCE_CLIENT;
		if (listener_is_sniffed(config, listener))
			entry->row.flags |= XDPLB_SERVICE_SNIFF;
		memcpy(entry->row.name, ids_key(&model->services, entry->row.id),
		       sizeof(entry->row.name));
	}
}

static void render_pool(const struct model *model, uint32_t id, struct entries *entries)
{
	struct entry_pool *entry = array_push(entries->pools, entries->pool_count);

	entry->id = id;
	memcpy(entry->row.name, ids_key(&model->pools, id), sizeof(entry->row.name));
	entry->row.balance = model->pool[id].balance;
	entry->row.used = 1;
	for (enum xdplb_family family = XDPLB_V4; family < XDPLB_FAMILIES; family++) {
		struct table_input input;

		table_gather(model, id, family, &input);
		entry->row.digest[family] = table_digest(&input);
		entry->row.slots[family] = table_slots(&input);
		free(input.members);
	}
}

static void render_backend(const struct model *model, uint32_t id, struct entries *entries)
{
	const struct model_backend *backend = &model->backend[id];
	struct entry_backend *entry = array_push(entries->backends, entries->backend_count);

	entry->id = id;
	entry->row.addr = backend->addr;
	entry->row.nat_addr = backend->nat_addr;
	entry->row.nexthop = backend->nexthop;
	entry->row.pool = backend->pool_id;
	entry->row.port = to_be16(backend->port);
	entry->row.flags = XDPLB_BACKEND_USED;
	if (model_backend_usable(backend, model->pool[backend->pool_id].config))
		entry->row.flags |= XDPLB_BACKEND_UP;
	if (backend->resolved)
		entry->row.flags |= XDPLB_BACKEND_RESOLVED;
	if (backend->config)
		entry->row.weight = backend->config->weight;
	else
		entry->row.flags |= XDPLB_BACKEND_REMOVED;
}

static void render_nat(const struct config *config, struct xdplb_nat_range nat[XDPLB_FAMILIES])
{
	memset(nat, 0, sizeof(*nat) * XDPLB_FAMILIES);
	for (int family = 0; family < XDPLB_FAMILIES; family++) {
		nat[family].port_min = config->nat_port_min;
		nat[family].port_max = config->nat_port_max;
	}
	for (size_t i = 0; i < config->nat_addr_count; i++) {
		struct xdplb_nat_range *range = &nat[addr_family(&config->nat_addrs[i])];

		if (range->count < XDPLB_MAX_NAT_ADDRS)
			range->addr[range->count++] = config->nat_addrs[i];
	}
}

void render(const struct model *model, struct entries *entries)
{
	*entries = (struct entries){ 0 };
	if (model->config) {
		for (size_t i = 0; i < model->config->service_count; i++)
			render_service(model, i, entries);
		render_nat(model->config, entries->nat);
	}
	for (uint32_t id = 0; id < model->pools.end; id++)
		if (ids_has(&model->pools, id, IDS_USED))
			render_pool(model, id, entries);
	for (uint32_t id = model->backends.first; id < model->backends.end; id++)
		if (ids_has(&model->backends, id, IDS_USED))
			render_backend(model, id, entries);
	entries_sort(entries);
}
