/* What backends/metadata_store.h promises of tags, asked of every index. */
#include "tests/support/metadata_stores.h"

/* Repositories whose names begin alike must not see each other's rows. */
static const char *const neighbours[] = {"a", "a/b", "a-b", "ab", "a0", "docker.io/library/a"};

static struct tag_entry entry_at(uint64_t version)
{
	char text[32];

	snprintf(text, sizeof(text), "content %llu", (unsigned long long)version);
	return (struct tag_entry){
		.digest = digest_for(text),
		.version = version,
		.stored_at = 1700000000000 + (int64_t)(version % 1000),
		.validated_at = 1700000000500,
	};
}

static void put_tag(struct metadata_store *store, const char *repository, const char *tag,
		    uint64_t version)
{
	struct tag_entry entry = entry_at(version);
	struct error error = {0};

	if (metadata_put_tag(store, repository, tag, &entry, &error))
		fail_msg("put %s:%s: %s", repository, tag, error.message);
}

static void assert_tag_at(struct metadata_store *store, const char *repository, const char *tag,
			  uint64_t version)
{
	struct tag_entry expected = entry_at(version);
	struct tag_entry got = {0};

	assert_int_equal(metadata_get_tag(store, repository, tag, &got, NULL), BW_OK);
	assert_int_equal(got.version, version);
	assert_true(digest_equals(&got.digest, &expected.digest));
	assert_int_equal(got.stored_at, expected.stored_at);
	assert_int_equal(got.validated_at, expected.validated_at);
}

static void assert_no_tag(struct metadata_store *store, const char *repository, const char *tag)
{
	struct tag_entry got = {.version = 77};
	struct error error = {0};

	assert_int_equal(metadata_get_tag(store, repository, tag, &got, &error), BW_ABSENT);
	assert_int_equal(error.code, BW_ABSENT);
	assert_int_equal(got.version, 77);
}

static void a_tag_is_read_back(void **state)
{
	struct metadata_store *store = store_of(state);

	assert_no_tag(store, "a/b", "v1");
	put_tag(store, "a/b", "v1", 7);
	assert_tag_at(store, "a/b", "v1", 7);
	assert_no_tag(store, "a/b", "v");
	assert_no_tag(store, "a/b", "v11");
	assert_no_tag(store, "a", "b/v1");
	assert_no_tag(store, "a/b", "V1");
}

static void a_tag_may_point_to_sha512(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry entry = {.version = 1};
	struct tag_entry got;

	digest_of(DIGEST_SHA512, "x", 1, &entry.digest);
	assert_int_equal(metadata_put_tag(store, "a", "v1", &entry, NULL), BW_OK);
	assert_int_equal(metadata_get_tag(store, "a", "v1", &got, NULL), BW_OK);
	assert_true(digest_equals(&got.digest, &entry.digest));
	assert_int_equal(got.validated_at, 0);
}

static void a_write_that_has_begun_is_pending(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry got;

	assert_int_equal(metadata_begin_tag(store, "a", "v1", 5, NULL), BW_OK);
	assert_no_tag(store, "a", "v1");
	put_tag(store, "a", "v1", 7);
	assert_int_equal(metadata_begin_tag(store, "a", "v1", 7, NULL), BW_OK);
	assert_int_equal(metadata_get_tag(store, "a", "v1", &got, NULL), BW_OK);
	assert_int_equal(got.pending, 0);
	assert_int_equal(metadata_begin_tag(store, "a", "v1", 20, NULL), BW_OK);
	assert_int_equal(metadata_begin_tag(store, "a", "v1", 10, NULL), BW_OK);
	assert_tag_at(store, "a", "v1", 7);
	assert_int_equal(metadata_get_tag(store, "a", "v1", &got, NULL), BW_OK);
	assert_int_equal(got.pending, 20);
}

static void a_write_is_pending_until_it_or_a_newer_one_is_put(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry got;

	put_tag(store, "a", "v1", 7);
	assert_int_equal(metadata_begin_tag(store, "a", "v1", 20, NULL), BW_OK);
	put_tag(store, "a", "v1", 10);
	assert_int_equal(metadata_touch_tag(store, "a", "v1", 10, 1700000000500, NULL), BW_OK);
	assert_int_equal(metadata_get_tag(store, "a", "v1", &got, NULL), BW_OK);
	assert_int_equal(got.pending, 20);
	put_tag(store, "a", "v1", 20);
	assert_int_equal(metadata_get_tag(store, "a", "v1", &got, NULL), BW_OK);
	assert_int_equal(got.pending, 0);
	assert_int_equal(metadata_begin_tag(store, "a", "v1", UINT64_MAX, NULL), BW_INVALID);
}

