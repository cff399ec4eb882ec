// SPDX-License-Identifier: GPL-2.0-only
/* The program by which workers open, join and give up flows: what it answers, and what it changes. */
#include <sys/wait.h>

#include "joined.h"

static uint64_t sniffed_of(const struct lab *lab, uint32_t protocol)
{
	struct xdplb_sniffed_key key = { .service = SERVICE_ID, .protocol = protocol };
	uint64_t each[MAX_CPUS] = { 0 }, sum = 0;

	if (bpf_map_lookup_elem(map_fd(lab->skel->maps.sniffed), &key, each))
		return 0;
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		sum += each[cpu];
	return sum;
}

static struct xdplb_sniff_key sniff_key_of(const struct talk *talk)
{
	return (struct xdplb_sniff_key){ .src = talk->client.ip,
					 .dst = talk->vip.ip,
					 .sport = to_be16(talk->client.port),
					 .dport = to_be16(talk->vip.port) };
}

static void sniff_put(const struct joined *joined, uint32_t isn)
{
	struct xdplb_sniff_key key = sniff_key_of(&joined->talk);
	struct xdplb_sniff row = { .isn = isn, .worker = WORKER };

	assert_int_equal(bpf_map_update_elem(map_fd(joined->talk.lab->skel->maps.sniffs), &key,
					     &row, BPF_ANY),
			 0);
}

static bool sniff_there(const struct joined *joined)
{
	struct xdplb_sniff_key key = sniff_key_of(&joined->talk);
	struct xdplb_sniff row;

	return !bpf_map_lookup_elem(map_fd(joined->talk.lab->skel->maps.sniffs), &key, &row);
}

/* ---- OPEN */

static void a_worker_opens_a_flow_and_is_told_where_it_goes(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	const struct xdplb_command *command = &joined.order.command;
	struct xdplb_nexthop way = { .ifindex = LAB_IFINDEX };
	struct xdplb_flow *flow;

	order_open(&joined);
	joined.order.command.event = XDPLB_EVENT_SNIFF_ROUTED;
	assert_order(lab, &joined.order, CONTINUE);
	opened_take(&joined);
	flow_count_check(lab, 0, 1);
	flow = embryo_row(&joined.talk);
	assert_non_null(flow);
	assert_int_equal(command->backend, server_id(&joined.talk));
	assert_in_range(command->backend, 1, 4);
	backend_mac(command->backend, way.dst_mac);
	memcpy(way.src_mac, far_mac, ETH_ALEN);
	assert_memory_equal(&command->nexthop, &way, sizeof(way));
	assert_int_equal(flow->splice.worker, WORKER);
	assert_int_equal(flow->splice.conn, joined.talk.client.port);
	assert_int_equal(command->life, flow->half[XDPLB_TO_BACKEND].life);
	assert_int_equal(flow->half[XDPLB_TO_BACKEND].idle_ticks, IDLE_TICKS);
	for (int dir = 0; dir < XDPLB_DIRS; dir++) {
		assert_true(flow->half[dir].flags & XDPLB_HALF_WORKER);
		assert_memory_equal(&command->half[dir], &flow->half[dir], sizeof(flow->half[dir]));
	}
	assert_int_equal(event_count(lab, XDPLB_EVENT_SNIFF_ROUTED), 1);
	assert_int_equal(sniffed_of(lab, XDPLB_PROTOCOL_TLS), 0); /* not joined yet */
}

static void packets_of_a_pending_flow_are_not_forwarded(void **state)
{
	struct joined one = joined_of(*state, 1), other = joined_of(*state, 2);
	enum xdplb_outcome out;

	joined_open(&one);
	joined_open(&other);
	assert_outcome(joined_client_says(&one, ACK, 10), DROP_NO_WORKER);
	out = joined_server_says(&other, SYN | ACK, 0);
	assert_true(out != XDPLB_REPLY_TX && out != XDPLB_REPLY_REDIRECT);
}

