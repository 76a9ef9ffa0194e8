/* When an index is taken to lack its newest rows. */
#include "server/maintenance/last_stop.h"
#include "tests/support/content_fixture.h"

static void start(struct fixture *fixture, int64_t boot)
{
	assert_int_equal(last_stop_check(fixture->content, boot, NULL), BW_OK);
}

static void a_first_start_changes_nothing(void **state)
{
	struct fixture *fixture = *state;

	mark_complete(fixture);
	start(fixture, 7);
	assert_true(content_is_complete(fixture->content));
}

static void the_death_of_the_process_alone_takes_nothing(void **state)
{
	struct fixture *fixture = *state;

	mark_complete(fixture);
	start(fixture, 7);
	start(fixture, 7);
	assert_true(content_is_complete(fixture->content));
}

static void after_a_stop_the_machine_may_go_down(void **state)
{
	struct fixture *fixture = *state;

	mark_complete(fixture);
	start(fixture, 7);
	assert_int_equal(last_stop_note(fixture->content, NULL), BW_OK);
	start(fixture, 8);
	assert_true(content_is_complete(fixture->content));
}

static void without_one_the_index_is_to_be_rebuilt(void **state)
{
	struct fixture *fixture = *state;
	int64_t complete = 1;

	mark_complete(fixture);
	start(fixture, 7);
	start(fixture, 8);
	assert_false(content_is_complete(fixture->content));
	assert_int_equal(metadata_get_mark(fixture->metadata, "complete", &complete, NULL), BW_OK);
	assert_int_equal(complete, 0);
	mark_complete(fixture);
	start(fixture, 8);
	assert_true(content_is_complete(fixture->content));
}

static void a_system_that_does_not_say_is_believed(void **state)
{
	struct fixture *fixture = *state;

	mark_complete(fixture);
	start(fixture, 7);
	start(fixture, 0);
	assert_true(content_is_complete(fixture->content));
}

static void a_failing_index_is_told(void **state)
{
	struct fixture *fixture = *state;

	make_fail(&fixture->metadata_faults, "get_mark", BW_IO);
	assert_int_equal(last_stop_check(fixture->content, 7, NULL), BW_IO);
}

static void this_boot_has_a_number(void **state)
{
	(void)state;
	assert_true(last_stop_boot() > 0);
	assert_int_equal(last_stop_boot(), last_stop_boot());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_first_start_changes_nothing),
		TEST(the_death_of_the_process_alone_takes_nothing),
		TEST(after_a_stop_the_machine_may_go_down),
		TEST(without_one_the_index_is_to_be_rebuilt),
		TEST(a_system_that_does_not_say_is_believed),
		TEST(a_failing_index_is_told),
		TEST(this_boot_has_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
