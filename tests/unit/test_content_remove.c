/*
 * Pushing and removing manifests with their image_tags, over stores that fail and change.
 */
#include "tests/support/content_fixture.h"

#include <stdio.h>

static enum status get_tag(struct fixture *fixture, const char *tag, struct tag_entry *ret)
{
	return content_get_tag(fixture->content, HERE, tag, ret, NULL);
}

static void assert_tag(struct fixture *fixture, const char *tag, const struct digest *digest)
{
	struct tag_entry entry = {0};

	assert_int_equal(get_tag(fixture, tag, &entry), BW_OK);
	assert_true(digest_equals(&entry.digest, digest));
}

/* ---- pushes ---- */

static void a_push_stores_the_manifest_and_its_tags(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	assert_tag(fixture, "v1", &fixture->image);
	assert_tag(fixture, "latest", &fixture->image);
	lose_index(fixture, true);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	assert_tag(fixture, "v1", &fixture->image);
	assert_tag(fixture, "latest", &fixture->image);
}

/* To look at what is not flushed yet flushes it, and so does a listing of it. */
struct unflushed {
	struct fixture *fixture;
	unsigned durable; /* puts, as of the last look */
	char keys[8][KEY_SIZE];
	size_t count;
};

static void watch_flushes(void *context, const char *action, const char *key)
{
	struct unflushed *unflushed = context;
	unsigned durable = unflushed->fixture->hooks.puts[PUT_REPLACE];

	if (durable > unflushed->durable) { /* this call flushes what came before it */
		unflushed->durable = durable;
		unflushed->count = 0;
		return;
	}
	for (size_t i = 0; i < unflushed->count; i++)
		assert_false(str_starts_with(unflushed->keys[i], key));
	if (strcmp(action, "put") == 0 && unflushed->count < array_size(unflushed->keys))
		str_copy(unflushed->keys[unflushed->count++], KEY_SIZE, key);
}

static void a_push_by_tag_or_digest_costs_one_flush(void **state)
{
	struct fixture *fixture = *state;
	struct unflushed unflushed = {.fixture = fixture};
	struct digest digest;
	char *other = other_image(fixture, &digest);

	fixture->hooks = (struct hooks){.before = watch_flushes, .context = &unflushed};
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE], 1);
	assert_int_equal(fixture->hooks.puts[PUT_IF_ABSENT], 0);
	assert_int_equal(put_body(fixture, HERE, other, NULL), BW_OK);
	assert_int_equal(fixture->hooks.puts[PUT_REPLACE], 2);
	assert_int_equal(fixture->hooks.puts[PUT_IF_ABSENT], 0);
	free(other);
}

static void a_push_moves_a_tag(void **state)
{
	struct fixture *fixture = *state;
	struct digest digest;
	char *other = other_image(fixture, &digest);

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(push_body(fixture, HERE, other, image_tags, 1, NULL), BW_OK);
	assert_tag(fixture, "v1", &digest);
	assert_tag(fixture, "latest", &fixture->image);
	free(other);
}

static void tag_to_layer(struct fixture *fixture)
{
	assert_int_equal(tag_to(fixture, "v1", &fixture->layer), BW_OK);
}

/* Somebody else's newer tag is in place when ours comes to the store: we came
 * before, and both were acknowledged. */
static void a_push_may_be_overtaken(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {.fixture = fixture,
				      .action = "put",
				      .key_part = "_tags/v1/",
				      .act = tag_to_layer,
				      .times = 1};

	fixture->hooks = (struct hooks){.before = intrude, .context = &intrusion};
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(intrusion.times, 0);
	assert_tag(fixture, "v1", &fixture->layer);
	assert_tag(fixture, "latest", &fixture->image);
}

/* ---- removals ---- */

static void assert_removed(struct fixture *fixture)
{
	struct tag_entry entry;

	assert_int_equal(get_image(fixture, HERE, NULL), BW_ABSENT);
	for (size_t i = 0; i < array_size(image_tags); i++)
		assert_int_equal(get_tag(fixture, image_tags[i], &entry), BW_ABSENT);
}

