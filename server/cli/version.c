#include "server/cli/command.h"

#include <stdio.h>

static int run(const struct invocation *invocation)
{
	(void)invocation;
	printf("breakwater %s\n", BREAKWATER_VERSION);
	return EXIT_DONE;
}

const struct command command_version = {
	.name = "version",
	.summary = "Print the version",
	.help = "Prints the program's name and version.\n",
	.example = "version",
	.run = run,
};
