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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(failures_in_a_row_open_it),
		CASE(a_success_starts_the_count_anew),
		CASE(after_the_pause_one_ask_goes_through),
		CASE(the_pause_doubles_up_to_a_limit),
		CASE(late_failures_do_not_lengthen_the_pause),
		CASE(throttling_pauses_and_counts_nothing),
		CASE(a_success_elsewhere_does_not_end_throttling),
		CASE(an_ask_given_up_lets_the_next_one_probe),
		CASE(each_turn_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
