/*
 * The cache completes itself: an image whose manifest was served gets all its
 * blobs fetched, whether or not this client asks for each.
 */
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/work_pool.h"
#include "server/cache/cache_private.h"
#include "server/cache/fill.h"
#include "server/oci/manifest.h"
#include "server/oci/media_type.h"
#include "server/upstream/upstream.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A manifest that is served often is looked through this often. */
#define PREFETCH_AGAIN_MS 60000

/* Real images have some 127 layers at most; a manifest of ten thousand must not
 * fill its upstream's queue. */
#define PREFETCH_MAX 256

struct prefetch {
	struct cache *cache;
	struct held_source held;
	struct manifest_view *view;
};

/* False when no more can be started now. */
static bool fetch_if_missing(struct prefetch *prefetch, const struct descriptor *blob)
{
	const struct cache_source *source = &prefetch->held.source;
	struct fill_source wanted = {
		.set = source->set,
		.upstream = source->upstream,
		.repository = source->repository,
		.digest = blob->digest,
		.has_size = true,
		.size = blob->size,
	};
	struct fill *fill;
	uint64_t size;

	if (blob->foreign ||
	    cache_stat_stored(prefetch->cache, &blob->digest, &size, NULL) != BW_ABSENT)
		return true;
	if (fill_join(prefetch->cache->fills, &wanted, &fill, NULL, NULL) != BW_OK)
		return false;
	fill_unref(fill);
	return true;
}

static void prefetch_run(void *argument)
{
	struct prefetch *prefetch = argument;
	struct manifest manifest = {0};
	bool going = true;

	if (!atomic_load(&prefetch->cache->stopping) &&
	    manifest_parse(prefetch->view->body, prefetch->view->body_length,
			   prefetch->view->media_type, &manifest, NULL) == BW_OK) {
		for (size_t i = 0; going && i < manifest.blob_count && i < PREFETCH_MAX; i++)
			going = fetch_if_missing(prefetch, &manifest.blobs[i]);
		manifest_release(&manifest);
	}
	if (!going)
		log_event(LOG_WARNING, "layers are not prefetched: too many fetches wait",
			  LOG_S("upstream", upstream_name(prefetch->held.source.upstream)),
			  LOG_S("repository", prefetch->held.source.repository));
	manifest_view_unref(prefetch->view);
	held_source_release(&prefetch->held);
	free(prefetch);
}

/* One caller in PREFETCH_AGAIN_MS gets true. */
static bool is_due(struct manifest_view *view)
{
	int64_t now = clock_monotonic_ms();
	int64_t last = atomic_load_explicit(&view->prefetched_at, memory_order_relaxed);

	return (last == 0 || now - last >= PREFETCH_AGAIN_MS) &&
	       atomic_compare_exchange_strong(&view->prefetched_at, &last, now);
}

void prefetch_blobs(struct cache *cache, const struct cache_source *source,
		    struct manifest_view *view)
{
	struct prefetch *prefetch;

	if (!upstream_configuration(source->upstream)->prefetch_layers ||
	    media_type_is_index(view->media_type) || !is_due(view))
		return;
	prefetch = xcalloc(1, sizeof(*prefetch));
	prefetch->cache = cache;
	prefetch->view = manifest_view_ref(view);
	held_source_init(&prefetch->held, source);
	if (work_pool_submit(cache->background, prefetch_run, prefetch))
		return;
	manifest_view_unref(prefetch->view);
	held_source_release(&prefetch->held);
	free(prefetch);
}
