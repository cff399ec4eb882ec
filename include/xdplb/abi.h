/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_ABI_H
#define XDPLB_ABI_H

/*
 * Keys and values of the BPF maps: the whole contract between bpf/ and user/.
 * Data only. No padding is left to the compiler; multi-byte packet fields stay
 * in network order (__be*), everything else is in host order. Times are ticks:
 * CLOCK_MONOTONIC nanoseconds >> XDPLB_TICK_SHIFT, compared modulo 2^32.
 */
#include <linux/types.h>

#define XDPLB_ABI_VERSION 2
#define XDPLB_TICK_SHIFT 20 /* a tick is 1.048576 ms */

#define XDPLB_MAX_LISTENERS 32768
#define XDPLB_MAX_SERVICES 16384
#define XDPLB_MAX_POOLS 16384
#define XDPLB_MAX_BACKENDS 65537 /* id 0 means none */
#define XDPLB_MAX_SLOTS 65537
#define XDPLB_NAME_LEN 64
#define XDPLB_MAX_NAT_ADDRS 16
#define XDPLB_LEAST_CONN_EXACT 64
#define XDPLB_MAX_SNIFFS (1U << 18) /* connections of which the first bytes are awaited */
#define XDPLB_SNIFF_WINDOW 16384 /* bytes that a worker keeps of a client; not scaled in a SYN */
#define XDPLB_SPLICE_NAME 32
#define XDPLB_QUEUES 64 /* row of xsks = interface slot * XDPLB_QUEUES + queue */
#define XDPLB_WORKER_SLOTS 64

/* An IPv4 address is ::ffff:a.b.c.d, so that one map serves both families. */
struct xdplb_addr {
	__be32 w[4];
};

enum xdplb_family {
	XDPLB_V4,
	XDPLB_V6,
	XDPLB_FAMILIES
};

/* ---- services: one row a listener; the rows of a service share its id. User writes. */
struct xdplb_service_key {
	struct xdplb_addr vip;
	__be16 port;
	__u8 proto; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 pad;
};

enum xdplb_mode {
	XDPLB_MODE_NAT
};

enum {
	XDPLB_SERVICE_SOURCE_CLIENT = 1U << 0, /* NAT keeps the client's address */
	XDPLB_SERVICE_SNIFF = 1U << 1 /* a worker chooses the pool by the first bytes */
};

#define XDPLB_NO_POOL (~0U)

struct xdplb_service {
	__u32 id; /* row of service_stats, 0 .. XDPLB_MAX_SERVICES - 1 */
	__u32 pool; /* row of pools; of a sniffed one where no route matches, or XDPLB_NO_POOL */
	__u32 idle_ticks; /* established flows without a packet for this long are forgotten */
	__u8 mode; /* enum xdplb_mode */
	__u8 flags; /* XDPLB_SERVICE_* */
	__u8 pad[2];
	char name[XDPLB_NAME_LEN];
};

/* ---- pools. User writes. */
enum xdplb_balance {
	XDPLB_MAGLEV,
	XDPLB_ROUND_ROBIN,
	XDPLB_RANDOM,
	XDPLB_LEAST_CONN,
	XDPLB_SOURCE_IP,
	XDPLB_SOURCE_SOCKET,
	XDPLB_FIRST
};

struct xdplb_pool {
	char name[XDPLB_NAME_LEN];
	__u64 digest[XDPLB_FAMILIES]; /* of what each table was rendered from */
	__u32 slots[XDPLB_FAMILIES]; /* entries of each table, 0: no usable backend */
	__u32 balance; /* enum xdplb_balance */
	__u32 used; /* 1: this row is a pool's, 0: free */
};

/* ---- tables: row pool * XDPLB_FAMILIES + family is an array of these. User swaps it whole. */
struct xdplb_slot {
	__u32 backend; /* row of backends, 0: none */
	__u32 cost; /* least-conn: what one connection counts, larger for smaller weights */
};

