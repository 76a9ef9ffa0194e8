/*
 * Serving a blob: from the store, or from the fill that fetches it.
 *
 * Who may have it is decided per repository, before a byte that is stored for
 * somebody else is looked at: a manifest stored for this repository lists the
 * blob, or this repository's upstream is asked, with this repository's
 * credential, and has it.
 */
#include "server/cache/cache_private.h"
#include "server/cache/fill.h"
#include "server/cache/negative.h"
#include "server/upstream/upstream.h"

#define SIZE_NOT_TOLD UINT64_MAX

struct pull {
	struct cache *cache;
	const struct cache_source *source;
	const struct digest *digest;
	char key[CACHE_KEY_SIZE]; /* of its absence */
	bool granted; /* this repository's readers may have the bytes */
	bool confirmed; /* the upstream said so just now */
	bool has_size;
	uint64_t size; /* as listed or told */
};

static enum status known_absent(struct pull *pull, struct error *error)
{
	return cache_known_absent(pull->source, "such blob", error);
}

static void remember_absent(struct pull *pull)
{
	negative_put(pull->cache->negatives, pull->key,
		     upstream_configuration(pull->source->upstream)->negative_ttl_ms);
}

/* Asks this repository's upstream whether it has the blob there. */
static enum status confirm(struct pull *pull, struct error *error)
{
	enum status status;

	if (negative_has(pull->cache->negatives, pull->key))
		return known_absent(pull, error);
	pull->size = SIZE_NOT_TOLD;
	status = upstream_probe_blob(pull->source->upstream, pull->source->repository, pull->digest,
				     &pull->size, error);
	if (status == BW_ABSENT)
		remember_absent(pull);
	if (status != BW_OK)
		return status;
	pull->granted = true;
	pull->confirmed = true;
	return BW_OK;
}

/* What answers 200 to everything, as a login page does, has not said that the
 * blob is there; but it tells a size that is not the blob's. The true one is no
 * business of somebody who may not have the blob. */
static enum status check_told_size(struct pull *pull, uint64_t true_size, struct error *error)
{
	if (!pull->confirmed || pull->size == SIZE_NOT_TOLD || pull->size == true_size)
		return BW_OK;
	pull->granted = false;
	pull->confirmed = false;
	return upstream_fault(pull->source->upstream, pull->source->repository, error,
			      BW_UNREACHABLE,
			      "says that it has a blob, of a size that its digest does not have");
}

static void begin_pull(struct pull *pull, struct cache *cache, const struct cache_source *source,
		       const struct digest *digest)
{
	*pull = (struct pull){.cache = cache, .source = source, .digest = digest};
	cache_blob_key(pull->key, source, digest);
	pull->granted = content_get_listed(cache->content, source->stored, digest, &pull->size,
					   NULL) == BW_OK;
	pull->has_size = pull->granted;
}

/* Bytes that are stored for somebody else are this repository's readers' only
 * after its own upstream has been asked. */
static enum status grant_if_stored(struct pull *pull, struct error *error)
{
	enum status status;
	uint64_t size;

	if (pull->granted)
		return BW_OK;
	status = cache_stat_stored(pull->cache, pull->digest, &size, error);
	if (status != BW_OK)
		return status == BW_ABSENT ? BW_OK : status;
	status = confirm(pull, error);
	return status == BW_OK ? check_told_size(pull, size, error) : status;
}

static enum cache_verdict verdict_of_stored(const struct pull *pull)
{
	return pull->confirmed ? CACHE_REVALIDATED : CACHE_HIT;
}

/* BW_ABSENT: not stored, or as good as that. */
static enum status open_stored(struct pull *pull, struct blob_source *ret_blob, struct error *error)
{
	enum status status =
		cache_serve_stored(pull->cache, pull->digest, pull->has_size ? &pull->size : NULL,
				   verdict_of_stored(pull), ret_blob, error);

	/* a disk of our own that cannot read it: worth a fetch, which is kept */
	if (status != BW_OK && !pull->cache->remote_objects)
		return BW_ABSENT;
	return status;
}

/* The longest a reader waits for the next byte before it believes that the fill
 * is stuck: longer than the tries that a fill itself allows. */
static int64_t patience_ms(const struct upstream *upstream)
{
	const struct upstream_config *config = upstream_configuration(upstream);
	int64_t round = config->timeouts.connect_ms + config->timeouts.first_byte_ms +
			config->timeouts.stall_ms;

	return 3 * round * (int64_t)config->urls.count;
}

/* The fill's bytes, once its size is known. *ret_again: what failed says nothing
 * about this source's blob; look once more. */
