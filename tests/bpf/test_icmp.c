// SPDX-License-Identifier: GPL-2.0-only
/*
 * ICMP errors through the real program, in both directions: what leaves is
 * compared, as a whole, with an error built from scratch around the packet
 * that the quoted one's sender had sent.
 */
#include "joined.h"

#define MTU_SAID 1400
#define WHOLE 1000 /* quote as much as there is */
#define ROUNDS 3000

/* An error from @src to @dst that quotes @l4_len bytes of layer 4 of @about. */
struct error {
	struct end src, dst;
	uint8_t type, code, ttl;
	uint8_t src_mac[ETH_ALEN], dst_mac[ETH_ALEN];
	uint32_t l4_len;
	struct frame about;
};

static struct frame error_make(const struct error *error)
{
	bool v6 = end_is_v6(&error->src);
	uint32_t ip_size = v6 ? 40 : 20, whole = frame_ip_len(&error->about);
	uint32_t head = (uint32_t)(frame_layer4(&error->about) - error->about.data) - ETH_HLEN;
	uint32_t quoted = head + error->l4_len < whole ? head + error->l4_len : whole;
	struct shape outer = { .src = error->src, .dst = error->dst, .ttl = error->ttl };
	struct frame frame = { .len = ETH_HLEN + ip_size + 8 + quoted };
	uint8_t *ip = frame.data + ETH_HLEN, *icmp = ip + ip_size;

	outer.proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	memcpy(frame.data, error->dst_mac, ETH_ALEN);
	memcpy(frame.data + ETH_ALEN, error->src_mac, ETH_ALEN);
	put16(frame.data + 12, v6 ? ETH_P_IPV6 : ETH_P_IP);
	ip_header_write(&outer, ip, 8 + quoted);
	icmp[0] = error->type;
	icmp[1] = error->code;
	put32(icmp + 4, MTU_SAID);
	memcpy(icmp + 8, error->about.data + ETH_HLEN, quoted);
	put16(icmp + 2, 0xffff & ~(v6 ? sum_layer4(ip, icmp, 8 + quoted, IPPROTO_ICMPV6) :
					sum_bytes(icmp, 8 + quoted, 0)));
	return frame;
}

static struct end router(const struct lab *lab)
{
	return (struct end){ .ip = ip_of(lab, 0x0a630001) };
}

/* About what the client sent: as a router behind us says it, and as the client must hear it. */
static struct error about_client(const struct talk *talk, const struct shape *sent, uint32_t l4_len)
{
	struct shape went = forwarded_shape(talk, sent);
	struct error error = { .src = router(talk->lab),
			       .dst = talk->nat,
			       .ttl = 60,
			       .type = talk->lab->v6 ? 2 : 3,
			       .code = talk->lab->v6 ? 0 : 4,
			       .l4_len = l4_len,
			       .about = frame_make(&went) };

	backend_mac(server_id(talk), error.src_mac);
	memcpy(error.dst_mac, far_mac, ETH_ALEN);
	return error;
}

static struct error to_client(const struct talk *talk, const struct error *error,
			      const struct shape *sent)
{
	struct error wanted = *error;
	struct shape was = *sent;

	was.ttl--; /* it had come that far */
	wanted.src = talk->vip;
	wanted.dst = talk->client;
	wanted.ttl--;
	wanted.about = frame_make(&was);
	memcpy(wanted.dst_mac, talk->client_mac, ETH_ALEN);
	memcpy(wanted.src_mac, our_mac, ETH_ALEN);
	return wanted;
}

/* The same about what the backend sent. */
static struct error about_server(const struct talk *talk, const struct shape *sent, uint32_t l4_len)
{
	struct shape went = replied_shape(talk, sent);
	struct error error = { .src = router(talk->lab),
			       .dst = talk->vip,
			       .ttl = 60,
			       .type = talk->lab->v6 ? 2 : 3,
			       .code = talk->lab->v6 ? 0 : 4,
			       .l4_len = l4_len,
			       .about = frame_make(&went) };

	memcpy(error.src_mac, talk->client_mac, ETH_ALEN);
	memcpy(error.dst_mac, our_mac, ETH_ALEN);
	return error;
}

static struct error to_server(const struct talk *talk, const struct error *error,
			      const struct shape *sent)
{
	struct error wanted = *error;
	struct shape was = *sent;

	was.ttl--;
	wanted.src = talk->nat;
	wanted.dst = talk->server;
	wanted.ttl--;
	wanted.about = frame_make(&was);
	backend_mac(server_id(talk), wanted.dst_mac);
	memcpy(wanted.src_mac, far_mac, ETH_ALEN);
	return wanted;
}

static enum xdplb_outcome error_run(struct lab *lab, const struct error *error, struct frame *frame)
{
	*frame = error_make(error);
	return frame_run(lab, frame);
}

static void error_check(const struct frame *frame, const struct error *wanted)
{
	struct frame all = error_make(wanted);

	same_check(frame, &all);
}

