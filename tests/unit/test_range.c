#include "server/http/range.h"
#include "tests/support/support.h"

#include <inttypes.h>
#include <stdio.h>

#define TAG "\"sha256:abc\""

static void assert_part(const char *value, uint64_t size, uint64_t first, uint64_t length)
{
	struct byte_range range;

	if (range_parse(value, size, &range) != RANGE_PART || range.first != first ||
	    range.length != length)
		fail_msg("%s of %" PRIu64 " is not %" PRIu64 "+%" PRIu64, value, size, first,
			 length);
}

static void gives_the_part_asked_for(void **state)
{
	(void)state;
	assert_part("bytes=0-0", 10, 0, 1);
	assert_part("bytes=0-9", 10, 0, 10);
	assert_part("bytes=2-", 10, 2, 8);
	assert_part("bytes=9-", 10, 9, 1);
	assert_part("bytes=-1", 10, 9, 1);
	assert_part("bytes=-10", 10, 0, 10);
	assert_part("Bytes=3-4", 10, 3, 2);
	assert_part("bytes= 3-4 ", 10, 3, 2);
}

static void cuts_what_reaches_behind_the_end(void **state)
{
	(void)state;
	assert_part("bytes=5-99", 10, 5, 5);
	assert_part("bytes=-99", 10, 0, 10);
	assert_part("bytes=5-99999999999999999999999999", 10, 5, 5);
	assert_part("bytes=-99999999999999999999999999", 10, 0, 10);
	assert_part("bytes=0-18446744073709551615", UINT64_MAX, 0, UINT64_MAX);
}

static void refuses_what_begins_behind_the_end(void **state)
{
	static const char *const values[] = {
		"bytes=10-", "bytes=10-20", "bytes=-0",   "bytes=99999999999999999999999999-",
		"bytes=5-4", "bytes=9-0",   "bytes=12-11"};
	struct byte_range range;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_int_equal(range_parse(values[i], 10, &range), RANGE_UNSATISFIABLE);
	assert_int_equal(range_parse("bytes=0-", 0, &range), RANGE_UNSATISFIABLE);
	assert_int_equal(range_parse("bytes=-5", 0, &range), RANGE_UNSATISFIABLE);
}

static void ignores_what_it_does_not_do(void **state)
{
	static const char *const values[] = {NULL,
					     "",
					     "bytes",
					     "bytes=",
					     "bytes=-",
					     "bytes=a-b",
					     "bytes=5-4,0-1",
					     "bytes=0-1,3-4",
					     "items=0-1",
					     "bytes 0-1",
					     "bytes =0-1",
					     "bytes=0",
					     "bytes=+1-2",
					     "bytes=0x1-2",
					     "bytes=1--2",
					     "bytes=1-2x",
					     "bytes=1 - 2",
					     "byte=0-1",
					     "bytes=-1-",
					     "bytes=1.5-2"};
	struct byte_range range = {.first = 77, .length = 78};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (range_parse(values[i], 10, &range) != RANGE_WHOLE)
			fail_msg("%s was not ignored", values[i]);
	}
	assert_int_equal(range.first, 77);
	assert_int_equal(range.length, 78);
}

static void finds_its_tag_in_a_list(void **state)
{
	static const char *const yes[] = {
		TAG,    "*", " * ", "W/" TAG, "\"a\", " TAG, TAG ",\"b\"", "W/\"a\" ,\tW/" TAG,
		" " TAG};
	static const char *const no[] = {
		NULL, "",   "\"sha256:abcd\"", "sha256:abc", "\"sha256:abc", "\"a\" " TAG,
		"**", "W/", "w/" TAG,          "\"a\",,",    "* , " TAG};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!etag_listed(yes[i], TAG))
			fail_msg("%s does not list it", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (etag_listed(no[i], TAG))
			fail_msg("%s lists it", no[i]);
}

static void lets_if_range_decide(void **state)
{
	(void)state;
	assert_true(etag_allows_range(NULL, TAG));
	assert_true(etag_allows_range(TAG, TAG));
	assert_true(etag_allows_range(" " TAG " ", TAG));
	assert_false(etag_allows_range("W/" TAG, TAG));
	assert_false(etag_allows_range("\"other\"", TAG));
	assert_false(etag_allows_range("Sat, 31 Jan 2026 08:05:09 GMT", TAG));
	assert_false(etag_allows_range("", TAG));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_part_asked_for),
		cmocka_unit_test(cuts_what_reaches_behind_the_end),
		cmocka_unit_test(refuses_what_begins_behind_the_end),
		cmocka_unit_test(ignores_what_it_does_not_do),
		cmocka_unit_test(finds_its_tag_in_a_list),
		cmocka_unit_test(lets_if_range_decide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
