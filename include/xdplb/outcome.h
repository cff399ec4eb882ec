/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_OUTCOME_H
#define XDPLB_OUTCOME_H

/*
 * Every way a packet can leave the fast path, one row each:
 *
 *	X(NAME, xdp_action, "what it means to an operator")
 *
 * The BPF program, the metric xdplb_outcomes_total, the command line and
 * docs/outcomes.md are all made from this list. Append only: a row's position
 * is its map index, and counters survive upgrades. Until a service has claimed
 * a packet its rows can only say PASS: we drop our own traffic, never the
 * host's.
 */
/* clang-format off */
#define XDPLB_OUTCOMES(X) \
	X(CONTINUE,               XDP_ABORTED,  "still in the pipeline: counted only if there is a bug") \
	X(FORWARD_TX,             XDP_TX,       "rewritten and sent to a backend, out of the interface it came in by") \
	X(FORWARD_REDIRECT,       XDP_REDIRECT, "rewritten and sent to a backend, out of another interface") \
	X(REPLY_TX,               XDP_TX,       "a backend's answer sent to the client, out of the interface it came in by") \
	X(REPLY_REDIRECT,         XDP_REDIRECT, "a backend's answer sent to the client, out of another interface") \
	X(PASS_NOT_OURS,          XDP_PASS,     "no service and no flow owns these addresses and ports") \
	X(PASS_NOT_IP,            XDP_PASS,     "neither IPv4 nor IPv6, such as ARP") \
	X(PASS_NOT_L4,            XDP_PASS,     "IP, but neither TCP nor UDP") \
	X(PASS_TRUNCATED,         XDP_PASS,     "a header or the packet ends after the frame does") \
	X(PASS_MALFORMED,         XDP_PASS,     "header fields that contradict each other") \
	X(PASS_FRAGMENT,          XDP_PASS,     "IP fragment: left to the kernel") \
	X(PASS_VLAN,              XDP_PASS,     "VLAN tag: left to the kernel") \
	X(PASS_IPV6_EXTENSION,    XDP_PASS,     "IPv6 extension header: left to the kernel") \
	X(PASS_MULTICAST,         XDP_PASS,     "sent to a multicast or broadcast MAC address") \
	X(RESET_NO_FLOW,          XDP_TX,       "TCP without SYN and without a flow, answered with a reset") \
	X(RESET_NO_BACKEND,       XDP_TX,       "no usable backend, answered with a reset") \
	X(RESET_TABLE_FULL,       XDP_TX,       "the flow table is full, new connection answered with a reset") \
	X(UNREACHABLE_NO_BACKEND, XDP_TX,       "no usable backend, answered with ICMP unreachable") \
	X(DROP_ANSWER_LIMITED,    XDP_DROP,     "a reset or ICMP answer was due, but too many were sent lately") \
	X(DROP_NO_FLOW,           XDP_DROP,     "a reset without a flow: nothing to do and nothing to answer") \
	X(DROP_NO_PORT,           XDP_DROP,     "no source port towards the backend is free") \
	X(DROP_UNRESOLVED,        XDP_DROP,     "the next hop towards the backend is not known") \
	X(DROP_NO_EGRESS,         XDP_DROP,     "the interface to send by is gone") \
	X(DROP_TTL_EXPIRED,       XDP_DROP,     "time to live or hop limit ended here") \
	X(DROP_BUSY,              XDP_DROP,     "other CPUs held what a new flow needs; the client will repeat it") \
	X(DROP_ANSWER_FAILED,     XDP_DROP,     "a reset or ICMP answer was due, but did not fit into the frame") \
	X(DROP_MARTIAN,           XDP_DROP,     "to a VIP from a loopback, multicast or unspecified address") \
	X(ANSWER_COOKIE,          XDP_TX,       "SYN to a sniffed service, answered with a SYN cookie") \
	X(SNIFF,                  XDP_REDIRECT, "given to the worker that looks into a connection's first bytes") \
	X(RESET_BAD_COOKIE,       XDP_TX,       "to a sniffed service without a flow or a valid SYN cookie, answered with a reset") \
	X(RESET_SNIFFS_FULL,      XDP_TX,       "too many connections are being sniffed, a new one answered with a reset") \
	X(DROP_NO_WORKER,         XDP_DROP,     "to a sniffed service, and no worker is there; the client will repeat it") \
	X(DROP_SNIFF_FAILED,      XDP_DROP,     "could not be given to the worker: no room for what it must know") \
	X(DROP_SNIFF_EARLY,       XDP_DROP,     "overtook the segment that shows the SYN cookie; the client will repeat it") \
	X(FORWARD_ICMP_TX,        XDP_TX,       "an ICMP error about a flow, sent to the backend, out of the interface it came in by") \
	X(FORWARD_ICMP_REDIRECT,  XDP_REDIRECT, "an ICMP error about a flow, sent to the backend, out of another interface") \
	X(REPLY_ICMP_TX,          XDP_TX,       "an ICMP error about a flow, sent to the client, out of the interface it came in by") \
	X(REPLY_ICMP_REDIRECT,    XDP_REDIRECT, "an ICMP error about a flow, sent to the client, out of another interface") \
	X(DROP_ICMP_NONSENSE,     XDP_DROP,     "an ICMP error that quotes what its flow cannot have sent lately") \
	X(DROP_ICMP_PENDING,      XDP_DROP,     "an ICMP error about a sniffed connection that is not joined yet")
