// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <bpf/libbpf.h>

int cli_version(const struct cli *cli)
{
	struct utsname host = { 0 };

	(void)cli;
	uname(&host);
	printf("xdplb %s\ndatapath ABI %d\nlibbpf %u.%u\nkernel %s %s\n", XDPLB_VERSION,
	       XDPLB_ABI_VERSION, libbpf_major_version(), libbpf_minor_version(), host.release,
	       host.machine);
	return 0;
}
