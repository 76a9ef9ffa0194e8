/* The budget of retries and the breaker. */
#include "backends/s3/s3_guard.h"
#include "server/base/clock.h"
#include "tests/support/support.h"

static bool admit(struct s3_guard *guard)
{
	int64_t wait_ms = 0;
	bool admitted = s3_guard_admit(guard, &wait_ms);

	assert_true(admitted || wait_ms > 0);
	return admitted;
}

static void report(struct s3_guard *guard, enum s3_outcome outcome, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		assert_true(admit(guard));
		s3_guard_report(guard, outcome, "away");
	}
}

/* The pause is over, whatever the clock says. */
static void let_pause_pass(struct s3_guard *guard)
{
	assert_int_not_equal(guard->open_until_ms, 0);
	guard->open_until_ms = clock_monotonic_ms();
}

static void failures_in_a_row_open_it(void **state)
{
	struct s3_guard guard;

	(void)state;
	s3_guard_init(&guard);
	report(&guard, S3_FAILED, S3_BREAKER_FAILURES - 1);
	report(&guard, S3_ANSWERED, 1);
	report(&guard, S3_FAILED, S3_BREAKER_FAILURES - 1);
	report(&guard, S3_THROTTLED, 1);
	report(&guard, S3_FAILED, S3_BREAKER_FAILURES);
	assert_false(admit(&guard));
	s3_guard_release(&guard);
}

static void timeouts_count_twice(void **state)
{
	struct s3_guard guard;

	(void)state;
	s3_guard_init(&guard);
	report(&guard, S3_TIMED_OUT, (S3_BREAKER_FAILURES + 1) / 2);
	assert_false(admit(&guard));
	s3_guard_release(&guard);
}

static void one_probe_decides(void **state)
{
	struct s3_guard guard;
	int64_t longest = 0;

	(void)state;
	s3_guard_init(&guard);
	report(&guard, S3_FAILED, S3_BREAKER_FAILURES);
	for (int i = 0; i < 6; i++) {
		let_pause_pass(&guard);
		assert_true(admit(&guard));
		assert_false(admit(&guard));
		s3_guard_report(&guard, S3_FAILED, "away");
		assert_false(admit(&guard));
		longest = guard.pause_ms;
	}
	assert_int_equal(longest, S3_BREAKER_PAUSE_MAX_MS);
	let_pause_pass(&guard);
	assert_true(admit(&guard));
	s3_guard_report(&guard, S3_ANSWERED, "");
	report(&guard, S3_FAILED, S3_BREAKER_FAILURES - 1);
	assert_true(admit(&guard));
	s3_guard_report(&guard, S3_ANSWERED, "");
	s3_guard_release(&guard);
}

static void a_probe_that_is_given_up_leaves_room_for_another(void **state)
{
	struct s3_guard guard;

	(void)state;
	s3_guard_init(&guard);
	report(&guard, S3_FAILED, S3_BREAKER_FAILURES);
	let_pause_pass(&guard);
	assert_true(admit(&guard));
	s3_guard_report(&guard, S3_NOTHING_LEARNED, "given up");
	assert_true(admit(&guard));
	s3_guard_release(&guard);
}

static void retries_are_a_tenth_of_the_requests(void **state)
{
	struct s3_guard guard;
	int64_t pause = 0;
	unsigned retries = 0;

	(void)state;
	s3_guard_init(&guard);
	while (s3_guard_retry(&guard, 0, &pause))
		retries++;
	assert_int_equal(retries, S3_RETRY_BURST);
	report(&guard, S3_ANSWERED, 9);
	assert_false(s3_guard_retry(&guard, 0, &pause));
	report(&guard, S3_ANSWERED, 1);
	assert_true(s3_guard_retry(&guard, 0, &pause));
	assert_false(s3_guard_retry(&guard, 0, &pause));
	s3_guard_release(&guard);
}

static void pauses_double_with_jitter(void **state)
{
	struct s3_guard guard;
	int64_t pause = 0;

	(void)state;
	s3_guard_init(&guard);
	assert_true(s3_guard_retry(&guard, 0, &pause));
	assert_in_range(pause, S3_RETRY_PAUSE_MS / 2, S3_RETRY_PAUSE_MS);
	assert_true(s3_guard_retry(&guard, 2, &pause));
	assert_in_range(pause, 2 * S3_RETRY_PAUSE_MS, 4 * S3_RETRY_PAUSE_MS);
	assert_true(s3_guard_retry(&guard, 30, &pause));
	assert_in_range(pause, S3_RETRY_PAUSE_MAX_MS / 2, S3_RETRY_PAUSE_MAX_MS);
	s3_guard_release(&guard);
}

static void what_went_wrong_is_kept(void **state)
{
	char why[S3_GUARD_FAILURE_SIZE];
	struct s3_guard guard;

	(void)state;
	s3_guard_init(&guard);
	s3_guard_last_failure(&guard, why);
	assert_string_equal(why, "");
	s3_guard_report(&guard, S3_FAILED, "refused");
	s3_guard_report(&guard, S3_TIMED_OUT, "silent");
	/* these say nothing of the store */
	s3_guard_report(&guard, S3_NOTHING_LEARNED, "given up");
	s3_guard_report(&guard, S3_THROTTLED, "SlowDown");
	s3_guard_report(&guard, S3_ANSWERED, "AccessDenied");
	s3_guard_last_failure(&guard, why);
	assert_string_equal(why, "silent");
	s3_guard_release(&guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_in_a_row_open_it),
		cmocka_unit_test(timeouts_count_twice),
		cmocka_unit_test(one_probe_decides),
		cmocka_unit_test(a_probe_that_is_given_up_leaves_room_for_another),
		cmocka_unit_test(retries_are_a_tenth_of_the_requests),
		cmocka_unit_test(pauses_double_with_jitter),
		cmocka_unit_test(what_went_wrong_is_kept),
	};

	return cmocka_run_group_tests_name("s3_guard", tests, NULL, NULL);
}
