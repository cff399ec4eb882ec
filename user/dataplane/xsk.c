// SPDX-License-Identifier: GPL-2.0-only
/*
 * AF_XDP sockets for the worker, and the maps by which XDP finds them. Raw
 * UAPI: libxdp's helper keeps the memory and the rings to the process that
 * makes them, ours are handed to another.
 */
#include "dataplane/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <bpf/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>

#include "base/cleanup.h"

#ifndef XDP_USE_SG /* Linux 6.6 */
#define XDP_USE_SG (1U << 4)
#endif

#define HEADROOM 256 /* the kernel's, in each frame: our metadata lies at its end */
#define LINK_HEADER 22 /* Ethernet with two tags */
#define FRAME_SMALL 2048
#define FRAME_LARGE 4096
#define CLEAR_BATCH 1024

/* ---- what the kernel says of an interface; by ioctl, as /sys may show another namespace's */

static bool ask(const char *ifname, unsigned long what, struct ifreq *request)
{
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", ifname);
	return fd >= 0 && !ioctl(fd, what, request);
}

static uint32_t mtu_of(const char *ifname)
{
	struct ifreq request = { .ifr_mtu = 0 };

	return ask(ifname, SIOCGIFMTU, &request) ? (uint32_t)request.ifr_mtu : UINT32_MAX;
}

uint32_t dataplane_queues(const char *ifname)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (char *)&channels };
	uint32_t count = 1; /* of a driver that does not say */

	if (ask(ifname, SIOCETHTOOL, &request))
		count = channels.rx_count + channels.combined_count;
	return count < XDPLB_QUEUES ? count : XDPLB_QUEUES;
}

/* ---- a socket */

static int memory_make(size_t size)
{
	auto_fd int fd = memfd_create("xdplb-frames", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return take_fd(&fd);
}

/* The kernel keeps the pages; we need no mapping of our own any longer. */
static int memory_register(int fd, int memory, size_t size, uint32_t frame)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	struct xdp_umem_reg umem = { .len = size, .chunk_size = frame };
	int ret = 0;

	if (map == MAP_FAILED)
		return -errno;
	umem.addr = (uintptr_t)map;
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)))
		ret = -errno;
	munmap(map, size);
	return ret;
}

static int rings_make(int fd, const struct dp_xsk_wish *wish)
{
	const struct {
		int ring;
		uint32_t size;
	} rings[] = { { XDP_UMEM_FILL_RING, wish->rx_frames },
		      { XDP_RX_RING, wish->rx_frames },
		      { XDP_UMEM_COMPLETION_RING, wish->tx_frames },
		      { XDP_TX_RING, wish->tx_frames } };

	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++)
		if (setsockopt(fd, SOL_XDP, rings[i].ring, &rings[i].size, sizeof(rings[i].size)))
			return -errno;
	return 0;
}

static int bind_as(int fd, const struct dp_xsk_wish *wish, uint32_t flags)
{
	struct sockaddr_xdp address = { .sxdp_family = AF_XDP,
					.sxdp_ifindex = wish->ifindex,
					.sxdp_queue_id = wish->queue,
					.sxdp_flags = (uint16_t)(flags | XDP_USE_NEED_WAKEUP) };

	return bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
}

/* The best that driver and kernel can do. Without a flag the kernel takes zero-copy if there is it. */
static int socket_bind(int fd, const struct dp_xsk_wish *wish, bool pieces)
{
	uint32_t copy = wish->native ? 0 : XDP_COPY; /* generic XDP never sees zero-copy frames */
	int ret = bind_as(fd, wish, copy | (pieces ? XDP_USE_SG : 0));

	if (ret && ret != -EBUSY && !copy)
		ret = bind_as(fd, wish, XDP_COPY | (pieces ? XDP_USE_SG : 0));
	if (ret && ret != -EBUSY &&
	    pieces) /* an older kernel: what is too long for a frame is lost */
		ret = bind_as(fd, wish, XDP_COPY);
	return ret;
}

static bool is_zero_copy(int fd)
{
	struct xdp_options options = { .flags = 0 };
	socklen_t size = sizeof(options);

	return !getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &size) &&
	       options.flags & XDP_OPTIONS_ZEROCOPY;
}

