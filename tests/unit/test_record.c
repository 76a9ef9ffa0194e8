#include "server/content/record.h"
#include "tests/support/support.h"

#include <string.h>

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct digest some_digest(void)
{
	struct digest digest;

	assert_true(digest_parse(DIGEST, strlen(DIGEST), &digest));
	return digest;
}

static void a_manifest_record_reads_back(void **state)
{
	struct buf buf = BUF_INIT(RECORD_MAX);
	char media_type[MEDIA_TYPE_MAX];
	uint64_t size;
	int64_t stored_at;

	(void)state;
	record_write_manifest(&buf, "application/vnd.oci.image.index.v1+json", 1234, 1700000000123);
	assert_string_equal(buf_string(&buf),
			    "{\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
			    "\"size\":1234,\"storedAt\":1700000000123}");
	assert_int_equal(record_read_manifest(buf_string(&buf), buf.length, media_type, &size,
					      &stored_at, NULL),
			 BW_OK);
	assert_string_equal(media_type, "application/vnd.oci.image.index.v1+json");
	assert_int_equal(size, 1234);
	assert_int_equal(stored_at, 1700000000123);
	buf_release(&buf);
}

static void the_longest_media_type_fits(void **state)
{
	struct buf buf = BUF_INIT(RECORD_MAX);
	char longest[MEDIA_TYPE_MAX], media_type[MEDIA_TYPE_MAX];
	uint64_t size;
	int64_t stored_at;

	(void)state;
	memset(longest, '"', sizeof(longest) - 1); /* each escaped to two bytes */
	longest[sizeof(longest) - 1] = '\0';
	record_write_manifest(&buf, longest, UINT64_C(1) << 52, 0);
	assert_false(buf.overflow);
	assert_int_equal(record_read_manifest(buf_string(&buf), buf.length, media_type, &size,
					      &stored_at, NULL),
			 BW_OK);
	assert_string_equal(media_type, longest);
	buf_release(&buf);
}

static void a_tag_record_reads_back(void **state)
{
	struct buf buf = BUF_INIT(RECORD_MAX);
	struct digest digest = some_digest(), read;
	int64_t stored_at;

	(void)state;
	record_write_tag(&buf, &digest, 1700000000123);
	assert_string_equal(buf_string(&buf),
			    "{\"digest\":\"" DIGEST "\",\"storedAt\":1700000000123}");
	assert_int_equal(record_read_tag(buf_string(&buf), buf.length, &read, &stored_at, NULL),
			 BW_OK);
	assert_true(digest_equals(&read, &digest));
	assert_int_equal(stored_at, 1700000000123);
	buf_release(&buf);
}

static void a_removed_tag_is_absent(void **state)
{
	struct buf buf = BUF_INIT(RECORD_MAX);
	struct digest digest;
	int64_t stored_at;

	(void)state;
	record_write_tag_removed(&buf, 5);
	assert_int_equal(record_read_tag(buf_string(&buf), buf.length, &digest, &stored_at, NULL),
			 BW_ABSENT);
	buf_release(&buf);
}

static void a_link_record_reads_back(void **state)
{
	struct buf buf = BUF_INIT(RECORD_MAX);
	uint64_t size = 0;
	int64_t stored_at = 0;

	(void)state;
	record_write_link(&buf, 9007199254740991, 1700000000123);
	assert_string_equal(buf_string(&buf),
			    "{\"size\":9007199254740991,\"storedAt\":1700000000123}");
	assert_int_equal(record_read_link(buf_string(&buf), buf.length, &size, &stored_at, NULL),
			 BW_OK);
	assert_int_equal(size, 9007199254740991);
	assert_int_equal(stored_at, 1700000000123);
	buf_reset(&buf);
	record_write_referrer(&buf, 1700000000123);
	assert_string_equal(buf_string(&buf), "{\"storedAt\":1700000000123}");
	buf_release(&buf);
}

static void damaged_links_are_corrupt(void **state)
{
	static const char *const records[] = {
		"",
		"{",
		"{}",
		"[]",
		"{\"size\":1}",
		"{\"storedAt\":1}",
		"{\"size\":-1,\"storedAt\":1}",
		"{\"size\":\"1\",\"storedAt\":1}",
		"{\"size\":1,\"storedAt\":1}x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		struct error error = {0};
		uint64_t size = 42;
		int64_t stored_at = 43;

		assert_int_equal(
			record_read_link(records[i], strlen(records[i]), &size, &stored_at, &error),
			BW_CORRUPT);
		assert_int_equal(error.code, BW_CORRUPT);
		assert_int_equal(size, 42);
		assert_int_equal(stored_at, 43);
	}
}

