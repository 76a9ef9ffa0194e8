/*
 * Copies in memory, beside other processes that may change what they are of.
 *
 * While the index tells us of changes (metadata_is_watched), a copy is good until we
 * hear of one. A change that comes between the reading of a row and the keeping of it
 * raises the cache's moment, so that what was read is not kept (cache_moment).
 *
 * While it does not, a copy is believed for COPY_BELIEVED_MS and then asked for again.
 * Whoever deletes or pushes by one replica and looks by another one should not have
 * time to wonder; and a manifest that is pulled a thousand times a second should not
 * be asked for a thousand times. When the stores cannot tell either, the copy is good
 * for as long again: nothing is deleted through an index that is away, and a copy is
 * better than a cluster that cannot start anything.
 */
#include "server/base/lru.h"
#include "server/cache/cache_private.h"
#include "server/cache/manifest_view.h"

#include <stdatomic.h>
#include <stdio.h>

void cache_forget_key(struct cache *cache, struct lru *map, const char *key)
{
	pthread_mutex_lock(&cache->maps_lock);
	atomic_fetch_add(&cache->moment, 1);
	lru_remove(map, key);
	pthread_mutex_unlock(&cache->maps_lock);
}

bool cache_is_told(struct cache *cache)
{
	return metadata_is_watched(content_metadata(cache->content));
}

bool cache_believes(struct cache *cache, bool told, _Atomic int64_t *checked_at)
{
	int64_t now = clock_monotonic_ms();

	if (told || now - atomic_load(checked_at) < cache->copy_believed_ms)
		return true;
	/* whoever comes while we ask need not ask as well */
	atomic_store(checked_at, now);
	return false;
}

/* ---- what the index tells us, on a thread of its own ---- */

static void tag_changed(void *context, const char *repository, const char *tag)
{
	struct cache *cache = context;
	char key[CACHE_KEY_SIZE];

	snprintf(key, sizeof(key), "%s:%s", repository, tag);
	cache_forget_key(cache, cache->tags, key);
}

/* A manifest that is removed takes its tags along, each of which we are told of. */
static void digest_changed(void *context, const char *repository, const struct digest *digest)
{
	struct cache *cache = context;
	char key[CACHE_KEY_SIZE];
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	snprintf(key, sizeof(key), "%s@%s", repository, text);
	cache_forget_key(cache, cache->manifests, key);
}

static void lost(void *context)
{
	struct cache *cache = context;

	content_index_lost(cache->content);
	pthread_mutex_lock(&cache->maps_lock);
	atomic_fetch_add(&cache->moment, 1);
	lru_clear(cache->tags);
	lru_clear(cache->manifests);
	pthread_mutex_unlock(&cache->maps_lock);
}

void cache_watch(struct cache *cache)
{
	cache->copy_believed_ms = COPY_BELIEVED_MS;
	cache->watcher = (struct metadata_watcher){
		.tag_changed = tag_changed,
		.digest_changed = digest_changed,
		.lost = lost,
		.context = cache,
	};
	metadata_watch(content_metadata(cache->content), &cache->watcher);
}

void cache_unwatch(struct cache *cache)
{
	metadata_watch(content_metadata(cache->content), NULL);
}
