/*
 * Manifests and blobs over stores that fail: three answers are kept apart, the
 * object store is the truth, and a lost index costs nothing but time.
 */
#include "server/base/file.h"
#include "tests/support/content_fixture.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- manifests ---- */

static void a_manifest_reads_back(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(get_image(fixture, HERE, NULL), BW_ABSENT);
	put_image(fixture, HERE);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	put_image(fixture, HERE);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
}

static void a_manifest_is_its_repositorys_alone(void **state)
{
	struct fixture *fixture = *state;

	put_image(fixture, HERE);
	assert_int_equal(get_image(fixture, ELSEWHERE, NULL), BW_ABSENT);
	assert_int_equal(get_image(fixture, "a.test/team", NULL), BW_ABSENT);
	assert_int_equal(get_image(fixture, HERE "/sub", NULL), BW_ABSENT);
	lose_index(fixture, true);
	assert_int_equal(get_image(fixture, ELSEWHERE, NULL), BW_ABSENT);
}

static void its_body_is_stored_once(void **state)
{
	struct fixture *fixture = *state;
	unsigned count = 0;

	put_image(fixture, HERE);
	put_image(fixture, ELSEWHERE);
	object_list(fixture->objects, "blobs/", "", count_key, &count, NULL);
	assert_int_equal(count, 1);
}

static void a_manifest_outlives_its_index(void **state)
{
	struct fixture *fixture = *state;

	put_image(fixture, HERE);
	make_fail(&fixture->metadata_faults, NULL, BW_TIMEOUT);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	lose_index(fixture, true);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	/* which repaired the index, with what the manifest lists */
	make_fail(&fixture->object_faults, NULL, BW_IO);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
}

static void a_store_that_fails_hides_no_manifest(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	put_image(fixture, HERE);
	lose_index(fixture, true);
	make_fail(&fixture->object_faults, NULL, BW_UNREACHABLE);
	assert_int_equal(get_image(fixture, HERE, &error), BW_UNREACHABLE);
	assert_int_equal(error.code, BW_UNREACHABLE);
	make_fail(&fixture->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_int_equal(get_image(fixture, HERE, &error), BW_UNREACHABLE);
}

static void damage_body(struct fixture *fixture)
{
	char key[KEY_SIZE];

	key_of_blob(key, &fixture->image);
	assert_int_equal(object_put(fixture->objects, key, "{\"bad\":1}", 9, PUT_REPLACE, NULL),
			 BW_OK);
}

static void a_damaged_body_is_refused_and_heals(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	put_image(fixture, HERE);
	damage_body(fixture);
	lose_index(fixture, true);
	assert_int_equal(get_image(fixture, HERE, &error), BW_CORRUPT);
	assert_non_null(strstr(error.message, "blobs/sha256/"));
	put_image(fixture, HERE);
	lose_index(fixture, true);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
}

static void a_put_that_succeeds_leaves_no_error(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};

	put_image(fixture, HERE);
	assert_int_equal(put_body(fixture, ELSEWHERE, fixture->body, &error), BW_OK);
	assert_int_equal(error.code, BW_OK);
	assert_string_equal(error.message, "");
}

static void a_damaged_record_is_refused_and_heals(void **state)
{
	struct fixture *fixture = *state;
	struct error error = {0};
	char key[KEY_SIZE];

	put_image(fixture, HERE);
	key_of_manifest(key, HERE, &fixture->image);
	assert_int_equal(object_put(fixture->objects, key, "", 0, PUT_REPLACE, NULL), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(get_image(fixture, HERE, &error), BW_CORRUPT);
	assert_non_null(strstr(error.message, key));
	assert_null(strstr(error.message, ": : "));
	put_image(fixture, HERE);
	lose_index(fixture, true);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
}

static void a_manifest_is_acknowledged_by_both_stores(void **state)
{
	struct fixture *fixture = *state;

	make_fail(&fixture->object_faults, "put", BW_NO_SPACE);
	assert_int_equal(put_body(fixture, HERE, fixture->body, NULL), BW_NO_SPACE);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	make_fail(&fixture->metadata_faults, "put_manifest", BW_IO);
	assert_int_equal(put_body(fixture, HERE, fixture->body, NULL), BW_IO);
}

/* ---- who may read a blob ---- */

static void a_manifest_grants_what_it_lists(void **state)
{
	struct fixture *fixture = *state;
	uint64_t size = 0;

	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_ABSENT);
	put_image(fixture, HERE);
	assert_int_equal(content_get_listed(fixture->content, HERE, &fixture->layer, &size, NULL),
			 BW_OK);
	assert_int_equal(size, 20);
	assert_int_equal(listed(fixture, HERE, &fixture->config), BW_OK);
	assert_int_equal(listed(fixture, HERE, &fixture->image), BW_ABSENT);
	assert_int_equal(listed(fixture, ELSEWHERE, &fixture->layer), BW_ABSENT);
}

