/* What backends/metadata_store.h promises of use, holders and usage, which eviction
 * goes by; asked of every index. */
#include "tests/support/metadata_stores.h"

#include <stdlib.h>

static struct digest put_listing(struct metadata_store *store, const char *repository,
				 const char *body, const char *const *blobs, size_t count)
{
	struct manifest_entry entry = {.digest = digest_for(body),
				       .media_type = "x/y",
				       .body = (char *)body,
				       .body_length = strlen(body)};
	struct listed_content listed[8];

	for (size_t i = 0; i < count; i++)
		listed[i] = (struct listed_content){.digest = digest_for(blobs[i]), .size = 1};
	assert_int_equal(metadata_put_manifest(store, repository, &entry, listed, count, NULL),
			 BW_OK);
	return entry.digest;
}

static struct digest put(struct metadata_store *store, const char *repository, const char *body)
{
	return put_listing(store, repository, body, NULL, 0);
}

static void touch(struct metadata_store *store, const char *repository, const struct digest *digest,
		  int64_t used_at)
{
	assert_int_equal(metadata_touch_manifests(store, repository, digest, 1, used_at, NULL),
			 BW_OK);
}

/* ---- use ---- */

struct idle_text {
	char text[1024]; /* "repository@time " */
	struct digest last;
	unsigned count;
	unsigned stop_after;
};

static bool collect_idle(void *context, const char *repository, const struct digest *digest,
			 int64_t used_at)
{
	struct idle_text *idle = context;
	size_t length = strlen(idle->text);

	snprintf(idle->text + length, sizeof(idle->text) - length, "%s@%lld ", repository,
		 (long long)used_at);
	idle->last = *digest;
	return ++idle->count != idle->stop_after;
}

static struct idle_text list_idle(struct metadata_store *store, int64_t before, unsigned limit)
{
	struct idle_text idle = {0};

	assert_int_equal(
		metadata_list_idle_manifests(store, before, limit, collect_idle, &idle, NULL),
		BW_OK);
	return idle;
}

static void assert_idle(struct metadata_store *store, const char *expected)
{
	struct idle_text idle = list_idle(store, INT64_MAX, 100);

	assert_string_equal(idle.text, expected);
}

static void only_what_was_touched_is_listed(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = put(store, "h.test/a", "m");
	struct idle_text idle;

	put(store, "h.test/a", "never touched");
	assert_idle(store, "");
	touch(store, "h.test/a", &digest, 1000);
	idle = list_idle(store, INT64_MAX, 100);
	assert_string_equal(idle.text, "h.test/a@1000 ");
	assert_true(digest_equals(&idle.last, &digest));
}

static void the_longest_idle_come_first(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = digest_for("m");

	put(store, "c", "m");
	put(store, "a", "m");
	put(store, "b", "m");
	/* more and fewer digits than one another */
	touch(store, "a", &digest, 1700000000123);
	touch(store, "b", &digest, 999);
	touch(store, "c", &digest, 20000);
	assert_idle(store, "b@999 c@20000 a@1700000000123 ");
	assert_string_equal(list_idle(store, INT64_MAX, 2).text, "b@999 c@20000 ");
	assert_string_equal(list_idle(store, 20000, 100).text, "b@999 ");
	assert_string_equal(list_idle(store, 20001, 100).text, "b@999 c@20000 ");
	assert_string_equal(list_idle(store, 0, 100).text, "");
	assert_string_equal(list_idle(store, INT64_MAX, 0).text, "");
}

static void a_listing_stops_when_told(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = digest_for("m");
	struct idle_text idle = {.stop_after = 1};

	put(store, "a", "m");
	put(store, "b", "m");
	touch(store, "a", &digest, 1);
	touch(store, "b", &digest, 2);
	assert_int_equal(metadata_list_idle_manifests(store, 9, 9, collect_idle, &idle, NULL),
			 BW_OK);
	assert_string_equal(idle.text, "a@1 ");
}

static void time_of_use_moves_forward_only(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = put(store, "a", "m");

	touch(store, "a", &digest, 2000);
	touch(store, "a", &digest, 1000);
	assert_idle(store, "a@2000 ");
	touch(store, "a", &digest, 3000);
	assert_idle(store, "a@3000 ");
}

/* Some of them the index does not have; or has, but in another repository. */
static void what_the_index_does_not_have_is_passed_over(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digests[] = {digest_for("nobody's"), put(store, "a", "m"),
				   put(store, "b", "another's"), put(store, "a", "n")};

	assert_int_equal(metadata_touch_manifests(store, "a", digests, 4, 5, NULL), BW_OK);
	assert_idle(store, "a@5 a@5 ");
	assert_int_equal(metadata_touch_manifests(store, "a", NULL, 0, 5, NULL), BW_OK);
}

