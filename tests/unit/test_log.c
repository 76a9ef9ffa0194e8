#include "tests/support/support.h"

#include "server/base/clock.h"
#include "server/base/json.h"
#include "server/base/log.h"
#include "server/base/memory.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int saved_stderr;
static int ends[2];
static char line[65536];

static void capture_start(void)
{
	assert_int_equal(pipe(ends), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
}

/* What was logged since capture_start, in `line`. */
static void capture_end(void)
{
	size_t length = 0;
	ssize_t got;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	while ((got = read(ends[0], line + length, sizeof(line) - 1 - length)) > 0)
		length += (size_t)got;
	line[length] = '\0';
	close(ends[0]);
}

static cJSON *parse_line(void)
{
	cJSON *json = NULL;
	size_t length = strlen(line);

	assert_true(length > 0 && length <= PIPE_BUF);
	assert_ptr_equal(strchr(line, '\n'), line + length - 1);
	assert_int_equal(json_parse(line, length, &json, NULL), BW_OK);
	return json;
}

static void test_json_line(void **state)
{
	cJSON *json;
	uint64_t number;

	(void)state;
	log_configure(LOG_INFO, LOG_JSON);
	capture_start();
	log_event(LOG_WARNING, "upstream failed", LOG_S("upstream", "quay.io"),
		  LOG_I("http.response.status", 502), LOG_D("seconds", 0.25), LOG_B("stale", true),
		  LOG_S("left_out", NULL));
	capture_end();
	json = parse_line();
	assert_string_equal(json_string(json, "level"), "warning");
	assert_string_equal(json_string(json, "msg"), "upstream failed");
	assert_string_equal(json_string(json, "upstream"), "quay.io");
	assert_true(json_u64(json, "http.response.status", &number));
	assert_int_equal(number, 502);
	assert_true(json_member(json, "seconds")->valuedouble == 0.25);
	assert_true(cJSON_IsTrue(json_member(json, "stale")));
	assert_null(json_member(json, "left_out"));
	assert_int_equal(strlen(json_string(json, "time")), strlen("2026-01-31T08:05:09.123Z"));
	assert_true(strncmp(line, "{\"time\":\"", 9) == 0);
	cJSON_Delete(json);
}

static void test_text_line(void **state)
{
	(void)state;
	log_configure(LOG_INFO, LOG_TEXT);
	capture_start();
	log_event(LOG_ERROR, "cannot serve", LOG_S("upstream", "quay.io"), LOG_I("status", -1),
		  LOG_S("reason", "no route \"x\"\nto host"), LOG_S("empty", ""));
	capture_end();
	assert_string_equal(line + strlen("2026-01-31T08:05:09.123Z"),
			    " ERROR cannot serve upstream=quay.io status=-1 "
			    "reason=\"no route \\\"x\\\"\\nto host\" empty=\"\"\n");
}

static void test_no_fields(void **state)
{
	(void)state;
	log_configure(LOG_DEBUG, LOG_TEXT);
	capture_start();
	log_event(LOG_DEBUG, "started");
	capture_end();
	assert_string_equal(line + strlen("2026-01-31T08:05:09.123Z"), " DEBUG started\n");
}

static const char *count_call(int *calls)
{
	++*calls;
	return "x";
}

static void test_levels(void **state)
{
	int calls = 0;

	(void)state;
	log_configure(LOG_WARNING, LOG_JSON);
	capture_start();
	log_event(LOG_INFO, "quiet", LOG_S("x", count_call(&calls)));
	log_write(LOG_INFO, "quiet", NULL, 0);
	capture_end();
	assert_string_equal(line, "");
	assert_int_equal(calls, 0);
	assert_true(log_enabled(LOG_ERROR));
	assert_false(log_enabled(LOG_DEBUG));
	capture_start();
	log_event(LOG_ERROR, "loud", LOG_S("x", count_call(&calls)));
	capture_end();
	assert_int_equal(calls, 1);
}

/* A client's bytes neither forge a line nor reach a terminal as commands. */
static void test_hostile_values(void **state)
{
	static const char hostile[] = "a\n{\"level\":\"info\"}\x1b[2J\xff\xc2\x9b"
				      "1m\"";
	cJSON *json;

	(void)state;
	log_configure(LOG_INFO, LOG_JSON);
	capture_start();
	log_event(LOG_INFO, hostile, LOG_S("agent", hostile), LOG_D("nan", NAN),
		  LOG_D("inf", INFINITY));
	capture_end();
	json = parse_line();
	assert_null(strchr(line, '\x1b'));
	assert_non_null(strstr(json_string(json, "agent"), "\xef\xbf\xbd"));
	assert_true(cJSON_IsNull(json_member(json, "nan")));
	cJSON_Delete(json);

	log_configure(LOG_INFO, LOG_TEXT);
	capture_start();
	log_event(LOG_INFO, hostile, LOG_S("agent", hostile));
	capture_end();
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	assert_null(strchr(line, '\x1b'));
}

static void test_long_lines_stay_whole_json(void **state)
{
	static const char *const fillers[] = {"x", "\x01", "\xe2\x82\xac", "\xff", "\""};
	char *text = xmalloc(100001);

	(void)state;
	log_configure(LOG_INFO, LOG_JSON);
	for (size_t i = 0; i < array_size(fillers); i++) {
		size_t step = strlen(fillers[i]);
		cJSON *json;

		for (size_t at = 0; at < 99999; at += step)
			memcpy(text + at, fillers[i], step);
		text[99999] = '\0';
		capture_start();
		log_event(LOG_INFO, "long", LOG_S("first", text), LOG_S("second", text),
			  LOG_I("third", 3));
		capture_end();
		json = parse_line();
		assert_true(strlen(json_string(json, "first")) > 100);
		assert_true(cJSON_IsTrue(json_member(json, "truncated")));
		cJSON_Delete(json);

		capture_start();
		log_event(LOG_INFO, text, LOG_S("upstream", "quay.io"));
		capture_end();
		json = parse_line();
		assert_true(cJSON_IsTrue(json_member(json, "truncated")));
		cJSON_Delete(json);
	}
	free(text);
}

static void test_errno_is_kept_and_failure_ignored(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	log_configure(LOG_INFO, LOG_JSON);
	close(STDERR_FILENO);
	errno = ENOTTY;
	log_event(LOG_INFO, "nobody reads this");
	assert_int_equal(errno, ENOTTY);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

static void write_many(void *context, unsigned index)
{
	(void)context;
	for (int i = 0; i < 10; i++)
		log_event(LOG_INFO, "from a thread", LOG_I("thread", index), LOG_I("line", i));
}

static void test_lines_of_threads_do_not_mix(void **state)
{
	unsigned count = 0;

	(void)state;
	log_configure(LOG_INFO, LOG_JSON);
	capture_start();
	run_together(8, write_many, NULL);
	capture_end();
	for (char *at = line; *at; count++) {
		char *end = strchr(at, '\n');
		cJSON *json = NULL;

		assert_non_null(end);
		assert_int_equal(json_parse(at, (size_t)(end - at), &json, NULL), BW_OK);
		cJSON_Delete(json);
		at = end + 1;
	}
	assert_int_equal(count, 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_line),
		cmocka_unit_test(test_text_line),
		cmocka_unit_test(test_no_fields),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_hostile_values),
		cmocka_unit_test(test_long_lines_stay_whole_json),
		cmocka_unit_test(test_errno_is_kept_and_failure_ignored),
		cmocka_unit_test(test_lines_of_threads_do_not_mix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
