#include "tests/support/support.h"

#include "server/base/clock.h"
#include "server/base/memory.h"

#include <string.h>

static void test_deadlines(void **state)
{
	deadline_ms soon = deadline_in(3600000);

	(void)state;
	assert_false(deadline_passed(soon));
	assert_in_range(deadline_left_ms(soon), 3590000, 3600000);
	assert_true(deadline_passed(deadline_in(0)));
	assert_true(deadline_passed(deadline_in(-5)));
	assert_int_equal(deadline_left_ms(deadline_in(-5)), 0);
	assert_true(deadline_in(INT64_MAX) == DEADLINE_NEVER);
	assert_true(deadline_left_ms(DEADLINE_NEVER) == INT64_MAX);
	assert_true(deadline_in(INT64_MIN) < 0);
	assert_true(deadline_earlier(soon, DEADLINE_NEVER) == soon);
	assert_true(deadline_earlier(DEADLINE_NEVER, soon) == soon);
}

static void test_waiting_ends_at_the_deadline(void **state)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond;
	int64_t start = clock_monotonic_ms();
	deadline_ms deadline = deadline_in(20);

	(void)state;
	cond_init(&cond);
	pthread_mutex_lock(&mutex);
	while (cond_wait_until(&cond, &mutex, deadline))
		continue;
	assert_true(clock_monotonic_ms() - start >= 20);
	assert_false(cond_wait_until(&cond, &mutex, INT64_MIN));
	pthread_mutex_unlock(&mutex);
	pthread_cond_destroy(&cond);
}

struct meeting {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool arrived;
};

static void meet(void *context, unsigned index)
{
	struct meeting *meeting = context;

	pthread_mutex_lock(&meeting->mutex);
	if (index == 0) {
		meeting->arrived = true;
		pthread_cond_signal(&meeting->cond);
	}
	while (!meeting->arrived)
		cond_wait_until(&meeting->cond, &meeting->mutex, DEADLINE_NEVER);
	pthread_mutex_unlock(&meeting->mutex);
}

static void test_waiting_without_end_hears_the_signal(void **state)
{
	struct meeting meeting = {.mutex = PTHREAD_MUTEX_INITIALIZER};

	(void)state;
	cond_init(&meeting.cond);
	run_together(2, meet, &meeting);
	pthread_cond_destroy(&meeting.cond);
}

static void check_rfc3339(int64_t ms, const char *expected)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format_rfc3339(ms, text);
	assert_string_equal(text, expected);
}

static void test_rfc3339(void **state)
{
	(void)state;
	check_rfc3339(0, "1970-01-01T00:00:00.000Z");
	check_rfc3339(1769846709123, "2026-01-31T08:05:09.123Z");
	check_rfc3339(951782400000, "2000-02-29T00:00:00.000Z");
	check_rfc3339(-1, "1969-12-31T23:59:59.999Z");
	check_rfc3339(INT64_MAX, "9999-12-31T23:59:59.999Z");
	check_rfc3339(INT64_MIN, "0001-01-01T00:00:00.000Z");
}

static void test_http_dates(void **state)
{
	char text[CLOCK_TEXT_SIZE];
	int64_t ms;

	(void)state;
	clock_format_http(1769846709123, text);
	assert_string_equal(text, "Sat, 31 Jan 2026 08:05:09 GMT");
	assert_true(clock_parse_http(text, &ms));
	assert_true(ms == 1769846709000);
	/* RFC 9110's own example */
	assert_true(clock_parse_http("Sun, 06 Nov 1994 08:49:37 GMT", &ms));
	assert_true(ms == 784111777000);
}

static void test_http_dates_are_strict(void **state)
{
	static const char *const bad[] = {
		"",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Mon, 06 Nov 1994 08:49:37 GMT", /* it was a Sunday */
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 GMTx",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT",
		"Sun, 06 Foo 1994 08:49:37 GMT",
		"Sun, 31 Feb 2026 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08-49-37 GMT",
		"Sun, xx Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT",
		"Sun, \xff\xff Nov \xff\xff\xff\xff 08:49:37 GMT",
	};
	int64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		if (clock_parse_http(bad[i], &ms))
			fail_msg("accepted \"%s\"", bad[i]);
	}
	assert_int_equal(ms, 7);
}

static void test_clocks_run(void **state)
{
	int64_t ms = clock_monotonic_ms();
	int64_t us = clock_monotonic_us();

	(void)state;
	assert_true(us / 1000 >= ms);
	assert_true(clock_monotonic_ms() >= ms);
	assert_true(clock_wall_ms() > INT64_C(1700000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_waiting_ends_at_the_deadline),
		cmocka_unit_test(test_waiting_without_end_hears_the_signal),
		cmocka_unit_test(test_rfc3339),
		cmocka_unit_test(test_http_dates),
		cmocka_unit_test(test_http_dates_are_strict),
		cmocka_unit_test(test_clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
