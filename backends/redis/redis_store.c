#include "backends/redis/redis_store.h"

#include "backends/redis/redis_ops.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>

struct redis_metadata_store {
	struct metadata_store base;
	struct redis *redis;
};

struct redis *redis_of(struct metadata_store *store)
{
	return container_of(store, struct redis_metadata_store, base)->redis;
}

static void redis_watch(struct metadata_store *base, const struct metadata_watcher *watcher)
{
	struct redis *redis = redis_of(base);

	pthread_mutex_lock(&redis->watch_lock);
	redis->has_watcher = watcher != NULL;
	if (watcher)
		redis->watcher = *watcher;
	pthread_mutex_unlock(&redis->watch_lock);
}

static bool redis_is_watched(struct metadata_store *base)
{
	return redis_watch_is_current(redis_of(base));
}

static enum status redis_check(struct metadata_store *base, struct error *error)
{
	struct redis_call call;
	enum status status;

	redis_call_init(&call, redis_of(base), CALL_OF_EPOCH | CALL_REPEATABLE, error);
	redis_call_command(&call, "SET");
	redis_call_key_of(&call, KEY_MARK, NULL, "check");
	redis_call_string(&call, "1");
	redis_call_string(&call, "PX");
	redis_call_string(&call, "60000");
	status = redis_call_run(&call);
	redis_call_release(&call);
	return status;
}

static void redis_free(struct metadata_store *base)
{
	struct redis_metadata_store *store = container_of(base, struct redis_metadata_store, base);

	redis_watch(base, NULL);
	redis_unref(store->redis);
	free(store);
}

void redis_unref(struct redis *redis)
{
	if (atomic_fetch_sub(&redis->users, 1) != 1)
		return;
	redis_supervisor_stop(redis);
	redis_pool_drop_idle(redis);
	pthread_mutex_destroy(&redis->lock);
	pthread_mutex_destroy(&redis->watch_lock);
	pthread_cond_destroy(&redis->changed);
	redis_settings_release(&redis->settings);
	free(redis);
}

void redis_describe(struct redis *redis, struct redis_status *ret)
{
	*ret = (struct redis_status){.watched = atomic_load(&redis->watched)};
	pthread_mutex_lock(&redis->lock);
	ret->connected = redis->state == REDIS_UP;
	snprintf(ret->address, sizeof(ret->address), "%s:%s", redis->session.peer.ip,
		 redis->session.peer.port);
	str_copy(ret->version, sizeof(ret->version), redis->server_version);
	str_copy(ret->warning, sizeof(ret->warning), redis->warning);
	ret->sessions = redis->session.generation;
	pthread_mutex_unlock(&redis->lock);
}

void redis_store_status(struct metadata_store *base, struct redis_status *ret)
{
	redis_describe(redis_of(base), ret);
}

static const struct metadata_store_ops redis_ops = {
	.name = "redis",
	.get_tag = redis_get_tag,
	.put_tag = redis_put_tag,
	.begin_tag = redis_begin_tag,
	.next_version = redis_next_version,
	.touch_tag = redis_touch_tag,
	.remove_tag = redis_remove_tag,
	.list_tags = redis_list_tags,
	.list_tags_of = redis_list_tags_of,
	.get_manifest = redis_get_manifest,
	.put_manifest = redis_put_manifest,
	.remove_manifest = redis_remove_manifest,
	.list_referrers = redis_list_referrers,
	.touch_manifests = redis_touch_manifests,
	.list_idle_manifests = redis_list_idle_manifests,
	.list_holders_of = redis_list_holders_of,
	.get_usage = redis_get_usage,
	.get_listed = redis_get_listed,
	.put_link = redis_put_link,
	.get_link = redis_get_link,
	.remove_link = redis_remove_link,
	.list_links_of = redis_list_links_of,
	.get_repository = redis_get_repository,
	.put_repository = redis_put_repository,
	.remove_repository = redis_remove_repository,
	.list_repositories = redis_list_repositories,
	.create_upload = redis_create_upload,
	.get_upload = redis_get_upload,
	.advance_upload = redis_advance_upload,
	.remove_upload = redis_remove_upload,
	.list_uploads = redis_list_uploads,
	.get_mark = redis_get_mark,
	.put_mark = redis_put_mark,
	.get_blob = redis_get_blob,
	.put_blob = redis_put_blob,
	.remove_blob = redis_remove_blob,
	.get_document = redis_get_document,
	.put_document = redis_put_document,
	.watch = redis_watch,
	.is_watched = redis_is_watched,
	.check = redis_check,
	.free = redis_free,
};

enum status redis_store_new(const struct redis_options *options,
			    struct metadata_store **ret_metadata,
			    struct coordination **ret_coordination, struct error *error)
{
	struct redis_metadata_store *store;
	struct redis *redis = xcalloc(1, sizeof(*redis));
	enum status status = redis_settings_init(&redis->settings, options, error);

	if (status) {
		free(redis);
		return status;
	}
	atomic_init(&redis->users, 2);
	pthread_mutex_init(&redis->lock, NULL);
	pthread_mutex_init(&redis->watch_lock, NULL);
	cond_init(&redis->changed);
	redis_supervisor_start(redis);
	store = xcalloc(1, sizeof(*store));
	store->base.ops = &redis_ops;
	store->redis = redis;
	*ret_metadata = &store->base;
	*ret_coordination = redis_coordination_new(redis);
	return BW_OK;
}
