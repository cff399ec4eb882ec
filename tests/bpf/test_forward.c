// SPDX-License-Identifier: GPL-2.0-only
/* How packets of flows are rewritten and sent on, both ways. */
#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

#include "talk.h"

/* A namespace of our own with a pair of interfaces to redirect into. */
static int load(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) ||
	    system("ip link set lo up && ip link add out0 type veth peer name out1 && "
		   "ip link set out0 up && ip link set out1 up"))
		return -1;
	return lab_load(&the_lab, 64, 16) ? 0 : -1;
}

static void packets_of_a_flow_are_rewritten_both_ways(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	assert_in_range(talk.nat.port, PORT_MIN, PORT_MAX);
	for (uint16_t len = 0; len < 64; len++) {
		client_sends(&talk, ACK, len);
		server_sends(&talk, ACK, (uint16_t)(len * 20));
	}
	flow_count_check(*state, 1, 0);
}

static void frames_of_many_pages_are_rewritten_too(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	client_sends(&talk, ACK, 8900);
	server_sends(&talk, ACK, 8900);
}

static void options_of_both_headers_are_carried_along(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk_establish(&talk);
	for (uint8_t size = 0; size <= 40; size += 4) {
		talk.extra.tcp_options = size;
		talk.extra.ip_options = lab->v6 ? 0 : 40 - size;
		client_sends(&talk, ACK | PSH, 10);
		server_sends(&talk, ACK | PSH, 10);
	}
}

static void padding_of_short_frames_is_left_alone_and_not_counted(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_stats before, after;

	talk_establish(&talk);
	before = stats_sum(lab->skel->maps.service_stats, SERVICE_ID);
	talk.extra.padding = 18;
	client_sends(&talk, ACK, 1);
	server_sends(&talk, ACK, 2);
	after = stats_sum(lab->skel->maps.service_stats, SERVICE_ID);
	assert_int_equal(after.bytes[XDPLB_TO_BACKEND] - before.bytes[XDPLB_TO_BACKEND],
			 (lab->v6 ? 40 : 20) + (lab->proto == IPPROTO_TCP ? 20 : 8) + 1);
	assert_int_equal(after.bytes[XDPLB_TO_CLIENT] - before.bytes[XDPLB_TO_CLIENT],
			 (lab->v6 ? 40 : 20) + (lab->proto == IPPROTO_TCP ? 20 : 8) + 2);
}

static void packets_and_bytes_are_counted_for_service_and_backend(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t header = (lab->v6 ? 40 : 20) + (lab->proto == IPPROTO_TCP ? 20 : 8);
	struct xdplb_stats service, backend;

	client_sends(&talk, SYN, 0);
	server_sends(&talk, SYN | ACK, 0);
	client_sends(&talk, ACK, 0);
	client_sends(&talk, ACK, 100);
	server_sends(&talk, ACK, 1000);
	service = stats_sum(lab->skel->maps.service_stats, SERVICE_ID);
	backend = stats_sum(lab->skel->maps.backend_stats, server_id(&talk));
	assert_memory_equal(&service, &backend, sizeof(service));
	assert_int_equal(service.connections, 1);
	assert_int_equal(service.ended, 0);
	assert_int_equal(service.packets[XDPLB_TO_BACKEND], 3);
	assert_int_equal(service.packets[XDPLB_TO_CLIENT], 2);
	assert_int_equal(service.bytes[XDPLB_TO_BACKEND], 3 * header + 100);
	assert_int_equal(service.bytes[XDPLB_TO_CLIENT], 2 * header + 1000);
}

static void the_last_hop_is_not_ours_to_take(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	talk.extra.ttl = 1;
	assert_outcome(client_says(&talk, ACK, 5), DROP_TTL_EXPIRED);
	assert_outcome(server_says(&talk, ACK, 5), DROP_TTL_EXPIRED);
	talk.extra.ttl = 0;
	assert_outcome(client_says(&talk, ACK, 5), DROP_TTL_EXPIRED);
	talk.extra.ttl = 2;
	talk_goes_on(&talk);
	talk.extra.ttl = 255;
	talk_goes_on(&talk);
}

static void a_udp_packet_without_checksum_gets_none(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	talk.extra.no_check = true;
	client_sends(&talk, 0, 31);
	server_sends(&talk, 0, 32);
}

