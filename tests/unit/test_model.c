// SPDX-License-Identifier: GPL-2.0-only
#include "model_fixture.h"

#include "base/clock.h"

static const struct xdplb_pool *pool_row(const struct entries *entries, uint32_t id)
{
	for (size_t i = 0; i < entries->pool_count; i++)
		if (entries->pools[i].id == id)
			return &entries->pools[i].row;
	return NULL;
}

/* A pool "web" of @count probed backends. */
static struct config probed_pool(uint32_t count)
{
	struct config config = fixture_config();
	struct cfg_pool *pool = fixture_pool(&config, "web", XDPLB_MAGLEV);

	fixture_probed(pool);
	fixture_backends(pool, count);
	return config;
}

static void ids_count_from_zero_and_backends_from_one(void **state)
{
	struct model *model = model_new();

	(void)state;
	fixture_set(model, fixture_web());
	assert_int_equal(model_service_id(model, 0), 0);
	assert_int_equal(model_pool_id(model, 0), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(model_backend(model, 0, i)->id, i + 1);
	assert_ptr_equal(model_backend_by_id(model, 2), model_backend(model, 0, 1));
	assert_null(model_backend_by_id(model, 0));
	assert_null(model_backend_by_id(model, 4));
	assert_null(model_backend_by_id(model, XDPLB_MAX_BACKENDS));
	model_free(model);
}

static void names_keep_their_rows_when_others_come_in_front(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_config();
	struct cfg_pool *pool = fixture_pool(&config, "new", XDPLB_FIRST);

	(void)state;
	fixture_set(model, fixture_web());
	fixture_backend(pool, "10.1.0.11:8080", 1); /* the same server, in another pool */
	pool = fixture_pool(&config, "web", XDPLB_MAGLEV);
	fixture_backend(pool, "10.1.0.10:8080", 1);
	fixture_backend(pool, "10.1.0.12:8080", 1);
	fixture_backend(pool, "10.1.0.11:8080", 3);
	fixture_service(&config, "a", 0);
	fixture_service(&config, "web", 1);
	fixture_set(model, config);
	assert_int_equal(model_service_id(model, 0), 1);
	assert_int_equal(model_service_id(model, 1), 0);
	assert_int_equal(model_pool_id(model, 0), 1);
	assert_int_equal(model_pool_id(model, 1), 0);
	assert_int_equal(model_backend(model, 0, 0)->id, 4);
	assert_int_equal(model_backend(model, 1, 0)->id, 5);
	assert_int_equal(model_backend(model, 1, 1)->id, 2);
	assert_int_equal(model_backend(model, 1, 2)->id, 1);
	assert_ptr_equal(model_pool_by_id(model, 1), &model_config(model)->pools[0]);
	model_free(model);
}

static void a_removed_backend_keeps_its_row_until_it_is_released(void **state)
{
	struct model *model = model_new();
	struct entries entries;
	struct config config = probed_pool(1);

	(void)state;
	fixture_set(model, probed_pool(2));
	model_backend(model, 0, 1)->health = BACKEND_UP;
	model_backend(model, 0, 1)->resolved = true;
	fixture_set(model, config);

	assert_non_null(model_backend_by_id(model, 2));
	assert_null(model_backend_by_id(model, 2)->config);
	assert_int_equal(model_backend_by_id(model, 2)->port, 8080);
	assert_string_equal(model_backend_state(model_backend_by_id(model, 2), NULL), "draining");
	render(model, &entries);
	assert_int_equal(backend_row(&entries, 2)->flags,
			 XDPLB_BACKEND_USED | XDPLB_BACKEND_REMOVED | XDPLB_BACKEND_RESOLVED);
	assert_int_equal(backend_row(&entries, 2)->weight, 0);
	entries_free(&entries);

	model_release_backend(model, 1); /* a configured one: nothing happens */
	model_release_backend(model, 2);
	model_release_backend(model, 2);
	model_release_backend(model, 77777);
	render(model, &entries);
	assert_int_equal(entries.backend_count, 1);
	assert_int_equal(entries.backends[0].id, 1);
	entries_free(&entries);
	model_free(model);
}

static void a_backend_that_comes_back_has_its_old_row_and_waits_for_a_probe(void **state)
{
	struct model *model = model_new();
	struct entries entries;
	uint32_t ids[8];

	(void)state;
	fixture_set(model, probed_pool(2));
	assert_int_equal(model_fresh_backends(model, ids, 8), 2);
	model_backend(model, 0, 1)->health = BACKEND_UP;
	model_backend(model, 0, 1)->admin = BACKEND_DISABLED;
	fixture_set(model, probed_pool(1));
	fixture_set(model, probed_pool(2));
	assert_int_equal(model_backend(model, 0, 1)->id, 2);
	assert_int_equal(model_fresh_backends(model, ids, 8), 0); /* its counters go on */
	assert_int_equal(model_backend(model, 0, 1)->admin, BACKEND_ENABLED);
	render(model, &entries);
	assert_int_equal(backend_row(&entries, 2)->flags, XDPLB_BACKEND_USED);
	entries_free(&entries);
	model_free(model);
}

static void a_removed_pool_keeps_its_row_as_long_as_its_backends(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_config();
	struct entries entries;

	(void)state;
	fixture_set(model, fixture_web());
	fixture_pool(&config, "other", XDPLB_MAGLEV);
	fixture_set(model, config);
	assert_int_equal(model_pool_id(model, 0), 1);
	render(model, &entries);
	assert_int_equal(entries.pool_count, 2);
	assert_string_equal(pool_row(&entries, 0)->name, "web");
	assert_int_equal(pool_row(&entries, 0)->used, 1);
	assert_int_equal(pool_row(&entries, 0)->slots[XDPLB_V4], 0);
	assert_int_equal(pool_row(&entries, 0)->digest[XDPLB_V4], 0);
	entries_free(&entries);
	assert_null(model_pool_by_id(model, 0));

	for (uint32_t id = 1; id <= 3; id++)
		model_release_backend(model, id);
	render(model, &entries);
	assert_int_equal(entries.pool_count, 1);
	assert_int_equal(entries.pools[0].id, 1);
	entries_free(&entries);

	fixture_set(model, fixture_web()); /* rows that are free again go to the next */
	assert_int_equal(model_pool_id(model, 0), 0);
	assert_int_equal(model_backend(model, 0, 0)->id, 1);
	model_free(model);
}

static void a_pool_that_is_renamed_is_another_one(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_web();

	(void)state;
	fixture_set(model, fixture_web());
	config.pools[0].name[0] = 'v';
	fixture_set(model, config);
	assert_int_equal(model_pool_id(model, 0), 1);
	assert_int_equal(model_backend(model, 0, 0)->id, 4);
	assert_null(model_backend_by_id(model, 1)->config);
	assert_int_equal(model_backend_by_id(model, 1)->pool_id, 0);
	model_free(model);
}

static void a_removed_service_keeps_its_id_until_it_is_released(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_config();
	uint32_t ids[4];

	(void)state;
	fixture_set(model, fixture_web());
	assert_int_equal(model_removed_services(model, ids, 4), 0);
	fixture_pool(&config, "web", XDPLB_MAGLEV);
	fixture_service(&config, "other", 0);
	fixture_set(model, config);
	assert_int_equal(model_service_id(model, 0), 1);
	assert_int_equal(model_removed_services(model, ids, 4), 1);
	assert_int_equal(ids[0], 0);

	model_release_service(model, 1); /* a configured one: nothing happens */
	model_release_service(model, 0);
	model_release_service(model, 99999);
	assert_int_equal(model_removed_services(model, ids, 4), 0);
	assert_int_equal(model_fresh_services(model, ids, 4), 1);
	assert_int_equal(ids[0], 1);
	fixture_set(model, fixture_web());
	assert_int_equal(model_service_id(model, 0), 0);
	assert_int_equal(model_fresh_services(model, ids, 4), 1);
	assert_int_equal(ids[0], 0);
	model_free(model);
}

static void fresh_rows_are_told_once_and_in_portions(void **state)
{
	struct model *model = model_new();
	uint32_t ids[2];

	(void)state;
	fixture_set(model, fixture_web());
	assert_int_equal(model_fresh_backends(model, ids, 2), 2);
	assert_int_equal(ids[0], 1);
	assert_int_equal(ids[1], 2);
	assert_int_equal(model_fresh_backends(model, ids, 2), 1);
	assert_int_equal(ids[0], 3);
	assert_int_equal(model_fresh_backends(model, ids, 2), 0);
	fixture_set(model, fixture_web());
	assert_int_equal(model_fresh_backends(model, ids, 2), 0);
	model_free(model);
}

static void a_restart_finds_the_rows_in_the_pinned_maps(void **state)
{
	struct model *before = model_new(), *after = model_new();
	struct config config = fixture_config();
	struct entries pinned, entries;
	struct plan plan;
	uint32_t ids[4];

	(void)state;
	/* Rows that no fresh model would choose: the first of everything is gone. */
	fixture_pool(&config, "gone", XDPLB_MAGLEV);
	fixture_service(&config, "gone", 0);
	fixture_set(before, config);
	fixture_set(before, fixture_web());
	model_backend(before, 0, 0)->resolved = true;
	model_backend(before, 0, 0)->nexthop.ifindex = 7;
	model_backend(before, 0, 0)->nat_addr = fixture_addr("10.1.0.1");
	render(before, &pinned);

	model_adopt(after, &pinned);
	fixture_set(after, fixture_web());
	assert_int_equal(model_service_id(after, 0), model_service_id(before, 0));
	assert_int_equal(model_pool_id(after, 0), model_pool_id(before, 0));
	assert_int_equal(model_backend(after, 0, 0)->nexthop.ifindex, 7);
	assert_int_equal(model_fresh_backends(after, ids, 4), 0);
	assert_int_equal(model_fresh_services(after, ids, 4), 0);
	render(after, &entries);
	plan_make(&pinned, &entries, &plan);
	assert_int_equal(plan.count, 0);
	plan_free(&plan);
	entries_free(&entries);
	entries_free(&pinned);
	model_free(before);
	model_free(after);
}

static void a_restart_drains_what_the_file_no_longer_has(void **state)
{
	struct model *before = model_new(), *after = model_new();
	struct config config = fixture_config();
	struct entries pinned, entries;
	uint32_t ids[4];

	(void)state;
	fixture_set(before, fixture_web());
	render(before, &pinned);
	model_adopt(after, &pinned);
	fixture_pool(&config, "other", XDPLB_MAGLEV);
	fixture_service(&config, "other", 0);
	fixture_set(after, config);
	assert_int_equal(model_pool_id(after, 0), 1);
	assert_int_equal(model_removed_services(after, ids, 4), 1);
	render(after, &entries);
	assert_int_equal(entries.backend_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(entries.backends[i].row.flags,
				 XDPLB_BACKEND_USED | XDPLB_BACKEND_REMOVED);
	assert_string_equal(pool_row(&entries, 0)->name, "web");
	entries_free(&entries);
	entries_free(&pinned);
	model_free(before);
	model_free(after);
}

static void a_restart_takes_backends_for_what_they_were_until_the_first_probe(void **state)
{
	struct model *before = model_new(), *after = model_new();
	struct entries pinned, entries;
	struct model_backend *backend;

	(void)state;
	fixture_set(before, probed_pool(2));
	model_backend(before, 0, 0)->health = BACKEND_UP;
	model_backend(before, 0, 1)->health = BACKEND_DOWN;
	render(before, &pinned);
	model_adopt(after, &pinned);
	fixture_set(after, probed_pool(2));
	backend = model_backend(after, 0, 0);
	assert_string_equal(model_backend_state(backend, &model_config(after)->pools[0]),
			    "unknown");
	render(after, &entries);
	assert_true(backend_row(&entries, 1)->flags & XDPLB_BACKEND_UP);
	assert_false(backend_row(&entries, 2)->flags & XDPLB_BACKEND_UP);
	assert_memory_equal(pool_row(&entries, 0), pool_row(&pinned, 0), sizeof(struct xdplb_pool));
	entries_free(&entries);

	backend->health = BACKEND_DOWN;
	render(after, &entries);
	assert_false(backend_row(&entries, 1)->flags & XDPLB_BACKEND_UP);
	entries_free(&entries);
	entries_free(&pinned);
	model_free(before);
	model_free(after);
}

static void what_a_broken_apply_left_in_the_maps_is_not_adopted(void **state)
{
	struct entry_backend backends[] = {
		{ .id = 1, .row = { .flags = XDPLB_BACKEND_USED, .pool = 5 } },
		{ .id = 2, .row = { .flags = 0, .pool = 3 } },
		{ .id = 3, .row = { .flags = XDPLB_BACKEND_USED, .pool = 99999 } },
		{ .id = 4, .row = { .flags = XDPLB_BACKEND_USED, .pool = 3 } },
		{ .id = 5, .row = { .flags = XDPLB_BACKEND_USED, .pool = 3 } }, /* as row 4 */
		{ .id = 70000, .row = { .flags = XDPLB_BACKEND_USED, .pool = 3 } },
	};
	struct entry_pool pools[] = { { .id = 3, .row = { .name = "web", .used = 1 } },
				      { .id = 4, .row = { .name = "web", .used = 1 } },
				      { .id = 5, .row = { .name = "free" } },
				      { .id = 20000, .row = { .name = "far", .used = 1 } } };
	struct entry_service services[] = { { .row = { .id = 70000, .name = "far" } } };
	const struct entries pinned = { .services = services,
					.service_count = 1,
					.pools = pools,
					.pool_count = 4,
					.backends = backends,
					.backend_count = 6 };
	struct model *model = model_new();
	struct entries entries;

	(void)state;
	memset(pools[3].row.name, 'x', XDPLB_NAME_LEN); /* without its end */
	model_adopt(model, &pinned);
	render(model, &entries);
	assert_int_equal(entries.pool_count, 1);
	assert_int_equal(entries.pools[0].id, 3);
	assert_int_equal(entries.backend_count, 1);
	assert_int_equal(entries.backends[0].id, 4);
	entries_free(&entries);
	model_free(model);
}

static void too_many_rows_are_refused_and_nothing_changes(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_config();
	struct cfg_error err = { "" };

	(void)state;
	fixture_set(model, fixture_web());
	fixture_pool(&config, "more", XDPLB_MAGLEV);
	fixture_backends(&config.pools[0], XDPLB_MAX_BACKENDS - 1); /* and 3 that are removed */
	assert_false(model_set_config(model, &config, &err));
	assert_non_null(strstr(err.text, "65536 new backends, but only 65533"));
	assert_int_equal(config.pool_count, 1);
	assert_string_equal(model_config(model)->pools[0].name, "web");
	assert_int_equal(model_backend(model, 0, 2)->id, 3);
	assert_null(model_previous(model));
	config_free(&config);
	model_free(model);
}

static void a_configuration_that_could_not_be_applied_is_taken_back(void **state)
{
	struct model *model = model_new();
	struct config config = fixture_web();
	struct cfg_error err = { "" };
	struct entries before, after;

	(void)state;
	assert_false(model_revert(model, &err));
	assert_string_not_equal(err.text, "");
	fixture_set(model, fixture_web());
	render(model, &before);
	config.pools[0].backends[0].weight = 1;
	fixture_backend(&config.pools[0], "10.1.0.14:8080", 1);
	fixture_set(model, config);
	assert_int_equal(model_previous(model)->pools[0].backend_count, 3);
	assert_true(model_revert(model, &err));
	assert_null(model_previous(model));
	model_release_backend(model, 4);
	render(model, &after);
	assert_int_equal(before.backend_count, after.backend_count);
	assert_memory_equal(before.backends, after.backends,
			    before.backend_count * sizeof(*before.backends));
	assert_memory_equal(before.pools, after.pools, sizeof(*before.pools));
	entries_free(&before);
	entries_free(&after);
	model_free(model);
}

static void states_have_the_words_of_the_contract(void **state)
{
	static const struct {
		enum backend_health health;
		enum backend_admin admin;
		uint32_t type, weight;
		const char *word;
		bool up;
	} cases[] = {
		{ BACKEND_UNKNOWN, BACKEND_ENABLED, CFG_HEALTH_NONE, 1, "up", true },
		{ BACKEND_UNKNOWN, BACKEND_ENABLED, CFG_HEALTH_TCP, 1, "unknown", false },
		{ BACKEND_UP, BACKEND_ENABLED, CFG_HEALTH_TCP, 1, "up", true },
		{ BACKEND_DOWN, BACKEND_ENABLED, CFG_HEALTH_TCP, 1, "down", false },
		{ BACKEND_DOWN, BACKEND_ENABLED, CFG_HEALTH_NONE, 1, "up", true },
		{ BACKEND_UP, BACKEND_ENABLED, CFG_HEALTH_TCP, 0, "draining", true },
		{ BACKEND_DOWN, BACKEND_ENABLED, CFG_HEALTH_TCP, 0, "down", false },
		{ BACKEND_UP, BACKEND_DISABLED, CFG_HEALTH_TCP, 1, "disabled", false },
		{ BACKEND_UP, BACKEND_DISABLED, CFG_HEALTH_NONE, 0, "disabled", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct cfg_backend config = { .weight = cases[i].weight };
		const struct cfg_pool pool = { .health = { .type = cases[i].type } };
		const struct model_backend backend = { .config = &config,
						       .health = cases[i].health,
						       .admin = cases[i].admin };

		assert_string_equal(model_backend_state(&backend, &pool), cases[i].word);
		assert_int_equal(model_backend_usable(&backend, &pool), cases[i].up);
	}
}

static void a_pool_that_begins_to_be_probed_stays_up_until_the_first_probe(void **state)
{
	struct model *model = model_new();
	struct config config = probed_pool(2);

	(void)state;
	config.pools[0].health.type = CFG_HEALTH_NONE;
	config.pools[0].backend_count--;
	free(config.pools[0].backends[1].address);
	fixture_set(model, config);
	fixture_set(model, probed_pool(2));
	assert_true(model_backend_usable(model_backend(model, 0, 0), model_pool_by_id(model, 0)));
	assert_false(model_backend_usable(model_backend(model, 0, 1), model_pool_by_id(model, 0)));
	model_free(model);
}

static void health_and_next_hop_stay_over_a_reload(void **state)
{
	struct model *model = model_new();
	struct config config = probed_pool(1);

	(void)state;
	fixture_set(model, probed_pool(1));
	model_backend(model, 0, 0)->health = BACKEND_DOWN;
	model_backend(model, 0, 0)->nexthop.ifindex = 7;
	config.pools[0].backends[0].weight = 9;
	config.pools[0].health.fall = 5;
	fixture_set(model, config);
	assert_int_equal(model_backend(model, 0, 0)->health, BACKEND_DOWN);
	assert_int_equal(model_backend(model, 0, 0)->nexthop.ifindex, 7);
	assert_int_equal(model_backend(model, 0, 0)->config->weight, 9);
	model_free(model);
}

static void backend_count(void *arg, struct model_backend *backend)
{
	size_t *sum = arg;

	*sum += backend->id;
}

static void every_row_is_visited_removed_ones_too(void **state)
{
	struct model *model = model_new();
	size_t sum = 0;

	(void)state;
	fixture_set(model, probed_pool(3));
	fixture_set(model, probed_pool(1));
	model_each_backend(model, backend_count, &sum);
	assert_int_equal(sum, 1 + 2 + 3);
	model_free(model);
}

/* As many as there may be: 16,384 services and pools of 4 backends. */
static struct config full_config(void)
{
	struct config config = fixture_config();

	for (uint32_t i = 0; i < XDPLB_MAX_SERVICES; i++) {
		auto_free char *name = xasprintf("service-%u", i);
		auto_free char *vip = xasprintf("[2001:db8::%x]:80", i + 1);
		struct cfg_pool *pool = fixture_pool(&config, name, XDPLB_MAGLEV);

		fixture_backends(pool, 4);
		fixture_listener(fixture_service(&config, name, i), IPPROTO_TCP, vip);
		fixture_listener(&config.services[i], IPPROTO_UDP, vip);
	}
	return config;
}

static void the_largest_configuration_is_set_adopted_and_planned_in_seconds(void **state)
{
	struct model *before = model_new(), *after = model_new();
	struct entries pinned, entries;
	struct plan plan;
	uint64_t start;

	(void)state;
	fixture_set(before, full_config());
	start = clock_now_ns();
	fixture_set(before, full_config());
	render(before, &pinned);
	assert_int_equal(pinned.service_count, 32768);
	assert_int_equal(pinned.pool_count, 16384);
	assert_int_equal(pinned.backend_count, 65536);
	model_adopt(after, &pinned);
	fixture_set(after, full_config());
	render(after, &entries);
	plan_make(&pinned, &entries, &plan);
	assert_int_equal(plan.count, 0);
	print_message("the largest configuration, twice: %.0f ms\n",
		      (double)(clock_now_ns() - start) / 1e6);
	assert_true(clock_now_ns() - start < 10000000000ULL);
	plan_free(&plan);
	entries_free(&entries);
	entries_free(&pinned);
	model_free(before);
	model_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_count_from_zero_and_backends_from_one),
		cmocka_unit_test(names_keep_their_rows_when_others_come_in_front),
		cmocka_unit_test(a_removed_backend_keeps_its_row_until_it_is_released),
		cmocka_unit_test(a_backend_that_comes_back_has_its_old_row_and_waits_for_a_probe),
		cmocka_unit_test(a_removed_pool_keeps_its_row_as_long_as_its_backends),
		cmocka_unit_test(a_pool_that_is_renamed_is_another_one),
		cmocka_unit_test(a_removed_service_keeps_its_id_until_it_is_released),
		cmocka_unit_test(fresh_rows_are_told_once_and_in_portions),
		cmocka_unit_test(a_restart_finds_the_rows_in_the_pinned_maps),
		cmocka_unit_test(a_restart_drains_what_the_file_no_longer_has),
		cmocka_unit_test(a_restart_takes_backends_for_what_they_were_until_the_first_probe),
		cmocka_unit_test(what_a_broken_apply_left_in_the_maps_is_not_adopted),
		cmocka_unit_test(too_many_rows_are_refused_and_nothing_changes),
		cmocka_unit_test(a_configuration_that_could_not_be_applied_is_taken_back),
		cmocka_unit_test(states_have_the_words_of_the_contract),
		cmocka_unit_test(a_pool_that_begins_to_be_probed_stays_up_until_the_first_probe),
		cmocka_unit_test(health_and_next_hop_stay_over_a_reload),
		cmocka_unit_test(every_row_is_visited_removed_ones_too),
		cmocka_unit_test(the_largest_configuration_is_set_adopted_and_planned_in_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
