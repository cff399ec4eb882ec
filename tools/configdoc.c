// SPDX-License-Identifier: GPL-2.0-only
/* Writes docs/configuration.md or configs/full.yaml from the rows of user/config/schema.c. */
#include <string.h>

#include "config/doc.h"

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "markdown")) {
		config_doc_markdown(stdout);
	} else if (argc == 2 && !strcmp(argv[1], "yaml")) {
		config_doc_yaml(stdout);
	} else {
		fputs("usage: configdoc markdown|yaml\n", stderr);
		return 2;
	}
	if (fflush(stdout) || ferror(stdout)) {
		perror("configdoc");
		return 1;
	}
	return 0;
}
