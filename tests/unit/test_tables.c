// SPDX-License-Identifier: GPL-2.0-only
#include "model_fixture.h"

#include "base/clock.h"
#include "model/turns.h"

#define ROUNDS 60

static struct config pool_config(enum xdplb_balance balance, uint32_t backends)
{
	struct config config = fixture_config();

	fixture_backends(fixture_pool(&config, "web", balance), backends);
	return config;
}

static struct config sized_config(uint32_t table, uint32_t backends)
{
	struct config config = pool_config(XDPLB_MAGLEV, backends);

	config.pools[0].table = table;
	return config;
}

static struct xdplb_slot *v4_table(const struct model *model, uint32_t *count)
{
	return render_table(model, 0, XDPLB_V4, count);
}

/* The table of pool 0 that @config alone leads to. */
static struct xdplb_slot *table_of(struct config config, uint32_t *count)
{
	struct model *model = model_new();
	struct xdplb_slot *slots;

	fixture_set(model, config);
	slots = v4_table(model, count);
	model_free(model);
	return slots;
}

static uint32_t slots_of(const struct xdplb_slot *slots, uint32_t count, uint32_t id)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += slots[i].backend == id;
	return sum;
}

static struct entry_pool pool_entry(const struct model *model)
{
	struct entries entries;
	struct entry_pool pool;

	render(model, &entries);
	pool = entries.pools[0];
	entries_free(&entries);
	return pool;
}

/* ---- turns */

