/*
 * A fill's states, those who wait for them, and the table in which a digest's
 * fill is found. What the runner does in between is in fill_run.c.
 */
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cache/fill_private.h"
#include "server/cache/origin_cluster.h"
#include "server/cache/pull_through.h"
#include "server/upstream/upstream.h"

#include <stdlib.h>
#include <string.h>

/* Fills that may wait for one of an upstream's connections. */
#define LANE_QUEUE_MAX 4096

/* For blobs on their way in while the disk fails. */
#define SPOOL_MEMORY_BYTES ((uint64_t)256 << 20)

/* A broadcast wakes every reader, so progress is announced in steps; a reader
 * that waits looks again after this long in any case. */
#define ANNOUNCE_BYTES ((uint64_t)128 << 10)
#define ANNOUNCE_MS 2
#define RECHECK_MS 20

/* The threads of an upstream or of our store, so that a slow one never holds up
 * another. */
struct lane {
	UT_hash_handle hh;
	struct work_pool *pool;
	char key[]; /* name and number of threads: a reload may change it */
};

enum status fill_table_new(const struct cache_options *options, struct hot_cache *hot,
			   struct fill_table **ret_table, struct error *error)
{
	/* Without a remote store, what the disk does not take cannot be stored either. */
	uint64_t memory = options->remote_objects ? SPOOL_MEMORY_BYTES : 0;
	struct fill_table *table = xcalloc(1, sizeof(*table));
	enum status status =
		spool_init(&table->spool, options->spool_directory, hot, memory, error);

	if (status != BW_OK) {
		free(table);
		return status;
	}
	table->content = options->content;
	table->hot = hot;
	table->remote_objects = options->remote_objects;
	table->cluster = options->cluster;
	pthread_mutex_init(&table->lock, NULL);
	*ret_table = table;
	return BW_OK;
}

void fill_table_free(struct fill_table *table)
{
	struct lane *lane, *next;

	if (!table)
		return;
	atomic_store(&table->cancelled, true);
	HASH_ITER (hh, table->lanes, lane, next) {
		HASH_DEL(table->lanes, lane);
		work_pool_free(lane->pool);
		free(lane);
	}
	pthread_mutex_destroy(&table->lock);
	spool_release(&table->spool);
	free(table);
}

/* With the table's lock held. */
static struct work_pool *lane_of(struct fill_table *table, const struct origin *origin)
{
	char *key =
		xasprintf("%s/%u", origin->upstream ? origin->upstream : "", origin->concurrency);
	struct lane *lane;

	HASH_FIND_STR(table->lanes, key, lane);
	if (!lane) {
		lane = xcalloc(1, sizeof(*lane) + strlen(key) + 1);
		memcpy(lane->key, key, strlen(key) + 1);
		lane->pool = work_pool_new("fill", origin->concurrency, LANE_QUEUE_MAX);
		HASH_ADD_STR(table->lanes, key, lane);
	}
	free(key);
	return lane->pool;
}

static struct origin *origin_of(struct fill_table *table, const struct fill_source *source)
{
	struct cluster_origin_options options = {
		.cluster = table->cluster,
		.content = table->content,
		.upstream = source->upstream,
		.digest = source->digest,
		.must_confirm = source->link_from != NULL,
	};

	if (!source->upstream)
		return origin_store_new(table->content, &source->digest,
					source->has_size ? &source->size : NULL);
	options.upstream_origin = origin_upstream_new(source->set, source->upstream,
						      source->repository, &source->digest);
	return table->cluster ? origin_cluster_new(&options) : options.upstream_origin;
}

static struct fill *fill_new(struct fill_table *table, const struct fill_source *source)
{
	struct fill *fill = xcalloc(1, sizeof(*fill));

	fill->table = table;
	fill->origin = origin_of(table, source);
	fill->link_from = source->link_from ? xstrdup(source->link_from) : NULL;
	fill->digest = source->digest;
	digest_format(&source->digest, fill->digest_text);
	fill->has_total = source->upstream && source->has_size;
	fill->total = fill->has_total ? source->size : 0;
	fill->spool = SPOOL_FILE_NONE;
	hasher_init(&fill->hasher, source->digest.algorithm);
	pthread_mutex_init(&fill->lock, NULL);
	cond_init(&fill->moved);
	atomic_init(&fill->references, 1);
	metric_add(M_FILLS_IN_FLIGHT, 1, NULL);
	return fill;
}

