// SPDX-License-Identifier: GPL-2.0-only
#include "dataplane/derive.h"

#include <stdio.h>
#include <string.h>

#include "xdplb/abi.h"

#define EMBRYOS 65536U
#define EMBRYOS_MIN 1024U
#define FLOW_TABLE_SMALL 16384U /* below, embryos shrink with it */

static uint32_t pow2_from(uint32_t least)
{
	uint32_t n = 1;

	while (n < least)
		n *= 2;
	return n;
}

bool derive_sizes(uint32_t flow_table, struct dp_sizes *sizes)
{
	struct dp_sizes s = { .flows = flow_table, .embryos = EMBRYOS };

	if (!flow_table || flow_table > DP_MAX_FLOW_TABLE)
		return false;
	if (flow_table < FLOW_TABLE_SMALL) {
		s.embryos = pow2_from(flow_table);
		if (s.embryos < EMBRYOS_MIN)
			s.embryos = EMBRYOS_MIN;
	}
	/* Two slots a flow, 2.5 slots a bucket of 8: hardly one in a thousand overflows. */
	s.buckets = pow2_from((uint32_t)(((uint64_t)s.flows + s.embryos) * 2 * 2 / 5));
	*sizes = s;
	return true;
}

static bool is_pow2(uint32_t n)
{
	return n && !(n & (n - 1));
}

bool derive_sizes_valid(const struct dp_sizes *sizes)
{
	return sizes->flows && sizes->flows <= DP_MAX_FLOW_TABLE && is_pow2(sizes->embryos) &&
	       sizes->embryos <= DP_MAX_FLOW_TABLE && is_pow2(sizes->buckets);
}

static uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 of the eight bytes of @word, little endian. */
static uint64_t sip_word(const uint64_t key[2], uint64_t word)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
			  key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U };
	const uint64_t blocks[2] = { word, 8ULL << 56 };

	for (int i = 0; i < 2; i++) {
		v[3] ^= blocks[i];
		sip_round(v);
		sip_round(v);
		v[0] ^= blocks[i];
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void derive_select_key(const uint8_t seed[16], uint64_t key[4])
{
	uint64_t sip_key[2] = { 0, 0 };

	for (int i = 0; i < 16; i++)
		sip_key[i / 8] |= (uint64_t)seed[i] << 8 * (i % 8);
	for (unsigned int i = 0; i < 4; i++)
		key[i] = sip_word(sip_key, i);
}

#define LINK_PREFIX "link_"

bool derive_link_name(const char *ifname, char name[DP_LINK_NAME_SIZE])
{
	size_t len = strlen(LINK_PREFIX);

	if (!*ifname || strlen(ifname) > 15 || strchr(ifname, '/'))
		return false;
	memcpy(name, LINK_PREFIX, len);
	for (; *ifname; ifname++) {
		if (*ifname == '.' || *ifname == '%')
			len += (size_t)sprintf(name + len, "%%%02x", (unsigned int)*ifname);
		else
			name[len++] = *ifname;
	}
	name[len] = '\0';
	return true;
}

bool derive_link_ifname(const char *name, char ifname[16])
{
	size_t len = 0;

	if (strncmp(name, LINK_PREFIX, strlen(LINK_PREFIX)) != 0)
		return false;
	name += strlen(LINK_PREFIX);
	while (*name && len < 15) {
		if (!strncmp(name, "%2e", 3) || !strncmp(name, "%25", 3)) {
			ifname[len++] = name[2] == 'e' ? '.' : '%';
			name += 3;
		} else {
			ifname[len++] = *name++;
		}
	}
	ifname[len] = '\0';
	return len && !*name;
}
