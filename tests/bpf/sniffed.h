/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_TEST_SNIFFED_H
#define XDPLB_TEST_SNIFFED_H

/* The scene of talk.h with its service sniffed and a worker there: who is given what, and how it opens. */
#include <sys/socket.h>

#include "talk.h"
#include "xdplb/cookie.h"
#include "xdplb/protocol.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif

#define SLOT 3 /* of the worker's interface */
#define OTHER_ROW (SLOT * XDPLB_QUEUES + 1) /* the worker behind another queue */
#define OUR_ROW (SLOT * XDPLB_QUEUES) /* test runs come by queue 0 */

static int the_socket = -1;

static inline int load(void **state)
{
	(void)state;
	the_socket = socket(AF_XDP, SOCK_RAW, 0);
	return the_socket >= 0 && lab_load(&the_lab, 64, 64) ? 0 : -1;
}

/* ---- the scene: its service is sniffed, a worker is there */

static inline void worker_set(const struct lab *lab, uint32_t row)
{
	row_put(lab->skel->maps.xsks, row, &the_socket);
}

static inline void worker_gone(const struct lab *lab, uint32_t row)
{
	bpf_map_delete_elem(map_fd(lab->skel->maps.xsks), &row);
}

static inline void secrets_set(const struct lab *lab, uint64_t a, uint64_t b, uint32_t current)
{
	struct xdplb_cookie_secrets secrets = { .key = { { a, ~a }, { b, ~b } },
						.current = current };

	row_put(lab->skel->maps.cookie_secrets, 0, &secrets);
}

static inline int scene(void **state)
{
	const uint32_t slot = SLOT, ifindex = LAB_IFINDEX;
	const struct xdplb_offer unknown = { .known = 0 };
	struct lab *lab = &the_lab;

	setup(state);
	service_put(lab, XDPLB_SERVICE_SNIFF);
	hash_clear(lab->skel->maps.sniffs);
	hash_clear(lab->skel->maps.handshakes);
	row_put(lab->skel->maps.sniff_offers, SERVICE_ID, &unknown);
	secrets_set(lab, 0x1122334455667788, 0xa1a2a3a4a5a6a7a8, 0);
	row_put(lab->skel->maps.worker_slots, ifindex, &slot);
	worker_set(lab, OUR_ROW);
	worker_set(lab, OTHER_ROW);
	return 0;
}

static inline void event_is(const struct lab *lab, enum xdplb_event event, uint64_t count)
{
	assert_int_equal(event_count(lab, event), count);
}

static inline struct xdplb_sniff_key key_of(const struct talk *talk)
{
	return (struct xdplb_sniff_key){ .src = talk->client.ip,
					 .dst = talk->vip.ip,
					 .sport = to_be16(talk->client.port),
					 .dport = to_be16(talk->vip.port) };
}

static inline bool row_of(const struct talk *talk, struct xdplb_sniff *row)
{
	struct xdplb_sniff_key key = key_of(talk);

	return !bpf_map_lookup_elem(map_fd(talk->lab->skel->maps.sniffs), &key, row);
}

static inline uint32_t keys_count(const struct bpf_map *map)
{
	uint8_t key[sizeof(struct xdplb_sniff_key)], next[sizeof(key)];
	void *from = NULL;
	uint32_t count = 0;

	while (!bpf_map_get_next_key(map_fd(map), from, next)) {
		memcpy(key, next, sizeof(key));
		from = key;
		count++;
	}
	return count;
}

static inline uint32_t rows_count(const struct lab *lab)
{
	return keys_count(lab->skel->maps.sniffs);
}

static inline void default_pool_none(const struct lab *lab)
{
	const struct end vip = vip_end(lab);
	const struct xdplb_service service = { .id = SERVICE_ID,
					       .pool = XDPLB_NO_POOL,
					       .idle_ticks = IDLE_TICKS,
					       .flags = XDPLB_SERVICE_SNIFF };

	service_set(lab, &vip, lab->proto, &service);
}

/* ---- what is sent */

/* A SYN with the @size bytes of @options (a multiple of 4) in place of the shape's NOPs. */
static inline struct frame syn_frame(const struct talk *talk, const uint8_t *options, uint8_t size)
{
	struct shape shape = client_shape(talk, SYN, 0);
	struct frame frame;
	uint8_t *l4;

	shape.tcp_options = size;
	frame = frame_make(&shape);
	l4 = (uint8_t *)frame_layer4(&frame);
	memcpy(l4 + 20, options, size);
	put16(l4 + 16, 0);
	layer4_check(&shape, frame.data + ETH_HLEN, l4, 20U + size);
	return frame;
}

struct said {
	struct xdplb_meta meta;
	struct frame frame; /* as the worker sees it */
};

static inline enum xdplb_outcome given(const struct talk *talk, uint8_t flags, uint16_t len,
				       struct said *said)
{
	struct shape shape = client_shape(talk, flags, len);
	struct frame before = frame_make(&shape), frame = before;
	enum xdplb_outcome out = frame_run(talk->lab, &frame);

	if (out != XDPLB_SNIFF)
		return out;
	memcpy(&said->meta, frame.data, sizeof(said->meta));
	assert_int_equal(frame.len, before.len + sizeof(said->meta));
	assert_memory_equal(frame.data + sizeof(said->meta), before.data, before.len);
	assert_int_equal(said->meta.service, SERVICE_ID);
	assert_int_equal(said->meta.ifindex, LAB_IFINDEX);
	return out;
}

/* The SYN-ACK to a SYN without options; the talk goes on from there. */
static inline void syn_answered(struct talk *talk)
{
	struct frame frame = syn_frame(talk, NULL, 0);

	assert_outcome(frame_run(talk->lab, &frame), ANSWER_COOKIE);
	assert_true(frame_sums_right(&frame));
	talk->server_seq = get32(frame_layer4(&frame) + 4) + 1;
	talk->client_seq++;
}

static inline struct said opened(struct talk *talk)
{
	struct said said;

	syn_answered(talk);
	assert_outcome(given(talk, ACK, 0, &said), SNIFF);
	assert_int_equal(said.meta.kind, XDPLB_META_OPENING);
	return said;
}

#define SCENE(name, text, six, protocol) VARIANT(name, text, six, protocol, scene, teardown)
#undef TCP
#undef UDP
#define TCP(name)                                         \
	SCENE(name, "TCP over IPv4", false, IPPROTO_TCP), \
		SCENE(name, "TCP over IPv6", true, IPPROTO_TCP)
#define UDP(name)                                         \
	SCENE(name, "UDP over IPv4", false, IPPROTO_UDP), \
		SCENE(name, "UDP over IPv6", true, IPPROTO_UDP)

#endif /* XDPLB_TEST_SNIFFED_H */
