// SPDX-License-Identifier: GPL-2.0-only
/* Source addresses and ports: which a flow gets, who gives one up, when there is none. */
#include "talk.h"

#define FLOW_ROWS 1024
#define EMBRYO_ROWS 512

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, FLOW_ROWS, EMBRYO_ROWS) ? 0 : -1;
}

static void range_set(const struct lab *lab, uint16_t min, uint16_t max, uint32_t addrs)
{
	struct xdplb_addr addr[XDPLB_MAX_NAT_ADDRS];

	for (uint32_t i = 0; i < addrs; i++)
		addr[i] = nat_addr(lab, i);
	nat_set(lab, lab->v6, min, max, addr, addrs);
}

static void one_backend(const struct lab *lab)
{
	pool_range(lab, XDPLB_FIRST, 1, 1);
}

static void the_clients_own_port_is_kept_if_it_may_be(void **state)
{
	struct lab *lab = *state;
	struct talk inside = talk_of(lab, 1), outside = talk_of(lab, 2), first = talk_of(lab, 3),
		    last = talk_of(lab, 4);
	struct xdplb_addr addr = nat_addr(lab, 0);

	one_backend(lab);
	inside.client.port = PORT_MIN + 50;
	outside.client.port = PORT_MIN - 1;
	first.client.port = PORT_MIN;
	last.client.port = PORT_MAX;
	talk_establish(&inside);
	talk_establish(&first);
	talk_establish(&last);
	talk_establish(&outside);
	assert_int_equal(inside.nat.port, PORT_MIN + 50);
	assert_int_equal(first.nat.port, PORT_MIN);
	assert_int_equal(last.nat.port, PORT_MAX);
	assert_in_range(outside.nat.port, PORT_MIN, PORT_MAX);
	assert_memory_equal(&inside.nat.ip, &addr, sizeof(addr));
}

static void a_port_in_use_is_not_given_twice(void **state)
{
	struct lab *lab = *state;
	struct talk established = talk_of(lab, 1), embryo = talk_of(lab, 2001), late[2];

	one_backend(lab);
	established.client.port = PORT_MIN + 1;
	embryo.client.port = PORT_MIN + 2;
	talk_establish(&established);
	client_sends(&embryo, SYN, 0);
	for (uint32_t i = 0; i < 2; i++) {
		late[i] = talk_of(lab, 3001 + 1000 * i);
		late[i].client.port = (uint16_t)(PORT_MIN + 1 + i);
		client_sends(&late[i], SYN, 0);
		assert_false(end_equal(&late[i].nat, &established.nat));
		assert_false(end_equal(&late[i].nat, &embryo.nat));
	}
	assert_false(end_equal(&late[0].nat, &late[1].nat));
}

static void ports_are_unique_per_backend_not_altogether(void **state)
{
	struct lab *lab = *state;
	struct talk talks[4];

	for (uint32_t i = 0; i < 4; i++) { /* round-robin over four */
		talks[i] = talk_of(lab, 1000 * i);
		talks[i].client.port = PORT_MIN + 9;
		talk_establish(&talks[i]);
		assert_int_equal(talks[i].nat.port, PORT_MIN + 9);
		assert_int_equal(backend_state(lab, server_id(&talks[i])).ports_used, 1);
	}
}

static void ports_are_taken_in_order(void **state)
{
	struct lab *lab = *state;

	one_backend(lab);
	for (uint32_t i = 0; i < 300; i++) {
		struct talk talk = talk_of(lab, i);

		talk_establish(&talk);
		talk_close(&talk);
		assert_int_equal(talk.nat.port, PORT_MIN + i % 100);
		flow_age(embryo_row(&talk), lab->settings->closing_ticks + 100);
		sweep_run(lab, EMBRYO_ROWS); /* it has rested */
	}
}

static void a_closed_flow_keeps_its_port_while_it_rests(void **state)
{
	struct lab *lab = *state;
	struct talk closed = talk_of(lab, 1), next = talk_of(lab, 2);

	one_backend(lab);
	range_set(lab, PORT_MIN, PORT_MIN + 1, 1);
	talk_establish(&closed);
	talk_close(&closed);
	talk_establish(&next);
	assert_false(end_equal(&closed.nat, &next.nat));
	for (uint32_t i = 0; i < 20; i++) { /* even as the cursor comes round to it */
		talk_close(&next);
		flow_age(embryo_row(&next), lab->settings->closing_ticks + 100);
		sweep_run(lab, FLOW_ROWS);
		next = talk_of(lab, 3 + i);
		talk_establish(&next);
		assert_false(end_equal(&closed.nat, &next.nat));
	}
}