static void only_a_higher_version_is_taken(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry older = entry_at(4);
	struct tag_entry same = entry_at(5);
	struct error error = {0};

	put_tag(store, "a", "v1", 5);
	assert_int_equal(metadata_put_tag(store, "a", "v1", &older, &error), BW_CONFLICT);
	assert_true(error.message[0]);
	same.stored_at = 1;
	assert_int_equal(metadata_put_tag(store, "a", "v1", &same, NULL), BW_CONFLICT);
	assert_tag_at(store, "a", "v1", 5);
	put_tag(store, "a", "v1", 6);
	assert_tag_at(store, "a", "v1", 6);
}

static void versions_reach_as_far_as_they_may(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry too_high = entry_at((uint64_t)INT64_MAX + 1);

	put_tag(store, "a", "v1", 0);
	assert_tag_at(store, "a", "v1", 0);
	put_tag(store, "a", "v1", INT64_MAX - 1);
	put_tag(store, "a", "v1", INT64_MAX);
	assert_int_equal(metadata_put_tag(store, "a", "v1", &too_high, NULL), BW_INVALID);
	assert_tag_at(store, "a", "v1", INT64_MAX);
	assert_int_equal(metadata_remove_tag(store, "a", "v1", UINT64_MAX, NULL), BW_OK);
	assert_no_tag(store, "a", "v1");
}

static void touching_needs_the_version(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry got;

	assert_int_equal(metadata_touch_tag(store, "a", "v1", 5, 42, NULL), BW_CONFLICT);
	assert_no_tag(store, "a", "v1");
	put_tag(store, "a", "v1", 5);
	assert_int_equal(metadata_touch_tag(store, "a", "v1", 4, 42, NULL), BW_CONFLICT);
	assert_int_equal(metadata_touch_tag(store, "a", "v1", 6, 42, NULL), BW_CONFLICT);
	assert_tag_at(store, "a", "v1", 5);
	assert_int_equal(metadata_touch_tag(store, "a", "v1", 5, 42, NULL), BW_OK);
	assert_int_equal(metadata_get_tag(store, "a", "v1", &got, NULL), BW_OK);
	assert_int_equal(got.validated_at, 42);
	assert_int_equal(got.version, 5);
}

static void removing_spares_a_newer_version(void **state)
{
	struct metadata_store *store = store_of(state);

	assert_int_equal(metadata_remove_tag(store, "a", "v1", 5, NULL), BW_OK);
	put_tag(store, "a", "v1", 5);
	assert_int_equal(metadata_remove_tag(store, "a", "v1", 4, NULL), BW_OK);
	assert_tag_at(store, "a", "v1", 5);
	assert_int_equal(metadata_remove_tag(store, "a", "v1", 5, NULL), BW_OK);
	assert_no_tag(store, "a", "v1");
	put_tag(store, "a", "v1", 3);
	assert_int_equal(metadata_remove_tag(store, "a", "v1", 9, NULL), BW_OK);
	assert_no_tag(store, "a", "v1");
}

static void repositories_are_apart(void **state)
{
	struct metadata_store *store = store_of(state);

	for (size_t i = 0; i < array_size(neighbours); i++)
		put_tag(store, neighbours[i], "v1", i + 1);
	for (size_t i = 0; i < array_size(neighbours); i++)
		assert_tag_at(store, neighbours[i], "v1", i + 1);
	assert_int_equal(metadata_remove_tag(store, "a", "v1", 99, NULL), BW_OK);
	for (size_t i = 1; i < array_size(neighbours); i++)
		assert_tag_at(store, neighbours[i], "v1", i + 1);
}

static void assert_tags(struct metadata_store *store, const char *repository, const char *after,
			unsigned limit, const char *expected)
{
	struct name_list list = {0};

	assert_int_equal(
		metadata_list_tags(store, repository, after, limit, collect_name, &list, NULL),
		BW_OK);
	assert_string_equal(list.text, expected);
}

static void tags_are_listed_in_byte_order(void **state)
{
	static const char *const tags[] = {"latest", "v10", "V1", "_x", "1.2", "v1", "v1-rc", "v2"};
	struct metadata_store *store = store_of(state);
	struct name_list list = {.stop_after = 2};

	for (size_t i = 0; i < array_size(tags); i++)
		put_tag(store, "a", tags[i], 1);
	put_tag(store, "a/b", "elsewhere", 1);
	put_tag(store, "a-b", "elsewhere", 1);
	assert_tags(store, "a", "", 100, "1.2 V1 _x latest v1 v1-rc v10 v2 ");
	assert_tags(store, "a", "", 3, "1.2 V1 _x ");
	assert_tags(store, "a", "_x", 2, "latest v1 ");
	assert_tags(store, "a", "v", 2, "v1 v1-rc ");
	assert_tags(store, "a", "v2", 100, "");
	assert_tags(store, "a", "", 0, "");
	assert_tags(store, "b", "", 100, "");
	assert_int_equal(metadata_list_tags(store, "a", "", 100, collect_name, &list, NULL), BW_OK);
	assert_string_equal(list.text, "1.2 V1 ");
	/* ... and a listing cut short is no hindrance to what comes next */
	put_tag(store, "a", "zz", 1);
	assert_tags(store, "a", "v2", 100, "zz ");
}