static struct fill *fill_ref(struct fill *fill)
{
	atomic_fetch_add_explicit(&fill->references, 1, memory_order_relaxed);
	return fill;
}

void fill_unref(struct fill *fill)
{
	if (!fill || atomic_fetch_sub_explicit(&fill->references, 1, memory_order_acq_rel) != 1)
		return;
	spool_close(&fill->spool);
	origin_free(fill->origin);
	pthread_cond_destroy(&fill->moved);
	pthread_mutex_destroy(&fill->lock);
	free(fill->link_from);
	free(fill);
}

static bool same_source(const struct fill *fill, const struct fill_source *source)
{
	if (!fill->origin->upstream || !source->upstream)
		return !fill->origin->upstream && !source->upstream;
	return strcmp(fill->origin->upstream, upstream_name(source->upstream)) == 0 &&
	       strcmp(fill->origin->repository, source->repository) == 0;
}

/* With the table's lock held. */
static enum status start(struct fill_table *table, const struct fill_source *source,
			 struct fill **ret_fill, struct error *error)
{
	struct fill *fill = fill_new(table, source);
	enum status status;

	/* one reference each for the table, the runner and the caller */
	fill_ref(fill);
	fill_ref(fill);
	fill->in_table = true;
	HASH_ADD_KEYPTR(hh, table->fills, fill->digest_text, strlen(fill->digest_text), fill);
	if (work_pool_submit(lane_of(table, fill->origin), fill_run, fill)) {
		*ret_fill = fill;
		return BW_OK;
	}
	HASH_DEL(table->fills, fill);
	metric_add(M_FILLS_IN_FLIGHT, -1, NULL);
	status = origin_fault(fill->origin, error, BW_UNAVAILABLE,
			      "too many blobs wait to be fetched already");
	if (error)
		error->retry_after = 1;
	fill_unref(fill);
	fill_unref(fill);
	fill_unref(fill);
	return status;
}

static bool is_done(struct fill *fill)
{
	bool done;

	pthread_mutex_lock(&fill->lock);
	done = fill->state == FILL_DONE;
	pthread_mutex_unlock(&fill->lock);
	return done;
}

enum status fill_join(struct fill_table *table, const struct fill_source *source,
		      struct fill **ret_fill, struct fill_joined *ret_joined, struct error *error)
{
	char digest_text[DIGEST_TEXT_SIZE];
	struct fill_joined joined = {.same_source = true};
	enum status status = BW_OK;
	struct fill *fill;
	bool found;

	digest_format(&source->digest, digest_text);
	pthread_mutex_lock(&table->lock);
	HASH_FIND_STR(table->fills, digest_text, fill);
	found = fill != NULL;
	if (found)
		fill_ref(fill);
	else
		status = start(table, source, &fill, error);
	pthread_mutex_unlock(&table->lock);
	if (status != BW_OK)
		return status;
	if (found)
		joined = (struct fill_joined){same_source(fill, source), is_done(fill)};
	*ret_fill = fill;
	if (ret_joined)
		*ret_joined = joined;
	return BW_OK;
}

struct fill *fill_find(struct fill_table *table, const struct digest *digest)
{
	char digest_text[DIGEST_TEXT_SIZE];
	struct fill *fill;

	digest_format(digest, digest_text);
	pthread_mutex_lock(&table->lock);
	HASH_FIND_STR(table->fills, digest_text, fill);
	if (fill)
		fill_ref(fill);
	pthread_mutex_unlock(&table->lock);
	return fill;
}

void fill_leave_table(struct fill *fill)
{
	struct fill_table *table = fill->table;
	bool was_in;

	pthread_mutex_lock(&table->lock);
	was_in = fill->in_table;
	if (was_in)
		HASH_DEL(table->fills, fill);
	fill->in_table = false;
	pthread_mutex_unlock(&table->lock);
	if (!was_in)
		return;
	metric_add(M_FILLS_IN_FLIGHT, -1, NULL);
	fill_unref(fill);
}

/* ---- the runner's steps ------------------------------------------------ */

