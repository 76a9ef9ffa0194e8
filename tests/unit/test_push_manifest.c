/*
 * Manifests as they are pushed: what is refused, what they are called, and how they
 * are read again.
 */
#include "server/base/buf.h"
#include "tests/support/push_world.h"

static struct push_world *push;
static struct api_failure failure;
static struct pushed_manifest pushed;
static struct digest config, layer, image;
static char *body, *config_bytes, *layer_bytes;
static char image_text[DIGEST_TEXT_SIZE];

static void begin(enum check_references checks)
{
	push = push_world_new(checks);
	config_bytes = some_bytes(10, 1, &config);
	layer_bytes = some_bytes(20, 2, &layer);
	body = image_of(&config, 10, &layer, 20, &image);
	digest_format(&image, image_text);
}

static int make(void **state)
{
	(void)state;
	begin(CHECK_BLOBS);
	return 0;
}

static int make_strict(void **state)
{
	(void)state;
	begin(CHECK_ALL);
	return 0;
}

static int make_lax(void **state)
{
	(void)state;
	begin(CHECK_NOTHING);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	push_world_free(push);
	free(config_bytes);
	free(layer_bytes);
	free(body);
	return 0;
}

static void put_blobs(void)
{
	push_bytes(push, &push->target, config_bytes, 10, &config);
	push_bytes(push, &push->target, layer_bytes, 20, &layer);
}

static bool put_text(const char *reference, const char *type, const char *text)
{
	const struct manifest_push request = {
		.reference = reference,
		.content_type = type,
		.body = text,
		.length = strlen(text),
	};

	failure = (struct api_failure){0};
	return registry_put_manifest(push->registry, &push->target, &request, &pushed, &failure);
}

static bool put(const char *reference)
{
	return put_text(reference, MEDIA_OCI_MANIFEST, body);
}

static void assert_failed(int http_status, enum api_code code)
{
	assert_int_equal(failure.http_status, http_status);
	assert_string_equal(api_code_name(failure.code), api_code_name(code));
	assert_string_not_equal(failure.message, "");
}

/* The digest it has there; NULL: 404. Good until the next call. */
static const char *read_by(struct registry *registry, const struct target *target,
			   const char *reference)
{
	static char digest[DIGEST_TEXT_SIZE];
	struct manifest_view *view;
	enum cache_verdict verdict;

	if (!registry_get_manifest(registry, target, reference, false, &view, &verdict, &failure)) {
		bool exists =
			content_has_repository(push->world->content, target->stored, NULL) == BW_OK;

		assert_failed(404, exists ? API_MANIFEST_UNKNOWN : API_NAME_UNKNOWN);
		return NULL;
	}
	assert_int_equal(verdict, CACHE_LOCAL);
	str_copy(digest, sizeof(digest), view->digest_text);
	manifest_view_unref(view);
	return digest;
}

static void a_pushed_image_is_pulled(void **state)
{
	struct manifest_view *view;
	enum cache_verdict verdict;

	(void)state;
	put_blobs();
	assert_true(put("latest"));
	assert_string_equal(pushed.digest, image_text);
	assert_string_equal(pushed.subject, "");
	assert_true(registry_get_manifest(push->registry, &push->target, "latest", false, &view,
					  &verdict, &failure));
	assert_int_equal(view->body_length, strlen(body));
	assert_memory_equal(view->body, body, view->body_length);
	assert_string_equal(view->media_type, MEDIA_OCI_MANIFEST);
	manifest_view_unref(view);
	assert_string_equal(read_by(push->other, &push->target, image_text), image_text);
	assert_null(read_by(push->registry, &push->elsewhere, image_text));
	assert_null(read_by(push->registry, &push->target, "other"));
}

static void what_is_listed_must_be_there(void **state)
{
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	push_bytes(push, &push->target, config_bytes, 10, &config);
	push_bytes(push, &push->elsewhere, layer_bytes, 20, &layer);
	assert_false(put("latest"));
	assert_failed(400, API_MANIFEST_BLOB_UNKNOWN);
	digest_format(&layer, text);
	assert_non_null(strstr(failure.message, text));
	assert_null(read_by(push->registry, &push->target, "latest"));
	assert_null(read_by(push->registry, &push->target, image_text));
	push_bytes(push, &push->target, layer_bytes, 20, &layer);
	assert_true(put("latest"));
}

static void nothing_is_looked_for_when_told_so(void **state)
{
	(void)state;
	assert_true(put("latest"));
	assert_string_equal(read_by(push->registry, &push->target, "latest"), image_text);
}

