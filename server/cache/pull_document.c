/*
 * Lists that an upstream gives: its tags, the referrers of a manifest. Kept
 * whole, as small JSON bodies, for manifestTTL; served stale like manifests.
 */
#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/cache/cache_private.h"
#include "server/cache/freshness.h"
#include "server/cache/negative.h"
#include "server/oci/media_type.h"
#include "server/upstream/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 100
/* For all pages of a list: an upstream that has ever another one, slowly, would
 * hold the worker of everybody who asks. */
#define PAGES_MS 60000
#define DOCUMENT_MAX ((size_t)16 << 20)

/* A kind of list: where it is asked and which member of the pages holds it. */
struct list_kind {
	const char *name; /* of the document, and the metric's label */
	const char *accept;
	const char *member;
	const char *head; /* the joined document before and after its items */
	const char *tail;
};

static const struct list_kind tag_lists = {
	.name = "tags",
	.accept = "application/json",
	.member = "tags",
	.head = "{\"tags\":[",
	.tail = "]}",
};

static const struct list_kind referrer_lists = {
	.name = "referrers",
	.accept = MEDIA_OCI_INDEX,
	.member = "manifests",
	.head = "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[",
	.tail = "]}",
};

static enum status bad_page(const struct cache_source *source, const struct list_kind *kind,
			    struct error *error)
{
	return upstream_fault(source->upstream, source->repository, error, BW_UNREACHABLE,
			      "sent a list of %s of \"%s\" that is not one", kind->name,
			      source->repository);
}

/* Appends one page's items. */
static enum status append_page(const struct cache_source *source, const struct list_kind *kind,
			       const struct upstream_document *page, struct buf *items,
			       struct error *error)
{
	const cJSON *list, *item;
	cJSON *json = NULL;

	if (json_parse(page->body, page->body_length, &json, NULL) != BW_OK)
		return bad_page(source, kind, error);
	list = json_member(json, kind->member);
	/* registries answer "tags": null for a repository without any */
	if (!cJSON_IsArray(list) && !cJSON_IsNull(list)) {
		cJSON_Delete(json);
		return bad_page(source, kind, error);
	}
	cJSON_ArrayForEach(item, list)
	{
		char *text = cJSON_PrintUnformatted(item);

		if (items->length > 0)
			buf_append_char(items, ',');
		buf_append_string(items, text ? text : "null");
		free(text);
	}
	cJSON_Delete(json);
	if (items->overflow)
		return upstream_fault(source->upstream, source->repository, error, BW_TOO_LARGE,
				      "the list of %s of \"%s\" is over %zu MiB", kind->name,
				      source->repository, DOCUMENT_MAX >> 20);
	return BW_OK;
}

/* Asks page after page. */
static enum status fetch_pages(const struct cache_source *source, const struct list_kind *kind,
			       const char *path, struct buf *items, struct error *error)
{
	deadline_ms deadline = deadline_in(PAGES_MS);
	char *next = xstrdup(path);
	enum status status = BW_OK;

	for (unsigned pages = 0; status == BW_OK && next && pages < PAGES_MAX; pages++) {
		struct upstream_document page = {0};

		status = upstream_get_document(source->upstream, source->repository, next,
					       kind->accept, &page, error);
		if (status == BW_OK)
			status = append_page(source, kind, &page, items, error);
		if (status == BW_OK && page.next && deadline_passed(deadline))
			status = upstream_fault(
				source->upstream, source->repository, error, BW_TIMEOUT,
				"has not sent the whole list of %s of \"%s\" within %d s",
				kind->name, source->repository, PAGES_MS / 1000);
		free(next);
		next = page.next;
		page.next = NULL;
		upstream_document_release(&page);
	}
	if (status == BW_OK && next)
		log_event(LOG_WARNING,
			  "a list has more pages than are asked for; its end is missing",
			  LOG_S("upstream", upstream_name(source->upstream)),
			  LOG_S("repository", source->repository), LOG_S("kind", kind->name));
	free(next);
	return status;
}

#define FALLBACK_HEX_MAX 64

/* The fallback tag (distribution-spec, "Unavailable Referrers API"): an index
 * under "<algorithm>-<the first 64 digits>". No such tag: nothing refers to the
 * subject. */
static enum status fetch_fallback(const struct cache_source *source, const char *digest_text,
				  struct buf *items, struct error *error)
{
	struct upstream_manifest fetched = {0};
	struct upstream_document page = {0};
	struct reference reference;
	char tag[DIGEST_TEXT_SIZE];
	char *hex;
	enum status status;

