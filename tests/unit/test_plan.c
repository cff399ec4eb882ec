// SPDX-License-Identifier: GPL-2.0-only
#include "model_fixture.h"

#include "base/clock.h"

/* ---- rows */

static const struct entry_service *service_find(const struct entries *entries, uint8_t proto,
						const char *address)
{
	struct xdplb_addr vip;
	uint16_t port;

	fixture_address(address, &vip, &port);
	for (size_t i = 0; i < entries->service_count; i++) {
		const struct xdplb_service_key *key = &entries->services[i].key;

		if (!memcmp(&key->vip, &vip, sizeof(vip)) && key->port == to_be16(port) &&
		    key->proto == proto)
			return &entries->services[i];
	}
	return NULL;
}

static void a_service_becomes_a_row_for_each_listener(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_web();
	struct entries entries;
	const struct entry_service *tcp, *udp;

	(void)state;
	fixture_pool(&config, "dns", XDPLB_MAGLEV);
	fixture_service(&config, "dns", 1)->idle_timeout_ms = 5000;
	config.services[1].source = CFG_SOURCE_CLIENT;
	fixture_listener(&config.services[1], IPPROTO_UDP, "192.0.2.10:53");
	fixture_set(model, config);
	render(model, &entries);
	assert_int_equal(entries.service_count, 4);
	for (size_t i = 1; i < entries.service_count; i++)
		assert_true(memcmp(&entries.services[i - 1].key, &entries.services[i].key,
				   sizeof(struct xdplb_service_key)) < 0);
	tcp = service_find(&entries, IPPROTO_TCP, "[2001:db8::10]:80");
	assert_string_equal(tcp->row.name, "web");
	assert_int_equal(tcp->row.id, 0);
	assert_int_equal(tcp->row.pool, 0);
	assert_int_equal(tcp->row.flags, 0);
	assert_int_equal(tcp->row.idle_ticks, ticks_of_ms(7440000));
	udp = service_find(&entries, IPPROTO_UDP, "192.0.2.10:80");
	assert_int_equal(udp->row.id, 0);
	assert_int_equal(udp->row.idle_ticks, ticks_of_ms(30000));
	udp = service_find(&entries, IPPROTO_UDP, "192.0.2.10:53");
	assert_int_equal(udp->row.id, 1);
	assert_int_equal(udp->row.pool, 1);
	assert_int_equal(udp->row.mode, XDPLB_MODE_NAT);
	assert_int_equal(udp->row.flags, XDPLB_SERVICE_SOURCE_CLIENT);
	assert_int_equal(udp->row.idle_ticks, ticks_of_ms(5000));
	entries_free(&entries);
	model_free(model);
}