static void remove_and_look(struct fixture *fixture)
{
	struct digest digest;
	char *other = other_image(fixture, &digest);

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	put_image(fixture, ELSEWHERE);
	assert_int_equal(push_body(fixture, HERE, other, NULL, 0, NULL), BW_OK);
	assert_int_equal(tag_to(fixture, "other", &digest), BW_OK);

	assert_int_equal(remove_image(fixture), BW_OK);
	assert_removed(fixture);
	assert_tag(fixture, "other", &digest);
	assert_int_equal(get_image(fixture, ELSEWHERE, NULL), BW_OK);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_ABSENT);
	assert_int_equal(remove_image(fixture), BW_OK);
	lose_index(fixture, true);
	assert_removed(fixture);
	assert_tag(fixture, "other", &digest);
	free(other);
}

static void a_removed_manifest_takes_its_tags_along(void **state)
{
	remove_and_look(*state);
}

static void also_by_a_complete_index(void **state)
{
	mark_complete(*state);
	remove_and_look(*state);
}

static void many_tags_are_removed(void **state)
{
	struct fixture *fixture = *state;
	char tag[16];
	struct tag_entry entry;

	for (int complete = 0; complete < 2; complete++) {
		put_image(fixture, HERE);
		for (unsigned i = 0; i < 250; i++) {
			snprintf(tag, sizeof(tag), "v%u", i);
			assert_int_equal(tag_to(fixture, tag, &fixture->image), BW_OK);
		}
		assert_int_equal(remove_image(fixture), BW_OK);
		for (unsigned i = 0; i < 250; i++) {
			snprintf(tag, sizeof(tag), "v%u", i);
			assert_int_equal(get_tag(fixture, tag, &entry), BW_ABSENT);
		}
		mark_complete(fixture);
	}
}

static void what_was_removed_can_be_pushed_again(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_int_equal(remove_image(fixture), BW_OK);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_tag(fixture, "v1", &fixture->image);
	lose_index(fixture, true);
	assert_tag(fixture, "v1", &fixture->image);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
}

/* ---- somebody else in between ---- */

static void remove_it(struct fixture *fixture)
{
	assert_int_equal(remove_image(fixture), BW_OK);
}

static void a_repair_does_not_undo_a_removal(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "open", "blobs/", remove_it, 1};

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	lose_index(fixture, true);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	assert_int_equal(intrusion.times, 0);
	assert_removed(fixture);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_ABSENT);
}

/* A removal that passes between the record and the tags leaves no tag behind,
 * wherever it comes. */
static void a_removal_during_a_push_leaves_all_or_nothing(void **state)
{
	static const char *const places[] = {"_manifests", "gc/", "_tags/v1", "_tags/latest"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(places); i++) {
		struct intrusion intrusion = {fixture, i == 1 ? "list" : "put", places[i],
					      remove_it, 1};
		struct tag_entry entry;

		mark_complete(fixture);
		fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
		assert_int_equal(push_image(fixture, HERE), BW_OK);
		assert_int_equal(intrusion.times, 0);
		assert_int_equal(get_image(fixture, HERE, NULL), BW_ABSENT);
		assert_int_equal(get_tag(fixture, "v1", &entry), BW_ABSENT);
		assert_int_equal(get_tag(fixture, "latest", &entry), BW_ABSENT);
		lose_index(fixture, true);
		assert_int_equal(get_tag(fixture, "latest", &entry), BW_ABSENT);
		fixture->hooks = (struct hooks){0};
	}
}

/* The record is gone, and comes back before the index is told. */
static void a_push_during_a_removal_is_whole(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "remove", "_manifests", push_it, 1};

	mark_complete(fixture);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(remove_image(fixture), BW_OK);
	fixture->hooks = (struct hooks){0};
	assert_int_equal(intrusion.times, 0);
	make_fail(&fixture->object_faults, NULL, BW_IO); /* by the index alone */
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_OK);
	make_fail(&fixture->object_faults, NULL, BW_OK);
}

static void move_the_tag(struct fixture *fixture)
{
	assert_int_equal(tag_to(fixture, "v1", &fixture->layer), BW_OK);
}

/* The removal has read the tag when it is moved: it must not take the newer one. */
static void a_tag_that_moves_on_is_not_removed(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "put", "_tags/v1", move_the_tag, 1};

	for (int complete = 0; complete < 2; complete++) {
		assert_int_equal(push_image(fixture, HERE), BW_OK);
		intrusion.times = 1;
		fixture->hooks = (struct hooks){.before = intrude, .context = &intrusion};
		assert_int_equal(remove_image(fixture), BW_OK);
		fixture->hooks = (struct hooks){0};
		assert_int_equal(intrusion.times, 0);
		assert_tag(fixture, "v1", &fixture->layer);
		lose_index(fixture, true);
		assert_tag(fixture, "v1", &fixture->layer);
		mark_complete(fixture);
	}
}

