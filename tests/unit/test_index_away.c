/*
 * Requests while the index cannot be asked: what is written is refused at the first
 * question to it and before a body is read, since each question may cost a deadline;
 * what is read comes from the object store.
 */
#include "server/base/str.h"
#include "server/oci/manifest.h"
#include "tests/support/push_world.h"

#define LENGTH ((size_t)1000)

static struct push_world *push;
static struct api_failure failure;
static struct upload_status at;
static struct digest digest, image;
static char *bytes, *body;
static char text[DIGEST_TEXT_SIZE], image_text[DIGEST_TEXT_SIZE];

static bool put(struct registry *registry, const char *reference)
{
	const struct manifest_push request = {
		.reference = reference, .body = body, .length = strlen(body)};
	struct pushed_manifest pushed;

	return registry_put_manifest(registry, &push->target, &request, &pushed, &failure);
}

static int make(void **state)
{
	(void)state;
	push = push_world_new(CHECK_ALL);
	bytes = some_bytes(LENGTH, 1, &digest);
	digest_format(&digest, text);
	body = image_of(&digest, LENGTH, &digest, LENGTH, &image);
	digest_format(&image, image_text);
	push_bytes(push, &push->target, bytes, LENGTH, &digest);
	assert_true(put(push->registry, "latest"));
	assert_true(registry_begin_upload(push->registry, &push->target, "", NULL, &at, &failure));
	make_fail(&push->world->metadata_faults, NULL, BW_TIMEOUT);
	atomic_store(&push->world->metadata_faults.failed, 0);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	make_fail(&push->world->metadata_faults, NULL, BW_OK);
	push_world_free(push);
	free(bytes);
	free(body);
	return 0;
}

static unsigned questions(void)
{
	return atomic_exchange(&push->world->metadata_faults.failed, 0);
}

static void assert_refused_at_once(bool done)
{
	assert_false(done);
	assert_int_equal(failure.http_status, 503);
	assert_true(failure.retry_after > 0);
	assert_int_equal(questions(), 1);
}

static void uploads_are_refused_before_their_bodies_are_read(void **state)
{
	struct upload_handle handle = {.id = at.id, .token = at.token, .caller = ""};
	struct upload_status next;
	struct text_body sent;

	(void)state;
	assert_refused_at_once(
		registry_begin_upload(push->registry, &push->target, "", NULL, &next, &failure));
	assert_refused_at_once(
		registry_get_upload(push->registry, &push->target, &handle, &next, &failure));
	text_body(&sent, bytes, LENGTH);
	assert_refused_at_once(registry_append_upload(push->registry, &push->target, &handle, NULL,
						      &sent.body, &next, &failure));
	assert_refused_at_once(registry_finish_upload(push->registry, &push->target, &handle, text,
						      NULL, &sent.body, &next, &failure));
	assert_refused_at_once(
		registry_cancel_upload(push->registry, &push->target, &handle, &failure));
	assert_refused_at_once(
		registry_push_blob(push->registry, &push->target, text, &sent.body, &failure));
	assert_int_equal(sent.offset, 0);
}

static void what_is_written_is_refused(void **state)
{
	bool mounted = false;

	(void)state;
	assert_refused_at_once(put(push->registry, "other"));
	assert_refused_at_once(put(push->registry, image_text));
	assert_refused_at_once(registry_mount_blob(push->registry, &push->elsewhere, text,
						   &push->target, &mounted, &failure));
	assert_refused_at_once(registry_mount_blob(push->registry, &push->elsewhere, text, NULL,
						   &mounted, &failure));
	assert_refused_at_once(registry_delete_blob(push->registry, &push->target, text, &failure));
	assert_refused_at_once(
		registry_delete_manifest(push->registry, &push->target, image_text, &failure));
	assert_refused_at_once(
		registry_delete_manifest(push->registry, &push->target, "latest", &failure));
	assert_false(mounted);
}

/* What is wrong with a request is not found out by asking again later. */
static void what_is_wrong_is_still_told(void **state)
{
	struct text_body sent;

	(void)state;
	assert_false(registry_push_blob(push->registry, &push->target, "sha256:x",
					text_body(&sent, bytes, LENGTH), &failure));
	assert_int_equal(failure.http_status, 400);
	assert_false(put(push->registry, "a b"));
	assert_int_equal(failure.http_status, 400);
	assert_false(registry_delete_blob(push->registry, &push->cached, text, &failure));
	assert_int_equal(failure.http_status, 405);
	assert_int_equal(questions(), 0);
}

