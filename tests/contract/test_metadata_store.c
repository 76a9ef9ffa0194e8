/* What backends/metadata_store.h promises of manifests, blobs and documents,
 * asked of every index. Tags are in test_metadata_tags.c. */
#include "tests/support/metadata_stores.h"

/* ---- manifests ---- */

static void put_manifest(struct metadata_store *store, const char *repository, const char *body,
			 const struct listed_content *listed, size_t listed_count)
{
	struct manifest_entry entry = {
		.digest = digest_for(body),
		.media_type = "application/vnd.oci.image.manifest.v1+json",
		.body = (char *)body,
		.body_length = strlen(body),
		.stored_at = 1700000000000,
	};
	struct error error = {0};

	if (metadata_put_manifest(store, repository, &entry, listed, listed_count, &error))
		fail_msg("put manifest: %s", error.message);
}

static void assert_no_manifest(struct metadata_store *store, const char *repository,
			       const char *body)
{
	struct digest digest = digest_for(body);
	struct manifest_entry got = {.stored_at = 77};
	struct error error = {0};

	assert_int_equal(metadata_get_manifest(store, repository, &digest, &got, &error),
			 BW_ABSENT);
	assert_true(error.message[0]);
	assert_null(got.body);
	assert_int_equal(got.stored_at, 77);
}

static void assert_manifest(struct metadata_store *store, const char *repository, const char *body)
{
	struct digest digest = digest_for(body);
	struct manifest_entry got = {0};

	assert_int_equal(metadata_get_manifest(store, repository, &digest, &got, NULL), BW_OK);
	assert_true(digest_equals(&got.digest, &digest));
	assert_string_equal(got.media_type, "application/vnd.oci.image.manifest.v1+json");
	assert_int_equal(got.stored_at, 1700000000000);
	assert_int_equal(got.body_length, strlen(body));
	assert_memory_equal(got.body, body, got.body_length);
	manifest_entry_release(&got);
	assert_null(got.body);
}

static void a_manifest_is_its_repositorys_own(void **state)
{
	struct metadata_store *store = store_of(state);

	put_manifest(store, "a/b", "{}", NULL, 0);
	assert_manifest(store, "a/b", "{}");
	assert_no_manifest(store, "a", "{}");
	assert_no_manifest(store, "a/b/c", "{}");
	assert_no_manifest(store, "a/b", "{ }");
}

static void a_manifest_is_kept_byte_for_byte(void **state)
{
	struct metadata_store *store = store_of(state);
	struct manifest_entry entry = {.media_type = "x/y", .body_length = (size_t)4 << 20};
	struct manifest_entry got = {0};

	entry.body = xmalloc(entry.body_length);
	for (size_t i = 0; i < entry.body_length; i++)
		entry.body[i] = (char)(i * 2654435761u >> 11);
	digest_of(DIGEST_SHA512, entry.body, entry.body_length, &entry.digest);
	assert_int_equal(metadata_put_manifest(store, "a", &entry, NULL, 0, NULL), BW_OK);
	assert_int_equal(metadata_get_manifest(store, "a", &entry.digest, &got, NULL), BW_OK);
	assert_int_equal(got.body_length, entry.body_length);
	assert_memory_equal(got.body, entry.body, entry.body_length);
	manifest_entry_release(&got);
	free(entry.body);
}

static void the_longest_media_type_fits(void **state)
{
	struct metadata_store *store = store_of(state);
	struct manifest_entry entry = {
		.digest = digest_for("x"), .body = (char *)"x", .body_length = 1};
	struct manifest_entry got = {0};

	memset(entry.media_type, 'm', MEDIA_TYPE_MAX - 1);
	assert_int_equal(metadata_put_manifest(store, "a", &entry, NULL, 0, NULL), BW_OK);
	assert_int_equal(metadata_get_manifest(store, "a", &entry.digest, &got, NULL), BW_OK);
	assert_string_equal(got.media_type, entry.media_type);
	manifest_entry_release(&got);
}

