// SPDX-License-Identifier: GPL-2.0-only
/* Links, neighbours and routes, as this kernel tells of them. */
#include "dataplane_fixture.h"

#include <net/if.h>
#include <event2/event.h>

#include "base/clock.h"
#include "dataplane/netlink.h"

#define MAC "02:00:00:00:00:02"
#define PATIENCE_MS 8000

struct told {
	uint32_t count;
	bool resolved;
	struct xdplb_nexthop nexthop;
	struct xdplb_addr nat_addr;
};

struct state {
	struct event_base *base;
	struct netlink *nl;
	pid_t peer;
	struct told told[8];
	uint32_t many, many_resolved; /* ids beyond */
	char link[16];
	enum netlink_link_state link_state;
};

static void on_resolved(void *arg, uint32_t id, bool resolved, const struct xdplb_nexthop *nexthop,
			const struct xdplb_addr *nat_addr)
{
	struct state *s = arg;

	if (id >= 8) {
		s->many++;
		s->many_resolved += resolved;
		return;
	}
	s->told[id].count++;
	s->told[id].resolved = resolved;
	s->told[id].nexthop = *nexthop;
	s->told[id].nat_addr = *nat_addr;
}

static void on_link(void *arg, uint32_t ifindex, const char *name, enum netlink_link_state state)
{
	struct state *s = arg;

	(void)ifindex;
	if (!strcmp(name, s->link))
		s->link_state = state;
}

static void turn(struct state *s, uint32_t ms)
{
	struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	event_base_loopexit(s->base, &wait);
	event_base_dispatch(s->base);
}

#define until(s, condition)                                                              \
	do {                                                                             \
		for (int waited = 0; !(condition) && waited < PATIENCE_MS; waited += 10) \
			turn(s, 10);                                                     \
		assert_true(condition);                                                  \
	} while (0)

static void track(struct state *s, uint32_t id, const char *address)
{
	struct xdplb_addr addr = fixture_addr(address);

	netlink_track(s->nl, id, &addr);
}

#define in_peer(s, command) run("nsenter -t %d -n " command, (s)->peer)

/* Its ARP request tells who has the peer's address now. */
static void peer_asks(const struct state *s)
{
	in_peer(s, "ip neigh flush dev vb");
	in_peer(s, "bash -c 'echo hello >/dev/udp/10.9.0.1/9'");
}

/* va (10.9.0.1, fd09::1) here, vb (.2, ::2, MAC) in a namespace of its own. */
static int set_up(void **arg)
{
	struct state *s = xcalloc(1, sizeof(*s));
	const struct netlink_events events = { .arg = s,
					       .resolved = on_resolved,
					       .link_changed = on_link };
	struct dp_error err;

	strcpy(s->link, "va");
	s->peer = peer_start();
	s->base = event_base_new();
	run("ip link add va type veth peer name vb netns %d", s->peer);
	run("ip addr add 10.9.0.1/24 dev va && ip addr add fd09::1/64 dev va nodad");
	run("ip link set va up");
	in_peer(s, "ip link set vb address " MAC " up");
	in_peer(s, "ip addr add 10.9.0.2/24 dev vb");
	in_peer(s, "ip addr add fd09::2/64 dev vb nodad");
	if (netlink_open(s->base, &events, &s->nl, &err))
		fail_msg("%s", err.text);
	until(s, s->link_state == NETLINK_LINK_UP);
	*arg = s;
	return 0;
}

static int tear_down(void **arg)
{
	struct state *s = *arg;

	netlink_close(s->nl);
	event_base_free(s->base);
	sh("ip link del va 2>/dev/null");
	peer_stop(s->peer);
	free(s);
	return 0;
}

