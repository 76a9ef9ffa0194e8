#include "tests/support/support.h"

#include "server/oci/media_type.h"

#include <string.h>

static const char *parsed(const char *value)
{
	static char type[256];

	return media_type_parse(value, type, sizeof(type)) ? type : NULL;
}

static void reads_the_type_alone(void **state)
{
	(void)state;
	assert_string_equal(parsed(MEDIA_OCI_INDEX), MEDIA_OCI_INDEX);
	assert_string_equal(parsed("Application/JSON; charset=utf-8"), "application/json");
	assert_string_equal(parsed("  text/plain \t;x"), "text/plain");
	assert_string_equal(parsed("text/plain  "), "text/plain");
}

static void refuses_what_is_no_type(void **state)
{
	static const char *const bad[] = {
		"",
		"text",
		"text/",
		"/plain",
		"text//plain",
		"te xt/plain",
		"text/plain x",
		"text/pl\xc3\xa9",
		"*/*",
		"text/plain, text/html",
		"text/\"plain\"",
		"text /plain",
		"text/plain\r\nX: y",
		"-a/b",
		"a/+b",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parsed(bad[i]))
			fail_msg("accepted \"%s\"", bad[i]);
}

static void keeps_to_its_bounds(void **state)
{
	char target[11] = "before";
	char long_name[200];

	(void)state;
	assert_true(media_type_parse("text/plain", target, 11));
	assert_string_equal(target, "text/plain");
	assert_false(media_type_parse("text/plain2", target, 11));
	assert_false(media_type_parse("text/html", target, 9));
	assert_string_equal(target, "text/plain");

	memset(long_name, 'a', sizeof(long_name));
	long_name[1] = '/';
	long_name[2 + 127] = '\0';
	assert_non_null(parsed(long_name));
	long_name[2 + 127] = 'a';
	long_name[2 + 128] = '\0';
	assert_null(parsed(long_name));
}

static void knows_the_special_ones(void **state)
{
	(void)state;
	assert_true(media_type_is_index(MEDIA_OCI_INDEX));
	assert_true(media_type_is_index(MEDIA_DOCKER_LIST));
	assert_false(media_type_is_index(MEDIA_OCI_MANIFEST));
	assert_false(media_type_is_index(MEDIA_DOCKER_MANIFEST));
	assert_true(media_type_is_schema1(MEDIA_DOCKER_SCHEMA1));
	assert_true(media_type_is_schema1(MEDIA_DOCKER_SCHEMA1_SIGNED));
	assert_false(media_type_is_schema1(MEDIA_DOCKER_MANIFEST));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_type_alone),
		cmocka_unit_test(refuses_what_is_no_type),
		cmocka_unit_test(keeps_to_its_bounds),
		cmocka_unit_test(knows_the_special_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
