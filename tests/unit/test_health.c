/*
 * What /readyz is told of the stores: by which outages a replica becomes unready, and
 * that one which hangs holds up nobody.
 */
#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/http/health.h"
#include "tests/support/support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define HANGS_MS 200

static _Atomic bool down[STORE_ROLES];
static _Atomic unsigned asked[STORE_ROLES];

/* of a store that accepts questions and answers none */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool hanging;

static enum status check(enum store_role role, struct error *error)
{
	atomic_fetch_add(&asked[role], 1);
	if (role == STORE_OBJECTS && atomic_load(&hanging)) {
		pthread_mutex_lock(&lock);
		pthread_mutex_unlock(&lock);
	}
	if (atomic_load(&down[role]))
		return error_set(error, BW_UNAVAILABLE, "store %d is away", (int)role);
	return BW_OK;
}

static enum status check_objects(void *context, struct error *error)
{
	assert_ptr_equal(context, down);
	return check(STORE_OBJECTS, error);
}

static enum status check_index(void *context, struct error *error)
{
	assert_ptr_equal(context, down);
	return check(STORE_INDEX, error);
}

static struct health *begin(bool shared)
{
	const struct health_options options = {
		.checks = {[STORE_OBJECTS] = check_objects, [STORE_INDEX] = check_index},
		.context = down,
		.objects_shared = shared,
		.every_ms = 1,
		.hangs_ms = HANGS_MS,
	};
	struct health *health;

	assert_int_equal(health_new(&options, &health, NULL), BW_OK);
	return health;
}

/* Each store is asked once more, and has answered. */
static void await_checks(void)
{
	for (size_t i = 0; i < STORE_ROLES; i++) {
		unsigned seen = atomic_load(&asked[i]);

		while (atomic_load(&asked[i]) < seen + 3)
			sched_yield();
	}
}

static void outages_make_unready_who_is_worse_off_than_others(void **state)
{
	static const struct {
		bool shared, objects, index;
		enum readiness readiness;
	} cases[] = {
		{false, true, true, READY},     {true, true, true, READY},
		{false, true, false, DEGRADED}, {true, true, false, DEGRADED},
		{false, false, true, UNREADY},  {true, false, true, DEGRADED},
		{false, false, false, UNREADY}, {true, false, false, UNREADY},
	};
	struct health_report report;

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct health *health;

		atomic_store(&down[STORE_OBJECTS], !cases[i].objects);
		atomic_store(&down[STORE_INDEX], !cases[i].index);
		health = begin(cases[i].shared);
		health_get(health, &report);
		assert_int_equal(report.readiness, cases[i].readiness);
		assert_int_equal(report.stores[STORE_OBJECTS].up, cases[i].objects);
		assert_int_equal(report.stores[STORE_INDEX].up, cases[i].index);
		assert_string_equal(report.stores[STORE_OBJECTS].reason,
				    cases[i].objects ? "" : "store 0 is away");
		assert_string_equal(report.stores[STORE_INDEX].reason,
				    cases[i].index ? "" : "store 1 is away");
		assert_true(metric_value(M_STORE_UP, METRIC_LABELS("objects")) ==
			    (cases[i].objects ? 1 : 0));
		assert_true(metric_value(M_STORE_UP, METRIC_LABELS("index")) ==
			    (cases[i].index ? 1 : 0));
		health_free(health);
	}
	atomic_store(&down[STORE_OBJECTS], false);
	atomic_store(&down[STORE_INDEX], false);
}

static void a_store_that_comes_back_is_seen(void **state)
{
	struct health_report report;
	struct health *health = begin(true);

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		atomic_store(&down[STORE_INDEX], i % 2 == 0);
		await_checks();
		health_get(health, &report);
		assert_int_equal(report.readiness, i % 2 == 0 ? DEGRADED : READY);
	}
	health_free(health);
}

static void a_store_that_hangs_holds_up_nobody(void **state)
{
	struct health *health;
	struct health_report report;
	int64_t began;

	(void)state;
	pthread_mutex_lock(&lock);
	health = begin(true);
	health_get(health, &report);
	assert_int_equal(report.readiness, READY);
	atomic_store(&hanging, true);
	do
		health_get(health, &report);
	while (report.readiness == READY);
	assert_int_equal(report.readiness, DEGRADED);
	assert_true(report.stores[STORE_INDEX].up);
	assert_non_null(strstr(report.stores[STORE_OBJECTS].reason, "not answered"));
	began = clock_monotonic_ms();
	for (unsigned i = 0; i < 100; i++)
		health_get(health, &report);
	assert_true(clock_monotonic_ms() - began < HANGS_MS);
	/* nor hides what becomes of the other one */
	atomic_store(&down[STORE_INDEX], true);
	do
		health_get(health, &report);
	while (report.readiness != UNREADY);
	atomic_store(&down[STORE_INDEX], false);
	atomic_store(&hanging, false);
	pthread_mutex_unlock(&lock);
	do
		health_get(health, &report);
	while (report.readiness != READY);
	health_free(health);
}

static void one_that_hangs_from_the_start_is_not_waited_for(void **state)
{
	struct health_report report;
	struct health *health;

	(void)state;
	pthread_mutex_lock(&lock);
	atomic_store(&hanging, true);
	health = begin(false);
	health_get(health, &report);
	assert_int_equal(report.readiness, UNREADY);
	assert_true(report.stores[STORE_INDEX].up);
	atomic_store(&hanging, false);
	pthread_mutex_unlock(&lock);
	health_free(health);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outages_make_unready_who_is_worse_off_than_others),
		cmocka_unit_test(a_store_that_comes_back_is_seen),
		cmocka_unit_test(a_store_that_hangs_holds_up_nobody),
		cmocka_unit_test(one_that_hangs_from_the_start_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
