// SPDX-License-Identifier: GPL-2.0-only
/* Rtnetlink messages into structs, prefixes, and what follows from options alone. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <sys/socket.h>

#include "dataplane/derive.h"
#include "dataplane/rtnl.h"
#include "xdplb/addr.h"

static struct xdplb_addr addr_of(const char *text)
{
	struct xdplb_addr addr = { { 0, 0, htonl(0xffff), 0 } };

	if (inet_pton(AF_INET, text, &addr.w[3]) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, &addr), 1);
	return addr;
}

/* ---- messages, each in memory of exactly its size, so that reading beyond is noticed */

static struct nlmsghdr *message_start(uint16_t type, const void *body, size_t size)
{
	static char buffer[1024];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = type;
	memcpy(mnl_nlmsg_put_extra_header(message, size), body, size);
	return message;
}

static struct nlmsghdr *message_fit(const struct nlmsghdr *message)
{
	return memcpy(malloc(message->nlmsg_len), message, message->nlmsg_len);
}

static struct nlmsghdr *link_message(uint8_t family, uint16_t hardware, size_t mac_len)
{
	const struct ifinfomsg info = { .ifi_family = family,
					.ifi_type = hardware,
					.ifi_index = 7,
					.ifi_flags = IFF_UP | IFF_RUNNING };
	struct nlmsghdr *message = message_start(RTM_NEWLINK, &info, sizeof(info));

	mnl_attr_put_strz(message, IFLA_IFNAME, "eth0");
	mnl_attr_put(message, IFLA_ADDRESS, mac_len, "\2\0\0\0\0\1");
	return message_fit(message);
}

static void a_link_has_a_name_a_state_and_an_ethernet_address(void **state)
{
	struct nlmsghdr *message = link_message(AF_UNSPEC, ARPHRD_ETHER, 6);
	struct rtnl_link link;

	(void)state;
	assert_true(rtnl_parse_link(message, &link));
	assert_int_equal(link.ifindex, 7);
	assert_string_equal(link.name, "eth0");
	assert_true(link.up && link.has_mac);
	assert_memory_equal(link.mac, "\2\0\0\0\0\1", 6);
	free(message);
	message = link_message(AF_UNSPEC, ARPHRD_TUNNEL, 4);
	assert_true(rtnl_parse_link(message, &link));
	assert_false(link.has_mac);
	free(message);
}

static void what_a_bridge_says_of_its_ports_is_no_link(void **state)
{
	struct nlmsghdr *message = link_message(AF_BRIDGE, ARPHRD_ETHER, 6);
	struct rtnl_link link;

	(void)state;
	assert_false(rtnl_parse_link(message, &link));
	free(message);
}

static struct nlmsghdr *neighbour_message(bool managed)
{
	const struct ndmsg info = { .ndm_family = AF_INET,
				    .ndm_ifindex = 7,
				    .ndm_state = NUD_REACHABLE };
	const struct xdplb_addr addr = addr_of("10.0.0.1");
	struct nlmsghdr *message = message_start(RTM_NEWNEIGH, &info, sizeof(info));

	mnl_attr_put(message, NDA_DST, 4, &addr.w[3]);
	mnl_attr_put(message, NDA_LLADDR, 6, "\2\0\0\0\0\2");
	if (managed) {
		mnl_attr_put_u32(message, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
		mnl_attr_put_u8(message, NDA_PROTOCOL, RTNL_OUR_PROTOCOL);
	}
	return message_fit(message);
}

static void a_neighbour_says_who_keeps_it_resolved(void **state)
{
	const struct xdplb_addr want = addr_of("10.0.0.1");

	(void)state;
	for (int managed = 0; managed < 2; managed++) {
		struct nlmsghdr *message = neighbour_message(managed);
		struct rtnl_neighbour neighbour;

		assert_true(rtnl_parse_neighbour(message, &neighbour));
		assert_memory_equal(&neighbour.addr, &want, sizeof(want));
		assert_int_equal(neighbour.state, NUD_REACHABLE);
		assert_true(neighbour.has_mac);
		assert_int_equal(neighbour.managed, managed);
		assert_int_equal(neighbour.ours, managed);
		free(message);
	}
}

static struct nlmsghdr *route_message(bool via_v6)
{
	const struct rtmsg info = { .rtm_family = AF_INET,
				    .rtm_dst_len = 32,
				    .rtm_type = RTN_UNICAST };
	const struct xdplb_addr dst = addr_of("10.1.2.3"), source = addr_of("10.9.0.1");
	const struct xdplb_addr v4 = addr_of("10.9.0.2"), v6 = addr_of("fd09::2");
	struct {
		uint16_t family;
		uint8_t addr[16];
	} via = { .family = AF_INET6 };
	struct nlmsghdr *message = message_start(RTM_NEWROUTE, &info, sizeof(info));

