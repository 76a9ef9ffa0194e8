/*
 * Uploads behind the driver's pipe: two registries, as of two processes ("0", "1"),
 * over the same stores in memory. Answers are "yes ..." or "no STATUS CODE ...", with
 * "OFFSET ID TOKEN" behind it where the client is told where its upload is.
 */
#ifndef TESTS_PROPERTY_UPLOADS_H
#define TESTS_PROPERTY_UPLOADS_H

#include "backends/mem/mem_metadata_store.h"
#include "backends/mem/mem_object_store.h"
#include "server/base/str.h"
#include "server/cache/pull_through.h"
#include "server/content/content.h"
#include "server/registry/push.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SPOOL_TEMPLATE "/tmp/breakwater-spool-XXXXXX" /* mkdtemp */

static struct {
	struct object_store *objects;
	struct metadata_store *metadata;
	struct content *contents[2];
	struct cache *caches[2];
	char spools[2][sizeof(SPOOL_TEMPLATE)];
	struct registry *registries[2];
	struct config config;
	struct target target;
} uploads;

static void uploads_end(void)
{
	if (!uploads.objects)
		return;
	target_release(&uploads.target);
	for (size_t i = 0; i < 2; i++) {
		registry_free(uploads.registries[i]);
		cache_free(uploads.caches[i]);
		content_free(uploads.contents[i]);
		rmdir(uploads.spools[i]);
	}
	object_store_free(uploads.objects);
	metadata_store_free(uploads.metadata);
	uploads.objects = NULL;
}

static struct cache *upload_cache_new(struct content *content,
				      char spool[sizeof(uploads.spools[0])])
{
	struct cache_options options = {.content = content, .spool_directory = spool};
	struct cache *cache;
	struct error error = {0};

	str_copy(spool, sizeof(uploads.spools[0]), SPOOL_TEMPLATE);
	if (!mkdtemp(spool) || cache_new(&options, &cache, &error) != BW_OK) {
		fprintf(stderr, "no cache: %s\n", error.message);
		exit(1);
	}
	return cache;
}

static void run_upload_world(const struct argument *a)
{
	struct api_failure failure;

	(void)a;
	uploads_end();
	uploads.config.references = 1; /* ours, for as long as the program runs */
	uploads.objects = mem_object_store_new();
	uploads.metadata = mem_metadata_store_new();
	for (size_t i = 0; i < 2; i++) {
		uploads.contents[i] = content_new(uploads.objects, uploads.metadata);
		uploads.caches[i] = upload_cache_new(uploads.contents[i], uploads.spools[i]);
		uploads.registries[i] =
			registry_new(uploads.contents[i], uploads.caches[i], &uploads.config);
	}
	print_bool(registry_resolve_push(uploads.registries[0], "team/app", NULL, NULL,
					 &uploads.target, &failure));
}

/* ---- bodies ---- */

struct piped_body {
	struct request_body body;
	const struct argument *bytes;
	size_t offset;
	const struct upload_handle *handle;
	struct registry *rival; /* appends these with the same handle, in the middle of ours */
	const struct argument *rival_bytes;
};

static void piped_body_init(struct piped_body *piped, const struct argument *bytes);

static enum status piped_body_read(void *context, void *target, size_t size, size_t *ret_length,
				   struct error *error)
{
	struct piped_body *piped = context;
	size_t length = piped->bytes->length - piped->offset;
	struct registry *rival = piped->rival;
	struct upload_status status;
	struct api_failure failure;
	struct piped_body rivals;

	(void)error;
	piped->rival = NULL;
	if (rival) {
		piped_body_init(&rivals, piped->rival_bytes);
		registry_append_upload(rival, &uploads.target, piped->handle, NULL, &rivals.body,
				       &status, &failure);
	}
	if (length > size)
		length = size;
	memcpy(target, piped->bytes->text + piped->offset, length);
	piped->offset += length;
	*ret_length = length;
	return BW_OK;
}

static void piped_body_init(struct piped_body *piped, const struct argument *bytes)
{
	*piped = (struct piped_body){.bytes = bytes};
	piped->body = (struct request_body){.read = piped_body_read, .context = piped};
}

/* ---- commands: the process first, then id and token ---- */

static struct registry *registry_of(const struct argument *a)
{
	return uploads.registries[a[0].text[0] == '1'];
}