static void the_client_may_be_seen_by_the_backend(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	order_open(&joined);
	joined.order.command.flags = XDPLB_COMMAND_KEEP_ADDRESS;
	assert_order(lab, &joined.order, CONTINUE);
	opened_take(&joined);
	assert_true(end_equal(&joined.talk.nat, &joined.talk.client));
	joined.talk.client_seq++;
	joined_splice(&joined);
	joined_go_on(&joined);
}

static void backends_that_failed_are_avoided(void **state)
{
	static const enum xdplb_balance methods[] = { XDPLB_MAGLEV,    XDPLB_ROUND_ROBIN,
						      XDPLB_RANDOM,    XDPLB_LEAST_CONN,
						      XDPLB_SOURCE_IP, XDPLB_SOURCE_SOCKET };
	struct lab *lab = *state;

	for (uint32_t i = 0; i < 6 * 8; i++) {
		struct joined joined = joined_of(lab, i);

		pool_range(lab, methods[i / 8], 1, 4);
		for (int tries = 0; tries < 4; tries++) {
			order_open(&joined);
			assert_order(lab, &joined.order, CONTINUE);
			for (int other = 0; other < tries; other++)
				assert_int_not_equal(joined.order.command.backend,
						     joined.order.command.avoid[other]);
			joined.order.command.avoid[tries] = joined.order.command.backend;
			joined.order.command.op = XDPLB_COMMAND_CLOSE;
			assert_order(lab, &joined.order, CONTINUE);
		}
		order_open(&joined);
		assert_order(lab, &joined.order, RESET_NO_BACKEND);
		flow_count_check(lab, 0, 0);
	}
}

static void of_those_left_least_conn_takes_the_least(void **state)
{
	struct lab *lab = *state;
	struct joined busy = joined_of(lab, 1), joined = joined_of(lab, 2);

	pool_range(lab, XDPLB_FIRST, 2, 2);
	joined_establish(&busy);
	pool_range(lab, XDPLB_LEAST_CONN, 1, 3);
	for (int i = 0; i < 20; i++) {
		order_open(&joined);
		joined.order.command.avoid[0] = 1;
		assert_order(lab, &joined.order, CONTINUE);
		assert_int_equal(joined.order.command.backend, 3);
		joined.order.command.op = XDPLB_COMMAND_CLOSE;
		assert_order(lab, &joined.order, CONTINUE);
	}
}

static void opening_says_why_it_cannot(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1), other = joined_of(lab, 2);
	struct xdplb_addr addr = nat_addr(lab, 0);

	pool_range(lab, XDPLB_FIRST, 1, 1);
	order_open(&joined);
	joined.order.command.pool = POOL_ID + 1;
	assert_order(lab, &joined.order, RESET_NO_BACKEND);
	backend_set(lab, 1, BACKEND_GOOD & ~XDPLB_BACKEND_RESOLVED);
	order_open(&joined);
	assert_order(lab, &joined.order, DROP_UNRESOLVED);
	flow_count_check(lab, 0, 0);
	backend_set(lab, 1, BACKEND_GOOD);
	nat_set(lab, lab->v6, PORT_MIN, PORT_MIN, &addr, 1);
	joined_establish(&joined);
	order_open(&other);
	assert_order(lab, &other.order, DROP_NO_PORT);
	assert_int_equal(event_count(lab, XDPLB_EVENT_SPLICED), 1);
}

static void a_client_that_has_a_flow_cannot_have_another(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1), again = joined;

	joined_open(&joined);
	order_open(&again);
	again.order.command.conn++;
	assert_order(lab, &again.order, DROP_BUSY);
	joined_splice(&joined);
	assert_order(lab, &again.order, DROP_BUSY);
	joined_go_on(&joined);
	flow_count_check(lab, 1, 0);
}