/* ---- backends. User writes; without the daemon, BPF refreshes the next hop. */
enum {
	XDPLB_BACKEND_USED = 1U << 0, /* this row is a backend's */
	XDPLB_BACKEND_UP = 1U << 1, /* takes new flows; unset: unanswered ones are selected anew */
	XDPLB_BACKEND_RESOLVED = 1U << 2, /* the next hop is valid */
	XDPLB_BACKEND_REMOVED = 1U << 3 /* no longer configured, kept while flows use it */
};

struct xdplb_nexthop {
	__u32 ifindex;
	__u8 dst_mac[6];
	__u8 src_mac[6];
};

struct xdplb_backend {
	struct xdplb_addr addr;
	struct xdplb_addr nat_addr; /* source of mode nat where nat.addresses names none */
	struct xdplb_nexthop nexthop;
	__u32 pool; /* row of pools */
	__be16 port;
	__u8 flags; /* XDPLB_BACKEND_* */
	__u8 pad;
	__u32 weight; /* as configured: for those who look; the datapath does not */
	__u32 pad2;
};

/* ---- backend_state: what the datapath keeps of a backend. BPF writes, atomically. */
struct xdplb_backend_state {
	__u32 active; /* flows counted as active */
	__u32 ports_used; /* source ports reserved towards it */
	__u32 port_cursor; /* where the search for a free port goes on; user seeds it at creation */
	__u32 fib_tick; /* last time BPF asked the kernel for the next hop */
};

/* ---- service_stats, backend_stats: per CPU. BPF writes. Index of [2]: enum xdplb_dir. */
enum xdplb_dir {
	XDPLB_TO_BACKEND, /* "in" */
	XDPLB_TO_CLIENT, /* "out" */
	XDPLB_DIRS
};

struct xdplb_stats {
	__u64 connections; /* flows for which a backend was chosen */
	__u64 ended; /* of these, ended: active = connections - ended */
	__u64 packets[XDPLB_DIRS];
	__u64 bytes[XDPLB_DIRS]; /* IP lengths */
};

/* ---- flows (established) and embryos (not yet answered, or closed). flow.h writes. */
enum xdplb_flow_state {
	XDPLB_FLOW_FREE,
	XDPLB_FLOW_CLAIMED, /* being written or taken apart by one CPU */
	XDPLB_FLOW_UNANSWERED, /* embryo: SYN or first datagram sent on */
	XDPLB_FLOW_ANSWERED, /* embryo: TCP only, the backend's SYN-ACK passed */
	XDPLB_FLOW_ESTABLISHED, /* in flows */
	XDPLB_FLOW_CLOSED /* in embryos: both FINs acknowledged, or reset */
};

enum { /* xdplb_half.flags */
	XDPLB_HALF_V6 = 1U << 0,
	XDPLB_HALF_TRACK = 1U << 1, /* not plainly established: every packet is looked at */
	XDPLB_HALF_WORKER =
		1U << 2, /* embryo: its packets go to the worker, xdplb_flow.splice says which */
	XDPLB_HALF_SPLICED = 1U << 3, /* TCP: numbers are translated by xdplb_flow.splice */
	XDPLB_HALF_SYN_SEEN = 1U << 4, /* spliced: its client sent a SYN, answered with a cookie */
	XDPLB_HALF_QUIC = 1U << 5, /* UDP: the server's connection ids are learned */
	XDPLB_HALF_SNIFFED = 1U << 6 /* splice.protocol and name are the flow's */
};

enum { /* how a TCP flow ends: bits of xdplb_half.state in half[XDPLB_TO_CLIENT] */
	XDPLB_END_FIN = 1U << 0, /* << direction * 2: a FIN passed */
	XDPLB_END_FIN_ACKED = 1U << 1, /* << direction * 2: and was acknowledged */
	XDPLB_END_RESET = 1U << 4 /* closed by a reset: data brings it back */
};

/*
 * One direction of a flow: how its packets arrive and what they become. The
 * first 64 bytes are one cache line and all that an IPv4 packet needs.
 */
