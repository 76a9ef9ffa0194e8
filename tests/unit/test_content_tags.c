/*
 * Tags over stores that fail and change: an older write never wins, and what was
 * removed stays removed.
 */
#include "tests/support/content_fixture.h"

static struct tag_entry tag_version(const struct digest *digest, uint64_t version)
{
	return (struct tag_entry){
		.digest = *digest, .version = version, .stored_at = 7, .validated_at = 8};
}

static enum status put_tag(struct fixture *fixture, const struct digest *digest, uint64_t version)
{
	struct tag_entry entry = tag_version(digest, version);

	return content_put_tag(fixture->content, HERE, "latest", &entry, NULL);
}

static enum status get_tag(struct fixture *fixture, struct tag_entry *ret)
{
	return content_get_tag(fixture->content, HERE, "latest", ret, NULL);
}

static void assert_tag_is(struct fixture *fixture, const struct digest *digest)
{
	struct tag_entry entry = {0};

	assert_int_equal(get_tag(fixture, &entry), BW_OK);
	assert_true(digest_equals(&entry.digest, digest));
}

static void assert_tag_absent(struct fixture *fixture)
{
	struct tag_entry entry = {.stored_at = 42};

	assert_int_equal(get_tag(fixture, &entry), BW_ABSENT);
	assert_int_equal(entry.stored_at, 42);
}

/* ---- versions ---- */

static void versions_never_repeat(void **state)
{
	struct fixture *fixture = *state;
	uint64_t last = content_version(fixture->content);

	for (unsigned i = 0; i < 10000; i++) {
		uint64_t next = content_version(fixture->content);

		assert_true(next > last);
		last = next;
	}
}

/* Another replica's clock may be ahead of ours: having seen its version, ours is
 * higher all the same. */
static void versions_follow_what_was_seen(void **state)
{
	struct fixture *fixture = *state;
	uint64_t ahead = content_version(fixture->content) + 3600 * UINT64_C(1000000);
	struct tag_entry entry;

	assert_int_equal(put_tag(fixture, &fixture->image, ahead), BW_OK);
	assert_int_equal(get_tag(fixture, &entry), BW_OK);
	assert_true(content_version(fixture->content) > ahead);

	lose_index(fixture, true);
	assert_int_equal(get_tag(fixture, &entry), BW_OK);
	assert_true(content_version(fixture->content) > ahead);
}

/* ---- the version of a push ---- */

/* An hour ahead of every clock there is. */
static uint64_t ahead_of(struct fixture *fixture)
{
	return content_version(fixture->content) + 3600 * UINT64_C(1000000);
}

static void push_wins_over(struct fixture *fixture, uint64_t acknowledged)
{
	assert_int_equal(put_tag(fixture, &fixture->layer, acknowledged), BW_OK);
	atomic_store(&fixture->content->last_version, 0); /* another process, a clock behind */
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_tag_is(fixture, &fixture->image);
	lose_index(fixture, true);
	assert_tag_is(fixture, &fixture->image);
}

static void a_push_is_newer_than_what_the_index_has(void **state)
{
	struct fixture *fixture = *state;

	push_wins_over(fixture, ahead_of(fixture));
}

static void a_push_is_newer_than_what_a_lost_index_had(void **state)
{
	struct fixture *fixture = *state;
	uint64_t ahead = ahead_of(fixture);

	assert_int_equal(put_tag(fixture, &fixture->layer, ahead), BW_OK);
	lose_index(fixture, true);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_tag_is(fixture, &fixture->image);
	/* and than a removal that a lost index never knew */
	put_tag(fixture, &fixture->layer, 2 * ahead);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_OK);
	lose_index(fixture, true);
	assert_tag_absent(fixture);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_tag_is(fixture, &fixture->image);
}

/* It died between the two stores; the index knows that it has begun. */
static void a_push_is_newer_than_one_that_died(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry = {.digest = fixture->layer, .version = ahead_of(fixture)};

	assert_int_equal(put_tag(fixture, &fixture->layer, 10), BW_OK);
	assert_int_equal(content_begin_tag(fixture->content, HERE, "latest", entry.version, NULL),
			 BW_OK);
	assert_int_equal(
		content_store_tag(fixture->content, HERE, "latest", &entry, PUT_REPLACE, NULL),
		BW_OK);
	atomic_store(&fixture->content->last_version, 0);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_tag_is(fixture, &fixture->image);
	lose_index(fixture, true);
	assert_tag_is(fixture, &fixture->image);
}

