/*
 * Pushes over stores that fail: whatever call of theirs does, once, the client is
 * told to try again, and when it does it succeeds; no wrong blob, nothing left over.
 */
#include "tests/support/push_world.h"

/* Large enough for parts, and few enough bytes for none. */
static const struct {
	size_t length, first;
} sizes[] = {{300000, 200000}, {600, 400}};
static size_t size_index;

#define LENGTH sizes[size_index].length
#define FIRST sizes[size_index].first

static struct push_world *push;
static struct api_failure failure;
static struct digest digest;
static char *bytes;
static char text[DIGEST_TEXT_SIZE];

static int make(void **state)
{
	(void)state;
	size_index = 0;
	push = push_world_new(CHECK_BLOBS);
	bytes = some_bytes(LENGTH, 1, &digest);
	digest_format(&digest, text);
	return 0;
}

static int make_small(void **state)
{
	(void)state;
	size_index = 1;
	push = push_world_new(CHECK_BLOBS);
	bytes = some_bytes(LENGTH, 1, &digest);
	digest_format(&digest, text);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	push_world_free(push);
	free(bytes);
	return 0;
}

static const char *const object_actions[] = {
	"stat",        "open",      "put",          "part_create",   "part_write", "part_finish",
	"part_remove", "part_open", "parts_commit", "parts_discard", "list",       "read",
	"remove",      "create",    "write",        "commit",
};
static const char *const metadata_actions[] = {
	"create_upload",  "get_upload",   "advance_upload",  "remove_upload",
	"put_link",       "get_link",     "put_blob",        "get_blob",
	"put_repository", "put_manifest", "get_manifest",    "put_tag",
	"get_tag",        "remove_link",  "remove_manifest", "remove_tag",
};

/* Makes every call of one action fail, then lets `run` go through a push; what it
 * has to do is up to it. */
static void with_each_fault(void (*run)(const char *action))
{
	static const enum status failures[] = {BW_IO, BW_UNAVAILABLE, BW_NO_SPACE, BW_TIMEOUT};

	for (size_t f = 0; f < array_size(failures); f++) {
		for (size_t i = 0; i < array_size(object_actions); i++) {
			make_fail(&push->world->object_faults, object_actions[i], failures[f]);
			run(object_actions[i]);
		}
		for (size_t i = 0; i < array_size(metadata_actions); i++) {
			make_fail(&push->world->metadata_faults, metadata_actions[i], failures[f]);
			run(metadata_actions[i]);
		}
	}
}

static void heal(void)
{
	make_fail(&push->world->object_faults, NULL, BW_OK);
	make_fail(&push->world->metadata_faults, NULL, BW_OK);
}

static void assert_try_again(const char *action)
{
	if (failure.http_status != 503 || failure.retry_after == 0)
		fail_msg("%s: %d %s", action, failure.http_status, failure.message);
}

static void assert_clean(void)
{
	assert_int_equal(uploads_with_parts(push), 0);
	assert_int_equal(upload_rows(push), 0);
	assert_true(blob_reads_like(push->registry, &push->target, &digest, bytes, LENGTH));
	assert_true(registry_delete_blob(push->registry, &push->target, text, &failure));
}

/* ---- a chunked upload ---- */

static bool append(struct upload_status *at)
{
	struct upload_status from = *at, next;
	struct upload_handle handle = {.id = from.id, .token = from.token, .caller = ""};
	struct text_body body;

	text_body(&body, bytes + from.offset, FIRST - from.offset);
	if (!registry_append_upload(push->registry, &push->target, &handle, NULL, &body.body, &next,
				    &failure))
		return false;
	*at = next;
	return true;
}

static bool finish(const struct upload_status *at, const char *wanted)
{
	struct upload_handle handle = {.id = at->id, .token = at->token, .caller = ""};
	struct upload_status unused;
	struct text_body body;

	return registry_finish_upload(push->other, &push->target, &handle, wanted, NULL,
				      text_body(&body, bytes + at->offset, LENGTH - at->offset),
				      &unused, &failure);
}

static void begin(const char *action, struct upload_status *at)
{
	if (registry_begin_upload(push->registry, &push->target, "", NULL, at, &failure))
		return;
	assert_try_again(action);
	heal();
	assert_true(registry_begin_upload(push->registry, &push->target, "", NULL, at, &failure));
}

static void upload_in_chunks(const char *action)
{
	struct upload_status at;

	begin(action, &at);
	if (!append(&at)) {
		assert_try_again(action);
		heal();
		assert_true(append(&at));
	}
	assert_int_equal(at.offset, FIRST);
	if (!finish(&at, text)) {
		assert_try_again(action);
		heal();
		assert_true(finish(&at, text));
	}
	heal();
	/* the index would not have the row removed: it expires, like that of a
	 * client that never came back */
	if (upload_rows(push) > 0 && strcmp(action, "remove_upload") == 0) {
		struct upload_handle handle = {.id = at.id, .token = at.token, .caller = ""};

		assert_true(finish(&at, text));
		assert_false(
			registry_cancel_upload(push->registry, &push->target, &handle, &failure));
	}
	assert_clean();
}

