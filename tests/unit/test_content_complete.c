/* When an index that several processes share is taken to list all there is. */
#include "server/maintenance/reindex.h"
#include "tests/support/content_fixture.h"
#include "tests/support/shared_index.h"

static int make(void **state)
{
	struct fixture *fixture;

	content_make(state);
	fixture = *state;
	metadata_store_free(fixture->metadata);
	fixture->metadata = shared_index_new();
	fixture->content->metadata = fixture->metadata;
	return 0;
}

/* Under everybody's hands, and nobody has been told. */
static void begin_epoch(struct fixture *fixture)
{
	metadata_store_free(fixture->metadata);
	fixture->metadata = shared_index_epoch();
	fixture->content->metadata = fixture->metadata;
}

static enum status rebuild(struct fixture *fixture)
{
	struct reindex_summary summary;
	struct task task = {0};

	return reindex(fixture->content, &task, &summary, NULL);
}

static bool take_name(void *context, const char *name)
{
	snprintf((char *)context + strlen(context), 64 - strlen(context), "%s ", name);
	return true;
}

static void assert_tags(struct fixture *fixture, const char *expected)
{
	char names[64] = "";

	assert_int_equal(content_list_tags(fixture->content, HERE, "", 9, take_name, names, NULL),
			 BW_OK);
	assert_string_equal(names, expected);
}

static void a_lost_index_is_not_complete_from_that_moment_on(void **state)
{
	struct fixture *fixture = *state;

	mark_complete(fixture);
	assert_true(content_is_complete(fixture->content));
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	assert_tags(fixture, "latest v1 ");
	begin_epoch(fixture);
	assert_false(content_is_complete(fixture->content));
	assert_int_equal(content_has_repository(fixture->content, HERE, NULL), BW_OK);
	assert_tags(fixture, "latest v1 ");
	assert_int_equal(rebuild(fixture), BW_OK);
	assert_true(content_is_complete(fixture->content));
	assert_tags(fixture, "latest v1 ");
}

/* What was read before into the old one is missing in the new one. */
static void a_rebuild_does_not_complete_another_index_than_it_began(void **state)
{
	struct fixture *fixture = *state;
	int64_t token = 0;

	assert_int_equal(content_begin_rebuild(fixture->content, &token, NULL), BW_OK);
	begin_epoch(fixture);
	assert_int_equal(content_end_rebuild(fixture->content, token, NULL), BW_OK);
	assert_false(content_is_complete(fixture->content));
}

/* Or replicas that cannot take turns would take the end from each other for ever. */
static void the_first_of_two_rebuilds_to_end_completes_it(void **state)
{
	struct fixture *fixture = *state;
	int64_t first = 0;
	int64_t second = 0;

	assert_int_equal(content_begin_rebuild(fixture->content, &first, NULL), BW_OK);
	assert_int_equal(content_begin_rebuild(fixture->content, &second, NULL), BW_OK);
	assert_false(content_is_complete(fixture->content));
	assert_int_equal(content_end_rebuild(fixture->content, first, NULL), BW_OK);
	assert_true(content_is_complete(fixture->content));
	assert_int_equal(content_end_rebuild(fixture->content, second, NULL), BW_OK);
	assert_true(content_is_complete(fixture->content));
}

/* One that began in an index which was lost ends beside one that began in the next. */
static void a_rebuild_from_before_does_not_complete_for_the_one_after(void **state)
{
	struct fixture *fixture = *state;
	int64_t before = 0;
	int64_t after = 0;

	assert_int_equal(content_begin_rebuild(fixture->content, &before, NULL), BW_OK);
	begin_epoch(fixture);
	assert_int_equal(content_begin_rebuild(fixture->content, &after, NULL), BW_OK);
	assert_int_equal(content_end_rebuild(fixture->content, before, NULL), BW_OK);
	assert_false(content_is_complete(fixture->content));
	assert_int_equal(content_end_rebuild(fixture->content, after, NULL), BW_OK);
	assert_true(content_is_complete(fixture->content));
}