void fill_set_total(struct fill *fill, uint64_t total)
{
	pthread_mutex_lock(&fill->lock);
	fill->total = total;
	fill->has_total = true;
	/* an empty reply would be complete as soon as its length was told, before
	 * its digest was looked at */
	if (fill->state < FILL_STREAMING && total > 0)
		fill->state = FILL_STREAMING;
	pthread_cond_broadcast(&fill->moved);
	pthread_mutex_unlock(&fill->lock);
}

void fill_publish(struct fill *fill, uint64_t end)
{
	int64_t now = clock_monotonic_ms();
	bool announce;

	pthread_mutex_lock(&fill->lock);
	fill->published = end;
	announce = fill->waiting > 0 && end > fill->announced &&
		   (end <= ANNOUNCE_BYTES || end - fill->announced >= ANNOUNCE_BYTES ||
		    now - fill->announced_at >= ANNOUNCE_MS);
	if (announce)
		pthread_cond_broadcast(&fill->moved);
	pthread_mutex_unlock(&fill->lock);
	if (announce) {
		fill->announced = end;
		fill->announced_at = now;
	}
}

void fill_set_done(struct fill *fill)
{
	pthread_mutex_lock(&fill->lock);
	fill->total = fill->written;
	fill->has_total = true;
	fill->published = fill->written;
	fill->state = FILL_DONE;
	pthread_cond_broadcast(&fill->moved);
	pthread_mutex_unlock(&fill->lock);
}

void fill_set_failed(struct fill *fill, const struct error *error)
{
	pthread_mutex_lock(&fill->lock);
	fill->error = *error;
	fill->state = FILL_FAILED;
	pthread_cond_broadcast(&fill->moved);
	pthread_mutex_unlock(&fill->lock);
}

/* ---- those who wait ---------------------------------------------------- */

/* One wait with the lock held; false when the deadline passed. */
static bool wait_for_move(struct fill *fill, deadline_ms deadline)
{
	if (deadline_passed(deadline))
		return false;
	fill->waiting++;
	cond_wait_until(&fill->moved, &fill->lock,
			deadline_earlier(deadline, deadline_in(RECHECK_MS)));
	fill->waiting--;
	return true;
}

/* With the lock held and the state FAILED. */
static enum status failure_of(const struct fill *fill, struct error *error)
{
	if (error)
		*error = fill->error;
	return fill->error.code;
}

static enum status too_slow(const struct fill *fill, const char *what, struct error *error)
{
	return origin_fault(fill->origin, error, BW_TIMEOUT, "%s of blob %s did not come in time",
			    what, fill->digest_text);
}

enum status fill_wait_size(struct fill *fill, deadline_ms deadline, uint64_t *ret_size,
			   struct error *error)
{
	enum status status;

	pthread_mutex_lock(&fill->lock);
	while (fill->state == FILL_PENDING && wait_for_move(fill, deadline))
		;
	if (fill->state == FILL_FAILED) {
		status = failure_of(fill, error);
	} else if (fill->state == FILL_PENDING) {
		status = too_slow(fill, "the first byte", error);
	} else {
		*ret_size = fill->total;
		status = BW_OK;
	}
	pthread_mutex_unlock(&fill->lock);
	return status;
}

enum status fill_wait_bytes(struct fill *fill, uint64_t offset, deadline_ms deadline,
			    uint64_t *ret_end, struct error *error)
{
	enum status status = BW_OK;

	pthread_mutex_lock(&fill->lock);
	while (fill->state < FILL_DONE && fill->published <= offset &&
	       wait_for_move(fill, deadline))
		;
	if (fill->state == FILL_FAILED)
		status = failure_of(fill, error);
	else if (fill->published <= offset)
		status = too_slow(fill, "the next byte", error);
	else
		*ret_end = fill->published;
	pthread_mutex_unlock(&fill->lock);
	return status;
}

enum status fill_wait_done(struct fill *fill, deadline_ms deadline, struct error *error)
{
	enum status status = BW_OK;

	pthread_mutex_lock(&fill->lock);
	while (fill->state < FILL_DONE && wait_for_move(fill, deadline))
		;
	if (fill->state == FILL_FAILED)
		status = failure_of(fill, error);
	else if (fill->state != FILL_DONE)
		status = too_slow(fill, "the end", error);
	pthread_mutex_unlock(&fill->lock);
	return status;
}

int fill_file(const struct fill *fill)
{
	return fill->spool.fd;
}
