// SPDX-License-Identifier: GPL-2.0-only
/* What is not ours passes, byte for byte as it came, and says why. */
#include "talk.h"

static int load(void **state)
{
	(void)state;
	return lab_load(&the_lab, 64, 64) ? 0 : -1;
}

static void passes(struct lab *lab, const struct frame *frame, enum xdplb_outcome wanted)
{
	struct frame copy = *frame;
	enum xdplb_outcome out = frame_run(lab, &copy);

	if (out != wanted)
		print_error("outcome %s, wanted %s\n", outcome_names[out], outcome_names[wanted]);
	assert_int_equal(out, wanted);
	assert_int_equal(outcome_action(out), XDP_PASS);
	assert_int_equal(copy.len, frame->len);
	assert_memory_equal(copy.data, frame->data, frame->len);
}

/* What a client of the service would send. */
static struct shape ours(struct lab *lab)
{
	struct talk talk = talk_of(lab, 1);

	return client_shape(&talk, SYN, 20);
}

static uint8_t *ip_of_frame(struct frame *frame)
{
	return frame->data + ETH_HLEN;
}

static void another_ethertype_passes(void **state)
{
	static const uint16_t types[] = {
		0x0806, 0x88cc, 0x8863, 0x8847, 0x0004, 0x05dc, 0xffff, 0
	};
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	struct frame frame = frame_make(&shape);

	for (uint32_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		put16(frame.data + 12, types[i]);
		passes(lab, &frame, XDPLB_PASS_NOT_IP);
	}
	put16(frame.data + 12, 0x8100);
	passes(lab, &frame, XDPLB_PASS_VLAN);
	put16(frame.data + 12, 0x88a8);
	passes(lab, &frame, XDPLB_PASS_VLAN);
}

static void other_addresses_ports_and_protocols_pass(void **state)
{
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	struct frame frame;

	shape.dst.port = 81;
	frame = frame_make(&shape);
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
	shape = ours(lab);
	shape.dst.ip.w[3] ^= to_be32(1);
	frame = frame_make(&shape);
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
	shape = ours(lab);
	shape.src = vip_end(lab); /* what the VIP itself might say */
	shape.dst = talk_of(lab, 1).client;
	frame = frame_make(&shape);
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
	shape = ours(lab);
	shape.proto = lab->proto == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
	shape.flags = ACK;
	frame = frame_make(&shape);
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
	flow_count_check(lab, 0, 0);
}

static void other_protocols_over_ip_pass(void **state)
{
	static const uint8_t protos[] = { 1, 2, 4, 33, 47, 58, 89, 132, 255 };
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	struct frame frame = frame_make(&shape);

	for (uint32_t i = 0; i < sizeof(protos); i++) {
		ip_of_frame(&frame)[lab->v6 ? 6 : 9] = protos[i];
		passes(lab, &frame, XDPLB_PASS_NOT_L4);
	}
}

static void extension_headers_pass(void **state)
{
	static const uint8_t headers[] = { 0, 43, 60 };
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	struct frame frame = frame_make(&shape);

	for (uint32_t i = 0; i < sizeof(headers); i++) {
		ip_of_frame(&frame)[6] = headers[i];
		passes(lab, &frame, XDPLB_PASS_IPV6_EXTENSION);
	}
	ip_of_frame(&frame)[6] = 44;
	passes(lab, &frame, XDPLB_PASS_FRAGMENT);
}

static void fragments_pass(void **state)
{
	static const uint16_t fields[] = { 0x2000, 0x2001, 0x0001, 0x1fff, 0x6000, 0x3fff };
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	struct frame frame = frame_make(&shape);

	for (uint32_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		put16(ip_of_frame(&frame) + 6, fields[i]);
		passes(lab, &frame, XDPLB_PASS_FRAGMENT);
	}
	put16(ip_of_frame(&frame) + 6, 0);
	assert_outcome(frame_run(lab, &frame), FORWARD_TX);
}