static void a_complete_index_stays_so_while_it_is_read_again(void **state)
{
	struct fixture *fixture = *state;
	int64_t token = 0;

	mark_complete(fixture);
	assert_int_equal(content_begin_rebuild(fixture->content, &token, NULL), BW_OK);
	assert_true(content_is_complete(fixture->content));
	assert_int_equal(content_end_rebuild(fixture->content, token, NULL), BW_OK);
	assert_true(content_is_complete(fixture->content));
	assert_int_equal(content_mark_incomplete(fixture->content, NULL), BW_OK);
	assert_false(content_is_complete(fixture->content));
}

static struct fixture *listing;
static int64_t epochs;

static enum status list_and_lose(struct metadata_store *store, const char *repository,
				 const char *after, unsigned limit, tag_list_fn fn, void *context,
				 struct error *error)
{
	enum status status =
		shared_index.memory->list_tags(store, repository, after, limit, fn, context, error);

	metadata_put_mark(listing->metadata, "rebuild", ++epochs, NULL);
	return status;
}

/* A list that was begun from an index which is lost in the middle is not told as whole. */
static void an_index_that_is_lost_during_a_list_is_found_out(void **state)
{
	struct fixture *fixture = *state;
	char names[64] = "";

	mark_complete(fixture);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	listing = fixture;
	shared_index.ops.list_tags = list_and_lose;
	assert_int_equal(content_list_tags(fixture->content, HERE, "", 9, take_name, names, NULL),
			 BW_UNAVAILABLE);
	/* nothing was told yet: the store has it */
	mark_complete(fixture);
	assert_int_equal(metadata_remove_tag(fixture->metadata, HERE, "v1", INT64_MAX, NULL),
			 BW_OK);
	assert_int_equal(metadata_remove_tag(fixture->metadata, HERE, "latest", INT64_MAX, NULL),
			 BW_OK);
	assert_tags(fixture, "latest v1 ");
}

/* Its tags are looked for in the store when the index forgot them under our hands. */
static void a_removal_finds_the_tags_that_a_lost_index_had(void **state)
{
	struct fixture *fixture = *state;
	struct tag_entry entry;

	mark_complete(fixture);
	assert_int_equal(push_image(fixture, HERE), BW_OK);
	begin_epoch(fixture);
	assert_int_equal(remove_image(fixture), BW_OK);
	assert_int_equal(content_get_tag(fixture->content, HERE, "v1", &entry, NULL), BW_ABSENT);
}

static void what_was_concluded_from_a_lost_index_is_forgotten(void **state)
{
	struct fixture *fixture = *state;

	put_image(fixture, HERE);
	assert_int_equal(listed(fixture, HERE, &fixture->image), BW_ABSENT); /* reads all records */
	begin_epoch(fixture);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_ABSENT);
	content_index_lost(fixture->content);
	assert_int_equal(listed(fixture, HERE, &fixture->layer), BW_OK);
}

#define COMPLETE_TEST(name) cmocka_unit_test_setup_teardown(name, make, content_forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COMPLETE_TEST(a_lost_index_is_not_complete_from_that_moment_on),
		COMPLETE_TEST(a_rebuild_does_not_complete_another_index_than_it_began),
		COMPLETE_TEST(the_first_of_two_rebuilds_to_end_completes_it),
		COMPLETE_TEST(a_rebuild_from_before_does_not_complete_for_the_one_after),
		COMPLETE_TEST(a_complete_index_stays_so_while_it_is_read_again),
		COMPLETE_TEST(an_index_that_is_lost_during_a_list_is_found_out),
		COMPLETE_TEST(a_removal_finds_the_tags_that_a_lost_index_had),
		COMPLETE_TEST(what_was_concluded_from_a_lost_index_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