struct xdplb_half {
	__u32 life; /* odd while being written; changes whenever the row gets another flow */
	__be32 src, dst; /* last words of the addresses, as packets arrive */
	__be16 sport, dport;
	__be32 new_src, new_dst; /* as they leave */
	__be16 new_sport, new_dport;
	__u16 l3_diff, l4_diff; /* checksum differences, RFC 1624; one hop less included */
	__u32 ids; /* service id << 17 | backend id */
	__u8 proto;
	__u8 flags; /* XDPLB_HALF_* */
	__u16 pad;
	__u32 seen_tick; /* last packet of this direction, to 64 ticks */
	__u32 seq_end; /* TCP: next sequence number of this direction; UDP embryo: packets seen */
	struct xdplb_nexthop client; /* the way the client's last packet came */
	/* second line */
	__be32 src_hi[3], dst_hi[3], new_src_hi[3],
		new_dst_hi[3]; /* first words of the addresses */
	__u32 state; /* half[XDPLB_TO_BACKEND]: enum xdplb_flow_state; the other: XDPLB_END_* */
	__u32 mark; /* embryo: this side's ISN + 1; later: the sequence number behind its FIN */
	__u32 born_tick; /* half[XDPLB_TO_BACKEND] only, and so is: */
	__u32 idle_ticks; /* timeout when established */
};

/*
 * What a sniffed flow has beside. The server's numbers as the client knows them
 * are those of our SYN cookie; the client's are its own on both sides (delayed
 * binding: the backend was sent the client's ISN).
 */
struct xdplb_splice {
	__u32 delta; /* backend's sequence number = ours to the client + delta, modulo 2^32 */
	__s8 shift; /* windows of the backend << shift (negative: >>, rounded up, never to 0) */
	__u8 protocol; /* enum xdplb_protocol: what was recognised; UDP too, where XDPLB_HALF_SNIFFED */
	__u8 name_len; /* more than XDPLB_SPLICE_NAME: cut */
	__u8 scale; /* windows of the client << scale: the backend doesn't scale them, RFC 7323, 2.2 */
	__u32 worker; /* while XDPLB_HALF_WORKER: row of xsks whose thread owns the connection, */
	__u32 conn; /* and its handle there; with XDPLB_HALF_SYN_SEEN: the ISN of that SYN */
	char name[XDPLB_SPLICE_NAME]; /* SNI or host; a longer one is cut in front */
};

/*
 * An odd number of cache lines: where the first lines of rows lie a power of
 * two apart, they share a part of the cache's sets and the rest stands idle.
 */
struct xdplb_flow {
	struct xdplb_half half[XDPLB_DIRS];
	struct xdplb_splice splice;
	__u32 spare[4]; /* embryos: hints of flow_touch.h */
};

#define XDPLB_ID_BITS 17
#define XDPLB_IDS(service, backend) ((__u32)(service) << XDPLB_ID_BITS | (__u32)(backend))
#define XDPLB_IDS_SERVICE(ids) ((ids) >> XDPLB_ID_BITS)
#define XDPLB_IDS_BACKEND(ids) ((ids) & ((1U << XDPLB_ID_BITS) - 1))

/*
 * ---- flow_index: hash -> place of a flow. A bucket is one cache line. A slot is
 * 0 (empty) or fingerprint(38) | dir(1) | table(1: embryos) | row(24).
 */
#define XDPLB_BUCKET_SLOTS 8
#define XDPLB_SLOT_ROW_BITS 24
#define XDPLB_SLOT_EMBRYO (1ULL << 24)
#define XDPLB_SLOT_DIR (1ULL << 25)
#define XDPLB_SLOT_FP_SHIFT 26

struct xdplb_bucket {
	__u64 slot[XDPLB_BUCKET_SLOTS];
};

/* ---- gauges: one row. BPF writes, atomically. */
struct xdplb_gauges {
	__u32 flows_used; /* rows of flows that hold a flow */
	__u32 flows_touched; /* rows of flows ever used: those beyond need no queue */
	__u32 flows_udp; /* UDP among flows_used: at most half of the table */
	__u32 embryos_used;
	__u32 embryo_head; /* where the next embryo goes, modulo the ring */
	__u32 flow_hand; /* where the search for expired flows goes on */
	__u32 embryo_hand;
	__u32 pad;
};

