/*
 * Serving a manifest: which copy, and when to ask the upstream.
 *
 *   by digest  stored: hit. Otherwise fetch: miss.
 *   by tag     fresh: hit. Within staleWhileRevalidate: hit, and a HEAD in the
 *              background. Expired: one HEAD decides (revalidated, or a fetch).
 *              Not stored: fetch. The upstream fails: stale, if there is a copy
 *              and staleOn says so.
 */
#include "server/base/log.h"
#include "server/base/lru.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/work_pool.h"
#include "server/cache/cache_private.h"
#include "server/cache/flight.h"
#include "server/cache/freshness.h"
#include "server/cache/negative.h"
#include "server/upstream/upstream.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a request waits for another one's question; longer than a question
 * to a few hanging mirrors takes. */
#define FOLLOW_MS 60000

struct question {
	struct cache *cache;
	const struct cache_source *source;
	const struct reference *reference;
	const char *key;
	struct tag_view *tag; /* the expired copy; NULL: none */
	int64_t validated_at; /* of the copy, when it was found expired */
	uint64_t moment; /* when it arose; see cache_moment */
};

/* ---- what the leader of a flight does ---------------------------------- */

static void answer_with_fetch(struct question *question, struct flight_answer *answer)
{
	answer->status = cache_fetch_manifest(question->cache, question->source,
					      question->reference, &answer->view, &answer->error);
	answer->verdict = CACHE_MISS;
	if (answer->status == BW_ABSENT)
		negative_put(question->cache->negatives, question->key,
			     upstream_configuration(question->source->upstream)->negative_ttl_ms);
}

/* Has the tag been written or confirmed since the question arose? */
static bool is_newer(const struct question *question, struct tag_view *tag)
{
	return !question->tag || tag->version > question->tag->version ||
	       atomic_load(&tag->validated_at) > question->validated_at;
}

/* Somebody else's flight may have landed between our look and our taking off. */
static bool answered_meanwhile(struct question *question, struct flight_answer *answer)
{
	struct tag_view *tag;

	if (question->reference->is_digest) {
		answer->view = lru_get(question->cache->manifests, question->key);
	} else if ((tag = lru_get(question->cache->tags, question->key))) {
		if (is_newer(question, tag))
			answer->view = manifest_view_ref(tag->view);
		tag_view_unref(tag);
	}
	answer->verdict = CACHE_HIT;
	if (!answer->view && negative_has(question->cache->negatives, question->key)) {
		/* who read the stores before the tag was removed there may have put
		 * it here since */
		if (question->tag)
			lru_remove(question->cache->tags, question->key);
		answer->status =
			cache_known_absent(question->source, "such manifest", &answer->error);
	}
	return answer->view || answer->status != BW_OK;
}

static void lead_fetch(void *context, struct flight_answer *answer)
{
	struct question *question = context;

	if (!answered_meanwhile(question, answer))
		answer_with_fetch(question, answer);
}

static void confirm_tag(struct question *question)
{
	int64_t now = clock_wall_ms();
	struct tag_view *kept;

	atomic_store(&question->tag->validated_at, now);
	/* it may have left memory, and come back as another view, meanwhile */
	kept = cache_keep_tag(question->cache, question->key, tag_view_ref(question->tag),
			      question->moment);
	if (kept->version == question->tag->version)
		atomic_store(&kept->validated_at, now);
	tag_view_unref(kept);
	content_touch_tag(question->cache->content, question->source->stored,
			  question->reference->text, question->tag->version, now);
}

/* The upstream is sure that the tag is gone: the copy must not come back in the
 * next outage. */
static void forget_tag(struct question *question)
{
	struct error error = {0};

	lru_remove(question->cache->tags, question->key);
	negative_put(question->cache->negatives, question->key,
		     upstream_configuration(question->source->upstream)->negative_ttl_ms);
	if (content_remove_tag(question->cache->content, question->source->stored,
			       question->reference->text, &error) != BW_OK)
		log_event(LOG_ERROR, "a tag that its upstream deleted is still stored",
			  LOG_S("repository", question->source->stored),
			  LOG_S("tag", question->reference->text),
			  LOG_S("err.message", error.message));
}

/* The tag moved to a digest that may be stored already (moved back, or listed
 * by an index): then no manifest needs to be fetched. */
static bool moved_to_stored(struct question *question, const struct digest *digest,
			    struct flight_answer *answer)
{
	if (cache_stored_manifest(question->cache, question->source, digest, &answer->view, NULL) !=
	    BW_OK)
		return false;
	cache_point_tag(question->cache, question->source, question->reference, answer->view,
			question->moment);
	answer->verdict = CACHE_REVALIDATED;
	return true;
}

