/* Whose turn it is. */
#include "backends/mem/mem_coordination.h"
#include "server/maintenance/turn.h"
#include "tests/support/support.h"

#include <time.h>

static void alone_it_is_always_ours(void **state)
{
	struct turn turn;

	(void)state;
	assert_int_equal(turn_take(&turn, NULL, "rebuild", 1000, NULL), BW_OK);
	assert_int_equal(turn_take(&turn, NULL, "rebuild", 1000, NULL), BW_OK);
	turn_keep(&turn);
	turn_give_back(&turn);
}

static void one_of_several_has_it_until_it_is_given_back(void **state)
{
	struct coordination *coordination = mem_coordination_new();
	struct turn ours, theirs;

	(void)state;
	assert_int_equal(turn_take(&ours, coordination, "rebuild", 60000, NULL), BW_OK);
	assert_int_equal(turn_take(&theirs, coordination, "rebuild", 60000, NULL), BW_CONFLICT);
	assert_int_equal(turn_take(&theirs, coordination, "eviction", 60000, NULL), BW_OK);
	turn_give_back(&ours);
	assert_int_equal(turn_take(&theirs, coordination, "rebuild", 60000, NULL), BW_OK);
	turn_give_back(&ours); /* it is not ours any more */
	assert_int_equal(turn_take(&ours, coordination, "rebuild", 60000, NULL), BW_CONFLICT);
	coordination_free(coordination);
}

static void a_turn_that_is_kept_does_not_run_out(void **state)
{
	struct coordination *coordination = mem_coordination_new();
	struct timespec nap = {.tv_nsec = 5000000};
	deadline_ms end = deadline_in(250);
	struct turn ours, theirs;

	(void)state;
	assert_int_equal(turn_take(&ours, coordination, "rebuild", 200, NULL), BW_OK);
	while (!deadline_passed(end)) { /* longer than it is good for */
		turn_keep(&ours);
		nanosleep(&nap, NULL);
	}
	assert_int_equal(turn_take(&theirs, coordination, "rebuild", 200, NULL), BW_CONFLICT);
	while (turn_take(&theirs, coordination, "rebuild", 200, NULL) != BW_OK)
		nanosleep(&nap, NULL);
	coordination_free(coordination);
}

static enum status fail_lease(struct coordination *coordination, const char *name,
			      const char *holder, int64_t ttl_ms, struct lease *ret,
			      struct error *error)
{
	(void)coordination;
	(void)name;
	(void)holder;
	(void)ttl_ms;
	(void)ret;
	return error_set(error, BW_UNAVAILABLE, "away");
}

static void what_cannot_be_told_is_nobodys(void **state)
{
	static const struct coordination_ops ops = {.take_lease = fail_lease};
	struct coordination away = {.ops = &ops};
	struct error error = {0};
	struct turn turn;

	(void)state;
	assert_int_equal(turn_take(&turn, &away, "rebuild", 1000, &error), BW_UNAVAILABLE);
	assert_string_equal(error.message, "away");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone_it_is_always_ours),
		cmocka_unit_test(one_of_several_has_it_until_it_is_given_back),
		cmocka_unit_test(a_turn_that_is_kept_does_not_run_out),
		cmocka_unit_test(what_cannot_be_told_is_nobodys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