/* An index that one process has to itself gives none. */
static void without_an_index_that_gives_versions_too(void **state)
{
	struct fixture *fixture = *state;
	struct metadata_store_ops ops = *fixture->metadata->ops;
	const struct metadata_store_ops *giving = fixture->metadata->ops;

	ops.next_version = NULL;
	fixture->metadata->ops = &ops;
	assert_int_equal(put_tag(fixture, &fixture->layer, ahead_of(fixture)), BW_OK);
	atomic_store(&fixture->content->last_version, 0);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_tag_is(fixture, &fixture->image);
	fixture->metadata->ops = giving;
}

static void nothing_is_pushed_that_cannot_be_ordered(void **state)
{
	static const char *const actions[] = {"get_tag", "next_version"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(actions); i++) {
		make_fail(&fixture->metadata_faults, actions[i], BW_UNAVAILABLE);
		assert_int_equal(push_image(fixture, HERE), BW_UNAVAILABLE);
	}
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	make_fail(&fixture->object_faults, "list", BW_UNAVAILABLE);
	assert_int_equal(push_image(fixture, HERE), BW_UNAVAILABLE);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_int_equal(count_keys(fixture, ""), 0);
}

/* ---- tags ---- */

static void a_tag_reads_back(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry;

	assert_tag_absent(fixture);
	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	assert_int_equal(get_tag(fixture, &entry), BW_OK);
	assert_true(digest_equals(&entry.digest, &fixture->image));
	assert_int_equal(entry.version, 10);
	assert_int_equal(entry.stored_at, 7);
	assert_int_equal(entry.validated_at, 8);
}

static void an_older_write_never_wins(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put_tag(fixture, &fixture->image, 20), BW_OK);
	assert_int_equal(put_tag(fixture, &fixture->layer, 10), BW_CONFLICT);
	assert_tag_is(fixture, &fixture->image);
	lose_index(fixture, false);
	assert_tag_is(fixture, &fixture->image);
}

/* The older writer's objects come late, to an index that has lost the newer. */
static void an_older_write_never_wins_in_an_empty_index(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put_tag(fixture, &fixture->image, 20), BW_OK);
	lose_index(fixture, false);
	assert_int_equal(put_tag(fixture, &fixture->layer, 10), BW_CONFLICT);
	assert_tag_is(fixture, &fixture->image);
}

static void a_lost_index_is_repaired_by_reading(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	lose_index(fixture, false);
	assert_int_equal(get_tag(fixture, &entry), BW_OK);
	assert_int_equal(entry.version, 10);
	assert_int_equal(entry.validated_at, 0); /* nobody said so since: ask again */

	make_fail(&fixture->object_faults, NULL, BW_IO);
	assert_tag_is(fixture, &fixture->image);
}

static void a_failing_index_is_no_matter(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	make_fail(&fixture->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_tag_is(fixture, &fixture->image);
}

static void a_failing_store_is_not_absence(void **state)
{
	static const char *const actions[] = {"list", "open"};
	struct fixture *fixture = *state;
	struct tag_entry entry = {.stored_at = 42};
	struct error error = {0};

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	lose_index(fixture, false);
	for (size_t i = 0; i < array_size(actions); i++) {
		make_fail(&fixture->object_faults, actions[i], BW_UNREACHABLE);
		assert_int_equal(content_get_tag(fixture->content, HERE, "latest", &entry, &error),
				 BW_UNREACHABLE);
		assert_int_equal(error.code, BW_UNREACHABLE);
		assert_int_equal(entry.stored_at, 42);
	}
}

static void a_damaged_record_is_not_absence(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry;
	char key[KEY_SIZE];

	key_of_tag_version(key, HERE, "latest", 10);
	assert_int_equal(object_put(fixture->objects, key, "{}", 2, PUT_REPLACE, NULL), BW_OK);
	assert_int_equal(get_tag(fixture, &entry), BW_CORRUPT);
}

static void what_lies_beside_the_versions_is_passed_over(void **state)
{
	struct fixture *fixture = *state;
	char prefix[KEY_SIZE], *key;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	key_of_tag(prefix, HERE, "latest");
	key = xasprintf("%s.DS_Store", prefix);
	assert_int_equal(object_put(fixture->objects, key, "x", 1, PUT_REPLACE, NULL), BW_OK);
	free(key);
	lose_index(fixture, false);
	assert_tag_is(fixture, &fixture->image);
}

static void a_write_that_did_not_reach_the_store_is_refused(void **state)
{
	struct fixture *fixture = *state;

	make_fail(&fixture->object_faults, "put", BW_NO_SPACE);
	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_NO_SPACE);
	assert_tag_absent(fixture);
}

/* Acknowledged is only what is in both; what the store has is found later. */
static void a_write_that_did_not_reach_the_index_is_refused_but_kept(void **state)
{
	struct fixture *fixture = *state;

	make_fail(&fixture->metadata_faults, "put_tag", BW_UNAVAILABLE);
	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_UNAVAILABLE);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	assert_tag_is(fixture, &fixture->image);
}

