// SPDX-License-Identifier: GPL-2.0-only
/*
 * A generator of packets from live frames, and a sink that counts them.
 *
 *	pktgen send|ack|syn IFNAME DST-MAC DST PORT SRC FLOWS CPUS SECONDS [RATE]
 *	pktgen sink IFNAME PORT
 *	pktgen pass IFNAME
 *
 * send: UDP; ack: TCP with six bytes of data; syn: what begins a connection.
 * Frames of 64 bytes (with the checksum of a wire) from addresses that
 * begin at SRC, from CPUs 0 .. CPUS - 1, as fast as it goes or RATE a second
 * in all; prints how many. sink: drops and counts; prints what it has seen for
 * every line of input, and ends with it. pass: for the side that sends while
 * its kernel takes part; counts and drops what comes for 100.64.0.0/10.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <netinet/ether.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"
#include "pktgen.h"
#include "pktgen.skel.h"

#define FRAME_BYTES 60 /* and four of checksum */
#define BATCH 64
#define FOREVER (1U << 30) /* frames: until a signal ends it */
#define BURSTS_PER_SECOND 32 /* at a given rate: to begin one takes many milliseconds, */
#define BURSTS_IF_LARGE 10 /* so there are few where a burst is long itself */
#define LARGE 100000 /* packets a second */
#define SECOND_NS 1000000000U

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("pktgen: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static struct pktgen_bpf *skeleton_load(void)
{
	struct pktgen_bpf *skeleton = pktgen_bpf__open_and_load();

	if (!skeleton)
		die("loading: %s", strerror(errno));
	return skeleton;
}

/* The link lives as long as this process. Where another pktgen's is there, that one serves. */
static unsigned int program_attach(const struct bpf_program *program, const char *ifname)
{
	unsigned int ifindex = if_nametoindex(ifname), there = 0;

	if (!ifindex || bpf_xdp_query_id((int)ifindex, 0, &there))
		die("%s: %s", ifname, strerror(errno));
	if (!there && !bpf_program__attach_xdp(program, (int)ifindex))
		die("%s: attaching: %s", ifname, strerror(errno));
	return ifindex;
}

/* ---- send */

struct sender {
	int program, cpu;
	unsigned int ifindex;
	uint64_t rate; /* of this CPU, 0: as fast as it goes */
	atomic_bool stop, stopped;
};

static void mac_own(const char *ifname, uint8_t mac[ETH_ALEN])
{
	struct ifreq request = { .ifr_ifindex = 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
		die("%s: its address: %s", ifname, strerror(errno));
	memcpy(mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	close(fd);
}

static uint32_t words_sum(const void *bytes, size_t size)
{
	const uint16_t *word = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i < size / 2; i++)
		sum += ntohs(word[i]);
	return sum;
}

/* The data are what the frame has: zeros. */
static void plan_tcp(struct pktgen_plan *plan, struct iphdr *ip, bool syn)
{
	struct tcphdr *tcp = (struct tcphdr *)(ip + 1);
	__be16 port = tcp->dest;
	uint16_t len = FRAME_BYTES - ETH_HLEN - sizeof(*ip);

	if (syn)
		len = sizeof(*tcp);
	*tcp = (struct tcphdr){ .dest = port, .doff = sizeof(*tcp) / 4, .window = 0xffff };
	tcp->seq = htonl(1000);
	tcp->syn = syn;
	tcp->ack = !syn;
	tcp->psh = !syn;
	ip->protocol = IPPROTO_TCP;
	ip->tot_len = htons((uint16_t)(sizeof(*ip) + len));
	plan->l4_sum = words_sum(&ip->daddr, sizeof(ip->daddr)) + IPPROTO_TCP + len +
		       words_sum(tcp, sizeof(*tcp));
	plan->tcp = 1;
}

enum what { /* is sent */
	WHAT_UDP,
	WHAT_ACK,
	WHAT_SYN
};

static void plan_fill(struct pktgen_plan *plan, char **words, const char *ifname, enum what what)
{
	struct ethhdr *eth = (struct ethhdr *)plan->header;
	struct iphdr *ip = (struct iphdr *)(eth + 1);
	struct udphdr *udp = (struct udphdr *)(ip + 1);
	const struct ether_addr *to = ether_aton(words[0]);
	struct in_addr dst, src;

	if (!to || !inet_aton(words[1], &dst) || !inet_aton(words[3], &src))
		die("%s, %s or %s is no address", words[0], words[1], words[3]);
	memcpy(eth->h_dest, to, ETH_ALEN);
	mac_own(ifname, eth->h_source);
	eth->h_proto = htons(ETH_P_IP);
	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tot_len = htons(FRAME_BYTES - ETH_HLEN);
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->daddr = dst.s_addr;
	udp->dest = htons((uint16_t)atoi(words[2]));
	udp->len = htons(FRAME_BYTES - ETH_HLEN - sizeof(*ip));
	if (what != WHAT_UDP)
		plan_tcp(plan, ip, what == WHAT_SYN);
	plan->sum = words_sum(ip, sizeof(*ip));
	plan->src = ntohl(src.s_addr);
}

static void burst_send(const struct sender *sender, uint32_t count)
{
	uint8_t frame[FRAME_BYTES] = { 0 };
	struct xdp_md ctx = { .data_end = sizeof(frame), .ingress_ifindex = sender->ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)count,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	int ret = bpf_prog_test_run_opts(sender->program, &options);

	if (ret && ret != -EINTR)
		die("sending: %s", strerror(-ret));
}

static void *sender_run(void *arg)
{
	struct sender *sender = arg;
	uint32_t bursts = sender->rate > LARGE ? BURSTS_IF_LARGE : BURSTS_PER_SECOND;
	uint32_t burst = sender->rate ? (uint32_t)(sender->rate / bursts) : FOREVER;
	uint64_t start = clock_now_ns(), sent = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sender->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %d is not to be had", sender->cpu);
	while (!sender->stop) {
		if (sender->rate &&
		    (clock_now_ns() - start) * sender->rate / SECOND_NS < sent + burst) {
			usleep(200);
			continue;
		}
		burst_send(sender, burst);
		sent += burst;
	}
	sender->stopped = true;
	return NULL;
}

static void signal_ignore(int number)
{
	(void)number; /* it has interrupted the system call */
}

/* Again and again: a signal just before the system call would not end it. */
static void sender_stop(struct sender *sender, pthread_t thread)
{
	sender->stop = true;
	while (!sender->stopped) {
		if (!sender->rate)
			pthread_kill(thread, SIGUSR1);
		usleep(2000);
	}
	pthread_join(thread, NULL);
}

/* words: DST-MAC DST PORT SRC FLOWS CPUS SECONDS RATE */
static int send_all(const char *ifname, char **words, bool limited, enum what what)
{
	struct pktgen_bpf *skeleton = skeleton_load();
	unsigned int ifindex = program_attach(skeleton->progs.pass, ifname);
	uint32_t flows = (uint32_t)atoi(words[4]);
	int cpus = atoi(words[5]);
	const struct sigaction action = { .sa_handler = signal_ignore };
	struct sender sender[PKTGEN_CPUS] = { { 0 } };
	pthread_t thread[PKTGEN_CPUS];
	uint64_t sent = 0;

	sigaction(SIGUSR1, &action, NULL); /* without SA_RESTART */
	if (cpus < 1 || cpus > PKTGEN_CPUS || flows < (uint32_t)cpus)
		die("%s CPUs for %s flows", words[5], words[4]);
	for (int i = 0; i < cpus; i++) {
		struct pktgen_plan *plan = &skeleton->bss->plans[i];

		plan_fill(plan, words, ifname, what);
		plan->flows = flows / (uint32_t)cpus;
		plan->first = plan->flows * (uint32_t)i;
		sender[i].program = bpf_program__fd(skeleton->progs.send);
		sender[i].cpu = i;
		sender[i].ifindex = ifindex;
		sender[i].rate = limited ? strtoul(words[7], NULL, 10) / (uint64_t)cpus : 0;
		if (pthread_create(&thread[i], NULL, sender_run, &sender[i]))
			die("no thread");
	}
	usleep((useconds_t)(atof(words[6]) * 1e6));
	for (int i = 0; i < cpus; i++) {
		sender_stop(&sender[i], thread[i]);
		sent += skeleton->bss->plans[i].cursor;
	}
	printf("%llu\n", (unsigned long long)sent);
	return 0;
}

/* ---- sink */

static void seen_print(const struct pktgen_bpf *skeleton)
{
	int cpus = libbpf_num_possible_cpus();
	struct pktgen_seen seen[PKTGEN_CPUS] = { { 0 } }, sum = { 0 };
	const uint32_t row = 0;

	if (cpus > PKTGEN_CPUS || bpf_map_lookup_elem(bpf_map__fd(skeleton->maps.seen), &row, seen))
		die("reading the counters: %s", strerror(errno));
	for (int i = 0; i < cpus; i++) {
		sum.wanted += seen[i].wanted;
		sum.other += seen[i].other;
	}
	printf("%llu %llu %llu\n", (unsigned long long)clock_now_ns(),
	       (unsigned long long)sum.wanted, (unsigned long long)sum.other);
	fflush(stdout);
}

static int seen_serve(const struct pktgen_bpf *skeleton)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin))
		seen_print(skeleton);
	return 0;
}