static void no_flow_is_opened_that_could_not_be_established(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 0), pending = joined_of(lab, FLOW_ROWS);

	for (uint32_t i = 0; i < FLOW_ROWS - 1; i++) {
		joined = joined_of(lab, i);
		joined_establish(&joined);
	}
	joined_open(&pending);
	joined = joined_of(lab, FLOW_ROWS + 1);
	joined_establish(&joined);
	order_splice(&pending, HELLO);
	assert_order(lab, &pending.order, RESET_TABLE_FULL);
	flow_count_check(lab, FLOW_ROWS, 1);
	pending.order.command.op = XDPLB_COMMAND_CLOSE;
	assert_order(lab, &pending.order, CONTINUE);
	joined = joined_of(lab, FLOW_ROWS + 2);
	order_open(&joined);
	assert_order(lab, &joined.order, RESET_TABLE_FULL);
	flow_count_check(lab, FLOW_ROWS, 0);
}

/* ---- OPEN of UDP */

static void datagrams_are_forwarded_from_the_start(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct talk *talk = &joined.talk;
	struct xdplb_flow *flow;
	const uint8_t flags[] = { XDPLB_HALF_SNIFFED | XDPLB_HALF_QUIC, XDPLB_HALF_SNIFFED };
	const uint32_t protocols[] = { XDPLB_PROTOCOL_QUIC, XDPLB_PROTOCOL_WIREGUARD };

	for (uint32_t i = 0; i < 2; i++) {
		joined = joined_of(lab, 1 + i);
		order_open(&joined);
		joined.order.command.protocol = protocols[i];
		joined.order.command.name_len = 40; /* longer than there is room */
		memset(joined.order.command.name, 'n', XDPLB_SPLICE_NAME);
		assert_order(lab, &joined.order, CONTINUE);
		opened_take(&joined);
		client_sends(talk, 0, 100);
		flow = embryo_row(talk);
		assert_non_null(flow);
		assert_int_equal(flow->half[0].flags & ~XDPLB_HALF_V6, flags[i] | XDPLB_HALF_TRACK);
		server_sends(talk, 0, 200);
		client_sends(talk, 0, 100);
		flow = established_row(talk);
		assert_non_null(flow);
		for (int dir = 0; dir < XDPLB_DIRS; dir++)
			assert_int_equal(flow->half[dir].flags & ~XDPLB_HALF_V6, flags[i]);
		assert_int_equal(flow->splice.protocol, protocols[i]);
		assert_int_equal(flow->splice.name_len, 40);
		assert_memory_equal(flow->splice.name, joined.order.command.name,
				    XDPLB_SPLICE_NAME);
		assert_int_equal(sniffed_of(lab, protocols[i]), 1);
	}
}

static void who_comes_second_takes_the_flow_that_is_there(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1), again = joined;

	joined_open(&joined);
	pool_range(lab, XDPLB_FIRST, 4, 4);
	order_open(&again);
	assert_order(lab, &again.order, CONTINUE);
	assert_int_equal(again.order.command.backend, joined.order.command.backend);
	assert_int_equal(again.order.command.slot, joined.order.command.slot);
	flow_count_check(lab, 0, 1);
}

/* A plain flow in a row that a sniffed one had. */
static void what_was_recognised_does_not_outlive_the_flow(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	joined_open(&joined);
	for (uint32_t i = 2; i < 2 + EMBRYO_ROWS; i++) {
		struct talk talk = talk_of(lab, i);

		client_sends(&talk, lab->proto == IPPROTO_TCP ? SYN : 0, 0);
		assert_int_equal(embryo_row(&talk)->splice.protocol, XDPLB_PROTOCOL_NONE);
	}
}

/* ---- SPLICE */