static void many_are_touched_at_once(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digests[300];
	char body[16];

	for (unsigned i = 0; i < array_size(digests); i++) {
		snprintf(body, sizeof(body), "m%u", i);
		digests[i] = put(store, "a", body);
	}
	assert_int_equal(
		metadata_touch_manifests(store, "a", digests, array_size(digests), 7, NULL), BW_OK);
	assert_int_equal(list_idle(store, INT64_MAX, 1000).count, array_size(digests));
}

static void a_time_of_use_goes_with_its_manifest(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = put(store, "a", "m");

	put(store, "b", "m");
	touch(store, "a", &digest, 1);
	touch(store, "b", &digest, 2);
	assert_int_equal(metadata_remove_manifest(store, "a", &digest, NULL), BW_OK);
	assert_idle(store, "b@2 ");
	put(store, "a", "m");
	assert_idle(store, "b@2 ");
}

static void a_manifest_put_again_keeps_its_time_of_use(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = put(store, "a", "m");

	touch(store, "a", &digest, 10);
	put(store, "a", "m");
	assert_idle(store, "a@10 ");
}

/* ---- holders ---- */

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* They come in no order. */
static void assert_holders(struct metadata_store *store, const struct digest *digest,
			   const char *expected)
{
	struct name_list list = {0};
	char *words[16];
	char sorted[sizeof(list.text)] = "";
	size_t count = 0;

	assert_int_equal(metadata_list_holders_of(store, digest, 16, collect_name, &list, NULL),
			 BW_OK);
	for (char *word = list.text; *word; word = strchr(word, '\0') + 1) {
		words[count++] = word;
		*strchr(word, ' ') = '\0';
	}
	qsort(words, count, sizeof(*words), compare_words);
	for (size_t i = 0; i < count; i++)
		snprintf(sorted + strlen(sorted), sizeof(sorted) - strlen(sorted), "%s ", words[i]);
	assert_string_equal(sorted, expected);
}

static void put_link(struct metadata_store *store, const char *repository, const char *blob,
		     uint64_t size)
{
	struct listed_content link = {.digest = digest_for(blob), .size = size};

	assert_int_equal(metadata_put_link(store, repository, &link, NULL), BW_OK);
}

static void whoever_lists_links_or_is_it_holds_a_digest(void **state)
{
	static const char *const blobs[] = {"layer"};
	struct metadata_store *store = store_of(state);
	struct digest layer = digest_for("layer");

	assert_holders(store, &layer, "");
	put_listing(store, "lists", "m1", blobs, 1);
	put_link(store, "links", "layer", 1);
	put(store, "is/it", "layer");
	put_link(store, "links", "other", 1);
	put(store, "other", "m");
	assert_holders(store, &layer, "is/it links lists ");
}

static void a_holder_is_told_once(void **state)
{
	static const char *const blobs[] = {"layer", "layer"};
	struct metadata_store *store = store_of(state);
	struct digest layer = digest_for("layer");

	put_listing(store, "a", "m1", blobs, 2);
	put_listing(store, "a", "m2", blobs, 1);
	put_link(store, "a", "layer", 1);
	put(store, "a", "layer");
	assert_holders(store, &layer, "a ");
}

static void a_holder_is_one_until_the_last_reason_goes(void **state)
{
	static const char *const blobs[] = {"layer"};
	struct metadata_store *store = store_of(state);
	struct digest layer = digest_for("layer");
	struct digest first = put_listing(store, "a", "m1", blobs, 1);
	struct digest second = put_listing(store, "a", "m2", blobs, 1);

	put_link(store, "a", "layer", 1);
	put_listing(store, "b", "m1", blobs, 1);
	assert_int_equal(metadata_remove_manifest(store, "a", &first, NULL), BW_OK);
	assert_holders(store, &layer, "a b ");
	assert_int_equal(metadata_remove_link(store, "a", &layer, NULL), BW_OK);
	assert_holders(store, &layer, "a b ");
	assert_int_equal(metadata_remove_manifest(store, "a", &second, NULL), BW_OK);
	assert_holders(store, &layer, "b ");
	assert_int_equal(metadata_remove_manifest(store, "b", &first, NULL), BW_OK);
	assert_holders(store, &layer, "");
}

static void holders_are_told_up_to_a_limit(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest layer = digest_for("layer");
	struct name_list list = {0};
	char name[16];

	for (unsigned i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		put_link(store, name, "layer", 1);
	}
	assert_int_equal(metadata_list_holders_of(store, &layer, 3, collect_name, &list, NULL),
			 BW_OK);
	assert_int_equal(list.count, 3);
	list = (struct name_list){.stop_after = 1};
	assert_int_equal(metadata_list_holders_of(store, &layer, 3, collect_name, &list, NULL),
			 BW_OK);
	assert_int_equal(list.count, 1);
}

