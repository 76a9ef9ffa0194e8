#include "server/http/supervise.h"

#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/config/config.h"
#include "server/http/http_server.h"
#include "server/registry/registry.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROBLEMS_MAX ((size_t)1 << 20)

/* How often a draining server looks whether it is done. */
#define DRAIN_LOOK_MS 20
/* Handlers whose connection was cut need this long at most to notice, unless
 * they wait for an upstream or a disk. */
#define CUT_GRACE_MS 5000

static void our_signals(sigset_t *ret_set)
{
	sigemptyset(ret_set);
	sigaddset(ret_set, SIGTERM);
	sigaddset(ret_set, SIGINT);
	sigaddset(ret_set, SIGHUP);
}

void supervise_signals(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	sigaction(SIGPIPE, &ignore, NULL);
	our_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* The next signal; 0 when none came within the time (negative: wait for ever). */
static int next_signal(int64_t timeout_ms)
{
	const struct timespec timeout = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000,
	};
	sigset_t set;
	int number;

	our_signals(&set);
	number = sigtimedwait(&set, NULL, timeout_ms < 0 ? NULL : &timeout);
	return number > 0 ? number : 0;
}

/* ---- reload ------------------------------------------------------------ */

static void warn_if_changed(const char *key, bool changed)
{
	if (changed)
		log_event(LOG_WARNING, "this change needs a restart", LOG_S("key", key));
}

static bool differ(const char *one, const char *other)
{
	return strcmp(one, other) != 0;
}

static void warn_of_s3(const struct s3_config *old, const struct s3_config *new)
{
	warn_if_changed(
		"storage.s3",
		differ(old->endpoint, new->endpoint) || differ(old->region, new->region) ||
			differ(old->bucket, new->bucket) || differ(old->prefix, new->prefix) ||
			old->path_style != new->path_style || old->signature != new->signature ||
			differ(old->access_key, new->access_key) ||
			differ(old->access_key_file, new->access_key_file) ||
			differ(old->secret_key, new->secret_key) ||
			differ(old->secret_key_file, new->secret_key_file) ||
			differ(old->session_token_file, new->session_token_file) ||
			differ(old->ca_file, new->ca_file) || old->part_size != new->part_size ||
			old->redirect != new->redirect);
}

static bool lists_differ(const struct string_list *one, const struct string_list *other)
{
	bool equal = one->count == other->count;

	for (size_t i = 0; equal && i < one->count; i++)
		equal = !differ(one->items[i], other->items[i]);
	return !equal;
}

static void warn_of_redis(const struct redis_config *old, const struct redis_config *new)
{
	warn_if_changed(
		"metadata.redis",
		differ(old->address, new->address) ||
			lists_differ(&old->sentinels, &new->sentinels) ||
			differ(old->master, new->master) || differ(old->username, new->username) ||
			differ(old->password, new->password) ||
			differ(old->password_file, new->password_file) ||
			old->database != new->database || old->tls.enabled != new->tls.enabled ||
			differ(old->tls.ca_file, new->tls.ca_file) ||
			differ(old->tls.server_name, new->tls.server_name));
}

static void warn_of_stores(const struct config *old, const struct config *new)
{
	if (old->storage.use_s3 != new->storage.use_s3)
		warn_if_changed("storage.s3", true);
	else if (new->storage.use_s3)
		warn_of_s3(&old->storage.s3, &new->storage.s3);
	else
		warn_if_changed("storage.filesystem.rootDirectory",
				differ(old->storage.root_directory, new->storage.root_directory));
	warn_if_changed("storage.hotCache.directory",
			differ(old->storage.hot_cache.directory, new->storage.hot_cache.directory));
	warn_if_changed("storage.hotCache.maxSize",
			old->storage.hot_cache.max_size != new->storage.hot_cache.max_size);
	warn_if_changed("storage.maxCacheSize",
			old->storage.max_cache_size != new->storage.max_cache_size);
	if (old->metadata.use_redis != new->metadata.use_redis)
		warn_if_changed("metadata.redis", true);
	else if (new->metadata.use_redis)
		warn_of_redis(&old->metadata.redis, &new->metadata.redis);
	else
		warn_if_changed("metadata.sqlite.path",
				differ(old->metadata.sqlite_path, new->metadata.sqlite_path));
}

/* Against what runs, not what was last read: a change that was taken back needs
 * no restart, and one that was not goes on needing it. A cluster.secret in a file
 * is read by the cluster itself, and so is what is in files of the stores. */
