/* What backends/metadata_store.h promises of referrers, asked of every index. */
#include "tests/support/metadata_stores.h"

#include <stdlib.h>

static void put_referrer(struct metadata_store *store, const char *repository, const char *body,
			 const struct digest *subject, const char *descriptor)
{
	struct manifest_entry entry = {.digest = digest_for(body),
				       .media_type = "x/y",
				       .body = (char *)body,
				       .body_length = strlen(body),
				       .subject = *subject,
				       .referrer = (char *)descriptor};
	struct error error = {0};

	if (metadata_put_manifest(store, repository, &entry, NULL, 0, &error))
		fail_msg("put referrer: %s", error.message);
}

static void put_plain(struct metadata_store *store, const char *repository, const char *body)
{
	static const struct digest none;

	put_referrer(store, repository, body, &none, NULL);
}

struct referrer_list {
	struct digest digests[16];
	char text[256]; /* the descriptors: "d1 d2 " */
	unsigned count;
	unsigned stop_after;
};

static bool collect(void *context, const struct digest *digest, const char *descriptor)
{
	struct referrer_list *list = context;
	size_t length = strlen(list->text);

	snprintf(list->text + length, sizeof(list->text) - length, "%s ", descriptor);
	list->digests[list->count] = *digest;
	return ++list->count != list->stop_after;
}

static struct referrer_list list_after(struct metadata_store *store, const char *repository,
				       const struct digest *subject, const struct digest *after)
{
	struct referrer_list list = {0};

	assert_int_equal(
		metadata_list_referrers(store, repository, subject, after, collect, &list, NULL),
		BW_OK);
	return list;
}

static void assert_referrers(struct metadata_store *store, const char *repository,
			     const struct digest *subject, const char *expected)
{
	struct referrer_list list = list_after(store, repository, subject, NULL);

	assert_string_equal(list.text, expected);
}

/* Its subject is not there, nor was it ever. */
static void a_referrer_is_found_by_its_subject(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");
	struct digest digest = digest_for("m");
	struct referrer_list list;

	assert_referrers(store, "a", &subject, "");
	put_referrer(store, "a", "m", &subject, "{\"size\":1}");
	list = list_after(store, "a", &subject, NULL);
	assert_string_equal(list.text, "{\"size\":1} ");
	assert_true(digest_equals(&list.digests[0], &digest));
	assert_referrers(store, "a", &digest, "");
	assert_referrers(store, "a/b", &subject, "");
	assert_referrers(store, "", &subject, "");
}

static void the_manifest_itself_is_read_back_without(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");
	struct digest digest = digest_for("m");
	struct manifest_entry got = {0};

	put_referrer(store, "a", "m", &subject, "d");
	assert_int_equal(metadata_get_manifest(store, "a", &digest, &got, NULL), BW_OK);
	assert_int_equal(got.body_length, 1);
	assert_null(got.referrer);
	assert_int_equal(got.subject.algorithm, DIGEST_NONE);
	manifest_entry_release(&got);
}

static void a_manifest_without_a_subject_is_none(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest zero = {.algorithm = DIGEST_SHA256};

	put_plain(store, "a", "m");
	assert_referrers(store, "a", &zero, "");
}

static void a_subject_needs_the_descriptor(void **state)
{
	struct metadata_store *store = store_of(state);
	struct manifest_entry entry = {.digest = digest_for("m"),
				       .body = (char *)"m",
				       .body_length = 1,
				       .subject = digest_for("subject")};
	struct manifest_entry got = {0};
	struct error error = {0};

	assert_int_equal(metadata_put_manifest(store, "a", &entry, NULL, 0, &error), BW_INVALID);
	assert_true(error.message[0]);
	assert_int_equal(metadata_get_manifest(store, "a", &entry.digest, &got, NULL), BW_ABSENT);
}

/* SHA-512 after SHA-256, whatever their bytes. */
static void referrers_are_ordered_by_the_text_of_their_digests(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");
	struct digest digests[6];
	struct referrer_list list;

	for (unsigned i = 0; i < array_size(digests); i++) {
		struct manifest_entry entry = {.body = (char *)"m",
					       .body_length = 1,
					       .subject = subject,
					       .referrer = (char *)"d"};

		/* 0x50 (512), 0x51 (256), 0x52 (512), ... */
		entry.digest.algorithm = i % 2 ? DIGEST_SHA256 : DIGEST_SHA512;
		memset(entry.digest.bytes, 0x50 + (int)i, i % 2 ? 32 : 64);
		digests[i] = entry.digest;
		assert_int_equal(metadata_put_manifest(store, "a", &entry, NULL, 0, NULL), BW_OK);
	}
	list = list_after(store, "a", &subject, NULL);
	assert_int_equal(list.count, 6);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(digest_equals(&list.digests[i], &digests[2 * i + 1]));
		assert_true(digest_equals(&list.digests[i + 3], &digests[2 * i]));
	}
}

