/*
 * The program: its commands, and how the parts of a server are put together.
 */
#include "server/base/buf.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cache/pull_through.h"
#include "server/cli/command.h"
#include "server/cli/maintain.h"
#include "server/cli/terminal.h"
#include "server/cluster/cluster.h"
#include "server/config/config.h"
#include "server/content/content.h"
#include "server/http/http_server.h"
#include "server/http/supervise.h"
#include "server/maintenance/background.h"
#include "server/registry/registry.h"
#include "server/stores.h"

#include <stdlib.h>
#include <sys/resource.h>

/* All that serves, from the bottom up. */
struct service {
	struct stores stores;
	struct cluster *cluster; /* NULL: this replica works alone */
	struct cache *cache;
	struct registry *registry;
	struct background *background;
	struct http_server *server;
};

static void service_release(struct service *service)
{
	http_server_free(service->server);
	background_stop(service->background);
	registry_free(service->registry);
	cache_free(service->cache);
	cluster_free(service->cluster);
	stores_release(&service->stores);
}

static enum status join_cluster(struct service *service, const struct config *config,
				struct error *error)
{
	const struct cluster_options options = {
		.coordination = service->stores.coordination,
		.advertise_address = config->cluster.advertise_address,
		.secret = config->cluster.secret,
		.secret_file = config->cluster.secret_file,
	};

	if (*options.advertise_address == '\0')
		return BW_OK;
	return cluster_new(&options, &service->cluster, error);
}

/* Where blobs wait on their way in: beside what they become, so that a rename will do. */
static enum status start_cache(struct service *service, const struct config *config,
			       struct error *error)
{
	const struct stores *stores = &service->stores;
	const char *folder = stores->remote ? config->storage.hot_cache.directory
					    : config->storage.root_directory;
	char *spool = xasprintf("%s/spool", folder);
	char *hot = xasprintf("%s/blobs", folder);
	bool is_hot = stores->remote && config->storage.hot_cache.max_size > 0;
	const struct cache_options options = {
		.content = stores->content,
		.spool_directory = spool,
		.remote_objects = stores->remote,
		.hot_directory = is_hot ? hot : NULL,
		.hot_max = config->storage.hot_cache.max_size,
		.redirect = stores->remote && config->storage.s3.redirect,
		.cluster = service->cluster,
	};
	enum status status = cache_new(&options, &service->cache, error);

	free(spool);
	free(hot);
	return status;
}

static enum status service_start(struct service *service, struct config *config,
				 struct error *error)
{
	struct http_server_options options = {
		.address = config->http.address,
		.admin_address = config->http.admin_address,
		.threads = config->http.threads,
		.external_url = config->http.external_url,
		.objects_shared = config->storage.use_s3,
	};
	struct stores *stores = &service->stores;
	enum status status = stores_open(stores, config, true, error);