static void joining_is_counted(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct xdplb_command *command = &joined.order.command;
	struct xdplb_stats stats;

	joined_open(&joined);
	order_splice(&joined, HELLO);
	for (int dir = 0; dir < XDPLB_DIRS; dir++) {
		command->packets[dir] = 3 + dir;
		command->bytes[dir] = 1000 + dir;
	}
	assert_order(lab, &joined.order, CONTINUE);
	for (int i = 0; i < 2; i++) {
		stats = i ? stats_sum(lab->skel->maps.service_stats, SERVICE_ID) :
			    stats_sum(lab->skel->maps.backend_stats, server_id(&joined.talk));
		assert_int_equal(stats.connections, 1);
		assert_int_equal(stats.ended, 0);
		for (int dir = 0; dir < XDPLB_DIRS; dir++) {
			assert_int_equal(stats.packets[dir], 3 + dir);
			assert_int_equal(stats.bytes[dir], 1000 + dir);
		}
	}
	assert_int_equal(event_count(lab, XDPLB_EVENT_SPLICED), 1);
	assert_int_equal(event_count(lab, XDPLB_EVENT_PROMOTED), 1);
	assert_int_equal(sniffed_of(lab, XDPLB_PROTOCOL_TLS), 1);
}

static void offers_are_what_every_backend_can(void **state)
{
	static const struct {
		uint16_t mss;
		uint8_t wscale;
		bool sack;
		struct xdplb_offer then;
	} steps[] = {
		{ 1460, 9, true, { .mss = { 1460 }, .wscale = 9, .sack = 1, .known = 1 } },
		{ 8960, 14, true, { .mss = { 1460 }, .wscale = 9, .sack = 1, .known = 1 } },
		{ 1400, 7, true, { .mss = { 1400 }, .wscale = 7, .sack = 1, .known = 1 } },
		{ 1460, 7, false, { .mss = { 1400 }, .wscale = 7, .sack = 0, .known = 1 } },
		{ 1460, 15, true, { .mss = { 1400 }, .wscale = 15, .sack = 0, .known = 1 } },
		{ 1460, 7, true, { .mss = { 1400 }, .wscale = 15, .sack = 0, .known = 1 } },
	};
	struct lab *lab = *state;
	struct xdplb_offer offer, wanted;

	for (uint32_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct joined joined = joined_of(lab, i);
		struct xdplb_command *command = &joined.order.command;

		joined_open(&joined);
		order_splice(&joined, HELLO);
		command->backend_mss = steps[i].mss;
		command->backend_wscale = steps[i].wscale;
		command->flags = steps[i].sack ? XDPLB_COMMAND_SACK : 0;
		assert_order(lab, &joined.order, CONTINUE);
		wanted = steps[i].then;
		if (lab->v6) {
			wanted.mss[XDPLB_V6] = wanted.mss[XDPLB_V4];
			wanted.mss[XDPLB_V4] = 0;
			wanted.known = 1 << XDPLB_V6;
		}
		row_get(lab->skel->maps.sniff_offers, SERVICE_ID, &offer);
		assert_memory_equal(&offer, &wanted, sizeof(offer));
	}
}

static void the_row_of_first_bytes_goes_if_it_is_the_connections(void **state)
{
	struct joined joined = joined_of(*state, 1), other = joined_of(*state, 2);

	sniff_put(&joined, joined.isn);
	joined_establish(&joined);
	assert_false(sniff_there(&joined));
	sniff_put(&other, other.isn + 1); /* the client began anew meanwhile */
	joined_establish(&other);
	assert_true(sniff_there(&other));
}

static void a_flow_that_lost_its_place_is_not_joined(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1), other;

	joined_open(&joined);
	for (uint32_t i = 0; i < EMBRYO_ROWS; i++) {
		other = joined_of(lab, 2 + i);
		joined_open(&other);
	}
	order_splice(&joined, HELLO);
	assert_order(lab, &joined.order, DROP_BUSY);
	joined.order.command.op = XDPLB_COMMAND_CLOSE;
	assert_order(lab, &joined.order, DROP_BUSY);
	flow_count_check(lab, 0, EMBRYO_ROWS);
	assert_int_equal(event_count(lab, XDPLB_EVENT_SPLICED), 0);
	joined_splice(&other);
	joined_go_on(&other);
}

