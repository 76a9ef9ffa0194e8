#include "tests/support/support.h"

#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/work_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Tasks that say that they run and then wait until they are let go. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned running;
	bool open;
	char order[32];
};

static struct gate gate;

static int gate_init(void **state)
{
	(void)state;
	memset(&gate, 0, sizeof(gate));
	pthread_mutex_init(&gate.lock, NULL);
	cond_init(&gate.changed);
	return 0;
}

static int gate_release(void **state)
{
	(void)state;
	pthread_cond_destroy(&gate.changed);
	pthread_mutex_destroy(&gate.lock);
	return 0;
}

static void pass_gate(void *argument)
{
	pthread_mutex_lock(&gate.lock);
	gate.running++;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.open)
		pthread_cond_wait(&gate.changed, &gate.lock);
	if (argument)
		gate.order[strlen(gate.order)] = *(char *)argument;
	pthread_mutex_unlock(&gate.lock);
}

static void await_running(unsigned count)
{
	deadline_ms deadline = deadline_in(30000);

	pthread_mutex_lock(&gate.lock);
	while (gate.running < count)
		assert_true(cond_wait_until(&gate.changed, &gate.lock, deadline));
	pthread_mutex_unlock(&gate.lock);
}

static void open_gate(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void test_order_and_completion(void **state)
{
	struct work_pool *pool = work_pool_new("pool", 1, 10);
	char names[] = "abcdef";

	(void)state;
	for (char *c = names; *c; c++)
		assert_true(work_pool_submit(pool, pass_gate, c));
	await_running(1);
	assert_int_equal(work_pool_load(pool), 6);
	open_gate();
	/* what is queued is run, not dropped */
	work_pool_free(pool);
	assert_string_equal(gate.order, "abcdef");
}

static void test_threads_start_as_needed(void **state)
{
	struct work_pool *pool = work_pool_new("pool", 4, 10);

	(void)state;
	assert_int_equal(work_pool_threads(pool), 0);
	for (unsigned i = 1; i <= 4; i++) {
		assert_true(work_pool_submit(pool, pass_gate, NULL));
		await_running(i); /* although those before still run */
		assert_int_equal(work_pool_threads(pool), i);
	}
	assert_true(work_pool_submit(pool, pass_gate, NULL));
	assert_int_equal(work_pool_threads(pool), 4);
	open_gate();
	work_pool_free(pool);
	assert_int_equal(gate.running, 5);
}

static void test_idle_threads_are_used_again(void **state)
{
	struct work_pool *pool = work_pool_new("pool", 4, 10);
	deadline_ms deadline = deadline_in(30000);

	(void)state;
	open_gate();
	for (int i = 0; i < 20; i++) {
		assert_true(work_pool_submit(pool, pass_gate, NULL));
		while (work_pool_load(pool) > 0) {
			assert_false(deadline_passed(deadline));
			sched_yield();
		}
		assert_int_equal(work_pool_threads(pool), 1);
	}
	work_pool_free(pool);
}

static void test_full_queue_refuses(void **state)
{
	struct work_pool *pool = work_pool_new("pool", 2, 3);
	struct work_pool *bare = work_pool_new("bare", 1, 0);

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_true(work_pool_submit(pool, pass_gate, NULL));
	assert_false(work_pool_submit(pool, pass_gate, NULL));
	assert_int_equal(work_pool_load(pool), 5);
	assert_true(work_pool_submit(bare, pass_gate, NULL));
	assert_false(work_pool_submit(bare, pass_gate, NULL));
	open_gate();
	work_pool_free(pool);
	work_pool_free(bare);
	assert_int_equal(gate.running, 6);
}

static void test_idle_threads_end_and_start_again(void **state)
{
	struct work_pool *pool = work_pool_new("pool", 3, 10);
	deadline_ms deadline = deadline_in(30000);

	(void)state;
	work_pool_set_idle(pool, 1);
	open_gate();
	for (unsigned round = 1; round <= 3; round++) {
		assert_true(work_pool_submit(pool, pass_gate, NULL));
		await_running(round);
		while (work_pool_threads(pool) > 0) {
			assert_false(deadline_passed(deadline));
			sched_yield();
		}
	}
	work_pool_free(pool);
}

struct nested {
	struct work_pool *pool;
	bool accepted;
};

static void submit_another(void *argument)
{
	struct nested *nested = argument;

	nested->accepted = work_pool_submit(nested->pool, pass_gate, NULL);
	pass_gate(NULL);
}

static void test_tasks_may_submit(void **state)
{
	struct nested nested = {.pool = work_pool_new("pool", 1, 1)};

	(void)state;
	assert_true(work_pool_submit(nested.pool, submit_another, &nested));
	await_running(1);
	open_gate();
	await_running(2);
	work_pool_free(nested.pool);
	assert_true(nested.accepted);
}

static void *free_pool(void *pool)
{
	work_pool_free(pool);
	return NULL;
}

static void test_a_stopping_pool_refuses(void **state)
{
	struct work_pool *pool = work_pool_new("pool", 1, 1000000);
	deadline_ms deadline = deadline_in(30000);
	pthread_t thread;
	unsigned accepted = 1;

	(void)state;
	assert_true(work_pool_submit(pool, pass_gate, NULL));
	await_running(1);
	assert_int_equal(pthread_create(&thread, NULL, free_pool, pool), 0);
	while (work_pool_submit(pool, pass_gate, NULL)) {
		accepted++;
		assert_false(deadline_passed(deadline));
	}
	open_gate();
	pthread_join(thread, NULL);
	assert_int_equal(gate.running, accepted);
}

struct surroundings {
	char name[16];
	size_t stack;
	bool signals_blocked;
};

static void look_around(void *argument)
{
	struct surroundings *around = argument;
	pthread_attr_t attributes;
	sigset_t set;

	pthread_getname_np(pthread_self(), around->name, sizeof(around->name));
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &around->stack);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	around->signals_blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGHUP);
}

static void test_threads_are_named_small_and_undisturbed(void **state)
{
	struct work_pool *pool = work_pool_new("a-name-that-is-too-long", 1, 1);
	struct surroundings around = {0};

	(void)state;
	assert_true(work_pool_submit(pool, look_around, &around));
	work_pool_free(pool);
	assert_string_equal(around.name, "a-name-that-is-");
	assert_in_range(around.stack, 512 * 1024, 1024 * 1024);
	assert_true(around.signals_blocked);
}

static void test_unused_and_null(void **state)
{
	(void)state;
	work_pool_free(work_pool_new("unused", 4, 4));
	work_pool_free(NULL);
}

#define WITH_GATE(test) cmocka_unit_test_setup_teardown(test, gate_init, gate_release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_GATE(test_order_and_completion),
		WITH_GATE(test_threads_start_as_needed),
		WITH_GATE(test_idle_threads_are_used_again),
		WITH_GATE(test_full_queue_refuses),
		WITH_GATE(test_idle_threads_end_and_start_again),
		WITH_GATE(test_tasks_may_submit),
		WITH_GATE(test_a_stopping_pool_refuses),
		WITH_GATE(test_threads_are_named_small_and_undisturbed),
		cmocka_unit_test(test_unused_and_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