static struct upload_handle handle_of(const struct argument *a)
{
	return (struct upload_handle){.id = a[1].text, .token = a[2].text, .caller = ""};
}

static void print_outcome(bool done, const struct upload_status *status,
			  const struct api_failure *failure)
{
	print_bool(done);
	if (!done)
		printf(" %d %s", failure->http_status, api_code_name(failure->code));
	if (status && status->id[0]) {
		printf(" %" PRIu64, status->offset);
		print_text(status->id);
		print_text(status->token);
	}
}

static void run_upload_begin(const struct argument *a)
{
	struct upload_status status = {0};
	struct api_failure failure;
	const char *algorithm = a[1].length > 0 ? a[1].text : NULL;
	bool done = registry_begin_upload(registry_of(a), &uploads.target, "", algorithm, &status,
					  &failure);

	print_outcome(done, &status, &failure);
}

static void run_upload_get(const struct argument *a)
{
	struct upload_handle handle = handle_of(a);
	struct upload_status status = {0};
	struct api_failure failure;
	bool done =
		registry_get_upload(registry_of(a), &uploads.target, &handle, &status, &failure);

	print_outcome(done, &status, &failure);
}

/* ... BYTES FIRST-LAST RIVAL-BYTES */
static void run_upload_append(const struct argument *a)
{
	struct upload_handle handle = handle_of(a);
	struct upload_status status = {0};
	struct api_failure failure;
	struct chunk_range range;
	struct piped_body piped;
	bool has_range = a[4].length > 0;
	bool done;

	if (has_range && sscanf(a[4].text, "%" SCNu64 "-%" SCNu64, &range.first, &range.last) != 2)
		abort();
	piped_body_init(&piped, &a[3]);
	if (a[5].length > 0) {
		piped.rival = uploads.registries[a[0].text[0] != '1'];
		piped.rival_bytes = &a[5];
		piped.handle = &handle;
	}
	done = registry_append_upload(registry_of(a), &uploads.target, &handle,
				      has_range ? &range : NULL, &piped.body, &status, &failure);
	print_outcome(done, &status, &failure);
}

/* ... BYTES DIGEST */
static void run_upload_finish(const struct argument *a)
{
	struct upload_handle handle = handle_of(a);
	struct upload_status status = {0};
	struct api_failure failure;
	struct piped_body piped;
	bool done;

	piped_body_init(&piped, &a[3]);
	done = registry_finish_upload(registry_of(a), &uploads.target, &handle, a[4].text, NULL,
				      &piped.body, &status, &failure);
	print_outcome(done, &status, &failure);
}

static void run_upload_cancel(const struct argument *a)
{
	struct upload_handle handle = handle_of(a);
	struct api_failure failure;
	bool done = registry_cancel_upload(registry_of(a), &uploads.target, &handle, &failure);

	print_outcome(done, NULL, &failure);
}

/* PROCESS DIGEST */
static void run_upload_blob(const struct argument *a)
{
	struct blob_source blob;
	struct api_failure failure;
	char *bytes;
	size_t length = 0;
	bool done = registry_open_blob(registry_of(a), &uploads.target, a[1].text, &blob, &failure);

	print_outcome(done, NULL, &failure);
	if (!done)
		return;
	bytes = xcalloc(1, (size_t)blob.size + 1);
	if (blob_source_read(&blob, 0, bytes, (size_t)blob.size, &length, NULL) != BW_OK)
		abort();
	printf(" ");
	for (size_t i = 0; i < length; i++)
		printf("%02x", (unsigned char)bytes[i]);
	printf(".");
	free(bytes);
	blob_source_release(&blob);
}

static bool count_upload_parts(void *context, const char *upload, int64_t newest_at)
{
	(void)upload;
	(void)newest_at;
	++*(unsigned *)context;
	return true;
}

static bool count_upload_row(void *context, const char *id)
{
	return count_upload_parts(context, id, 0);
}

/* How many uploads have parts, and how many have a row. */
static void run_upload_left(const struct argument *a)
{
	unsigned parts = 0, rows = 0;

	(void)a;
	if (object_parts_list(uploads.objects, count_upload_parts, &parts, NULL) != BW_OK ||
	    metadata_list_uploads(uploads.metadata, INT64_MAX, 10000, count_upload_row, &rows,
				  NULL) != BW_OK)
		abort();
	printf("%u %u", parts, rows);
}

#endif
