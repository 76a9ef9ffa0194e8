#include "server/maintenance/background.h"

#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/content/content.h"
#include "server/content/gc_files.h"
#include "server/maintenance/expiry.h"
#include "server/maintenance/last_stop.h"
#include "server/maintenance/reindex.h"

#include <pthread.h>
#include <stdlib.h>

#define SHORTEST_ROUND_MS 1000
#define LONGEST_ROUND_MS 600000 /* ten minutes */
#define REBUILD_AGAIN_MS 60000 /* after a failure */
#define REBUILD_TOLD_MS 10000 /* how far it is */

struct worker {
	pthread_t thread;
	bool running;
};

struct background {
	struct content *content;
	int64_t upload_max_age_ms;
	struct worker janitor;
	struct worker rebuilder;
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
	int64_t round = background->upload_max_age_ms / 4;

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
	enum status status = expire_uploads(background->content, background->upload_max_age_ms,
					    true, &task, &expired, &error);

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

static void *janitor(void *argument)
{
	struct background *background = argument;
	enum status expiry = BW_OK;
	enum status clearing = BW_OK;

	do {
		expiry = expire(background, expiry);
		clearing = clear_collections(background, clearing);
	} while (wait_for(background, round_ms(background)));
	return NULL;
}

/* ---- the index --------------------------------------------------------- */

struct rebuild_log {
	struct reindex_summary summary;
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

	if (!deadline_passed(log->next))
		return;
	log->next = deadline_in(REBUILD_TOLD_MS);
	log_summary("the index is being rebuilt", &log->summary);
}

static enum status rebuild(struct background *background, struct error *error)
{
	struct rebuild_log log = {.next = deadline_in(REBUILD_TOLD_MS)};
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

/* A store with nothing in it has an index that is complete from the first request
 * on. False: not so, or it could not be told now. */
static bool is_complete(struct content *content)
{
	bool empty = false;

	if (content_is_complete(content))
		return true;
	return reindex_not_needed(content, &empty, NULL) == BW_OK && empty &&
	       content_mark_complete(content, NULL) == BW_OK;
}

static enum status complete_index(struct background *background, struct error *error)
{
	if (is_complete(background->content))
		return BW_OK;
	log_event(LOG_INFO, "the index is not complete and is rebuilt; lists are read from the "
			    "object store until then, and there is no catalog");
	return rebuild(background, error);
}

static void *rebuilder(void *argument)
{
	struct background *background = argument;
	enum status status = BW_OK;

	do {
		struct error error = {0};
		enum status before = status;

		status = complete_index(background, &error);
		tell(status, before, "the index cannot be rebuilt now; it is tried again", &error);
	} while (status != BW_OK && wait_for(background, REBUILD_AGAIN_MS));
	return NULL;
}

/* ---- life -------------------------------------------------------------- */

static void start(struct background *background, struct worker *worker, const char *name,
		  void *(*body)(void *argument))
{
	int failed = pthread_create(&worker->thread, NULL, body, background);

	worker->running = failed == 0;
	if (failed) {
		struct error error;

		error_set_errno(&error, BW_IO, failed, "%s", name);
		log_event(LOG_ERROR, "no thread for maintenance",
			  LOG_S("err.message", error.message));
		return;
	}
	pthread_setname_np(worker->thread, name);
}

/* A failure is no reason not to serve: the lists may lack something then. */
static void check_last_stop(struct content *content)
{
	struct error error = {0};

	if (last_stop_check(content, last_stop_boot(), &error) != BW_OK)
		log_event(LOG_WARNING, "it cannot be told whether the index is complete",
			  LOG_S("err.message", error.message));
}

struct background *background_start(struct content *content, int64_t upload_max_age_ms)
{
	struct background *background = xcalloc(1, sizeof(*background));

	check_last_stop(content);

	background->content = content;
	background->upload_max_age_ms = upload_max_age_ms;
	pthread_mutex_init(&background->lock, NULL);
	cond_init(&background->stop);
	start(background, &background->janitor, "janitor", janitor);
	if (!is_complete(content))
		start(background, &background->rebuilder, "reindex", rebuilder);
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
	last_stop_note(background->content, NULL);
	pthread_cond_destroy(&background->stop);
	pthread_mutex_destroy(&background->lock);
	free(background);
}
