// SPDX-License-Identifier: GPL-2.0-only
/* QUIC: ids that servers chose are learned, and lead a client back that has moved. */
#include <sys/socket.h>

#include "talk.h"
#include "xdplb/protocol.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif

#define SLOT 2
#define PAYLOAD 300

static int the_socket = -1;

static int load(void **state)
{
	(void)state;
	the_socket = socket(AF_XDP, SOCK_RAW, 0);
	return the_socket >= 0 && lab_load(&the_lab, 64, 64) ? 0 : -1;
}

static int scene(void **state)
{
	const uint32_t slot = SLOT, ifindex = LAB_IFINDEX, row = SLOT * XDPLB_QUEUES, none = 0;
	struct lab *lab = &the_lab;

	setup(state);
	hash_clear(lab->skel->maps.quic_cids);
	row_put(lab->skel->maps.cid_lengths, SERVICE_ID, &none);
	row_put(lab->skel->maps.worker_slots, ifindex, &slot);
	row_put(lab->skel->maps.xsks, row, &the_socket);
	service_put(lab, XDPLB_SERVICE_SNIFF);
	return 0;
}

static uint8_t *payload_of(struct frame *frame)
{
	return (uint8_t *)frame_layer4(frame) + 8;
}

static struct frame frame_with(const struct shape *shape, const uint8_t *head, size_t len)
{
	struct shape plain = *shape;
	struct frame frame;
	uint8_t *l4;

	plain.len = PAYLOAD;
	frame = frame_make(&plain);
	l4 = (uint8_t *)frame_layer4(&frame);
	memcpy(l4 + 8, head, len);
	put16(l4 + 6, 0);
	layer4_check(&plain, frame.data + ETH_HLEN, l4, 8 + PAYLOAD);
	return frame;
}

/* A long header: first byte, version, and both ids, each of @len times its byte. */
static size_t long_header(uint8_t *to, uint32_t version, uint8_t dcid, uint8_t dcid_len,
			  uint8_t scid, uint8_t scid_len)
{
	to[0] = 0xc3;
	put32(to + 1, version);
	to[5] = dcid_len;
	memset(to + 6, dcid, dcid_len);
	to[6 + dcid_len] = scid_len;
	memset(to + 7 + dcid_len, scid, scid_len);
	return 7U + dcid_len + scid_len;
}

static size_t short_header(uint8_t *to, uint8_t id, uint8_t len)
{
	to[0] = 0x43;
	memset(to + 1, id, len);
	to[1 + len] = 0xee; /* what is behind belongs to no id */
	return 2U + len;
}

/* What the worker makes of a client's Initial: an established flow that is QUIC's. */
static void quic_establish(struct talk *talk)
{
	struct xdplb_flow *flow;

	service_put(talk->lab, 0);
	talk_establish(talk);
	service_put(talk->lab, XDPLB_SERVICE_SNIFF);
	flow = established_row(talk);
	assert_non_null(flow);
	for (int dir = 0; dir < XDPLB_DIRS; dir++)
		flow->half[dir].flags |= XDPLB_HALF_QUIC;
}

static void server_head(const struct talk *talk, const uint8_t *head, size_t len)
{
	struct shape shape = server_shape(talk, 0, 0);
	struct frame frame = frame_with(&shape, head, len);

	assert_outcome(frame_run(talk->lab, &frame), REPLY_TX);
	assert_true(frame_sums_right(&frame));
	assert_memory_equal(payload_of(&frame), head, len);
}

static enum xdplb_outcome client_head(const struct talk *talk, const uint8_t *head, size_t len,
				      struct end *to)
{
	struct shape shape = client_shape(talk, 0, 0);
	struct frame frame = frame_with(&shape, head, len);
	enum xdplb_outcome out = frame_run(talk->lab, &frame);

	if (out == XDPLB_FORWARD_TX) {
		assert_true(frame_sums_right(&frame));
		*to = frame_end(&frame, false);
	}
	return out;
}

static bool cid_known(const struct lab *lab, uint8_t id, uint8_t len, struct xdplb_cid *cid)
{
	struct xdplb_cid_key key = { .service = SERVICE_ID, .len = len };

	memset(key.id, id, len);
	return !bpf_map_lookup_elem(map_fd(lab->skel->maps.quic_cids), &key, cid);
}

