/*
 * Names in pages: the tags of a repository, and the catalog
 * (OCI distribution-spec, "Listing Tags"; the catalog is distribution's).
 */
#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/registry/failure.h"
#include "server/registry/local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct buf *document_body_new(void)
{
	struct buf *body = xcalloc(1, sizeof(*body));

	*body = BUF_INIT(DOCUMENT_MAX);
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

/* How many at most. False: 400. */
static bool parse_page_size(const char *n, uint64_t max, unsigned *ret_limit,
			    struct api_failure *failure)
{
	uint64_t limit = max;

	if (n && !str_parse_u64(n, strlen(n), &limit))
		return failure_set(failure, 400, API_PAGINATION_NUMBER_INVALID,
				   "n=%.40s is not a number of names", n);
	*ret_limit = (unsigned)(limit < max ? limit : max);
	return true;
}

/* One page, and whether there is more. */
struct page {
	unsigned limit;
	struct tag_names names; /* owned */
	bool has_more;
};

static struct page page_of(unsigned limit)
{
	return (struct page){
		.limit = limit,
		.names.names = xcalloc((size_t)limit + 1, sizeof(char *)),
	};
}

/* A tag_list_fn and a repository_list_fn. */
static bool take_name(void *context, const char *name)
{
	struct page *page = context;

	page->has_more = page->names.count == page->limit;
	if (!page->has_more)
		page->names.names[page->names.count++] = xstrdup(name);
	return !page->has_more;
}

/* A place to begin after, as a client names it: any text. No name is longer than
 * `max` bytes, so that many of it and one more order it right among them. */
#define AFTER_SIZE (REPOSITORY_MAX + HOST_MAX + 3)

static void copy_after(char after[AFTER_SIZE], const char *last, int max)
{
	snprintf(after, AFTER_SIZE, "%.*s", max + 1, last ? last : "");
}

static void write_names(struct buf *body, const struct page *page)
{
	buf_append_char(body, '[');
	for (size_t i = 0; i < page->names.count; i++) {
		const char *name = page->names.names[i];

		if (i > 0)
			buf_append_char(body, ',');
		buf_append_json(body, name, strlen(name));
	}
	buf_append_string(body, "]}");
}

/* "<path>?n=<limit>&last=<the last name>", and the namespace. NULL: no next page. */
static char *link_after(const struct page *page, const char *path, const char *namespace)
{
	struct buf link = BUF_INIT(4096);

	if (!page->has_more || page->names.count == 0)
		return NULL;
	buf_printf(&link, "%s?n=%u&last=", path, page->limit);
	buf_append_percent(&link, page->names.names[page->names.count - 1], NULL);
	if (namespace) {
		buf_append_string(&link, "&ns=");
		buf_append_percent(&link, namespace, NULL);
	}
	return buf_detach(&link, NULL);
}

/* ---- tags ----------------------------------------------------------------- */

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

static bool cached_tags(struct registry *registry, const struct target *target, const char *last,
			struct page *page, enum cache_verdict *ret_verdict,
			struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct tag_names tags = {0};
	struct error error = {0};
	enum status status = cache_list_tags(registry->cache, &source, &tags, ret_verdict, &error);

	if (status != BW_OK)
		return failure_from_error(failure, status, &error, API_NAME_UNKNOWN);
	for (size_t i = first_after(&tags, last); i < tags.count; i++) {
		if (!take_name(page, tags.names[i]))
			break;
	}
	tag_names_release(&tags);
	return true;
}

static bool local_tags(struct registry *registry, const struct target *target, const char *last,
		       struct page *page, struct api_failure *failure)
{
	char after[AFTER_SIZE];
	struct error error = {0};
	enum status status;

	copy_after(after, last, TAG_MAX);
	status = content_list_tags(registry->content, target->stored, after, page->limit + 1,
				   take_name, page, &error);
	if (status != BW_OK && status != BW_ABSENT)
		return failure_from_stores(failure, status, &error, API_NAME_UNKNOWN);
	/* without tags, or behind the last one, there may still be a repository */
	return page->names.count > 0 || local_exists(registry, target, failure);
}

static char *tags_link(const struct page *page, const struct target *target, const char *name)
{
	const char *namespace = target->by_ns ? target_namespace(target) : NULL;
	struct buf path = BUF_INIT(2048);
	char *link;

	buf_append_string(&path, "/v2/");
	buf_append_percent(&path, name, "/");
	buf_append_string(&path, "/tags/list");
	link = link_after(page, buf_string(&path), namespace);
	buf_release(&path);
	return link;
}

bool registry_list_tags(struct registry *registry, const struct target *target, const char *name,
			const char *n, const char *last, struct registry_document *ret_document,
			struct api_failure *failure)
{
	struct registry_document document = {
		.content_type = "application/json",
		.verdict = CACHE_LOCAL,
	};
	unsigned limit = 0;
	struct page page;
	bool listed;

	if (!parse_page_size(n, TAGS_PAGE_MAX, &limit, failure))
		return false;
	page = page_of(limit);
	listed = target->upstream
			 ? cached_tags(registry, target, last, &page, &document.verdict, failure)
			 : local_tags(registry, target, last, &page, failure);
	if (listed) {
		document.link = tags_link(&page, target, name);
		document.body = document_body_new();
		buf_append_string(document.body, "{\"name\":");
		buf_append_json(document.body, name, strlen(name));
		buf_append_string(document.body, ",\"tags\":");
		write_names(document.body, &page);
		*ret_document = document;
	}
	tag_names_release(&page.names);
	return listed;
}

/* ---- the catalog ---------------------------------------------------------- */

bool registry_list_repositories(struct registry *registry, const char *n, const char *last,
				struct registry_document *ret_document, struct api_failure *failure)
{
	struct registry_document document = {
		.content_type = "application/json",
		.verdict = CACHE_LOCAL,
	};
	char after[AFTER_SIZE];
	struct error error = {0};
	unsigned limit = 0;
	struct page page;
	enum status status;

	if (!parse_page_size(n, CATALOG_PAGE_MAX, &limit, failure))
		return false;
	copy_after(after, last, AFTER_SIZE - 2);
	page = page_of(limit);
	status = content_list_repositories(registry->content, after, limit + 1, take_name, &page,
					   &error);
	if (status == BW_OK) {
		document.link = link_after(&page, "/v2/_catalog", NULL);
		document.body = document_body_new();
		buf_append_string(document.body, "{\"repositories\":");
		write_names(document.body, &page);
		*ret_document = document;
	}
	tag_names_release(&page.names);
	return status == BW_OK || failure_from_stores(failure, status, &error, API_NAME_UNKNOWN);
}
