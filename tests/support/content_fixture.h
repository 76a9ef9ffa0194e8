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
#include "tests/support/hooked_store.h"
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
	struct hooks hooks; /* called before the faults */
	struct content *content;
	struct digest config;
	struct digest layer;
	struct digest image;
	char *body; /* of the image */
};

static inline int content_make(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->objects = hooked_store_new(
		faulty_object_store_new(mem_object_store_new(), &fixture->object_faults),
		&fixture->hooks);
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

/* Stores a manifest, as a push of these tags does. */
static inline enum status push_body(struct fixture *fixture, const char *repository,
				    const char *body, const char *const *tags, size_t tag_count,
				    struct error *error)
{
	struct manifest_entry entry = {.body_length = strlen(body), .stored_at = 5};
	struct manifest parsed;
	enum status status;

	assert_int_equal(manifest_parse(body, strlen(body), NULL, &parsed, NULL), BW_OK);
	digest_of(DIGEST_SHA256, body, strlen(body), &entry.digest);
	assert_true(str_copy(entry.media_type, sizeof(entry.media_type), parsed.media_type));
	entry.body = xstrdup(body);
	status = content_push_manifest(fixture->content, repository, &entry, &parsed, false, tags,
				       tag_count, error);
	manifest_release(&parsed);
	manifest_entry_release(&entry);
	return status;
}

static inline enum status put_body(struct fixture *fixture, const char *repository,
				   const char *body, struct error *error)
{
	return push_body(fixture, repository, body, NULL, 0, error);
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

/* The finished parts of an upload whose bytes are these. */
static inline void upload_bytes(struct fixture *fixture, const char *upload, const char *bytes,
				size_t length, struct object_part *ret_part)
{
	struct part_writer *writer = NULL;

	assert_int_equal(object_part_create(fixture->objects, upload, 1, &writer, NULL), BW_OK);
	assert_int_equal(object_part_write(writer, bytes, length, NULL), BW_OK);
	assert_int_equal(object_part_finish(writer, ret_part, NULL), BW_OK);
}

static inline enum status push_bytes(struct fixture *fixture, const char *repository,
				     const char *bytes, size_t length, struct error *error)
{
	struct object_part part = {0};
	struct digest digest;

	digest_of(DIGEST_SHA256, bytes, length, &digest);
	upload_bytes(fixture, "abc", bytes, length, &part);
	return content_push_blob(fixture->content, repository, &digest, length, "abc", &part, 1,
				 error);
}

static inline enum status linked(struct fixture *fixture, const char *repository,
				 const struct digest *digest)
{
	uint64_t size = 0;

	return content_get_link(fixture->content, repository, digest, &size, NULL);
}

static inline bool count_key(void *context, const char *key, const struct object_info *info)
{
	(void)key;
	(void)info;
	++*(unsigned *)context;
	return true;
}

static inline unsigned count_keys(struct fixture *fixture, const char *prefix)
{
	unsigned count = 0;

	assert_int_equal(object_list(fixture->objects, prefix, "", count_key, &count, NULL), BW_OK);
	return count;
}

/* Each call of one of the stores in turn is made to fail, until `body` gets through
 * without meeting a failure. Then its first success is what counts. */
static inline void with_each_call_failing(struct fixture *fixture, struct fault_plan *plan,
					  void (*body)(struct fixture *fixture))
{
	for (unsigned call = 1;; call++) {
		plan->action = NULL;
		atomic_store(&plan->calls, 0);
		atomic_store(&plan->failed, 0);
		atomic_store(&plan->status, BW_IO);
		atomic_store(&plan->every, call);
		body(fixture);
		if (atomic_load(&plan->failed) == 0)
			break;
		assert_true(call < 1000);
	}
	make_fail(plan, NULL, BW_OK);
}

/* For `body` above: the plan rests while the test looks at what there is. */
static inline unsigned rest(struct fault_plan *plan)
{
	return atomic_exchange(&plan->every, 0);
}

static const char *const image_tags[] = {"v1", "latest"};

static inline void mark_complete(struct fixture *fixture)
{
	int64_t token = 0;

	assert_int_equal(content_begin_rebuild(fixture->content, &token, NULL), BW_OK);
	assert_int_equal(content_end_rebuild(fixture->content, token, NULL), BW_OK);
}

static inline enum status push_image(struct fixture *fixture, const char *repository)
{
	return push_body(fixture, repository, fixture->body, image_tags, array_size(image_tags),
			 NULL);
}

/* An image that is not fixture->image. The caller frees it. */
static inline char *other_image(struct fixture *fixture, struct digest *ret_digest)
{
	return image_of(&fixture->config, 10, &fixture->config, 10, ret_digest);
}

static inline enum status remove_image(struct fixture *fixture)
{
	return content_remove_manifest(fixture->content, HERE, &fixture->image, NULL);
}

static inline enum status tag_to(struct fixture *fixture, const char *tag,
				 const struct digest *digest)
{
	struct tag_entry entry = {
		.digest = *digest, .version = content_version(fixture->content), .stored_at = 7};

	return content_put_tag(fixture->content, HERE, tag, &entry, NULL);
}

/* Lets somebody else act at a certain call of the object store. */
struct intrusion {
	struct fixture *fixture;
	const char *action;
	const char *key_part; /* with a '$' behind it: at the key's end */
	void (*act)(struct fixture *fixture);
	unsigned times;
};

static inline bool key_matches(const char *key, const char *part)
{
	size_t length = strlen(part);
	size_t key_length = strlen(key);

	if (length == 0 || part[length - 1] != '$')
		return strstr(key, part) != NULL;
	length--;
	return key_length >= length && memcmp(key + key_length - length, part, length) == 0;
}

static inline void intrude(void *context, const char *action, const char *key)
{
	struct intrusion *intrusion = context;

	if (intrusion->times == 0 || strcmp(action, intrusion->action) != 0 ||
	    !key_matches(key, intrusion->key_part))
		return;
	intrusion->times--;
	intrusion->act(intrusion->fixture);
}

static inline void push_it(struct fixture *fixture)
{
	assert_int_equal(push_image(fixture, HERE), BW_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, content_make, content_forget)

#endif