static uint16_t check_of(const struct frame *frame, uint8_t proto)
{
	return (uint16_t)get16(frame_layer4(frame) + (proto == IPPROTO_TCP ? 16 : 6));
}

/* Salts the payload so that the checksum of @shape comes out as nothing but ones or zeros. */
static uint16_t salt_for_zero(struct shape shape)
{
	struct frame frame;

	shape.salt = 0;
	frame = frame_make(&shape);
	return check_of(&frame, shape.proto);
}

static void a_checksum_that_becomes_zero_is_written_as_the_protocol_wants(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint16_t zero = lab->proto == IPPROTO_UDP ? 0xffff : 0;
	struct shape after;
	struct frame frame;

	talk_establish(&talk);
	after = client_shape(&talk, ACK, 10);
	after.src = talk.nat;
	after.dst = talk.server;
	talk.extra.salt = salt_for_zero(after);
	after.salt = talk.extra.salt;
	frame = frame_make(&after);
	assert_int_equal(check_of(&frame, lab->proto), zero);
	client_sends(&talk, ACK, 10); /* is compared with that */

	talk.extra.salt = salt_for_zero(client_shape(&talk, ACK, 10));
	after = client_shape(&talk, ACK, 10);
	frame = frame_make(&after);
	assert_int_equal(check_of(&frame, lab->proto), zero);
	client_sends(&talk, ACK, 10); /* and one that arrives so */
}

static void a_wrong_checksum_stays_wrong(void **state)
{
	struct talk talk = talk_of(*state, 1);
	struct shape shape;
	struct frame frame;

	talk_establish(&talk);
	shape = client_shape(&talk, ACK, 40);
	frame = frame_make(&shape);
	frame.data[frame.len - 1] ^= 0x10;
	assert_outcome(frame_run(*state, &frame), FORWARD_TX);
	assert_false(frame_sums_right(&frame));
	frame.data[frame.len - 1] ^= 0x10;
	forwarded_check(&talk, &frame, &shape);
}

static void replies_go_the_way_the_client_came_last(void **state)
{
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	server_sends(&talk, ACK, 3);
	for (uint8_t byte = 0; byte < ETH_ALEN; byte++) {
		talk.client_mac[byte] ^= 0x40;
		client_sends(&talk, ACK, 4);
		server_sends(&talk, ACK, 5); /* the new address, says its comparison */
	}
	established_row(&talk)->half[XDPLB_TO_BACKEND].client.ifindex = 99;
	established_row(&talk)->half[XDPLB_TO_CLIENT].client.ifindex = 99;
	assert_outcome(server_says(&talk, ACK, 5), DROP_NO_EGRESS); /* as if it had come by there */
	client_sends(&talk, ACK, 4);
	server_sends(&talk, ACK, 5);
}

static void other_interfaces_are_reached_by_redirecting(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t out = if_nametoindex("out0");
	struct xdplb_backend backend;
	struct xdplb_flow *flow;

	talk_establish(&talk);
	row_get(lab->skel->maps.backends, server_id(&talk), &backend);
	backend.nexthop.ifindex = out;
	row_put(lab->skel->maps.backends, server_id(&talk), &backend);
	assert_outcome(client_says(&talk, ACK, 5), DROP_NO_EGRESS);
	row_put(lab->skel->maps.egress, out, &out);
	assert_outcome(client_says(&talk, ACK, 5), FORWARD_REDIRECT);

	flow = established_row(&talk);
	flow->half[XDPLB_TO_CLIENT].client.ifindex = out;
	assert_outcome(server_says(&talk, ACK, 5), REPLY_REDIRECT);
	bpf_map_delete_elem(map_fd(lab->skel->maps.egress), &out);
	assert_outcome(server_says(&talk, ACK, 5), DROP_NO_EGRESS);
}

static void an_unresolved_next_hop_drops_until_it_is_known(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), later = talk_of(lab, 2);

	talk_establish(&talk);
	for (uint32_t id = 1; id <= 4; id++)
		backend_set(lab, id, XDPLB_BACKEND_USED | XDPLB_BACKEND_UP);
	assert_outcome(client_says(&talk, ACK, 5), DROP_UNRESOLVED);
	assert_outcome(client_says(&later, SYN, 0), DROP_UNRESOLVED);
	server_sends(&talk, ACK, 5); /* towards the client nothing is missing */
	for (uint32_t id = 1; id <= 4; id++)
		backend_set(lab, id, BACKEND_GOOD);
	talk_goes_on(&talk);
	client_sends(&later, SYN, 0);
}