static char *index_of(const char *child)
{
	return xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
			 "\",\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST
			 "\",\"digest\":\"%s\",\"size\":%zu}]}",
			 child, strlen(body));
}

static void an_index_may_be_sparse(void **state)
{
	char *index = index_of(image_text);

	(void)state;
	assert_true(put_text("multi", MEDIA_OCI_INDEX, index));
	free(index);
}

static void an_index_may_not_be_sparse_when_told_so(void **state)
{
	char *index = index_of(image_text);

	(void)state;
	assert_false(put_text("multi", MEDIA_OCI_INDEX, index));
	assert_failed(400, API_MANIFEST_BLOB_UNKNOWN);
	assert_non_null(strstr(failure.message, image_text));
	put_blobs();
	assert_true(put(image_text));
	assert_true(put_text("multi", MEDIA_OCI_INDEX, index));
	free(index);
}

static void a_foreign_layer_is_had_from_elsewhere(void **state)
{
	char config_text[DIGEST_TEXT_SIZE];
	char *text;

	(void)state;
	push_bytes(push, &push->target, config_bytes, 10, &config);
	digest_format(&config, config_text);
	text = xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"%s\","
			 "\"size\":10},\"layers\":[{\"mediaType\":\"application/"
			 "vnd.docker.image.rootfs.foreign.diff.tar.gzip\",\"digest\":\"%s\","
			 "\"size\":5,\"urls\":[\"https://elsewhere.test\"]}]}",
			 config_text, image_text);
	assert_true(put_text("windows", MEDIA_OCI_MANIFEST, text));
	free(text);
}

static void what_is_no_manifest_is_refused(void **state)
{
	char *large = xmalloc(MANIFEST_MAX_BYTES + 2);

	(void)state;
	put_blobs();
	assert_false(put_text("x", MEDIA_OCI_MANIFEST, "{"));
	assert_failed(400, API_MANIFEST_INVALID);
	assert_false(put_text("x", MEDIA_OCI_INDEX, body));
	assert_failed(400, API_MANIFEST_INVALID);
	assert_false(put_text("x", "nonsense", body));
	assert_failed(400, API_MANIFEST_INVALID);
	assert_false(put_text("x", MEDIA_DOCKER_SCHEMA1_SIGNED,
			      "{\"schemaVersion\":1,\"fsLayers\":[]}"));
	assert_failed(400, API_MANIFEST_INVALID);
	assert_non_null(strstr(failure.message, "schema 1"));
	memset(large, ' ', MANIFEST_MAX_BYTES + 1);
	large[MANIFEST_MAX_BYTES + 1] = '\0';
	assert_false(put_text("x", MEDIA_OCI_MANIFEST, large));
	assert_failed(413, API_SIZE_INVALID);
	free(large);
	assert_true(put_text("x", MEDIA_OCI_MANIFEST "; charset=utf-8", body));
}

static void names_are_checked_before_anything_is_stored(void **state)
{
	static const char *const bad[] = {"-x", "a/b", "", "a b"};
	const char *tags[PUSH_MAX_TAGS + 1];
	struct manifest_push request = {
		.reference = image_text, .body = body, .length = strlen(body), .tags = tags};
	char other[DIGEST_TEXT_SIZE];

	(void)state;
	put_blobs();
	for (size_t i = 0; i < array_size(bad); i++) {
		assert_false(put(bad[i]));
		assert_failed(400, API_TAG_INVALID);
		tags[0] = "good";
		tags[1] = bad[i];
		request.tag_count = 2;
		assert_false(registry_put_manifest(push->registry, &push->target, &request, &pushed,
						   &failure));
		assert_failed(400, API_TAG_INVALID);
	}
	assert_false(put("sha256:0"));
	assert_failed(400, API_DIGEST_INVALID);
	digest_format(&layer, other);
	assert_false(put(other));
	assert_failed(400, API_DIGEST_INVALID);
	for (size_t i = 0; i < array_size(tags); i++)
		tags[i] = "t";
	request.tag_count = PUSH_MAX_TAGS + 1;
	assert_false(
		registry_put_manifest(push->registry, &push->target, &request, &pushed, &failure));
	assert_failed(414, API_TAG_INVALID);
	request.tag_count = 1;
	request.reference = "latest";
	assert_false(
		registry_put_manifest(push->registry, &push->target, &request, &pushed, &failure));
	assert_failed(400, API_TAG_INVALID);
	assert_null(read_by(push->registry, &push->target, "good"));
	assert_null(read_by(push->registry, &push->target, image_text));
}

