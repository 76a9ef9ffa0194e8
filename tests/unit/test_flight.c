#include "server/base/memory.h"
#include "server/cache/flight.h"
#include "tests/support/support.h"

#include <string.h>

static struct flight_table *table;

static int make(void **state)
{
	(void)state;
	table = flight_table_new();
	return 0;
}

static int forget(void **state)
{
	(void)state;
	flight_table_free(table);
	return 0;
}

static struct manifest_view *some_view(void)
{
	struct manifest_entry entry = {
		.media_type = "a/b", .body = xstrdup("{}"), .body_length = 2};

	return manifest_view_new(&entry);
}

static void give(void *context, struct flight_answer *answer)
{
	++*(unsigned *)context;
	answer->view = some_view();
	answer->verdict = CACHE_REVALIDATED;
}

static void refuse(void *context, struct flight_answer *answer)
{
	++*(unsigned *)context;
	answer->status = error_set(&answer->error, BW_UNAVAILABLE, "it is Monday");
	answer->error.retry_after = 7;
	answer->error.http_status = 429;
}

static void the_answer_is_the_leaders(void **state)
{
	struct flight_answer answer = {0};
	unsigned asked = 0;

	(void)state;
	flight_ask(table, "key", DEADLINE_NEVER, give, &asked, &answer);
	assert_int_equal(answer.status, BW_OK);
	assert_int_equal(answer.verdict, CACHE_REVALIDATED);
	assert_string_equal(answer.view->body, "{}");
	manifest_view_unref(answer.view);
	assert_int_equal(asked, 1);
}

static void a_failure_comes_whole(void **state)
{
	struct flight_answer answer = {0};
	unsigned asked = 0;

	(void)state;
	flight_ask(table, "key", DEADLINE_NEVER, refuse, &asked, &answer);
	assert_int_equal(answer.status, BW_UNAVAILABLE);
	assert_null(answer.view);
	assert_string_equal(answer.error.message, "it is Monday");
	assert_int_equal(answer.error.retry_after, 7);
	assert_int_equal(answer.error.http_status, 429);
}

/* What has landed is not asked for its answer: that is the caches' business. */
static void nothing_is_remembered(void **state)
{
	struct flight_answer answer = {0};
	unsigned asked = 0;

	(void)state;
	flight_ask(table, "key", DEADLINE_NEVER, refuse, &asked, &answer);
	memset(&answer, 0, sizeof(answer));
	flight_ask(table, "key", DEADLINE_NEVER, give, &asked, &answer);
	assert_int_equal(answer.status, BW_OK);
	assert_int_equal(asked, 2);
	manifest_view_unref(answer.view);
}

/* The leader's deadline is the upstream's business, not the flight's. */
static void a_leader_goes_to_the_end(void **state)
{
	struct flight_answer answer = {0};
	unsigned asked = 0;

	(void)state;
	flight_ask(table, "key", 0, give, &asked, &answer);
	assert_int_equal(answer.status, BW_OK);
	manifest_view_unref(answer.view);
}

static void ask_inside(void *context, struct flight_answer *answer)
{
	flight_ask(table, "another", DEADLINE_NEVER, give, context, answer);
}

static void a_question_may_lead_to_another(void **state)
{
	struct flight_answer answer = {0};
	unsigned asked = 0;

	(void)state;
	flight_ask(table, "key", DEADLINE_NEVER, ask_inside, &asked, &answer);
	assert_int_equal(answer.status, BW_OK);
	assert_int_equal(asked, 1);
	manifest_view_unref(answer.view);
}

static void nothing_frees_to_nothing(void **state)
{
	(void)state;
	flight_table_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_answer_is_the_leaders),      TEST(a_failure_comes_whole),
		TEST(nothing_is_remembered),          TEST(a_leader_goes_to_the_end),
		TEST(a_question_may_lead_to_another), cmocka_unit_test(nothing_frees_to_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
