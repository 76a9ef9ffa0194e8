/*
 * Two registries, as of two processes, over the same stores in memory that can be
 * made to fail; and bodies of requests as a test wants them to come.
 */
#ifndef TESTS_SUPPORT_PUSH_WORLD_H
#define TESTS_SUPPORT_PUSH_WORLD_H

#include "server/registry/push.h"
#include "tests/support/cache_world.h"

struct push_world {
	struct world *world;
	struct content *other_content;
	struct cache *other_cache;
	struct registry *registry;
	struct registry *other; /* of the other process */
	struct target target; /* "team/app", local */
	struct target elsewhere; /* "team/other", local */
	struct target cached; /* "a.test/team/app" */
};

static inline struct target push_target(struct registry *registry, const char *name)
{
	struct api_failure failure = {0};
	struct target target = {0};

	assert_true(registry_resolve_push(registry, name, NULL, NULL, &target, &failure));
	return target;
}

static inline struct push_world *push_world_new(enum check_references checks)
{
	struct push_world *push = xcalloc(1, sizeof(*push));
	struct world *world = world_new();
	char *spool = xasprintf("%s/other", world->scratch);
	struct api_failure failure;

	push->world = world;
	world->config.uploads.check_references = checks;
	push->other_content = content_new(world->objects, world->metadata);
	assert_int_equal(cache_new(&(struct cache_options){.content = push->other_content,
							   .spool_directory = spool},
				   &push->other_cache, NULL),
			 BW_OK);
	push->registry = registry_new(world->content, world->cache, &world->config);
	push->other = registry_new(push->other_content, push->other_cache, &world->config);
	push->target = push_target(push->registry, "team/app");
	push->elsewhere = push_target(push->registry, "team/other");
	assert_true(registry_resolve(push->registry, "a.test/team/app", NULL, NULL, &push->cached,
				     &failure));
	free(spool);
	return push;
}

static inline void push_world_free(struct push_world *push)
{
	target_release(&push->target);
	target_release(&push->elsewhere);
	target_release(&push->cached);
	registry_free(push->registry);
	registry_free(push->other);
	cache_free(push->other_cache);
	content_free(push->other_content);
	world_free(push->world);
	free(push);
}

/* ---- bodies ---- */

struct text_body {
	struct request_body body;
	const char *bytes;
	size_t length;
	size_t offset;
	size_t piece; /* at most so many bytes a read; 0: any */
	size_t breaks_at; /* with breaks_with, unless that is BW_OK */
	enum status breaks_with;
	void (*before)(void *context); /* called once, before the first read */
	void *context;
};

static inline enum status text_body_read(void *context, void *target, size_t size,
					 size_t *ret_length, struct error *error)
{
	struct text_body *text = context;
	size_t end = text->breaks_with == BW_OK ? text->length : text->breaks_at;
	size_t length = end - text->offset;
	void (*before)(void *) = text->before;

	text->before = NULL;
	if (before)
		before(text->context);
	if (length == 0 && text->breaks_with != BW_OK)
		return error_set(error, text->breaks_with, "the body broke off");
	if (length > size)
		length = size;
	if (text->piece && length > text->piece)
		length = text->piece;
	memcpy(target, text->bytes + text->offset, length);
	text->offset += length;
	*ret_length = length;
	return BW_OK;
}

/* Points into itself: initialise in place, do not copy. */
static inline struct request_body *text_body(struct text_body *text, const char *bytes,
					     size_t length)
{
	*text = (struct text_body){.bytes = bytes, .length = length};
	text->body = (struct request_body){
		.read = text_body_read,
		.context = text,
		.has_length = true,
		.length = length,
	};
	return &text->body;
}

/* ---- what is left ---- */

static inline bool count_upload(void *context, const char *upload, int64_t newest_at)
{
	(void)upload;
	(void)newest_at;
	++*(unsigned *)context;
	return true;
}

/* Uploads that have parts. */
static inline unsigned uploads_with_parts(struct push_world *push)
{
	unsigned count = 0;

	assert_int_equal(object_parts_list(push->world->objects, count_upload, &count, NULL),
			 BW_OK);
	return count;
}

static inline bool count_row(void *context, const char *id)
{
	(void)id;
	++*(unsigned *)context;
	return true;
}

static inline unsigned upload_rows(struct push_world *push)
{
	unsigned count = 0;

	assert_int_equal(metadata_list_uploads(push->world->metadata, INT64_MAX, 1000, count_row,
					       &count, NULL),
			 BW_OK);
	return count;
}

static inline bool blob_reads_like(struct registry *registry, const struct target *target,
				   const struct digest *digest, const char *bytes, size_t length)
{
	char text[DIGEST_TEXT_SIZE];
	struct blob_source blob = {0};
	struct api_failure failure = {0};
	bool right;

	digest_format(digest, text);
	if (!registry_open_blob(registry, target, text, &blob, &failure)) {
		assert_int_equal(failure.http_status, 404);
		assert_int_equal(failure.code, API_BLOB_UNKNOWN);
		return false;
	}
	assert_int_equal(blob.verdict, CACHE_LOCAL);
	assert_int_equal(blob.size, length);
	right = reads_like(&blob, 0, bytes, NULL);
	blob_source_release(&blob);
	assert_true(right);
	return true;
}

static inline void push_bytes(struct push_world *push, const struct target *target,
			      const char *bytes, size_t length, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];
	struct text_body body;
	struct api_failure failure = {0};

	digest_format(digest, text);
	if (!registry_push_blob(push->registry, target, text, text_body(&body, bytes, length),
				&failure))
		fail_msg("%s", failure.message);
}

#endif