static void a_removed_backend_keeps_its_flows(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	talk_establish(&talk);
	backend_set(lab, server_id(&talk),
		    XDPLB_BACKEND_USED | XDPLB_BACKEND_RESOLVED | XDPLB_BACKEND_REMOVED);
	pool_range(lab, XDPLB_FIRST, 0, 0);
	hash_clear(lab->skel->maps.services);
	talk_goes_on(&talk);
}

static void a_backend_whose_mac_changed_is_reached_at_the_new_one(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct xdplb_backend backend;
	struct shape shape;
	struct frame frame;

	talk_establish(&talk);
	row_get(lab->skel->maps.backends, server_id(&talk), &backend);
	backend.nexthop.dst_mac[4] = 9;
	row_put(lab->skel->maps.backends, server_id(&talk), &backend);
	shape = client_shape(&talk, ACK, 5);
	frame = frame_make(&shape);
	assert_outcome(frame_run(lab, &frame), FORWARD_TX);
	assert_memory_equal(frame.data, backend.nexthop.dst_mac, ETH_ALEN);
}

static void shell(const char *command)
{
	assert_int_equal(system(command), 0);
}

/* The kernel's routes and neighbours, of which nobody told the datapath. */
static void kernel_learns(const struct lab *lab)
{
	char text[INET6_ADDRSTRLEN], command[256];

	shell("echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding;"
	      "echo 1 > /proc/sys/net/ipv6/conf/lo/forwarding;"
	      "ip addr replace 10.1.0.100/24 dev out0; ip -6 route replace fd00::/8 dev out0");
	for (uint32_t id = 1; id <= 4; id++) {
		struct xdplb_addr addr = server_end(lab, id).ip;

		if (lab->v6)
			inet_ntop(AF_INET6, &addr, text, sizeof(text));
		else
			inet_ntop(AF_INET, &addr.w[3], text, sizeof(text));
		snprintf(command, sizeof(command),
			 "ip neigh replace %s dev out0 lladdr 02:aa:aa:aa:aa:%02x", text, id);
		shell(command);
	}
}

static void without_the_daemon_the_kernel_is_asked_for_the_next_hop(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t out = if_nametoindex("out0");
	uint8_t mac[ETH_ALEN] = { 2, 0xaa, 0xaa, 0xaa, 0xaa, 0 };

	kernel_learns(lab);
	row_put(lab->skel->maps.egress, out, &out);
	talk_establish(&talk);
	lab->settings->heartbeat_tick = tick_now() - 10000;
	mac[5] = (uint8_t)server_id(&talk);
	for (int i = 0; i < 3; i++) {
		struct shape shape = client_shape(&talk, ACK, 5);
		struct frame frame = frame_make(&shape);

		assert_outcome(frame_run(lab, &frame), FORWARD_REDIRECT);
		assert_memory_equal(frame.data, mac, ETH_ALEN);
	}
	assert_int_equal(event_count(lab, XDPLB_EVENT_NEXTHOP_LEARNED), 1);
}

static void a_living_daemon_is_not_second_guessed(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	kernel_learns(lab);
	talk_establish(&talk);
	talk_goes_on(&talk);
	assert_int_equal(event_count(lab, XDPLB_EVENT_NEXTHOP_LEARNED), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(packets_of_a_flow_are_rewritten_both_ways),
		ALL(frames_of_many_pages_are_rewritten_too),
		TCP(options_of_both_headers_are_carried_along),
		ALL(padding_of_short_frames_is_left_alone_and_not_counted),
		ALL(packets_and_bytes_are_counted_for_service_and_backend),
		ALL(the_last_hop_is_not_ours_to_take),
		UDP(a_udp_packet_without_checksum_gets_none),
		ALL(a_checksum_that_becomes_zero_is_written_as_the_protocol_wants),
		ALL(a_wrong_checksum_stays_wrong),
		ALL(replies_go_the_way_the_client_came_last),
		ALL(other_interfaces_are_reached_by_redirecting),
		ALL(an_unresolved_next_hop_drops_until_it_is_known),
		ALL(a_removed_backend_keeps_its_flows),
		ALL(a_backend_whose_mac_changed_is_reached_at_the_new_one),
		TCP(without_the_daemon_the_kernel_is_asked_for_the_next_hop),
		TCP(a_living_daemon_is_not_second_guessed),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