/* ---- nat_ranges: row settings.nat_buffer * XDPLB_FAMILIES + family. User writes the idle buffer. */
struct xdplb_nat_range {
	__u32 count; /* 0: use the backend row's nat_addr */
	__u16 port_min, port_max; /* host order, inclusive */
	struct xdplb_addr addr[XDPLB_MAX_NAT_ADDRS];
};

/* ---- settings: one row, mapped into the daemon, which writes word by word. */
struct xdplb_settings {
	__u32 abi_version;
	__u32 heartbeat_tick; /* the daemon was alive then */
	__u32 syn_ticks; /* timeout of an embryo */
	__u32 closing_ticks; /* timeout of a closed flow */
	__u32 nat_buffer; /* 0 or 1 */
	__u32 flow_table; /* rows of flows, as created */
	__u64 index_key[4]; /* of the flow index: random, never changes */
	__u64 select_key[4]; /* from hash_seed: of the choice of backends */
};

/*
 * ---- sniffing. A SYN to a sniffed service is answered with a SYN cookie:
 *
 *	bits 31..24  of SipHash-2-4 of tuple, the full tick, bits 11..0: T
 *	bits 23..12  of SipHash-2-4 of T, client's ISN
 *	bits 11..10  the window scale that we promised, xdplb_our_wscale[] of cookie.h
 *	bit  9       lowest bit of the tick (2^33 ns, 8.6 s); it is valid in its tick and the next
 *	bit  8       which of the two secrets
 *	bit  7       the client permits SACK
 *	bits 6..3    the client's window scale, 15: none (then neither do we promise one)
 *	bits 2..0    class of the client's MSS, xdplb_mss_class[] of cookie.h
 */
#define XDPLB_COOKIE_TICK_SHIFT 33

/* cookie_secrets: one row. User writes the secret not in use, then changes current. */
struct xdplb_cookie_secrets {
	__u64 key[2][2];
	__u32 current; /* 0 or 1; the other one is the previous, still valid */
	__u32 pad;
};

/* sniff_offers: by service id, what our SYN-ACK may promise for its backends. BPF writes. */
struct xdplb_offer {
	__u16 mss[XDPLB_FAMILIES]; /* smallest that backends offered lately; 0: not known, take the default */
	__u8 wscale; /* smallest, 15: a backend has none; valid where known */
	__u8 sack; /* all have it */
	__u8 known; /* 1 << family: a backend of that family was met */
	__u8 pad;
};

struct xdplb_sniff_key { /* as the client's packets arrive */
	struct xdplb_addr src, dst;
	__be16 sport, dport;
};

/* sniffs: TCP handshakes done by cookie, no backend yet. BPF writes. */
struct xdplb_sniff {
	__u32 isn; /* ours: the cookie */
	__u32 client_isn;
	__u32 worker; /* row of xsks its first packet came to: that thread owns it */
	__u32 born_tick;
};

/*
 * handshakes: SYNs answered with a cookie whose ACK has not come, where the
 * server may be the one to speak first (a default pool) and SYNs are few. Key:
 * xdplb_sniff_key. BPF writes.
 */
struct xdplb_handshake {
	__u32 isn; /* ours: the cookie */
	__u32 client_isn;
	__u32 born_tick; /* when it was answered */
	__u32 ifindex; /* the SYN came by */
	__u8 macs[12]; /* destination and source of the SYN */
	__u16 mss; /* that our SYN-ACK offered */
	__u8 repeats; /* of our SYN-ACK */
	__u8 pad;
};

#define XDPLB_HANDSHAKES_DUE 48 /* fit into the page of a BPF_PROG_TEST_RUN */

/* The data of the program `handshakes_due`: whose SYN-ACK is to be sent once more. */
struct xdplb_handshakes_due {
	__u32 count; /* out; all: there may be more */
	struct {
		struct xdplb_sniff_key key;
		struct xdplb_handshake handshake;
	} row[XDPLB_HANDSHAKES_DUE];
};

/* worker_slots: ifindex -> interface slot. User writes. */

/*
 * Lies before the frame in the metadata area of what a worker is given
 * (desc->addr - sizeof). Host order but for nothing: all are numbers.
 */