static void client_hears(struct talk *talk, const struct error *error, const struct shape *sent)
{
	struct error wanted = to_client(talk, error, sent);
	struct frame frame;

	assert_outcome(error_run(talk->lab, error, &frame), REPLY_ICMP_TX);
	error_check(&frame, &wanted);
}

static void server_hears(struct talk *talk, const struct error *error, const struct shape *sent)
{
	struct error wanted = to_server(talk, error, sent);
	struct frame frame;

	assert_outcome(error_run(talk->lab, error, &frame), FORWARD_ICMP_TX);
	error_check(&frame, &wanted);
}

static const uint32_t quoted[] = { 8, 12, 14, 18, 20, 40, WHOLE };

static void a_router_behind_us_is_heard_by_the_client(void **state)
{
	struct talk talk = talk_of(*state, 1);
	struct shape sent;

	talk_establish(&talk);
	client_sends(&talk, ACK | PSH, 100);
	talk.client_seq -= 100;
	sent = client_shape(&talk, ACK | PSH, 100);
	for (size_t i = 0; i < sizeof(quoted) / sizeof(quoted[0]); i++) {
		struct error error = about_client(&talk, &sent, quoted[i]);

		client_hears(&talk, &error, &sent);
	}
}

static void a_router_before_us_is_heard_by_the_backend(void **state)
{
	struct talk talk = talk_of(*state, 1);
	struct shape sent;

	talk_establish(&talk);
	server_sends(&talk, ACK | PSH, 100);
	talk.server_seq -= 100;
	sent = server_shape(&talk, ACK | PSH, 100);
	for (size_t i = 0; i < sizeof(quoted) / sizeof(quoted[0]); i++) {
		struct error error = about_server(&talk, &sent, quoted[i]);

		server_hears(&talk, &error, &sent);
	}
}

static void every_type_of_error_goes_on_and_nothing_else(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape sent;

	talk_establish(&talk);
	sent = client_shape(&talk, ACK, 0);
	for (uint32_t type = 0; type < 256; type++) {
		struct error error = about_client(&talk, &sent, 8);
		struct frame frame, before;

		error.type = (uint8_t)type;
		before = error_make(&error);
		if (lab->v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12) {
			client_hears(&talk, &error, &sent);
			continue;
		}
		assert_outcome(error_run(lab, &error, &frame), PASS_NOT_L4);
		same_check(&frame, &before);
	}
}

static void a_backend_that_refuses_an_embryo_is_heard_as_the_vip(void **state)
{
	struct talk talk = talk_of(*state, 1);
	struct shape sent = client_shape(&talk, SYN, talk.lab->proto == IPPROTO_TCP ? 0 : 30);
	struct error error;

	client_sends(&talk, SYN, sent.len);
	error = about_client(&talk, &sent, WHOLE);
	error.src = talk.server;
	error.type = talk.lab->v6 ? 1 : 3;
	error.code = talk.lab->v6 ? 4 : 3;
	client_hears(&talk, &error, &sent);
	assert_non_null(embryo_row(&talk));
}

static void with_the_clients_address_kept_a_router_keeps_its_own(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct error error, wanted;
	struct shape sent;
	struct frame frame;

	service_put(lab, XDPLB_SERVICE_SOURCE_CLIENT);
	talk_establish(&talk);
	sent = server_shape(&talk, ACK, 0);
	error = about_server(&talk, &sent, 8);
	wanted = to_server(&talk, &error, &sent);
	wanted.src = router(lab);
	assert_outcome(error_run(lab, &error, &frame), FORWARD_ICMP_TX);
	error_check(&frame, &wanted);
	error.src.ip = lab->v6 ? (struct xdplb_addr){ .w = { 0, 0, 0, to_be32(1) } } :
				 ip4(0x7f000001);
	assert_outcome(error_run(lab, &error, &frame), DROP_MARTIAN);
}

static void numbers_that_cannot_be_in_flight_are_nonsense(void **state)
{
	static const struct {
		uint32_t back;
		bool right;
	} cases[] = { { 0, true },	  { 1000, true },
		      { 1U << 26, true }, { (1U << 26) + 1, false },
		      { -1U, false },	  { 1U << 31, false } };
	struct talk talk = talk_of(*state, 1);

	talk_establish(&talk);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct shape sent = client_shape(&talk, ACK, 0);
		struct shape answer = server_shape(&talk, ACK, 0);
		struct error error;
		struct frame frame;

		sent.seq -= cases[i].back;
		answer.seq -= cases[i].back;
		error = about_client(&talk, &sent, 8);
		if (cases[i].right)
			client_hears(&talk, &error, &sent);
		else
			assert_outcome(error_run(talk.lab, &error, &frame), DROP_ICMP_NONSENSE);
		error = about_server(&talk, &answer, 8);
		if (cases[i].right)
			server_hears(&talk, &error, &answer);
		else
			assert_outcome(error_run(talk.lab, &error, &frame), DROP_ICMP_NONSENSE);
	}
}

