/*
 * What a fill's thread does: ask, write and hash what comes, resume what
 * broke, check the digest, hand the file over.
 *
 * The process may die at any of these instants:
 *   while bytes come    the spool file is removed at the next start
 *   after the digest    the same; readers had their bytes
 *   during the adoption the object store leaves the blob whole or absent
 * so nothing unverified is ever found under a digest.
 */
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/cache/fill_private.h"
#include "server/cache/hot_cache.h"
#include "server/content/content.h"
#include "server/upstream/upstream.h"

/* Attempts in a row that brought nothing to speak of: at the very start (fail
 * fast, the client has other places to go), and once bytes have come. */
#define ATTEMPTS_AT_START 2
#define ATTEMPTS_WITHOUT_PROGRESS 6
/* A stall has cost its time already: one more try, and those who wait are told. */
#define STALLS_WITHOUT_PROGRESS 2
/* Less than this is no progress: a server that breaks off after every byte would
 * keep a fill, and those who wait for it, for ever. */
#define PROGRESS_BYTES ((uint64_t)16 << 10)
#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 2000

static bool refuse(struct fill *fill, enum status code, const char *what)
{
	origin_fault(fill->origin, &fill->sink_error, code, "blob %s %s", fill->digest_text, what);
	return false;
}

static bool sink_begin(void *context, uint64_t offset, bool has_total, uint64_t total)
{
	struct fill *fill = context;

	if (offset > fill->written)
		return refuse(fill, BW_CORRUPT, "resumed past the byte asked for");
	if (has_total && total < fill->written)
		return refuse(fill, BW_CORRUPT, "is shorter than what came of it before");
	fill->skip = fill->written - offset;
	if (!has_total && !fill->has_total)
		return true; /* stays PENDING: nobody can be told a size */
	if (!has_total)
		total = fill->total;
	if (fill->has_total && fill->total != total)
		return refuse(fill, BW_CORRUPT,
			      "is not as long as its manifest, or itself before, said");
	if (spool_expect(&fill->spool, total, &fill->sink_error) != BW_OK)
		return false;
	fill_set_total(fill, total);
	return true;
}

/* How far readers may go while the digest is not known to match. */
static uint64_t safe_end(const struct fill *fill)
{
	uint64_t limit = fill->has_total ? fill->total : fill->written;

	limit = limit > FILL_WITHHELD ? limit - FILL_WITHHELD : 0;
	return fill->written < limit ? fill->written : limit;
}

static bool sink_write(void *context, const void *bytes, size_t length)
{
	struct fill *fill = context;
	const char *data = bytes;

	if (fill->skip >= length) {
		fill->skip -= length;
		return true;
	}
	data += fill->skip;
	length -= (size_t)fill->skip;
	fill->skip = 0;

	if (fill->has_total && length > fill->total - fill->written)
		return refuse(fill, BW_CORRUPT, "is longer than it should be");
	if (spool_write(&fill->spool, fill->written, data, length, &fill->sink_error) != BW_OK)
		return false;
	hasher_update(&fill->hasher, data, length);
	fill->written += length;
	fill_publish(fill, safe_end(fill));
	return true;
}

/* One request, from the first byte we lack. */
static enum status attempt(struct fill *fill, struct error *error)
{
	const struct blob_sink sink = {.begin = sink_begin, .write = sink_write, .context = fill};
	uint64_t before = fill->written;
	enum status status;

	fill->sink_error.code = BW_OK;
	status = origin_read(fill->origin, fill->written, &sink, &fill->table->cancelled, error);
	if (fill->origin->upstream && !fill->origin->from_replica)
		metric_add(M_PROXY_PULLED_BYTES, fill->written - before, "blob",
			   fill->origin->upstream);
	if (status != BW_OK && fill->sink_error.code != BW_OK) {
		*error = fill->sink_error;
		return error->code;
	}
	if (status == BW_OK && fill->has_total && fill->written < fill->total)
		return origin_fault(fill->origin, error, BW_UNREACHABLE, "blob %s ended early",
				    fill->digest_text);
	return status;
}

/* False when we are stopping. */
static bool pause_before_resume(struct fill *fill, unsigned failures)
{
	int64_t pause = (int64_t)PAUSE_FIRST_MS << (failures - 1);

	return clock_pause(pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS, &fill->table->cancelled);
}

/* Worth another try? An answer (404, 401, 429) is not; a broken read is. */
static bool may_resume(const struct fill *fill, enum status status, unsigned failures)
{
	if (status == BW_TIMEOUT)
		return fill->written > 0 && failures < STALLS_WITHOUT_PROGRESS;
	if (status != BW_UNREACHABLE)
		return false;
	return failures < (fill->written > 0 ? ATTEMPTS_WITHOUT_PROGRESS : ATTEMPTS_AT_START);
}

static enum status fetch(struct fill *fill, struct error *error)
{
	unsigned failures = 0;

	for (;;) {
		uint64_t before = fill->written;
		enum status status = attempt(fill, error);

		if (status == BW_OK)
			return BW_OK;
		failures = fill->written - before >= PROGRESS_BYTES ? 1 : failures + 1;
		if (!may_resume(fill, status, failures) || !pause_before_resume(fill, failures))
			return status;
		if (fill->written > 0 && fill->origin->upstream)
			metric_inc(M_FILL_RESUMES, fill->origin->upstream);
	}
}

static enum status verify(struct fill *fill, struct error *error)
{
	const char *repository = fill->origin->repository;
	char found[DIGEST_TEXT_SIZE];
	struct digest digest;

