#include "tests/support/support.h"

#include "server/base/buf.h"
#include "server/base/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 6
#define ROUNDS 2000
#define NAMES 50

static void count(void *context, unsigned index)
{
	(void)context;
	for (unsigned i = 0; i < ROUNDS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%u", (i + index) % NAMES);
		metric_inc(M_PROXY_STALE, name);
		metric_add(M_HTTP_IN_FLIGHT, 1, NULL);
		metric_add(M_STORAGE_SECONDS, 0.25, "fs", name);
		metric_add(M_HTTP_IN_FLIGHT, -1, NULL);
	}
}

static void test_no_count_is_lost(void **state)
{
	(void)state;
	run_together(THREADS, count, NULL);
	for (unsigned i = 0; i < NAMES; i++) {
		const unsigned each = THREADS * ROUNDS / NAMES;
		char name[16];

		snprintf(name, sizeof(name), "u%u", i);
		assert_true(metric_value(M_PROXY_STALE, METRIC_LABELS(name)) == each);
		assert_true(metric_value(M_STORAGE_SECONDS, METRIC_LABELS("fs", name)) == each);
	}
	assert_true(metric_value(M_HTTP_IN_FLIGHT, METRIC_LABELS(NULL)) == 0);
}

/* Every thread is the first to see each combination, or thinks so. */
static void see_first(void *context, unsigned index)
{
	(void)context;
	(void)index;
	for (unsigned i = 0; i < 500; i++) {
		char name[16];

		snprintf(name, sizeof(name), "new%u", i);
		metric_inc(M_UPSTREAM_REQUESTS, name, "GET", "200");
	}
}

static unsigned count_lines(const char *text, const char *start)
{
	unsigned found = 0;

	for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at ? 1 : 0)
		found += strncmp(at, start, strlen(start)) == 0;
	return found;
}

static void test_a_combination_appears_once(void **state)
{
	struct buf buf = BUF_INIT(16 << 20);

	(void)state;
	run_together(THREADS, see_first, NULL);
	metrics_write(&buf);
	assert_int_equal(count_lines(buf_string(&buf), "registry_proxy_upstream_requests_total{"),
			 500);
	for (unsigned i = 0; i < 500; i++) {
		char name[16];

		snprintf(name, sizeof(name), "new%u", i);
		assert_true(metric_value(M_UPSTREAM_REQUESTS, METRIC_LABELS(name, "GET", "200")) ==
			    THREADS);
	}
	buf_release(&buf);
}

static void write_or_count(void *context, unsigned index)
{
	(void)context;
	for (unsigned i = 0; i < 100; i++) {
		struct buf buf = BUF_INIT(16 << 20);
		char name[16];

		snprintf(name, sizeof(name), "w%u", i);
		if (index % 2) {
			metric_add(M_HTTP_DURATION, 1, name, "GET");
			continue;
		}
		metrics_write(&buf);
		assert_false(buf.overflow);
		assert_int_equal(count_lines(buf_string(&buf), "# TYPE "), METRIC_COUNT);
		buf_release(&buf);
	}
}

static void test_pages_while_counting(void **state)
{
	(void)state;
	run_together(4, write_or_count, NULL);
	assert_true(metric_value(M_HTTP_DURATION, METRIC_LABELS("w99", "GET")) == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_count_is_lost),
		cmocka_unit_test(test_a_combination_appears_once),
		cmocka_unit_test(test_pages_while_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
