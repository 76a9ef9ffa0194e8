#include "server/upstream/breaker.h"

#include "server/base/clock.h"
#include "tests/support/support.h"

static struct breaker breaker;

static int start(void **state)
{
	(void)state;
	breaker_init(&breaker);
	return 0;
}

static int end(void **state)
{
	(void)state;
	breaker_release(&breaker);
	return 0;
}

/* Lets the pause be over without waiting for it. */
static void pass_the_pause(void)
{
	assert_true(breaker.open_until_ms > 0);
	breaker.open_until_ms = clock_monotonic_ms();
}

static int64_t wait_when_refused(void)
{
	int64_t wait = -1;

	assert_false(breaker_admit(&breaker, &wait));
	return wait;
}

static void admit(void)
{
	int64_t wait = -1;

	assert_true(breaker_admit(&breaker, &wait));
	assert_int_equal(wait, -1);
}

static void fail_times(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		admit();
		breaker_report_failure(&breaker);
	}
}

static void failures_in_a_row_open_it(void **state)
{
	(void)state;
	fail_times(BREAKER_FAILURES - 1);
	assert_false(breaker_is_open(&breaker));
	fail_times(1);
	assert_true(breaker_is_open(&breaker));
	assert_in_range(wait_when_refused(), 700, 1250);
}

static void a_success_starts_the_count_anew(void **state)
{
	(void)state;
	fail_times(BREAKER_FAILURES - 1);
	admit();
	breaker_report_success(&breaker);
	fail_times(BREAKER_FAILURES - 1);
	assert_false(breaker_is_open(&breaker));
}

static void after_the_pause_one_ask_goes_through(void **state)
{
	(void)state;
	fail_times(BREAKER_FAILURES);
	pass_the_pause();
	admit();
	assert_true(wait_when_refused() > 0);
	breaker_report_success(&breaker);
	assert_false(breaker_is_open(&breaker));
	admit();
	admit();
}

static void the_pause_doubles_up_to_a_limit(void **state)
{
	int64_t pauses[] = {2000, 4000, 8000, 16000, 30000, 30000};

	(void)state;
	fail_times(BREAKER_FAILURES);
	for (unsigned i = 0; i < 6; i++) {
		pass_the_pause();
		fail_times(1);
		assert_in_range(wait_when_refused(), pauses[i] * 3 / 4 - 100, pauses[i] * 5 / 4);
	}
	pass_the_pause();
	admit();
	breaker_report_success(&breaker);
	fail_times(BREAKER_FAILURES);
	assert_in_range(wait_when_refused(), 700, 1250);
}

static void late_failures_do_not_lengthen_the_pause(void **state)
{
	(void)state;
	for (unsigned i = 0; i < BREAKER_FAILURES + 5; i++)
		admit();
	for (unsigned i = 0; i < BREAKER_FAILURES + 5; i++)
		breaker_report_failure(&breaker);
	assert_in_range(wait_when_refused(), 700, 1250);
}

static void throttling_pauses_and_counts_nothing(void **state)
{
	(void)state;
	fail_times(BREAKER_FAILURES - 1);
	admit();
	breaker_report_throttled(&breaker, 57000);
	assert_in_range(wait_when_refused(), 56000, 57000);
	assert_false(breaker_is_open(&breaker));
	breaker_report_throttled(&breaker, 1000);
	assert_in_range(wait_when_refused(), 56000, 57000);
}

static void a_success_elsewhere_does_not_end_throttling(void **state)
{
	(void)state;
	admit();
	admit();
	breaker_report_throttled(&breaker, 57000);
	breaker_report_success(&breaker);
	assert_in_range(wait_when_refused(), 56000, 57000);
}

static void an_ask_given_up_lets_the_next_one_probe(void **state)
{
	(void)state;
	fail_times(BREAKER_FAILURES);
	pass_the_pause();
	admit();
	breaker_report_nothing(&breaker);
	assert_true(breaker_is_open(&breaker));
	admit();
	breaker_report_throttled(&breaker, 0);
	admit();
}