static uint32_t lengths_known(const struct lab *lab)
{
	uint32_t lengths;

	row_get(lab->skel->maps.cid_lengths, SERVICE_ID, &lengths);
	return lengths;
}

static void a_servers_long_header_says_its_id(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	uint32_t lengths = 0;
	struct xdplb_cid cid;
	uint8_t head[256];

	quic_establish(&talk);
	for (uint8_t len = 1; len <= XDPLB_CID_MAX; len++) {
		server_head(&talk, head, long_header(head, 1, 0xcc, len - 1, len, len));
		lengths |= 1U << len;
		assert_true(cid_known(lab, len, len, &cid));
		assert_int_equal(cid.backend, server_id(&talk));
		assert_int_equal(cid.idle_ticks, IDLE_TICKS);
		assert_int_equal(lengths_known(lab), lengths);
	}
}

static void what_is_no_id_is_not_learned(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), plain = talk_of(lab, 2);
	uint8_t head[256] = { 0 }, id;
	struct end to;

	quic_establish(&talk);
	server_head(&talk, head, long_header(head, 1, 0xcc, 8, 5, 0)); /* it has none */
	server_head(&talk, head, long_header(head, 1, 0xcc, 8, 5, 21)); /* RFC 9000, 17.2 */
	server_head(&talk, head, long_header(head, 1, 0xcc, 21, 5, 8));
	server_head(&talk, head, long_header(head, 0, 0xcc, 8, 5, 8)); /* version negotiation */
	server_head(&talk, head, short_header(head, 5, 8));
	assert_outcome(client_head(&talk, head, long_header(head, 1, 0xcc, 8, 5, 8), &to),
		       FORWARD_TX); /* that is the client's */
	service_put(lab, 0);
	talk_establish(&plain);
	server_head(&plain, head, long_header(head, 1, 0xcc, 8, 5, 8)); /* of no QUIC flow */
	assert_int_not_equal(bpf_map_get_next_key(map_fd(lab->skel->maps.quic_cids), NULL, &id), 0);
	assert_int_equal(lengths_known(lab), 0);
}

static void a_short_packet_is_nobodys_id(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);

	quic_establish(&talk);
	for (uint16_t len = 0; len < 30; len++)
		server_sends(&talk, 0, len);
	assert_int_equal(lengths_known(lab), 0);
}

static void a_client_that_moved_finds_its_backend(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1);
	const uint8_t lens[] = { 20, 8, 4, 1 };
	struct xdplb_flow *flow;
	uint8_t head[256];
	struct end to;

	quic_establish(&talk);
	for (size_t i = 0; i < sizeof(lens); i++)
		server_head(&talk, head, long_header(head, 1, 0xcc, 8, (uint8_t)(i + 9), lens[i]));
	for (uint32_t i = 0; i < sizeof(lens); i++) {
		struct talk moved = talk_of(lab, 10 + i);

		assert_outcome(client_head(&moved, head,
					   short_header(head, (uint8_t)(i + 9), lens[i]), &to),
			       FORWARD_TX);
		assert_true(end_equal(&to, &talk.server));
		assert_int_equal(event_count(lab, XDPLB_EVENT_QUIC_MIGRATED), i + 1);
		flow = embryo_row(&moved);
		assert_non_null(flow);
		assert_int_equal(flow->splice.protocol, XDPLB_PROTOCOL_QUIC);
		assert_true(flow->half[XDPLB_TO_BACKEND].flags & XDPLB_HALF_QUIC);
		assert_true(flow->half[XDPLB_TO_CLIENT].flags & XDPLB_HALF_QUIC);
		assert_int_equal(flow->half[XDPLB_TO_BACKEND].idle_ticks, IDLE_TICKS);
		/* it goes on as any flow does */
		assert_outcome(client_head(&moved, head, short_header(head, 77, 8), &to),
			       FORWARD_TX);
		assert_true(end_equal(&to, &talk.server));
	}
	assert_int_equal(event_count(lab, XDPLB_EVENT_QUIC_MIGRATED), sizeof(lens));
}