	hasher_finish(&fill->hasher, &digest);
	if (digest_equals(&digest, &fill->digest))
		return BW_OK;
	digest_format(&digest, found);
	return origin_fault(fill->origin, error, BW_CORRUPT,
			    "sent %s for blob %s%s%s%s; nothing was kept", found, fill->digest_text,
			    repository ? " of \"" : "", repository ? repository : "",
			    repository ? "\"" : "");
}

/* Between a newcomer's look at the store and its joining here, the previous fill
 * may have ended. Opened and not only looked up, because a blob that cannot be
 * opened is worth fetching: but not when the store is everybody's, and nobody could
 * keep what is fetched while it does not answer. */
static enum status look_at_store(struct fill *fill, struct error *error)
{
	struct object_reader *stored;
	struct error why = {0};
	enum status status;
	uint64_t size;

	if (!fill->origin->upstream) {
		if (!hot_cache_has(fill->table->hot, &fill->digest, &size))
			return BW_OK;
		return error_set(error, BW_CONFLICT, "blob %s was read a moment ago",
				 fill->digest_text);
	}
	status = content_open_blob(fill->table->content, &fill->digest,
				   fill->has_total ? &fill->total : NULL, &stored, &why);
	if (status == BW_OK) {
		object_close(stored);
		return error_set(error, BW_CONFLICT, "blob %s is stored already",
				 fill->digest_text);
	}
	if (status == BW_ABSENT || !fill->table->remote_objects)
		return BW_OK;
	return error_set(error, BW_UNAVAILABLE, "object store: %s", why.message);
}

/* PENDING to DONE. BW_CONFLICT: there is nothing to do, it is stored. */
static enum status fetch_verified(struct fill *fill, struct error *error)
{
	enum status status;

	if (atomic_load(&fill->table->cancelled))
		return error_set(error, BW_CANCELLED, "blob %s: stopping", fill->digest_text);
	status = look_at_store(fill, error);
	if (status == BW_OK)
		status = spool_create(&fill->table->spool, &fill->digest,
				      fill->has_total ? fill->total : 0, &fill->spool, error);
	if (status == BW_OK)
		status = fetch(fill, error);
	if (status == BW_OK)
		status = verify(fill, error);
	return status;
}

static void count(const struct fill *fill, const char *result)
{
	if (fill->origin->upstream)
		metric_inc(M_FILLS, fill->origin->upstream, result);
	else
		metric_inc(M_STORE_FILLS, result);
}

/* What the store sent was not the blob: it is read once more, lest a fault on the
 * way be taken for damage, and removed if it is damaged, so that it can be fetched or
 * pushed anew. */
static void report_damage(struct fill *fill)
{
	struct error error = {0};
	enum status status = content_recheck_blob(fill->table->content, &fill->digest, &error);

	log_event(LOG_ERROR,
		  status == BW_OK ? "stored blob was damaged on its way from the object store"
				  : "stored blob is damaged",
		  LOG_S("digest", fill->digest_text), LOG_B("removed", status == BW_ABSENT),
		  LOG_S("err.message", status == BW_OK ? NULL : error.message));
}

static void fail(struct fill *fill, const struct error *error)
{
	fill_leave_table(fill);
	fill_set_failed(fill, error);
	spool_discard(&fill->spool);
	if (error->code == BW_CONFLICT)
		return;
	count(fill, status_name(error->code));
	/* the upstream is asked next, or the client is told so */
	if (error->code == BW_ABSENT && !fill->origin->upstream)
		return;
	log_event(LOG_WARNING,
		  fill->origin->upstream ? "blob was not fetched"
					 : "blob was not read from the object store",
		  LOG_S("upstream", fill->origin->upstream),
		  LOG_S("repository", fill->origin->repository), LOG_S("digest", fill->digest_text),
		  LOG_I("bytes", fill->written), LOG_S("err.message", error->message));
	if (error->code == BW_CORRUPT && !fill->origin->upstream)
		report_damage(fill);
}

static enum status adopt(struct fill *fill, struct error *error)
{
	struct content *content = fill->table->content;

	if (fill->spool.in_memory)
		return content_copy_blob(content, &fill->digest, fill->written, fill->spool.fd,
					 error);
	return content_adopt_blob(content, &fill->digest, fill->written, fill->spool.path, error);
}

static bool is_ours_to_store(struct fill *fill)
{
	struct origin *origin = fill->origin;

	return origin->stores || (origin->ops->must_store &&
				  origin->ops->must_store(origin, &fill->table->cancelled));
}

/* Readers have all they need; what fails here costs the next pull a fetch. */
static void store(struct fill *fill)
{
	struct error error = {0};

	/* only now is the size known to be true; before the blob is there, so that
	 * nobody finds it stored and not granted */
	if (fill->link_from)
		content_link_blob(fill->table->content, fill->link_from, &fill->digest,
				  fill->written, NULL);
	if (!fill->spool.in_memory) {
		spool_uncount(&fill->spool);
		hot_cache_offer(fill->table->hot, &fill->digest, fill->written, fill->spool.path);
	}
	if (!is_ours_to_store(fill)) {
		count(fill, "verified");
	} else if (adopt(fill, &error) == BW_OK) {
		spool_given_away(&fill->spool);
		count(fill, "stored");
	} else {
		count(fill, "not_stored");
		log_event(LOG_ERROR, "fetched blob was not stored",
			  LOG_S("digest", fill->digest_text), LOG_S("err.message", error.message));
	}
	spool_discard(&fill->spool);
	fill_leave_table(fill);
}

void fill_run(void *argument)
{
	struct fill *fill = argument;
	struct error error = {0};

	if (fetch_verified(fill, &error) == BW_OK) {
		fill_set_done(fill);
		store(fill);
	} else {
		fail(fill, &error);
	}
	if (fill->origin->ops->end)
		fill->origin->ops->end(fill->origin);
	fill_unref(fill);
}
