#include "server/maintenance/background.h"

#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/thread.h"
#include "server/content/content.h"
#include "server/content/gc_files.h"
#include "server/content/references.h"
#include "server/maintenance/eviction.h"
#include "server/maintenance/expiry.h"
#include "server/maintenance/last_stop.h"
#include "server/maintenance/reindex.h"
#include "server/maintenance/turn.h"

#include <pthread.h>
#include <stdlib.h>

#define SHORTEST_ROUND_MS 1000
#define LONGEST_ROUND_MS 600000 /* ten minutes */
#define REBUILD_AGAIN_MS 60000 /* after failures; after the first sooner, see pause_ms */
#define REBUILD_TOLD_MS 10000 /* how far it is */
#define REBUILD_LOOK_MS 5000 /* is a shared index still complete? */
#define REBUILD_TURN_MS 30000 /* may hang for so long before another one begins */
#define EVICTION_LOOK_MS 10000 /* is the cache over its limit? */
#define EVICTION_TURN_MS 60000

struct worker {
	pthread_t thread;
	bool running;
};

struct background {
	struct background_options options;
	struct content *content;
	struct worker janitor;
	struct worker rebuilder;
	struct worker evictor;
	_Atomic bool stopping; /* also read without the lock, by tasks */
	pthread_mutex_t lock; /* covers waiting for `stopping` */
	pthread_cond_t stop;
};

/* False: it is over. */
static bool wait_for(struct background *background, int64_t ms)
{
	deadline_ms end = deadline_in(ms);

	pthread_mutex_lock(&background->lock);
	while (!atomic_load(&background->stopping) && !deadline_passed(end))
		cond_wait_until(&background->stop, &background->lock, end);
	pthread_mutex_unlock(&background->lock);
	return !atomic_load(&background->stopping);
}

/* ---- the janitor ------------------------------------------------------- */

static int64_t round_ms(const struct background *background)
{
	int64_t round = background->options.upload_max_age_ms / 4;

	if (round < SHORTEST_ROUND_MS)
		return SHORTEST_ROUND_MS;
	return round < LONGEST_ROUND_MS ? round : LONGEST_ROUND_MS;
}

/* A failure that lasts is one line, not one for each round. */
static void tell(enum status status, enum status before, const char *message,
		 const struct error *error)
{
	if (status != BW_OK && status != BW_CANCELLED && status != before)
		log_event(LOG_WARNING, message, LOG_S("err.message", error->message));
}

static enum status expire(struct background *background, enum status before)
{
	struct task task = {.stop = &background->stopping};
	struct expired_uploads expired = {0};
	struct error error = {0};
	enum status status =
		expire_uploads(background->content, background->options.upload_max_age_ms, true,
			       &task, &expired, &error);

	if (expired.sessions + expired.parts > 0) {
		metric_add(M_UPLOADS_EXPIRED, expired.sessions + expired.parts, NULL);
		log_event(LOG_INFO, "abandoned uploads removed", LOG_I("uploads", expired.sessions),
			  LOG_I("without_session", expired.parts));
	}
	tell(status, before, "abandoned uploads cannot be removed", &error);
	return status;
}

static enum status clear_collections(struct background *background, enum status before)
{
	struct error error = {0};
	enum status status = gc_clear_dead(content_objects(background->content), &error);

	tell(status, before, "what a garbage collection left cannot be removed", &error);
	return status;
}

/* What is left of a turn keeps the other replicas from doing it again at once. */
static void look_after_uploads(struct background *background, enum status *expiry,
			       enum status *clearing)
{
	struct turn turn;

	if (turn_take(&turn, background->options.coordination, "janitor", round_ms(background) / 2,
		      NULL) != BW_OK)
		return;
	*expiry = expire(background, *expiry);
	*clearing = clear_collections(background, *clearing);
}

static void *janitor(void *argument)
{
	struct background *background = argument;
	enum status expiry = BW_OK;
	enum status clearing = BW_OK;

	do {
		look_after_uploads(background, &expiry, &clearing);
	} while (wait_for(background, round_ms(background)));
	return NULL;
}

/* ---- the index --------------------------------------------------------- */

struct rebuild_log {
	struct reindex_summary summary;
	struct turn *turn;
	deadline_ms next;
};

static void log_summary(const char *message, const struct reindex_summary *summary)
{
	log_event(LOG_INFO, message, LOG_I("repositories", summary->repositories),
		  LOG_I("manifests", summary->manifests), LOG_I("tags", summary->tags),
		  LOG_I("links", summary->links), LOG_I("blobs", summary->blobs));
}