/* CVE-2021-41190: the media type is bound to the digest. */
static void a_manifest_put_again_stays_what_it_was(void **state)
{
	struct metadata_store *store = store_of(state);
	struct manifest_entry again = {
		.digest = digest_for("{}"),
		.media_type = "application/vnd.oci.image.index.v1+json",
		.body = (char *)"{}",
		.body_length = 2,
		.stored_at = 1800000000000,
	};

	put_manifest(store, "a", "{}", NULL, 0);
	assert_int_equal(metadata_put_manifest(store, "a", &again, NULL, 0, NULL), BW_OK);
	assert_manifest(store, "a", "{}");
}

static void a_removed_manifest_is_gone(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = digest_for("{}");

	assert_int_equal(metadata_remove_manifest(store, "a", &digest, NULL), BW_OK);
	put_manifest(store, "a", "{}", NULL, 0);
	put_manifest(store, "a/b", "{}", NULL, 0);
	assert_int_equal(metadata_remove_manifest(store, "a", &digest, NULL), BW_OK);
	assert_no_manifest(store, "a", "{}");
	assert_manifest(store, "a/b", "{}");
	put_manifest(store, "a", "{}", NULL, 0);
	assert_manifest(store, "a", "{}");
}

/* ---- who may read which blob ---- */

static void assert_listed(struct metadata_store *store, const char *repository, const char *blob,
			  uint64_t size)
{
	struct digest digest = digest_for(blob);
	uint64_t got = 0;

	assert_int_equal(metadata_get_listed(store, repository, &digest, &got, NULL), BW_OK);
	assert_int_equal(got, size);
}

static void assert_not_listed(struct metadata_store *store, const char *repository,
			      const char *blob)
{
	struct digest digest = digest_for(blob);
	struct error error = {0};
	uint64_t got = 77;

	assert_int_equal(metadata_get_listed(store, repository, &digest, &got, &error), BW_ABSENT);
	assert_true(error.message[0]);
	assert_int_equal(got, 77);
}

static struct listed_content content(const char *blob, uint64_t size)
{
	return (struct listed_content){.digest = digest_for(blob), .size = size};
}

static void what_a_manifest_lists_is_readable_there_alone(void **state)
{
	struct metadata_store *store = store_of(state);
	/* the same layer twice in one manifest is legal and common */
	struct listed_content listed[] = {content("layer", 10), content("config", INT64_MAX),
					  content("layer", 10)};

	put_manifest(store, "a/b", "m", listed, array_size(listed));
	assert_listed(store, "a/b", "layer", 10);
	assert_listed(store, "a/b", "config", INT64_MAX);
	assert_not_listed(store, "a/b", "other");
	assert_not_listed(store, "a/b", "m");
	assert_not_listed(store, "a", "layer");
	assert_not_listed(store, "a/b/c", "layer");
}

static void a_blob_stays_listed_while_any_manifest_lists_it(void **state)
{
	struct metadata_store *store = store_of(state);
	struct listed_content layer = content("layer", 10);
	struct digest first = digest_for("m1");
	struct digest second = digest_for("m2");

	put_manifest(store, "a", "m1", &layer, 1);
	put_manifest(store, "a", "m2", &layer, 1);
	put_manifest(store, "b", "m1", &layer, 1);
	assert_int_equal(metadata_remove_manifest(store, "a", &first, NULL), BW_OK);
	assert_listed(store, "a", "layer", 10);
	assert_int_equal(metadata_remove_manifest(store, "a", &second, NULL), BW_OK);
	assert_not_listed(store, "a", "layer");
	assert_listed(store, "b", "layer", 10);
}