static void lead_revalidation(void *context, struct flight_answer *answer)
{
	struct question *question = context;
	struct upstream_manifest head = {0};

	if (answered_meanwhile(question, answer))
		return;
	answer->status =
		upstream_head_manifest(question->source->upstream, question->source->repository,
				       question->reference, &head, &answer->error);
	if (answer->status == BW_OK && digest_equals(&head.digest, &question->tag->view->digest)) {
		confirm_tag(question);
		answer->view = manifest_view_ref(question->tag->view);
		answer->verdict = CACHE_REVALIDATED;
	} else if (answer->status == BW_UNSUPPORTED ||
		   (answer->status == BW_OK && !moved_to_stored(question, &head.digest, answer))) {
		answer_with_fetch(question, answer);
	}
	if (answer->status == BW_ABSENT)
		forget_tag(question);
	upstream_manifest_release(&head);
}

/* ---- background refresh ------------------------------------------------- */

struct refresh {
	struct cache *cache;
	struct held_source held;
	struct reference reference;
	struct tag_view *tag;
	uint64_t moment; /* of the question whose tag this is */
};

static void ask(struct question *question, struct flight_answer *answer)
{
	flight_ask(question->cache->flights, question->key, deadline_in(FOLLOW_MS),
		   question->tag ? lead_revalidation : lead_fetch, question, answer);
}

static void refresh_run(void *argument)
{
	struct refresh *refresh = argument;
	struct flight_answer answer = {0};
	char key[CACHE_KEY_SIZE];
	struct question question = {
		.cache = refresh->cache,
		.source = &refresh->held.source,
		.reference = &refresh->reference,
		.key = key,
		.tag = refresh->tag,
		.validated_at = atomic_load(&refresh->tag->validated_at),
		.moment = refresh->moment,
	};

	cache_key(key, &refresh->held.source, &refresh->reference);
	if (!atomic_load(&refresh->cache->stopping))
		ask(&question, &answer);
	if (answer.status != BW_OK)
		log_event(LOG_WARNING, "background refresh failed",
			  LOG_S("repository", refresh->held.source.stored),
			  LOG_S("tag", refresh->reference.text),
			  LOG_S("err.message", answer.error.message));
	atomic_store(&refresh->tag->refreshing, false);
	manifest_view_unref(answer.view);
	tag_view_unref(refresh->tag);
	held_source_release(&refresh->held);
	free(refresh);
}

static void refresh_in_background(const struct question *question)
{
	struct cache *cache = question->cache;
	struct tag_view *tag = question->tag;
	struct refresh *refresh;

	if (atomic_exchange(&tag->refreshing, true))
		return;
	refresh = xcalloc(1, sizeof(*refresh));
	refresh->cache = cache;
	refresh->reference = *question->reference;
	refresh->tag = tag_view_ref(tag);
	refresh->moment = question->moment;
	held_source_init(&refresh->held, question->source);
	if (work_pool_submit(cache->background, refresh_run, refresh))
		return;
	atomic_store(&tag->refreshing, false);
	tag_view_unref(refresh->tag);
	held_source_release(&refresh->held);
	free(refresh);
}

/* ---- what is stored ------------------------------------------------------ */

static void log_unreadable(const struct question *question, const struct error *trouble)
{
	log_event(LOG_ERROR, "stored manifest is not readable; the upstream is asked",
		  LOG_S("repository", question->source->stored),
		  LOG_S("reference", question->reference->text),
		  LOG_S("err.message", trouble->message));
}

/* Is the copy in memory what the stores have? They may have less, when they did not
 * take what was fetched. */
static bool is_up_to_date(struct tag_view *tag, enum status status, const struct tag_entry *entry)
{
	if (status != BW_OK)
		return status != BW_ABSENT;
	if (entry->version == tag->version && entry->validated_at > atomic_load(&tag->validated_at))
		atomic_store(&tag->validated_at, entry->validated_at);
	return entry->version <= tag->version;
}

static struct tag_view *load_tag(const struct question *question, const struct tag_entry *entry,
				 struct error *error)
{
	struct manifest_view *view;

	if (cache_stored_manifest(question->cache, question->source, &entry->digest, &view,
				  error) != BW_OK)
		return NULL;
	return cache_keep_tag(question->cache, question->key, tag_view_new(view, entry),
			      question->moment);
}

/* The tag's copy from memory or the stores; NULL: none, or none to be had. */
static struct tag_view *stored_tag(const struct question *question)
{
	struct cache *cache = question->cache;
	bool told = cache_is_told(cache);
	struct tag_view *tag = lru_get(cache->tags, question->key);
	struct error trouble = {0};
	struct tag_entry entry;
	enum status status;

	if (tag && cache_believes(cache, told, &tag->checked_at))
		return tag;
	status = content_get_tag(cache->content, question->source->stored,
				 question->reference->text, &entry, &trouble);
	if (tag && is_up_to_date(tag, status, &entry))
		return tag;
	if (tag && status == BW_ABSENT)
		lru_remove(cache->tags, question->key);
	tag_view_unref(tag);
	tag = status == BW_OK ? load_tag(question, &entry, &trouble) : NULL;
	if (!tag && trouble.code != BW_OK && trouble.code != BW_ABSENT)
		log_unreadable(question, &trouble);
	return tag;
}

