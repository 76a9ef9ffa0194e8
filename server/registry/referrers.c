/*
 * What refers to a manifest, as an image index (OCI distribution-spec, "Listing
 * Referrers"): of a cached repository as its upstream has it, of a local one from
 * the index, in pages.
 */
#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/oci/media_type.h"
#include "server/registry/failure.h"
#include "server/registry/registry_private.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_HEAD "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":["
#define INDEX_TAIL "]}"

static bool has_artifact_type(const cJSON *descriptor, const char *artifact_type)
{
	const char *type = json_string(descriptor, "artifactType");

	return type && strcmp(type, artifact_type) == 0;
}

/* The index again, with the descriptors of one artifactType only. */
static enum status filter(struct buf *body, const char *index, size_t length,
			  const char *artifact_type, struct error *error)
{
	const cJSON *descriptor;
	cJSON *json = NULL;
	bool first = true;
	enum status status = json_parse(index, length, &json, error);

	if (status != BW_OK)
		return status;
	buf_append_string(body, INDEX_HEAD);
	cJSON_ArrayForEach(descriptor, json_member(json, "manifests"))
	{
		char *text;

		if (!has_artifact_type(descriptor, artifact_type))
			continue;
		text = cJSON_PrintUnformatted(descriptor);
		if (!first)
			buf_append_char(body, ',');
		buf_append_string(body, text ? text : "{}");
		first = false;
		free(text);
	}
	buf_append_string(body, INDEX_TAIL);
	cJSON_Delete(json);
	return BW_OK;
}

/* ---- of a cached repository ----------------------------------------------- */

static bool cached_referrers(struct registry *registry, const struct target *target,
			     const struct digest *subject, const char *artifact_type,
			     struct registry_document *document, struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct error error = {0};
	char *index = NULL;
	size_t length = 0;
	enum status status = cache_get_referrers(registry->cache, &source, subject, &index, &length,
						 &document->verdict, &error);

	if (status != BW_OK)
		return failure_from_error(failure, status, &error, API_NAME_UNKNOWN);
	if (artifact_type)
		status = filter(document->body, index, length, artifact_type, &error);
	else
		buf_append(document->body, index, length);
	free(index);
	return status == BW_OK || failure_from_error(failure, status, &error, API_NAME_UNKNOWN);
}

/* ---- of a local one ------------------------------------------------------- */

struct page {
	struct buf *body;
	const char *artifact_type; /* NULL: all */
	struct digest last; /* of the last one that was looked at */
	bool has_any;
	bool is_full; /* there are more */
};

static bool is_wanted(const struct page *page, const char *descriptor)
{
	cJSON *json = NULL;
	bool wanted;

	if (!page->artifact_type)
		return true;
	wanted = json_parse(descriptor, strlen(descriptor), &json, NULL) == BW_OK &&
		 has_artifact_type(json, page->artifact_type);
	cJSON_Delete(json);
	return wanted;
}

/* The first one has its place however long it is: else there were no way on. */
static bool add_referrer(void *context, const struct digest *digest, const char *descriptor)
{
	struct page *page = context;
	size_t length = strlen(descriptor);

	if (!is_wanted(page, descriptor)) {
		page->last = *digest;
		return true;
	}
	page->is_full = page->has_any &&
			page->body->length + length + strlen("," INDEX_TAIL) > REFERRERS_PAGE_BYTES;
	if (page->is_full)
		return false;
	if (page->has_any)
		buf_append_char(page->body, ',');
	buf_append(page->body, descriptor, length);
	page->has_any = true;
	page->last = *digest;
	return true;
}

static char *link_after(const struct page *page, const char *name, const char *subject)
{
	char last[DIGEST_TEXT_SIZE];
	struct buf link = BUF_INIT((size_t)64 << 10);

	if (!page->is_full)
		return NULL;
	digest_format(&page->last, last);
	buf_append_string(&link, "/v2/");
	buf_append_percent(&link, name, "/");
	buf_printf(&link, "/referrers/%s?last=%s", subject, last);
	if (page->artifact_type) {
		buf_append_string(&link, "&artifactType=");
		buf_append_percent(&link, page->artifact_type, NULL);
	}
	return buf_detach(&link, NULL);
}

static bool local_referrers(struct registry *registry, const struct target *target,
			    const struct digest *subject, const struct digest *after,
			    struct page *page, struct api_failure *failure)
{
	struct error error = {0};
	enum status status;

	buf_append_string(page->body, INDEX_HEAD);
	status = content_list_referrers(registry->content, target->stored, subject, after,
					add_referrer, page, &error);
	buf_append_string(page->body, INDEX_TAIL);
	/* nothing is known to refer to what is not here: an empty index, never a 404 */
	return status == BW_OK || status == BW_ABSENT ||
	       failure_from_stores(failure, status, &error, API_NAME_UNKNOWN);
}

bool registry_get_referrers(struct registry *registry, const struct target *target,
			    const char *name, const char *digest_text, const char *artifact_type,
			    const char *last, struct registry_document *ret_document,
			    struct api_failure *failure)
{
	struct registry_document document = {
		.content_type = MEDIA_OCI_INDEX,
		.filters_applied = artifact_type && *artifact_type,
		.verdict = CACHE_LOCAL,
	};
	struct page page = {.artifact_type = document.filters_applied ? artifact_type : NULL};
	struct digest subject, after;
	bool listed;

	if (!parse_path_digest(digest_text, &subject, failure) ||
	    (last && *last && !parse_path_digest(last, &after, failure)))
		return false;
	if (artifact_type && strlen(artifact_type) >= MEDIA_TYPE_MAX) /* no such type */
		return failure_set(failure, 400, API_UNSUPPORTED,
				   "an artifactType has at most %d characters", MEDIA_TYPE_MAX - 1);
	document.body = document_body_new();
	page.body = document.body;
	if (target->upstream)
		listed = cached_referrers(registry, target, &subject, page.artifact_type, &document,
					  failure);
	else
		listed = local_referrers(registry, target, &subject, last && *last ? &after : NULL,
					 &page, failure);
	if (!listed) {
		registry_document_release(&document);
		return false;
	}
	document.link = link_after(&page, name, digest_text);
	*ret_document = document;
	return true;
}
