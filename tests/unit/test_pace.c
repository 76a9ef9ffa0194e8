#include "server/http/pace.h"
#include "tests/support/support.h"

static void gives_up_after_a_stall(void **state)
{
	struct pace pace = {0};

	(void)state;
	assert_int_equal(pace_patience_ms(&pace), PACE_STALL_MS);
	assert_true(pace_waited(&pace, PACE_STALL_MS - 1));
	assert_int_equal(pace_patience_ms(&pace), 1);
	assert_false(pace_waited(&pace, 1));
}

static void each_byte_ends_a_stall(void **state)
{
	struct pace pace = {0};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(pace_waited(&pace, PACE_STALL_MS - 1));
		pace_taken(&pace, 1 << 20);
	}
}

static void gives_up_on_a_trickle(void **state)
{
	struct pace pace = {0};
	bool alive = true;
	int seconds = 0;

	(void)state;
	while (alive && seconds < 1000) {
		alive = pace_waited(&pace, 1000);
		pace_taken(&pace, 100);
		seconds++;
	}
	assert_int_equal(seconds, PACE_WINDOW_MS / 1000);
}

static void lets_slow_but_honest_clients_go_on(void **state)
{
	struct pace pace = {0};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		pace_taken(&pace, PACE_MIN_BYTES_PER_S);
		assert_true(pace_waited(&pace, 1000));
	}
}

static void a_stall_goes_on_across_windows(void **state)
{
	struct pace pace = {0};

	(void)state;
	pace_taken(&pace, 1 << 20);
	assert_true(pace_waited(&pace, PACE_STALL_MS - 1000));
	pace_taken(&pace, 1 << 20);
	assert_true(pace_waited(&pace, PACE_STALL_MS - 1000));
	pace_taken(&pace, 1 << 20);
	assert_true(pace_waited(&pace, 10000)); /* a new window begins */
	assert_false(pace_waited(&pace, PACE_STALL_MS - 10000));
}

static void never_waits_for_ever_or_backwards(void **state)
{
	struct pace pace = {0};

	(void)state;
	pace_waited(&pace, 10 * PACE_WINDOW_MS);
	assert_in_range(pace_patience_ms(&pace), 0, PACE_STALL_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_up_after_a_stall),
		cmocka_unit_test(each_byte_ends_a_stall),
		cmocka_unit_test(gives_up_on_a_trickle),
		cmocka_unit_test(lets_slow_but_honest_clients_go_on),
		cmocka_unit_test(a_stall_goes_on_across_windows),
		cmocka_unit_test(never_waits_for_ever_or_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