static void a_link_lists_without_a_manifest(void **state)
{
	struct metadata_store *store = store_of(state);
	struct listed_content layer = content("layer", 10);
	struct digest manifest = digest_for("m");

	assert_int_equal(metadata_put_link(store, "a", &layer, NULL), BW_OK);
	assert_int_equal(metadata_put_link(store, "a", &layer, NULL), BW_OK);
	assert_listed(store, "a", "layer", 10);
	assert_not_listed(store, "a/b", "layer");
	put_manifest(store, "a", "m", &layer, 1);
	assert_int_equal(metadata_remove_manifest(store, "a", &manifest, NULL), BW_OK);
	assert_listed(store, "a", "layer", 10);
}

/* An index lists manifests; removing one of these removes not its listing. */
static void a_manifest_may_be_listed_itself(void **state)
{
	struct metadata_store *store = store_of(state);
	struct listed_content child = content("child", 5);
	struct digest digest = digest_for("child");

	put_manifest(store, "a", "index", &child, 1);
	put_manifest(store, "a", "child", NULL, 0);
	assert_int_equal(metadata_put_link(store, "b", &child, NULL), BW_OK);
	put_manifest(store, "b", "child", NULL, 0);
	assert_int_equal(metadata_remove_manifest(store, "a", &digest, NULL), BW_OK);
	assert_int_equal(metadata_remove_manifest(store, "b", &digest, NULL), BW_OK);
	assert_listed(store, "a", "child", 5);
	assert_listed(store, "b", "child", 5);
}

static void sizes_past_the_limit_are_refused_whole(void **state)
{
	struct metadata_store *store = store_of(state);
	struct listed_content listed[] = {content("fine", 1), content("huge", UINT64_MAX)};
	struct manifest_entry entry = {
		.digest = digest_for("m"), .body = (char *)"m", .body_length = 1};

	assert_int_equal(metadata_put_manifest(store, "a", &entry, listed, 2, NULL), BW_INVALID);
	assert_no_manifest(store, "a", "m");
	assert_not_listed(store, "a", "fine");
	assert_int_equal(metadata_put_link(store, "a", &listed[1], NULL), BW_INVALID);
	assert_int_equal(metadata_put_blob(store, &entry.digest, UINT64_MAX, 0, NULL), BW_INVALID);
}

/* ---- blobs ---- */

static void a_blob_is_known_by_its_digest(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = digest_for("x");
	struct digest other = digest_for("y");
	struct digest sha512;
	uint64_t size = 77;

	digest_of(DIGEST_SHA512, "x", 1, &sha512);
	assert_int_equal(metadata_get_blob(store, &digest, &size, NULL), BW_ABSENT);
	assert_int_equal(metadata_remove_blob(store, &digest, NULL), BW_OK);
	assert_int_equal(size, 77);
	assert_int_equal(metadata_put_blob(store, &digest, 0, 5, NULL), BW_OK);
	assert_int_equal(metadata_put_blob(store, &sha512, INT64_MAX, 5, NULL), BW_OK);
	assert_int_equal(metadata_put_blob(store, &digest, 12, 6, NULL), BW_OK);
	assert_int_equal(metadata_get_blob(store, &digest, &size, NULL), BW_OK);
	assert_int_equal(size, 12);
	assert_int_equal(metadata_get_blob(store, &sha512, &size, NULL), BW_OK);
	assert_int_equal(size, INT64_MAX);
	assert_int_equal(metadata_get_blob(store, &other, &size, NULL), BW_ABSENT);
	assert_int_equal(metadata_remove_blob(store, &digest, NULL), BW_OK);
	assert_int_equal(metadata_get_blob(store, &digest, &size, NULL), BW_ABSENT);
	assert_int_equal(metadata_get_blob(store, &sha512, &size, NULL), BW_OK);
}

/* A blob in the store is in no repository for that. */
static void a_stored_blob_is_listed_nowhere(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest digest = digest_for("layer");

	assert_int_equal(metadata_put_blob(store, &digest, 1, 1, NULL), BW_OK);
	assert_not_listed(store, "a", "layer");
}

/* ---- documents ---- */