static void one_request_may_set_many_tags(void **state)
{
	const char *const tags[] = {"1", "1.2", "1.2.3"};
	const struct manifest_push request = {
		.reference = image_text,
		.body = body,
		.length = strlen(body),
		.tags = tags,
		.tag_count = 3,
	};

	(void)state;
	put_blobs();
	assert_true(
		registry_put_manifest(push->registry, &push->target, &request, &pushed, &failure));
	for (size_t i = 0; i < array_size(tags); i++)
		assert_string_equal(read_by(push->other, &push->target, tags[i]), image_text);
}

static void sha512_is_a_name_too(void **state)
{
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	put_blobs();
	digest_of(DIGEST_SHA512, body, strlen(body), &digest);
	digest_format(&digest, text);
	assert_true(put(text));
	assert_string_equal(pushed.digest, text);
	assert_string_equal(read_by(push->registry, &push->target, text), text);
	assert_null(read_by(push->registry, &push->target, image_text));
}

/* ---- deleting ---- */

static bool delete_manifest(const char *reference)
{
	failure = (struct api_failure){0};
	return registry_delete_manifest(push->registry, &push->target, reference, &failure);
}

static void a_deleted_tag_leaves_the_manifest(void **state)
{
	(void)state;
	put_blobs();
	assert_true(put("latest") && put("stable"));
	assert_true(delete_manifest("latest"));
	assert_null(read_by(push->registry, &push->target, "latest"));
	assert_string_equal(read_by(push->registry, &push->target, "stable"), image_text);
	assert_string_equal(read_by(push->registry, &push->target, image_text), image_text);
	assert_false(delete_manifest("latest"));
	assert_failed(404, API_MANIFEST_UNKNOWN);
}

static void a_deleted_manifest_takes_its_tags_along(void **state)
{
	(void)state;
	put_blobs();
	assert_true(put("latest"));
	assert_string_equal(read_by(push->registry, &push->target, image_text), image_text);
	assert_true(delete_manifest(image_text));
	assert_null(read_by(push->registry, &push->target, image_text));
	assert_null(read_by(push->registry, &push->target, "latest"));
	assert_false(delete_manifest(image_text));
	assert_failed(404, API_MANIFEST_UNKNOWN);
	assert_true(blob_reads_like(push->registry, &push->target, &layer, layer_bytes, 20));
	assert_true(put("latest"));
	assert_string_equal(read_by(push->registry, &push->target, "latest"), image_text);
}

static void a_deleted_blob_is_gone_from_here_alone(void **state)
{
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	put_blobs();
	push_bytes(push, &push->elsewhere, layer_bytes, 20, &layer);
	assert_true(put("latest"));
	digest_format(&layer, text);
	assert_true(registry_delete_blob(push->registry, &push->target, text, &failure));
	/* a manifest lists it still, which grants nothing in a local repository */
	assert_false(blob_reads_like(push->registry, &push->target, &layer, layer_bytes, 20));
	assert_true(blob_reads_like(push->registry, &push->elsewhere, &layer, layer_bytes, 20));
	assert_false(registry_delete_blob(push->registry, &push->target, text, &failure));
	assert_failed(404, API_BLOB_UNKNOWN);
	assert_false(registry_delete_blob(push->registry, &push->target, "sha256:0", &failure));
	assert_failed(400, API_DIGEST_INVALID);
	assert_false(registry_delete_blob(push->registry, &push->cached, text, &failure));
	assert_failed(405, API_UNSUPPORTED);
}

static void upstream_has_image(void)
{
	const struct fake_reply reply = {.body = body, .media_type = MEDIA_OCI_MANIFEST};

	fake_answer(FAKE_MANIFEST, "a.test", "team/app", "latest", reply);
	fake_answer(FAKE_MANIFEST, "a.test", "team/app", image_text, reply);
}

static bool pull_cached(enum cache_verdict *ret_verdict)
{
	struct manifest_view *view;

	if (!registry_get_manifest(push->registry, &push->cached, "latest", true, &view,
				   ret_verdict, &failure))
		return false;
	manifest_view_unref(view);
	return true;
}

/* From memory and from the stores alike. */
static void a_deleted_cached_image_is_fetched_anew(void **state)
{
	const char *const references[] = {image_text, "latest"};
	enum cache_verdict verdict;

	(void)state;
	upstream_has_image();
	for (size_t i = 0; i < array_size(references); i++) {
		assert_true(pull_cached(&verdict) && pull_cached(&verdict));
		assert_int_equal(verdict, CACHE_HIT);
		assert_true(registry_delete_manifest(push->registry, &push->cached, references[i],
						     &failure));
		assert_false(registry_delete_manifest(push->registry, &push->cached, references[i],
						      &failure));
		assert_failed(404, API_MANIFEST_UNKNOWN);
		assert_true(pull_cached(&verdict));
		assert_int_equal(verdict, CACHE_MISS);
	}
}