static void what_is_nobodys_passes_and_the_rest_has_a_name(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), other = talk_of(lab, 2);
	struct shape sent;
	struct error error;
	struct frame frame, before;

	talk_establish(&talk);
	other.nat = talk.nat;
	other.server = talk.server;
	other.nat.port++;
	sent = client_shape(&other, ACK, 0);
	error = about_client(&other, &sent, 8);
	before = error_make(&error);
	assert_outcome(error_run(lab, &error, &frame), PASS_NOT_OURS);
	same_check(&frame, &before);
	sent = client_shape(&talk, ACK, 0);
	error = about_client(&talk, &sent, 8);
	error.dst = router(lab); /* not to whom the quoted packet came from */
	assert_outcome(error_run(lab, &error, &frame), PASS_NOT_OURS);
	error = about_client(&talk, &sent, 7);
	assert_outcome(error_run(lab, &error, &frame), PASS_TRUNCATED);
	error = about_client(&talk, &sent, 8);
	error.ttl = 1;
	assert_outcome(error_run(lab, &error, &frame), DROP_TTL_EXPIRED);
	error.ttl = 60;
	error.about.data[ETH_HLEN + (lab->v6 ? 6 : 9)] = lab->v6 ? 0 : 47;
	if (lab->v6)
		assert_outcome(error_run(lab, &error, &frame), PASS_IPV6_EXTENSION);
	else
		assert_outcome(error_run(lab, &error, &frame), PASS_NOT_L4);
}

static void numbers_of_a_joined_flow_are_translated(void **state)
{
	struct lab *lab = *state;
	struct joined joined = joined_of(lab, 1);
	struct talk *talk = &joined.talk;

	joined_establish(&joined);
	joined_go_on(&joined);
	for (size_t i = 0; i < sizeof(quoted) / sizeof(quoted[0]); i++) {
		struct shape sent = client_shape(talk, ACK, 5), was = sent;
		struct error error = about_client(talk, &sent, quoted[i]), wanted;
		struct frame frame;

		was.ack -= quoted[i] >= 14 ? delta_of(&joined) : 0;
		wanted = to_client(talk, &error, &was);
		assert_outcome(error_run(lab, &error, &frame), REPLY_ICMP_TX);
		error_check(&frame, &wanted);
		was = sent = server_shape(talk, ACK, 5);
		sent.seq -= delta_of(&joined);
		error = about_server(talk, &sent, quoted[i]);
		frame_id_set(&error.about, (uint16_t)was.seq);
		wanted = to_server(talk, &error, &was);
		assert_outcome(error_run(lab, &error, &frame), FORWARD_ICMP_TX);
		error_check(&frame, &wanted);
	}
}

static void a_flow_that_is_not_joined_yet_has_no_errors(void **state)
{
	struct joined joined = joined_of(*state, 1);
	struct shape sent;
	struct error error;
	struct frame frame;

	joined_open(&joined);
	sent = client_shape(&joined.talk, ACK, 0);
	error = about_client(&joined.talk, &sent, 8);
	assert_outcome(error_run(*state, &error, &frame), DROP_ICMP_PENDING);
}

/* One byte wrong anywhere: what goes on still is about the flow, or it does not go on. */
static void a_garbled_error_is_never_sent_astray(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	struct shape sent;

	talk_establish(&talk);
	sent = client_shape(&talk, ACK, 20);
	for (int round = 0; round < ROUNDS; round++) {
		struct error error = about_client(&talk, &sent, quoted[round % 7]);
		struct frame frame = error_make(&error), before;
		enum xdplb_outcome out;
		uint8_t *ip = frame.data + ETH_HLEN;

		frame.data[(uint32_t)random() % frame.len] ^= (uint8_t)(1 + random() % 255);
		if (round & 1)
			frame.len = ETH_HLEN + (uint32_t)random() % (frame.len - ETH_HLEN + 1);
		before = frame;
		out = frame_run(lab, &frame);
		if (outcome_action(out) == XDP_PASS)
			same_check(&frame, &before);
		if (outcome_action(out) != XDP_TX)
			continue;
		assert_int_equal(out, XDPLB_REPLY_ICMP_TX);
		assert_memory_equal(ip + (lab->v6 ? 24 : 16), &talk.client.ip.w[lab->v6 ? 0 : 3],
				    lab->v6 ? 16 : 4);
		assert_memory_equal(frame.data, talk.client_mac, ETH_ALEN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(a_router_behind_us_is_heard_by_the_client),
		ALL(a_router_before_us_is_heard_by_the_backend),
		ALL(every_type_of_error_goes_on_and_nothing_else),
		ALL(a_backend_that_refuses_an_embryo_is_heard_as_the_vip),
		ALL(with_the_clients_address_kept_a_router_keeps_its_own),
		TCP(numbers_that_cannot_be_in_flight_are_nonsense),
		ALL(what_is_nobodys_passes_and_the_rest_has_a_name),
		TCP(numbers_of_a_joined_flow_are_translated),
		TCP(a_flow_that_is_not_joined_yet_has_no_errors),
		ALL(a_garbled_error_is_never_sent_astray),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