static void a_chunked_upload_gets_through(void **state)
{
	(void)state;
	with_each_fault(upload_in_chunks);
}

/* ---- a digest of the other algorithm, for which the parts are read back ---- */

static void upload_sha512(const char *action)
{
	struct upload_status at;
	struct digest other;
	char other_text[DIGEST_TEXT_SIZE];

	digest_of(DIGEST_SHA512, bytes, LENGTH, &other);
	digest_format(&other, other_text);
	begin(action, &at);
	if (!append(&at)) {
		assert_try_again(action);
		heal();
		assert_true(append(&at));
	}
	if (!finish(&at, other_text)) {
		assert_try_again(action);
		heal();
		/* the parts may have become the blob, and its link have failed: then
		 * there is nothing to read back, and the client begins anew */
		if (!finish(&at, other_text)) {
			assert_int_equal(failure.http_status, 404);
			begin(action, &at);
			assert_true(append(&at));
			assert_true(finish(&at, other_text));
		}
	}
	heal();
	assert_true(blob_reads_like(push->registry, &push->target, &other, bytes, LENGTH));
	assert_true(registry_delete_blob(push->registry, &push->target, other_text, &failure));
	assert_int_equal(uploads_with_parts(push), 0);
}

static void the_other_algorithm_gets_through(void **state)
{
	(void)state;
	with_each_fault(upload_sha512);
}

/* ---- endings ---- */

static void cancel_or_mistake(const char *action, bool mistake)
{
	struct upload_status at;
	struct upload_handle handle;
	struct digest wrong;
	char wrong_text[DIGEST_TEXT_SIZE];
	bool ended;

	free(some_bytes(3, 9, &wrong));
	digest_format(&wrong, wrong_text);
	begin(action, &at);
	if (!append(&at)) {
		assert_try_again(action);
		heal();
		assert_true(append(&at));
	}
	handle = (struct upload_handle){.id = at.id, .token = at.token, .caller = ""};
	for (unsigned tries = 0; tries < 2; tries++) {
		if (mistake)
			ended = !finish(&at, wrong_text) && failure.http_status == 400;
		else
			ended = registry_cancel_upload(push->registry, &push->target, &handle,
						       &failure);
		if (ended)
			break;
		assert_int_equal(tries, 0);
		assert_try_again(action);
		heal();
	}
	heal();
	assert_int_equal(uploads_with_parts(push), 0);
	assert_int_equal(upload_rows(push), 0);
	assert_false(blob_reads_like(push->registry, &push->target, &wrong, bytes, 3));
}

static void cancel(const char *action)
{
	cancel_or_mistake(action, false);
}

static void mistake(const char *action)
{
	cancel_or_mistake(action, true);
}

static void a_cancelled_upload_leaves_nothing(void **state)
{
	(void)state;
	with_each_fault(cancel);
}

static void a_wrong_digest_leaves_nothing(void **state)
{
	(void)state;
	with_each_fault(mistake);
}

/* ---- single POST, manifests ---- */

static bool post(void)
{
	struct text_body body;

	return registry_push_blob(push->registry, &push->target, text,
				  text_body(&body, bytes, LENGTH), &failure);
}

static void post_at_once(const char *action)
{
	if (!post()) {
		assert_try_again(action);
		heal();
		/* the discarding may be what failed */
		assert_true(post());
	}
	heal();
	assert_clean();
}

static void a_single_post_gets_through(void **state)
{
	(void)state;
	with_each_fault(post_at_once);
}

static bool put(const char *reference, const char *body)
{
	const struct manifest_push request = {
		.reference = reference, .body = body, .length = strlen(body)};
	struct pushed_manifest pushed;

	return registry_put_manifest(push->registry, &push->target, &request, &pushed, &failure);
}

static void push_image(const char *action)
{
	struct digest image;
	char image_text[DIGEST_TEXT_SIZE];
	char *body = image_of(&digest, LENGTH, &digest, LENGTH, &image);
	struct manifest_view *view;
	enum cache_verdict verdict;

	digest_format(&image, image_text);
	if (!post()) {
		heal();
		assert_true(post());
	}
	if (!put("latest", body)) {
		assert_try_again(action);
		heal();
		assert_true(put("latest", body));
	}
	if (!registry_get_manifest(push->registry, &push->target, "latest", false, &view, &verdict,
				   &failure)) {
		assert_try_again(action);
		heal();
		assert_true(registry_get_manifest(push->registry, &push->target, "latest", false,
						  &view, &verdict, &failure));
	}
	assert_string_equal(view->body, body);
	manifest_view_unref(view);
	if (!registry_delete_manifest(push->registry, &push->target, image_text, &failure)) {
		assert_try_again(action);
		heal();
		if (!registry_delete_manifest(push->registry, &push->target, image_text, &failure))
			assert_int_equal(failure.http_status, 404);
	}
	heal();
	assert_false(registry_get_manifest(push->registry, &push->target, image_text, false, &view,
					   &verdict, &failure));
	assert_int_equal(failure.http_status, 404);
	assert_false(registry_get_manifest(push->other, &push->target, "latest", false, &view,
					   &verdict, &failure));
	assert_int_equal(failure.http_status, 404);
	assert_clean();
	free(body);
}