static void a_page_begins_after_the_one_given(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");
	struct referrer_list all, rest;
	char body[8];

	for (unsigned i = 0; i < 10; i++) {
		snprintf(body, sizeof(body), "m%u", i);
		put_referrer(store, "a", body, &subject, "d");
	}
	all = list_after(store, "a", &subject, NULL);
	assert_int_equal(all.count, 10);
	for (unsigned i = 0; i < 10; i++) {
		rest = list_after(store, "a", &subject, &all.digests[i]);
		assert_int_equal(rest.count, 9 - i);
		if (rest.count)
			assert_true(digest_equals(&rest.digests[0], &all.digests[i + 1]));
	}
	rest = (struct referrer_list){.stop_after = 4};
	assert_int_equal(metadata_list_referrers(store, "a", &subject, NULL, collect, &rest, NULL),
			 BW_OK);
	assert_int_equal(rest.count, 4);
	/* the one given need not be there */
	assert_int_equal(metadata_remove_manifest(store, "a", &all.digests[3], NULL), BW_OK);
	rest = list_after(store, "a", &subject, &all.digests[3]);
	assert_int_equal(rest.count, 6);
	assert_true(digest_equals(&rest.digests[0], &all.digests[4]));
}

static void a_referrer_goes_with_its_manifest(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");
	struct digest digest = digest_for("m");

	put_referrer(store, "a", "m", &subject, "d1");
	put_referrer(store, "a", "other", &subject, "d2");
	put_referrer(store, "b", "m", &subject, "d3");
	assert_int_equal(metadata_remove_manifest(store, "a", &digest, NULL), BW_OK);
	assert_referrers(store, "a", &subject, "d2 ");
	assert_referrers(store, "b", &subject, "d3 ");
	put_referrer(store, "a", "m", &subject, "d1");
	assert_int_equal(list_after(store, "a", &subject, NULL).count, 2);
}

/* Removing the subject leaves what refers to it, also when one manifest is both. */
static void a_subject_removed_keeps_its_referrers(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest image = digest_for("image");
	struct digest signature = digest_for("signature");

	put_plain(store, "a", "image");
	put_referrer(store, "a", "signature", &image, "d1");
	put_referrer(store, "a", "countersignature", &signature, "d2");
	assert_int_equal(metadata_remove_manifest(store, "a", &image, NULL), BW_OK);
	assert_referrers(store, "a", &image, "d1 ");
	assert_int_equal(metadata_remove_manifest(store, "a", &signature, NULL), BW_OK);
	assert_referrers(store, "a", &image, "");
	assert_referrers(store, "a", &signature, "d2 ");
}

static void a_referrer_put_again_stays_what_it_was(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");

	put_referrer(store, "a", "m", &subject, "d1");
	put_referrer(store, "a", "m", &subject, "d2");
	put_plain(store, "a", "m");
	assert_referrers(store, "a", &subject, "d1 ");
}

/* An index that knew the manifest before it knew of referrers learns it. */
static void a_subject_told_later_is_taken(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");

	put_plain(store, "a", "m");
	assert_referrers(store, "a", &subject, "");
	put_referrer(store, "a", "m", &subject, "d1");
	assert_referrers(store, "a", &subject, "d1 ");
}

static bool keep(void *context, const struct digest *digest, const char *descriptor)
{
	char **target = context;

	(void)digest;
	*target = xstrdup(descriptor);
	return true;
}

static void a_descriptor_may_be_large(void **state)
{
	struct metadata_store *store = store_of(state);
	struct digest subject = digest_for("subject");
	size_t length = (size_t)4 << 20;
	char *descriptor = xmalloc(length + 1);
	char *got = NULL;

	memset(descriptor, 'd', length);
	descriptor[length] = '\0';
	put_referrer(store, "a", "m", &subject, descriptor);
	assert_int_equal(metadata_list_referrers(store, "a", &subject, NULL, keep, &got, NULL),
			 BW_OK);
	assert_non_null(got);
	assert_true(strcmp(got, descriptor) == 0);
	free(got);
	free(descriptor);
}

int main(void)
{
	static const struct metadata_case cases[] = {
		METADATA_CASE(a_referrer_is_found_by_its_subject),
		METADATA_CASE(the_manifest_itself_is_read_back_without),
		METADATA_CASE(a_manifest_without_a_subject_is_none),
		METADATA_CASE(a_subject_needs_the_descriptor),
		METADATA_CASE(referrers_are_ordered_by_the_text_of_their_digests),
		METADATA_CASE(a_page_begins_after_the_one_given),
		METADATA_CASE(a_referrer_goes_with_its_manifest),
		METADATA_CASE(a_subject_removed_keeps_its_referrers),
		METADATA_CASE(a_referrer_put_again_stays_what_it_was),
		METADATA_CASE(a_subject_told_later_is_taken),
		METADATA_CASE(a_descriptor_may_be_large),
	};

	return run_over_metadata_stores("metadata_referrers", cases, array_size(cases));
}