static void log_progress(void *context)
{
	struct rebuild_log *log = context;

	turn_keep(log->turn);
	if (!deadline_passed(log->next))
		return;
	log->next = deadline_in(REBUILD_TOLD_MS);
	log_summary("the index is being rebuilt", &log->summary);
}

static enum status rebuild(struct background *background, struct turn *turn, struct error *error)
{
	struct rebuild_log log = {.turn = turn, .next = deadline_in(REBUILD_TOLD_MS)};
	struct task task = {.stop = &background->stopping, .tick = log_progress, .context = &log};
	enum status status = reindex(background->content, &task, &log.summary, error);

	if (status != BW_OK)
		return status;
	log_summary("the index is rebuilt", &log.summary);
	if (log.summary.damaged)
		log_event(LOG_WARNING, "what cannot be read was left out of the index",
			  LOG_I("count", log.summary.damaged), LOG_S("first", log.summary.damage));
	return BW_OK;
}

static bool is_empty(struct content *content)
{
	bool empty = false;

	return reindex_not_needed(content, &empty, NULL) == BW_OK && empty;
}

/* A store with nothing in it has an index that is complete from the first request
 * on. It is looked at before as well: to begin takes the end from another replica that
 * is rebuilding. False: not so, or it could not be told now. */
static bool is_complete(struct content *content)
{
	int64_t token = 0;

	if (content_is_complete(content))
		return true;
	return is_empty(content) && content_begin_rebuild(content, &token, NULL) == BW_OK &&
	       is_empty(content) && content_end_rebuild(content, token, NULL) == BW_OK;
}

/* With the turn. */
static enum status complete_index(struct background *background, struct turn *turn,
				  struct error *error)
{
	if (is_complete(background->content))
		return BW_OK;
	log_event(LOG_INFO, "the index is not complete and is rebuilt; lists are read from the "
			    "object store until then, and there is no catalog");
	return rebuild(background, turn, error);
}

static enum status complete_index_in_turn(struct background *background, struct error *error)
{
	struct error trouble = {0};
	struct turn turn;
	enum status status;

	if (content_is_complete(background->content))
		return BW_OK;
	status = turn_take(&turn, background->options.coordination, "rebuild", REBUILD_TURN_MS,
			   &trouble);
	if (status == BW_CONFLICT)
		return BW_OK; /* it is being done */
	if (status == BW_OK) {
		status = complete_index(background, &turn, &trouble);
		turn_give_back(&turn);
	}
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

/* A store that was away for a moment holds up no lists for a minute; one that fails after
 * hours of reading is not read again at once. */
static int64_t pause_ms(unsigned failures)
{
	int64_t pause = REBUILD_LOOK_MS;

	for (unsigned i = 1; i < failures && pause < REBUILD_AGAIN_MS; i++)
		pause *= 2;
	return pause < REBUILD_AGAIN_MS ? pause : REBUILD_AGAIN_MS;
}

/* One that others share may have to be rebuilt at any time. */
static void *rebuilder(void *argument)
{
	struct background *background = argument;
	bool shared = metadata_is_shared(content_metadata(background->content));
	enum status status = BW_OK;
	unsigned failures = 0;

	do {
		struct error error = {0};
		enum status before = status;

		status = complete_index_in_turn(background, &error);
		failures = status == BW_OK ? 0 : failures + 1;
		tell(status, before, "the index cannot be rebuilt now; it is tried again", &error);
	} while ((status != BW_OK || shared) && wait_for(background, pause_ms(failures)));
	return NULL;
}

/* ---- the cache's limit --------------------------------------------------- */

static void keep_turn(void *context)
{
	turn_keep(context);
}

static void count_evicted(const struct eviction_summary *summary)
{
	metric_add(M_CACHE_EVICTED, summary->manifests, "manifest");
	metric_add(M_CACHE_EVICTED, summary->removed.blobs, "blob");
	metric_add(M_CACHE_EVICTED_BYTES, summary->removed.bytes, NULL);
	if (summary->manifests + summary->removed.blobs > 0)
		log_event(LOG_INFO, "cached content evicted",
			  LOG_I("manifests", summary->manifests),
			  LOG_I("blobs", summary->removed.blobs),
			  LOG_I("bytes", summary->removed.bytes),
			  LOG_I("cache_bytes", summary->bytes));
}

/* `stuck`: it was the last time. One line when that changes. */
static void tell_stuck(const struct background *background, const struct eviction_summary *summary,
		       bool *stuck)
{
	bool before = *stuck;

	*stuck = summary->too_young || summary->incomplete;
	metric_set(M_CACHE_STUCK, *stuck, NULL);
	if (*stuck && !before)
		log_event(LOG_WARNING,
			  summary->too_young
				  ? "the cache is over its limit, and all of it was used within "
				    "the last hour, or is what a garbage collection would remove"
				  : "the cache is over its limit, and the index is not complete",
			  LOG_I("cache_bytes", summary->bytes),
			  LOG_I("limit", background->options.max_cache_bytes));
}

static enum status evict_in_turn(struct background *background, bool *stuck, struct error *error)
{
	const struct eviction_options options = {
		.max_bytes = background->options.max_cache_bytes,
		.min_age_ms = EVICTION_MIN_AGE_MS,
		.grace_ms = REFERENCES_EVICTION_MS,
	};
	struct eviction_summary summary = {0};
	struct error trouble = {0};
	struct turn turn;
	struct task task = {.stop = &background->stopping, .tick = keep_turn, .context = &turn};
	enum status status = turn_take(&turn, background->options.coordination, "eviction",
				       EVICTION_TURN_MS, &trouble);

