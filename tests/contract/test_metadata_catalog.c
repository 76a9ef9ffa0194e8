/* What backends/metadata_store.h promises of links and of the catalog, asked of
 * every index. */
#include "tests/support/metadata_stores.h"

/* In byte order; each of some begins another. */
static const char *const neighbours[] = {"a", "a-b", "a/b", "a0", "ab", "docker.io/library/a"};
#define NEIGHBOURS "a a-b a/b a0 ab docker.io/library/a "

/* ---- links ---- */

static void put_link(struct metadata_store *store, const char *repository, const char *blob,
		     uint64_t size)
{
	struct listed_content link = {.digest = digest_for(blob), .size = size};

	assert_int_equal(metadata_put_link(store, repository, &link, NULL), BW_OK);
}

static void put_manifest(struct metadata_store *store, const char *repository, const char *body,
			 const char *blob, uint64_t size)
{
	struct listed_content listed = {.digest = digest_for(blob), .size = size};
	struct manifest_entry entry = {.digest = digest_for(body),
				       .media_type = "x/y",
				       .body = (char *)body,
				       .body_length = strlen(body)};

	assert_int_equal(metadata_put_manifest(store, repository, &entry, &listed, 1, NULL), BW_OK);
}

static void assert_link(struct metadata_store *store, const char *repository, const char *blob,
			uint64_t size)
{
	struct digest digest = digest_for(blob);
	uint64_t got = 0;

	assert_int_equal(metadata_get_link(store, repository, &digest, &got, NULL), BW_OK);
	assert_int_equal(got, size);
}

static void assert_no_link(struct metadata_store *store, const char *repository, const char *blob)
{
	struct digest digest = digest_for(blob);
	struct error error = {0};
	uint64_t got = 77;

	assert_int_equal(metadata_get_link(store, repository, &digest, &got, &error), BW_ABSENT);
	assert_int_equal(error.code, BW_ABSENT);
	assert_true(error.message[0]);
	assert_int_equal(got, 77);
}

static enum status remove_link(struct metadata_store *store, const char *repository,
			       const char *blob)
{
	struct digest digest = digest_for(blob);

	return metadata_remove_link(store, repository, &digest, NULL);
}

static enum status get_listed(struct metadata_store *store, const char *repository,
			      const char *blob)
{
	struct digest digest = digest_for(blob);
	uint64_t size;

	return metadata_get_listed(store, repository, &digest, &size, NULL);
}

static void a_link_is_its_repositorys_own(void **state)
{
	struct metadata_store *store = store_of(state);

	put_link(store, "a", "layer", 0);
	put_link(store, "a", "layer", INT64_MAX);
	assert_link(store, "a", "layer", INT64_MAX);
	assert_no_link(store, "a", "other");
	for (size_t i = 1; i < array_size(neighbours); i++)
		assert_no_link(store, neighbours[i], "layer");
}

static void what_a_manifest_lists_is_no_link(void **state)
{
	struct metadata_store *store = store_of(state);

	put_manifest(store, "a", "m", "layer", 10);
	assert_no_link(store, "a", "layer");
	put_link(store, "a", "layer", 10);
	assert_link(store, "a", "layer", 10);
}

/* A blob deleted from one repository stays in the others. */
static void removing_a_link_takes_that_one(void **state)
{
	struct metadata_store *store = store_of(state);

	assert_int_equal(remove_link(store, "a", "layer"), BW_OK);
	for (size_t i = 0; i < array_size(neighbours); i++)
		put_link(store, neighbours[i], "layer", 10);
	put_link(store, "a", "other", 11);
	assert_int_equal(remove_link(store, "a", "layer"), BW_OK);
	assert_no_link(store, "a", "layer");
	assert_int_equal(get_listed(store, "a", "layer"), BW_ABSENT);
	assert_link(store, "a", "other", 11);
	for (size_t i = 1; i < array_size(neighbours); i++)
		assert_link(store, neighbours[i], "layer", 10);
	put_link(store, "a", "layer", 12);
	assert_link(store, "a", "layer", 12);
}

static void what_a_manifest_lists_outlives_the_link(void **state)
{
	struct metadata_store *store = store_of(state);

	put_link(store, "a", "layer", 10);
	put_manifest(store, "a", "m", "layer", 10);
	assert_int_equal(remove_link(store, "a", "layer"), BW_OK);
	assert_no_link(store, "a", "layer");
	assert_int_equal(get_listed(store, "a", "layer"), BW_OK);
}