static void an_index_grants_nothing(void **state)
{
	struct fixture *fixture = *state;
	char text[DIGEST_TEXT_SIZE], *body;

	digest_format(&fixture->layer, text);
	body = xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
			 "\",\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST
			 "\",\"digest\":\"%s\",\"size\":20}]}",
			 text);
	assert_int_equal(put_body(fixture, HERE, body, NULL), BW_OK);
	free(body);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_ABSENT);
}

/* An upstream takes such a manifest without having the blob: whoever may push
 * there could otherwise read any blob whose digest he knows. */
static void a_foreign_layer_grants_nothing(void **state)
{
	static const char *const layers[] = {
		"\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\"",
		"\"mediaType\":\"application/vnd.oci.image.layer.nondistributable.v1.tar\"",
		"\"mediaType\":\"application/x-any\",\"urls\":[\"https://evil.test/\"]",
	};
	struct fixture *fixture = *state;
	char config[DIGEST_TEXT_SIZE], layer[DIGEST_TEXT_SIZE];

	digest_format(&fixture->config, config);
	digest_format(&fixture->layer, layer);
	for (size_t i = 0; i < array_size(layers); i++) {
		char *body = xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
				       "\",\"config\":{\"digest\":\"%s\",\"size\":10},\"layers\":["
				       "{%s,\"digest\":\"%s\",\"size\":20}]}",
				       config, layers[i], layer);

		assert_int_equal(put_body(fixture, HERE, body, NULL), BW_OK);
		free(body);
	}
	assert_int_equal(listed(fixture, HERE, &fixture->config), BW_OK);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_ABSENT);
	lose_index(fixture, true);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_ABSENT);
	assert_int_equal(listed(fixture, HERE, &fixture->config), BW_OK);
}

static void a_link_grants_one_blob_in_one_repository(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(content_link_blob(fixture->content, HERE, &fixture->layer, 20, NULL),
			 BW_OK);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
	assert_int_equal(listed(fixture, HERE, &fixture->config), BW_ABSENT);
	assert_int_equal(listed(fixture, ELSEWHERE, &fixture->layer), BW_ABSENT);
}

/* The first question after the loss is about a blob: nobody read the manifest. */
static void a_lost_index_still_grants(void **state)
{
	struct fixture *fixture = *state;
	uint64_t size = 0;

	put_image(fixture, HERE);
	lose_index(fixture, true);
	assert_int_equal(content_get_listed(fixture->content, HERE, &fixture->layer, &size, NULL),
			 BW_OK);
	assert_int_equal(size, 20);
	assert_int_equal(listed(fixture, ELSEWHERE, &fixture->layer), BW_ABSENT);
	/* and it was repaired */
	make_fail(&fixture->object_faults, NULL, BW_IO);
	assert_int_equal(listed(fixture, HERE, &fixture->config), BW_OK);
}

static void an_index_that_fails_still_grants(void **state)
{
	struct fixture *fixture = *state;

	put_image(fixture, HERE);
	make_fail(&fixture->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
	assert_int_equal(listed(fixture, ELSEWHERE, &fixture->layer), BW_ABSENT);
}

/* Redis was away while a scan went on, and comes back empty. */
static void an_index_that_failed_during_a_scan_is_scanned_for_again(void **state)
{
	struct fixture *fixture = *state;

	put_image(fixture, HERE);
	make_fail(&fixture->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	lose_index(fixture, false);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
}

static void a_store_that_fails_is_not_a_no(void **state)
{
	struct fixture *fixture = *state;

	put_image(fixture, HERE);
	lose_index(fixture, true);
	make_fail(&fixture->object_faults, "list", BW_UNREACHABLE);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_UNREACHABLE);
	make_fail(&fixture->object_faults, "open", BW_IO);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_IO);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
}

static void one_damaged_manifest_hides_no_other(void **state)
{
	struct fixture *fixture = *state;
	struct digest layers[8], image;

	for (unsigned i = 0; i < array_size(layers); i++) {
		char *body;

		free(some_bytes(30, 100 + i, &layers[i]));
		body = image_of(&fixture->config, 10, &layers[i], 30, &image);
		assert_int_equal(put_body(fixture, HERE, body, NULL), BW_OK);
		free(body);
	}
	put_image(fixture, HERE);
	damage_body(fixture);
	lose_index(fixture, true);
	/* could be in the damaged one, for all we know */
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_CORRUPT);
	for (unsigned i = 0; i < array_size(layers); i++)
		assert_int_equal(listed(fixture, HERE, &layers[i]), BW_OK);
	put_image(fixture, HERE);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
}

/* A question about what nobody lists must not list the store every time. */
static void a_scan_is_not_repeated_at_once(void **state)
{
	struct fixture *fixture = *state;
	unsigned lists;

	put_image(fixture, HERE);
	fixture->object_faults.action = "list";
	assert_int_equal(listed(fixture, HERE, &fixture->image), BW_ABSENT);
	lists = fixture->object_faults.calls;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(listed(fixture, HERE, &fixture->image), BW_ABSENT);
	assert_int_equal(fixture->object_faults.calls, lists);
}

/* ---- blobs ---- */

static char *file_of(const char *scratch, const char *bytes, size_t length)
{
	char *path = xasprintf("%s/file", scratch);
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, bytes, length), 0);
	close(fd);
	return path;
}

