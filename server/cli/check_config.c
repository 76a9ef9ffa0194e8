#include "server/cli/command.h"

#include "server/cli/terminal.h"
#include "server/config/config.h"

#include <stdio.h>

static int run(const struct invocation *invocation)
{
	struct config *config = command_load_config(invocation);
	struct error error = {0};
	int code = EXIT_CONFIG;

	if (!config)
		return EXIT_CONFIG;
	if (config_refuses_to_listen(config, &error)) {
		terminal_error("%s: %s", config->source, error.message);
	} else {
		printf("%s: good. The registry would listen on %s, with %zu upstream%s and %zu "
		       "credential%s.\n",
		       config->source, config->http.address, config->proxy.upstream_count,
		       config->proxy.upstream_count == 1 ? "" : "s", config->credential_count,
		       config->credential_count == 1 ? "" : "s");
		code = EXIT_DONE;
	}
	config_unref(config);
	return code;
}

const struct command command_check_config = {
	.name = "check-config",
	.summary = "Check a configuration and say what is wrong with it",
	.help = "Reads the configuration the way `serve` would, BREAKWATER_* variables and the\n"
		"files it names included, and starts nothing. Every problem is one line with\n"
		"file, line, column, key and what is allowed.\n"
		"\n"
		"Exits with 0 when `serve` could start with it, else with 78.\n",
	.example = "check-config --config breakwater.yaml",
	.takes_config = true,
	.run = run,
};