static enum status join_fill(struct pull *pull, struct blob_source *ret_blob, bool *ret_again,
			     struct error *error)
{
	struct fill_source wanted = {
		.set = pull->source->set,
		.upstream = pull->source->upstream,
		.repository = pull->source->repository,
		.digest = *pull->digest,
		.has_size = pull->has_size,
		.size = pull->size,
		.link_from = pull->granted ? NULL : pull->source->stored,
	};
	struct fill_joined joined;
	struct fill *fill;
	uint64_t size;
	enum status status = fill_join(pull->cache->fills, &wanted, &fill, &joined, error);

	if (status != BW_OK)
		return status;
	if (!joined.same_source && !pull->granted)
		status = confirm(pull, error);
	if (status == BW_OK)
		status = fill_wait_size(fill, deadline_in(FIRST_BYTE_PATIENCE_MS), &size, error);
	if (status == BW_OK)
		status = check_told_size(pull, size, error);
	if (status != BW_OK) {
		fill_unref(fill);
		*ret_again = status == BW_CONFLICT ||
			     (!joined.same_source && status != BW_TIMEOUT && pull->granted);
		return status;
	}
	*ret_blob = (struct blob_source){
		.size = size,
		.verdict = joined.was_done ? verdict_of_stored(pull) : CACHE_MISS,
		.fill = fill,
		.patience_ms = patience_ms(pull->source->upstream),
	};
	return BW_OK;
}

/* Grants by a link what no manifest lists but this upstream has confirmed.
 * `size` is that of the stored blob, whose digest once matched: what an upstream
 * merely says would keep a blob from being fetched if it were wrong. */
static void remember_grant(struct pull *pull, uint64_t size)
{
	if (pull->confirmed)
		content_link_blob(pull->cache->content, pull->source->stored, pull->digest, size,
				  NULL);
}

static enum status open_blob(struct pull *pull, struct blob_source *ret_blob, struct error *error)
{
	enum status status = BW_ABSENT;
	bool again = true;

	for (unsigned looks = 0; again && looks < LOOKS_MAX; looks++) {
		again = false;
		status = grant_if_stored(pull, error);
		if (status != BW_OK)
			return status;
		if (pull->granted)
			status = open_stored(pull, ret_blob, error);
		if (pull->granted && status != BW_ABSENT)
			break;
		if (negative_has(pull->cache->negatives, pull->key))
			return known_absent(pull, error);
		status = join_fill(pull, ret_blob, &again, error);
	}
	if (again)
		return error_set(error, BW_UNAVAILABLE,
				 "blob of \"%s\": what is stored, or fetched for others, could not "
				 "be had in %d attempts",
				 pull->source->stored, LOOKS_MAX);
	if (status == BW_OK && ret_blob->verdict != CACHE_MISS)
		remember_grant(pull, ret_blob->size);
	if (status == BW_ABSENT)
		remember_absent(pull);
	return status;
}

enum status cache_open_blob(struct cache *cache, const struct cache_source *source,
			    const struct digest *digest, struct blob_source *ret_blob,
			    struct error *error)
{
	struct blob_source blob = {0};
	struct pull pull;
	enum status status;

	begin_pull(&pull, cache, source, digest);
	status = open_blob(&pull, &blob, error);
	cache_count(source, "blob", status, blob.verdict);
	if (status == BW_OK)
		*ret_blob = blob;
	return status;
}

static enum status stat_blob(struct pull *pull, uint64_t *ret_size, enum cache_verdict *ret_verdict,
			     struct error *error)
{
	uint64_t stored_size;
	enum status status = cache_stat_stored(pull->cache, pull->digest, &stored_size, error);
	bool stored = status == BW_OK;

	if (!stored && status != BW_ABSENT)
		return status;
	status = BW_OK;
	if (!stored || !pull->granted)
		status = confirm(pull, error);
	if (status == BW_OK && stored)
		status = check_told_size(pull, stored_size, error);
	if (status != BW_OK)
		return status;
	if (stored) {
		remember_grant(pull, stored_size);
		*ret_size = stored_size;
		*ret_verdict = verdict_of_stored(pull);
		return BW_OK;
	}
	if (pull->size == SIZE_NOT_TOLD)
		return error_set(error, BW_UNREACHABLE,
				 "upstream \"%s\" does not say how large the blob is",
				 upstream_name(pull->source->upstream));
	*ret_size = pull->size;
	*ret_verdict = CACHE_MISS;
	return BW_OK;
}

enum status cache_stat_blob(struct cache *cache, const struct cache_source *source,
			    const struct digest *digest, uint64_t *ret_size,
			    enum cache_verdict *ret_verdict, struct error *error)
{
	enum cache_verdict verdict = CACHE_MISS;
	struct pull pull;
	uint64_t size = 0;
	enum status status;

	begin_pull(&pull, cache, source, digest);
	status = stat_blob(&pull, &size, &verdict, error);
	cache_count(source, "blob", status, verdict);
	if (status != BW_OK)
		return status;
	*ret_size = size;
	*ret_verdict = verdict;
	return BW_OK;
}
