/*
 * The cache's parts put together, and the small things they share.
 */
#include "server/base/lru.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/work_pool.h"
#include "server/cache/cache_private.h"
#include "server/cache/fill.h"
#include "server/cache/flight.h"
#include "server/cache/hot_cache.h"
#include "server/cache/negative.h"
#include "server/upstream/upstream.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANIFESTS_BYTES ((size_t)64 << 20)
#define TAGS_BYTES ((size_t)32 << 20)
#define BACKGROUND_THREADS 8
#define BACKGROUND_QUEUE 1024

static void *view_ref(void *value)
{
	return manifest_view_ref(value);
}

static void view_unref(void *value)
{
	manifest_view_unref(value);
}

enum status cache_new(const struct cache_options *options, struct cache **ret_cache,
		      struct error *error)
{
	static const struct lru_ops view_ops = {.ref = view_ref, .unref = view_unref};
	static const struct lru_ops tag_ops = {.ref = tag_view_ref, .unref = tag_view_unref};
	bool is_hot = options->remote_objects && options->hot_directory && *options->hot_directory;
	struct hot_cache *hot = NULL;
	struct fill_table *fills;
	struct cache *cache;
	enum status status = BW_OK;

	if (is_hot)
		status = hot_cache_new(options->hot_directory, options->hot_max, &hot, error);
	if (status == BW_OK)
		status = fill_table_new(options, hot, &fills, error);
	if (status != BW_OK) {
		hot_cache_free(hot);
		return status;
	}
	cache = xcalloc(1, sizeof(*cache));
	cache->content = options->content;
	cache->remote_objects = options->remote_objects;
	cache->cluster = options->cluster;
	cache->hot = hot;
	cache->redirect = options->remote_objects && options->redirect;
	cache->fills = fills;
	cache->flights = flight_table_new();
	cache->negatives = negative_new();
	cache->manifests = lru_new(MANIFESTS_BYTES, &view_ops);
	pthread_mutex_init(&cache->maps_lock, NULL);
	cache->tags = lru_new(TAGS_BYTES, &tag_ops);
	cache->uses = uses_new();
	cache->background = work_pool_new("cache", BACKGROUND_THREADS, BACKGROUND_QUEUE);
	cache_watch(cache);
	*ret_cache = cache;
	return BW_OK;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	cache_unwatch(cache);
	atomic_store(&cache->stopping, true);
	/* background work starts fills, so it ends first */
	work_pool_free(cache->background);
	fill_table_free(cache->fills);
	hot_cache_free(cache->hot);
	flight_table_free(cache->flights);
	negative_free(cache->negatives);
	uses_free(cache->uses);
	lru_free(cache->tags);
	pthread_mutex_destroy(&cache->maps_lock);
	lru_free(cache->manifests);
	free(cache);
}

void cache_key(char key[CACHE_KEY_SIZE], const struct cache_source *source,
	       const struct reference *reference)
{
	snprintf(key, CACHE_KEY_SIZE, "%s%c%s", source->stored, reference->is_digest ? '@' : ':',
		 reference->text);
}

void cache_blob_key(char key[CACHE_KEY_SIZE], const struct cache_source *source,
		    const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	snprintf(key, CACHE_KEY_SIZE, "%s blob %s", source->stored, text);
}

enum status cache_known_absent(const struct cache_source *source, const char *what,
			       struct error *error)
{
	return error_set(error, BW_ABSENT,
			 "upstream \"%s\" said a moment ago that \"%s\" has no %s",
			 upstream_name(source->upstream), source->repository, what);
}

void cache_count(const struct cache_source *source, const char *type, enum status status,
		 enum cache_verdict verdict)
{
	const char *upstream = upstream_name(source->upstream);

	metric_inc(M_PROXY_REQUESTS, type, upstream);
	if (status == BW_OK && verdict != CACHE_MISS)
		metric_inc(M_PROXY_HITS, type, upstream);
	else
		metric_inc(M_PROXY_MISSES, type, upstream);
}

void held_source_init(struct held_source *held, const struct cache_source *source)
{
	held->repository = xstrdup(source->repository);
	held->stored = xstrdup(source->stored);
	held->source = (struct cache_source){
		.set = upstream_set_ref(source->set),
		.upstream = source->upstream,
		.repository = held->repository,
		.stored = held->stored,
	};
}

void held_source_release(struct held_source *held)
{
	upstream_set_unref(held->source.set);
	free(held->repository);
	free(held->stored);
}