/* The same, by the object store: it is moved after it was read. */
static void a_tag_that_has_just_been_read_may_move(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "open", "_tags/v1", move_the_tag, 1};

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	lose_index(fixture, true);
	fixture->hooks = (struct hooks){.after = intrude, .context = &intrusion};
	assert_int_equal(remove_image(fixture), BW_OK);
	fixture->hooks = (struct hooks){0};
	assert_int_equal(intrusion.times, 0);
	assert_tag(fixture, "v1", &fixture->layer);
	lose_index(fixture, true);
	assert_tag(fixture, "v1", &fixture->layer);
}

/* ---- any call may fail ---- */

static struct fault_plan *failing;

static void start_failing(unsigned every)
{
	atomic_store(&failing->calls, 0);
	atomic_store(&failing->every, every);
}

static void push_with_a_failure(struct fixture *fixture)
{
	unsigned every = rest(failing);
	struct tag_entry entry;
	enum status status;

	assert_int_equal(remove_image(fixture), BW_OK);
	start_failing(every);
	status = push_image(fixture, HERE);
	rest(failing);
	if (status != BW_OK) {
		enum status seen = get_image(fixture, HERE, NULL);

		assert_true(seen == BW_OK || seen == BW_ABSENT);
		if (get_tag(fixture, "v1", &entry) == BW_OK)
			assert_int_equal(seen, BW_OK); /* no tag without its manifest */
		assert_int_equal(push_image(fixture, HERE), BW_OK);
	}
	assert_tag(fixture, "latest", &fixture->image);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
	lose_index(fixture, false);
	assert_tag(fixture, "latest", &fixture->image);
	assert_int_equal(get_image(fixture, HERE, NULL), BW_OK);
}

static void remove_with_a_failure(struct fixture *fixture)
{
	unsigned every = rest(failing);
	enum status status;

	assert_int_equal(push_image(fixture, HERE), BW_OK);
	start_failing(every);
	status = remove_image(fixture);
	rest(failing);
	if (status != BW_OK) {
		enum status seen = get_image(fixture, HERE, NULL);

		assert_true(seen == BW_OK || seen == BW_ABSENT);
		assert_int_equal(remove_image(fixture), BW_OK);
	}
	assert_removed(fixture);
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_ABSENT);
	lose_index(fixture, false);
	assert_removed(fixture);
}

static void with_every_failure(struct fixture *fixture, void (*body)(struct fixture *fixture))
{
	failing = &fixture->object_faults;
	with_each_call_failing(fixture, failing, body);
	failing = &fixture->metadata_faults;
	with_each_call_failing(fixture, failing, body);
}

static void a_push_may_fail_anywhere(void **state)
{
	with_every_failure(*state, push_with_a_failure);
}

static void a_removal_may_fail_anywhere(void **state)
{
	with_every_failure(*state, remove_with_a_failure);
}

static void remove_completely_with_a_failure(struct fixture *fixture)
{
	unsigned every = rest(failing);

	mark_complete(fixture); /* after the index was lost */
	atomic_store(&failing->every, every);
	remove_with_a_failure(fixture);
}

static void a_removal_by_a_complete_index_may_fail_anywhere(void **state)
{
	with_every_failure(*state, remove_completely_with_a_failure);
}

int main(void)
{
	const struct CMUnitTest tests_of_content[] = {
		TEST(a_push_stores_the_manifest_and_its_tags),
		TEST(a_push_by_tag_or_digest_costs_one_flush),
		TEST(a_push_moves_a_tag),
		TEST(a_push_may_be_overtaken),
		TEST(a_removed_manifest_takes_its_tags_along),
		TEST(also_by_a_complete_index),
		TEST(many_tags_are_removed),
		TEST(what_was_removed_can_be_pushed_again),
		TEST(a_repair_does_not_undo_a_removal),
		TEST(a_removal_during_a_push_leaves_all_or_nothing),
		TEST(a_push_during_a_removal_is_whole),
		TEST(a_tag_that_moves_on_is_not_removed),
		TEST(a_tag_that_has_just_been_read_may_move),
		TEST(a_push_may_fail_anywhere),
		TEST(a_removal_may_fail_anywhere),
		TEST(a_removal_by_a_complete_index_may_fail_anywhere),
	};

	return cmocka_run_group_tests(tests_of_content, NULL, NULL);
}
