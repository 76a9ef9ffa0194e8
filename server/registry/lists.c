/*
 * Lists as JSON bodies: tags in pages, referrers filtered
 * (OCI distribution-spec, "Listing Tags", "Listing Referrers").
 */
#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/oci/media_type.h"
#include "server/registry/failure.h"
#include "server/registry/registry_private.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX ((size_t)32 << 20)

static struct buf *body_new(void)
{
	struct buf *body = xcalloc(1, sizeof(*body));

	*body = BUF_INIT(LIST_MAX);
	return body;
}

void registry_document_release(struct registry_document *document)
{
	if (document->body)
		buf_release(document->body);
	free(document->body);
	free(document->link);
	*document = (struct registry_document){0};
}

/* ---- tags ----------------------------------------------------------------- */

/* How many tags at most. False: 400. */
static bool parse_page_size(const char *n, uint64_t *ret_limit, struct api_failure *failure)
{
	uint64_t limit = TAGS_PAGE_MAX;

	if (n && !str_parse_u64(n, strlen(n), &limit))
		return failure_set(failure, 400, API_PAGINATION_NUMBER_INVALID,
				   "n=%.40s is not a number of tags", n);
	*ret_limit = limit < TAGS_PAGE_MAX ? limit : TAGS_PAGE_MAX;
	return true;
}

/* The first tag after `last`; the list is sorted. */
static size_t first_after(const struct tag_names *tags, const char *last)
{
	size_t low = 0, high = tags->count;

	while (last && low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(tags->names[middle], last) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static char *link_after(const struct target *target, const char *name, const char *last,
			uint64_t limit)
{
	struct buf link = BUF_INIT(4096);

	buf_append_string(&link, "/v2/");
	buf_append_percent(&link, name, "/");
	buf_printf(&link, "/tags/list?n=%llu&last=", (unsigned long long)limit);
	buf_append_percent(&link, last, NULL);
	if (target->by_ns) {
		buf_append_string(&link, "&ns=");
		buf_append_percent(&link, target_namespace(target), NULL);
	}
	return buf_detach(&link, NULL);
}

static void write_tags(struct buf *body, const char *name, char *const *tags, size_t count)
{
	buf_append_string(body, "{\"name\":");
	buf_append_json(body, name, strlen(name));
	buf_append_string(body, ",\"tags\":[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_append_char(body, ',');
		buf_append_json(body, tags[i], strlen(tags[i]));
	}
	buf_append_string(body, "]}");
}

bool registry_list_tags(struct registry *registry, const struct target *target, const char *name,
			const char *n, const char *last, struct registry_document *ret_document,
			struct api_failure *failure)
{
	struct registry_document document = {.content_type = "application/json"};
	struct cache_source source = source_of(target);
	struct tag_names tags = {0};
	struct error error = {0};
	uint64_t limit = 0;
	size_t first, count;
	enum status status;

	if (!parse_page_size(n, &limit, failure))
		return false;
	status = cache_list_tags(registry->cache, &source, &tags, &document.verdict, &error);
	if (status != BW_OK)
		return failure_from_error(failure, status, &error, API_NAME_UNKNOWN);
	first = first_after(&tags, last);
	count = tags.count - first;
	if (count > limit) {
		count = (size_t)limit;
		if (count > 0)
			document.link =
				link_after(target, name, tags.names[first + count - 1], limit);
	}
	document.body = body_new();
	write_tags(document.body, name, tags.names + first, count);
	tag_names_release(&tags);
	*ret_document = document;
	return true;
}

/* ---- referrers ------------------------------------------------------------ */

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
	buf_append_string(body, "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
				"\",\"manifests\":[");
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
	buf_append_string(body, "]}");
	cJSON_Delete(json);
	return BW_OK;
}

bool registry_get_referrers(struct registry *registry, const struct target *target,
			    const char *name, const char *digest_text, const char *artifact_type,
			    const char *last, struct registry_document *ret_document,
			    struct api_failure *failure)
{
	struct registry_document document = {.content_type = MEDIA_OCI_INDEX};
	struct cache_source source = source_of(target);
	struct error error = {0};
	struct digest subject;
	char *index = NULL;
	size_t length = 0;
	enum status status;

	(void)name;
	(void)last;
	if (!parse_path_digest(digest_text, &subject, failure))
		return false;
	status = cache_get_referrers(registry->cache, &source, &subject, &index, &length,
				     &document.verdict, &error);
	if (status != BW_OK)
		return failure_from_error(failure, status, &error, API_NAME_UNKNOWN);
	document.body = body_new();
	document.filters_applied = artifact_type && *artifact_type;
	if (document.filters_applied)
		status = filter(document.body, index, length, artifact_type, &error);
	else
		buf_append(document.body, index, length);
	free(index);
	if (status != BW_OK) {
		registry_document_release(&document);
		return failure_from_error(failure, status, &error, API_NAME_UNKNOWN);
	}
	*ret_document = document;
	return true;
}
