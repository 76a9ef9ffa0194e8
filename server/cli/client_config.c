#include "server/cli/command.h"

#include "server/base/buf.h"
#include "server/cli/client_snippets.h"
#include "server/cli/terminal.h"
#include "server/config/config.h"

#include <stdio.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)1 << 20)

static int print(const struct config *config, const struct client_runtime *runtime)
{
	struct buf buf = BUF_INIT(OUTPUT_MAX);
	struct error error = {0};
	enum status status = client_snippet_write(runtime, config, &buf, &error);

	if (status == BW_OK)
		fputs(buf_string(&buf), stdout);
	else
		terminal_error("%s: %s", config->source, error.message);
	buf_release(&buf);
	return status == BW_OK ? EXIT_DONE : EXIT_CONFIG;
}

static int run(const struct invocation *invocation)
{
	const char *name = invocation->operands[0];
	const struct client_runtime *runtime = client_runtime_find(name);
	struct config *config;
	int code;

	if (!runtime)
		return command_usage_error(
			invocation,
			"there is nothing for \"%s\"; there is containerd, docker, podman, crio "
			"and k3s",
			name);
	config = command_load_config(invocation);
	if (!config)
		return EXIT_CONFIG;
	code = print(config, runtime);
	config_unref(config);
	return code;
}

const struct command command_client_config = {
	.name = "client-config",
	.summary = "Print what makes a container runtime pull through the cache",
	.help = "Prints the piece of configuration that makes RUNTIME (containerd, docker, "
		"podman,\n"
		"crio or k3s) pull through this cache, with the names and addresses of the\n"
		"configuration; where it goes, how to check that it took effect, and how to undo\n"
		"it. Upstreams stay reachable for the runtime: when the cache is down, it pulls\n"
		"the way it did before.\n"
		"\n"
		"Clients are told http.externalURL, or else http.address.\n",
	.example = "client-config containerd --config breakwater.yaml",
	.operands = "RUNTIME",
	.min_operands = 1,
	.max_operands = 1,
	.takes_config = true,
	.run = run,
};
