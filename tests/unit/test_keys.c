#include "server/content/keys.h"
#include "tests/support/support.h"

#include <string.h>

#define HEX256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define REPOSITORY "docker.io/library/alpine"

static struct digest digest_from(const char *text)
{
	struct digest digest;

	assert_true(digest_parse(text, strlen(text), &digest));
	return digest;
}

static void blobs_lie_under_two_digits_of_their_digest(void **state)
{
	struct digest digest = digest_from("sha256:" HEX256);
	char key[KEY_SIZE];

	(void)state;
	key_of_blob(key, &digest);
	assert_string_equal(key, "blobs/sha256/e3/" HEX256);
	digest = digest_from("sha512:" HEX256 HEX256);
	key_of_blob(key, &digest);
	assert_string_equal(key, "blobs/sha512/e3/" HEX256 HEX256);
}

static void records_lie_in_their_repository(void **state)
{
	struct digest digest = digest_from("sha256:" HEX256);
	char key[KEY_SIZE];

	(void)state;
	key_of_manifest(key, REPOSITORY, &digest);
	assert_string_equal(key, "repositories/" REPOSITORY "/_manifests/sha256:" HEX256);
	key_of_manifests(key, REPOSITORY);
	assert_string_equal(key, "repositories/" REPOSITORY "/_manifests/");
	key_of_tag(key, REPOSITORY, "3.20");
	assert_string_equal(key, "repositories/" REPOSITORY "/_tags/3.20/");
}

static void a_higher_version_sorts_first(void **state)
{
	static const uint64_t rising[] = {1, 2, 9, 10, 255, 256, 1700000000000000, INT64_MAX};
	char lower[KEY_SIZE], higher[KEY_SIZE];

	(void)state;
	for (size_t i = 1; i < sizeof(rising) / sizeof(rising[0]); i++) {
		key_of_tag_version(lower, REPOSITORY, "latest", rising[i - 1]);
		key_of_tag_version(higher, REPOSITORY, "latest", rising[i]);
		assert_true(strcmp(higher, lower) < 0);
	}
}

static void a_version_reads_back(void **state)
{
	static const uint64_t versions[] = {0, 1, 255, 1700000000000000, INT64_MAX};
	char key[KEY_SIZE];
	uint64_t version;

	(void)state;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		key_of_tag_version(key, REPOSITORY, "latest", versions[i]);
		version = ~versions[i];
		assert_true(key_parse_tag_version(key, &version));
		assert_int_equal(version, versions[i]);
	}
}

/* Whatever else lies beside the versions is not one of them. */
static void what_is_no_version_is_refused(void **state)
{
	static const char *const keys[] = {
		"",
		"/",
		"repositories/a/_tags/latest/",
		"repositories/a/_tags/latest/.DS_Store",
		"repositories/a/_tags/latest/fffa0000000000",
		"repositories/a/_tags/latest/fffa00000000000000",
		"repositories/a/_tags/latest/FFFA000000000000",
		"repositories/a/_tags/latest/fffa00000000000g",
		"repositories/a/_tags/latest/fffa00000000000 ",
		/* over what the index can hold: nothing could ever be newer */
		"repositories/a/_tags/latest/0000000000000000",
		"repositories/a/_tags/latest/7fffffffffffffff",
	};
	uint64_t version = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_false(key_parse_tag_version(keys[i], &version));
		assert_int_equal(version, 42);
	}
}

static void links_and_referrers_lie_in_their_repository(void **state)
{
	struct digest digest = digest_from("sha256:" HEX256);
	struct digest subject = digest_from("sha512:" HEX256 HEX256);
	char key[KEY_SIZE];

	(void)state;
	key_of_link(key, REPOSITORY, &digest);
	assert_string_equal(key, "repositories/" REPOSITORY "/_layers/sha256:" HEX256);
	key_of_tags(key, REPOSITORY);
	assert_string_equal(key, "repositories/" REPOSITORY "/_tags/");
	key_of_referrers(key, REPOSITORY, &subject);
	assert_string_equal(key,
			    "repositories/" REPOSITORY "/_referrers/sha512:" HEX256 HEX256 "/");
	key_of_referrer(key, REPOSITORY, &subject, &digest);
	assert_string_equal(key, "repositories/" REPOSITORY "/_referrers/sha512:" HEX256 HEX256
				 "/sha256:" HEX256);
}

/* "team" and "team/app" share a folder, but no key. */
static void a_repositorys_prefix_is_not_that_of_those_below(void **state)
{
	struct digest digest = digest_from("sha256:" HEX256);
	char prefix[KEY_SIZE], key[KEY_SIZE];

	(void)state;
	key_of_repository(prefix, "team");
	key_of_link(key, "team", &digest);
	assert_memory_equal(key, prefix, strlen(prefix));
	key_of_tag_version(key, "team", "v1", 7);
	assert_memory_equal(key, prefix, strlen(prefix));
	key_of_link(key, "team/app", &digest);
	assert_memory_not_equal(key, prefix, strlen(prefix));
}

