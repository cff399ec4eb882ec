// SPDX-License-Identifier: GPL-2.0-only
#include "worker/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_xdp.h>

#ifndef XDP_PKT_CONTD /* Linux 6.6 */
#define XDP_PKT_CONTD (1U << 0)
#endif

#define SENT_A_CALL 32 /* what the kernel sends of a ring in copy mode before it returns */

/* ---- rings: the other side's index is read with acquire, ours written with release */

static uint32_t ring_used(const struct ring *ring) /* entries that the kernel has put for us */
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - ring->next;
}

static uint32_t ring_room(const struct ring *ring) /* entries that we may still put */
{
	return ring->mask + 1 - (ring->next - __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE));
}

static void ring_publish(struct ring *ring) /* what we put is the kernel's */
{
	__atomic_store_n(ring->producer, ring->next, __ATOMIC_RELEASE);
}

static void ring_release(struct ring *ring) /* what we took may be put to again */
{
	__atomic_store_n(ring->consumer, ring->next, __ATOMIC_RELEASE);
}

static uint64_t *ring_address(const struct ring *ring, uint32_t index)
{
	return (uint64_t *)ring->entries + (index & ring->mask);
}

static struct xdp_desc *ring_packet(const struct ring *ring, uint32_t index)
{
	return (struct xdp_desc *)ring->entries + (index & ring->mask);
}

static bool ring_map(struct ring *ring, int fd, const struct xdp_ring_offset *at, uint64_t which,
		     uint32_t size, size_t entry)
{
	uint8_t *map;

	ring->map_size = at->desc + size * entry;
	map = mmap(NULL, ring->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
		   (off_t)which);
	if (map == MAP_FAILED)
		return false;
	ring->map = map;
	ring->producer = (uint32_t *)(map + at->producer);
	ring->consumer = (uint32_t *)(map + at->consumer);
	ring->flags = (uint32_t *)(map + at->flags);
	ring->entries = map + at->desc;
	ring->mask = size - 1;
	return true;
}

static void ring_unmap(const struct ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->map_size);
}

/* ---- the socket */

static bool rings_map(struct xsk *xsk, int fd)
{
	struct xdp_mmap_offsets at;
	socklen_t size = sizeof(at);

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &size))
		return false;
	if (size != sizeof(at)) { /* a kernel before 5.4, without flags in the rings */
		errno = EPROTO;
		return false;
	}
	return ring_map(&xsk->rx, fd, &at.rx, XDP_PGOFF_RX_RING, WORKER_RX_FRAMES,
			sizeof(struct xdp_desc)) &&
	       ring_map(&xsk->tx, fd, &at.tx, XDP_PGOFF_TX_RING, WORKER_TX_FRAMES,
			sizeof(struct xdp_desc)) &&
	       ring_map(&xsk->fill, fd, &at.fr, XDP_UMEM_PGOFF_FILL_RING, WORKER_RX_FRAMES,
			sizeof(uint64_t)) &&
	       ring_map(&xsk->completion, fd, &at.cr, XDP_UMEM_PGOFF_COMPLETION_RING,
			WORKER_TX_FRAMES, sizeof(uint64_t));
}

static void maps_end(const struct xsk *xsk)
{
	ring_unmap(&xsk->rx);
	ring_unmap(&xsk->tx);
	ring_unmap(&xsk->fill);
	ring_unmap(&xsk->completion);
	if (xsk->memory)
		munmap(xsk->memory, xsk->memory_size);
}

