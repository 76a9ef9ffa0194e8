/*
 * Bytes that are stored: whence they are read. Who may have them was decided
 * before.
 *
 * A store of our own hands out files, and that is all. Of a remote one every read
 * costs time and money, so a blob is a file of the hot cache, or it is read from
 * the store by a fill, once for all who wait for it; only when there is no room for
 * it on its way does each client have a request of its own.
 */
#include "backends/object_store.h"
#include "server/cache/cache_private.h"
#include "server/cache/fill.h"
#include "server/cache/hot_cache.h"
#include "server/content/keys.h"

/* Longer than the tries that a fill allows itself at the store. */
#define BYTES_PATIENCE_MS 45000
/* Enough to follow a redirect at once, by clocks that are a little apart. */
#define REDIRECT_SECONDS 300

static bool open_hot(struct cache *cache, const struct digest *digest, enum cache_verdict verdict,
		     struct blob_source *ret_blob)
{
	uint64_t size = 0;
	int file = hot_cache_open(cache->hot, digest, &size);

	if (file < 0)
		return false;
	*ret_blob = (struct blob_source){
		.size = size,
		.verdict = verdict,
		.has_file = true,
		.file = file,
	};
	return true;
}

static enum status open_reader(struct cache *cache, const struct digest *digest,
			       const uint64_t *listed_size, enum cache_verdict verdict,
			       struct blob_source *ret_blob, struct error *error)
{
	struct object_reader *reader;
	enum status status = content_open_blob(cache->content, digest, listed_size, &reader, error);

	if (status != BW_OK)
		return status;
	*ret_blob = (struct blob_source){
		.size = reader->info.size,
		.verdict = verdict,
		.reader = reader,
	};
	return BW_OK;
}

/* *ret_again: what failed was not the store, or it is in the hot cache by now. */
static enum status join_fill(struct cache *cache, const struct digest *digest,
			     const uint64_t *listed_size, enum cache_verdict verdict,
			     struct blob_source *ret_blob, bool *ret_again, struct error *error)
{
	const struct fill_source wanted = {
		.digest = *digest,
		.has_size = listed_size != NULL,
		.size = listed_size ? *listed_size : 0,
	};
	struct fill_joined joined;
	struct fill *fill;
	uint64_t size;
	enum status status = fill_join(cache->fills, &wanted, &fill, &joined, error);

	if (status != BW_OK)
		return status;
	status = fill_wait_size(fill, deadline_in(FIRST_BYTE_PATIENCE_MS), &size, error);
	if (status != BW_OK) {
		fill_unref(fill);
		*ret_again = status == BW_CONFLICT || (!joined.same_source && status != BW_TIMEOUT);
		return status;
	}
	*ret_blob = (struct blob_source){
		.size = size,
		.verdict = verdict,
		.fill = fill,
		.patience_ms = BYTES_PATIENCE_MS,
		.content = joined.same_source ? cache->content : NULL,
		.digest = *digest,
	};
	return BW_OK;
}

static enum status open_remote(struct cache *cache, const struct digest *digest,
			       const uint64_t *listed_size, enum cache_verdict verdict,
			       struct blob_source *ret_blob, struct error *error)
{
	enum status status = BW_ABSENT;
	bool again = true;

	for (unsigned looks = 0; again && looks < LOOKS_MAX; looks++) {
		if (open_hot(cache, digest, verdict, ret_blob))
			return BW_OK;
		again = false;
		status = join_fill(cache, digest, listed_size, verdict, ret_blob, &again, error);
	}
	if (status == BW_NO_SPACE)
		status = open_reader(cache, digest, listed_size, verdict, ret_blob, error);
	if (status == BW_OK || (status == BW_ABSENT && !again))
		return status;
	if (error)
		error->code = BW_UNAVAILABLE;
	return BW_UNAVAILABLE;
}

enum status cache_open_stored(struct cache *cache, const struct digest *digest,
			      const uint64_t *listed_size, enum cache_verdict verdict,
			      struct blob_source *ret_blob, struct error *error)
{
	if (cache->remote_objects)
		return open_remote(cache, digest, listed_size, verdict, ret_blob, error);
	return open_reader(cache, digest, listed_size, verdict, ret_blob, error);
}

/* The store is asked, and not the index: a client that was sent away is not coming
 * back to hear that the bytes are gone. */
static bool redirect(struct cache *cache, const struct digest *digest, enum cache_verdict verdict,
		     struct blob_source *ret_blob)
{
	struct object_store *objects = content_objects(cache->content);
	struct object_info info;
	char key[KEY_SIZE];
	char *url;

	key_of_blob(key, digest);
	if (object_stat(objects, key, &info, NULL) != BW_OK ||
	    object_presign(objects, key, REDIRECT_SECONDS, &url, NULL) != BW_OK)
		return false;
	*ret_blob = (struct blob_source){.size = info.size, .verdict = verdict, .redirect = url};
	return true;
}

enum status cache_serve_stored(struct cache *cache, const struct digest *digest,
			       const uint64_t *listed_size, enum cache_verdict verdict,
			       struct blob_source *ret_blob, struct error *error)
{
	uint64_t size;

	if (cache->redirect && !hot_cache_has(cache->hot, digest, &size) &&
	    redirect(cache, digest, verdict, ret_blob))
		return BW_OK;
	return cache_open_stored(cache, digest, listed_size, verdict, ret_blob, error);
}

enum status cache_stat_stored(struct cache *cache, const struct digest *digest, uint64_t *ret_size,
			      struct error *error)
{
	enum status status;

	if (hot_cache_has(cache->hot, digest, ret_size))
		return BW_OK;
	status = content_stat_blob(cache->content, digest, ret_size, error);
	if (status == BW_OK || status == BW_ABSENT)
		return status;
	if (!cache->remote_objects)
		return BW_ABSENT;
	if (error)
		error->code = BW_UNAVAILABLE;
	return BW_UNAVAILABLE;
}

enum status cache_open_local_blob(struct cache *cache, const struct digest *digest,
				  uint64_t listed_size, struct blob_source *ret_blob,
				  struct error *error)
{
	return cache_serve_stored(cache, digest, &listed_size, CACHE_LOCAL, ret_blob, error);
}
