#include "tests/support/support.h"

#include "server/base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_grows_and_terminates(void **state)
{
	struct buf buf = BUF_INIT(1 << 20);

	(void)state;
	assert_string_equal(buf_string(&buf), "");
	for (int i = 0; i < 10000; i++)
		buf_append_string(&buf, "0123456789");
	assert_false(buf.overflow);
	assert_int_equal(buf.length, 100000);
	assert_int_equal(strlen(buf_string(&buf)), 100000);
	buf_reset(&buf);
	assert_string_equal(buf_string(&buf), "");
	buf_release(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.max, 1 << 20);
}

static void test_exactly_the_maximum_fits(void **state)
{
	struct buf buf = BUF_INIT(10);

	(void)state;
	buf_append_string(&buf, "12345");
	buf_append_string(&buf, "67890");
	assert_false(buf.overflow);
	assert_string_equal(buf_string(&buf), "1234567890");
	buf_append_char(&buf, 'x');
	assert_true(buf.overflow);
	assert_string_equal(buf_string(&buf), "1234567890");
	buf_release(&buf);
}

static void test_after_overflow_nothing_changes(void **state)
{
	struct buf buf = BUF_INIT(10);
	size_t length = 77;

	(void)state;
	buf_append_string(&buf, "12345");
	buf_append_string(&buf, "much too long");
	buf_append_string(&buf, "6"); /* would fit */
	buf_printf(&buf, "%d", 7);
	assert_true(buf.overflow);
	assert_string_equal(buf_string(&buf), "12345");
	assert_null(buf_detach(&buf, &length));
	assert_int_equal(length, 77);
	assert_false(buf.overflow);
	buf_release(&buf);
}

static void test_huge_lengths_do_not_wrap(void **state)
{
	struct buf buf = BUF_INIT(SIZE_MAX);

	(void)state;
	buf_append_string(&buf, "abc");
	buf_append(&buf, "x", SIZE_MAX - 2);
	assert_true(buf.overflow);
	assert_string_equal(buf_string(&buf), "abc");
	buf_release(&buf);
}

static void test_printf_grows_and_is_bounded(void **state)
{
	struct buf buf = BUF_INIT(300);
	char wide[200];

	(void)state;
	memset(wide, 'w', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	buf_printf(&buf, "%s", wide);
	assert_int_equal(buf.length, 199);
	buf_printf(&buf, "%s", wide);
	assert_true(buf.overflow);
	assert_int_equal(buf.length, 199);
	assert_int_equal(strlen(buf_string(&buf)), 199);
	buf_release(&buf);
}

static void test_detach(void **state)
{
	struct buf buf = BUF_INIT(100);
	size_t length = 0;
	char *data;

	(void)state;
	buf_append(&buf, "a\0b", 3);
	data = buf_detach(&buf, &length);
	assert_int_equal(length, 3);
	assert_memory_equal(data, "a\0b", 4);
	free(data);
	data = buf_detach(&buf, NULL);
	assert_string_equal(data, "");
	free(data);
}

static void check_u64(uint64_t number, const char *expected)
{
	struct buf buf = BUF_INIT(100);

	buf_append_u64(&buf, number);
	assert_string_equal(buf_string(&buf), expected);
	buf_release(&buf);
}

static void check_double(double number, const char *expected)
{
	struct buf buf = BUF_INIT(100);

	buf_append_double(&buf, number);
	assert_string_equal(buf_string(&buf), expected);
	buf_release(&buf);
}

static void test_numbers(void **state)
{
	(void)state;
	check_u64(0, "0");
	check_u64(UINT64_MAX, "18446744073709551615");
	check_double(0, "0");
	check_double(0.1, "0.1");
	check_double(1234567890, "1234567890");
	check_double(0.1 + 0.2, "0.30000000000000004");
	check_double(INFINITY, "+Inf");
	check_double(-INFINITY, "-Inf");
	check_double(NAN, "NaN");
}

static void check_json(const char *string, size_t length, const char *expected)
{
	struct buf buf = BUF_INIT(1000);

	buf_append_json(&buf, string, length);
	assert_string_equal(buf_string(&buf), expected);
	buf_release(&buf);
}

#define CHECK_JSON(literal, expected) check_json((literal), sizeof(literal) - 1, (expected))
#define REPLACEMENT "\xef\xbf\xbd"

static void test_json_escapes(void **state)
{
	(void)state;
	CHECK_JSON("", "\"\"");
	check_json(NULL, 0, "\"\"");
	CHECK_JSON("plain / text", "\"plain / text\"");
	CHECK_JSON("\"\\", "\"\\\"\\\\\"");
	CHECK_JSON("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
	CHECK_JSON("a\0b\x1b\x7f", "\"a\\u0000b\\u001b\\u007f\"");
	CHECK_JSON("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3",
		   "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\"");
	CHECK_JSON("\xc2\x9b[31m", "\"\\u009b[31m\"");
}

static void test_json_repairs_what_is_not_utf8(void **state)
{
	(void)state;
	CHECK_JSON("a\xff"
		   "b",
		   "\"a" REPLACEMENT "b\"");
	CHECK_JSON("\xc0\xaf", "\"" REPLACEMENT REPLACEMENT "\""); /* over-long */
	CHECK_JSON("\xed\xa0\x80", "\"" REPLACEMENT REPLACEMENT REPLACEMENT "\""); /* surrogate */
	CHECK_JSON("x\xe2\x82", "\"x" REPLACEMENT REPLACEMENT "\""); /* cut off */
}

static void test_percent(void **state)
{
	struct buf buf = BUF_INIT(1000);

	(void)state;
	buf_append_percent(&buf, "aZ09-._~/ %\xc3\xbc?", "/");
	assert_string_equal(buf_string(&buf), "aZ09-._~/%20%25%C3%BC%3F");
	buf_reset(&buf);
	buf_append_percent(&buf, "a/b", NULL);
	assert_string_equal(buf_string(&buf), "a%2Fb");
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_and_terminates),
		cmocka_unit_test(test_exactly_the_maximum_fits),
		cmocka_unit_test(test_after_overflow_nothing_changes),
		cmocka_unit_test(test_huge_lengths_do_not_wrap),
		cmocka_unit_test(test_printf_grows_and_is_bounded),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_json_escapes),
		cmocka_unit_test(test_json_repairs_what_is_not_utf8),
		cmocka_unit_test(test_percent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