	memcpy(via.addr, &v6, 16);
	mnl_attr_put(message, RTA_DST, 4, &dst.w[3]);
	mnl_attr_put_u32(message, RTA_OIF, 7);
	mnl_attr_put(message, RTA_PREFSRC, 4, &source.w[3]);
	if (via_v6)
		mnl_attr_put(message, RTA_VIA, sizeof(via), &via);
	else
		mnl_attr_put(message, RTA_GATEWAY, 4, &v4.w[3]);
	return message_fit(message);
}

static void a_route_leads_by_a_gateway_of_either_family(void **state)
{
	const struct xdplb_addr want[] = { addr_of("10.9.0.2"), addr_of("fd09::2") };

	(void)state;
	for (int via_v6 = 0; via_v6 < 2; via_v6++) {
		struct nlmsghdr *message = route_message(via_v6);
		struct rtnl_route route;

		assert_true(rtnl_parse_route(message, &route));
		assert_int_equal(route.ifindex, 7);
		assert_true(route.has_gateway);
		assert_memory_equal(&route.gateway, &want[via_v6], sizeof(want[0]));
		assert_false(route.encap);
		free(message);
	}
}

/* Whatever is cut off: no read beyond the end (the sanitizer watches), no crash. */
static void a_message_cut_short_does_no_harm(void **state)
{
	struct nlmsghdr *whole[] = { link_message(AF_UNSPEC, ARPHRD_ETHER, 6),
				     neighbour_message(true), route_message(true) };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (uint32_t len = sizeof(*whole[i]); len <= whole[i]->nlmsg_len; len++) {
			struct nlmsghdr *cut = memcpy(malloc(len), whole[i], len);
			struct rtnl_neighbour neighbour;
			struct rtnl_route route;
			struct rtnl_link link;

			cut->nlmsg_len = len;
			rtnl_parse_link(cut, &link);
			rtnl_parse_neighbour(cut, &neighbour);
			rtnl_parse_route(cut, &route);
			free(cut);
		}
		free(whole[i]);
	}
}

static bool covers(const char *prefix, uint8_t len, const char *addr)
{
	const struct xdplb_addr a = addr_of(addr);
	struct rtnl_route route = { .dst = addr_of(prefix), .prefix_len = len };

	route.family = xdplb_addr_is_ip4(&route.dst) ? AF_INET : AF_INET6;
	return rtnl_route_covers(&route, &a);
}

static void a_prefix_covers_its_addresses_and_no_others(void **state)
{
	(void)state;
	assert_true(covers("0.0.0.0", 0, "192.0.2.1"));
	assert_false(covers("0.0.0.0", 0, "2001:db8::1"));
	assert_false(covers("::", 0, "192.0.2.1"));
	assert_true(covers("::", 0, "2001:db8::1"));
	assert_true(covers("10.0.0.0", 8, "10.255.0.1"));
	assert_false(covers("10.0.0.0", 8, "11.0.0.1"));
	assert_true(covers("10.1.2.3", 32, "10.1.2.3"));
	assert_false(covers("10.1.2.3", 32, "10.1.2.2"));
	assert_true(covers("10.128.0.0", 9, "10.129.0.0"));
	assert_false(covers("10.128.0.0", 9, "10.127.0.0"));
	assert_true(covers("2001:db8::", 33, "2001:db8:7fff::1"));
	assert_false(covers("2001:db8::", 33, "2001:db8:8000::1"));
	assert_true(covers("2001:db8::1", 128, "2001:db8::1"));
	assert_false(covers("2001:db8::1", 127, "2001:db8::2"));
}

