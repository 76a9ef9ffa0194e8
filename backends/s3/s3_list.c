#include "backends/s3/s3_internal.h"
#include "server/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- objects ---- */

/* A page, kept until its records have been asked for their sizes: nothing is asked
 * while the transport tells of entries. */
struct page {
	struct s3_store *store;
	const char *prefix; /* the caller's */
	struct s3_item items[S3_LIST_PAGE];
	size_t count;
	char last[S3_KEY_SIZE]; /* key in the bucket that was seen */
	bool at_data; /* it stopped where the store's own keys begin */
};

static bool take(void *context, const struct s3_entry *entry)
{
	struct page *page = context;
	const char *key = entry->key + strlen(page->store->prefix);

	page->at_data = str_starts_with(key, S3_DATA);
	if (page->at_data || page->count == S3_LIST_PAGE)
		return false;
	str_copy(page->last, sizeof(page->last), entry->key);
	if (!str_starts_with(key, page->prefix))
		return true;
	page->items[page->count++] = (struct s3_item){xstrdup(key), entry->size, entry->stored_at};
	return true;
}

static enum status size_of(struct s3_store *store, const struct s3_item *item,
			   struct object_info *ret_info, struct error *error)
{
	*ret_info = (struct object_info){item->size, item->stored_at};
	if (!str_starts_with(item->name, S3_BLOBS) || item->size == 0 ||
	    item->size % S3_RECORD_STEP || item->size > S3_RECORD_MAX)
		return BW_OK;
	return store->ops.stat(&store->base, item->name, ret_info, error);
}

static enum status tell_page(const struct page *page, object_list_fn fn, void *context,
			     bool *ret_wanted, struct error *error)
{
	for (size_t i = 0; i < page->count && *ret_wanted; i++) {
		struct object_info info;
		struct error why = {0};
		enum status status = size_of(page->store, &page->items[i], &info, &why);

		if (status == BW_ABSENT) /* gone meanwhile */
			continue;
		if (status) {
			if (error)
				*error = why;
			return status;
		}
		*ret_wanted = fn(context, page->items[i].name, &info);
	}
	return BW_OK;
}

/* Reads a page and says where the next one begins. */
static enum status read_page(struct page *page, const char *prefix, char after[S3_KEY_SIZE],
			     bool *ret_more, struct error *error)
{
	struct s3_store *store = page->store;
	enum status status;

	page->at_data = false;
	status = store->transport->ops->list(store->transport, prefix, after, S3_LIST_PAGE, take,
					     page, ret_more, error);
	if (!status && page->at_data) {
		s3_data_key(store, "~", "", after); /* behind every one of them */
		*ret_more = true;
	} else if (!status && *page->last) {
		memcpy(after, page->last, S3_KEY_SIZE);
	}
	return status;
}

static void page_reset(struct page *page)
{
	for (size_t i = 0; i < page->count; i++)
		free(page->items[i].name);
	page->count = 0;
}

/* MinIO refuses a prefix that ends in a segment of "." or "..", although keys may go on
 * after it: asked is what lies before, and the rest is left out here. */
static char *asked_prefix(const struct s3_store *store, const char *prefix)
{
	const char *slash = strrchr(prefix, '/');
	const char *segment = slash ? slash + 1 : prefix;
	bool is_dots = strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0;
	int length = (int)(is_dots ? (size_t)(segment - prefix) : strlen(prefix));

	return xasprintf("%s%.*s", store->prefix, length, prefix);
}

enum status s3_list(struct object_store *base, const char *prefix, const char *start_after,
		    object_list_fn fn, void *context, struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct page *page = xcalloc(1, sizeof(*page));
	char *full_prefix = asked_prefix(store, prefix);
	char after[S3_KEY_SIZE] = "";
	enum status status = BW_OK;
	bool more = !str_starts_with(prefix, S3_DATA);
	bool wanted = true;

	page->store = store;
	page->prefix = prefix;
	if (*start_after)
		more &= (size_t)snprintf(after, sizeof(after), "%s%s", store->prefix, start_after) <
			sizeof(after);
	while (!status && more && wanted) {
		more = false;
		status = read_page(page, full_prefix, after, &more, error);
		if (!status)
			status = tell_page(page, fn, context, &wanted, error);
		page_reset(page);
	}
	free(full_prefix);
	free(page);
	return status;
}

/* ---- uploads ---- */

/* Nobody of ours writes one object for so long: its writer is dead. */
#define STRAY_AGE_MS ((int64_t)24 * 60 * 60 * 1000)
#define PENDING_MAX 10000u

struct pending {
	char key[S3_KEY_SIZE];
	char upload_id[S3_UPLOAD_ID_MAX];
	int64_t started_at;
	bool told;
};

struct uploads {
	struct s3_store *store;
	part_list_fn fn;
	void *context;
	bool wanted;
	size_t data_length; /* of "<prefix>data/" */
	char last[S3_KEY_SIZE];
	/* the upload that is being read */
	char upload[UPLOAD_ID_MAX + 1];
	int64_t newest_at;
	bool is_done;
	bool is_discarded;
	struct pending *pending; /* multipart uploads that nobody completed */
	size_t pending_count;
};

