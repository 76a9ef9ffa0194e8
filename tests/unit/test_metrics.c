#include "tests/support/support.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *page(void)
{
	struct buf buf = BUF_INIT(64 << 20);

	metrics_write(&buf);
	return buf_detach(&buf, NULL);
}

static unsigned count_lines(const char *text, const char *start)
{
	unsigned count = 0;

	for (const char *at = text; at && *at; at = strchr(at, '\n'), at += at ? 1 : 0)
		count += strncmp(at, start, strlen(start)) == 0;
	return count;
}

static void assert_line(const char *expected)
{
	char *text = page();

	if (count_lines(text, expected) != 1)
		fail_msg("%u lines begin with: %s\nin:\n%s", count_lines(text, expected), expected,
			 text);
	free(text);
}

static void test_counters(void **state)
{
	(void)state;
	metric_inc(M_HTTP_REQUESTS, "manifest", "GET", "200");
	metric_inc(M_HTTP_REQUESTS, "manifest", "GET", "200");
	metric_inc(M_HTTP_REQUESTS, "manifest", "GET", "404");
	metric_add(M_PROXY_PULLED_BYTES, 5000000000, "blob", "docker.io");
	assert_line("# TYPE registry_http_requests_total counter\n");
	assert_line("# HELP registry_http_requests_total Requests answered.\n");
	assert_line("registry_http_requests_total{handler=\"manifest\",method=\"GET\","
		    "code=\"200\"} 2\n");
	assert_line("registry_proxy_pulled_bytes_total{type=\"blob\",upstream=\"docker.io\"} "
		    "5000000000\n");
	assert_true(metric_value(M_HTTP_REQUESTS, METRIC_LABELS("manifest", "GET", "404")) == 1);
	assert_true(metric_value(M_HTTP_REQUESTS, METRIC_LABELS("manifest", "GET", "500")) == 0);
}

static void test_a_counter_never_falls_nor_breaks(void **state)
{
	(void)state;
	metric_inc(M_PROXY_STALE, "quay.io");
	metric_add(M_PROXY_STALE, -1, "quay.io");
	metric_add(M_PROXY_STALE, NAN, "quay.io");
	assert_true(metric_value(M_PROXY_STALE, METRIC_LABELS("quay.io")) == 1);
}

static void test_gauges(void **state)
{
	(void)state;
	/* without labels it is there from the start */
	assert_line("registry_http_in_flight_requests 0\n");
	metric_add(M_HTTP_IN_FLIGHT, 1, NULL);
	metric_add(M_HTTP_IN_FLIGHT, 1, NULL);
	metric_add(M_HTTP_IN_FLIGHT, -1, NULL);
	assert_line("registry_http_in_flight_requests 1\n");
	metric_set(M_UPSTREAM_RATELIMIT, 76, "docker.io", "hub-a");
	metric_set(M_UPSTREAM_RATELIMIT, 75, "docker.io", "hub-a");
	assert_line("registry_proxy_ratelimit_remaining{upstream=\"docker.io\","
		    "credential=\"hub-a\"} 75\n");
}

static void test_histograms(void **state)
{
	(void)state;
	metric_add(M_STORAGE_SECONDS, 0.001, "s3", "put"); /* a bound belongs to its bucket */
	metric_add(M_STORAGE_SECONDS, 0.002, "s3", "put");
	metric_add(M_STORAGE_SECONDS, 0.5, "s3", "put");
	metric_add(M_STORAGE_SECONDS, 31, "s3", "put");
	metric_add(M_STORAGE_SECONDS, -1, "s3", "put");
	metric_set(M_STORAGE_SECONDS, 1, "s3", "put");
	assert_line("# TYPE registry_storage_action_seconds histogram\n");
#define S3_PUT "{store=\"s3\",action=\"put\""
	assert_line("registry_storage_action_seconds_bucket" S3_PUT ",le=\"0.001\"} 1\n");
	assert_line("registry_storage_action_seconds_bucket" S3_PUT ",le=\"0.005\"} 2\n");
	assert_line("registry_storage_action_seconds_bucket" S3_PUT ",le=\"0.25\"} 2\n");
	assert_line("registry_storage_action_seconds_bucket" S3_PUT ",le=\"0.5\"} 3\n");
	assert_line("registry_storage_action_seconds_bucket" S3_PUT ",le=\"10\"} 3\n");
	assert_line("registry_storage_action_seconds_bucket" S3_PUT ",le=\"30\"} 3\n");
	assert_line("registry_storage_action_seconds_bucket" S3_PUT ",le=\"+Inf\"} 4\n");
	assert_line("registry_storage_action_seconds_sum" S3_PUT "} 31.503\n");
	assert_line("registry_storage_action_seconds_count" S3_PUT "} 4\n");
	assert_true(metric_value(M_STORAGE_SECONDS, METRIC_LABELS("s3", "put")) == 4);
}