static int sink_run(const char *ifname, const char *port)
{
	struct pktgen_bpf *skeleton = skeleton_load();

	skeleton->bss->wanted_port = htons((uint16_t)atoi(port));
	program_attach(skeleton->progs.sink, ifname);
	return seen_serve(skeleton);
}

static int pass_run(const char *ifname)
{
	struct pktgen_bpf *skeleton = skeleton_load();

	program_attach(skeleton->progs.pass, ifname);
	return seen_serve(skeleton);
}

int main(int argc, char **argv)
{
	static const char *const senders[] = { "send", "ack", "syn" }; /* enum what */

	for (int what = WHAT_UDP; what <= WHAT_SYN && (argc == 10 || argc == 11); what++)
		if (!strcmp(argv[1], senders[what]))
			return send_all(argv[2], argv + 3, argc == 11, (enum what)what);
	if (argc == 4 && !strcmp(argv[1], "sink"))
		return sink_run(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "pass"))
		return pass_run(argv[2]);
	fputs("usage: pktgen send|ack|syn IFNAME DST-MAC DST PORT SRC FLOWS CPUS SECONDS [RATE]\n"
	      "       pktgen sink IFNAME PORT\n"
	      "       pktgen pass IFNAME\n",
	      stderr);
	return 2;
}
