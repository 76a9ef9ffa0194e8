#include "server/cache/freshness.h"
#include "tests/support/support.h"

#define NOW INT64_C(1700000000000)
#define TTL INT64_C(600000)
#define WHILE INT64_C(60000)

static enum freshness at_age(int64_t age)
{
	return freshness_of(NOW - age, NOW, TTL, WHILE);
}

static void a_copy_ages(void **state)
{
	(void)state;
	assert_int_equal(at_age(0), FRESH);
	assert_int_equal(at_age(TTL - 1), FRESH);
	assert_int_equal(at_age(TTL), STALE_USABLE);
	assert_int_equal(at_age(TTL + WHILE - 1), STALE_USABLE);
	assert_int_equal(at_age(TTL + WHILE), EXPIRED);
	assert_int_equal(at_age(NOW - 1), EXPIRED);
}

static void never_validated_is_expired(void **state)
{
	(void)state;
	assert_int_equal(freshness_of(0, NOW, TTL, WHILE), EXPIRED);
	assert_int_equal(freshness_of(0, 1, TTL, WHILE), EXPIRED);
	assert_int_equal(freshness_of(-1, NOW, TTL, WHILE), EXPIRED);
}

/* An hour in the future, after the clock was set back, must not mean an hour
 * more of freshness. */
static void a_clock_set_back_expires(void **state)
{
	(void)state;
	assert_int_equal(at_age(-1), EXPIRED);
	assert_int_equal(freshness_of(INT64_MAX, NOW, TTL, WHILE), EXPIRED);
}

static void nothing_is_fresh_for_no_time(void **state)
{
	(void)state;
	assert_int_equal(freshness_of(NOW, NOW, 0, 0), EXPIRED);
	assert_int_equal(freshness_of(NOW, NOW, 0, 1), STALE_USABLE);
}

static void enormous_times_do_not_overflow(void **state)
{
	(void)state;
	assert_int_equal(freshness_of(1, INT64_MAX, INT64_MAX, INT64_MAX), FRESH);
	assert_int_equal(freshness_of(1, INT64_MAX, 1, INT64_MAX), STALE_USABLE);
}

static void the_first_pattern_decides(void **state)
{
	char all_v[] = "v*", v1[] = "v1", any[] = "**";
	struct tag_ttl ttls[] = {{all_v, 1}, {v1, 2}, {any, 3}};
	struct upstream_config upstream = {
		.manifest_ttl_ms = 9, .tag_ttls = ttls, .tag_ttl_count = 3};

	(void)state;
	assert_int_equal(freshness_tag_ttl(&upstream, "v1"), 1);
	assert_int_equal(freshness_tag_ttl(&upstream, "latest"), 3);
	upstream.tag_ttl_count = 2;
	assert_int_equal(freshness_tag_ttl(&upstream, "latest"), 9);
	upstream.tag_ttl_count = 0;
	assert_int_equal(freshness_tag_ttl(&upstream, "v1"), 9);
}

static bool stale_on(unsigned reasons, enum status code, int http_status)
{
	struct upstream_config upstream = {.stale_on = reasons};
	struct error failure = {.code = code, .http_status = http_status};

	return freshness_may_serve_stale(&upstream, &failure);
}

#define EVERY (STALE_ON_NETWORK | STALE_ON_5XX | STALE_ON_429)

static void an_outage_is_served_stale(void **state)
{
	(void)state;
	assert_true(stale_on(STALE_ON_NETWORK, BW_UNREACHABLE, 0));
	assert_true(stale_on(STALE_ON_NETWORK, BW_TIMEOUT, 0));
	assert_true(stale_on(STALE_ON_NETWORK, BW_CORRUPT, 0));
	assert_true(stale_on(STALE_ON_5XX, BW_UNREACHABLE, 503));
	assert_true(stale_on(STALE_ON_429, BW_UNAVAILABLE, 429));
	/* the breaker: whatever opened it was one of the two */
	assert_true(stale_on(STALE_ON_NETWORK, BW_UNAVAILABLE, 0));
	assert_true(stale_on(STALE_ON_5XX, BW_UNAVAILABLE, 0));
}

static void only_for_the_reasons_configured(void **state)
{
	(void)state;
	assert_false(stale_on(STALE_ON_5XX | STALE_ON_429, BW_UNREACHABLE, 0));
	assert_false(stale_on(STALE_ON_NETWORK | STALE_ON_429, BW_UNREACHABLE, 500));
	assert_false(stale_on(STALE_ON_NETWORK | STALE_ON_5XX, BW_UNAVAILABLE, 429));
	assert_false(stale_on(STALE_ON_429, BW_UNAVAILABLE, 0));
	assert_false(stale_on(0, BW_UNREACHABLE, 0));
}

/* What the upstream is sure of, and what is wrong with ourselves. */
static void an_answer_is_never_served_stale(void **state)
{
	(void)state;
	assert_false(stale_on(EVERY, BW_ABSENT, 404));
	assert_false(stale_on(EVERY, BW_DENIED, 401));
	assert_false(stale_on(EVERY, BW_DENIED, 403));
	assert_false(stale_on(EVERY, BW_IO, 0));
	assert_false(stale_on(EVERY, BW_NO_SPACE, 0));
	assert_false(stale_on(EVERY, BW_INVALID, 0));
	assert_false(stale_on(EVERY, BW_INTERNAL, 0));
	assert_false(stale_on(EVERY, BW_OK, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_ages),
		cmocka_unit_test(never_validated_is_expired),
		cmocka_unit_test(a_clock_set_back_expires),
		cmocka_unit_test(nothing_is_fresh_for_no_time),
		cmocka_unit_test(enormous_times_do_not_overflow),
		cmocka_unit_test(the_first_pattern_decides),
		cmocka_unit_test(an_outage_is_served_stale),
		cmocka_unit_test(only_for_the_reasons_configured),
		cmocka_unit_test(an_answer_is_never_served_stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
