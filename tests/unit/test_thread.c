/* Threads take no signals, and bear their name. */
#include "tests/support/support.h"

#include "server/base/thread.h"

#include <signal.h>

struct seen {
	char name[32];
	sigset_t blocked;
	pthread_barrier_t *named;
};

static void *look(void *context)
{
	struct seen *seen = context;

	pthread_barrier_wait(seen->named);
	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
	pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
	return NULL;
}

static void a_thread_takes_no_signals_and_has_a_name(void **state)
{
	pthread_barrier_t named;
	struct seen seen = {.named = &named};
	sigset_t ours;
	pthread_t thread;

	(void)state;
	pthread_barrier_init(&named, NULL, 2);
	assert_int_equal(thread_start(&thread, "a name that is too long", 512 << 10, look, &seen),
			 0);
	pthread_barrier_wait(&named);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&named);
	assert_string_equal(seen.name, "a name that is ");
	assert_int_equal(sigismember(&seen.blocked, SIGTERM), 1);
	pthread_sigmask(SIG_SETMASK, NULL, &ours);
	assert_int_equal(sigismember(&ours, SIGTERM), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_takes_no_signals_and_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
