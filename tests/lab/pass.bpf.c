/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Passes everything. A veth takes frames that its peer sends by XDP_TX or
 * redirects only while a program is attached to it, whatever that program does.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int lab_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
