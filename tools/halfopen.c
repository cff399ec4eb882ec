// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients that say half a hello and then nothing more, without a socket each:
 * handshakes played with raw frames. Addresses must be nobody's.
 *
 *	halfopen IFNAME DST-MAC ADDRESS PORT SOURCE COUNT
 *
 * Prints how many SYN-ACKs came and were answered, and ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/if_packet.h>

#include "bench/hello.h"

#define BATCH 64
#define SAID (HELLO_BYTES / 2)
#define ISN 1000U
#define FIRST_PORT 1024
#define PORTS_A_HOST 60000
#define WAIT_MS 20 /* for what a batch calls forth; then it counts as lost */

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t data[SAID];
} __attribute__((packed));

struct play {
	int fd;
	struct frame syn, half; /* but for what differs from client to client */
	uint32_t source, count, answered;
};

static void die(const char *what)
{
	fprintf(stderr, "halfopen: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t sum_add(uint32_t sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	return sum;
}

static uint16_t sum_close(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void frame_close(struct frame *frame)
{
	size_t len = ntohs(frame->ip.tot_len) - sizeof(frame->ip);

	frame->ip.check = 0;
	frame->ip.check = sum_close(sum_add(0, &frame->ip, sizeof(frame->ip)));
	frame->tcp.check = 0;
	frame->tcp.check = sum_close(sum_add(
		sum_add(IPPROTO_TCP + (uint32_t)len, &frame->ip.saddr, 8), &frame->tcp, len));
}

static void frame_send(const struct play *play, const struct frame *frame)
{
	size_t len = sizeof(frame->eth) + ntohs(frame->ip.tot_len);

	while (send(play->fd, frame, len, 0) < 0)
		if (errno != ENOBUFS && errno != EAGAIN)
			die("send");
}

static void link_open(struct play *play, const char *ifname, const char *mac)
{
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	const struct ether_addr *to = ether_aton(mac);
	struct ifreq request = { .ifr_ifindex = 0 };
	int size = 32 << 20, yes = 1;

	play->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	link.sll_ifindex = (int)if_nametoindex(ifname);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (play->fd < 0 || !to ||
	    setsockopt(play->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) ||
	    setsockopt(play->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(play->fd, (struct sockaddr *)&link, sizeof(link)) ||
	    ioctl(play->fd, SIOCGIFHWADDR, &request))
		die(ifname);
	memcpy(play->syn.eth.h_dest, to, ETH_ALEN);
	memcpy(play->syn.eth.h_source, request.ifr_hwaddr.sa_data, ETH_ALEN);
	play->syn.eth.h_proto = htons(ETH_P_IP);
}

static void frames_make(struct play *play, const char *address, const char *port)
{
	uint8_t hello[HELLO_BYTES];
	struct frame *syn = &play->syn, *half = &play->half;
	struct in_addr to;

	if (!inet_aton(address, &to))
		die(address);
	syn->ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };
	syn->ip.tot_len = htons(sizeof(syn->ip) + sizeof(syn->tcp));
	syn->ip.daddr = to.s_addr;
	syn->tcp = (struct tcphdr){ .doff = 5, .syn = 1, .window = 0xffff };
	syn->tcp.dest = htons((uint16_t)atoi(port));
	syn->tcp.seq = htonl(ISN);
	*half = *syn;
	half->ip.tot_len = htons(sizeof(half->ip) + sizeof(half->tcp) + SAID);
	half->tcp.syn = 0;
	half->tcp.ack = half->tcp.psh = 1;
	half->tcp.seq = htonl(ISN + 1);
	hello_write(hello, "a.example");
	memcpy(half->data, hello, SAID);
}

/* Answers what there is; false: nothing came for a while. */
static bool answers_take(struct play *play, uint32_t *left)
{
	struct pollfd wait = { .fd = play->fd, .events = POLLIN };
	struct frame got;
	ssize_t len;

	if (poll(&wait, 1, WAIT_MS) <= 0)
		return false;
	len = recv(play->fd, &got, sizeof(got), MSG_DONTWAIT);
	if (len < (ssize_t)(sizeof(got) - sizeof(got.data)) || got.ip.protocol != IPPROTO_TCP ||
	    !got.tcp.syn || !got.tcp.ack)
		return true;
	play->half.ip.saddr = got.ip.daddr;
	play->half.tcp.source = got.tcp.dest;
	play->half.tcp.ack_seq = htonl(ntohl(got.tcp.seq) + 1);
	frame_close(&play->half);
	frame_send(play, &play->half);
	play->answered++;
	(*left)--;
	return true;
}

static void batch_play(struct play *play, uint32_t first, uint32_t count)
{
	uint32_t left = count;

	for (uint32_t i = first; i < first + count; i++) {
		play->syn.ip.saddr = htonl(play->source + i / PORTS_A_HOST);
		play->syn.tcp.source = htons((uint16_t)(FIRST_PORT + i % PORTS_A_HOST));
		frame_close(&play->syn);
		frame_send(play, &play->syn);
	}
	while (left && answers_take(play, &left))
		;
}

int main(int argc, char **argv)
{
	static struct play play;
	struct in_addr source;

	if (argc != 7 || !inet_aton(argv[5], &source)) {
		fputs("usage: halfopen IFNAME DST-MAC ADDRESS PORT SOURCE COUNT\n", stderr);
		return 2;
	}
	play.source = ntohl(source.s_addr);
	play.count = (uint32_t)atoi(argv[6]);
	link_open(&play, argv[1], argv[2]);
	frames_make(&play, argv[3], argv[4]);
	for (uint32_t i = 0; i < play.count; i += BATCH)
		batch_play(&play, i, play.count - i < BATCH ? play.count - i : BATCH);
	printf("%u\n", play.answered);
	return 0;
}
