#include "tests/support/support.h"

#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <string.h>

static void test_slices(void **state)
{
	(void)state;
	assert_true(slice_equals((struct slice){"abcd", 3}, "abc"));
	assert_false(slice_equals((struct slice){"abc", 3}, "abcd"));
	assert_false(slice_equals((struct slice){"abcd", 3}, "abcd"));
	assert_true(slice_equals((struct slice){"", 0}, ""));
}

static void test_comparisons(void **state)
{
	(void)state;
	assert_true(str_starts_with("sha256:x", "sha256:"));
	assert_false(str_starts_with("sha", "sha256:"));
	assert_true(str_ends_with("a.json", ".json"));
	assert_false(str_ends_with("n", ".json"));
	assert_true(str_equals_ignore_case("Content-Type", "content-tYPE"));
	assert_false(str_equals_ignore_case("a", "ab"));
	assert_false(str_equals_ignore_case("ab", "a"));
	assert_false(str_equals_ignore_case("\xc3\x84", "\xc3\xa4"));
}

static void test_copy_is_cut_and_terminated(void **state)
{
	char target[4] = "zzz";

	(void)state;
	assert_true(str_copy(target, sizeof(target), "abc"));
	assert_string_equal(target, "abc");
	assert_false(str_copy(target, sizeof(target), "wxyz"));
	assert_string_equal(target, "wxy");
	assert_false(str_copy(target, 0, ""));
}

static void test_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc3",
		"\xc3(",
		"\xe0\x9f\xbf",
		"\xe2\x82",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf0\x9f\x90\x28",
		"\xff",
	};

	(void)state;
	assert_int_equal(str_utf8_length("a", 1), 1);
	assert_int_equal(str_utf8_length("\xc3\xbc!", 3), 2);
	assert_int_equal(str_utf8_length("\xed\x9f\xbf", 3), 3);
	assert_int_equal(str_utf8_length("\xf4\x8f\xbf\xbf", 4), 4);
	assert_int_equal(str_utf8_length("", 0), 0);
	for (size_t i = 0; i < array_size(bad); i++)
		assert_int_equal(str_utf8_length(bad[i], strlen(bad[i])), 0);
}

static void test_parse_u64(void **state)
{
	static const char *const bad[] = {"",
					  "-1",
					  "+1",
					  " 1",
					  "1 ",
					  "0x1",
					  "5junk",
					  "18446744073709551616",
					  "99999999999999999999"};
	uint64_t number = 7;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++)
		assert_false(str_parse_u64(bad[i], strlen(bad[i]), &number));
	assert_int_equal(number, 7);
	assert_true(str_parse_u64("18446744073709551615", 20, &number));
	assert_true(number == UINT64_MAX);
	assert_true(str_parse_u64("123", 2, &number));
	assert_int_equal(number, 12);
}

static void test_parse_size(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0},         {"1024", 1024},         {"7B", 7},
		    {"2kB", 2000},    {"5GB", 5000000000},    {"10MiB", 10485760},
		    {"1KiB", 1024},   {"3TB", 3000000000000}, {"16777215TiB", 16777215ULL << 40},
		    {"4MB", 4000000}, {"1GiB", 1073741824}};
	static const char *const bad[] = {
		"",   "MiB", "1.5GiB", "1 MiB",       "1MIB",
		"1K", "-1",  "1MiBx",  "16777216TiB", "18446744073709551616"};
	uint64_t bytes = 7;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++)
		assert_false(str_parse_size(bad[i], &bytes));
	assert_int_equal(bytes, 7);
	for (size_t i = 0; i < array_size(good); i++) {
		assert_true(str_parse_size(good[i].text, &bytes));
		assert_true(bytes == good[i].bytes);
	}
}

static void test_parse_duration(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"0", 0},
		    {"0s", 0},
		    {"500ms", 500},
		    {"10s", 10000},
		    {"7d", 604800000},
		    {"1h30m", 5400000},
		    {"1d2h3m4s5ms", 93784005},
		    {"90m", 5400000}};
	static const char *const bad[] = {"",
					  "10",
					  "00",
					  "s",
					  "-1s",
					  "1.5h",
					  "1h 30m",
					  "30m1h",
					  "1m1m",
					  "1s2",
					  "1S",
					  "5ms1s",
					  "1w",
					  "1hm",
					  "106751991168d",
					  "9223372036854775808ms",
					  "18446744073709551615s"};
	int64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++)
		assert_false(str_parse_duration(bad[i], &ms));
	assert_int_equal(ms, 7);
	for (size_t i = 0; i < array_size(good); i++) {
		assert_true(str_parse_duration(good[i].text, &ms));
		assert_true(ms == good[i].ms);
	}
}