static void a_long_header_names_its_id_exactly(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), moved = talk_of(lab, 2);
	uint8_t head[256];
	struct end to;

	quic_establish(&talk);
	server_head(&talk, head, long_header(head, 1, 0xcc, 8, 9, 8));
	assert_outcome(client_head(&moved, head, long_header(head, 1, 9, 7, 1, 8), &to), SNIFF);
	assert_outcome(client_head(&moved, head, long_header(head, 1, 9, 9, 1, 8), &to), SNIFF);
	assert_outcome(client_head(&moved, head, long_header(head, 1, 9, 0, 1, 8), &to), SNIFF);
	assert_outcome(client_head(&moved, head, long_header(head, 1, 9, 21, 1, 0), &to), SNIFF);
	assert_outcome(client_head(&moved, head, long_header(head, 1, 9, 8, 1, 8), &to),
		       FORWARD_TX);
	assert_true(end_equal(&to, &talk.server));
}

static void an_id_that_nobody_chose_is_the_workers(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), stranger = talk_of(lab, 2);
	uint8_t head[256];
	struct end to;

	quic_establish(&talk);
	server_head(&talk, head, long_header(head, 1, 0xcc, 8, 9, 8));
	assert_outcome(client_head(&stranger, head, short_header(head, 10, 8), &to), SNIFF);
	for (uint16_t len = 0; len < 8; len++)
		assert_outcome(client_says(&stranger, 0, len), SNIFF);
	assert_int_equal(event_count(lab, XDPLB_EVENT_QUIC_MIGRATED), 0);
	/* RFC 9287: the bit that version 1 fixes may be greased, as ngtcp2's client does */
	head[0] = 4;
	memset(head + 1, 9, 20);
	assert_outcome(client_head(&stranger, head, 21, &to), FORWARD_TX);
	assert_int_equal(event_count(lab, XDPLB_EVENT_QUIC_MIGRATED), 1);
}

static void a_backend_that_is_down_keeps_its_connections_one_that_is_gone_does_not(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), moved = talk_of(lab, 2), late = talk_of(lab, 3);
	uint8_t head[256];
	struct end to;

	quic_establish(&talk);
	server_head(&talk, head, long_header(head, 1, 0xcc, 8, 9, 8));
	backend_set(lab, server_id(&talk), BACKEND_DOWN);
	assert_outcome(client_head(&moved, head, short_header(head, 9, 8), &to), FORWARD_TX);
	assert_true(end_equal(&to, &talk.server));
	backend_set(lab, server_id(&talk), 0);
	assert_outcome(client_head(&late, head, short_header(head, 9, 8), &to), SNIFF);
}

static void without_a_worker_known_connections_go_on(void **state)
{
	struct lab *lab = *state;
	struct talk talk = talk_of(lab, 1), moved = talk_of(lab, 2), other = talk_of(lab, 3);
	uint32_t row = SLOT * XDPLB_QUEUES;
	uint8_t head[256];
	struct end to;

	quic_establish(&talk);
	server_head(&talk, head, long_header(head, 1, 0xcc, 8, 9, 8));
	bpf_map_delete_elem(map_fd(lab->skel->maps.xsks), &row);
	assert_outcome(client_head(&moved, head, short_header(head, 9, 8), &to), FORWARD_TX);
	assert_outcome(client_head(&other, head, short_header(head, 3, 8), &to), DROP_NO_WORKER);
}

#undef UDP
#define UDP(name)                                                        \
	VARIANT(name, "over IPv4", false, IPPROTO_UDP, scene, teardown), \
		VARIANT(name, "over IPv6", true, IPPROTO_UDP, scene, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UDP(a_servers_long_header_says_its_id),
		UDP(what_is_no_id_is_not_learned),
		UDP(a_short_packet_is_nobodys_id),
		UDP(a_client_that_moved_finds_its_backend),
		UDP(a_long_header_names_its_id_exactly),
		UDP(an_id_that_nobody_chose_is_the_workers),
		UDP(a_backend_that_is_down_keeps_its_connections_one_that_is_gone_does_not),
		UDP(without_a_worker_known_connections_go_on),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
