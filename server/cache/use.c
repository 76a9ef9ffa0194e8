/*
 * Telling the index which manifests of cached repositories are in use, so that others
 * are evicted (server/maintenance/eviction.h).
 *
 * A manifest is told of once in USE_TOLD_MS, which is much less than the shortest time
 * after which one is evicted; and soon, since its client asks for its blobs next. It is
 * done in the background: what is noted while an earlier note is being told goes to the
 * index at once. What the index does not take is told the next time.
 */
#include "server/base/lru.h"
#include "server/base/memory.h"
#include "server/base/work_pool.h"
#include "server/cache/cache_private.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define USE_TOLD_MS ((int64_t)600000)
#define USES_MAX ((size_t)4096) /* waiting to be told; more are told in ten minutes */

struct use {
	char *repository; /* owned */
	struct digest digest;
};

struct uses {
	pthread_mutex_t lock; /* covers the rest */
	struct use *items;
	size_t count;
	bool telling; /* a task will look at them */
};

struct uses *uses_new(void)
{
	struct uses *uses = xcalloc(1, sizeof(*uses));

	pthread_mutex_init(&uses->lock, NULL);
	return uses;
}

static void free_items(struct use *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i].repository);
	free(items);
}

void uses_free(struct uses *uses)
{
	if (!uses)
		return;
	free_items(uses->items, uses->count);
	pthread_mutex_destroy(&uses->lock);
	free(uses);
}

static int compare_uses(const void *a, const void *b)
{
	return strcmp(((const struct use *)a)->repository, ((const struct use *)b)->repository);
}

/* One step for all that belong to one repository. */
static void tell(struct metadata_store *metadata, struct use *items, size_t count)
{
	struct digest *digests = xcalloc(count, sizeof(*digests));
	int64_t now = clock_wall_ms();
	size_t first = 0;

	qsort(items, count, sizeof(*items), compare_uses);
	for (size_t i = 0; i < count; i++) {
		digests[i - first] = items[i].digest;
		if (i + 1 < count && strcmp(items[i + 1].repository, items[i].repository) == 0)
			continue;
		metadata_touch_manifests(metadata, items[i].repository, digests, i + 1 - first, now,
					 NULL);
		first = i + 1;
	}
	free(digests);
}

/* False: nothing was there, and whoever notes something starts another task. */
static bool take_all(struct uses *uses, struct use **ret_items, size_t *ret_count)
{
	pthread_mutex_lock(&uses->lock);
	*ret_items = uses->items;
	*ret_count = uses->count;
	uses->telling = uses->count > 0;
	uses->items = NULL;
	uses->count = 0;
	pthread_mutex_unlock(&uses->lock);
	return *ret_count > 0;
}

static void tell_all(void *argument)
{
	struct cache *cache = argument;
	struct use *items;
	size_t count;

	while (take_all(cache->uses, &items, &count)) {
		tell(content_metadata(cache->content), items, count);
		free_items(items, count);
	}
}

/* True: a task is needed. */
static bool note(struct uses *uses, const char *repository, const struct digest *digest)
{
	bool start;

	pthread_mutex_lock(&uses->lock);
	if (uses->count < USES_MAX) {
		if (!uses->items)
			uses->items = xcalloc(USES_MAX, sizeof(*uses->items));
		uses->items[uses->count].repository = xstrdup(repository);
		uses->items[uses->count++].digest = *digest;
	}
	start = !uses->telling;
	uses->telling = true;
	pthread_mutex_unlock(&uses->lock);
	return start;
}

void cache_note_use(struct cache *cache, const struct cache_source *source,
		    struct manifest_view *view)
{
	int64_t now = clock_monotonic_ms();
	int64_t told_at = atomic_load(&view->use_told_at);

	if (!source->upstream || (told_at != 0 && now - told_at < USE_TOLD_MS) ||
	    !atomic_compare_exchange_strong(&view->use_told_at, &told_at, now))
		return;
	if (!note(cache->uses, source->stored, &view->digest) ||
	    work_pool_submit(cache->background, tell_all, cache))
		return;
	pthread_mutex_lock(&cache->uses->lock);
	cache->uses->telling = false;
	pthread_mutex_unlock(&cache->uses->lock);
}