	if (status == BW_OK)
		status = join_cluster(service, config, error);
	if (status == BW_OK)
		status = start_cache(service, config, error);
	if (status != BW_OK)
		return status;
	service->registry = registry_new(stores->content, service->cache, config);
	options.registry = service->registry;
	/* first: a store with nothing in it is found out before somebody pushes */
	service->background = background_start(&(struct background_options){
		.content = stores->content,
		.coordination = stores->coordination,
		.upload_max_age_ms = config->uploads.max_age_ms,
		.max_cache_bytes = config->storage.max_cache_size,
	});
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

/* What is served where, which upstreams, which stores, who may pull and push. */
static void log_start(const struct service *service, const struct config *config)
{
	struct buf names = BUF_INIT((size_t)2048);
	const char *everybody = config_address_is_loopback(config->http.address)
					? "everybody on this machine"
					: "everybody who can reach the address (auth: none)";

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
	stores_log(config);
	if (service->cluster)
		log_event(LOG_INFO, "cluster",
			  LOG_S("advertised", cluster_address(service->cluster)));
	log_event(LOG_INFO, "access", LOG_S("pull", everybody), LOG_S("push", everybody));
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

/* ---- what looks after the stores, beside a server or without one -------- */

static int run_beside(const struct invocation *invocation,
		      int (*work)(const struct maintain_options *options,
				  const struct config *config, struct content *content))
{
	struct maintain_options options;
	struct stores stores = {0};
	struct config *config;
	struct error error = {0};
	int code = maintain_read_options(invocation, &options);

	if (code != EXIT_DONE)
		return code;
	config = command_load_config(invocation);
	if (!config)
		return EXIT_CONFIG;
	log_configure(config->log.level, config->log.format);
	code = EXIT_FAILED;
	if (maintain_may_open(invocation, config)) {
		if (stores_open(&stores, config, false, &error) == BW_OK)
			code = work(&options, config, stores.content);
		else
			terminal_error("%s: %s", invocation->command->name, error.message);
	}
	stores_release(&stores);
	config_unref(config);
	return code;
}

static int run_gc(const struct invocation *invocation)
{
	return run_beside(invocation, maintain_gc);
}

static int run_scrub(const struct invocation *invocation)
{
	return run_beside(invocation, maintain_scrub);
}

static int run_reindex(const struct invocation *invocation)
{
	return run_beside(invocation, maintain_reindex);
}

static const struct command command_gc = {
	.name = "gc",
	.summary = "Remove the blobs that nothing refers to, and abandoned uploads",
	.help = "Removes blobs that no repository links and no stored manifest lists, and uploads\n"
		"that nobody went on with for uploads.maxAge. Servers go on serving and taking\n"
		"pushes meanwhile; what they acknowledge is never removed. Nothing is removed\n"
		"when a manifest cannot be read, since what it lists is not known then.\n"
		"\n"
		"Interrupted (SIGINT, SIGTERM) it ends at a safe place. Killed, it leaves marks\n"
		"that make pushes of the few blobs it was at wait, for two minutes at most.\n"
		"It needs up to 64 bytes of memory for each blob that is referred to.\n",
	.example = "gc --dry-run --config breakwater.yaml",
	.takes_config = true,
	.options = maintain_gc_options,
	.option_count = array_size(maintain_gc_options),
	.run = run_gc,
};

static const struct command command_scrub = {
	.name = "scrub",
	.summary = "Read everything that is stored and report what is damaged",
	.help = "Hashes every blob, and looks whether the bytes of each link and manifest are\n"
		"there. Exits with 1 when something is bad. With --quarantine, a blob whose bytes\n"
		"are not what its name says is moved to quarantine/ in the store: a cache fetches\n"
		"it anew, and a client is told that it is not there instead of getting it.\n",
	.example = "scrub --rate 50MiB --config breakwater.yaml",
	.takes_config = true,
	.options = maintain_scrub_options,
	.option_count = array_size(maintain_scrub_options),
	.run = run_scrub,
};

static const struct command command_reindex = {
	.name = "reindex",
	.summary = "Rebuild the index from what is stored",
	.help = "Reads every record of the object store into the index.\n"
		"A server does so by itself when its index is new; it goes on serving meanwhile,\n"
		"and never loses a newer entry to this. To begin anew: FLUSHDB in Redis; or stop\n"
		"the server, delete the file metadata.sqlite.path, and start the server.\n",
	.example = "reindex --config breakwater.yaml",
	.takes_config = true,
	.options = maintain_reindex_options,
	.option_count = array_size(maintain_reindex_options),
	.run = run_reindex,
};

static const struct command *const commands[] = {
	&command_serve,         &command_check_config, &command_schema,
	&command_client_config, &command_warm,         &command_gc,
	&command_scrub,         &command_reindex,      &command_version,
};

int main(int argc, char **argv)
{
	memory_give_back_large();
	return command_main(commands, array_size(commands), argc, argv);
}