int dataplane_xsk_open(const struct dp_xsk_wish *wish, struct dp_xsk *xsk, struct dp_error *err)
{
	uint32_t mtu = mtu_of(wish->ifname), longest = mtu < 65536 ? mtu + LINK_HEADER : 65536;
	uint32_t frame = longest <= FRAME_SMALL - HEADROOM ? FRAME_SMALL : FRAME_LARGE;
	size_t size = (size_t)(wish->rx_frames + wish->tx_frames) * frame;
	/* Generic XDP may get what offloads have put together. */
	bool pieces = !wish->native || longest > frame - HEADROOM;
	auto_fd int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	auto_fd int memory = -1;
	int ret = fd < 0 ? -errno : 0;

	if (!ret) {
		memory = memory_make(size);
		ret = memory < 0 ? memory : memory_register(fd, memory, size, frame);
	}
	if (!ret)
		ret = rings_make(fd, wish);
	if (!ret)
		ret = socket_bind(fd, wish, pieces);
	if (ret)
		return dp_fail(err, ret, "%s: AF_XDP socket for queue %u: %s", wish->ifname,
			       wish->queue, strerror(-ret));
	xsk->zero_copy = is_zero_copy(fd);
	xsk->frame = frame;
	xsk->fd = take_fd(&fd);
	xsk->memory = take_fd(&memory);
	return 0;
}

/* ---- how XDP finds it */

int dataplane_xsk_insert(struct dataplane *dp, uint32_t row, int fd)
{
	return bpf_map_update_elem(dp->fd.xsks, &row, &fd, BPF_ANY) ? -errno : 0;
}

void dataplane_xsk_remove(struct dataplane *dp, uint32_t row)
{
	bpf_map_delete_elem(dp->fd.xsks, &row);
}

int dataplane_slot_set(struct dataplane *dp, uint32_t ifindex, uint32_t slot)
{
	return bpf_map_update_elem(dp->fd.worker_slots, &ifindex, &slot, BPF_ANY) ? -errno : 0;
}

void dataplane_slot_delete(struct dataplane *dp, uint32_t ifindex)
{
	bpf_map_delete_elem(dp->fd.worker_slots, &ifindex);
}

void dataplane_slots_clear(struct dataplane *dp)
{
	uint32_t ifindex, slot;

	while (!bpf_map_get_next_key(dp->fd.worker_slots, NULL, &ifindex)) {
		if (!bpf_map_lookup_elem(dp->fd.worker_slots, &ifindex, &slot))
			for (uint32_t queue = 0; queue < XDPLB_QUEUES; queue++)
				dataplane_xsk_remove(dp, slot * XDPLB_QUEUES + queue);
		if (bpf_map_delete_elem(dp->fd.worker_slots, &ifindex))
			break;
	}
}

void dataplane_sniffs_clear(struct dataplane *dp)
{
	struct xdplb_sniff_key keys[CLEAR_BATCH];
	struct xdplb_sniff rows[CLEAR_BATCH];
	uint32_t from, *in = NULL, count;
	int ret;

	do {
		count = CLEAR_BATCH;
		ret = bpf_map_lookup_and_delete_batch(dp->fd.sniffs, in, &from, keys, rows, &count,
						      NULL);
		in = &from;
	} while (!ret);
}

/* ---- SYN cookies */

void dataplane_secrets_rotate(struct dataplane *dp)
{
	struct xdplb_cookie_secrets *secrets = dp->secrets;
	uint32_t next = !__atomic_load_n(&secrets->current, __ATOMIC_RELAXED);
	uint64_t key[2];

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return; /* the former ones stay: older, no less secret */
	for (int i = 0; i < 2; i++)
		__atomic_store_n(&secrets->key[next][i], key[i], __ATOMIC_RELAXED);
	__atomic_store_n(&secrets->current, next, __ATOMIC_RELEASE);
}

int dataplane_splice_program(const struct dataplane *dp)
{
	return dp->splice;
}

int dataplane_handshakes_program(const struct dataplane *dp)
{
	return dp->handshakes_due;
}
