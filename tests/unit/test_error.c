#include "tests/support/support.h"

#include "server/base/error.h"

#include <errno.h>
#include <string.h>

static void test_says_what_went_wrong(void **state)
{
	struct error error = {0};

	(void)state;
	assert_int_equal(error_set(&error, BW_TIMEOUT, "upstream \"%s\"", "quay.io"), BW_TIMEOUT);
	assert_int_equal(error.code, BW_TIMEOUT);
	assert_string_equal(error.message, "upstream \"quay.io\"");
}

static void test_null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, BW_IO, "x"), BW_IO);
	assert_int_equal(error_set_errno(NULL, BW_IO, EIO, "x"), BW_IO);
	error_prefix(NULL, "x");
}

static void test_errno_text_survives_a_long_name(void **state)
{
	struct error error = {0};
	char name[2000];

	(void)state;
	error_set_errno(&error, BW_IO, EACCES, "open %s", "/x");
	assert_string_equal(error.message, "open /x: Permission denied");

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	error_set_errno(&error, BW_IO, EACCES, "open %s", name);
	assert_non_null(strstr(error.message, "nnn: Permission denied"));
}

static void test_prefix_keeps_code_and_retry(void **state)
{
	struct error error = {0};

	(void)state;
	error_set(&error, BW_UNAVAILABLE, "answered 429");
	error.retry_after = 57;
	error_prefix(&error, "upstream \"%s\"", "quay.io");
	assert_string_equal(error.message, "upstream \"quay.io\": answered 429");
	assert_int_equal(error.code, BW_UNAVAILABLE);
	assert_int_equal(error.retry_after, 57);
	error_set(&error, BW_IO, "other");
	assert_int_equal(error.retry_after, 0);
}

static void test_own_message_may_be_an_argument(void **state)
{
	struct error error = {0};

	(void)state;
	error_set(&error, BW_IO, "inner");
	error_set(&error, BW_INTERNAL, "outer: %s", error.message);
	assert_string_equal(error.message, "outer: inner");
}

static void test_stays_one_bounded_line(void **state)
{
	struct error error = {0};
	char hostile[3000];

	(void)state;
	error_set(&error, BW_UNREACHABLE, "%s", "a\r\nSet-Cookie: x\x1b[31m\x7f");
	assert_string_equal(error.message, "a  Set-Cookie: x [31m ");

	memset(hostile, 'x', sizeof(hostile) - 1);
	hostile[sizeof(hostile) - 1] = '\0';
	error_set(&error, BW_IO, "%s", hostile);
	assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
	for (int i = 0; i < 20; i++)
		error_prefix(&error, "%s", hostile);
	assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
}

static void test_cut_leaves_whole_characters(void **state)
{
	struct error error = {0};
	char text[600];

	(void)state;
	memset(text, 'x', 510);
	memcpy(text + 510, "\xe2\x82\xac and more", sizeof("\xe2\x82\xac and more"));
	error_set(&error, BW_IO, "%s", text);
	assert_int_equal(strlen(error.message), 510);
}

static void test_errno_classes(void **state)
{
	(void)state;
	assert_int_equal(status_from_errno(ENOSPC), BW_NO_SPACE);
	assert_int_equal(status_from_errno(EDQUOT), BW_NO_SPACE);
	assert_int_equal(status_from_errno(ENOENT), BW_ABSENT);
	/* not "absent": nobody looked */
	assert_int_equal(status_from_errno(EACCES), BW_IO);
	assert_int_equal(status_from_errno(ENOTDIR), BW_IO);
}

static void test_every_status_has_its_own_name(void **state)
{
	(void)state;
	for (int a = BW_OK; a <= BW_INTERNAL; a++) {
		assert_true(strlen(status_name((enum status)a)) > 0);
		for (int b = BW_OK; b < a; b++)
			assert_string_not_equal(status_name((enum status)a),
						status_name((enum status)b));
	}
	assert_string_equal(status_name((enum status)(BW_INTERNAL + 1)), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_says_what_went_wrong),
		cmocka_unit_test(test_null_is_allowed),
		cmocka_unit_test(test_errno_text_survives_a_long_name),
		cmocka_unit_test(test_prefix_keeps_code_and_retry),
		cmocka_unit_test(test_own_message_may_be_an_argument),
		cmocka_unit_test(test_stays_one_bounded_line),
		cmocka_unit_test(test_cut_leaves_whole_characters),
		cmocka_unit_test(test_errno_classes),
		cmocka_unit_test(test_every_status_has_its_own_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