static void assert_links_of(struct metadata_store *store, const char *blob, unsigned limit,
			    const char *expected)
{
	struct digest digest = digest_for(blob);
	struct name_list list = {0};

	assert_int_equal(metadata_list_links_of(store, &digest, limit, collect_name, &list, NULL),
			 BW_OK);
	assert_string_equal(list.text, expected);
}

static void repositories_with_a_link_are_listed(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = digest_for("layer");
	struct name_list list = {.stop_after = 2};

	assert_links_of(store, "layer", 10, "");
	for (size_t i = array_size(neighbours); i-- > 0;)
		put_link(store, neighbours[i], "layer", 10);
	put_link(store, "b", "other", 10);
	put_manifest(store, "lister", "m", "layer", 10);
	assert_links_of(store, "layer", 100, NEIGHBOURS);
	assert_links_of(store, "layer", 6, NEIGHBOURS);
	assert_links_of(store, "layer", 3, "a a-b a/b ");
	assert_links_of(store, "layer", 0, "");
	assert_links_of(store, "none", 10, "");
	assert_int_equal(metadata_list_links_of(store, &digest, 10, collect_name, &list, NULL),
			 BW_OK);
	assert_string_equal(list.text, "a a-b ");
	assert_int_equal(remove_link(store, "a", "layer"), BW_OK);
	assert_links_of(store, "layer", 1, "a-b ");
}

/* ---- the catalog ---- */

static void put_repository(struct metadata_store *store, const char *repository)
{
	struct error error = {0};

	if (metadata_put_repository(store, repository, &error))
		fail_msg("put %s: %s", repository, error.message);
}

static void assert_repositories(struct metadata_store *store, const char *after, unsigned limit,
				const char *expected)
{
	struct name_list list = {0};

	assert_int_equal(metadata_list_repositories(store, after, limit, collect_name, &list, NULL),
			 BW_OK);
	assert_string_equal(list.text, expected);
}

static void a_repository_is_known_by_its_whole_name(void **state)
{
	struct metadata_store *store = store_of(state);
	struct error error = {0};

	assert_int_equal(metadata_get_repository(store, "a/b", &error), BW_ABSENT);
	assert_int_equal(error.code, BW_ABSENT);
	put_repository(store, "a/b");
	put_repository(store, "a/b");
	assert_int_equal(metadata_get_repository(store, "a/b", NULL), BW_OK);
	assert_int_equal(metadata_get_repository(store, "a", NULL), BW_ABSENT);
	assert_int_equal(metadata_get_repository(store, "a/b/c", NULL), BW_ABSENT);
	assert_repositories(store, "", 10, "a/b ");
}

static void repositories_are_listed_in_byte_order(void **state)
{
	struct metadata_store *store = store_of(state);
	struct name_list list = {.stop_after = 2};

	assert_repositories(store, "", 10, "");
	for (size_t i = array_size(neighbours); i-- > 0;)
		put_repository(store, neighbours[i]);
	assert_repositories(store, "", 100, NEIGHBOURS);
	assert_repositories(store, "", 2, "a a-b ");
	assert_repositories(store, "a-b", 2, "a/b a0 ");
	assert_repositories(store, "a0", 2, "ab docker.io/library/a ");
	assert_repositories(store, "docker.io/library/a", 2, "");
	assert_repositories(store, "a.", 1, "a/b "); /* one that is not there */
	assert_repositories(store, "", 0, "");
	assert_int_equal(metadata_list_repositories(store, "", 10, collect_name, &list, NULL),
			 BW_OK);
	assert_string_equal(list.text, "a a-b ");
}

static void the_longest_repository_is_found_and_listed(void **state)
{
	struct metadata_store *store = store_of(state);
	char *longest = longest_repository();
	char *expected = xasprintf("%s ", longest);

	put_repository(store, longest);
	assert_int_equal(metadata_get_repository(store, longest, NULL), BW_OK);
	assert_repositories(store, "", 10, expected);
	assert_repositories(store, longest, 10, "");
	free(expected);
	free(longest);
}

