/*
 * Listings. libs3 takes an answer that was cut for a whole one, so a page is told only
 * when it is complete, and an end is believed only when it is asked for again and
 * nothing comes after it.
 */
#include "backends/s3/libs3/libs3_internal.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_MAX 1000u

struct page {
	const char *prefix;
	const char *start_after;
	unsigned max;
	bool truncated;
	unsigned count;
	struct s3_entry entries[PAGE_MAX]; /* keys are ours */
};

static void page_clear(struct page *page)
{
	for (unsigned i = 0; i < page->count; i++)
		free((char *)page->entries[i].key);
	page->count = 0;
	page->truncated = false;
}

/* libs3 reads UTC as if it were the local time: undo that. */
static int64_t utc_ms(int64_t local_seconds)
{
	time_t seconds = (time_t)local_seconds;
	struct tm parts;

	if (!localtime_r(&seconds, &parts))
		return 0;
	return (int64_t)timegm(&parts) * 1000;
}

static S3Status take_entries(int truncated, const char *next_marker, int count,
			     const S3ListBucketContent *contents, int prefix_count,
			     const char **prefixes, void *data)
{
	struct libs3_call *call = data;
	struct page *page = call->context;

	(void)next_marker;
	(void)prefix_count;
	(void)prefixes;
	libs3_moved(call);
	page->truncated = truncated != 0;
	for (int i = 0; i < count; i++) {
		/* the caller cuts the prefix off, and goes on behind the last key */
		if (page->count == page->max || !str_starts_with(contents[i].key, page->prefix) ||
		    strcmp(contents[i].key, page->start_after) <= 0)
			return S3StatusAbortedByCallback;
		page->entries[page->count++] =
			(struct s3_entry){.key = xstrdup(contents[i].key),
					  .size = contents[i].size,
					  .stored_at = utc_ms(contents[i].lastModified)};
	}
	return S3StatusOK;
}

static void start_list(struct libs3_call *call, const S3BucketContext *bucket,
		       S3RequestContext *context)
{
	struct page *page = call->context;
	S3ListBucketHandler handler = {libs3_response_handler, take_entries};

	page_clear(page);
	S3_list_bucket(bucket, *page->prefix ? page->prefix : NULL,
		       *page->start_after ? page->start_after : NULL, NULL, (int)page->max, context,
		       &handler, call);
}

static enum status fetch(struct libs3_transport *transport, struct page *page, struct error *error)
{
	struct libs3_call call = {.what = "List", .start = start_list, .context = page};
	enum status status = libs3_ask(transport, &call, NULL, error);

	if (!status && page->truncated && page->count == 0)
		return error_set(error, BW_UNREACHABLE,
				 "List in bucket %s at http://%s: an empty page that is not the "
				 "last one",
				 transport->bucket, transport->host);
	if (status == BW_ABSENT)
		return error_set(error, BW_UNAVAILABLE,
				 "List in bucket %s at http://%s: there is no such bucket; create "
				 "it, or correct storage.s3.bucket",
				 transport->bucket, transport->host);
	return status;
}

/* Is there something after the page after all? */
static enum status look_behind(struct libs3_transport *transport, const struct page *page,
			       bool *ret_more, struct error *error)
{
	struct page *next = xcalloc(1, sizeof(*next));
	enum status status;

	next->prefix = page->prefix;
	next->start_after = page->count ? page->entries[page->count - 1].key : page->start_after;
	next->max = 1;
	status = fetch(transport, next, error);
	if (!status)
		*ret_more = next->count > 0;
	page_clear(next);
	free(next);
	return status;
}

/* Some gateways (MinIO) refuse to go on after a key that has not the prefix. */
static const char *marker_for(const char *prefix, const char *start_after, bool *ret_over)
{
	bool outside = !str_starts_with(start_after, prefix);

	*ret_over = outside && strcmp(start_after, prefix) > 0;
	return outside ? "" : start_after;
}

enum status libs3_list(struct s3_transport *base, const char *prefix, const char *start_after,
		       unsigned max, s3_list_fn fn, void *context, bool *ret_more,
		       struct error *error)
{
	struct libs3_transport *transport = libs3_of(base);
	struct page *page;
	enum status status;
	bool more = true;
	bool over;

	start_after = marker_for(prefix, start_after, &over);
	if (over) {
		*ret_more = false;
		return BW_OK;
	}
	page = xcalloc(1, sizeof(*page));
	page->prefix = prefix;
	page->start_after = start_after;
	page->max = max < PAGE_MAX ? max : PAGE_MAX;
	status = fetch(transport, page, error);
	if (!status && !page->truncated)
		status = look_behind(transport, page, &more, error);
	if (!status && more && page->count == 0)
		status = error_set(error, BW_UNREACHABLE,
				   "List in bucket %s at http://%s: an answer was cut",
				   transport->bucket, transport->host);
	if (!status) {
		for (unsigned i = 0; i < page->count && fn(context, &page->entries[i]); i++)
			;
		*ret_more = more;
	}
	page_clear(page);
	free(page);
	return status;
}
