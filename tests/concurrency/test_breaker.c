/* Of many threads that come when the pause is over, one may ask. */
#include "server/upstream/breaker.h"

#include "server/base/clock.h"
#include "tests/support/support.h"

#include <stdatomic.h>

#define THREADS 8
#define ROUNDS 200

struct scene {
	struct breaker breaker;
	pthread_barrier_t round;
	atomic_uint admitted;
};

static void open_and_let_the_pause_pass(struct breaker *breaker)
{
	for (unsigned i = 0; i < BREAKER_FAILURES; i++)
		breaker_report_failure(breaker);
	breaker->open_until_ms = clock_monotonic_ms();
}

static void race_for_the_probe(void *context, unsigned index)
{
	struct scene *scene = context;

	for (unsigned round = 0; round < ROUNDS; round++) {
		int64_t wait;
		bool mine;

		if (index == 0) {
			atomic_store(&scene->admitted, 0);
			open_and_let_the_pause_pass(&scene->breaker);
		}
		pthread_barrier_wait(&scene->round);
		mine = breaker_admit(&scene->breaker, &wait);
		if (mine)
			atomic_fetch_add(&scene->admitted, 1);
		pthread_barrier_wait(&scene->round);
		assert_int_equal(atomic_load(&scene->admitted), 1);
		if (mine)
			breaker_report_success(&scene->breaker);
		pthread_barrier_wait(&scene->round);
	}
}

static void one_thread_probes(void **state)
{
	struct scene scene = {0};

	(void)state;
	breaker_init(&scene.breaker);
	pthread_barrier_init(&scene.round, NULL, THREADS);
	run_together(THREADS, race_for_the_probe, &scene);
	pthread_barrier_destroy(&scene.round);
	breaker_release(&scene.breaker);
}

static void ask_and_report(void *context, unsigned index)
{
	struct breaker *breaker = context;

	for (unsigned i = 0; i < 2000; i++) {
		int64_t wait = 0;

		if (!breaker_admit(breaker, &wait)) {
			assert_true(wait > 0);
			continue;
		}
		if ((i + index) % 7 == 0)
			breaker_report_failure(breaker);
		else
			breaker_report_success(breaker);
	}
}

static void all_reports_at_once_leave_it_usable(void **state)
{
	struct breaker breaker;
	int64_t wait;

	(void)state;
	breaker_init(&breaker);
	run_together(THREADS, ask_and_report, &breaker);
	breaker_report_success(&breaker);
	assert_true(breaker_admit(&breaker, &wait));
	breaker_release(&breaker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_probes),
		cmocka_unit_test(all_reports_at_once_leave_it_usable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
