/*
 * Blobs for other replicas.
 */
#include "server/cache/cache_private.h"
#include "server/cache/fill.h"

/* A fill that brings nothing for longer is stuck; its reader gives up before. */
#define REPLICA_PATIENCE_MS 60000

struct cluster *cache_cluster(const struct cache *cache)
{
	return cache->cluster;
}

static enum status open_fill(struct fill *fill, deadline_ms deadline, struct blob_source *ret_blob,
			     struct error *error)
{
	uint64_t size;
	enum status status = fill_wait_size(fill, deadline, &size, error);

	/* a fill's own time-out is its end, and not that it has not begun */
	if (status == BW_TIMEOUT && !deadline_passed(deadline))
		status = BW_UNREACHABLE;
	if (status != BW_OK)
		return status;
	*ret_blob = (struct blob_source){
		.size = size,
		.verdict = CACHE_MISS,
		.fill = fill,
		.patience_ms = REPLICA_PATIENCE_MS,
	};
	return BW_OK;
}

enum status cache_open_for_replica(struct cache *cache, const struct digest *digest,
				   deadline_ms deadline, struct blob_source *ret_blob,
				   struct error *error)
{
	struct fill *fill = fill_find(cache->fills, digest);
	enum status status = BW_CONFLICT;

	if (fill)
		status = open_fill(fill, deadline, ret_blob, error);
	if (status == BW_OK)
		return BW_OK;
	fill_unref(fill);
	if (status != BW_CONFLICT)
		return status;
	return cache_open_stored(cache, digest, NULL, CACHE_HIT, ret_blob, error);
}