static void warn_of_restart_keys(const struct config *old, const struct config *new)
{
	warn_if_changed("http.address", differ(old->http.address, new->http.address));
	warn_if_changed("http.adminAddress",
			differ(old->http.admin_address, new->http.admin_address));
	warn_if_changed("http.threads", old->http.threads != new->http.threads);
	warn_if_changed("uploads.maxAge", old->uploads.max_age_ms != new->uploads.max_age_ms);
	warn_of_stores(old, new);
	warn_if_changed("cluster.advertiseAddress",
			differ(old->cluster.advertise_address, new->cluster.advertise_address));
	warn_if_changed("cluster.secretFile",
			differ(old->cluster.secret_file, new->cluster.secret_file));
	warn_if_changed("cluster.secret", *old->cluster.secret_file == '\0' &&
						  differ(old->cluster.secret, new->cluster.secret));
}

/* One line of the log for each line of the problems. */
static void log_problems(struct buf *problems)
{
	char *rest = problems->data;

	while (rest && *rest) {
		char *line = strsep(&rest, "\n");

		if (*line)
			log_event(LOG_ERROR, "configuration", LOG_S("problem", line));
	}
}

static struct config *load_again(const char *path)
{
	struct buf problems = BUF_INIT(PROBLEMS_MAX);
	struct config *config = NULL;
	struct error error = {0};

	if (config_load(path, environ, &config, &problems) != BW_OK) {
		log_problems(&problems);
	} else if (config_refuses_to_listen(config, &error)) {
		log_event(LOG_ERROR, "configuration", LOG_S("problem", error.message));
		config_unref(config);
		config = NULL;
	}
	buf_release(&problems);
	return config;
}

static void reload(struct supervision *supervision, const struct config *started)
{
	struct config *config = load_again(supervision->config_path);

	if (!config) {
		log_event(LOG_ERROR, "the configuration is not usable; the old one stays",
			  LOG_S("config", supervision->config->source));
		metric_inc(M_RELOADS, "refused");
		return;
	}
	for (size_t i = 0; i < config->warnings.count; i++)
		log_event(LOG_WARNING, "configuration",
			  LOG_S("problem", config->warnings.items[i]));
	warn_of_restart_keys(started, config);
	registry_reload(supervision->registry, config);
	log_configure(config->log.level, config->log.format);
	log_event(LOG_INFO, "configuration reloaded", LOG_S("config", config->source),
		  LOG_I("upstreams", config->proxy.upstream_count));
	config_unref(supervision->config);
	supervision->config = config;
	metric_inc(M_RELOADS, "ok");
}

/* ---- the end ----------------------------------------------------------- */

/* False when time is over, or somebody asks again to stop. */
static bool wait_until_quiet(struct http_server *server, deadline_ms deadline)
{
	while (!http_server_is_quiet(server)) {
		int number = next_signal(DRAIN_LOOK_MS);

		if (number == SIGTERM || number == SIGINT || deadline_passed(deadline))
			return false;
	}
	return true;
}

static void log_stage(enum log_level level, const char *message, const struct http_server *server)
{
	log_event(level, message, LOG_I("requests", http_server_in_flight(server)));
}

/* Until the delay is over, or somebody does not want to wait for it. */
static void leave(const struct supervision *supervision)
{
	deadline_ms deadline = deadline_in(supervision->config->http.drain_delay_ms);
	int number = SIGHUP;

	log_stage(LOG_INFO, "leaving: not ready any more", supervision->server);
	http_server_leave(supervision->server);
	while (number == SIGHUP || (number == 0 && !deadline_passed(deadline)))
		number = next_signal(deadline_left_ms(deadline));
}

static void drain(const struct supervision *supervision)
{
	struct http_server *server = supervision->server;
	deadline_ms deadline = deadline_in(supervision->config->http.drain_timeout_ms);

	log_stage(LOG_INFO, "draining", server);
	http_server_drain(server);
	if (wait_until_quiet(server, deadline))
		return;
	log_stage(LOG_WARNING,
		  deadline_passed(deadline) ? "http.drainTimeout is over: cutting what is left"
					    : "told again to stop: cutting what is left",
		  server);
	http_server_cut(server);
	if (wait_until_quiet(server, deadline_in(CUT_GRACE_MS)))
		return;
	log_stage(LOG_ERROR, "requests do not end: exiting without them", server);
	_exit(EXIT_FAILURE);
}

void supervise(struct supervision *supervision)
{
	struct config *started = config_ref(supervision->config);
	int number;

	do {
		number = next_signal(-1);
		if (number == SIGHUP)
			reload(supervision, started);
	} while (number != SIGTERM && number != SIGINT);
	config_unref(started);
	if (number == SIGTERM && supervision->config->http.drain_delay_ms > 0)
		leave(supervision);
	drain(supervision);
}