static void a_flow_is_joined_once(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	joined_establish(&joined);
	order_splice(&joined, HELLO);
	assert_order(lab, &joined.order, DROP_BUSY);
	joined.order.command.op = XDPLB_COMMAND_CLOSE;
	assert_order(lab, &joined.order, DROP_BUSY);
	flow_count_check(lab, 1, 0);
	joined_go_on(&joined);
}

/* ---- CLOSE, FORGET, COUNT */

static void a_pending_flow_can_be_given_up(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	joined_open(&joined);
	joined.order.command.op = XDPLB_COMMAND_CLOSE;
	joined.order.command.event = XDPLB_EVENT_SNIFF_NO_BACKEND;
	assert_order(lab, &joined.order, CONTINUE);
	flow_count_check(lab, 0, 0);
	assert_int_equal(backend_state(lab, server_id(&joined.talk)).ports_used, 0);
	assert_int_equal(backend_state(lab, server_id(&joined.talk)).active, 0);
	assert_int_equal(event_count(lab, XDPLB_EVENT_SNIFF_NO_BACKEND), 1);
	assert_order(lab, &joined.order, DROP_BUSY);
	assert_int_equal(event_count(lab, XDPLB_EVENT_SNIFF_NO_BACKEND), 1);
	joined.talk.client_seq--;
	joined_establish(&joined);
	joined_go_on(&joined);
}

static void first_bytes_are_forgotten_by_their_number(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);

	sniff_put(&joined, joined.isn + 1);
	order_begin(&joined, XDPLB_COMMAND_FORGET);
	joined.order.command.event = XDPLB_EVENT_SNIFF_LEFT;
	assert_order(lab, &joined.order, CONTINUE);
	assert_true(sniff_there(&joined));
	joined.order.command.isn++;
	assert_order(lab, &joined.order, CONTINUE);
	assert_false(sniff_there(&joined));
	assert_int_equal(event_count(lab, XDPLB_EVENT_SNIFF_LEFT), 2);
}

static void a_worker_can_count(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct xdplb_command *command = &joined.order.command;
	struct xdplb_stats stats;

	for (int i = 0; i < 3; i++) {
		order_begin(&joined, XDPLB_COMMAND_COUNT);
		command->protocol = i == 2 ? XDPLB_PROTOCOL_MAX : XDPLB_PROTOCOL_NONE;
		command->event = XDPLB_EVENT_SNIFF_REFUSED;
		command->packets[XDPLB_TO_CLIENT] = 1;
		command->bytes[XDPLB_TO_CLIENT] = 40;
		command->backend = i;
		assert_order(lab, &joined.order, CONTINUE);
	}
	assert_int_equal(sniffed_of(lab, XDPLB_PROTOCOL_NONE), 2);
	assert_int_equal(event_count(lab, XDPLB_EVENT_SNIFF_REFUSED), 3);
	stats = stats_sum(lab->skel->maps.service_stats, SERVICE_ID);
	assert_int_equal(stats.packets[XDPLB_TO_CLIENT], 3);
	assert_int_equal(stats.bytes[XDPLB_TO_CLIENT], 120);
	assert_int_equal(stats_sum(lab->skel->maps.backend_stats, 1).packets[XDPLB_TO_CLIENT], 1);
	assert_int_equal(stats_sum(lab->skel->maps.backend_stats, 2).packets[XDPLB_TO_CLIENT], 1);
}

/* ---- commands that make no sense */