static void assert_found(bool found, unsigned most)
{
	if (!found)
		fail_msg("%d %s", failure.http_status, failure.message);
	assert_in_range(questions(), 0, most);
}

/* By a process that has nothing in memory. */
static void pulls_go_on_with_a_question_or_two(void **state)
{
	struct manifest_view *view;
	enum cache_verdict verdict;
	struct blob_source blob;
	uint64_t size;

	(void)state;
	assert_found(registry_get_manifest(push->other, &push->target, "latest", false, &view,
					   &verdict, &failure),
		     2);
	assert_string_equal(view->body, body);
	manifest_view_unref(view);
	assert_found(registry_get_manifest(push->registry, &push->target, image_text, false, &view,
					   &verdict, &failure),
		     1);
	manifest_view_unref(view);
	assert_found(registry_open_blob(push->other, &push->target, text, &blob, &failure), 1);
	blob_source_release(&blob);
	assert_found(
		registry_stat_blob(push->other, &push->target, text, &size, &verdict, &failure), 2);
	assert_int_equal(size, LENGTH);
	assert_false(registry_get_manifest(push->other, &push->target, "none", false, &view,
					   &verdict, &failure));
	assert_int_equal(failure.http_status, 404);
	assert_in_range(questions(), 1, 2);
}

/* However many manifests there are, of which one grants the blob. */
static void a_cached_blob_needs_no_question_for_each_manifest(void **state)
{
	const char *stored = "a.test/team/app";
	uint64_t size = 0;

	(void)state;
	make_fail(&push->world->metadata_faults, NULL, BW_OK);
	for (size_t i = 0; i < 20; i++) {
		struct digest layer, config, manifest;
		struct manifest parsed;
		struct manifest_entry entry = {.stored_at = 1};
		char *text_of;

		free(some_bytes(10, (unsigned)i + 100, &config));
		layer = i == 0 ? digest : config;
		text_of = image_of(&config, 10, &layer, LENGTH, &manifest);
		assert_int_equal(manifest_parse(text_of, strlen(text_of), NULL, &parsed, NULL),
				 BW_OK);
		entry.digest = manifest;
		entry.body = text_of;
		entry.body_length = strlen(text_of);
		str_copy(entry.media_type, sizeof(entry.media_type), parsed.media_type);
		assert_int_equal(
			content_put_manifest(push->world->content, stored, &entry, &parsed, NULL),
			BW_OK);
		manifest_release(&parsed);
		free(text_of);
	}
	make_fail(&push->world->metadata_faults, NULL, BW_TIMEOUT);
	questions();
	assert_int_equal(content_get_listed(push->other_content, stored, &digest, &size, NULL),
			 BW_OK);
	assert_int_equal(size, LENGTH);
	assert_int_equal(questions(), 1);
	assert_int_equal(content_get_listed(push->other_content, stored, &image, &size, NULL),
			 BW_ABSENT);
	assert_int_equal(questions(), 1);
}

/* Back, it is told what it missed. */
static void an_index_that_is_back_is_repaired(void **state)
{
	struct manifest_view *view;
	enum cache_verdict verdict;
	uint64_t size = 0;

	(void)state;
	make_fail(&push->world->metadata_faults, NULL, BW_OK);
	assert_int_equal(metadata_remove_link(push->world->metadata, "team/app", &digest, NULL),
			 BW_OK);
	assert_int_equal(metadata_remove_manifest(push->world->metadata, "team/app", &image, NULL),
			 BW_OK);
	assert_true(
		registry_stat_blob(push->other, &push->target, text, &size, &verdict, &failure));
	assert_true(registry_get_manifest(push->other, &push->target, image_text, false, &view,
					  &verdict, &failure));
	manifest_view_unref(view);
	assert_int_equal(metadata_get_link(push->world->metadata, "team/app", &digest, &size, NULL),
			 BW_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(uploads_are_refused_before_their_bodies_are_read),
		TEST(what_is_written_is_refused),
		TEST(what_is_wrong_is_still_told),
		TEST(pulls_go_on_with_a_question_or_two),
		TEST(a_cached_blob_needs_no_question_for_each_manifest),
		TEST(an_index_that_is_back_is_repaired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