static bool upload_of(const struct uploads *uploads, const char *key,
		      char target[UPLOAD_ID_MAX + 1])
{
	const char *upload = key + uploads->data_length;
	size_t length = strcspn(upload, "/");

	if (upload[length] != '/' || length > UPLOAD_ID_MAX)
		return false;
	memcpy(target, upload, length);
	target[length] = '\0';
	return object_upload_valid(target);
}

/* The upload is read to its end: tell of it, unless it is the bytes of an object. */
static void flush(struct uploads *uploads)
{
	char upload[UPLOAD_ID_MAX + 1];
	bool is_left = uploads->upload[0] && (!uploads->is_done || uploads->is_discarded);

	for (size_t i = 0; is_left && i < uploads->pending_count; i++) {
		struct pending *pending = &uploads->pending[i];

		if (!upload_of(uploads, pending->key, upload) ||
		    strcmp(upload, uploads->upload) != 0)
			continue;
		pending->told = true;
		if (pending->started_at > uploads->newest_at)
			uploads->newest_at = pending->started_at;
	}
	if (is_left && uploads->wanted)
		uploads->wanted =
			uploads->fn(uploads->context, uploads->upload, uploads->newest_at);
	uploads->upload[0] = '\0';
	uploads->newest_at = 0;
	uploads->is_done = uploads->is_discarded = false;
}

static bool take_part(void *context, const struct s3_entry *entry)
{
	struct uploads *uploads = context;
	char upload[UPLOAD_ID_MAX + 1];
	const char *name = strrchr(entry->key, '/') + 1;

	str_copy(uploads->last, sizeof(uploads->last), entry->key);
	if (!upload_of(uploads, entry->key, upload))
		return true;
	if (strcmp(upload, uploads->upload) != 0)
		flush(uploads);
	str_copy(uploads->upload, sizeof(uploads->upload), upload);
	uploads->is_done |= strcmp(name, S3_DONE_MARK) == 0;
	uploads->is_discarded |= strcmp(name, S3_DISCARD_MARK) == 0;
	if (entry->stored_at > uploads->newest_at)
		uploads->newest_at = entry->stored_at;
	return uploads->wanted;
}

/* Without a prefix, what others keep in the bucket is listed as well. Only what is as
 * large as a blob is sent in parts. */
static bool may_be_ours(const struct s3_store *store, const char *key)
{
	static const char *const places[] = {S3_DATA, "blobs/", "quarantine/"};

	for (size_t i = 0; i < array_size(places); i++)
		if (str_starts_with(key + strlen(store->prefix), places[i]))
			return true;
	return false;
}

static bool take_pending(void *context, const struct s3_pending *pending)
{
	struct uploads *uploads = context;
	struct pending *taken;

	if (!may_be_ours(uploads->store, pending->key))
		return true;
	if (uploads->pending_count == PENDING_MAX)
		return false;
	uploads->pending = xrealloc(uploads->pending,
				    (uploads->pending_count + 1) * sizeof(*uploads->pending));
	taken = &uploads->pending[uploads->pending_count];
	*taken = (struct pending){.started_at = pending->started_at};
	if (str_copy(taken->key, sizeof(taken->key), pending->key) &&
	    str_copy(taken->upload_id, sizeof(taken->upload_id), pending->upload_id))
		uploads->pending_count++;
	return true;
}

/* Begun a day ago by somebody who died since: at an object's own key (adopt, create) no
 * upload tells of it, and under data/ the parts that it would have been. */
static void abort_strays(struct uploads *uploads)
{
	struct s3_transport *transport = uploads->store->transport;
	int64_t before = clock_wall_ms() - STRAY_AGE_MS;

	for (size_t i = 0; i < uploads->pending_count; i++) {
		struct pending *pending = &uploads->pending[i];

		if (pending->started_at == 0 || pending->started_at > before)
			continue;
		transport->ops->multipart_abort(transport, pending->key, pending->upload_id, NULL);
		pending->told = true;
	}
}

static void tell_pending(struct uploads *uploads)
{
	for (size_t i = 0; i < uploads->pending_count && uploads->wanted; i++) {
		const struct pending *pending = &uploads->pending[i];
		char upload[UPLOAD_ID_MAX + 1];

		if (pending->told ||
		    !str_starts_with(pending->key + strlen(uploads->store->prefix), S3_DATA) ||
		    !upload_of(uploads, pending->key, upload))
			continue;
		str_copy(uploads->upload, sizeof(uploads->upload), upload);
		flush(uploads);
	}
}

enum status s3_parts_list(struct object_store *base, part_list_fn fn, void *context,
			  struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_transport *transport = store->transport;
	struct uploads *uploads = xcalloc(1, sizeof(*uploads));
	char prefix[S3_KEY_SIZE];
	enum status status = BW_OK;
	bool more = true;

	snprintf(prefix, sizeof(prefix), "%s" S3_DATA, store->prefix);
	uploads->store = store;
	uploads->fn = fn;
	uploads->context = context;
	uploads->wanted = true;
	uploads->data_length = strlen(prefix);
	if (s3_has_multipart(store))
		status = transport->ops->multipart_list(transport, store->prefix, take_pending,
							uploads, error);
	if (!status)
		abort_strays(uploads);
	while (!status && more && uploads->wanted) {
		more = false;
		status = transport->ops->list(transport, prefix, uploads->last, S3_LIST_PAGE,
					      take_part, uploads, &more, error);
	}
	if (!status) {
		flush(uploads);
		tell_pending(uploads);
	}
	free(uploads->pending);
	free(uploads);
	return status;
}