/* A clock before 1970 writes a time that reads back, not a huge one. */
static void times_are_never_negative(void **state)
{
	struct buf buf = BUF_INIT(RECORD_MAX);
	struct digest digest = some_digest(), read;
	int64_t stored_at = 1;

	(void)state;
	record_write_tag(&buf, &digest, -5);
	assert_int_equal(record_read_tag(buf_string(&buf), buf.length, &read, &stored_at, NULL),
			 BW_OK);
	assert_int_equal(stored_at, 0);
	buf_release(&buf);
}

/* What a disk or a person made of a record is damage, never absence. */
static void damaged_tags_are_corrupt(void **state)
{
	static const char *const records[] = {
		"",
		"{",
		"[]",
		"null",
		"{}",
		"{\"digest\":\"" DIGEST "\"}",
		"{\"storedAt\":1}",
		"{\"digest\":\"sha256:E3B0\",\"storedAt\":1}",
		"{\"digest\":5,\"storedAt\":1}",
		"{\"digest\":\"" DIGEST "\",\"storedAt\":-1}",
		"{\"digest\":\"" DIGEST "\",\"storedAt\":1.5}",
		"{\"digest\":\"" DIGEST "\",\"storedAt\":1} x",
		"{\"digest\":\"" DIGEST "\",\"digest\":\"" DIGEST "\",\"storedAt\":1}",
		"{\"removed\":\"true\",\"storedAt\":1}",
		"{\"removed\":false,\"storedAt\":1}",
	};
	struct error error = {0};
	struct digest digest;
	int64_t stored_at = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		assert_int_equal(record_read_tag(records[i], strlen(records[i]), &digest,
						 &stored_at, &error),
				 BW_CORRUPT);
		assert_int_equal(error.code, BW_CORRUPT);
		assert_int_equal(stored_at, 42);
	}
}

static void damaged_manifests_are_corrupt(void **state)
{
	static const char *const records[] = {
		"",
		"{\"mediaType\":\"a/b\",\"size\":1}",
		"{\"mediaType\":\"a/b\",\"storedAt\":1}",
		"{\"size\":1,\"storedAt\":1}",
		"{\"mediaType\":7,\"size\":1,\"storedAt\":1}",
		"{\"mediaType\":\"a/b\",\"size\":\"1\",\"storedAt\":1}",
		"{\"mediaType\":\"a/b\",\"size\":-1,\"storedAt\":1}",
		"{\"mediaType\":\"a/b\",\"size\":1,\"storedAt\":1",
	};
	char media_type[MEDIA_TYPE_MAX] = "untouched";
	struct error error = {0};
	uint64_t size = 42;
	int64_t stored_at = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		assert_int_equal(record_read_manifest(records[i], strlen(records[i]), media_type,
						      &size, &stored_at, &error),
				 BW_CORRUPT);
		assert_string_equal(media_type, "untouched");
		assert_int_equal(size, 42);
	}
}

static void a_media_type_that_does_not_fit_is_corrupt(void **state)
{
	struct buf buf = BUF_INIT(RECORD_MAX);
	char media_type[MEDIA_TYPE_MAX], longer[MEDIA_TYPE_MAX + 1];
	uint64_t size;
	int64_t stored_at;

	(void)state;
	memset(longer, 'a', MEDIA_TYPE_MAX);
	longer[MEDIA_TYPE_MAX] = '\0';
	record_write_manifest(&buf, longer, 1, 1);
	assert_int_equal(record_read_manifest(buf_string(&buf), buf.length, media_type, &size,
					      &stored_at, NULL),
			 BW_CORRUPT);
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manifest_record_reads_back),
		cmocka_unit_test(the_longest_media_type_fits),
		cmocka_unit_test(a_tag_record_reads_back),
		cmocka_unit_test(a_removed_tag_is_absent),
		cmocka_unit_test(a_link_record_reads_back),
		cmocka_unit_test(damaged_links_are_corrupt),
		cmocka_unit_test(times_are_never_negative),
		cmocka_unit_test(damaged_tags_are_corrupt),
		cmocka_unit_test(damaged_manifests_are_corrupt),
		cmocka_unit_test(a_media_type_that_does_not_fit_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
