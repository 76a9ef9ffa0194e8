#include "server/base/clock.h"
#include "server/cache/negative.h"
#include "tests/support/support.h"

#include <stdio.h>

#define HOUR INT64_C(3600000)

static struct negative_cache *cache;

static int make(void **state)
{
	(void)state;
	cache = negative_new();
	return 0;
}

static int forget(void **state)
{
	(void)state;
	negative_free(cache);
	return 0;
}

static void remembers_one_thing_only(void **state)
{
	(void)state;
	assert_false(negative_has(cache, "a.test/x:latest"));
	negative_put(cache, "a.test/x:latest", HOUR);
	assert_true(negative_has(cache, "a.test/x:latest"));
	assert_false(negative_has(cache, "a.test/x:lates"));
	assert_false(negative_has(cache, "a.test/x:latest2"));
	assert_false(negative_has(cache, "b.test/x:latest"));
	negative_forget(cache, "a.test/x:latest");
	assert_false(negative_has(cache, "a.test/x:latest"));
	negative_forget(cache, "a.test/x:latest");
}

static void no_time_is_not_remembered(void **state)
{
	(void)state;
	negative_put(cache, "a", 0);
	assert_false(negative_has(cache, "a"));
	negative_put(cache, "a", -HOUR);
	assert_false(negative_has(cache, "a"));
}

/* Time itself is what is tested here: the clock is watched, not slept on. */
static void ends_after_its_time(void **state)
{
	deadline_ms end = deadline_in(25);

	(void)state;
	negative_put(cache, "a", 20);
	while (!deadline_passed(end))
		;
	assert_false(negative_has(cache, "a"));
}

static void a_later_answer_counts(void **state)
{
	deadline_ms end = deadline_in(5);

	(void)state;
	negative_put(cache, "a", 1);
	negative_put(cache, "a", HOUR);
	while (!deadline_passed(end))
		;
	assert_true(negative_has(cache, "a"));
}

/* A flood of names that nobody has takes no more than what is set aside. */
static void is_bounded(void **state)
{
	char key[64];
	unsigned left = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(key, sizeof(key), "a.test/flood/%06u:latest", i);
		negative_put(cache, key, HOUR);
	}
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(key, sizeof(key), "a.test/flood/%06u:latest", i);
		left += negative_has(cache, key);
	}
	assert_true(left > 0);
	assert_true(left < 100000);
}

static void nothing_frees_to_nothing(void **state)
{
	(void)state;
	negative_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(remembers_one_thing_only, make, forget),
		cmocka_unit_test_setup_teardown(no_time_is_not_remembered, make, forget),
		cmocka_unit_test_setup_teardown(ends_after_its_time, make, forget),
		cmocka_unit_test_setup_teardown(a_later_answer_counts, make, forget),
		cmocka_unit_test_setup_teardown(is_bounded, make, forget),
		cmocka_unit_test(nothing_frees_to_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
