/*
 * Manifests between upstream, stores and memory: reading what is stored, and
 * keeping what was fetched.
 */
#include "server/base/log.h"
#include "server/base/lru.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/cache/cache_private.h"
#include "server/cache/negative.h"
#include "server/content/keys.h"
#include "server/oci/manifest.h"
#include "server/upstream/upstream.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define VIEW_OVERHEAD 1024 /* bytes a cached view costs besides its body */

static void key_of_digest(char key[CACHE_KEY_SIZE], const struct cache_source *source,
			  const struct digest *digest)
{
	struct reference reference;

	reference_from_digest(digest, &reference);
	cache_key(key, source, &reference);
}

static size_t cost_of(const struct manifest_view *view)
{
	return view->body_length + VIEW_OVERHEAD;
}

uint64_t cache_moment(struct cache *cache)
{
	return atomic_load(&cache->moment);
}

static void keep_manifest(struct cache *cache, const char *key, struct manifest_view *view,
			  uint64_t moment)
{
	pthread_mutex_lock(&cache->maps_lock);
	if (cache_moment(cache) == moment)
		lru_put(cache->manifests, key, view, cost_of(view));
	pthread_mutex_unlock(&cache->maps_lock);
}

/* What the index says of a local repository is checked against the truth before it
 * is kept in memory: a reader that repairs the index may put back for a moment what
 * was just deleted. When the truth cannot be had, the index's word is enough to serve
 * it, but not to keep it. */
static enum status check_record(struct cache *cache, const struct cache_source *source,
				const struct digest *digest, bool *ret_keep, struct error *error)
{
	struct object_info info;
	char key[KEY_SIZE];
	enum status status;

	key_of_manifest(key, source->stored, digest);
	status = object_stat(content_objects(cache->content), key, &info, NULL);
	if (status == BW_ABSENT)
		return error_set(error, BW_ABSENT, "no such manifest in \"%s\"", source->stored);
	*ret_keep = status == BW_OK;
	return BW_OK;
}

/* From the stores. *ret_keep: it may be kept in memory. */
static enum status read_stored(struct cache *cache, const struct cache_source *source,
			       const struct digest *digest, struct manifest_entry *ret,
			       bool *ret_keep, struct error *error)
{
	struct manifest_entry entry = {0};
	enum status status =
		content_get_manifest(cache->content, source->stored, digest, &entry, error);

	*ret_keep = true;
	if (status == BW_OK && !source->upstream)
		status = check_record(cache, source, digest, ret_keep, error);
	if (status == BW_OK)
		*ret = entry;
	else
		manifest_entry_release(&entry);
	return status;
}

/* `view` is a copy that may be out of date. BW_ABSENT: it is, and is forgotten. When
 * the stores cannot tell, it stays. */
static enum status check_copy(struct cache *cache, const struct cache_source *source,
			      const struct manifest_view *view, const char *key,
			      struct error *error)
{
	struct manifest_entry entry = {0};
	struct error trouble = {0};
	bool keep;

	if (read_stored(cache, source, &view->digest, &entry, &keep, &trouble) != BW_ABSENT) {
		manifest_entry_release(&entry);
		return BW_OK;
	}
	cache_forget_key(cache, cache->manifests, key);
	if (error)
		*error = trouble;
	return BW_ABSENT;
}

enum status cache_stored_manifest(struct cache *cache, const struct cache_source *source,
				  const struct digest *digest, struct manifest_view **ret_view,
				  struct error *error)
{
	struct manifest_entry entry = {0};
	uint64_t moment = cache_moment(cache);
	struct manifest_view *view;
	char key[CACHE_KEY_SIZE];
	bool told = cache_is_told(cache);
	bool keep = true;
	enum status status = BW_OK;

	key_of_digest(key, source, digest);
	view = lru_get(cache->manifests, key);
	if (view && !cache_believes(cache, told, &view->checked_at))
		status = check_copy(cache, source, view, key, error);
	if (!view) {
		status = read_stored(cache, source, digest, &entry, &keep, error);
		if (status == BW_OK)
			view = manifest_view_new(&entry);
		if (status == BW_OK && keep)
			keep_manifest(cache, key, view, moment);
	}
	if (status == BW_OK)
		*ret_view = view;
	else
		manifest_view_unref(view);
	return status;
}

static void log_not_stored(const struct cache_source *source, const char *reference,
			   const struct error *error)
{
	log_event(LOG_ERROR, "fetched manifest was not stored; it was served all the same",
		  LOG_S("upstream", upstream_name(source->upstream)),
		  LOG_S("repository", source->repository), LOG_S("reference", reference),
		  LOG_S("err.message", error->message));
}

/* The same write of the tag, read from the object store before the index knew
 * when it was validated. */