/* clang-format on */

enum xdplb_outcome {
#define X(name, action, help) XDPLB_##name,
	XDPLB_OUTCOMES(X)
#undef X
	XDPLB_OUTCOME_MAX
};

/*
 * What happens to flows beside the packets, in the same manner: the metric
 * xdplb_flow_events_total and docs/outcomes.md.
 */
/* clang-format off */
#define XDPLB_EVENTS(X) \
	X(PROMOTED,        "an answered embryo became an established flow") \
	X(CLOSED,          "an established flow ended by FINs or a reset") \
	X(REVIVED,         "data followed a reset: the flow is established again") \
	X(EXPIRED_FLOW,    "an established flow was idle for too long") \
	X(EXPIRED_EMBRYO,  "an embryo or a closed flow was idle for too long") \
	X(EVICTED_EMBRYO,  "an unanswered embryo gave its place to a newer one") \
	X(EVICTED_CLOSED,  "a closed flow gave its place to a newer one") \
	X(RECLAIMED_PORT,  "an unanswered or closed flow gave up its source port") \
	X(RESELECTED,      "an unanswered or closed flow was replaced by a new choice of backend") \
	X(UDP_SHARE_FULL,  "a UDP flow could not be promoted: UDP holds its half of the flow table") \
	X(NEXTHOP_LEARNED, "without the daemon, a backend's next hop was taken from the kernel") \
	X(MOVED,           "a flow was taken over into a flow table of another size") \
	X(MOVE_LOST,       "a flow found no place in a flow table of another size") \
	X(SNIFF_ROUTED,    "sniffed: a route matched") \
	X(SNIFF_DEFAULT,   "sniffed: the bytes fit no route, the default pool took it") \
	X(SNIFF_SILENT,    "sniffed: not decided within sniff_timeout, the default pool took it") \
	X(SNIFF_REFUSED,   "sniffed: fits no route and there is no default pool: reset, or dropped") \
	X(SNIFF_LEFT,      "sniffed: the client went away before it was decided") \
	X(SNIFF_EVICTED,   "sniffed: the oldest undecided gave its place to a newer one") \
	X(SNIFF_RETRIED,   "sniffed: a backend refused or was silent, another was tried") \
	X(SNIFF_NO_BACKEND, "sniffed: no backend took it, the client was reset") \
	X(SPLICED,         "sniffed: client and backend are joined, the worker is out of the way") \
	X(SNIFF_REPLACED,  "a client began anew from the same address and port: the old flow was replaced") \
	X(QUIC_MIGRATED,   "a QUIC client came from another address, the flow follows its connection id") \
	X(SYNACK_REPEATED, "sniffed: a client's handshake was not completed, the SYN-ACK was repeated")
/* clang-format on */

enum xdplb_event {
#define X(name, help) XDPLB_EVENT_##name,
	XDPLB_EVENTS(X)
#undef X
	XDPLB_EVENT_MAX
};

#endif /* XDPLB_OUTCOME_H */
