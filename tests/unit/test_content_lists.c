/*
 * Lists of tags and of referrers, and the catalog, over stores that fail and change.
 */
#include "server/base/buf.h"
#include "tests/support/content_fixture.h"

#include <stdio.h>

#define SUBJECT_MANIFEST "application/vnd.test.signature"

/* ---- referrers ---- */

/* A manifest that refers to the image. */
static struct digest put_referrer(struct fixture *fixture, const char *repository, unsigned number)
{
	char config[DIGEST_TEXT_SIZE], image[DIGEST_TEXT_SIZE];
	struct digest digest;
	char *body;

	digest_format(&fixture->config, config);
	digest_format(&fixture->image, image);
	body = xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST
			 "\",\"artifactType\":\"" SUBJECT_MANIFEST "\",\"config\":{\"mediaType\":"
			 "\"application/vnd.oci.empty.v1+json\",\"digest\":\"%s\",\"size\":10},"
			 "\"layers\":[],\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST
			 "\",\"digest\":\"%s\",\"size\":3},\"annotations\":{\"n\":\"%u\"}}",
			 config, image, number);
	digest_of(DIGEST_SHA256, body, strlen(body), &digest);
	assert_int_equal(put_body(fixture, repository, body, NULL), BW_OK);
	free(body);
	return digest;
}

struct seen {
	unsigned count;
	unsigned stop_at;
	struct digest last;
	bool found;
	struct digest wanted;
};

static bool see_referrer(void *context, const struct digest *digest, const char *descriptor)
{
	struct seen *seen = context;
	char text[DIGEST_TEXT_SIZE], last[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	assert_non_null(strstr(descriptor, text));
	assert_non_null(strstr(descriptor, "\"artifactType\":\"" SUBJECT_MANIFEST "\""));
	if (seen->count > 0) {
		digest_format(&seen->last, last);
		assert_true(strcmp(last, text) < 0);
	}
	seen->last = *digest;
	seen->found = seen->found || digest_equals(digest, &seen->wanted);
	return ++seen->count != seen->stop_at;
}

static struct seen list_referrers(struct fixture *fixture, const struct digest *after,
				  unsigned stop_at)
{
	struct seen seen = {.stop_at = stop_at};

	assert_int_equal(content_list_referrers(fixture->content, HERE, &fixture->image, after,
						see_referrer, &seen, NULL),
			 BW_OK);
	return seen;
}

static void assert_referrers(struct fixture *fixture, unsigned count)
{
	struct seen seen = list_referrers(fixture, NULL, 0);
	struct seen first;

	assert_int_equal(seen.count, count);
	if (count < 2)
		return;
	first = list_referrers(fixture, NULL, 1);
	assert_int_equal(first.count, 1);
	assert_int_equal(list_referrers(fixture, &first.last, 0).count, count - 1);
	assert_int_equal(list_referrers(fixture, &seen.last, 0).count, 0);
}

/* By the index, by the object store, and by one that helps the other out. */
static void referrers_are_listed(void **state)
{
	struct fixture *fixture = *state;
	struct digest removed;

	assert_referrers(fixture, 0);
	for (unsigned i = 0; i < 5; i++)
		removed = put_referrer(fixture, HERE, i);
	put_referrer(fixture, ELSEWHERE, 9);
	assert_referrers(fixture, 5);
	mark_complete(fixture);
	assert_referrers(fixture, 5);
	make_fail(&fixture->metadata_faults, "list_referrers", BW_IO);
	assert_referrers(fixture, 5);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);

	assert_int_equal(content_remove_manifest(fixture->content, HERE, &removed, NULL), BW_OK);
	assert_referrers(fixture, 4);
	lose_index(fixture, true);
	assert_referrers(fixture, 4); /* which repairs the index on the way */
	mark_complete(fixture);
	assert_referrers(fixture, 4);
	make_fail(&fixture->object_faults, NULL, BW_IO);
	assert_referrers(fixture, 4);
	make_fail(&fixture->object_faults, NULL, BW_OK);
}

static void one_damaged_referrer_hides_no_other(void **state)
{
	struct fixture *fixture = *state;
	struct digest damaged = put_referrer(fixture, HERE, 1);
	struct digest gone = put_referrer(fixture, HERE, 2);
	char key[KEY_SIZE];

	put_referrer(fixture, HERE, 3);
	lose_index(fixture, true);
	key_of_blob(key, &damaged);
	assert_int_equal(object_put(fixture->objects, key, "{}", 2, PUT_REPLACE, NULL), BW_OK);
	key_of_blob(key, &gone);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	assert_referrers(fixture, 1);
}

static void a_store_that_fails_lists_nothing(void **state)
{
	static const char *const actions[] = {"list", "open"};
	struct fixture *fixture = *state;
	struct seen seen = {0};

	put_referrer(fixture, HERE, 1);
	lose_index(fixture, true);
	for (size_t i = 0; i < array_size(actions); i++) {
		make_fail(&fixture->object_faults, actions[i], BW_UNREACHABLE);
		assert_int_equal(content_list_referrers(fixture->content, HERE, &fixture->image,
							NULL, see_referrer, &seen, NULL),
				 BW_UNREACHABLE);
		assert_int_equal(seen.count, 0);
	}
}