/* ---- usage ---- */

static void assert_usage(struct metadata_store *store, uint64_t bytes, uint64_t linked_bytes)
{
	struct usage usage = {0};

	assert_int_equal(metadata_get_usage(store, &usage, NULL), BW_OK);
	assert_int_equal(usage.bytes, bytes);
	assert_int_equal(usage.linked_bytes, linked_bytes);
}

static void put_blob(struct metadata_store *store, const char *blob, uint64_t size)
{
	struct digest digest = digest_for(blob);

	assert_int_equal(metadata_put_blob(store, &digest, size, 1, NULL), BW_OK);
}

static void remove_blob(struct metadata_store *store, const char *blob)
{
	struct digest digest = digest_for(blob);

	assert_int_equal(metadata_remove_blob(store, &digest, NULL), BW_OK);
}

static void remove_link(struct metadata_store *store, const char *repository, const char *blob)
{
	struct digest digest = digest_for(blob);

	assert_int_equal(metadata_remove_link(store, repository, &digest, NULL), BW_OK);
}

static void usage_counts_each_blob_once(void **state)
{
	struct metadata_store *store = store_of(state);

	assert_usage(store, 0, 0);
	put_blob(store, "one", 10);
	put_blob(store, "two", (uint64_t)5 << 40);
	put_blob(store, "one", 10);
	assert_usage(store, ((uint64_t)5 << 40) + 10, 0);
	put_blob(store, "one", 30); /* it was wrong */
	remove_blob(store, "two");
	remove_blob(store, "two");
	remove_blob(store, "never there");
	assert_usage(store, 30, 0);
}

static void what_is_listed_alone_is_not_linked(void **state)
{
	static const char *const blobs[] = {"layer"};
	struct metadata_store *store = store_of(state);
	struct digest digest;

	put_blob(store, "layer", 7);
	digest = put_listing(store, "a", "m", blobs, 1);
	assert_usage(store, 7, 0);
	assert_int_equal(metadata_remove_manifest(store, "a", &digest, NULL), BW_OK);
	assert_usage(store, 7, 0);
}

static void what_is_linked_counts_once_and_until_the_last_link_goes(void **state)
{
	struct metadata_store *store = store_of(state);

	put_blob(store, "layer", 7);
	put_blob(store, "other", 100);
	put_link(store, "a", "layer", 7);
	put_link(store, "a", "layer", 7);
	put_link(store, "b", "layer", 7);
	assert_usage(store, 107, 7);
	remove_link(store, "a", "layer");
	remove_link(store, "a", "layer");
	assert_usage(store, 107, 7);
	remove_link(store, "b", "layer");
	assert_usage(store, 107, 0);
}

static void bytes_and_link_come_and_go_in_any_order(void **state)
{
	struct metadata_store *store = store_of(state);

	put_link(store, "a", "layer", 7);
	assert_usage(store, 0, 0);
	put_blob(store, "layer", 7);
	assert_usage(store, 7, 7);
	put_blob(store, "layer", 9);
	assert_usage(store, 9, 9);
	remove_blob(store, "layer");
	assert_usage(store, 0, 0);
	remove_link(store, "a", "layer");
	assert_usage(store, 0, 0);
	put_blob(store, "layer", 7);
	put_link(store, "a", "layer", 7);
	remove_link(store, "a", "layer");
	remove_blob(store, "layer");
	assert_usage(store, 0, 0);
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(only_what_was_touched_is_listed),
		METADATA_CASE(the_longest_idle_come_first),
		METADATA_CASE(a_listing_stops_when_told),
		METADATA_CASE(time_of_use_moves_forward_only),
		METADATA_CASE(what_the_index_does_not_have_is_passed_over),
		METADATA_CASE(many_are_touched_at_once),
		METADATA_CASE(a_time_of_use_goes_with_its_manifest),
		METADATA_CASE(a_manifest_put_again_keeps_its_time_of_use),
		METADATA_CASE(whoever_lists_links_or_is_it_holds_a_digest),
		METADATA_CASE(a_holder_is_told_once),
		METADATA_CASE(a_holder_is_one_until_the_last_reason_goes),
		METADATA_CASE(holders_are_told_up_to_a_limit),
		METADATA_CASE(usage_counts_each_blob_once),
		METADATA_CASE(what_is_listed_alone_is_not_linked),
		METADATA_CASE(what_is_linked_counts_once_and_until_the_last_link_goes),
		METADATA_CASE(bytes_and_link_come_and_go_in_any_order),
	};

	return run_over_metadata_stores("metadata_use", cases, array_size(cases));
}