static void keys_are_taken_apart(void **state)
{
	struct digest digest = digest_from("sha256:" HEX256);
	struct digest subject = digest_from("sha512:" HEX256 HEX256);
	struct parsed_key parsed;
	char key[KEY_SIZE];

	(void)state;
	key_of_manifest(key, REPOSITORY, &digest);
	key_parse(key, &parsed);
	assert_int_equal(parsed.kind, KEY_MANIFEST);
	assert_string_equal(parsed.repository, REPOSITORY);
	assert_true(digest_equals(&parsed.digest, &digest));

	key_of_link(key, "app", &subject);
	key_parse(key, &parsed);
	assert_int_equal(parsed.kind, KEY_LINK);
	assert_string_equal(parsed.repository, "app");
	assert_true(digest_equals(&parsed.digest, &subject));

	key_of_referrer(key, REPOSITORY, &subject, &digest);
	key_parse(key, &parsed);
	assert_int_equal(parsed.kind, KEY_REFERRER);
	assert_true(digest_equals(&parsed.digest, &digest));
	assert_true(digest_equals(&parsed.subject, &subject));

	key_of_tag_version(key, REPOSITORY, "v1.0_x-", 1700000000000000);
	key_parse(key, &parsed);
	assert_int_equal(parsed.kind, KEY_TAG_VERSION);
	assert_string_equal(parsed.repository, REPOSITORY);
	assert_string_equal(parsed.tag, "v1.0_x-");
	assert_int_equal(parsed.version, 1700000000000000);

	memset(&digest, 0, sizeof(digest));
	key_of_blob(key, &subject);
	assert_true(key_parse_blob(key, &digest));
	assert_true(digest_equals(&digest, &subject));
}

static void foreign_keys_are_told(void **state)
{
	static const char *const keys[] = {
		"",
		"repositories/",
		"repositories//_manifests/sha256:" HEX256,
		"repositories/_manifests/sha256:" HEX256,
		"repositories/app",
		"repositories/app/_manifests",
		"repositories/app/_manifests/",
		"repositories/app/_manifests/sha256:12",
		"repositories/app/_manifests/sha256:" HEX256 "/x",
		"repositories/app/_manifest/sha256:" HEX256,
		"repositories/app/_layers/latest",
		"repositories/app/_uploads/sha256:" HEX256,
		"repositories/app/_referrers/sha256:" HEX256,
		"repositories/app/_referrers/sha256:" HEX256 "/",
		"repositories/app/_referrers/latest/sha256:" HEX256,
		"repositories/app/_tags/v1",
		"repositories/app/_tags/v1/",
		"repositories/app/_tags/v1/1",
		"repositories/app/_tags/-v1/ffffffffffffffff",
		"repositories/app/_tags/v1/0000000000000000",
		"repositories/app/_tags/v1/x/ffffffffffffffff",
		"other/app/_manifests/sha256:" HEX256,
		"blobs/sha256/e3/" HEX256,
	};
	static const char *const blobs[] = {
		"",
		"blobs/",
		HEX256,
		"/" HEX256,
		"blobs/sha256/" HEX256,
		"blobs/sha256/e4/" HEX256,
		"blobs/sha512/e3/" HEX256,
		"blobs/sha256/e3/" HEX256 HEX256,
		"blobs/md5/e3/" HEX256,
		"blobs/sha256/e3/" HEX256 ".bad",
		"quarantine/sha256/e3/" HEX256,
	};
	struct digest digest;

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct parsed_key parsed;

		key_parse(keys[i], &parsed);
		if (parsed.kind != KEY_FOREIGN)
			fail_msg("taken for one of ours: %s", keys[i]);
	}
	for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++)
		if (key_parse_blob(blobs[i], &digest))
			fail_msg("taken for a blob: %s", blobs[i]);
}

static void the_longest_names_fit(void **state)
{
	struct digest digest = digest_from("sha512:" HEX256 HEX256);
	char repository[510], tag[129], key[KEY_SIZE];
	struct parsed_key parsed;
	uint64_t version;

	(void)state;
	memset(repository, 'r', sizeof(repository) - 1);
	repository[sizeof(repository) - 1] = '\0';
	memset(tag, 't', sizeof(tag) - 1);
	tag[sizeof(tag) - 1] = '\0';
	key_of_tag_version(key, repository, tag, 7);
	assert_true(object_key_valid(key));
	assert_true(key_parse_tag_version(key, &version));
	assert_int_equal(version, 7);
	key_of_manifest(key, repository, &digest);
	assert_true(object_key_valid(key));
	assert_string_equal(key + strlen(key) - 64, HEX256);
	key_of_referrer(key, repository, &digest, &digest);
	assert_true(object_key_valid(key));
	key_parse(key, &parsed);
	assert_int_equal(parsed.kind, KEY_REFERRER);
	assert_string_equal(parsed.repository, repository);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blobs_lie_under_two_digits_of_their_digest),
		cmocka_unit_test(records_lie_in_their_repository),
		cmocka_unit_test(a_higher_version_sorts_first),
		cmocka_unit_test(a_version_reads_back),
		cmocka_unit_test(what_is_no_version_is_refused),
		cmocka_unit_test(links_and_referrers_lie_in_their_repository),
		cmocka_unit_test(a_repositorys_prefix_is_not_that_of_those_below),
		cmocka_unit_test(keys_are_taken_apart),
		cmocka_unit_test(foreign_keys_are_told),
		cmocka_unit_test(the_longest_names_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