static void old_versions_are_removed(void **state)
{
	struct fixture *fixture = *state;
	char prefix[KEY_SIZE];
	unsigned count = 0;

	for (uint64_t version = 1; version <= 100; version++)
		assert_int_equal(put_tag(fixture, &fixture->image, version), BW_OK);
	key_of_tag(prefix, HERE, "latest");
	object_list(fixture->objects, prefix, "", count_key, &count, NULL);
	assert_int_equal(count, 1);
}

static void a_touched_tag_says_when(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	content_touch_tag(fixture->content, HERE, "latest", 10, 99);
	assert_int_equal(get_tag(fixture, &entry), BW_OK);
	assert_int_equal(entry.validated_at, 99);
	content_touch_tag(fixture->content, HERE, "latest", 9, 100);
	assert_int_equal(get_tag(fixture, &entry), BW_OK);
	assert_int_equal(entry.validated_at, 99);
}

static void a_removed_tag_does_not_come_back(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_OK);
	assert_tag_absent(fixture);
	lose_index(fixture, false);
	assert_tag_absent(fixture);
	lose_index(fixture, true);
	assert_tag_absent(fixture);
}

/* The index has no memory of removals: the older write must look for itself. */
static void an_older_write_does_not_undo_a_removal(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_OK);
	assert_int_equal(put_tag(fixture, &fixture->image, 11), BW_CONFLICT);
	assert_tag_absent(fixture);
}

static void a_tag_may_be_written_again_after_a_removal(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_OK);
	assert_int_equal(put_tag(fixture, &fixture->layer, content_version(fixture->content)),
			 BW_OK);
	assert_tag_is(fixture, &fixture->layer);
	lose_index(fixture, true);
	assert_tag_is(fixture, &fixture->layer);
}

/* Dies between the two stores: the object store decides, at once and for good. */
static void a_removal_that_died_half_way_is_one_state_or_the_other(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	make_fail(&fixture->metadata_faults, "remove_tag", BW_IO);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_IO);
	make_fail(&fixture->metadata_faults, NULL, BW_OK);
	assert_tag_absent(fixture);
	lose_index(fixture, false);
	assert_tag_absent(fixture);
}

static void a_removal_that_died_before_the_store_changed_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	make_fail(&fixture->object_faults, "put", BW_IO);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_IO);
	make_fail(&fixture->object_faults, NULL, BW_OK);
	assert_tag_is(fixture, &fixture->image);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_OK);
	assert_tag_absent(fixture);
}

/* What a push left that died between the two stores is seen from then on, and not
 * only when what it replaced is removed. */
static void a_push_that_died_half_way_is_seen_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry = {.stored_at = 7};
	char *other = other_image(fixture, &entry.digest);

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(push_body(fixture, HERE, other, NULL, 0, NULL), BW_OK);
	free(other);
	assert_int_equal(put_tag(fixture, &fixture->image, content_version(fixture->content)),
			 BW_OK);
	entry.version = content_version(fixture->content);
	assert_int_equal(content_begin_tag(fixture->content, HERE, "latest", entry.version, NULL),
			 BW_OK);
	assert_tag_is(fixture, &fixture->image);
	assert_int_equal(
		content_store_tag(fixture->content, HERE, "latest", &entry, PUT_REPLACE, NULL),
		BW_OK);
	assert_tag_is(fixture, &entry.digest);
	assert_int_equal(remove_image(fixture), BW_OK);
	assert_tag_is(fixture, &entry.digest);
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_OK);
	assert_tag_absent(fixture);
}

/* The same, and then what it pointed to is removed: the tag is what it was. */
static void a_push_that_died_half_way_goes_with_its_manifest(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry = {.stored_at = 7};
	char *other = other_image(fixture, &entry.digest);

	mark_complete(fixture);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(push_body(fixture, HERE, other, NULL, 0, NULL), BW_OK);
	free(other);
	entry.version = content_version(fixture->content);
	assert_int_equal(content_begin_tag(fixture->content, HERE, "latest", entry.version, NULL),
			 BW_OK);
	assert_int_equal(
		content_store_tag(fixture->content, HERE, "latest", &entry, PUT_REPLACE, NULL),
		BW_OK);
	assert_int_equal(content_remove_manifest(fixture->content, HERE, &entry.digest, NULL),
			 BW_OK);
	assert_tag_is(fixture, &fixture->image);
	lose_index(fixture, true);
	assert_tag_is(fixture, &fixture->image);
}

/* ---- a store that changes while it is read ---- */

