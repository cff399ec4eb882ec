// SPDX-License-Identifier: GPL-2.0-only
#include "cli/cli.h"

#include <fcntl.h>
#include <unistd.h>

/* Started without stdin, stdout or stderr: no other file may come to stand in their place. */
static void standard_files_fill(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	struct cli cli;

	standard_files_fill();
	switch (cli_parse(argc, argv, &cli)) {
	case CLI_RUN:
		return cli.verb->run(&cli);
	case CLI_DONE:
		return 0;
	case CLI_WRONG:
		break;
	}
	return EXIT_USAGE;
}