enum xdplb_meta_kind {
	XDPLB_META_OPENING, /* TCP: the cookie was right just now: a connection begins */
	XDPLB_META_CLIENT, /* TCP: from the client of a connection without backend, or with one pending */
	XDPLB_META_BACKEND, /* TCP: from the backend of a pending flow */
	XDPLB_META_DATAGRAM /* UDP without a flow */
};

struct xdplb_meta {
	__u8 kind; /* enum xdplb_meta_kind */
	__u8 our_wscale; /* TCP: what our SYN-ACK said, 15: none */
	__u8 wscale; /* TCP: the client's, 15: none */
	__u8 sack; /* TCP: the client permits SACK */
	__u32 service; /* id */
	__u32 worker; /* row of xsks of the owner, maybe not of this queue */
	__u32 conn; /* the owner's handle, where a flow is pending; else 0 */
	__u32 isn, client_isn; /* TCP */
	__u32 ifindex; /* it came by */
	__u32 mss; /* TCP: the client's, by its class */
};

/*
 * What a worker asks of the flow tables: the data of a BPF_PROG_TEST_RUN of the
 * program `splice`, which answers in place. A frame follows: as the client's
 * packet arrived, Ethernet, IP, TCP or UDP header (payload may be left out, but
 * the lengths must fit). For OPEN of TCP it is the client's SYN as it was: the
 * client's ISN, flags SYN.
 */
enum xdplb_command_op {
	XDPLB_COMMAND_OPEN, /* selects a backend, reserves a port, makes the embryo */
	XDPLB_COMMAND_SPLICE, /* TCP: translation begins, the flow is established: counts SPLICED */
	XDPLB_COMMAND_CLOSE, /* TCP: the pending flow is given up */
	XDPLB_COMMAND_FORGET, /* TCP: the client's row of sniffs goes, if it has @isn */
	XDPLB_COMMAND_COUNT /* nothing but @event and @protocol are counted */
};

enum {
	XDPLB_COMMAND_KEEP_ADDRESS = 1U << 0, /* OPEN: source: client */
	XDPLB_COMMAND_SACK = 1U << 1, /* SPLICE: the backend permits SACK */
	XDPLB_COMMAND_CLIENT_FIN = 1U << 2, /* SPLICE: client_seq_end is behind the client's FIN */
	XDPLB_COMMAND_BACKEND_FIN = 1U
				    << 3 /* SPLICE: backend_seq_end is behind the backend's FIN */
};

#define XDPLB_COMMAND_AVOID 4
#define XDPLB_NO_EVENT (~0U)

struct xdplb_command {
	__u32 op; /* enum xdplb_command_op */
	__u32 result; /* out: XDPLB_CONTINUE: done; else the outcome that says why not */
	__u32 event; /* enum xdplb_event to count when done, XDPLB_NO_EVENT: none */
	__u32 service, pool; /* rows */
	__u32 idle_ticks; /* OPEN */
	__u32 ifindex; /* OPEN: by which the client's packets come */
	__u32 flags; /* XDPLB_COMMAND_* */
	__u32 protocol; /* enum xdplb_protocol; COUNT: XDPLB_PROTOCOL_MAX counts none */
	__u32 worker, conn; /* OPEN of TCP: its packets go there until SPLICE */
	__u32 isn; /* FORGET, SPLICE: ours */
	__u32 avoid[XDPLB_COMMAND_AVOID]; /* OPEN: backends that failed, 0: none */
	__u32 backend; /* out of OPEN: row of backends */
	__u32 life; /* out of OPEN, in of SPLICE and CLOSE, with slot */
	__u64 slot; /* of the client's half */
	__u32 backend_isn; /* SPLICE */
	__u32 client_seq_end, backend_seq_end; /* SPLICE: next numbers of each side, its own */
	__u16 backend_mss; /* SPLICE: from its SYN-ACK */
	__u8 backend_wscale; /* SPLICE: 15: none */
	__u8 our_wscale; /* SPLICE: that of our SYN-ACK, 15: none */
	__u32 packets[XDPLB_DIRS]; /* SPLICE, COUNT (with backend and service): what the worker forwarded */
	__u32 bytes[XDPLB_DIRS];
	__u32 name_len; /* of the whole name; a longer one is cut in front */
	char name[XDPLB_SPLICE_NAME]; /* SPLICE, OPEN of UDP */
	struct xdplb_nexthop nexthop; /* out of OPEN: to the backend */
	struct xdplb_half half[XDPLB_DIRS]; /* out of OPEN: for xdplb_pkt_rewrite() */
	__u8 client_scale; /* SPLICE: that of the client's windows, 0 where the backend knows it */
	__u8 pad[3];
};