	str_copy(tag, sizeof(tag), digest_text);
	hex = strchr(tag, ':') + 1;
	hex[-1] = '-';
	if (strlen(hex) > FALLBACK_HEX_MAX)
		hex[FALLBACK_HEX_MAX] = '\0';
	if (!reference_parse(tag, strlen(tag), &reference))
		return BW_OK;
	status = upstream_get_manifest(source->upstream, source->repository, &reference, &fetched,
				       error);
	if (status == BW_ABSENT)
		return BW_OK;
	if (status == BW_OK) {
		page.body = fetched.body;
		page.body_length = fetched.body_length;
		status = append_page(source, &referrer_lists, &page, items, error);
	}
	upstream_manifest_release(&fetched);
	return status;
}

/* Each page was within the limits of JSON that we read; all of them together
 * need not be, and what is kept must be readable again. */
static bool is_readable(const struct buf *body)
{
	cJSON *json = NULL;
	bool readable =
		!body->overflow && json_parse(body->data, body->length, &json, NULL) == BW_OK;

	cJSON_Delete(json);
	return readable;
}

static enum status fetch_list(const struct cache_source *source, const struct list_kind *kind,
			      const char *key, const char *path, struct buf *body,
			      struct error *error)
{
	struct buf items = BUF_INIT(DOCUMENT_MAX);
	enum status status = fetch_pages(source, kind, path, &items, error);

	if (status == BW_ABSENT && kind == &referrer_lists)
		status = fetch_fallback(source, key, &items, error);
	if (status == BW_OK) {
		buf_append_string(body, kind->head);
		buf_append_string(body, buf_string(&items));
		buf_append_string(body, kind->tail);
		if (!is_readable(body))
			status =
				upstream_fault(source->upstream, source->repository, error,
					       BW_TOO_LARGE, "the list of %s of \"%s\" is too long",
					       kind->name, source->repository);
		metric_add(M_PROXY_PULLED_BYTES, body->length, kind->name,
			   upstream_name(source->upstream));
	}
	buf_release(&items);
	return status;
}

struct answer {
	char *body; /* owned */
	size_t length;
	enum cache_verdict verdict;
};

static void take_document(struct document_entry *entry, enum cache_verdict verdict,
			  struct answer *answer)
{
	answer->body = entry->body;
	answer->length = entry->body_length;
	answer->verdict = verdict;
	entry->body = NULL;
	document_entry_release(entry);
}

/* Fetches and keeps; what cannot be kept is served anyway. */
static enum status refresh(struct cache *cache, const struct cache_source *source,
			   const struct list_kind *kind, const char *key, const char *path,
			   struct answer *answer, struct error *error)
{
	struct buf body = BUF_INIT(DOCUMENT_MAX + 256);
	struct document_entry entry = {.validated_at = clock_wall_ms()};
	struct error store_error = {0};
	enum status status = fetch_list(source, kind, key, path, &body, error);

	if (status != BW_OK) {
		buf_release(&body);
		return status;
	}
	entry.body = body.data;
	entry.body_length = body.length;
	str_copy(entry.media_type, sizeof(entry.media_type), kind->accept);
	if (content_put_document(cache->content, source->stored, kind->name, key, &entry,
				 &store_error) != BW_OK)
		log_event(LOG_ERROR, "a fetched list was not stored; it was served all the same",
			  LOG_S("repository", source->stored), LOG_S("kind", kind->name),
			  LOG_S("err.message", store_error.message));
	answer->body = buf_detach(&body, &answer->length);
	answer->verdict = CACHE_MISS;
	return BW_OK;
}

/* Stands where a list was that the upstream does not have any more: the old copy
 * must not come back in the next outage. */
static const char gone[] = "{}";

static void forget_list(struct cache *cache, const struct cache_source *source,
			const struct list_kind *kind, const char *key)
{
	struct document_entry entry = {.body_length = strlen(gone)};

	entry.body = xstrdup(gone);
	content_put_document(cache->content, source->stored, kind->name, key, &entry, NULL);
	document_entry_release(&entry);
}

/* The stored copy, or an empty entry. */
static void load_list(struct cache *cache, const struct cache_source *source,
		      const struct list_kind *kind, const char *key, struct document_entry *stored)
{
	if (content_get_document(cache->content, source->stored, kind->name, key, stored, NULL) ==
		    BW_OK &&
	    stored->body_length == strlen(gone))
		document_entry_release(stored);
}