static void nonsense_check(struct joined *joined)
{
	struct order before = joined->order;

	assert_int_equal(order_run(joined->talk.lab, &joined->order), XDP_ABORTED);
	assert_memory_equal(&joined->order, &before, sizeof(before));
	for (uint32_t event = 0; event < XDPLB_EVENT_MAX; event++)
		assert_int_equal(event_count(joined->talk.lab, event), 0);
	flow_count_check(joined->talk.lab, 0, 1);
}

static void nonsense_changes_nothing(void **state)
{
	struct lab *lab = *state;
	struct joined good = joined_of(lab, 1), bad;

	joined_open(&good);
	order_splice(&good, HELLO);
	for (int i = 0; i < 9; i++) {
		bad = good;
		switch (i) {
		case 0:
			bad.order.command.op = XDPLB_COMMAND_COUNT + 1;
			break;
		case 1:
			bad.order.command.service = XDPLB_MAX_SERVICES;
			break;
		case 2:
			bad.order.command.event = XDPLB_EVENT_MAX;
			break;
		case 3:
			bad.order.command.protocol = XDPLB_PROTOCOL_MAX + 1;
			break;
		case 4:
			bad.order.command.slot |= XDPLB_SLOT_DIR;
			break;
		case 5:
			bad.order.command.slot &= ~XDPLB_SLOT_EMBRYO;
			break;
		case 6:
			bad.order.command.slot |= EMBRYO_ROWS; /* no such row */
			break;
		case 7:
			bad.order.command.op = XDPLB_COMMAND_OPEN;
			memset(bad.order.frame, 0, sizeof(bad.order.frame));
			break;
		default:
			bad.order.command.op = XDPLB_COMMAND_FORGET;
			memset(bad.order.frame, 0, sizeof(bad.order.frame));
		}
		nonsense_check(&bad);
	}
	for (uint32_t len = 64; len < sizeof(good.order.command); len += 4)
		assert_int_equal(order_run_len(lab, &good.order, len), XDP_ABORTED);
}

/* ---- who may */

static void commands_need_no_privilege_but_the_descriptor(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct order *order = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t child;

	assert_true(order != MAP_FAILED);
	order_open(&joined);
	*order = joined.order;
	child = fork();
	if (!child) { /* leaving root behind takes every capability away */
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = order,
			    .data_size_in = sizeof(*order), .data_out = order,
			    .data_size_out = sizeof(*order), .repeat = 1);

		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(2);
		_exit(bpf_prog_test_run_opts(bpf_program__fd(lab->skel->progs.splice), &opts) ? 1 :
												0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	joined.order = *order;
	munmap(order, sizeof(*order));
	assert_outcome(joined.order.command.result, CONTINUE);
	opened_take(&joined);
	joined.talk.client_seq++;
	joined_splice(&joined);
	joined_go_on(&joined);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TCP(a_worker_opens_a_flow_and_is_told_where_it_goes),
		TCP(packets_of_a_pending_flow_are_not_forwarded),
		TCP(the_client_may_be_seen_by_the_backend),
		TCP(backends_that_failed_are_avoided),
		TCP(of_those_left_least_conn_takes_the_least),
		TCP(opening_says_why_it_cannot),
		TCP(a_client_that_has_a_flow_cannot_have_another),
		TCP(no_flow_is_opened_that_could_not_be_established),
		UDP(datagrams_are_forwarded_from_the_start),
		UDP(who_comes_second_takes_the_flow_that_is_there),
		ALL(what_was_recognised_does_not_outlive_the_flow),
		TCP(joining_is_counted),
		TCP(offers_are_what_every_backend_can),
		TCP(the_row_of_first_bytes_goes_if_it_is_the_connections),
		TCP(a_flow_that_lost_its_place_is_not_joined),
		TCP(a_flow_is_joined_once),
		TCP(a_pending_flow_can_be_given_up),
		TCP(first_bytes_are_forgotten_by_their_number),
		TCP(a_worker_can_count),
		TCP(nonsense_changes_nothing),
		TCP(commands_need_no_privilege_but_the_descriptor),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