static void an_image_gets_through(void **state)
{
	(void)state;
	with_each_fault(push_image);
}

/* ---- an object store that is away ---- */

/* Told as soon as it is known: who sends a large body sends no more of it. */
static void a_body_is_not_read_to_its_end_for_nothing(void **state)
{
	const size_t length = 8 << 20;
	struct upload_handle handle;
	struct upload_status at, next;
	struct text_body body;
	char *large = xcalloc(1, length);

	(void)state;
	begin("", &at);
	handle = (struct upload_handle){.id = at.id, .token = at.token, .caller = ""};
	make_fail(&push->world->object_faults, NULL, BW_TIMEOUT);
	assert_false(registry_append_upload(push->registry, &push->target, &handle, NULL,
					    text_body(&body, large, length), &next, &failure));
	assert_try_again("append");
	assert_true(body.offset < length / 8);
	assert_false(registry_finish_upload(push->registry, &push->target, &handle, text, NULL,
					    text_body(&body, large, length), &next, &failure));
	assert_try_again("finish");
	assert_true(body.offset < length / 8);
	assert_false(registry_push_blob(push->registry, &push->target, text,
					text_body(&body, large, length), &failure));
	assert_try_again("post");
	assert_true(body.offset < length / 8);
	heal();
	assert_true(append(&at) && finish(&at, text));
	assert_clean();
	free(large);
}

/* ---- what comes out of the index ---- */

/* Not a crash, and not a 404 that would send the client elsewhere with its parts. */
static void a_state_that_cannot_be_read_is_told(void **state)
{
	struct upload_status at, seen;
	struct upload_handle handle;
	struct upload_entry entry;

	(void)state;
	begin("", &at);
	handle = (struct upload_handle){.id = at.id, .token = at.token, .caller = ""};
	assert_int_equal(metadata_get_upload(push->world->metadata, at.id, &entry, NULL), BW_OK);
	entry.state[0] = 77;
	assert_int_equal(metadata_advance_upload(push->world->metadata, at.id, &entry, NULL),
			 BW_OK);
	assert_false(registry_get_upload(push->registry, &push->target, &handle, &seen, &failure));
	assert_int_equal(failure.http_status, 500);
	assert_non_null(strstr(failure.message, "begin a new upload"));
	upload_entry_release(&entry);
}

/* What a power cut does to bytes that were not flushed yet. */
static void an_upload_whose_parts_are_gone_is_gone(void **state)
{
	struct upload_status at, seen;
	struct upload_handle handle;

	(void)state;
	begin("", &at);
	assert_true(append(&at));
	handle = (struct upload_handle){.id = at.id, .token = at.token, .caller = ""};
	assert_int_equal(object_parts_discard(push->world->objects, at.id, NULL), BW_OK);
	assert_false(finish(&at, text));
	assert_int_equal(failure.http_status, 404);
	assert_int_equal(failure.code, API_BLOB_UPLOAD_UNKNOWN);
	assert_false(registry_get_upload(push->registry, &push->target, &handle, &seen, &failure));
	assert_int_equal(failure.http_status, 404);
	assert_false(blob_reads_like(push->registry, &push->target, &digest, bytes, LENGTH));
	assert_int_equal(uploads_with_parts(push), 0);
	assert_int_equal(upload_rows(push), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)
#define TEST_SMALL(name) \
	{ \
#name " (small)", name, make_small, forget, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_chunked_upload_gets_through),
		TEST_SMALL(a_chunked_upload_gets_through),
		TEST(the_other_algorithm_gets_through),
		TEST_SMALL(the_other_algorithm_gets_through),
		TEST(a_cancelled_upload_leaves_nothing),
		TEST_SMALL(a_cancelled_upload_leaves_nothing),
		TEST(a_wrong_digest_leaves_nothing),
		TEST_SMALL(a_wrong_digest_leaves_nothing),
		TEST(a_single_post_gets_through),
		TEST_SMALL(a_single_post_gets_through),
		TEST(an_image_gets_through),
		TEST_SMALL(an_image_gets_through),
		TEST(a_body_is_not_read_to_its_end_for_nothing),
		TEST(a_state_that_cannot_be_read_is_told),
		TEST(an_upload_whose_parts_are_gone_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