static void every_port_of_a_small_range_can_be_used_and_none_more(void **state)
{
	struct lab *lab = *state;
	const uint32_t ports = 25;
	struct talk talks[25], late = talk_of(lab, 500);
	bool seen[25] = { false };

	one_backend(lab);
	range_set(lab, 65535 - 24, 65535, 1);
	for (uint32_t i = 0; i < ports; i++) {
		talks[i] = talk_of(lab, i);
		talk_establish(&talks[i]);
		assert_false(seen[talks[i].nat.port - (65535 - 24)]);
		seen[talks[i].nat.port - (65535 - 24)] = true;
	}
	assert_int_equal(backend_state(lab, 1).ports_used, ports);
	assert_outcome(client_says(&late, SYN, 1), DROP_NO_PORT);
	assert_int_equal(backend_state(lab, 1).ports_used, ports);
	assert_int_equal(backend_state(lab, 1).active, ports);
	flow_count_check(lab, ports, 0);
	for (uint32_t i = 0; i < ports; i++)
		talk_goes_on(&talks[i]);
	backend_set(lab, 5, BACKEND_GOOD);
	pool_range(lab, XDPLB_FIRST, 5, 5);
	client_sends(&late, SYN, 1); /* towards another backend they are all free */
}

static void behind_a_long_run_of_ports_in_use_one_is_found_anywhere(void **state)
{
	struct lab *lab = *state;
	const uint32_t run = 300; /* more than are tried */
	struct xdplb_backend_state row;
	struct talk talk;

	one_backend(lab);
	range_set(lab, PORT_MIN, PORT_MIN + 9999, 1);
	for (uint32_t i = 0; i < run; i++) {
		talk = talk_of(lab, i);
		talk_establish(&talk);
		assert_int_equal(talk.nat.port, PORT_MIN + i);
	}
	for (uint32_t i = 0; i < 5; i++) {
		row = backend_state(lab, 1);
		row.port_cursor = 0; /* it has come round to where the run begins */
		row_put(lab->skel->maps.backend_state, 1, &row);
		talk = talk_of(lab, run + i);
		talk_establish(&talk);
		assert_in_range(talk.nat.port, PORT_MIN + run, PORT_MIN + 9999);
	}
}

static void several_addresses_make_as_many_ports(void **state)
{
	struct lab *lab = *state;
	struct talk talks[80], late = talk_of(lab, 500);
	uint32_t of[16] = { 0 };

	one_backend(lab);
	range_set(lab, PORT_MIN, PORT_MIN + 4, 16);
	for (uint32_t i = 0; i < 80; i++) {
		talks[i] = talk_of(lab, i);
		talk_establish(&talks[i]);
		for (uint32_t j = 0; j < 16; j++) {
			struct xdplb_addr addr = nat_addr(lab, j);

			of[j] += !memcmp(&talks[i].nat.ip, &addr, sizeof(addr));
		}
	}
	for (uint32_t j = 0; j < 16; j++)
		assert_int_equal(of[j], 5);
	assert_outcome(client_says(&late, SYN, 1), DROP_NO_PORT);
	for (uint32_t i = 0; i < 80; i++)
		talk_goes_on(&talks[i]);
}

static void a_range_of_one_port_serves_one_flow_a_backend(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), other = talk_of(lab, 2);

	one_backend(lab);
	range_set(lab, 4711, 4711, 1);
	talk_establish(&talk);
	assert_int_equal(talk.nat.port, 4711);
	assert_outcome(client_says(&other, SYN, 1), DROP_NO_PORT);
	flow_age(established_row(&talk), IDLE_TICKS + 100);
	sweep_run(lab, FLOW_ROWS);
	talk_establish(&other);
	assert_int_equal(other.nat.port, 4711);
}

static void the_oldest_unanswered_embryo_gives_its_port_up(void **state)
{
	struct lab *lab = *state;
	struct talk talks[4], late = talk_of(lab, 4000), answered = talk_of(lab, 10);

	one_backend(lab);
	range_set(lab, PORT_MIN, PORT_MIN + 4, 1);
	client_sends(&answered, SYN, 0); /* was answered, so it stays: the lowest port */
	server_sends(&answered, SYN | ACK, 0);
	for (uint32_t i = 0; i < 4;
	     i++) { /* ports are given in order, so the oldest has the lowest */
		talks[i] = talk_of(lab, 1000 * i);
		client_sends(&talks[i], SYN, 0);
		assert_int_equal(talks[i].nat.port, PORT_MIN + 1 + i);
		flow_age(embryo_row(&talks[i]), 1000 - i * 100);
	}
	client_sends(&late, SYN, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_RECLAIMED_PORT), 1);
	assert_int_equal(late.nat.port, talks[0].nat.port);
	assert_int_equal(backend_state(lab, 1).ports_used, 5);
	assert_int_equal(backend_state(lab, 1).active, 5);
	assert_null(embryo_row(&talks[0]));
	for (uint32_t i = 1; i < 4; i++)
		server_sends(&talks[i], SYN | ACK, 0);
	client_sends(&answered, ACK, 0);
	flow_count_check(lab, 1, 4);
}

