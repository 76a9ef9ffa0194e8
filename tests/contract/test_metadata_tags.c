/* What backends/metadata_store.h promises of tags, asked of every index. */
#include "tests/support/metadata_stores.h"

static struct metadata_store *store_of(void **state)
{
	return ((struct metadata_fixture *)*state)->store;
}

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

struct tag_list {
	char text[256]; /* "v1 v2 " */
	unsigned count;
	unsigned stop_after;
};

static bool collect(void *context, const char *tag)
{
	struct tag_list *list = context;
	size_t length = strlen(list->text);

	snprintf(list->text + length, sizeof(list->text) - length, "%s ", tag);
	return ++list->count != list->stop_after;
}

static void assert_tags(struct metadata_store *store, const char *repository, const char *after,
			unsigned limit, const char *expected)
{
	struct tag_list list = {0};

	assert_int_equal(metadata_list_tags(store, repository, after, limit, collect, &list, NULL),
			 BW_OK);
	assert_string_equal(list.text, expected);
}

static void tags_are_listed_in_byte_order(void **state)
{
	static const char *const tags[] = {"latest", "v10", "V1", "_x", "1.2", "v1", "v1-rc", "v2"};
	struct metadata_store *store = store_of(state);
	struct tag_list list = {.stop_after = 2};

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
	assert_int_equal(metadata_list_tags(store, "a", "", 100, collect, &list, NULL), BW_OK);
	assert_string_equal(list.text, "1.2 V1 ");
	/* ... and a listing cut short is no hindrance to what comes next */
	put_tag(store, "a", "zz", 1);
	assert_tags(store, "a", "v2", 100, "zz ");
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(a_tag_is_read_back),
		METADATA_CASE(a_tag_may_point_to_sha512),
		METADATA_CASE(only_a_higher_version_is_taken),
		METADATA_CASE(versions_reach_as_far_as_they_may),
		METADATA_CASE(touching_needs_the_version),
		METADATA_CASE(removing_spares_a_newer_version),
		METADATA_CASE(repositories_are_apart),
		METADATA_CASE(tags_are_listed_in_byte_order),
	};

	return run_over_metadata_stores("metadata_tags", cases, array_size(cases));
}