/* ---- by what they point to ---- */

static void put_tag_to(struct metadata_store *store, const char *repository, const char *tag,
		       const char *content, uint64_t version)
{
	struct tag_entry entry = {.digest = digest_for(content), .version = version};

	assert_int_equal(metadata_put_tag(store, repository, tag, &entry, NULL), BW_OK);
}

static void assert_tags_of(struct metadata_store *store, const char *repository,
			   const char *content, unsigned limit, const char *expected)
{
	struct digest digest = digest_for(content);
	struct name_list list = {0};

	assert_int_equal(
		metadata_list_tags_of(store, repository, &digest, limit, collect_name, &list, NULL),
		BW_OK);
	assert_string_equal(list.text, expected);
}

static void tags_are_found_by_what_they_point_to(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = digest_for("x");
	struct name_list list = {.stop_after = 1};

	put_tag_to(store, "a", "v10", "x", 1);
	put_tag_to(store, "a", "v1", "x", 1);
	put_tag_to(store, "a", "V1", "x", 1);
	put_tag_to(store, "a", "other", "y", 1);
	for (size_t i = 1; i < array_size(neighbours); i++)
		put_tag_to(store, neighbours[i], "elsewhere", "x", 1);
	assert_tags_of(store, "a", "x", 100, "V1 v1 v10 ");
	assert_tags_of(store, "a", "x", 2, "V1 v1 ");
	assert_tags_of(store, "a", "x", 0, "");
	assert_tags_of(store, "a", "z", 100, "");
	assert_tags_of(store, "b", "x", 100, "");
	assert_int_equal(metadata_list_tags_of(store, "a", &digest, 100, collect_name, &list, NULL),
			 BW_OK);
	assert_string_equal(list.text, "V1 ");
}

static void a_tag_that_moved_is_found_where_it_points_now(void **state)
{
	struct metadata_store *store = store_of(state);

	put_tag_to(store, "a", "v1", "x", 1);
	put_tag_to(store, "a", "v2", "x", 1);
	put_tag_to(store, "a", "v1", "y", 2);
	assert_tags_of(store, "a", "x", 100, "v2 ");
	assert_tags_of(store, "a", "y", 100, "v1 ");
	assert_int_equal(metadata_remove_tag(store, "a", "v1", 2, NULL), BW_OK);
	assert_tags_of(store, "a", "y", 100, "");
}

/* Two algorithms' digests are two, also where the shorter begins the longer. */
static void tags_of_sha256_and_sha512_are_apart(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry sha512 = {.version = 1};
	struct tag_entry sha256 = {.version = 1};
	struct name_list list = {0};

	digest_of(DIGEST_SHA512, "x", 1, &sha512.digest);
	sha256.digest.algorithm = DIGEST_SHA256;
	memcpy(sha256.digest.bytes, sha512.digest.bytes, 32);
	assert_int_equal(metadata_put_tag(store, "a", "long", &sha512, NULL), BW_OK);
	assert_int_equal(metadata_put_tag(store, "a", "short", &sha256, NULL), BW_OK);
	assert_int_equal(
		metadata_list_tags_of(store, "a", &sha512.digest, 9, collect_name, &list, NULL),
		BW_OK);
	assert_string_equal(list.text, "long ");
}

static void the_longest_names_fit(void **state)
{
	struct metadata_store *store = store_of(state);
	char *repository = longest_repository();
	char tag[129];
	struct name_list list = {0};

	memset(tag, 't', 128);
	tag[128] = '\0';
	put_tag(store, repository, tag, 3);
	assert_tag_at(store, repository, tag, 3);
	repository[254] = '\0';
	assert_no_tag(store, repository, tag);
	repository[254] = 'e';
	assert_int_equal(metadata_list_tags(store, repository, "", 10, collect_name, &list, NULL),
			 BW_OK);
	assert_memory_equal(list.text, tag, 128);
	free(repository);
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(a_tag_is_read_back),
		METADATA_CASE(a_tag_may_point_to_sha512),
		METADATA_CASE(only_a_higher_version_is_taken),
		METADATA_CASE(a_write_that_has_begun_is_pending),
		METADATA_CASE(a_write_is_pending_until_it_or_a_newer_one_is_put),
		METADATA_CASE(versions_reach_as_far_as_they_may),
		METADATA_CASE(touching_needs_the_version),
		METADATA_CASE(removing_spares_a_newer_version),
		METADATA_CASE(repositories_are_apart),
		METADATA_CASE(tags_are_listed_in_byte_order),
		METADATA_CASE(tags_are_found_by_what_they_point_to),
		METADATA_CASE(a_tag_that_moved_is_found_where_it_points_now),
		METADATA_CASE(tags_of_sha256_and_sha512_are_apart),
		METADATA_CASE(the_longest_names_fit),
	};

	return run_over_metadata_stores("metadata_tags", cases, array_size(cases));
}