static void must_lead_to(const struct told *told, const char *mac, const char *source)
{
	const struct xdplb_addr want = fixture_addr(source);
	char dst[18], src[18];
	const uint8_t *m = told->nexthop.dst_mac, *o = told->nexthop.src_mac;

	assert_true(told->resolved);
	assert_int_equal(told->nexthop.ifindex, if_nametoindex("va"));
	snprintf(dst, sizeof(dst), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	snprintf(src, sizeof(src), "%02x:%02x:%02x:%02x:%02x:%02x", o[0], o[1], o[2], o[3], o[4],
		 o[5]);
	assert_string_equal(dst, mac);
	run("ip link show va | grep -q %s", src);
	assert_memory_equal(&told->nat_addr, &want, sizeof(want));
}

static bool is_managed(const char *addr)
{
	return !sh("ip neigh show %s dev va 2>/dev/null | grep -q managed", addr);
}

static void neighbours_are_learned_and_kept_resolved(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.9.0.2");
	track(s, 2, "fd09::2");
	until(s, s->told[1].resolved && s->told[2].resolved);
	must_lead_to(&s->told[1], MAC, "10.9.0.1");
	must_lead_to(&s->told[2], MAC, "fd09::1");
	assert_true(is_managed("10.9.0.2"));
	assert_true(is_managed("fd09::2"));
	turn(s, 1500);
	assert_int_equal(s->told[1].count, 1);
	assert_int_equal(s->told[2].count, 1);
}

static void neighbours_no_longer_needed_are_let_go(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.9.0.2");
	track(s, 2, "10.9.0.2");
	until(s, s->told[1].resolved && s->told[2].resolved);
	netlink_untrack(s->nl, 1);
	turn(s, 50);
	assert_true(is_managed("10.9.0.2"));
	netlink_untrack(s->nl, 2);
	until(s, !is_managed("10.9.0.2"));
}

static void what_a_former_daemon_kept_resolved_is_let_go_too(void **arg)
{
	struct state *s = *arg;
	const struct netlink_events events = { .arg = s, .resolved = on_resolved };
	struct dp_error err;

	track(s, 1, "10.9.0.2");
	track(s, 2, "fd09::2");
	until(s, s->told[1].resolved && s->told[2].resolved);
	netlink_close(s->nl);
	assert_true(is_managed("10.9.0.2"));
	assert_int_equal(netlink_open(s->base, &events, &s->nl, &err), 0);
	track(s, 3, "10.9.0.2");
	until(s, s->told[3].resolved);
	netlink_untrack(s->nl, 3);
	until(s, !is_managed("10.9.0.2"));
	assert_true(is_managed("fd09::2"));
	netlink_release_neighbours();
	assert_false(is_managed("fd09::2"));
}

static void a_static_neighbour_is_used_and_left_alone(void **arg)
{
	struct state *s = *arg;

	run("ip neigh add 10.9.0.7 lladdr 02:00:00:00:00:07 nud permanent dev va");
	track(s, 1, "10.9.0.7");
	until(s, s->told[1].resolved);
	must_lead_to(&s->told[1], "02:00:00:00:00:07", "10.9.0.1");
	turn(s, 1200);
	run("ip neigh show 10.9.0.7 dev va | grep -q PERMANENT");
	assert_false(is_managed("10.9.0.7"));
}

static void a_changed_mac_is_followed(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.9.0.2");
	until(s, s->told[1].resolved);
	in_peer(s, "ip link set vb address 02:00:00:00:00:22");
	peer_asks(s);
	until(s, s->told[1].nexthop.dst_mac[5] == 0x22);
	must_lead_to(&s->told[1], "02:00:00:00:00:22", "10.9.0.1");
	run("ip link set va address 02:00:00:00:00:11");
	until(s, s->told[1].nexthop.src_mac[5] == 0x11);
}

static void the_way_leads_by_a_gateway_where_the_route_does(void **arg)
{
	struct state *s = *arg;

	run("ip route add 10.50.0.0/16 via 10.9.0.2 src 10.9.0.1");
	run("ip -6 route add fd50::/64 via fd09::2");
	run("ip route add 10.60.0.0/16 via inet6 fd09::2");
	track(s, 1, "10.50.1.2");
	track(s, 2, "fd50::1");
	track(s, 3, "10.60.0.1");
	until(s, s->told[1].resolved && s->told[2].resolved && s->told[3].resolved);
	must_lead_to(&s->told[1], MAC, "10.9.0.1");
	must_lead_to(&s->told[2], MAC, "fd09::1");
	must_lead_to(&s->told[3], MAC, "10.9.0.1");
}

static void a_changed_route_is_followed(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.50.1.2");
	until(s, s->told[1].count == 1);
	assert_false(s->told[1].resolved);
	run("ip route add 10.50.0.0/16 via 10.9.0.2");
	until(s, s->told[1].resolved);
	run("ip addr add 10.9.0.100/24 dev va");
	run("ip route change 10.50.0.0/16 via 10.9.0.2 src 10.9.0.100");
	until(s, s->told[1].nat_addr.w[3] == fixture_addr("10.9.0.100").w[3]);
	run("ip route del 10.50.0.0/16");
	until(s, !s->told[1].resolved);
}

static void silence_is_unresolved_and_an_answer_mends_it(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.9.0.66");
	until(s, s->told[1].count == 1); /* after three questions */
	assert_false(s->told[1].resolved);
	in_peer(s, "ip addr add 10.9.0.66/24 dev vb");
	until(s, s->told[1].resolved);
	must_lead_to(&s->told[1], MAC, "10.9.0.1");
}

static void a_flushed_neighbour_is_asked_for_again(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.9.0.2");
	until(s, s->told[1].resolved);
	run("ip neigh del 10.9.0.2 dev va");
	until(s, is_managed("10.9.0.2"));
	until(s, s->told[1].resolved);
	must_lead_to(&s->told[1], MAC, "10.9.0.1");
}

static void a_link_that_goes_and_comes_takes_its_destinations_along(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.9.0.2");
	track(s, 2, "fd09::2");
	until(s, s->told[1].resolved && s->told[2].resolved);
	run("ip link set va down");
	until(s, !s->told[1].resolved && !s->told[2].resolved);
	assert_int_equal(s->link_state, NETLINK_LINK_DOWN);
	run("ip link set va up && ip addr replace fd09::1/64 dev va nodad");
	until(s, s->told[1].resolved && s->told[2].resolved);
	assert_int_equal(s->link_state, NETLINK_LINK_UP);
	in_peer(s, "ip link set vb down"); /* no carrier */
	until(s, !s->told[1].resolved && s->link_state == NETLINK_LINK_DOWN);
	in_peer(s, "ip link set vb up");
	until(s, s->told[1].resolved);
	run("ip link del va");
	until(s, !s->told[1].resolved && !s->told[2].resolved);
	assert_int_equal(s->link_state, NETLINK_LINK_GONE);
}

static void links_that_come_and_change_their_name_are_told_of(void **arg)
{
	struct state *s = *arg;

	strcpy(s->link, "vx");
	run("ip link add vx type veth peer name vd");
	until(s, s->link_state == NETLINK_LINK_DOWN);
	run("ip link set vx up && ip link set vd up");
	until(s, s->link_state == NETLINK_LINK_UP);
	strcpy(s->link, "vz");
	s->link_state = NETLINK_LINK_GONE;
	run("ip link set vx down && ip link set vx name vz && ip link set vz up");
	until(s, s->link_state == NETLINK_LINK_UP);
	/* In and out of a bridge: that is no end of the link. */
	run("ip link add name bridge0 type bridge && ip link set vz master bridge0 && ip link set vz nomaster");
	turn(s, 50);
	assert_int_equal(s->link_state, NETLINK_LINK_UP);
	run("ip link del vz && ip link del bridge0");
	until(s, s->link_state == NETLINK_LINK_GONE);
}

static bool links_count(void *arg, uint32_t ifindex, const char *name,
			enum netlink_link_state state)
{
	(void)ifindex;
	(void)state;
	*(int *)arg += !strcmp(name, "va") || !strcmp(name, "lo");
	return true;
}

static void it_knows_the_links_and_which_addresses_are_local(void **arg)
{
	const struct xdplb_addr on_lo = fixture_addr("192.0.2.10"), v6 = fixture_addr("fd09::1");
	const struct xdplb_addr peers = fixture_addr("10.9.0.2"), nobodys = fixture_addr("8.8.8.8");
	struct state *s = *arg;
	int links = 0;

	netlink_each_link(s->nl, links_count, &links);
	assert_int_equal(links, 2);
	assert_false(netlink_is_local(s->nl, &on_lo));
	run("ip addr add 192.0.2.10/32 dev lo");
	assert_true(netlink_is_local(s->nl, &on_lo));
	run("ip addr del 192.0.2.10/32 dev lo");
	assert_true(netlink_is_local(s->nl, &v6));
	assert_false(netlink_is_local(s->nl, &peers));
	assert_false(netlink_is_local(s->nl, &nobodys));
}

static void a_backend_on_this_very_host_is_unresolved(void **arg)
{
	struct state *s = *arg;

	track(s, 1, "10.9.0.1");
	until(s, s->told[1].count == 1);
	assert_false(s->told[1].resolved);
}

static void twenty_thousand_backends_behind_a_gateway_take_no_second(void **arg)
{
	const uint32_t count = 20000;
	struct state *s = *arg;
	uint64_t start_ns;

	run("ip route add 10.0.0.0/8 via 10.9.0.2");
	track(s, 1, "10.9.0.2");
	until(s, s->told[1].resolved);
	start_ns = clock_now_ns();
	for (uint32_t i = 0; i < count; i++) {
		struct xdplb_addr addr = fixture_addr("10.100.0.0");

		addr.w[3] = to_be32(from_be32(addr.w[3]) + i);
		netlink_track(s->nl, 8 + i, &addr);
	}
	until(s, s->many_resolved == count);
	print_message("20000 destinations resolved in %u ms\n",
		      (uint32_t)((clock_now_ns() - start_ns) / 1000000));
	assert_true(clock_now_ns() - start_ns < 1000000000U);
	s->many = s->many_resolved = 0;
	start_ns = clock_now_ns();
	in_peer(s, "ip link set vb address 02:00:00:00:00:22");
	peer_asks(s);
	until(s, s->many_resolved == count);
	print_message("their gateway's new MAC address was told of in %u ms\n",
		      (uint32_t)((clock_now_ns() - start_ns) / 1000000));
	/* Many changes of routes that do not concern them, and one that does. */
	run("for i in $(seq 200); do echo route add 172.16.$i.0/24 via 10.9.0.2; done | ip -b -");
	run("ip route del 10.0.0.0/8");
	until(s, s->many == 2 * count);
	assert_int_equal(s->many_resolved, count);
}

static void lost_notifications_are_made_good(void **arg)
{
	struct state *s = *arg;

	run("ip route add 10.50.0.0/16 via 10.9.0.2");
	track(s, 1, "10.50.1.2");
	track(s, 2, "10.9.0.2");
	until(s, s->told[1].resolved && s->told[2].resolved);
	/* More than the socket holds, while nobody reads; then what matters. */
	run("for i in $(seq 100); do for j in $(seq 200); do "
	    "echo route add 172.$i.$j.0/24 via 10.9.0.2; done; done | ip -b -");
	run("ip route del 10.50.0.0/16 && ip link set va address 02:00:00:00:00:11");
	run("ip link add vx type veth peer name vy");
	strcpy(s->link, "vx");
	s->link_state = NETLINK_LINK_GONE;
	until(s, !s->told[1].resolved);
	until(s, s->told[2].nexthop.src_mac[5] == 0x11);
	until(s, s->link_state == NETLINK_LINK_DOWN);
	run("ip link del vx");
}

static int group_up(void **arg)
{
	(void)arg;
	if (!fixture_isolate()) {
		print_message("SKIP: needs root\n");
		return -1;
	}
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(neighbours_are_learned_and_kept_resolved),
		TEST(neighbours_no_longer_needed_are_let_go),
		TEST(what_a_former_daemon_kept_resolved_is_let_go_too),
		TEST(a_static_neighbour_is_used_and_left_alone),
		TEST(a_changed_mac_is_followed),
		TEST(the_way_leads_by_a_gateway_where_the_route_does),
		TEST(a_changed_route_is_followed),
		TEST(silence_is_unresolved_and_an_answer_mends_it),
		TEST(a_flushed_neighbour_is_asked_for_again),
		TEST(a_link_that_goes_and_comes_takes_its_destinations_along),
		TEST(links_that_come_and_change_their_name_are_told_of),
		TEST(it_knows_the_links_and_which_addresses_are_local),
		TEST(a_backend_on_this_very_host_is_unresolved),
		TEST(lost_notifications_are_made_good),
		TEST(twenty_thousand_backends_behind_a_gateway_take_no_second),
	};

	return cmocka_run_group_tests_name("netlink", tests, group_up, NULL);
}