static void put_document(struct metadata_store *store, const char *repository, const char *kind,
			 const char *key, const char *body)
{
	struct document_entry entry = {
		.body = (char *)body,
		.body_length = strlen(body),
		.media_type = "application/json",
		.validated_at = 1700000000000,
	};

	assert_int_equal(metadata_put_document(store, repository, kind, key, &entry, NULL), BW_OK);
}

static void assert_document(struct metadata_store *store, const char *repository, const char *kind,
			    const char *key, const char *body)
{
	struct document_entry got = {0};

	assert_int_equal(metadata_get_document(store, repository, kind, key, &got, NULL), BW_OK);
	assert_int_equal(got.body_length, strlen(body));
	assert_memory_equal(got.body, body, got.body_length);
	assert_string_equal(got.media_type, "application/json");
	assert_int_equal(got.validated_at, 1700000000000);
	document_entry_release(&got);
	assert_null(got.body);
}

static void a_document_is_kept_by_kind_and_key(void **state)
{
	struct metadata_store *store = store_of(state);
	struct document_entry got = {.validated_at = 77};
	struct error error = {0};

	put_document(store, "a", "tags", "n=1", "one");
	put_document(store, "a", "referrers", "n=1", "two");
	put_document(store, "a/b", "tags", "n=1", "three");
	put_document(store, "a", "tags", "", "");
	put_document(store, "a", "tags", "n=1", "one, replaced");
	assert_document(store, "a", "tags", "n=1", "one, replaced");
	assert_document(store, "a", "referrers", "n=1", "two");
	assert_document(store, "a/b", "tags", "n=1", "three");
	assert_document(store, "a", "tags", "", "");
	assert_int_equal(metadata_get_document(store, "a", "tags", "n", &got, &error), BW_ABSENT);
	assert_true(error.message[0]);
	assert_null(got.body);
	assert_int_equal(got.validated_at, 77);
}

static void a_documents_key_is_any_text(void **state)
{
	static const char *const keys[] = {
		"'; DROP TABLE tag; --", "\"%_*?[\\", "\xc3\xa4\xf0\x9f\x90\xb3",
		"n=1&last=x y",          "A",         "a"};
	struct metadata_store *store = store_of(state);
	char longest[513];

	memset(longest, 'k', 512);
	longest[512] = '\0';
	for (size_t i = 0; i < array_size(keys); i++)
		put_document(store, "a", "tags", keys[i], keys[i]);
	put_document(store, "a", "tags", longest, "longest");
	for (size_t i = 0; i < array_size(keys); i++)
		assert_document(store, "a", "tags", keys[i], keys[i]);
	assert_document(store, "a", "tags", longest, "longest");
	assert_int_equal(metadata_check(store, NULL), BW_OK);
}

static void a_working_index_says_so(void **state)
{
	struct error error = {0};

	assert_int_equal(metadata_check(store_of(state), &error), BW_OK);
	assert_string_equal(error.message, "");
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(a_manifest_is_its_repositorys_own),
		METADATA_CASE(a_manifest_is_kept_byte_for_byte),
		METADATA_CASE(the_longest_media_type_fits),
		METADATA_CASE(a_manifest_put_again_stays_what_it_was),
		METADATA_CASE(a_removed_manifest_is_gone),
		METADATA_CASE(what_a_manifest_lists_is_readable_there_alone),
		METADATA_CASE(a_blob_stays_listed_while_any_manifest_lists_it),
		METADATA_CASE(a_link_lists_without_a_manifest),
		METADATA_CASE(a_manifest_may_be_listed_itself),
		METADATA_CASE(sizes_past_the_limit_are_refused_whole),
		METADATA_CASE(a_blob_is_known_by_its_digest),
		METADATA_CASE(a_stored_blob_is_listed_nowhere),
		METADATA_CASE(a_document_is_kept_by_kind_and_key),
		METADATA_CASE(a_documents_key_is_any_text),
		METADATA_CASE(a_working_index_says_so),
	};

	return run_over_metadata_stores("metadata_store", cases, array_size(cases));
}
