#include "server/upstream/content_range.h"

#include "server/base/memory.h"
#include "tests/support/support.h"

static void ranges_are_read(void **state)
{
	struct content_range range;

	(void)state;
	assert_true(content_range_parse("bytes 5-9/10", &range));
	assert_int_equal(range.first, 5);
	assert_int_equal(range.last, 9);
	assert_true(range.has_total);
	assert_int_equal(range.total, 10);
	assert_true(content_range_parse("Bytes 0-0/*", &range));
	assert_false(range.has_total);
}

static void what_is_no_range(void **state)
{
	static const char *const values[] = {
		"",
		"bytes",
		"bytes ",
		"bytes 5",
		"bytes 5-",
		"bytes 5-9",
		"bytes 5-9/",
		"bytes -9/10",
		"bytes 9-5/10",
		"bytes 5-10/10",
		"bytes */10",
		"bytes 5-9/10 ",
		"bytes 5-9/10,11",
		"bytes 5-9/-1",
		"bytes=5-9/10",
		"lines 5-9/10",
		"bytes 5-99999999999999999999999/*",
		"bytes +5-9/10",
	};
	struct content_range range = {.first = 7};

	(void)state;
	for (size_t i = 0; i < array_size(values); i++) {
		if (content_range_parse(values[i], &range))
			fail_msg("\"%s\" is taken for a range", values[i]);
	}
	assert_int_equal(range.first, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_read),
		cmocka_unit_test(what_is_no_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