static void push_the_referrer(struct fixture *fixture)
{
	put_referrer(fixture, HERE, 1);
}

/* The removal has taken away the record that says whose referrer it is. */
static void a_referrer_pushed_during_its_removal_is_listed(void **state)
{
	static const char *const places[] = {"_manifests", "_referrers"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(places); i++) {
		struct intrusion intrusion = {fixture, "remove", places[i], push_the_referrer, 1};
		struct digest digest = put_referrer(fixture, HERE, 1);

		fixture->hooks = (struct hooks){.before = intrude, .context = &intrusion};
		assert_int_equal(content_remove_manifest(fixture->content, HERE, &digest, NULL),
				 BW_OK);
		fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
		intrusion.times = 1;
		put_referrer(fixture, HERE, 1);
		assert_int_equal(content_remove_manifest(fixture->content, HERE, &digest, NULL),
				 BW_OK);
		fixture->hooks = (struct hooks){0};
		assert_referrers(fixture, 1);
		lose_index(fixture, true);
		assert_referrers(fixture, 1);
	}
}

/* ---- lists of tags ---- */

static bool append_name(void *context, const char *name)
{
	struct buf *names = context;

	buf_append_string(names, name);
	buf_append_char(names, ' ');
	return true;
}

static void assert_tags(struct fixture *fixture, const char *after, unsigned limit,
			const char *expected)
{
	struct buf names = BUF_INIT(100000);

	assert_int_equal(
		content_list_tags(fixture->content, HERE, after, limit, append_name, &names, NULL),
		BW_OK);
	assert_string_equal(buf_string(&names), expected);
	buf_release(&names);
}

static void assert_lists_of_tags(struct fixture *fixture)
{
	assert_tags(fixture, "", 100, "A a a-b a.b a_b b ");
	assert_tags(fixture, "", 2, "A a ");
	assert_tags(fixture, "a", 2, "a-b a.b ");
	assert_tags(fixture, "a-b", 100, "a.b a_b b ");
	assert_tags(fixture, "a-", 1, "a-b ");
	assert_tags(fixture, "b", 100, "");
	assert_tags(fixture, "", 0, "");
}

/* Keys of the object store are in another order than the tags. */
static void tags_are_listed_in_order(void **state)
{
	static const char *const names[] = {"b", "a", "a-b", "gone", "a.b", "A", "a_b", "a"};
	struct fixture *fixture = *state;
	char key[KEY_SIZE];

	assert_tags(fixture, "", 100, "");
	for (size_t i = 0; i < array_size(names); i++)
		assert_int_equal(tag_to(fixture, names[i], &fixture->image), BW_OK);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "gone", NULL), BW_OK);
	key_of_tag_version(key, HERE, "a", 3); /* an older version that was left over */
	assert_int_equal(object_put(fixture->objects, key, "{}", 2, PUT_REPLACE, NULL), BW_OK);
	assert_lists_of_tags(fixture);
	mark_complete(fixture);
	assert_lists_of_tags(fixture);
	make_fail(&fixture->metadata_faults, "list_tags", BW_IO);
	assert_lists_of_tags(fixture);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	lose_index(fixture, true);
	assert_lists_of_tags(fixture);
}

/* Removed tags fill whole pages of what is read. */
static void removed_tags_do_not_end_a_list(void **state)
{
	struct fixture *fixture = *state;
	char tag[16];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(tag, sizeof(tag), "t%02u", i);
		assert_int_equal(tag_to(fixture, tag, &fixture->image), BW_OK);
		if (i > 0 && i < 39)
			assert_int_equal(content_remove_tag(fixture->content, HERE, tag, NULL),
					 BW_OK);
	}
	assert_tags(fixture, "", 2, "t00 t39 ");
	assert_tags(fixture, "t00", 5, "t39 ");
}

static void a_store_that_fails_is_not_an_empty_list(void **state)
{
	struct fixture *fixture = *state;
	struct buf names = BUF_INIT(1000);

	assert_int_equal(tag_to(fixture, "a", &fixture->image), BW_OK);
	make_fail(&fixture->object_faults, NULL, BW_UNREACHABLE);
	assert_int_equal(
		content_list_tags(fixture->content, HERE, "", 9, append_name, &names, NULL),
		BW_UNREACHABLE);
	buf_release(&names);
}

/* ---- the catalog ---- */

static enum status has(struct fixture *fixture, const char *repository)
{
	return content_has_repository(fixture->content, repository, NULL);
}