static enum status adopt(struct fixture *fixture, const char *bytes, size_t length,
			 const struct digest *digest)
{
	char *scratch = scratch_make();
	char *path = file_of(scratch, bytes, length);
	enum status status = content_adopt_blob(fixture->content, digest, length, path, NULL);

	assert_int_equal(access(path, F_OK), status == BW_OK ? -1 : 0);
	free(path);
	scratch_remove(scratch);
	return status;
}

static void assert_blob_reads(struct fixture *fixture, const struct digest *digest,
			      const char *bytes, size_t length)
{
	struct object_reader *reader = NULL;
	char read[64];
	size_t got = 0;

	assert_int_equal(content_open_blob(fixture->content, digest, NULL, &reader, NULL), BW_OK);
	assert_int_equal(object_read(reader, 0, read, sizeof(read), DEADLINE_NEVER, &got, NULL),
			 BW_OK);
	assert_int_equal(got, length);
	assert_memory_equal(read, bytes, length);
	object_close(reader);
}

static void a_blob_reads_back(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest;
	char *bytes = some_bytes(20, 2, &digest);
	uint64_t size = 0;

	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_ABSENT);
	assert_int_equal(adopt(fixture, bytes, 20, &digest), BW_OK);
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_OK);
	assert_int_equal(size, 20);
	assert_blob_reads(fixture, &digest, bytes, 20);
	/* stored is not granted */
	assert_int_equal(listed(fixture, HERE, &digest), BW_ABSENT);
	free(bytes);
}

static void a_blob_outlives_its_index(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest;
	char *bytes = some_bytes(20, 2, &digest);
	uint64_t size = 0;

	make_fail(&fixture->metadata_faults, "put_blob", BW_IO);
	assert_int_equal(adopt(fixture, bytes, 20, &digest), BW_OK);
	make_fail(&fixture->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_OK);
	assert_int_equal(size, 20);
	assert_blob_reads(fixture, &digest, bytes, 20);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_OK);
	make_fail(&fixture->object_faults, NULL, BW_IO);
	size = 0;
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_OK);
	assert_int_equal(size, 20);
	free(bytes);
}

static void a_store_that_fails_hides_no_blob(void **state)
{
	struct fixture *fixture = *state;
	struct object_reader *reader = NULL;
	uint64_t size = 42;

	make_fail(&fixture->object_faults, NULL, BW_TIMEOUT);
	assert_int_equal(content_stat_blob(fixture->content, &fixture->layer, &size, NULL),
			 BW_TIMEOUT);
	assert_int_equal(size, 42);
	assert_int_equal(content_open_blob(fixture->content, &fixture->layer, NULL, &reader, NULL),
			 BW_TIMEOUT);
	assert_null(reader);
}

static void a_blob_that_is_not_taken_leaves_the_file(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest;
	char *bytes = some_bytes(20, 2, &digest);

	make_fail(&fixture->object_faults, "adopt", BW_NO_SPACE);
	assert_int_equal(adopt(fixture, bytes, 20, &digest), BW_NO_SPACE);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_int_equal(adopt(fixture, bytes, 20, &digest), BW_OK);
	free(bytes);
}

/* Somebody removed the file: the index must not go on promising it. */
static void a_promise_of_a_lost_blob_is_withdrawn(void **state)
{
	struct fixture *fixture = *state;
	struct object_reader *reader = NULL;
	struct digest digest;
	char *bytes = some_bytes(20, 2, &digest);
	char key[KEY_SIZE];
	uint64_t size;

	assert_int_equal(adopt(fixture, bytes, 20, &digest), BW_OK);
	key_of_blob(key, &digest);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	assert_int_equal(content_open_blob(fixture->content, &digest, NULL, &reader, NULL),
			 BW_ABSENT);
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_ABSENT);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_manifest_reads_back),
		TEST(a_manifest_is_its_repositorys_alone),
		TEST(its_body_is_stored_once),
		TEST(a_manifest_outlives_its_index),
		TEST(a_store_that_fails_hides_no_manifest),
		TEST(a_damaged_body_is_refused_and_heals),
		TEST(a_put_that_succeeds_leaves_no_error),
		TEST(a_damaged_record_is_refused_and_heals),
		TEST(a_manifest_is_acknowledged_by_both_stores),
		TEST(a_manifest_grants_what_it_lists),
		TEST(an_index_grants_nothing),
		TEST(a_foreign_layer_grants_nothing),
		TEST(a_link_grants_one_blob_in_one_repository),
		TEST(a_lost_index_still_grants),
		TEST(an_index_that_fails_still_grants),
		TEST(an_index_that_failed_during_a_scan_is_scanned_for_again),
		TEST(a_store_that_fails_is_not_a_no),
		TEST(one_damaged_manifest_hides_no_other),
		TEST(a_scan_is_not_repeated_at_once),
		TEST(a_blob_reads_back),
		TEST(a_blob_outlives_its_index),
		TEST(a_store_that_fails_hides_no_blob),
		TEST(a_blob_that_is_not_taken_leaves_the_file),
		TEST(a_promise_of_a_lost_blob_is_withdrawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