/* So that a log says it once, however many ask. */
static void each_turn_is_told_once(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= BREAKER_FAILURES; i++) {
		admit();
		assert_int_equal(breaker_report_failure(&breaker), i == BREAKER_FAILURES);
	}
	pass_the_pause();
	admit();
	assert_false(breaker_report_failure(&breaker));
	pass_the_pause();
	admit();
	assert_true(breaker_report_success(&breaker));
	admit();
	assert_false(breaker_report_success(&breaker));
	admit();
	admit();
	assert_true(breaker_report_throttled(&breaker, 57000));
	assert_false(breaker_report_throttled(&breaker, 57000));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

/* ---- other replicas ---- */

static struct breaker_verdict told(void)
{
	struct breaker_verdict verdict;

	breaker_tell(&breaker, &verdict);
	return verdict;
}

static void what_was_found_out_is_told(void **state)
{
	struct breaker_verdict verdict;

	(void)state;
	assert_false(told().ever);
	fail_times(BREAKER_FAILURES);
	verdict = told();
	assert_true(verdict.ever);
	assert_in_range(verdict.open_ms, 700, 1250);
	pass_the_pause();
	admit();
	breaker_report_throttled(&breaker, 60000);
	assert_in_range(told().throttled_ms, 59000, 60000);
}

static void what_was_heeded_is_not_told_on(void **state)
{
	const struct breaker_verdict verdict = {.open_ms = 5000, .throttled_ms = 9000};

	(void)state;
	assert_true(breaker_heed(&breaker, &verdict));
	assert_false(breaker_heed(&breaker, &verdict));
	assert_true(breaker_is_open(&breaker));
	assert_in_range(wait_when_refused(), 8000, 9000);
	assert_false(told().ever);
	assert_int_equal(told().open_ms, 0);
	assert_int_equal(told().throttled_ms, 0);
}

static void an_older_verdict_is_outweighed_by_an_answer(void **state)
{
	const struct breaker_verdict verdict = {.open_ms = 5000, .changed_ago_ms = 2000};

	(void)state;
	admit();
	breaker_report_success(&breaker);
	assert_false(breaker_heed(&breaker, &verdict));
	assert_false(breaker_is_open(&breaker));
}

static void others_close_what_others_opened(void **state)
{
	const struct breaker_verdict open = {.open_ms = 5000, .changed_ago_ms = 1000};
	const struct breaker_verdict closed_before = {.changed_ago_ms = 3000};
	const struct breaker_verdict closed_after = {.changed_ago_ms = 0};

	(void)state;
	assert_true(breaker_heed(&breaker, &open));
	breaker_heed(&breaker, &closed_before);
	assert_true(breaker_is_open(&breaker));
	breaker_heed(&breaker, &closed_after);
	assert_false(breaker_is_open(&breaker));
	admit();
}

static void our_own_failures_are_ours_to_judge(void **state)
{
	const struct breaker_verdict closed = {.changed_ago_ms = 0};

	(void)state;
	fail_times(BREAKER_FAILURES);
	breaker.changed_ms -= 1000;
	breaker_heed(&breaker, &closed);
	assert_true(breaker_is_open(&breaker));
}

/* It is probed here, and a failure makes it our own. */
static void a_heeded_verdict_is_probed_when_it_is_over(void **state)
{
	const struct breaker_verdict open = {.open_ms = 5000};

	(void)state;
	breaker_heed(&breaker, &open);
	pass_the_pause();
	admit();
	wait_when_refused();
	breaker_report_failure(&breaker);
	assert_true(told().ever);
	assert_true(told().open_ms > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(failures_in_a_row_open_it),
		CASE(a_success_starts_the_count_anew),
		CASE(after_the_pause_one_ask_goes_through),
		CASE(what_was_found_out_is_told),
		CASE(what_was_heeded_is_not_told_on),
		CASE(an_older_verdict_is_outweighed_by_an_answer),
		CASE(others_close_what_others_opened),
		CASE(our_own_failures_are_ours_to_judge),
		CASE(a_heeded_verdict_is_probed_when_it_is_over),
		CASE(the_pause_doubles_up_to_a_limit),
		CASE(late_failures_do_not_lengthen_the_pause),
		CASE(throttling_pauses_and_counts_nothing),
		CASE(a_success_elsewhere_does_not_end_throttling),
		CASE(an_ask_given_up_lets_the_next_one_probe),
		CASE(each_turn_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
