#include "server/stores.h"

#include "backends/coordination.h"
#include "backends/decorators/metered_store.h"
#include "backends/fs/fs_store.h"
#include "backends/redis/redis_store.h"
#include "backends/s3/libs3/libs3_store.h"
#include "backends/s3/s3_store.h"
#include "backends/sqlite/sqlite_store.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/config/config.h"
#include "server/content/content.h"

#include <stdlib.h>

void stores_release(struct stores *stores)
{
	content_free(stores->content);
	coordination_free(stores->coordination);
	metadata_store_free(stores->metadata);
	object_store_free(stores->objects);
}

/* ---- objects ----------------------------------------------------------- */

/* A server starts in an outage of the bucket as it goes on in one. */
static enum status open_bucket(const struct s3_config *config, bool as_owner,
			       struct object_store **ret_store, struct error *error)
{
	const struct s3_options options = {
		.endpoint = config->endpoint,
		.region = config->region,
		.bucket = config->bucket,
		.prefix = config->prefix,
		.path_style = config->path_style,
		.access_key = config->access_key,
		.access_key_file = config->access_key_file,
		.secret_key = config->secret_key,
		.secret_key_file = config->secret_key_file,
		.session_token_file = config->session_token_file,
		.ca_file = config->ca_file,
		.part_size = config->part_size,
		.may_be_away = as_owner,
	};

	if (config->signature == S3_V2)
		return libs3_store_new(&options, ret_store, error);
	return s3_store_new(&options, ret_store, error);
}

static enum status open_objects(struct stores *stores, const struct config *config, bool as_owner,
				struct error *error)
{
	const char *root = config->storage.root_directory;
	struct object_store *objects;
	enum status status;

	stores->remote = config->storage.use_s3;
	if (stores->remote)
		status = open_bucket(&config->storage.s3, as_owner, &objects, error);
	else if (as_owner)
		status = fs_store_new(root, &objects, error);
	else
		status = fs_store_open_guest(root, &objects, error);
	if (status == BW_OK)
		stores->objects = metered_object_store_new(objects);
	return status;
}

/* ---- the index --------------------------------------------------------- */

/* Other data than before: it matters to whoever wonders why lists are slow now. */
static void log_redis_session(const struct redis_status *status)
{
	log_event(LOG_INFO, "index in Redis", LOG_S("address", status->address),
		  LOG_S("version", status->version), LOG_I("session", status->sessions),
		  LOG_S("hears_changes", status->watched ? "yes" : "no"));
	if (*status->warning)
		log_event(LOG_WARNING, "Redis should be set up differently",
			  LOG_S("problem", status->warning));
}

static enum status open_redis(struct stores *stores, const struct redis_config *config,
			      struct metadata_store **ret_store, struct error *error)
{
	const struct redis_options options = {
		.address = config->address,
		.sentinels = (const char *const *)config->sentinels.items,
		.sentinel_count = config->sentinels.count,
		.master = config->master,
		.username = config->username,
		.password = config->password,
		.password_file = config->password_file,
		.database = config->database,
		.tls = config->tls.enabled,
		.tls_ca_file = config->tls.ca_file,
		.tls_server_name = config->tls.server_name,
		.on_session = log_redis_session,
	};

	return redis_store_new(&options, ret_store, &stores->coordination, error);
}

static enum status open_sqlite(const char *path, struct metadata_store **ret_store,
			       struct error *error)
{
	bool rebuilt = false;
	enum status status = sqlite_store_new(path, ret_store, &rebuilt, error);

	if (status == BW_OK && rebuilt)
		log_event(LOG_WARNING, "the index was damaged and is begun anew; it is rebuilt",
			  LOG_S("path", path));
	return status;
}

static enum status open_index(struct stores *stores, const struct config *config,
			      struct error *error)
{
	struct metadata_store *metadata;
	enum status status;

	if (config->metadata.use_redis)
		status = open_redis(stores, &config->metadata.redis, &metadata, error);
	else
		status = open_sqlite(config->metadata.sqlite_path, &metadata, error);
	if (status == BW_OK)
		stores->metadata = metered_metadata_store_new(metadata);
	return status;
}

enum status stores_open(struct stores *stores, const struct config *config, bool as_owner,
			struct error *error)
{
	enum status status = open_objects(stores, config, as_owner, error);

	if (status == BW_OK)
		status = open_index(stores, config, error);
	if (status == BW_OK)
		stores->content = content_new(stores->objects, stores->metadata);
	return status;
}

/* ---- words ------------------------------------------------------------- */

/* "./data" says little to somebody who did not start it. */
static char *absolute(const char *path)
{
	char *resolved = realpath(path, NULL);

	return resolved ? resolved : xstrdup(path);
}

static char *name_objects(const struct config *config)
{
	const struct s3_config *s3 = &config->storage.s3;

	if (!config->storage.use_s3)
		return absolute(config->storage.root_directory);
	return xasprintf("%s/%s/%s", s3->endpoint, s3->bucket, s3->prefix);
}

static char *name_index(const struct config *config)
{
	const struct redis_config *redis = &config->metadata.redis;

	if (!config->metadata.use_redis)
		return absolute(config->metadata.sqlite_path);
	if (redis->sentinels.count > 0)
		return xasprintf("%s, asked of %zu sentinels", redis->master,
				 redis->sentinels.count);
	return xasprintf("%s/%u", redis->address, redis->database);
}

void stores_log(const struct config *config)
{
	char *objects = name_objects(config);
	char *index = name_index(config);

	log_event(LOG_INFO, "stores", LOG_S(config->storage.use_s3 ? "s3" : "filesystem", objects),
		  LOG_S(config->metadata.use_redis ? "redis" : "sqlite", index));
	free(objects);
	free(index);
}
