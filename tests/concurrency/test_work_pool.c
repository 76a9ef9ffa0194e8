#include "tests/support/support.h"

#include "server/base/work_pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SUBMITTERS 6
#define ROUNDS 300

static unsigned rounds = ROUNDS;
static atomic_uint accepted;
static atomic_uint executed;

static void count(void *argument)
{
	(void)argument;
	atomic_fetch_add(&executed, 1);
}

static void submit_many(void *pool, unsigned index)
{
	for (unsigned i = 0; i < rounds; i++) {
		if (work_pool_submit(pool, count, NULL))
			atomic_fetch_add(&accepted, 1);
		if (index == 0)
			work_pool_load(pool);
	}
}

static void run_storm(unsigned threads, unsigned queued, int64_t idle_ms)
{
	struct work_pool *pool = work_pool_new("storm", threads, queued);

	atomic_store(&accepted, 0);
	atomic_store(&executed, 0);
	work_pool_set_idle(pool, idle_ms);
	run_together(SUBMITTERS, submit_many, pool);
	work_pool_free(pool);
}

static void test_every_accepted_task_runs_once(void **state)
{
	(void)state;
	run_storm(4, 100000, WORK_POOL_IDLE_MS);
	assert_int_equal(atomic_load(&accepted), SUBMITTERS * ROUNDS);
	assert_int_equal(atomic_load(&executed), SUBMITTERS * ROUNDS);
}

static void test_refused_tasks_do_not_run(void **state)
{
	(void)state;
	run_storm(2, 1, WORK_POOL_IDLE_MS);
	assert_true(atomic_load(&accepted) > 0);
	assert_int_equal(atomic_load(&executed), atomic_load(&accepted));
}

/* Threads that end the moment they are idle meet submitters that count on them.
 * Many short storms, since only the last tasks of each have nobody behind them
 * who would start another thread. */
static void test_no_task_is_lost_to_an_ending_thread(void **state)
{
	(void)state;
	rounds = 3;
	for (int i = 0; i < 300; i++) {
		run_storm(3, 100, 0);
		assert_int_equal(atomic_load(&executed), SUBMITTERS * rounds);
	}
	rounds = ROUNDS;
}

#define GENERATIONS 100

struct chain {
	struct work_pool *pool;
	atomic_uint links;
};

static void next_link(void *argument)
{
	struct chain *chain = argument;

	if (atomic_fetch_add(&chain->links, 1) + 1 < GENERATIONS)
		assert_true(work_pool_submit(chain->pool, next_link, chain));
	else
		atomic_fetch_add(&executed, 1);
}

static void test_tasks_that_submit_tasks(void **state)
{
	struct chain chains[4] = {0};
	struct work_pool *pool = work_pool_new("chain", 3, 100);

	(void)state;
	atomic_store(&executed, 0);
	for (unsigned i = 0; i < 4; i++) {
		chains[i].pool = pool;
		assert_true(work_pool_submit(pool, next_link, &chains[i]));
	}
	while (atomic_load(&executed) < 4)
		sched_yield();
	work_pool_free(pool);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(atomic_load(&chains[i].links), GENERATIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_accepted_task_runs_once),
		cmocka_unit_test(test_refused_tasks_do_not_run),
		cmocka_unit_test(test_no_task_is_lost_to_an_ending_thread),
		cmocka_unit_test(test_tasks_that_submit_tasks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
