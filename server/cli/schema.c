#include "server/cli/command.h"

#include "server/base/buf.h"
#include "server/config/config.h"

#include <stdio.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)1 << 20)

static int run(const struct invocation *invocation)
{
	struct buf buf = BUF_INIT(OUTPUT_MAX);

	if (invocation->operand_count == 0)
		config_write_schema(&buf);
	else if (strcmp(invocation->operands[0], "markdown") == 0)
		config_write_markdown(&buf);
	else
		return command_usage_error(invocation, "there is no form \"%s\"; there is markdown",
					   invocation->operands[0]);
	fputs(buf_string(&buf), stdout);
	buf_release(&buf);
	return EXIT_DONE;
}

const struct command command_schema = {
	.name = "schema",
	.summary = "Print the configuration's JSON schema",
	.help = "Prints the schema (JSON Schema, draft 2020-12) of the configuration file: every\n"
		"key of this version with its type, default and meaning. Editors complete and\n"
		"check with it. `schema markdown` prints the same as a table.\n",
	.example = "schema >breakwater.schema.json",
	.operands = "[markdown]",
	.max_operands = 1,
	.run = run,
};