/* ---- derived */

static void map_sizes_fit_the_flow_table(void **state)
{
	static const struct dp_sizes want[] = {
		{ 1, 1024, 1024 },	     { 1000, 1024, 2048 },    { 5000, 8192, 16384 },
		{ 16383, 16384, 32768 },     { 16384, 65536, 65536 }, { 262144, 65536, 262144 },
		{ 1048576, 65536, 1048576 },
	};
	struct dp_sizes sizes;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(derive_sizes(want[i].flows, &sizes));
		assert_memory_equal(&sizes, &want[i], sizeof(sizes));
		assert_true(derive_sizes_valid(&sizes));
		assert_true(2 * (sizes.flows + sizes.embryos) * 2 <= sizes.buckets * 5);
	}
	assert_false(derive_sizes(0, &sizes));
	assert_true(derive_sizes(1U << 24, &sizes));
	assert_false(derive_sizes((1U << 24) + 1, &sizes));
}

static void the_same_seed_gives_the_same_key_on_every_node(void **state)
{
	/* SipHash-2-4 with key 00 01 .. 0f of 0, 1, 2, 3 as 64-bit words, little endian. */
	static const uint64_t want[4] = { 0x39d3851ca07681a7U, 0x2b91b2b085e6d1f6U,
					  0x2cf030f1fa30eb6dU, 0x3e08f73a0bdc3586U };
	uint8_t seed[16];
	uint64_t key[4], other[4];

	(void)state;
	for (uint8_t i = 0; i < 16; i++)
		seed[i] = i;
	derive_select_key(seed, key);
	assert_memory_equal(key, want, sizeof(want));
	seed[15] ^= 0x80;
	derive_select_key(seed, other);
	for (int i = 0; i < 4; i++)
		assert_true(key[i] != other[i]);
}

static void names_of_link_pins_go_there_and_back(void **state)
{
	static const char *const names[][2] = {
		{ "eth0", "link_eth0" },
		{ "eth0.100", "link_eth0%2e100" },
		{ "50%", "link_50%25" },
		{ "...............", "link_%2e%2e%2e%2e%2e%2e%2e%2e%2e%2e%2e%2e%2e%2e%2e" },
	};
	char name[DP_LINK_NAME_SIZE], ifname[16];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_true(derive_link_name(names[i][0], name));
		assert_string_equal(name, names[i][1]);
		assert_true(derive_link_ifname(name, ifname));
		assert_string_equal(ifname, names[i][0]);
	}
	assert_false(derive_link_name("", name));
	assert_false(derive_link_name("sixteen-bytes-ab", name));
	assert_false(derive_link_name("a/b", name));
	assert_false(derive_link_ifname("flows", ifname));
	assert_false(derive_link_ifname("link_", ifname));
	assert_false(derive_link_ifname("link_sixteen-bytes-ab", ifname));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_has_a_name_a_state_and_an_ethernet_address),
		cmocka_unit_test(what_a_bridge_says_of_its_ports_is_no_link),
		cmocka_unit_test(a_neighbour_says_who_keeps_it_resolved),
		cmocka_unit_test(a_route_leads_by_a_gateway_of_either_family),
		cmocka_unit_test(a_message_cut_short_does_no_harm),
		cmocka_unit_test(a_prefix_covers_its_addresses_and_no_others),
		cmocka_unit_test(map_sizes_fit_the_flow_table),
		cmocka_unit_test(the_same_seed_gives_the_same_key_on_every_node),
		cmocka_unit_test(names_of_link_pins_go_there_and_back),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