static void what_is_sent_to_many_passes(void **state)
{
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	struct frame frame = frame_make(&shape);

	memset(frame.data, 0xff, ETH_ALEN);
	passes(lab, &frame, XDPLB_PASS_MULTICAST);
	memcpy(frame.data, (uint8_t[]){ 1, 0, 0x5e, 1, 2, 3 }, ETH_ALEN);
	passes(lab, &frame, XDPLB_PASS_MULTICAST);
	memcpy(frame.data, (uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, ETH_ALEN);
	passes(lab, &frame, XDPLB_PASS_MULTICAST);
}

static void a_frame_cut_anywhere_passes(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape shape;
	struct frame frame;

	for (int established = 0; established < 2; established++) {
		shape = client_shape(&talk, established ? ACK : SYN, 20);
		shape.ip_options = lab->v6 ? 0 : 12;
		shape.tcp_options = 16;
		frame = frame_make(&shape);
		for (uint32_t len = frame.len - 1; len >= ETH_HLEN; len--) {
			frame.len = len;
			passes(lab, &frame, XDPLB_PASS_TRUNCATED);
		}
		flow_count_check(lab, (uint32_t)established, 0);
		if (!established)
			talk_establish(&talk);
	}
	talk_goes_on(&talk);
}

static void headers_that_contradict_each_other_pass(void **state)
{
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	const struct frame good = frame_make(&shape);
	struct frame frame = good;
	uint32_t l4 = lab->proto == IPPROTO_TCP ? 20 : 8;

	for (uint8_t version = 0; version < 16; version++) {
		if (version == (lab->v6 ? 6 : 4))
			continue;
		ip_of_frame(&frame)[0] = (uint8_t)(version << 4 | (good.data[ETH_HLEN] & 15));
		passes(lab, &frame, XDPLB_PASS_MALFORMED);
	}
	for (uint8_t ihl = 0; !lab->v6 && ihl < 5; ihl++) {
		ip_of_frame(&frame)[0] = 0x40 | ihl;
		passes(lab, &frame, XDPLB_PASS_MALFORMED);
	}
	for (uint32_t len = 0; len < (lab->v6 ? 0 : 20) + l4;
	     len++) { /* too short for its headers */
		frame = good;
		put16(ip_of_frame(&frame) + (lab->v6 ? 4 : 2), len);
		passes(lab, &frame, XDPLB_PASS_MALFORMED);
	}
	for (uint8_t doff = 0; lab->proto == IPPROTO_TCP && doff < 16; doff++) {
		frame = good;
		ip_of_frame(&frame)[(lab->v6 ? 40 : 20) + 12] = (uint8_t)(doff << 4);
		if (doff < 5 || doff > 10) /* 40 bytes are there */
			passes(lab, &frame, XDPLB_PASS_MALFORMED);
	}
	flow_count_check(lab, 0, 0);
}

static void a_packet_longer_than_its_frame_passes(void **state)
{
	struct lab *lab = *state;
	struct shape shape = ours(lab);
	struct frame frame = frame_make(&shape);
	uint32_t len = frame_ip_len(&frame) - (lab->v6 ? 40 : 0);

	for (uint32_t more = 1; len + more < 0xffff; more = more * 2 + 1) {
		put16(ip_of_frame(&frame) + (lab->v6 ? 4 : 2), len + more);
		passes(lab, &frame, XDPLB_PASS_TRUNCATED);
	}
}

/* ::ffff:a.b.c.d belongs on no wire (RFC 4291, 2.5.5.2), and is not the IPv4 listener. */
static void a_mapped_address_in_ipv6_is_not_the_ipv4_listener(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape shape = client_shape(&talk, SYN, 20);
	struct xdplb_addr client = ip6(77);
	struct frame frame;

	shape.src.ip = client;
	frame = frame_make(&shape); /* as IPv6, for its source is */
	lab->v6 = true;
	backend_set(lab, 1, BACKEND_GOOD);
	pool_range(lab, XDPLB_FIRST, 1, 1);
	lab->v6 = false;
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
}

static void without_services_nothing_is_ours(void **state)
{
	struct lab *lab = *state;

	another_ethertype_passes(state);
	hash_clear(lab->skel->maps.services);
	other_addresses_ports_and_protocols_pass(state);
}

static void nothing_that_passes_disturbs_a_flow(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape shape;
	struct frame frame;

	talk_establish(&talk);
	shape = client_shape(&talk, ACK, 20);
	frame = frame_make(&shape);
	frame.data[0] |= 1;
	passes(lab, &frame, XDPLB_PASS_MULTICAST);
	shape.dst.port++;
	frame = frame_make(&shape);
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
	shape = server_shape(&talk, ACK, 20);
	shape.dst.port ^= 1;
	frame = frame_make(&shape);
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
	shape = server_shape(&talk, ACK, 20);
	shape.src.port ^= 1;
	frame = frame_make(&shape);
	passes(lab, &frame, XDPLB_PASS_NOT_OURS);
	talk_goes_on(&talk);
	flow_count_check(lab, 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(another_ethertype_passes),
		ALL(other_addresses_ports_and_protocols_pass),
		ALL(other_protocols_over_ip_pass),
		TCP6(extension_headers_pass),
		UDP6(extension_headers_pass),
		TCP4(fragments_pass),
		UDP4(fragments_pass),
		ALL(what_is_sent_to_many_passes),
		ALL(a_frame_cut_anywhere_passes),
		ALL(headers_that_contradict_each_other_pass),
		ALL(a_packet_longer_than_its_frame_passes),
		TCP4(a_mapped_address_in_ipv6_is_not_the_ipv4_listener),
		UDP4(a_mapped_address_in_ipv6_is_not_the_ipv4_listener),
		ALL(without_services_nothing_is_ours),
		ALL(nothing_that_passes_disturbs_a_flow),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