static void assert_not_removable(struct metadata_store *store, const char *repository)
{
	struct error error = {0};

	assert_int_equal(metadata_remove_repository(store, repository, &error), BW_CONFLICT);
	assert_int_equal(error.code, BW_CONFLICT);
}

static void a_repository_is_removed_when_nothing_is_left(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry tag = {.digest = digest_for("m"), .version = 1};

	put_repository(store, "a");
	put_manifest(store, "a", "m", "layer", 10);
	put_link(store, "a", "layer", 10);
	assert_int_equal(metadata_put_tag(store, "a", "v1", &tag, NULL), BW_OK);
	assert_not_removable(store, "a");
	assert_int_equal(metadata_remove_manifest(store, "a", &tag.digest, NULL), BW_OK);
	assert_not_removable(store, "a");
	assert_int_equal(metadata_remove_tag(store, "a", "v1", 1, NULL), BW_OK);
	assert_not_removable(store, "a");
	assert_int_equal(metadata_get_repository(store, "a", NULL), BW_OK);
	assert_int_equal(remove_link(store, "a", "layer"), BW_OK);
	assert_int_equal(metadata_remove_repository(store, "a", NULL), BW_OK);
	assert_int_equal(metadata_get_repository(store, "a", NULL), BW_ABSENT);
	assert_int_equal(metadata_remove_repository(store, "a", NULL), BW_OK);
}

/* Each of the three holds it alone, in the catalog or not. */
static void a_tag_or_a_manifest_or_a_link_holds_it(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry tag = {.digest = digest_for("m"), .version = 1};

	put_repository(store, "t");
	put_repository(store, "m");
	put_repository(store, "l");
	assert_int_equal(metadata_put_tag(store, "t", "v1", &tag, NULL), BW_OK);
	put_manifest(store, "m", "m", "layer", 10);
	put_link(store, "l", "layer", 10);
	put_link(store, "unknown", "layer", 10);
	assert_not_removable(store, "t");
	assert_not_removable(store, "m");
	assert_not_removable(store, "l");
	assert_not_removable(store, "unknown");
	assert_repositories(store, "", 10, "l m t ");
}

static void what_its_neighbours_have_does_not_hold_it(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry tag = {.digest = digest_for("m"), .version = 1};

	put_repository(store, "a");
	for (size_t i = 1; i < array_size(neighbours); i++) {
		put_repository(store, neighbours[i]);
		put_manifest(store, neighbours[i], "m", "layer", 10);
		put_link(store, neighbours[i], "layer", 10);
		assert_int_equal(metadata_put_tag(store, neighbours[i], "v1", &tag, NULL), BW_OK);
	}
	assert_int_equal(metadata_remove_repository(store, "a", NULL), BW_OK);
	assert_repositories(store, "", 1, "a-b ");
}

/* The catalog is what was put there; see the header. */
static void nothing_else_adds_to_the_catalog(void **state)
{
	struct metadata_store *store = store_of(state);
	struct tag_entry tag = {.digest = digest_for("m"), .version = 1};

	put_link(store, "a", "layer", 10);
	put_manifest(store, "a", "m", "layer", 10);
	assert_int_equal(metadata_put_tag(store, "a", "v1", &tag, NULL), BW_OK);
	assert_int_equal(metadata_get_repository(store, "a", NULL), BW_ABSENT);
	assert_repositories(store, "", 10, "");
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(a_link_is_its_repositorys_own),
		METADATA_CASE(what_a_manifest_lists_is_no_link),
		METADATA_CASE(removing_a_link_takes_that_one),
		METADATA_CASE(what_a_manifest_lists_outlives_the_link),
		METADATA_CASE(repositories_with_a_link_are_listed),
		METADATA_CASE(a_repository_is_known_by_its_whole_name),
		METADATA_CASE(repositories_are_listed_in_byte_order),
		METADATA_CASE(the_longest_repository_is_found_and_listed),
		METADATA_CASE(a_repository_is_removed_when_nothing_is_left),
		METADATA_CASE(a_tag_or_a_manifest_or_a_link_holds_it),
		METADATA_CASE(what_its_neighbours_have_does_not_hold_it),
		METADATA_CASE(nothing_else_adds_to_the_catalog),
	};

	return run_over_metadata_stores("metadata_catalog", cases, array_size(cases));
}
