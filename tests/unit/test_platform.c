#include "server/cli/platform.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define HEX "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char index_text[] =
	"{\"schemaVersion\":2,\"manifests\":["
	"{\"digest\":\"sha256:1" HEX
	"\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
	"{\"digest\":\"sha256:2" HEX "\",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\","
	"\"variant\":\"v6\"}},"
	"{\"digest\":\"sha256:3" HEX "\",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\","
	"\"variant\":\"v7\"}},"
	"{\"digest\":\"sha256:4" HEX "\",\"platform\":{\"os\":\"unknown\","
	"\"architecture\":\"unknown\"}},"
	"{\"digest\":\"sha256:5" HEX "\"}]}";

/* Which ones are chosen, by the digits their digests begin with. */
static void assert_chosen(const char *platform_text, const char *digits)
{
	struct platform platform;
	struct digest *digests;
	struct error error = {0};
	size_t count;

	assert_int_equal(platform_parse(platform_text, &platform, &error), BW_OK);
	assert_int_equal(platform_choose(&platform, index_text, strlen(index_text), &digests,
					 &count, &error),
			 BW_OK);
	assert_int_equal(count, strlen(digits));
	for (size_t i = 0; i < count; i++) {
		char text[DIGEST_TEXT_SIZE];

		digest_format(&digests[i], text);
		assert_int_equal(text[strlen("sha256:")], digits[i]);
	}
	free(digests);
}

static void chooses_by_platform(void **state)
{
	(void)state;
	assert_chosen("linux/amd64", "1");
	assert_chosen("linux/arm", "23");
	assert_chosen("linux/arm/v7", "3");
	assert_chosen("all", "12345");
}

static void lists_what_there_is(void **state)
{
	struct platform platform;
	struct digest *digests;
	struct error error = {0};
	size_t count;

	(void)state;
	assert_int_equal(platform_parse("windows/amd64", &platform, &error), BW_OK);
	assert_int_equal(platform_choose(&platform, index_text, strlen(index_text), &digests,
					 &count, &error),
			 BW_ABSENT);
	assert_non_null(strstr(error.message, "windows/amd64"));
	assert_non_null(strstr(error.message, "linux/amd64, linux/arm"));
	assert_int_equal(
		platform_choose(&platform, "{\"manifests\":7}", 15, &digests, &count, &error),
		BW_ABSENT);
	assert_int_equal(platform_choose(&platform, "[", 1, &digests, &count, &error), BW_INVALID);
}

static void is_linux_here_by_default(void **state)
{
	struct platform platform;
	struct error error = {0};

	(void)state;
	assert_int_equal(platform_parse(NULL, &platform, &error), BW_OK);
	assert_string_equal(platform.os, "linux");
	assert_true(platform.architecture[0]);
	assert_string_not_equal(platform.architecture, "x86_64");
}

static void refuses_the_rest(void **state)
{
	static const char *const texts[] = {
		"",        "linux", "linux/", "/amd64",
		"a/b/c/d", "a/b/",  "a//c",   "linux/0123456789012345678901234567890123"};
	struct platform platform;
	struct error error = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(platform_parse(texts[i], &platform, &error), BW_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chooses_by_platform),
		cmocka_unit_test(lists_what_there_is),
		cmocka_unit_test(is_linux_here_by_default),
		cmocka_unit_test(refuses_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