/* ---- mounting ---- */

static bool mount(const struct target *from, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];
	bool mounted = false;

	digest_format(digest, text);
	assert_true(
		registry_mount_blob(push->registry, &push->target, text, from, &mounted, &failure));
	return mounted;
}

static void a_blob_is_mounted_from_where_it_is(void **state)
{
	bool mounted = true;

	(void)state;
	push_bytes(push, &push->elsewhere, layer_bytes, 20, &layer);
	assert_false(mount(&push->elsewhere, &config));
	assert_false(mount(&push->target, &layer));
	assert_false(mount(&push->cached, &layer));
	assert_false(blob_reads_like(push->registry, &push->target, &layer, layer_bytes, 20));
	assert_true(mount(&push->elsewhere, &layer));
	assert_true(blob_reads_like(push->registry, &push->target, &layer, layer_bytes, 20));
	assert_false(registry_mount_blob(push->registry, &push->target, "sha256:0", NULL, &mounted,
					 &failure));
	assert_failed(400, API_DIGEST_INVALID);
	assert_true(mounted);
}

static void a_mount_without_from_looks_at_local_repositories(void **state)
{
	(void)state;
	/* a grant of a cached repository is none to others */
	assert_int_equal(
		content_link_blob(push->world->content, "a.test/team/app", &config, 10, NULL),
		BW_OK);
	assert_false(mount(NULL, &config));
	assert_false(mount(NULL, &layer));
	push_bytes(push, &push->elsewhere, layer_bytes, 20, &layer);
	assert_true(mount(NULL, &layer));
	assert_true(blob_reads_like(push->registry, &push->target, &layer, layer_bytes, 20));
}

static void a_cached_blob_is_mounted_once_it_is_stored(void **state)
{
	enum cache_verdict verdict;

	(void)state;
	upstream_has_image();
	assert_true(pull_cached(&verdict));
	assert_false(mount(&push->cached, &layer)); /* listed, but not fetched */
	push_bytes(push, &push->elsewhere, layer_bytes, 20, &layer);
	assert_true(mount(&push->cached, &layer));
}

/* The upload that would follow could not begin without the index. */
static void stores_that_cannot_tell_are_not_mounted_from(void **state)
{
	const struct target *const sources[] = {NULL, &push->elsewhere};
	char text[DIGEST_TEXT_SIZE];
	bool mounted = false;

	(void)state;
	digest_format(&layer, text);
	push_bytes(push, &push->elsewhere, layer_bytes, 20, &layer);
	make_fail(&push->world->object_faults, NULL, BW_IO);
	assert_false(mount(NULL, &layer));
	assert_false(mount(&push->elsewhere, &layer));
	make_fail(&push->world->metadata_faults, NULL, BW_IO);
	for (size_t i = 0; i < array_size(sources); i++) {
		assert_false(registry_mount_blob(push->registry, &push->target, text, sources[i],
						 &mounted, &failure));
		assert_failed(503, API_UNAVAILABLE);
		assert_false(mounted);
	}
	make_fail(&push->world->metadata_faults, NULL, BW_OK);
	make_fail(&push->world->object_faults, NULL, BW_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pushed_image_is_pulled),
		TEST(what_is_listed_must_be_there),
		cmocka_unit_test_setup_teardown(nothing_is_looked_for_when_told_so, make_lax,
						forget),
		TEST(an_index_may_be_sparse),
		cmocka_unit_test_setup_teardown(an_index_may_not_be_sparse_when_told_so,
						make_strict, forget),
		TEST(a_foreign_layer_is_had_from_elsewhere),
		TEST(what_is_no_manifest_is_refused),
		TEST(names_are_checked_before_anything_is_stored),
		TEST(one_request_may_set_many_tags),
		TEST(sha512_is_a_name_too),
		TEST(a_deleted_tag_leaves_the_manifest),
		TEST(a_deleted_manifest_takes_its_tags_along),
		TEST(a_deleted_blob_is_gone_from_here_alone),
		TEST(a_deleted_cached_image_is_fetched_anew),
		TEST(a_blob_is_mounted_from_where_it_is),
		TEST(a_mount_without_from_looks_at_local_repositories),
		TEST(a_cached_blob_is_mounted_once_it_is_stored),
		TEST(stores_that_cannot_tell_are_not_mounted_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