static void shares_are_exact_to_a_turn_and_never_nothing(void **state)
{
	static const struct {
		uint32_t total, weights[4], turns[4];
	} cases[] = {
		{ 4093, { 3, 1, 0 }, { 3070, 1023, 0 } },
		{ 7, { 5, 1, 1, 0 }, { 5, 1, 1, 0 } },
		{ 10, { 1, 1, 1, 0 }, { 4, 3, 3, 0 } },
		{ 100, { 1000, 1000, 1, 0 }, { 50, 49, 1, 0 } },
		{ 4, { 1000, 900, 2, 1 }, { 1, 1, 1, 1 } },
		{ 2, { 1, 5, 5, 0 }, { 0, 1, 1, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t turns[4] = { 0 };
		size_t count = 0;

		while (count < 4 && cases[i].weights[count])
			count++;
		turns_share(cases[i].weights, count, cases[i].total, turns);
		assert_memory_equal(turns, cases[i].turns, sizeof(turns));
	}
}

/* After k turns everyone has had its part of them, to less than one. */
static void turns_are_never_more_than_one_ahead_or_behind(void **state)
{
	static const uint32_t turns[] = { 500, 1, 37, 250, 37, 1, 1, 173 };
	uint32_t order[1000], taken[8] = { 0 };

	(void)state;
	turns_order(turns, 8, 1000, order);
	for (uint32_t step = 0; step < 1000; step++) {
		taken[order[step]]++;
		for (size_t i = 0; i < 8; i++) {
			int64_t lag = (int64_t)(step + 1) * turns[i] - (int64_t)taken[i] * 1000;

			assert_in_range(lag + 1000, 1, 1999);
		}
	}
	assert_memory_equal(taken, turns, sizeof(turns));
}

/* ---- maglev and source-* */

static void every_slot_is_taken_and_shares_follow_weights(void **state)
{
	static const uint32_t sizes[] = { 2039, 4093, 16381, 65537 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct config config = sized_config(sizes[i], 2);
		struct xdplb_slot *slots;
		uint32_t count, heavy;

		config.pools[0].backends[0].weight = 3;
		slots = table_of(config, &count);
		assert_int_equal(count, sizes[i]);
		heavy = slots_of(slots, count, 1);
		assert_int_equal(heavy + slots_of(slots, count, 2), count);
		assert_in_range(heavy * 4, count * 3 - 4, count * 3 + 4); /* to a slot */
		free(slots);
	}
}

/* Slots that changed though their backend is in both tables, in parts of 10,000 of them. */
static uint32_t moved_of(const struct xdplb_slot *before, const struct xdplb_slot *after,
			 uint32_t count, uint32_t gone)
{
	uint32_t moved = 0, others = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (before[i].backend == gone)
			continue;
		others++;
		moved += before[i].backend != after[i].backend;
	}
	assert_int_not_equal(others, 0);
	return others ? moved * 10000 / others : 0;
}

/* Backend @out of @backends leaves (weight 0: new flows leave it); other addresses with each @round. */
static uint32_t moved_by_removal(uint32_t table, uint32_t backends, uint32_t out, uint32_t round)
{
	struct config before = sized_config(table, backends);
	struct config after = sized_config(table, backends);
	struct xdplb_slot *old, *new;
	uint32_t count, moved;

	for (uint32_t i = 0; i < backends; i++)
		before.pools[0].backends[i].port = after.pools[0].backends[i].port =
			(uint16_t)(8000 + round);
	after.pools[0].backends[out].weight = 0;
	old = table_of(before, &count);
	new = table_of(after, &count);
	assert_int_equal(slots_of(new, count, out + 1), 0);
	moved = moved_of(old, new, count, out + 1);
	free(old);
	free(new);
	return moved;
}

static void one_of_four_that_leaves_moves_few_slots_of_the_others(void **state)
{
	static const struct {
		uint32_t table, most; /* parts of 10,000 */
	} cases[] = { { 4093, 300 }, { 16381, 100 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint32_t sum = 0, worst = 0;

		for (uint32_t round = 0; round < ROUNDS; round++) {
			uint32_t moved = moved_by_removal(cases[i].table, 4, round % 4, round);

			sum += moved;
			worst = moved > worst ? moved : worst;
		}
		print_message("%u slots, one of 4 leaves: %u.%02u %% of the others move, at most "
			      "%u.%02u %%\n",
			      cases[i].table, sum / ROUNDS / 100, sum / ROUNDS % 100, worst / 100,
			      worst % 100);
		assert_in_range(worst, 0, cases[i].most);
	}
}

static void a_changed_weight_moves_little_more_than_it_must(void **state)
{
	struct config config = sized_config(16381, 10);
	struct xdplb_slot *before, *after;
	uint32_t count, moved = 0, must;

	(void)state;
	before = table_of(sized_config(16381, 10), &count);
	config.pools[0].backends[3].weight = 2;
	after = table_of(config, &count);
	must = slots_of(after, count, 4) - slots_of(before, count, 4);
	for (uint32_t i = 0; i < count; i++)
		moved += before[i].backend != after[i].backend;
	print_message("weight of one of 10 1 -> 2: %u slots must move, %u do\n", must, moved);
	assert_in_range(moved, must, must + count / 50);
	free(before);
	free(after);
}

static void nodes_agree_whatever_their_ids_and_the_order_in_the_file(void **state)
{
	struct config turned = fixture_config(), other = fixture_config();
	struct cfg_pool *pool = fixture_pool(&turned, "web", XDPLB_MAGLEV);
	struct model *model = model_new();
	struct xdplb_slot *first, *second;
	uint32_t count;

	(void)state;
	for (int i = 2; i >= 0; i--) {
		auto_free char *address = xasprintf("10.1.0.%d:8080", i);

		fixture_backend(pool, address, 1);
	}
	fixture_backends(fixture_pool(&other, "other", XDPLB_MAGLEV), 9); /* takes ids 1 to 9 */
	first = table_of(pool_config(XDPLB_MAGLEV, 3), &count);
	fixture_set(model, other);
	fixture_set(model, turned);
	second = render_table(model, model_pool_id(model, 0), XDPLB_V4, &count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(first[i].backend, 13 - second[i].backend);
	free(first);
	free(second);
	model_free(model);
}

/* What chooses between nodes must not change with a new version: that would move flows. */
static void a_table_is_the_same_in_every_version(void **state)
{
	static const uint32_t want[] = { 3, 2, 5, 4, 3, 1, 3, 5 };
	struct xdplb_slot *slots;
	uint32_t count;

	(void)state;
	slots = table_of(sized_config(2039, 5), &count);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(slots[i * 250].backend, want[i]);
	free(slots);
}

static void twenty_backends_take_half_a_millisecond(void **state)
{
	struct model *model = model_new();
	uint64_t best = UINT64_MAX;

	(void)state;
	fixture_set(model, pool_config(XDPLB_MAGLEV, 20));
	for (int i = 0; i < 20; i++) {
		uint64_t start = clock_now_ns(), took;
		uint32_t count;

		free(v4_table(model, &count));
		took = clock_now_ns() - start;
		best = took < best ? took : best;
	}
	print_message("20 backends, 4093 slots: %.2f ms\n", (double)best / 1e6);
	assert_true(best < 20000000); /* sanitizers and a busy machine: far from 0.5 ms here */
	model_free(model);
}

/* ---- round-robin and random */

static void round_robin_spreads_the_light_among_the_heavy(void **state)
{
	static const uint32_t want[] = { 1, 2, 1, 1, 3, 1, 1 };
	struct config config = pool_config(XDPLB_ROUND_ROBIN, 3);
	struct xdplb_slot *slots;
	uint32_t count;

	(void)state;
	config.pools[0].backends[0].weight = 500;
	config.pools[0].backends[1].weight = config.pools[0].backends[2].weight = 100;
	slots = table_of(config, &count);
	assert_int_equal(count, 7);
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(slots[i].backend, want[i]);
	free(slots);
}

static void round_robin_of_equals_is_in_file_order(void **state)
{
	struct xdplb_slot *slots;
	uint32_t count;

	(void)state;
	slots = table_of(pool_config(XDPLB_ROUND_ROBIN, 5), &count);
	assert_int_equal(count, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(slots[i].backend, i + 1);
	free(slots);
}

/* Σ weights is beyond the largest table: shares to a slot, and one for the lightest. */
static void weights_beyond_the_largest_table_are_scaled(void **state)
{
	struct config config = pool_config(XDPLB_RANDOM, 1000);
	struct xdplb_slot *slots;
	uint32_t count, sum = 0;
	uint64_t start;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		sum += config.pools[0].backends[i].weight = i == 7 ? 1 : 3 + i * 641 % 997;
	start = clock_now_ns();
	slots = table_of(config, &count);
	print_message("1000 backends of many weights: %.1f ms\n",
		      (double)(clock_now_ns() - start) / 1e6);
	assert_int_equal(count, XDPLB_MAX_SLOTS);
	assert_int_equal(slots_of(slots, count, 8), 1);
	for (uint32_t i = 0; i < 1000; i += 13) {
		uint32_t weight = 3 + i * 641 % 997;
		uint64_t share = (uint64_t)weight * count / sum;

		assert_in_range(slots_of(slots, count, i + 1), share ? share : 1, share + 2);
	}
	free(slots);
}

/* ---- least-conn, first */

static void least_conn_has_a_slot_and_a_cost_for_each(void **state)
{
	struct config config = pool_config(XDPLB_LEAST_CONN, 4);
	struct xdplb_slot *slots;
	uint32_t count;

	(void)state;
	config.pools[0].backends[0].weight = 3;
	config.pools[0].backends[2].weight = 0;
	config.pools[0].backends[3].weight = 1000;
	slots = table_of(config, &count);
	assert_int_equal(count, 3);
	assert_int_equal(slots[0].backend, 1);
	assert_int_equal(slots[1].backend, 2);
	assert_int_equal(slots[2].backend, 4);
	assert_int_equal(slots[0].cost * 3, slots[1].cost); /* 3 connections weigh as much as 1 */
	assert_in_range(slots[2].cost * 1000ULL, slots[1].cost - 500, slots[1].cost + 500);
	free(slots);
}

static void first_is_the_first_that_is_usable(void **state)
{
	struct model *model = model_new();
	struct xdplb_slot *slots;
	struct entry_pool before;
	uint32_t count;

	(void)state;
	fixture_set(model, pool_config(XDPLB_FIRST, 3));
	model_backend(model, 0, 0)->admin = BACKEND_DISABLED;
	slots = v4_table(model, &count);
	assert_int_equal(count, 1);
	assert_int_equal(slots[0].backend, 2);
	free(slots);
	before = pool_entry(model);
	model_backend(model, 0, 2)->admin = BACKEND_DISABLED; /* who comes later does not matter */
	assert_int_equal(pool_entry(model).row.digest[XDPLB_V4], before.row.digest[XDPLB_V4]);
	model_free(model);
}

/* ---- who is in it */

static void only_usable_backends_of_the_family_are_in_a_table(void **state)
{
	struct model *model = model_new();
	struct config config = pool_config(XDPLB_LEAST_CONN, 6);
	struct xdplb_slot *slots;
	uint32_t count;

	(void)state;
	fixture_backend(&config.pools[0], "[2001:db8::13]:8080", 1);
	fixture_probed(&config.pools[0]);
	config.pools[0].backends[1].weight = 0;
	fixture_set(model, config);
	for (size_t i = 0; i < 7; i++)
		model_backend(model, 0, i)->health = BACKEND_UP;
	model_backend(model, 0, 2)->health = BACKEND_DOWN;
	model_backend(model, 0, 3)->health = BACKEND_UNKNOWN;
	model_backend(model, 0, 4)->admin = BACKEND_DISABLED;
	model_backend(model, 0, 5)->resolved = false; /* in it all the same */
	slots = v4_table(model, &count);
	assert_int_equal(count, 2);
	assert_int_equal(slots[0].backend, 1);
	assert_int_equal(slots[1].backend, 6);
	free(slots);
	slots = render_table(model, 0, XDPLB_V6, &count);
	assert_int_equal(count, 1);
	assert_int_equal(slots[0].backend, 7);
	free(slots);
	model_free(model);
}

static void without_a_usable_backend_there_is_no_table(void **state)
{
	static const enum xdplb_balance all[] = { XDPLB_MAGLEV,	   XDPLB_ROUND_ROBIN,
						  XDPLB_RANDOM,	   XDPLB_LEAST_CONN,
						  XDPLB_SOURCE_IP, XDPLB_SOURCE_SOCKET,
						  XDPLB_FIRST };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct model *model = model_new();
		struct entry_pool pool;
		uint32_t count = 1;

		fixture_set(model, pool_config(all[i], 2));
		pool = pool_entry(model);
		assert_int_not_equal(pool.row.digest[XDPLB_V4], 0);
		assert_int_not_equal(pool.row.slots[XDPLB_V4], 0);
		assert_int_equal(pool.row.digest[XDPLB_V6], 0);
		assert_int_equal(pool.row.slots[XDPLB_V6], 0);
		assert_null(render_table(model, 0, XDPLB_V6, &count));
		assert_int_equal(count, 0);
		model_backend(model, 0, 0)->admin = BACKEND_DISABLED;
		model_backend(model, 0, 1)->admin = BACKEND_DISABLED;
		pool = pool_entry(model);
		assert_int_equal(pool.row.digest[XDPLB_V4], 0);
		assert_int_equal(pool.row.slots[XDPLB_V4], 0);
		model_free(model);
	}
}

/* What a table is made of, with one thing changed; beyond 4 nothing. */
static struct config changed_config(size_t what)
{
	struct config config = pool_config(XDPLB_MAGLEV, 3);
	struct cfg_pool *pool = &config.pools[0];

	switch (what) {
	case 0:
		pool->table = 16381;
		break;
	case 1:
		pool->balance = XDPLB_SOURCE_IP;
		break;
	case 2:
		pool->backends[1].weight = 2;
		break;
	case 3:
		pool->backends[1].port++;
		break;
	case 4:
		pool->backends[1].weight = 0;
		break;
	}
	return config;
}

static void a_digest_changes_with_what_the_table_is_made_of(void **state)
{
	uint64_t digests[6];

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct model *model = model_new();

		fixture_set(model, changed_config(i));
		digests[i] = pool_entry(model).row.digest[XDPLB_V4];
		for (size_t k = 0; k < i; k++)
			assert_true(digests[k] != digests[i]);
		model_free(model);
	}
}

static void a_digest_stays_when_the_table_would(void **state)
{
	struct config config = pool_config(XDPLB_ROUND_ROBIN, 3);
	struct model *model = model_new();
	struct entry_pool before;

	(void)state;
	fixture_set(model, pool_config(XDPLB_ROUND_ROBIN, 3));
	before = pool_entry(model);
	config.pools[0].table = 65537; /* of no meaning here */
	fixture_probed(&config.pools[0]);
	fixture_backend(&config.pools[0], "[2001:db8::13]:8080", 1);
	fixture_set(model, config);
	model_backend(model, 0, 0)->resolved = true;
	assert_int_equal(pool_entry(model).row.digest[XDPLB_V4], before.row.digest[XDPLB_V4]);
	model_free(model);
}

/* slots of the pool's row and the table itself must never disagree. */
static void a_table_has_as_many_slots_as_its_pool_says(void **state)
{
	(void)state;
	for (uint32_t balance = XDPLB_MAGLEV; balance <= XDPLB_FIRST; balance++) {
		struct config config = pool_config(balance, 30);
		struct model *model = model_new();
		struct xdplb_slot *slots;
		uint32_t count;

		for (uint32_t i = 0; i < 30; i++)
			config.pools[0].backends[i].weight = i * 7 % 20;
		fixture_set(model, config);
		slots = v4_table(model, &count);
		assert_int_equal(count, pool_entry(model).row.slots[XDPLB_V4]);
		for (uint32_t i = 0; i < count; i++)
			assert_in_range(slots[i].backend, 2, 30);
		free(slots);
		model_free(model);
	}
}

static void more_backends_than_slots_still_fill_a_table(void **state)
{
	struct xdplb_slot *slots;
	uint32_t count;

	(void)state;
	slots = table_of(sized_config(2039, 5000), &count);
	assert_int_equal(count, 2039);
	assert_int_equal(slots_of(slots, count, 0), 0);
	free(slots);
	slots = table_of(sized_config(65537, XDPLB_MAX_BACKENDS - 1), &count);
	assert_int_equal(slots_of(slots, count, 0), 0);
	assert_in_range(slots_of(slots, count, 60000), 1, 2);
	free(slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_exact_to_a_turn_and_never_nothing),
		cmocka_unit_test(turns_are_never_more_than_one_ahead_or_behind),
		cmocka_unit_test(every_slot_is_taken_and_shares_follow_weights),
		cmocka_unit_test(one_of_four_that_leaves_moves_few_slots_of_the_others),
		cmocka_unit_test(a_changed_weight_moves_little_more_than_it_must),
		cmocka_unit_test(nodes_agree_whatever_their_ids_and_the_order_in_the_file),
		cmocka_unit_test(a_table_is_the_same_in_every_version),
		cmocka_unit_test(twenty_backends_take_half_a_millisecond),
		cmocka_unit_test(round_robin_spreads_the_light_among_the_heavy),
		cmocka_unit_test(round_robin_of_equals_is_in_file_order),
		cmocka_unit_test(weights_beyond_the_largest_table_are_scaled),
		cmocka_unit_test(least_conn_has_a_slot_and_a_cost_for_each),
		cmocka_unit_test(first_is_the_first_that_is_usable),
		cmocka_unit_test(only_usable_backends_of_the_family_are_in_a_table),
		cmocka_unit_test(without_a_usable_backend_there_is_no_table),
		cmocka_unit_test(a_digest_changes_with_what_the_table_is_made_of),
		cmocka_unit_test(a_digest_stays_when_the_table_would),
		cmocka_unit_test(a_table_has_as_many_slots_as_its_pool_says),
		cmocka_unit_test(more_backends_than_slots_still_fill_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