static void test_missing_and_surplus_labels(void **state)
{
	(void)state;
	metric_inc(M_FILLS, "docker.io");
	metric_inc(M_RELOADS, "ok", "surplus");
	assert_line("registry_proxy_fills_total{upstream=\"docker.io\",result=\"\"} 1\n");
	assert_line("registry_config_reloads_total{result=\"ok\"} 1\n");
}

/* ("a","bc") and ("ab","c") are two combinations. */
static void test_labels_do_not_run_together(void **state)
{
	(void)state;
	metric_inc(M_STORAGE_ERRORS, "a", "bc");
	metric_inc(M_STORAGE_ERRORS, "ab", "c");
	metric_inc(M_STORAGE_ERRORS, "ab", "c");
	assert_true(metric_value(M_STORAGE_ERRORS, METRIC_LABELS("a", "bc")) == 1);
	assert_true(metric_value(M_STORAGE_ERRORS, METRIC_LABELS("ab", "c")) == 2);
}

static void test_label_values_are_escaped(void **state)
{
	(void)state;
	metric_inc(M_PROXY_HITS, "a\\b\"c\nd", "gr\xc3\xbcn");
	assert_line("registry_proxy_hits_total{type=\"a\\\\b\\\"c\\nd\",upstream=\"gr\xc3\xbcn\"} 1"
		    "\n");
}

/* What prints alike is one series: Prometheus refuses a page with a double. */
static void test_values_that_print_alike_are_one(void **state)
{
	char *a = xcalloc(1, 1001);
	char *b = xcalloc(1, 1001);
	char *text;

	(void)state;
	memset(a, 'x', 1000);
	memset(b, 'x', 999);
	metric_inc(M_PROXY_MISSES, "bad\xff", "u");
	metric_inc(M_PROXY_MISSES, "bad\xfe", "u");
	metric_inc(M_PROXY_MISSES, a, "u");
	metric_inc(M_PROXY_MISSES, b, "u");
	text = page();
	assert_int_equal(count_lines(text, "registry_proxy_misses_total{type=\"bad\xef\xbf\xbd\""
					   ",upstream=\"u\"} 2\n"),
			 1);
	assert_int_equal(count_lines(text, "registry_proxy_misses_total{type=\"xxx"), 1);
	free(text);
	free(a);
	free(b);
}

static void test_combinations_are_bounded(void **state)
{
	char *text;

	(void)state;
	for (unsigned i = 0; i < METRIC_MAX_SERIES + 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "upstream-%u", i);
		metric_inc(M_FILL_RESUMES, name);
	}
	assert_true(metric_value(M_FILL_RESUMES, METRIC_LABELS("other")) == 100);
	metric_inc(M_FILL_RESUMES, "upstream-0"); /* those that were in time go on */
	assert_true(metric_value(M_FILL_RESUMES, METRIC_LABELS("upstream-0")) == 2);
	text = page();
	assert_int_equal(count_lines(text, "registry_proxy_fill_resumes_total{"),
			 METRIC_MAX_SERIES + 1);
	free(text);
}

static void test_each_family_is_declared_once(void **state)
{
	char *text = page();

	(void)state;
	assert_int_equal(count_lines(text, "# HELP "), METRIC_COUNT);
	assert_int_equal(count_lines(text, "# TYPE "), METRIC_COUNT);
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
}

static void test_too_small_a_page_is_told(void **state)
{
	struct buf buf = BUF_INIT(100);

	(void)state;
	metrics_write(&buf);
	assert_true(buf.overflow);
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_a_counter_never_falls_nor_breaks),
		cmocka_unit_test(test_gauges),
		cmocka_unit_test(test_histograms),
		cmocka_unit_test(test_missing_and_surplus_labels),
		cmocka_unit_test(test_labels_do_not_run_together),
		cmocka_unit_test(test_label_values_are_escaped),
		cmocka_unit_test(test_values_that_print_alike_are_one),
		cmocka_unit_test(test_combinations_are_bounded),
		cmocka_unit_test(test_each_family_is_declared_once),
		cmocka_unit_test(test_too_small_a_page_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