/* sniffed: service and protocol -> connections recognised, per CPU. BPF writes. */
struct xdplb_sniffed_key {
	__u32 service; /* id */
	__u32 protocol;
};

/* quic_cids: connection id that a server chose -> where its packets go. BPF writes. */
#define XDPLB_CID_MAX 20

struct xdplb_cid_key {
	__u32 service; /* id */
	__u8 len;
	__u8 id[XDPLB_CID_MAX];
	__u8 pad[3];
};

struct xdplb_cid {
	__u32 backend; /* row of backends */
	__u32 idle_ticks;
};

/* cid_lengths: by service id, a bit for each length of connection ids seen: BPF writes. */

/* ---- allowance: token buckets per CPU. BPF writes. */
enum xdplb_allowed {
	XDPLB_ALLOWED_ANSWERS, /* packets that answer instead of forward */
	XDPLB_ALLOWED_HANDSHAKES, /* rows of handshakes */
	XDPLB_ALLOWED_MAX
};

struct xdplb_allowance {
	__u32 tokens;
	__u32 refill_tick;
};

_Static_assert(sizeof(struct xdplb_service_key) == 20, "map key has padding");
_Static_assert(sizeof(struct xdplb_service) == 80, "map value has padding");
_Static_assert(sizeof(struct xdplb_pool) == 96, "map value has padding");
_Static_assert(sizeof(struct xdplb_slot) == 8, "map value has padding");
_Static_assert(sizeof(struct xdplb_nexthop) == 16, "map value has padding");
_Static_assert(sizeof(struct xdplb_backend) == 64, "map value has padding");
_Static_assert(sizeof(struct xdplb_backend_state) == 16, "map value has padding");
_Static_assert(sizeof(struct xdplb_stats) == 48, "map value has padding");
_Static_assert(sizeof(struct xdplb_half) == 128, "a half is two cache lines");
_Static_assert(sizeof(struct xdplb_flow) == 320, "a flow is five cache lines");
_Static_assert(sizeof(struct xdplb_bucket) == 64, "a bucket is one cache line");
_Static_assert(sizeof(struct xdplb_gauges) == 32, "map value has padding");
_Static_assert(sizeof(struct xdplb_nat_range) == 264, "map value has padding");
_Static_assert(sizeof(struct xdplb_splice) == 48, "a flow is five cache lines");
_Static_assert(sizeof(struct xdplb_cookie_secrets) == 40, "map value has padding");
_Static_assert(sizeof(struct xdplb_offer) == 8, "map value has padding");
_Static_assert(sizeof(struct xdplb_sniff_key) == 36, "map key has padding");
_Static_assert(sizeof(struct xdplb_sniff) == 16, "map value has padding");
_Static_assert(sizeof(struct xdplb_handshake) == 32, "map value has padding");
_Static_assert(sizeof(struct xdplb_handshakes_due) == 3268, "data has padding");
_Static_assert(sizeof(struct xdplb_meta) == 32, "older kernels take no more metadata");
_Static_assert(sizeof(struct xdplb_command) % 8 == 0, "command has padding");
_Static_assert(sizeof(struct xdplb_cid_key) == 28, "map key has padding");
_Static_assert(sizeof(struct xdplb_settings) == 88, "map value has padding");
_Static_assert(XDPLB_MAX_BACKENDS <= 1 << XDPLB_ID_BITS, "backend ids do not fit");

#endif /* XDPLB_ABI_H */