static void a_backend_row_has_all_the_datapath_needs(void **state)
{
	struct model *model = model_new();
	struct entries entries;
	const struct xdplb_backend *row;
	const struct xdplb_addr addr = fixture_addr("10.1.0.11"), nat = fixture_addr("10.1.0.1");
	const struct xdplb_nexthop nexthop = { 7, { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };

	(void)state;
	fixture_set(model, fixture_web());
	model_backend(model, 0, 0)->resolved = true;
	model_backend(model, 0, 0)->nexthop = nexthop;
	model_backend(model, 0, 0)->nat_addr = nat;
	render(model, &entries);
	row = backend_row(&entries, 1);
	assert_memory_equal(&row->addr, &addr, sizeof(addr));
	assert_memory_equal(&row->nat_addr, &nat, sizeof(nat));
	assert_memory_equal(&row->nexthop, &nexthop, sizeof(nexthop));
	assert_int_equal(row->port, to_be16(8080));
	assert_int_equal(row->pool, 0);
	assert_int_equal(row->weight, 3);
	assert_int_equal(row->flags,
			 XDPLB_BACKEND_USED | XDPLB_BACKEND_UP | XDPLB_BACKEND_RESOLVED);
	entries_free(&entries);
	model_free(model);
}

static void nat_ranges_are_by_family_and_have_ports_without_addresses(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_web();
	struct entries entries;
	const struct xdplb_addr second = fixture_addr("192.0.2.2");

	(void)state;
	*array_push(config.nat_addrs, config.nat_addr_count) = fixture_addr("192.0.2.1");
	*array_push(config.nat_addrs, config.nat_addr_count) = second;
	config.nat_port_min = 20000;
	fixture_set(model, config);
	render(model, &entries);
	assert_int_equal(entries.nat[XDPLB_V4].count, 2);
	assert_memory_equal(&entries.nat[XDPLB_V4].addr[1], &second, sizeof(second));
	assert_int_equal(entries.nat[XDPLB_V6].count, 0);
	for (int family = 0; family < XDPLB_FAMILIES; family++) {
		assert_int_equal(entries.nat[family].port_min, 20000);
		assert_int_equal(entries.nat[family].port_max, 30000);
	}
	entries_free(&entries);
	model_free(model);
}

/* ---- what leads from rows to rows */

/* What is in the maps before and after, and what leads from one to the other. */
struct change {
	struct model *model;
	struct entries from, to;
	struct plan plan;
};

static void change_start(struct change *change, struct config config)
{
	memset(change, 0, sizeof(*change));
	change->model = model_new();
	fixture_set(change->model, config);
	render(change->model, &change->from);
}

static void change_plan(struct change *change)
{
	render(change->model, &change->to);
	plan_make(&change->from, &change->to, &change->plan);
}

static void change_end(struct change *change)
{
	plan_free(&change->plan);
	entries_free(&change->from);
	entries_free(&change->to);
	model_free(change->model);
}

/* The plan as letters: Backend, Nat, Table, Pool, Service set; s, p, b deleted. */
static const char *plan_text(const struct plan *plan, char text[64])
{
	static const char letters[] = {
		[PLAN_BACKEND_SET] = 'B', [PLAN_NAT_SET] = 'N',	       [PLAN_TABLE_SWAP] = 'T',
		[PLAN_POOL_SET] = 'P',	  [PLAN_SERVICE_SET] = 'S',    [PLAN_SERVICE_DELETE] = 's',
		[PLAN_POOL_DELETE] = 'p', [PLAN_BACKEND_DELETE] = 'b',
	};

	assert_true(plan->count < 64);
	for (size_t i = 0; i < plan->count; i++)
		text[i] = letters[plan->steps[i].kind];
	text[plan->count] = '\0';
	return text;
}

static void nothing_changed_is_an_empty_plan(void **state)
{
	struct change change;

	(void)state;
	change_start(&change, fixture_web());
	fixture_set(change.model, fixture_web());
	change_plan(&change);
	assert_int_equal(change.plan.count, 0);
	change_end(&change);
}

static void from_nothing_a_plan_sets_what_others_point_to_first(void **state)
{
	const struct entries nothing = { 0 };
	struct change change;
	struct plan undo;
	char text[64];

	(void)state;
	change_start(&change, fixture_web());
	plan_make(&nothing, &change.from, &change.plan);
	assert_string_equal(plan_text(&change.plan, text), "BBBNTTPSSS");
	for (size_t i = 0; i < change.plan.count; i++) {
		assert_non_null(change.plan.steps[i].after);
		if (change.plan.steps[i].kind != PLAN_NAT_SET)
			assert_null(change.plan.steps[i].before);
	}
	assert_int_equal(change.plan.steps[4].id, XDPLB_V4);
	assert_int_equal(change.plan.steps[5].id, XDPLB_V6);
	plan_make(&change.from, &nothing, &undo);
	assert_string_equal(plan_text(&undo, text), "Nssspbbb");
	plan_free(&undo);
	change_end(&change);
}

static void a_weight_swaps_one_table_and_says_what_was_before(void **state)
{
	struct config config = fixture_web();
	struct change change;
	const struct plan_step *steps;
	char text[64];

	(void)state;
	change_start(&change, fixture_web());
	config.pools[0].backends[0].weight = 1;
	fixture_set(change.model, config);
	change_plan(&change);
	assert_string_equal(plan_text(&change.plan, text), "BTP");
	steps = change.plan.steps;
	assert_int_equal(steps[0].id, 1);
	assert_ptr_equal(steps[0].before, &change.from.backends[0]);
	assert_ptr_equal(steps[0].after, &change.to.backends[0]);
	assert_int_equal(steps[1].id, 0 * XDPLB_FAMILIES + XDPLB_V4);
	assert_ptr_equal(steps[1].before, &change.from.pools[0]);
	assert_ptr_equal(steps[1].after, &change.to.pools[0]);
	assert_ptr_equal(steps[2].before, &change.from.pools[0]);
	change_end(&change);
}

static void a_next_hop_changes_a_row_and_no_table(void **state)
{
	struct change change;
	char text[64];

	(void)state;
	change_start(&change, fixture_web());
	model_backend(change.model, 0, 2)->resolved = true;
	model_backend(change.model, 0, 2)->nexthop.dst_mac[5] = 1;
	change_plan(&change);
	assert_string_equal(plan_text(&change.plan, text), "B");
	assert_int_equal(change.plan.steps[0].id, 3);
	change_end(&change);
}

static void the_last_backend_of_a_family_that_goes_down_empties_the_table(void **state)
{
	struct change change;
	const struct entry_pool *after;
	char text[64];

	(void)state;
	change_start(&change, fixture_web());
	model_backend(change.model, 0, 2)->admin = BACKEND_DISABLED;
	change_plan(&change);
	assert_string_equal(plan_text(&change.plan, text), "BTP");
	assert_int_equal(change.plan.steps[1].id, XDPLB_V6);
	after = change.plan.steps[1].after;
	assert_int_equal(after->row.slots[XDPLB_V6], 0);
	change_end(&change);
}

static void a_service_that_moves_is_set_before_the_old_one_goes(void **state)
{
	struct config config = fixture_web();
	struct change change;
	char text[64];

	(void)state;
	change_start(&change, fixture_web());
	config.services[0].listeners[0].port = 81;
	fixture_set(change.model, config);
	change_plan(&change);
	assert_string_equal(plan_text(&change.plan, text), "Ss");
	change_end(&change);
}

static void a_removed_pool_goes_in_two_steps(void **state)
{
	struct config config = fixture_config();
	struct change change;
	char text[64];

	(void)state;
	change_start(&change, fixture_web());
	fixture_backend(fixture_pool(&config, "api", XDPLB_FIRST), "10.1.0.20:80", 1);
	fixture_listener(fixture_service(&config, "api", 0), IPPROTO_TCP, "192.0.2.11:80");
	fixture_set(change.model, config);
	change_plan(&change);
	/* the three that drain and the new one; its table and the two emptied; two pools */
	assert_string_equal(plan_text(&change.plan, text), "BBBBTTTPPSsss");

	plan_free(&change.plan);
	entries_free(&change.from);
	change.from = change.to;
	for (uint32_t id = 1; id <= 3; id++)
		model_release_backend(change.model, id);
	change_plan(&change);
	assert_string_equal(plan_text(&change.plan, text), "pbbb");
	assert_int_equal(change.plan.steps[0].id, 0);
	assert_null(change.plan.steps[0].after);
	assert_ptr_equal(change.plan.steps[0].before, &change.from.pools[0]);
	change_end(&change);
}

static void nat_addresses_are_one_step(void **state)
{
	struct config config = fixture_web();
	struct change change;
	char text[64];

	(void)state;
	change_start(&change, fixture_web());
	*array_push(config.nat_addrs, config.nat_addr_count) = fixture_addr("2001:db8::1");
	fixture_set(change.model, config);
	change_plan(&change);
	assert_string_equal(plan_text(&change.plan, text), "N");
	assert_ptr_equal(change.plan.steps[0].before, change.from.nat);
	assert_ptr_equal(change.plan.steps[0].after, change.to.nat);
	change_end(&change);
}

static void a_row_for_another_name_is_a_change_of_the_row(void **state)
{
	struct config config = fixture_config();
	struct change change;
	char text[64];

	(void)state;
	fixture_pool(&config, "old", XDPLB_MAGLEV);
	change_start(&change, config);
	config = fixture_config();
	fixture_set(change.model, config); /* row 0 is free at once: no backend drains */
	config = fixture_config();
	fixture_pool(&config, "new", XDPLB_MAGLEV);
	fixture_set(change.model, config);
	change_plan(&change);
	assert_string_equal(plan_text(&change.plan, text), "P");
	change_end(&change);
}

static void unsorted_entries_are_brought_in_order(void **state)
{
	struct entries entries = { 0 };

	(void)state;
	array_push(entries.backends, entries.backend_count)->id = 7;
	array_push(entries.backends, entries.backend_count)->id = 3;
	array_push(entries.backends, entries.backend_count)->id = 7;
	array_push(entries.services, entries.service_count)->key.proto = 17;
	array_push(entries.services, entries.service_count)->key.proto = 6;
	entries_sort(&entries);
	assert_int_equal(entries.backend_count, 2);
	assert_int_equal(entries.backends[0].id, 3);
	assert_int_equal(entries.backends[1].id, 7);
	assert_int_equal(entries.service_count, 2);
	assert_int_equal(entries.services[0].key.proto, 6);
	entries_free(&entries);
}

/* ---- the lines of a reload */

static const char before_yaml[] =
	"interfaces: [eth0, { name: eth1, mode: generic }]\n"
	"pools:\n"
	"  web:\n"
	"    health: { type: tcp, interval: 2s }\n"
	"    backends: [{ address: 10.1.0.11:8080, weight: 3 }, 10.1.0.12:8080]\n"
	"  old: { backends: [10.1.0.30:80] }\n"
	"  list: { balance: first, backends: [10.1.0.41:80, 10.1.0.42:80] }\n"
	"services:\n"
	"  web: { listen: [tcp://192.0.2.10:80, udp://192.0.2.10:80], pool: web }\n"
	"  old: { listen: tcp://192.0.2.10:81, pool: old }\n"
	"  list: { listen: tcp://192.0.2.10:82, pool: list }\n";

static const char after_yaml[] =
	"interfaces: [{ name: eth0, mode: native }, eth2]\n"
	"flow_table: 1024\n"
	"hash_seed: 00112233445566778899aabbccddeeff\n"
	"http: 127.0.0.1:9180\n"
	"nat: { addresses: [192.0.2.1, 192.0.2.2], ports: 10000-20000 }\n"
	"timeouts: { syn: 5s }\n"
	"pools:\n"
	"  web:\n"
	"    balance: source-ip\n"
	"    health: { type: tcp, interval: 5s }\n"
	"    backends: [10.1.0.11:8080, \"[2001:db8::13]:8080\"]\n"
	"  new: { backends: [10.1.0.30:80] }\n"
	"  list: { balance: first, backends: [10.1.0.42:80, 10.1.0.41:80] }\n"
	"services:\n"
	"  web:\n"
	"    listen: [tcp://192.0.2.10:80, tcp://192.0.2.10:8080]\n"
	"    source: client\n"
	"    idle_timeout: 30s\n"
	"    pool: web\n"
	"  new: { listen: tcp://192.0.2.10:83, pool: new }\n"
	"  list: { listen: tcp://192.0.2.10:82, pool: new }\n";

static const char lines[] =
	"flow_table 262144 -> 1024 (changes at the next start)\n"
	"hash_seed changed (changes at the next start)\n"
	"http no HTTP -> 127.0.0.1:9180\n"
	"interface eth0: mode auto -> native\n"
	"interface eth1: removed\n"
	"interface eth2: added\n"
	"nat addresses the egress interface's own, by family -> 192.0.2.1, 192.0.2.2\n"
	"nat ports 10000-30000 -> 10000-20000\n"
	"pool list: order of backends changed\n"
	"pool new: added (1 backend)\n"
	"pool old: removed (1 backend)\n"
	"pool web: 10.1.0.12:8080 removed, its flows go on\n"
	"pool web: [2001:db8::13]:8080 added, weight 1\n"
	"pool web: balance maglev -> source-ip\n"
	"pool web: health interval 2s -> 5s\n"
	"pool web: weight of 10.1.0.11:8080 3 -> 1\n"
	"service list: pool list -> new\n"
	"service new: added (1 listener)\n"
	"service old: removed, its flows go on (1 listener)\n"
	"service web: idle_timeout TCP 7440s, UDP 30s -> 30s\n"
	"service web: listener tcp://192.0.2.10:8080 added\n"
	"service web: listener udp://192.0.2.10:80 removed\n"
	"service web: source lb -> client\n"
	"timeouts syn 10s -> 5s\n";

static struct config parsed(const char *text)
{
	struct config config;
	struct cfg_error err = { "" };

	if (!config_parse(text, strlen(text), "lb.yaml", &config, &err))
		fail_msg("%s", err.text);
	return config;
}

static void a_reload_says_what_changed_in_a_stable_order(void **state)
{
	struct config from = parsed(before_yaml), to = parsed(after_yaml);
	const struct plan plan = { 0 };
	char *text = plan_describe(&plan, &from, &to);

	(void)state;
	assert_string_equal(text, lines);
	free(text);
	text = plan_describe(&plan, &from, &from);
	assert_string_equal(text, "");
	free(text);
	text = plan_describe(&plan, &to, &to);
	assert_string_equal(text, "");
	free(text);
	config_free(&from);
	config_free(&to);
}

static void the_order_of_everything_in_the_file_is_no_change(void **state)
{
	struct config from = fixture_config(), to = fixture_config();
	const struct plan plan = { 0 };
	char *text;

	(void)state;
	fixture_backends(fixture_pool(&from, "a", XDPLB_MAGLEV), 2);
	fixture_pool(&from, "b", XDPLB_MAGLEV);
	fixture_pool(&to, "b", XDPLB_MAGLEV);
	fixture_backend(fixture_pool(&to, "a", XDPLB_MAGLEV), "10.1.0.1:8080", 1);
	fixture_backend(&to.pools[1], "10.1.0.0:8080", 1);
	fixture_service(&from, "x", 0);
	fixture_service(&from, "y", 1);
	fixture_service(&to, "y", 0);
	fixture_service(&to, "x", 1);
	text = plan_describe(&plan, &from, &to);
	assert_string_equal(text, "");
	free(text);
	config_free(&from);
	config_free(&to);
}

static void a_start_says_how_far_the_maps_were_off(void **state)
{
	const struct entries nothing = { 0 };
	struct change change;
	char *text;

	(void)state;
	change_start(&change, fixture_web());
	plan_make(&nothing, &change.from, &change.plan);
	text = plan_describe(&change.plan, NULL, model_config(change.model));
	assert_string_equal(text, "maps: 8 rows set, 2 tables swapped, 0 rows deleted\n");
	free(text);
	plan_free(&change.plan);
	text = plan_describe(&change.plan, NULL, model_config(change.model));
	assert_string_equal(text, "");
	free(text);
	change_end(&change);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_becomes_a_row_for_each_listener),
		cmocka_unit_test(a_backend_row_has_all_the_datapath_needs),
		cmocka_unit_test(nat_ranges_are_by_family_and_have_ports_without_addresses),
		cmocka_unit_test(nothing_changed_is_an_empty_plan),
		cmocka_unit_test(from_nothing_a_plan_sets_what_others_point_to_first),
		cmocka_unit_test(a_weight_swaps_one_table_and_says_what_was_before),
		cmocka_unit_test(a_next_hop_changes_a_row_and_no_table),
		cmocka_unit_test(the_last_backend_of_a_family_that_goes_down_empties_the_table),
		cmocka_unit_test(a_service_that_moves_is_set_before_the_old_one_goes),
		cmocka_unit_test(a_removed_pool_goes_in_two_steps),
		cmocka_unit_test(nat_addresses_are_one_step),
		cmocka_unit_test(a_row_for_another_name_is_a_change_of_the_row),
		cmocka_unit_test(unsorted_entries_are_brought_in_order),
		cmocka_unit_test(a_reload_says_what_changed_in_a_stable_order),
		cmocka_unit_test(the_order_of_everything_in_the_file_is_no_change),
		cmocka_unit_test(a_start_says_how_far_the_maps_were_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
