#include "tests/support/support.h"

#include "server/base/json.h"
#include "server/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* From memory that ends where the text does, so that a read beyond is seen. */
static enum status parse(const char *text, size_t length, cJSON **ret, struct error *error)
{
	char *exact = xmemdup(text, length);
	enum status status = json_parse(exact, length, ret, error);

	free(exact);
	return status;
}

static void test_accepts(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		" \t\r\n{ } \n",
		"null",
		"true",
		"0",
		"-0.5e+10",
		"\"\"",
		"{\"a\":[1,2,{\"b\":null}],\"c\":\"\\u00e9\\ud83d\\udc33\\n\"}",
		"\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\"",
		"\"\\\\u0000\"", /* a backslash and four digits, no NUL */
	};

	(void)state;
	for (size_t i = 0; i < array_size(good); i++) {
		cJSON *json = NULL;

		if (parse(good[i], strlen(good[i]), &json, NULL) != BW_OK)
			fail_msg("refused %s", good[i]);
		cJSON_Delete(json);
	}
}

#define BYTES(literal) \
	{ \
		literal, sizeof(literal) - 1 \
	}

static void test_refuses(void **state)
{
	static const struct {
		const char *text;
		size_t length;
	} bad[] = {
		BYTES(""),
		BYTES("  \n"),
		BYTES("{"),
		BYTES("}"),
		BYTES("[1,]"),
		BYTES("{\"a\":1,}"),
		BYTES("{a:1}"),
		BYTES("{'a':1}"),
		BYTES("{} {}"),
		BYTES("{}x"),
		BYTES("{}]"),
		BYTES("[1 2]"),
		BYTES("1 2"),
		BYTES("\"a"),
		BYTES("\"a\\\""),
		BYTES("\"\\x41\""),
		BYTES("\"\\u12\""),
		BYTES("\"\\ud800\""),
		BYTES("\"\\udc33\""),
		BYTES("\"a\\u0000b\""),
		BYTES("\"a\0b\""),
		BYTES("{}\0"),
		BYTES("{}\0{}"),
		BYTES("\0"),
		BYTES("\"a\nb\""),
		BYTES("\x01{}"),
		BYTES("\xef\xbb\xbf{}"),
		BYTES("\"\xff\""),
		BYTES("\"\xc0\xaf\""),
		BYTES("\"\xed\xa0\x80\""),
		BYTES("\"\xe2\x82"),
		BYTES("01"),
		BYTES("-"),
		BYTES("+1"),
		BYTES("1."),
		BYTES(".5"),
		BYTES("1e"),
		BYTES("1e+"),
		BYTES("0x10"),
		BYTES("1-2"),
		BYTES("NaN"),
		BYTES("Infinity"),
		BYTES("nul"),
		BYTES("TRUE"),
		BYTES("truefalse"),
		BYTES("// x\n{}"),
	};

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		struct error error = {0};
		cJSON *json = NULL;

		if (parse(bad[i].text, bad[i].length, &json, &error) != BW_INVALID)
			fail_msg("accepted %s (case %zu)", bad[i].text, i);
		assert_null(json);
		assert_non_null(strstr(error.message, "invalid JSON"));
	}
}

static enum status parse_nested(size_t depth, char open, char close)
{
	char *text = xmalloc(2 * depth);
	cJSON *json = NULL;
	enum status status;

	memset(text, open, depth);
	memset(text + depth, close, depth);
	status = parse(text, 2 * depth, &json, NULL);
	cJSON_Delete(json);
	free(text);
	return status;
}

static void test_depth(void **state)
{
	(void)state;
	assert_int_equal(parse_nested(JSON_MAX_DEPTH, '[', ']'), BW_OK);
	assert_int_equal(parse_nested(JSON_MAX_DEPTH + 1, '[', ']'), BW_INVALID);
	assert_int_equal(parse_nested(1000000, '[', ']'), BW_INVALID);
	assert_int_equal(parse_nested(1000000, '{', '}'), BW_INVALID);
}

static void test_number_of_values(void **state)
{
	size_t count = JSON_MAX_VALUES + 1;
	char *text = xmalloc(2 * count + 1);
	cJSON *json = NULL;

	(void)state;
	for (size_t i = 0; i < count; i++)
		memcpy(text + 2 * i, ",0", 2);
	text[0] = '[';
	text[2 * count] = ']';
	assert_int_equal(parse(text, 2 * count + 1, &json, NULL), BW_INVALID);
	free(text);
}

static void test_error_says_where(void **state)
{
	struct error error = {0};
	cJSON *json = NULL;

	(void)state;
	assert_int_equal(json_parse("{\"a\":01}", 8, &json, &error), BW_INVALID);
	assert_string_equal(error.message, "invalid JSON at byte 7: malformed number");
}

static void test_members(void **state)
{
	static const char text[] = "{\"name\":\"x\",\"Name\":\"y\",\"twice\":1,\"twice\":1,"
				   "\"o\":{\"in\":\"z\"},\"\\u0065sc\":\"e\",\"n\":5}";
	cJSON *json = NULL;

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &json, NULL), BW_OK);
	assert_string_equal(json_string(json, "name"), "x");
	assert_null(json_string(json, "NAME"));
	assert_null(json_member(json, "twice"));
	assert_null(json_string(json, "n"));
	assert_string_equal(json_string(json, "esc"), "e");
	assert_string_equal(json_string(json_member(json, "o"), "in"), "z");
	assert_null(json_string(json_member(json, "absent"), "in"));
	assert_null(json_member(json_member(json, "n"), "in"));
	cJSON_Delete(json);
}

static bool u64_of(const char *number, uint64_t *ret)
{
	char *text = xasprintf("{\"n\":%s}", number);
	cJSON *json = NULL;
	bool found;

	assert_int_equal(json_parse(text, strlen(text), &json, NULL), BW_OK);
	found = json_u64(json, "n", ret);
	cJSON_Delete(json);
	free(text);
	return found;
}

static void test_whole_numbers(void **state)
{
	static const char *const bad[] = {
		"-1",    "0.5",  "9007199254740992",     "1e300", "9223372036854775808",
		"\"5\"", "null", "18446744073709551616", "1e999", "true"};
	uint64_t number = 7;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		if (u64_of(bad[i], &number))
			fail_msg("accepted %s", bad[i]);
	}
	assert_int_equal(number, 7);
	assert_true(u64_of("0", &number));
	assert_int_equal(number, 0);
	/* beyond an int, where cJSON's valueint saturates */
	assert_true(u64_of("4294967296", &number));
	assert_true(number == UINT64_C(4294967296));
	assert_true(u64_of("9007199254740991", &number));
	assert_true(number == UINT64_C(9007199254740991));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_number_of_values),
		cmocka_unit_test(test_error_says_where),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_whole_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
