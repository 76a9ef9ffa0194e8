/*
 * Content over stores in memory that can be made to fail.
 */
#ifndef TESTS_SUPPORT_CONTENT_FIXTURE_H
#define TESTS_SUPPORT_CONTENT_FIXTURE_H

#include "backends/mem/mem_metadata_store.h"
#include "backends/mem/mem_object_store.h"
#include "server/base/str.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/oci/manifest.h"
#include "tests/support/images.h"
#include "tests/support/support.h"

#include <stdlib.h>

#define HERE "a.test/team/app"
#define ELSEWHERE "b.test/other/app"

struct fixture {
	struct object_store *objects;
	struct metadata_store *metadata;
	struct fault_plan object_faults;
	struct fault_plan metadata_faults;
	struct content *content;
	struct digest config;
	struct digest layer;
	struct digest image;
	char *body; /* of the image */
};

static inline int content_make(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->objects = faulty_object_store_new(mem_object_store_new(), &fixture->object_faults);
	fixture->metadata =
		faulty_metadata_store_new(mem_metadata_store_new(), &fixture->metadata_faults);
	fixture->content = content_new(fixture->objects, fixture->metadata);
	free(some_bytes(10, 1, &fixture->config));
	free(some_bytes(20, 2, &fixture->layer));
	fixture->body = image_of(&fixture->config, 10, &fixture->layer, 20, &fixture->image);
	*state = fixture;
	return 0;
}

static inline int content_forget(void **state)
{
	struct fixture *fixture = *state;

	content_free(fixture->content);
	object_store_free(fixture->objects);
	metadata_store_free(fixture->metadata);
	free(fixture->body);
	free(fixture);
	return 0;
}

/* The index comes back empty; `restart`: so does the process. */
static inline void lose_index(struct fixture *fixture, bool restart)
{
	metadata_store_free(fixture->metadata);
	fixture->metadata =
		faulty_metadata_store_new(mem_metadata_store_new(), &fixture->metadata_faults);
	fixture->content->metadata = fixture->metadata;
	if (!restart)
		return;
	content_free(fixture->content);
	fixture->content = content_new(fixture->objects, fixture->metadata);
}

static inline enum status put_body(struct fixture *fixture, const char *repository,
				   const char *body, struct error *error)
{
	struct manifest_entry entry = {.body_length = strlen(body), .stored_at = 5};
	struct manifest parsed;
	enum status status;

	assert_int_equal(manifest_parse(body, strlen(body), NULL, &parsed, NULL), BW_OK);
	digest_of(DIGEST_SHA256, body, strlen(body), &entry.digest);
	assert_true(str_copy(entry.media_type, sizeof(entry.media_type), parsed.media_type));
	entry.body = xstrdup(body);
	status = content_put_manifest(fixture->content, repository, &entry, &parsed, error);
	manifest_release(&parsed);
	manifest_entry_release(&entry);
	return status;
}

static inline void put_image(struct fixture *fixture, const char *repository)
{
	assert_int_equal(put_body(fixture, repository, fixture->body, NULL), BW_OK);
}

static inline enum status get_image(struct fixture *fixture, const char *repository,
				    struct error *error)
{
	struct manifest_entry entry = {0};
	enum status status =
		content_get_manifest(fixture->content, repository, &fixture->image, &entry, error);

	if (status != BW_OK)
		return status;
	assert_int_equal(entry.body_length, strlen(fixture->body));
	assert_memory_equal(entry.body, fixture->body, entry.body_length);
	assert_string_equal(entry.media_type, MEDIA_OCI_MANIFEST);
	assert_int_equal(entry.stored_at, 5);
	manifest_entry_release(&entry);
	return BW_OK;
}

static inline enum status listed(struct fixture *fixture, const char *repository,
				 const struct digest *digest)
{
	uint64_t size = 0;

	return content_get_listed(fixture->content, repository, digest, &size, NULL);
}

static inline bool count_key(void *context, const char *key, const struct object_info *info)
{
	(void)key;
	(void)info;
	++*(unsigned *)context;
	return true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, content_make, content_forget)

#endif
