/*
 * The program: its commands, and the one place that says which implementations
 * of the stores there are.
 */
#include "backends/decorators/metered_store.h"
#include "backends/fs/fs_store.h"
#include "backends/sqlite/sqlite_store.h"
#include "server/base/buf.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cache/pull_through.h"
#include "server/cli/command.h"
#include "server/cli/terminal.h"
#include "server/config/config.h"
#include "server/content/content.h"
#include "server/http/http_server.h"
#include "server/http/supervise.h"
#include "server/registry/registry.h"

#include <stdlib.h>
#include <sys/resource.h>

/* All that serves, from the bottom up. */
struct service {
	struct object_store *objects;
	struct metadata_store *metadata;
	struct content *content;
	struct cache *cache;
	struct registry *registry;
	struct http_server *server;
};

static void service_release(struct service *service)
{
	http_server_free(service->server);
	registry_free(service->registry);
	cache_free(service->cache);
	content_free(service->content);
	metadata_store_free(service->metadata);
	object_store_free(service->objects);
}

static enum status open_stores(struct service *service, const struct config *config,
			       struct error *error)
{
	struct object_store *objects;
	struct metadata_store *metadata;
	bool rebuilt = false;
	enum status status = fs_store_new(config->storage.root_directory, &objects, error);

	if (status != BW_OK)
		return status;
	service->objects = metered_object_store_new(objects);
	status = sqlite_store_new(config->metadata.sqlite_path, &metadata, &rebuilt, error);
	if (status != BW_OK)
		return status;
	service->metadata = metered_metadata_store_new(metadata);
	if (rebuilt)
		log_event(LOG_WARNING, "the index was damaged and is begun anew; it refills itself",
			  LOG_S("path", config->metadata.sqlite_path));
	return BW_OK;
}

static enum status service_start(struct service *service, struct config *config,
				 struct error *error)
{
	struct http_server_options options = {
		.address = config->http.address,
		.admin_address = config->http.admin_address,
		.threads = config->http.threads,
		.external_url = config->http.external_url,
	};
	enum status status = open_stores(service, config, error);
	char *spool;

	if (status != BW_OK)
		return status;
	service->content = content_new(service->objects, service->metadata);
	spool = xasprintf("%s/spool", config->storage.root_directory);
	status = cache_new(service->content, spool, &service->cache, error);
	free(spool);
	if (status != BW_OK)
		return status;
	service->registry = registry_new(service->content, service->cache, config);
	options.registry = service->registry;
	return http_server_start(&options, &service->server, error);
}

/* Each client holds a socket and a file. */
static void raise_file_limit(const struct config *config)
{
	const rlim_t wanted = 256 + 4 * (rlim_t)config->http.threads;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < wanted)
		log_event(LOG_WARNING, "the limit of open files is low for http.threads",
			  LOG_I("limit", limit.rlim_cur), LOG_I("wanted", wanted));
}

/* "./data" says little to somebody who did not start it. */
static char *absolute(const char *path)
{
	char *resolved = realpath(path, NULL);

	return resolved ? resolved : xstrdup(path);
}

static void log_stores(const struct config *config)
{
	char *root = absolute(config->storage.root_directory);
	char *index = absolute(config->metadata.sqlite_path);

	log_event(LOG_INFO, "stores", LOG_S("filesystem", root), LOG_S("sqlite", index));
	free(root);
	free(index);
}

/* What is served where, which upstreams, which stores, who may pull. */
static void log_start(const struct service *service, const struct config *config)
{
	struct buf names = BUF_INIT((size_t)2048);

	for (size_t i = 0; i < config->proxy.upstream_count; i++) {
		buf_append_string(&names, i ? ", " : "");
		buf_append_string(&names, config->proxy.upstreams[i].name);
	}
	log_event(LOG_INFO, "serving", LOG_S("registry", http_server_address(service->server)),
		  LOG_S("admin", http_server_admin_address(service->server)),
		  LOG_I("threads", config->http.threads), LOG_S("version", BREAKWATER_VERSION),
		  LOG_S("config", config->source));
	log_event(LOG_INFO, "upstreams", LOG_S("names", buf_string(&names)),
		  LOG_S("default", config->proxy.default_upstream));
	log_stores(config);
	log_event(LOG_INFO, "access",
		  LOG_S("pull", config_address_is_loopback(config->http.address)
					? "everybody on this machine"
					: "everybody who can reach the address (auth: none)"),
		  LOG_S("push", "nobody"));
	buf_release(&names);
}

static int serve_with(const char *config_path, struct config *config)
{
	struct supervision supervision = {
		.config_path = config_path,
		.config = config_ref(config),
	};
	struct service service = {0};
	struct error error = {0};
	enum status status;

	log_configure(config->log.level, config->log.format);
	raise_file_limit(config);
	supervise_signals();
	metric_set(M_BUILD_INFO, 1, BREAKWATER_VERSION);
	status = service_start(&service, config, &error);
	if (status == BW_OK) {
		log_start(&service, config);
		http_server_is_up(service.server);
		supervision.registry = service.registry;
		supervision.server = service.server;
		supervise(&supervision);
	} else {
		log_event(LOG_ERROR, "cannot start", LOG_S("err.message", error.message));
	}
	service_release(&service);
	config_unref(supervision.config);
	if (status == BW_OK)
		log_event(LOG_INFO, "stopped");
	return status == BW_OK ? EXIT_DONE : EXIT_FAILED;
}

static int run_serve(const struct invocation *invocation)
{
	struct config *config = command_load_config(invocation);
	struct error error = {0};
	int code = EXIT_CONFIG;

	if (!config)
		return EXIT_CONFIG;
	if (config_refuses_to_listen(config, &error))
		terminal_error("%s: %s", config->source, error.message);
	else
		code = serve_with(invocation->config_path, config);
	config_unref(config);
	return code;
}

static const struct command command_serve = {
	.name = "serve",
	.summary = "Run the registry",
	.help = "Serves the registry API on http.address, and /livez, /readyz and /metrics on\n"
		"http.adminAddress, until SIGTERM, which drains first. SIGHUP reads the\n"
		"configuration again; a bad one changes nothing and is told in the log.\n",
	.example = "serve --config breakwater.yaml",
	.takes_config = true,
	.run = run_serve,
};

static const struct command *const commands[] = {
	&command_serve,         &command_check_config, &command_schema,
	&command_client_config, &command_warm,         &command_version,
};

int main(int argc, char **argv)
{
	return command_main(commands, array_size(commands), argc, argv);
}