static void take_newer_validation(struct tag_view *kept, const struct tag_view *tag)
{
	int64_t validated_at = atomic_load(&tag->validated_at);

	if (kept->version == tag->version && atomic_load(&kept->validated_at) < validated_at)
		atomic_store(&kept->validated_at, validated_at);
}

struct tag_view *cache_keep_tag(struct cache *cache, const char *key, struct tag_view *tag,
				uint64_t moment)
{
	struct tag_view *kept;

	pthread_mutex_lock(&cache->maps_lock);
	kept = lru_get(cache->tags, key);
	if (kept && kept->version >= tag->version) {
		take_newer_validation(kept, tag);
		pthread_mutex_unlock(&cache->maps_lock);
		tag_view_unref(tag);
		return kept;
	}
	/* a tag keeps its manifest in memory, so it costs that too */
	if (cache_moment(cache) == moment)
		lru_put(cache->tags, key, tag, cost_of(tag->view));
	pthread_mutex_unlock(&cache->maps_lock);
	tag_view_unref(kept);
	return tag;
}

static uint64_t version_for(struct cache *cache, const struct cache_source *source, const char *tag)
{
	uint64_t version;

	if (content_next_version(cache->content, source->stored, tag, &version, NULL) != BW_OK)
		version = content_version(cache->content);
	return version;
}

void cache_point_tag(struct cache *cache, const struct cache_source *source,
		     const struct reference *reference, struct manifest_view *view, uint64_t moment)
{
	struct tag_entry entry = {
		.digest = view->digest,
		.version = version_for(cache, source, reference->text),
		.stored_at = clock_wall_ms(),
		.validated_at = clock_wall_ms(),
	};
	struct error error = {0};
	char key[CACHE_KEY_SIZE];
	struct tag_view *tag;
	enum status status;

	cache_key(key, source, reference);
	negative_forget(cache->negatives, key);
	status = content_put_tag(cache->content, source->stored, reference->text, &entry, &error);
	if (status == BW_CONFLICT) {
		/* another process wrote it later than we: let the stores say what */
		lru_remove(cache->tags, key);
		return;
	}
	if (status != BW_OK)
		log_not_stored(source, reference->text, &error);
	tag = tag_view_new(manifest_view_ref(view), &entry);
	tag_view_unref(cache_keep_tag(cache, key, tag, moment));
}

/* Takes the body out of *fetched. */
static void entry_from_upstream(struct manifest_entry *entry, struct upstream_manifest *fetched)
{
	*entry = (struct manifest_entry){
		.digest = fetched->digest,
		.body = fetched->body,
		.body_length = fetched->body_length,
		.stored_at = clock_wall_ms(),
	};
	fetched->body = NULL;
}

/* What came is parsed before anybody sees it: a login page with a status of 200
 * is not a manifest. */
static enum status parse_fetched(const struct cache_source *source,
				 const struct upstream_manifest *fetched, struct manifest *ret,
				 struct error *error)
{
	struct error fault = {0};

	if (manifest_parse(fetched->body, fetched->body_length, fetched->media_type, ret, &fault) ==
	    BW_OK)
		return BW_OK;
	return upstream_fault(source->upstream, source->repository, error, BW_UNREACHABLE,
			      "sent what cannot be served as a manifest of \"%s\": %s",
			      source->repository, fault.message);
}

enum status cache_fetch_manifest(struct cache *cache, const struct cache_source *source,
				 const struct reference *reference, struct manifest_view **ret_view,
				 struct error *error)
{
	struct upstream_manifest fetched = {0};
	struct manifest_entry entry = {0}, kept;
	struct manifest parsed = {0};
	uint64_t moment = cache_moment(cache);
	struct manifest_view *view;
	char key[CACHE_KEY_SIZE];
	struct error store_error = {0};
	enum status status;

	status = upstream_get_manifest(source->upstream, source->repository, reference, &fetched,
				       error);
	if (status != BW_OK)
		return status;
	status = parse_fetched(source, &fetched, &parsed, error);
	if (status != BW_OK)
		goto out;
	metric_add(M_PROXY_PULLED_BYTES, fetched.body_length, "manifest",
		   upstream_name(source->upstream));
	entry_from_upstream(&entry, &fetched);
	str_copy(entry.media_type, sizeof(entry.media_type), parsed.media_type);
	kept = entry; /* the view owns the body and outlives this use of it */
	view = manifest_view_new(&entry);
	key_of_digest(key, source, &view->digest);
	keep_manifest(cache, key, view, moment);

	if (content_put_manifest(cache->content, source->stored, &kept, &parsed, &store_error) !=
	    BW_OK)
		log_not_stored(source, reference->text, &store_error);
	if (!reference->is_digest)
		cache_point_tag(cache, source, reference, view, moment);
	*ret_view = view;
out:
	manifest_release(&parsed);
	upstream_manifest_release(&fetched);
	return status;
}