bool xsk_map(struct xsk *xsk, int fd, int memory, uint32_t frame)
{
	uint8_t *map;

	*xsk = (struct xsk){ .fd = -1, .frame = frame };
	xsk->memory_size = (size_t)(WORKER_RX_FRAMES + WORKER_TX_FRAMES) * frame;
	map = mmap(NULL, xsk->memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (map == MAP_FAILED)
		return false;
	xsk->memory = map;
	if (!rings_map(xsk, fd)) {
		maps_end(xsk);
		xsk->memory = NULL;
		return false;
	}
	xsk->fd = fd;
	pthread_mutex_init(&xsk->tx_lock, NULL);
	for (uint32_t i = 0; i < WORKER_RX_FRAMES; i++)
		*ring_address(&xsk->fill, xsk->fill.next++) = (uint64_t)i * frame;
	ring_publish(&xsk->fill);
	for (uint32_t i = 0; i < WORKER_TX_FRAMES; i++)
		xsk->idle[xsk->idle_count++] = (uint64_t)(WORKER_RX_FRAMES + i) * frame;
	return true;
}

void xsk_unmap(struct xsk *xsk)
{
	maps_end(xsk);
	pthread_mutex_destroy(&xsk->tx_lock);
	close(xsk->fd);
}

/* ---- receiving */

bool xsk_receive(struct xsk *xsk, struct xsk_packet *packet)
{
	const struct xdp_desc *desc;

	while (ring_used(&xsk->rx)) {
		desc = ring_packet(&xsk->rx, xsk->rx.next++);
		/* The fill ring is as long as there are frames: each finds its place again. */
		*ring_address(&xsk->fill, xsk->fill.next++) = desc->addr - desc->addr % xsk->frame;
		if (desc->addr >= xsk->memory_size ||
		    desc->len > xsk->frame - desc->addr % xsk->frame)
			continue;
		packet->data = xsk->memory + desc->addr;
		packet->len = desc->len;
		packet->headroom = (uint32_t)(desc->addr % xsk->frame);
		packet->more = desc->options & XDP_PKT_CONTD;
		return true;
	}
	return false;
}

void xsk_give_back(struct xsk *xsk)
{
	ring_release(&xsk->rx);
	ring_publish(&xsk->fill);
}

/* ---- sending */

static void tx_reap(struct xsk *xsk)
{
	uint32_t count = ring_used(&xsk->completion);

	for (uint32_t i = 0; i < count && xsk->idle_count < WORKER_TX_FRAMES; i++)
		xsk->idle[xsk->idle_count++] =
			*ring_address(&xsk->completion, xsk->completion.next++);
	ring_release(&xsk->completion);
}

bool xsk_send(struct xsk *xsk, const void *packet, size_t len)
{
	uint32_t frames = (uint32_t)((len + xsk->frame - 1) / xsk->frame);
	const uint8_t *from = packet;
	bool room;

	pthread_mutex_lock(&xsk->tx_lock);
	tx_reap(xsk);
	room = len && frames <= xsk->idle_count && frames <= ring_room(&xsk->tx);
	while (room && len) {
		struct xdp_desc *desc = ring_packet(&xsk->tx, xsk->tx.next++);
		uint32_t piece = len < xsk->frame ? (uint32_t)len : xsk->frame;

		len -= piece;
		desc->addr = xsk->idle[--xsk->idle_count];
		desc->len = piece;
		desc->options = len ? XDP_PKT_CONTD : 0;
		memcpy(xsk->memory + desc->addr, from, piece);
		from += piece;
	}
	if (room)
		ring_publish(&xsk->tx);
	pthread_mutex_unlock(&xsk->tx_lock);
	return room;
}

bool xsk_kick(const struct xsk *xsk)
{
	for (int i = 0; i <= WORKER_TX_FRAMES / SENT_A_CALL; i++) {
		if (__atomic_load_n(xsk->tx.producer, __ATOMIC_ACQUIRE) ==
		    __atomic_load_n(xsk->tx.consumer, __ATOMIC_ACQUIRE))
			return true;
		if (!(__atomic_load_n(xsk->tx.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP))
			return true; /* the driver is at it */
		if (sendto(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN)
			return errno != EBUSY && errno != ENOBUFS; /* else: the device is away */
	}
	return false;
}
