/*
 * Reading what was pushed here, and forgetting what was deleted.
 */
#include "server/base/lru.h"
#include "server/cache/cache_private.h"

#include <stdatomic.h>

enum status cache_get_local_manifest(struct cache *cache, const struct cache_source *source,
				     const struct reference *reference,
				     struct manifest_view **ret_view, struct error *error)
{
	struct tag_entry entry;
	enum status status;

	if (reference->is_digest)
		return cache_stored_manifest(cache, source, &reference->digest, ret_view, error);
	status = content_get_tag(cache->content, source->stored, reference->text, &entry, error);
	if (status != BW_OK)
		return status;
	return cache_stored_manifest(cache, source, &entry.digest, ret_view, error);
}

void cache_forget_manifest(struct cache *cache, const struct cache_source *source,
			   const struct digest *digest)
{
	char key[CACHE_KEY_SIZE];
	struct reference reference;

	reference_from_digest(digest, &reference);
	cache_key(key, source, &reference);
	pthread_mutex_lock(&cache->maps_lock);
	atomic_fetch_add(&cache->moment, 1);
	lru_remove(cache->manifests, key);
	/* Which tags of a cached repository hold the view is not known here; all of
	 * them can be read again. */
	if (source->upstream)
		lru_clear(cache->tags);
	pthread_mutex_unlock(&cache->maps_lock);
}

void cache_forget_tag(struct cache *cache, const struct cache_source *source,
		      const struct reference *reference)
{
	char key[CACHE_KEY_SIZE];

	cache_key(key, source, reference);
	cache_forget_key(cache, cache->tags, key);
}