	if (status == BW_CONFLICT)
		return BW_OK; /* it is being done */
	if (status == BW_OK) {
		status = evict(background->content, &options, &task, &summary, &trouble);
		turn_give_back(&turn);
		count_evicted(&summary);
		tell_stuck(background, &summary, stuck);
	}
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

static enum status keep_limit(struct background *background, bool *stuck, struct error *error)
{
	uint64_t bytes = 0;
	enum status status = eviction_measure(background->content, &bytes, error);

	if (status != BW_OK)
		return status;
	metric_set(M_CACHE_BYTES, bytes, NULL);
	if (bytes > background->options.max_cache_bytes)
		return evict_in_turn(background, stuck, error);
	*stuck = false;
	metric_set(M_CACHE_STUCK, 0, NULL);
	return BW_OK;
}

static void *evictor(void *argument)
{
	struct background *background = argument;
	enum status status = BW_OK;
	bool stuck = false;

	do {
		struct error error = {0};
		enum status before = status;

		status = keep_limit(background, &stuck, &error);
		tell(status, before, "cached content cannot be evicted; it is tried again", &error);
	} while (wait_for(background, EVICTION_LOOK_MS));
	return NULL;
}

/* ---- life -------------------------------------------------------------- */

static void start(struct background *background, struct worker *worker, const char *name,
		  void *(*body)(void *argument))
{
	int failed = thread_start(&worker->thread, name, 0, body, background);

	worker->running = failed == 0;
	if (failed) {
		struct error error;

		error_set_errno(&error, BW_IO, failed, "%s", name);
		log_event(LOG_ERROR, "no thread for maintenance",
			  LOG_S("err.message", error.message));
	}
}

/* A failure is no reason not to serve: the lists may lack something then. */
static void check_last_stop(struct content *content)
{
	struct error error = {0};

	if (last_stop_check(content, last_stop_boot(), &error) != BW_OK)
		log_event(LOG_WARNING, "it cannot be told whether the index is complete",
			  LOG_S("err.message", error.message));
}

struct background *background_start(const struct background_options *options)
{
	struct background *background = xcalloc(1, sizeof(*background));
	bool shared = metadata_is_shared(content_metadata(options->content));

	background->options = *options;
	background->content = options->content;
	/* a shared index does not stop with us, and says itself when it was lost */
	if (!shared)
		check_last_stop(options->content);
	pthread_mutex_init(&background->lock, NULL);
	cond_init(&background->stop);
	start(background, &background->janitor, "janitor", janitor);
	if (!is_complete(options->content) || shared)
		start(background, &background->rebuilder, "reindex", rebuilder);
	metric_set(M_CACHE_LIMIT, options->max_cache_bytes, NULL);
	if (options->max_cache_bytes > 0)
		start(background, &background->evictor, "eviction", evictor);
	return background;
}

void background_stop(struct background *background)
{
	if (!background)
		return;
	pthread_mutex_lock(&background->lock);
	atomic_store(&background->stopping, true);
	pthread_cond_broadcast(&background->stop);
	pthread_mutex_unlock(&background->lock);
	if (background->janitor.running)
		pthread_join(background->janitor.thread, NULL);
	if (background->rebuilder.running)
		pthread_join(background->rebuilder.thread, NULL);
	if (background->evictor.running)
		pthread_join(background->evictor.thread, NULL);
	if (!metadata_is_shared(content_metadata(background->content)))
		last_stop_note(background->content, NULL);
	pthread_cond_destroy(&background->stop);
	pthread_mutex_destroy(&background->lock);
	free(background);
}