static enum status get_list(struct cache *cache, const struct cache_source *source,
			    const struct list_kind *kind, const char *key, const char *path,
			    struct answer *answer, struct error *error)
{
	const struct upstream_config *config = upstream_configuration(source->upstream);
	char absent_key[CACHE_KEY_SIZE + 16];
	struct document_entry stored = {0};
	struct error failure = {0};
	enum status status;

	snprintf(absent_key, sizeof(absent_key), "%s %s %s", source->stored, kind->name, key);
	load_list(cache, source, kind, key, &stored);
	if (stored.body && freshness_of(stored.validated_at, clock_wall_ms(),
					config->manifest_ttl_ms, 0) == FRESH) {
		take_document(&stored, CACHE_HIT, answer);
		return BW_OK;
	}
	if (!stored.body && negative_has(cache->negatives, absent_key))
		return cache_known_absent(source, kind->name, error);
	status = refresh(cache, source, kind, key, path, answer, &failure);
	if (status == BW_ABSENT) {
		negative_put(cache->negatives, absent_key, config->negative_ttl_ms);
		if (stored.body)
			forget_list(cache, source, kind, key);
	}
	if (status != BW_OK && stored.body && freshness_may_serve_stale(config, &failure)) {
		metric_inc(M_PROXY_STALE, upstream_name(source->upstream));
		take_document(&stored, CACHE_STALE, answer);
		return BW_OK;
	}
	document_entry_release(&stored);
	if (status != BW_OK && error)
		*error = failure;
	return status;
}

/* ---- tags ----------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that are no tags are left out: an upstream's list is not to be trusted
 * more than its manifests. */
static void names_of(const cJSON *list, struct tag_names *tags)
{
	const cJSON *item;
	size_t count = 0, unique = 0;

	tags->names = xcalloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*tags->names));
	cJSON_ArrayForEach(item, list)
	{
		if (cJSON_IsString(item) && tag_valid(item->valuestring, strlen(item->valuestring)))
			tags->names[count++] = xstrdup(item->valuestring);
	}
	qsort(tags->names, count, sizeof(*tags->names), compare_names);
	for (size_t i = 0; i < count; i++) {
		/* pages may overlap */
		if (unique > 0 && strcmp(tags->names[unique - 1], tags->names[i]) == 0)
			free(tags->names[i]);
		else
			tags->names[unique++] = tags->names[i];
	}
	tags->count = unique;
}

void tag_names_release(struct tag_names *tags)
{
	for (size_t i = 0; i < tags->count; i++)
		free(tags->names[i]);
	free(tags->names);
	*tags = (struct tag_names){0};
}

enum status cache_list_tags(struct cache *cache, const struct cache_source *source,
			    struct tag_names *ret_tags, enum cache_verdict *ret_verdict,
			    struct error *error)
{
	struct answer answer = {0};
	struct tag_names tags;
	cJSON *json = NULL;
	enum status status =
		get_list(cache, source, &tag_lists, "", "tags/list?n=1000", &answer, error);

	cache_count(source, tag_lists.name, status, answer.verdict);
	if (status != BW_OK)
		return status;
	status = json_parse(answer.body, answer.length, &json, error);
	free(answer.body);
	if (status != BW_OK)
		return status;
	names_of(json_member(json, "tags"), &tags);
	cJSON_Delete(json);
	*ret_tags = tags;
	*ret_verdict = answer.verdict;
	return BW_OK;
}

/* ---- referrers ------------------------------------------------------------ */

enum status cache_get_referrers(struct cache *cache, const struct cache_source *source,
				const struct digest *subject, char **ret_body, size_t *ret_length,
				enum cache_verdict *ret_verdict, struct error *error)
{
	char key[DIGEST_TEXT_SIZE], path[DIGEST_TEXT_SIZE + 16];
	struct answer answer = {0};
	enum status status;

	digest_format(subject, key);
	snprintf(path, sizeof(path), "referrers/%s", key);
	status = get_list(cache, source, &referrer_lists, key, path, &answer, error);
	cache_count(source, referrer_lists.name, status, answer.verdict);
	if (status != BW_OK)
		return status;
	*ret_body = answer.body;
	*ret_length = answer.length;
	*ret_verdict = answer.verdict;
	return BW_OK;
}