static void answered_embryos_give_nothing_up(void **state)
{
	struct lab *lab = *state;
	struct talk talks[5], late = talk_of(lab, 4000);

	one_backend(lab);
	range_set(lab, PORT_MIN, PORT_MIN + 4, 1);
	for (uint32_t i = 0; i < 5; i++) {
		talks[i] = talk_of(lab, i);
		client_sends(&talks[i], SYN, 0);
		server_sends(&talks[i], SYN | ACK, 0);
	}
	assert_outcome(client_says(&late, SYN, 0), DROP_NO_PORT);
	for (uint32_t i = 0; i < 5; i++)
		client_sends(&talks[i], ACK, 0);
	flow_count_check(lab, 5, 0);
}

static void a_flood_towards_one_backend_always_finds_a_port(void **state)
{
	struct lab *lab = *state;
	struct talk live[20];

	one_backend(lab);
	for (uint32_t i = 0; i < 20; i++) {
		live[i] = talk_of(lab, 5000 + i);
		talk_establish(&live[i]);
	}
	for (uint32_t i = 0; i < 500; i++) {
		struct talk flood = talk_of(lab, i);

		client_sends(&flood, SYN, 1);
	}
	for (uint32_t i = 0; i < 20; i++)
		talk_goes_on(&live[i]);
	assert_int_equal(event_count(lab, XDPLB_EVENT_RECLAIMED_PORT), 500 - 80);
	assert_int_equal(backend_state(lab, 1).ports_used, 100);
}

/* ---- source: client */

static void source_client_keeps_address_and_port(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), low = talk_of(lab, 2);

	service_put(lab, XDPLB_SERVICE_SOURCE_CLIENT);
	low.client.port = 1;
	talk_establish(&talk);
	talk_establish(&low);
	assert_true(end_equal(&talk.nat, &talk.client));
	assert_true(end_equal(&low.nat, &low.client));
	talk_goes_on(&talk);
}

static void source_client_changes_the_port_only_where_it_collides(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), twin = talk_of(lab, 1), other = talk_of(lab, 5000);
	struct xdplb_service service = { .id = SERVICE_ID + 1,
					 .pool = POOL_ID,
					 .idle_ticks = IDLE_TICKS,
					 .flags = XDPLB_SERVICE_SOURCE_CLIENT };

	one_backend(lab);
	service_put(lab, XDPLB_SERVICE_SOURCE_CLIENT);
	twin.vip.port = 81; /* another listener, the same backends */
	service_set(lab, &twin.vip, lab->proto, &service);
	other.client.port = talk.client.port;
	talk_establish(&talk);
	talk_establish(&twin);
	talk_establish(&other); /* another address: no collision */
	assert_true(end_equal(&talk.nat, &talk.client));
	assert_true(end_equal(&other.nat, &other.client));
	assert_memory_equal(&twin.nat.ip, &twin.client.ip, sizeof(twin.nat.ip));
	assert_in_range(twin.nat.port, PORT_MIN, PORT_MAX);
	talk_goes_on(&talk);
	talk_goes_on(&twin);
}

/* ---- the range changes */

static void a_new_range_holds_for_new_flows(void **state)
{
	struct lab *lab = *state;
	struct talk old = talk_of(lab, 1), new = talk_of(lab, 2);

	talk_establish(&old);
	lab->settings->nat_buffer = 1;
	range_set(lab, 30000, 30010, 1);
	talk_establish(&new);
	assert_in_range(new.nat.port, 30000, 30010);
	talk_goes_on(&old);
}

static void without_addresses_the_backends_row_names_one(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_addr own = nat_addr(lab, 77);
	struct xdplb_backend backend;

	one_backend(lab);
	row_get(lab->skel->maps.backends, 1, &backend);
	backend.nat_addr = own;
	row_put(lab->skel->maps.backends, 1, &backend);
	range_set(lab, PORT_MIN, PORT_MAX, 0);
	talk_establish(&talk);
	assert_memory_equal(&talk.nat.ip, &own, sizeof(own));
	assert_in_range(talk.nat.port, PORT_MIN, PORT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(the_clients_own_port_is_kept_if_it_may_be),
		ALL(a_port_in_use_is_not_given_twice),
		ALL(ports_are_unique_per_backend_not_altogether),
		TCP(ports_are_taken_in_order),
		TCP(a_closed_flow_keeps_its_port_while_it_rests),
		ALL(every_port_of_a_small_range_can_be_used_and_none_more),
		ALL(behind_a_long_run_of_ports_in_use_one_is_found_anywhere),
		ALL(several_addresses_make_as_many_ports),
		ALL(a_range_of_one_port_serves_one_flow_a_backend),
		TCP(the_oldest_unanswered_embryo_gives_its_port_up),
		TCP(answered_embryos_give_nothing_up),
		ALL(a_flood_towards_one_backend_always_finds_a_port),
		ALL(source_client_keeps_address_and_port),
		ALL(source_client_changes_the_port_only_where_it_collides),
		ALL(a_new_range_holds_for_new_flows),
		ALL(without_addresses_the_backends_row_names_one),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
