/*
 * Rebuilding the index: everything comes back, and nothing that was removed.
 */
#include "server/maintenance/reindex.h"
#include "tests/support/content_fixture.h"

#define LINKED "linked"

static enum status run(struct fixture *fixture, struct reindex_summary *summary)
{
	struct task task = {0};

	return reindex(fixture->content, &task, summary, NULL);
}

static bool count_name(void *context, const char *name)
{
	(void)name;
	++*(unsigned *)context;
	return true;
}

static unsigned indexed_tags(struct fixture *fixture)
{
	unsigned count = 0;

	assert_int_equal(
		metadata_list_tags(fixture->metadata, HERE, "", 100, count_name, &count, NULL),
		BW_OK);
	return count;
}

static unsigned catalog(struct fixture *fixture)
{
	unsigned count = 0;

	assert_int_equal(
		metadata_list_repositories(fixture->metadata, "", 100, count_name, &count, NULL),
		BW_OK);
	return count;
}

static void fill(struct fixture *fixture)
{
	push_it(fixture);
	assert_int_equal(push_bytes(fixture, ELSEWHERE, LINKED, strlen(LINKED), NULL), BW_OK);
}

static void assert_indexed(struct fixture *fixture)
{
	struct manifest_entry entry = {0};
	struct digest digest;
	uint64_t size;

	digest_of(DIGEST_SHA256, LINKED, strlen(LINKED), &digest);
	assert_int_equal(metadata_get_link(fixture->metadata, ELSEWHERE, &digest, &size, NULL),
			 BW_OK);
	assert_int_equal(metadata_get_blob(fixture->metadata, &digest, &size, NULL), BW_OK);
	assert_int_equal(size, strlen(LINKED));
	assert_int_equal(
		metadata_get_manifest(fixture->metadata, HERE, &fixture->image, &entry, NULL),
		BW_OK);
	manifest_entry_release(&entry);
	assert_int_equal(indexed_tags(fixture), 2);
	assert_int_equal(catalog(fixture), 2);
}

static void a_lost_index_comes_back(void **state)
{
	struct fixture *fixture = *state;
	struct reindex_summary summary;

	fill(fixture);
	lose_index(fixture, true);
	assert_int_equal(catalog(fixture), 0);
	assert_int_equal(run(fixture, &summary), BW_OK);
	assert_indexed(fixture);
	assert_true(content_is_complete(fixture->content));
	assert_int_equal(summary.repositories, 2);
	assert_int_equal(summary.manifests, 1);
	assert_int_equal(summary.tags, 2);
	assert_int_equal(summary.links, 1);
	assert_int_equal(summary.blobs, 2);
	assert_int_equal(summary.damaged, 0);
	assert_int_equal(run(fixture, &summary), BW_OK);
	assert_int_equal(summary.stale, 0);
	assert_indexed(fixture);
}

static void a_removed_tag_stays_removed(void **state)
{
	struct fixture *fixture = *state;
	struct reindex_summary summary;

	fill(fixture);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "v1", NULL), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(run(fixture, &summary), BW_OK);
	assert_int_equal(indexed_tags(fixture), 1);
	assert_int_equal(summary.tags, 1);
}

/* An index from a backup says what was true then. */
static void an_older_index_catches_up(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry old, now;
	struct reindex_summary summary;

	fill(fixture);
	assert_int_equal(metadata_get_tag(fixture->metadata, HERE, "v1", &now, NULL), BW_OK);
	lose_index(fixture, true);
	old = now;
	old.version -= 1000;
	old.digest = fixture->layer;
	assert_int_equal(metadata_put_tag(fixture->metadata, HERE, "v1", &old, NULL), BW_OK);
	assert_int_equal(metadata_put_tag(fixture->metadata, HERE, "never", &old, NULL), BW_OK);
	assert_int_equal(metadata_put_repository(fixture->metadata, "gone/app", NULL), BW_OK);
	assert_int_equal(run(fixture, &summary), BW_OK);
	assert_int_equal(metadata_get_tag(fixture->metadata, HERE, "v1", &old, NULL), BW_OK);
	assert_int_equal(old.version, now.version);
	assert_true(digest_equals(&old.digest, &fixture->image));
	assert_int_equal(summary.stale, 2);
	assert_indexed(fixture);
}

static void a_newer_entry_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry;
	struct reindex_summary summary;
	uint64_t version;

	fill(fixture);
	assert_int_equal(metadata_get_tag(fixture->metadata, HERE, "v1", &entry, NULL), BW_OK);
	version = ++entry.version;
	assert_int_equal(metadata_put_tag(fixture->metadata, HERE, "v1", &entry, NULL), BW_OK);
	assert_int_equal(run(fixture, &summary), BW_OK);
	assert_int_equal(metadata_get_tag(fixture->metadata, HERE, "v1", &entry, NULL), BW_OK);
	assert_int_equal(entry.version, version);
}

static void damage_hides_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	struct reindex_summary summary;
	char key[KEY_SIZE];

	fill(fixture);
	key_of_manifest(key, "a.test/first", &fixture->image);
	assert_int_equal(object_put(fixture->objects, key, "{", 1, PUT_REPLACE, NULL), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(run(fixture, &summary), BW_OK);
	assert_int_equal(summary.damaged, 1);
	assert_non_null(strstr(summary.damage, key));
	assert_indexed(fixture);
}

static void removed_meanwhile(struct fixture *fixture)
{
	assert_int_equal(remove_image(fixture), BW_OK);
}

static void what_is_removed_meanwhile_stays_removed(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "open", "_manifests/", removed_meanwhile, 1};
	struct reindex_summary summary;

	fill(fixture);
	lose_index(fixture, true);
	fixture->hooks.after = intrude;
	fixture->hooks.context = &intrusion;
	assert_int_equal(run(fixture, &summary), BW_OK);
	fixture->hooks.after = NULL;
	assert_int_equal(intrusion.times, 0);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_ABSENT);
	assert_int_equal(indexed_tags(fixture), 0);
	assert_int_equal(catalog(fixture), 1);
}

static void rebuild(struct fixture *fixture)
{
	struct reindex_summary summary;
	enum status status = run(fixture, &summary);
	unsigned plan = rest(&fixture->object_faults);

	/* complete only when it is */
	if (status == BW_OK)
		assert_indexed(fixture);
	else
		assert_false(content_is_complete(fixture->content));
	lose_index(fixture, true);
	atomic_store(&fixture->object_faults.every, plan);
}

static void a_failure_leaves_it_incomplete(void **state)
{
	struct fixture *fixture = *state;

	fill(fixture);
	lose_index(fixture, true);
	make_fail(&fixture->object_faults, "list", BW_IO);
	rebuild(fixture);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	rebuild(fixture);
}

static void an_empty_store_needs_none(void **state)
{
	struct fixture *fixture = *state;
	bool empty = false;

	assert_int_equal(reindex_not_needed(fixture->content, &empty, NULL), BW_OK);
	assert_true(empty);
	fill(fixture);
	assert_int_equal(reindex_not_needed(fixture->content, &empty, NULL), BW_OK);
	assert_false(empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lost_index_comes_back),        TEST(a_removed_tag_stays_removed),
		TEST(an_older_index_catches_up),      TEST(a_newer_entry_is_left_alone),
		TEST(damage_hides_nothing_else),      TEST(what_is_removed_meanwhile_stays_removed),
		TEST(a_failure_leaves_it_incomplete), TEST(an_empty_store_needs_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