static enum status serve_stale(const struct question *question, const struct error *failure,
			       struct manifest_view **ret_view, enum cache_verdict *ret_verdict)
{
	const struct cache_source *source = question->source;
	struct manifest_view *view = question->tag->view;

	metric_inc(M_PROXY_STALE, upstream_name(source->upstream));
	log_event(LOG_WARNING, "serving a stale manifest",
		  LOG_S("upstream", upstream_name(source->upstream)),
		  LOG_S("repository", source->stored), LOG_S("tag", question->reference->text),
		  LOG_S("digest", view->digest_text), LOG_S("err.message", failure->message));
	*ret_view = manifest_view_ref(view);
	*ret_verdict = CACHE_STALE;
	return BW_OK;
}

/* A failure that a copy would have made good. */
static void say_no_copy(struct error *failure)
{
	size_t length = strlen(failure->message);

	snprintf(failure->message + length, sizeof(failure->message) - length, "; no cached copy");
}

/* Asks the upstream, with `tag` (or NULL) to fall back on. */
static enum status ask_upstream(struct question *question, struct manifest_view **ret_view,
				enum cache_verdict *ret_verdict, struct error *error)
{
	const struct upstream_config *config = upstream_configuration(question->source->upstream);
	struct flight_answer answer = {0};

	ask(question, &answer);
	if (answer.status == BW_OK) {
		*ret_view = answer.view;
		*ret_verdict = answer.verdict;
		return BW_OK;
	}
	if (question->tag && freshness_may_serve_stale(config, &answer.error))
		return serve_stale(question, &answer.error, ret_view, ret_verdict);
	if (!question->tag && freshness_may_serve_stale(config, &answer.error))
		say_no_copy(&answer.error);
	if (error)
		*error = answer.error;
	return answer.status;
}

static enum status get_by_digest(struct question *question, struct manifest_view **ret_view,
				 enum cache_verdict *ret_verdict, struct error *error)
{
	struct error trouble = {0};
	enum status status =
		cache_stored_manifest(question->cache, question->source,
				      &question->reference->digest, ret_view, &trouble);

	if (status == BW_OK) {
		*ret_verdict = CACHE_HIT;
		return BW_OK;
	}
	if (status != BW_ABSENT)
		log_unreadable(question, &trouble);
	if (negative_has(question->cache->negatives, question->key))
		return cache_known_absent(question->source, "such manifest", error);
	return ask_upstream(question, ret_view, ret_verdict, error);
}

static enum freshness freshness_of_copy(struct question *question)
{
	const struct upstream_config *config = upstream_configuration(question->source->upstream);

	if (!question->tag)
		return EXPIRED;
	question->validated_at = atomic_load(&question->tag->validated_at);
	return freshness_of(question->validated_at, clock_wall_ms(),
			    freshness_tag_ttl(config, question->reference->text),
			    config->stale_while_revalidate_ms);
}

static enum status get_by_tag(struct question *question, struct manifest_view **ret_view,
			      enum cache_verdict *ret_verdict, struct error *error)
{
	const struct cache_source *source = question->source;
	enum freshness freshness;
	enum status status;

	question->tag = stored_tag(question);
	freshness = freshness_of_copy(question);
	if (freshness != EXPIRED) {
		if (freshness == STALE_USABLE)
			refresh_in_background(question);
		*ret_view = manifest_view_ref(question->tag->view);
		*ret_verdict = CACHE_HIT;
		status = BW_OK;
	} else if (!question->tag && negative_has(question->cache->negatives, question->key)) {
		status = cache_known_absent(source, "such tag", error);
	} else {
		status = ask_upstream(question, ret_view, ret_verdict, error);
	}
	tag_view_unref(question->tag);
	return status;
}

enum status cache_get_manifest(struct cache *cache, const struct cache_source *source,
			       const struct reference *reference, bool prefetch,
			       struct manifest_view **ret_view, enum cache_verdict *ret_verdict,
			       struct error *error)
{
	char key[CACHE_KEY_SIZE];
	struct question question = {
		.cache = cache,
		.source = source,
		.reference = reference,
		.key = key,
		.moment = cache_moment(cache),
	};
	enum cache_verdict verdict = CACHE_MISS;
	struct manifest_view *view = NULL;
	enum status status;

	cache_key(key, source, reference);
	status = reference->is_digest ? get_by_digest(&question, &view, &verdict, error)
				      : get_by_tag(&question, &view, &verdict, error);
	cache_count(source, "manifest", status, verdict);
	if (status != BW_OK)
		return status;
	cache_note_use(cache, source, view);
	if (prefetch)
		prefetch_blobs(cache, source, view);
	*ret_view = view;
	*ret_verdict = verdict;
	return BW_OK;
}