struct changing_store {
	struct object_store base;
	struct object_store *inner;
	struct fixture *fixture;
	void (*after_list)(struct fixture *fixture); /* called once */
};

static struct changing_store *changing(struct object_store *store)
{
	return container_of(store, struct changing_store, base);
}

static enum status changing_list(struct object_store *store, const char *prefix,
				 const char *start_after, object_list_fn fn, void *context,
				 struct error *error)
{
	struct changing_store *self = changing(store);
	void (*after)(struct fixture * fixture) = self->after_list;
	enum status status = object_list(self->inner, prefix, start_after, fn, context, error);

	self->after_list = NULL;
	if (after)
		after(self->fixture);
	return status;
}

static enum status changing_open(struct object_store *store, const char *key,
				 struct object_reader **ret_reader, struct error *error)
{
	return object_open(changing(store)->inner, key, ret_reader, error);
}

static enum status changing_put(struct object_store *store, const char *key, const void *bytes,
				size_t length, enum put_mode mode, struct error *error)
{
	return object_put(changing(store)->inner, key, bytes, length, mode, error);
}

static enum status changing_remove(struct object_store *store, const char *key, struct error *error)
{
	return object_remove(changing(store)->inner, key, error);
}

static const struct object_store_ops changing_ops = {
	.name = "changing",
	.list = changing_list,
	.open = changing_open,
	.put = changing_put,
	.remove = changing_remove,
};

static void write_newer(struct fixture *fixture)
{
	assert_int_equal(put_tag(fixture, &fixture->layer, 20), BW_OK);
	lose_index(fixture, false);
}

static void remove_now(struct fixture *fixture)
{
	assert_int_equal(content_remove_tag(fixture->content, HERE, "latest", NULL), BW_OK);
}

/* Between the listing and the reading, a newer write removes what was listed. */
static void a_version_that_vanishes_is_not_absence(void **state)
{
	struct fixture *fixture = *state;
	struct changing_store store = {
		.base = {.ops = &changing_ops}, .inner = fixture->objects, .fixture = fixture};

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	lose_index(fixture, false);
	fixture->content->objects = &store.base;
	store.after_list = write_newer;
	assert_tag_is(fixture, &fixture->layer);
	fixture->content->objects = fixture->objects;
}

/* A reader's repair comes to the index after a removal went through both. */
static void a_repair_does_not_undo_a_removal(void **state)
{
	struct fixture *fixture = *state;
	struct changing_store store = {
		.base = {.ops = &changing_ops}, .inner = fixture->objects, .fixture = fixture};
	struct tag_entry entry;
	enum status status;

	assert_int_equal(put_tag(fixture, &fixture->image, 10), BW_OK);
	/* so that the reader still finds the old version's record */
	make_fail(&fixture->object_faults, "remove", BW_IO);
	lose_index(fixture, false);
	fixture->content->objects = &store.base;
	store.after_list = remove_now;
	status = get_tag(fixture, &entry);
	assert_true(status == BW_OK || status == BW_ABSENT);
	fixture->content->objects = fixture->objects;
	assert_tag_absent(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(versions_never_repeat),
		TEST(versions_follow_what_was_seen),
		TEST(a_push_is_newer_than_what_the_index_has),
		TEST(a_push_is_newer_than_what_a_lost_index_had),
		TEST(a_push_is_newer_than_one_that_died),
		TEST(without_an_index_that_gives_versions_too),
		TEST(nothing_is_pushed_that_cannot_be_ordered),
		TEST(a_tag_reads_back),
		TEST(an_older_write_never_wins),
		TEST(an_older_write_never_wins_in_an_empty_index),
		TEST(a_lost_index_is_repaired_by_reading),
		TEST(a_failing_index_is_no_matter),
		TEST(a_failing_store_is_not_absence),
		TEST(a_damaged_record_is_not_absence),
		TEST(what_lies_beside_the_versions_is_passed_over),
		TEST(a_write_that_did_not_reach_the_store_is_refused),
		TEST(a_write_that_did_not_reach_the_index_is_refused_but_kept),
		TEST(old_versions_are_removed),
		TEST(a_touched_tag_says_when),
		TEST(a_removed_tag_does_not_come_back),
		TEST(an_older_write_does_not_undo_a_removal),
		TEST(a_tag_may_be_written_again_after_a_removal),
		TEST(a_removal_that_died_half_way_is_one_state_or_the_other),
		TEST(a_removal_that_died_before_the_store_changed_nothing),
		TEST(a_push_that_died_half_way_is_seen_at_once),
		TEST(a_push_that_died_half_way_goes_with_its_manifest),
		TEST(a_version_that_vanishes_is_not_absence),
		TEST(a_repair_does_not_undo_a_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