static void check_duration(int64_t ms, const char *expected)
{
	char text[64];

	str_format_duration(ms, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_format_duration(void **state)
{
	char small[4];
	char text[64];
	int64_t back;

	(void)state;
	check_duration(0, "0s");
	check_duration(1500, "1s500ms");
	check_duration(5400000, "1h30m");
	check_duration(-5000, "-5s");
	check_duration(INT64_MIN, "-106751991167d7h12m55s808ms");
	str_format_duration(INT64_MAX, text, sizeof(text));
	assert_true(str_parse_duration(text, &back));
	assert_true(back == INT64_MAX);
	str_format_duration(1500, small, sizeof(small));
	assert_string_equal(small, "1s5");
}

static void check_size(uint64_t bytes, const char *expected)
{
	char text[32];

	str_format_size(bytes, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_format_size(void **state)
{
	(void)state;
	check_size(0, "0 B");
	check_size(1023, "1023 B");
	check_size(1024, "1.0 KiB");
	check_size(UINT64_C(3) << 29, "1.5 GiB");
	check_size(1024 * 1024 - 1, "1.0 MiB");
	check_size(UINT64_MAX, "16.0 EiB");
}

static void test_glob(void **state)
{
	static const struct {
		const char *pattern;
		const char *string;
		bool matches;
	} cases[] = {
		{"", "", true},
		{"", "a", false},
		{"acme", "acme", true},
		{"acme", "acmex", false},
		{"acme", "acm", false},
		{"*", "", true},
		{"*", "alpine", true},
		{"*", "library/alpine", false},
		{"**", "", true},
		{"**", "library/alpine", true},
		{"acme/**", "acme/x", true},
		{"acme/**", "acme/x/y", true},
		{"acme/**", "acme", false},
		{"acme/**", "acmex/y", false},
		{"acme/*", "acme/x", true},
		{"acme/*", "acme/x/y", false},
		{"*/x", "a/x", true},
		{"*/x", "a/b/x", false},
		{"**/x", "a/b/x", true},
		{"**/x", "x", false},
		{"v*", "v1.2.3", true},
		{"v*.*-rc*", "v1.2-rc3", true},
		{"v*.*-rc*", "v1.2", false},
		{"a**b*c", "a/x/b/y/bzc", true},
		{"a**b*c", "a/x/b/y/c", false},
		{"**/team-*/**", "ghcr.io/team-a/app", true},
		{"**/team-*/**", "ghcr.io/x/team-a/app/y", true},
		{"**/team-*/**", "ghcr.io/tea/app", false},
		{"***", "a/b", true},
		{"a?c", "abc", false},
		{"[ab]", "a", false},
		{"a\\*", "a*", false},
		{"gr\xc3\xbc*", "gr\xc3\xbcn", true},
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		if (str_glob_match(cases[i].pattern, cases[i].string) != cases[i].matches)
			fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].string);
	}
}

static void test_glob_bounds(void **state)
{
	char longest[514];
	char stars[514];
	int64_t start;

	(void)state;
	memset(longest, 'a', 513);
	longest[513] = '\0';
	assert_false(str_glob_match("**", longest));
	assert_false(str_glob_match(longest, longest));
	longest[512] = '\0';
	assert_true(str_glob_match("**", longest));
	assert_true(str_glob_match(longest, longest));

	/* what backtracking would take longer than the universe for */
	for (size_t i = 0; i < 512; i += 2) {
		stars[i] = '*';
		stars[i + 1] = 'a';
	}
	stars[511] = 'b';
	stars[512] = '\0';
	start = clock_monotonic_ms();
	for (int i = 0; i < 10; i++)
		assert_false(str_glob_match(stars, longest));
	assert_true(clock_monotonic_ms() - start < 5000);
}

static void test_distance(void **state)
{
	char a[200], b[200];

	(void)state;
	assert_int_equal(str_distance("", ""), 0);
	assert_int_equal(str_distance("", "abc"), 3);
	assert_int_equal(str_distance("adress", "address"), 1);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	memset(a, 'a', 199);
	memset(b, 'b', 199);
	a[199] = b[199] = '\0';
	assert_int_equal(str_distance(a, b), 64);
}

static void test_hex(void **state)
{
	static const char *const bad[] = {"0", "0G", "AB", " 0", "0x"};
	const unsigned char bytes[] = {0x00, 0x9a, 0xff};
	unsigned char back[3];
	char text[7];

	(void)state;
	str_hex(bytes, 3, text);
	assert_string_equal(text, "009aff");
	assert_true(str_unhex(text, 6, back));
	assert_memory_equal(back, bytes, 3);
	for (size_t i = 0; i < array_size(bad); i++)
		assert_false(str_unhex(bad[i], strlen(bad[i]), back));
}

/* RFC 4648, 10 */
static void test_base64(void **state)
{
	static const char *const expected[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
					       "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
	char text[12];

	(void)state;
	for (size_t i = 0; i < array_size(expected); i++) {
		str_base64((const unsigned char *)"foobar", i, text);
		assert_string_equal(text, expected[i]);
	}
}

static void test_random_bytes_differ(void **state)
{
	unsigned char a[1000], b[1000];

	(void)state;
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	/* the end was filled too */
	assert_memory_not_equal(a + 984, b + 984, 16);
}

static void test_host_and_port(void **state)
{
	static const char *const good[] = {"a:1", "redis.example:6379", "10.0.0.1:65535",
					   "[::1]:80", "a_b-c.d:1"};
	static const char *const bad[] = {"",        "a",       ":1",      "a:",     "a:0",
					  "a:65536", "a b:1",   "[]:1",    "::1:80", "a:1x",
					  "a/b:1",   "[a b]:1", "[a[b]:1", "a@b:1",  "a\n:1"};
	size_t length = 0;
	unsigned port = 0;

	(void)state;
	for (size_t i = 0; i < array_size(good); i++)
		assert_true(str_split_host_port(good[i], &length, &port));
	for (size_t i = 0; i < array_size(bad); i++)
		if (str_split_host_port(bad[i], &length, &port))
			fail_msg("%s", bad[i]);
	assert_true(str_split_host_port("[::1]:80", &length, &port));
	assert_int_equal(length, 5);
	assert_int_equal(port, 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_comparisons),
		cmocka_unit_test(test_copy_is_cut_and_terminated),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_parse_duration),
		cmocka_unit_test(test_format_duration),
		cmocka_unit_test(test_format_size),
		cmocka_unit_test(test_glob),
		cmocka_unit_test(test_glob_bounds),
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_host_and_port),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