static void a_repository_is_there_while_something_is_in_it(void **state)
{
	struct fixture *fixture = *state;

	for (int complete = 0; complete < 2; complete++) {
		assert_int_equal(has(fixture, HERE), BW_ABSENT);
		assert_int_equal(push_image(fixture, HERE "/below"), BW_OK);
		assert_int_equal(has(fixture, HERE), BW_ABSENT);
		assert_int_equal(push_image(fixture, HERE), BW_OK);
		assert_int_equal(has(fixture, HERE), BW_OK);
		assert_int_equal(remove_image(fixture), BW_OK);
		assert_int_equal(has(fixture, HERE), BW_ABSENT);
		assert_int_equal(has(fixture, HERE "/below"), BW_OK);
		mark_complete(fixture);
	}
}

static void a_lost_index_hides_no_repository(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(has(fixture, HERE), BW_OK);
	assert_int_equal(has(fixture, ELSEWHERE), BW_ABSENT);
	make_fail(&fixture->metadata_faults, NULL, BW_IO);
	assert_int_equal(has(fixture, HERE), BW_OK);
	make_fail(&fixture->object_faults, NULL, BW_UNREACHABLE);
	assert_int_equal(has(fixture, "never/asked"), BW_UNREACHABLE);
	/* what was just answered is remembered */
	assert_int_equal(has(fixture, ELSEWHERE), BW_ABSENT);
}

/* The hot path of every pull of a bare name. */
static void a_complete_index_needs_no_store(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	mark_complete(fixture);
	make_fail(&fixture->object_faults, NULL, BW_IO);
	assert_int_equal(has(fixture, HERE), BW_OK);
	assert_int_equal(has(fixture, ELSEWHERE), BW_ABSENT);
	assert_int_equal(atomic_load(&fixture->object_faults.failed), 0);
}

static void an_absence_that_was_remembered_ends_with_a_push(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(has(fixture, HERE), BW_ABSENT);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	make_fail(&fixture->metadata_faults, "get_repository", BW_IO);
	assert_int_equal(has(fixture, HERE), BW_OK);
}

static void the_catalog_is_listed_when_it_is_complete(void **state)
{
	struct fixture *fixture = *state;
	struct buf names = BUF_INIT(1000);
	struct error error = {0};

	assert_int_equal(push_image(fixture, ELSEWHERE), BW_OK);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(
		content_list_repositories(fixture->content, "", 10, append_name, &names, &error),
		BW_UNAVAILABLE);
	assert_non_null(strstr(error.message, "reindex"));
	mark_complete(fixture);
	assert_int_equal(
		content_list_repositories(fixture->content, "", 10, append_name, &names, NULL),
		BW_OK);
	assert_string_equal(buf_string(&names), HERE " " ELSEWHERE " ");
	buf_release(&names);
}

/* Another process finished the reindexing. */
static void completeness_is_found_out(void **state)
{
	struct fixture *fixture = *state;

	assert_false(content_is_complete(fixture->content));
	assert_int_equal(metadata_put_mark(fixture->metadata, "complete", 1, NULL), BW_OK);
	assert_false(content_is_complete(fixture->content)); /* asked a moment ago */
	atomic_store(&fixture->content->complete_asked_at, clock_monotonic_ms() - 1000);
	assert_true(content_is_complete(fixture->content));
	lose_index(fixture, false);
	assert_true(content_is_complete(fixture->content));
}

static void a_push_during_the_removal_of_the_last_one_is_in_the_catalog(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "list", "/_$", push_it, 1};

	mark_complete(fixture);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(remove_image(fixture), BW_OK);
	fixture->hooks = (struct hooks){0};
	assert_int_equal(intrusion.times, 0);
	assert_int_equal(has(fixture, HERE), BW_OK);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
}

static void begin_a_push(struct fixture *fixture)
{
	char key[KEY_SIZE];

	key_of_link(key, HERE, &fixture->layer);
	assert_int_equal(object_put(fixture->objects, key, "{\"size\":20,\"storedAt\":1}", 24,
				    PUT_REPLACE, NULL),
			 BW_OK);
}

/* It has seen the repository in the catalog, or is about to look: the index does not
 * know of it yet. */
static void one_that_has_only_begun_is_in_the_catalog_too(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "list", "/_$", begin_a_push, 1};

	mark_complete(fixture);
	put_image(fixture, HERE);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(remove_image(fixture), BW_OK);
	fixture->hooks = (struct hooks){0};
	assert_int_equal(intrusion.times, 0);
	assert_int_equal(has(fixture, HERE), BW_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(referrers_are_listed),
		TEST(one_damaged_referrer_hides_no_other),
		TEST(a_store_that_fails_lists_nothing),
		TEST(a_referrer_pushed_during_its_removal_is_listed),
		TEST(tags_are_listed_in_order),
		TEST(removed_tags_do_not_end_a_list),
		TEST(a_store_that_fails_is_not_an_empty_list),
		TEST(a_repository_is_there_while_something_is_in_it),
		TEST(a_lost_index_hides_no_repository),
		TEST(a_complete_index_needs_no_store),
		TEST(an_absence_that_was_remembered_ends_with_a_push),
		TEST(the_catalog_is_listed_when_it_is_complete),
		TEST(completeness_is_found_out),
		TEST(a_push_during_the_removal_of_the_last_one_is_in_the_catalog),
		TEST(one_that_has_only_begun_is_in_the_catalog_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
