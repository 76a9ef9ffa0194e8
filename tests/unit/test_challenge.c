#include "server/upstream/challenge.h"

#include "server/base/memory.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

/* Parses a copy without a NUL after it, so that a sanitizer sees a read too far. */
static bool parse(const char *value, struct challenge *challenge)
{
	size_t length = strlen(value);
	char *copy = xmemdup(value, length);
	bool ok = challenge_parse(copy, length, challenge);

	free(copy);
	return ok;
}

static void bearer_as_docker_hub_says_it(void **state)
{
	struct challenge challenge = {0};

	(void)state;
	assert_true(parse("Bearer realm=\"https://auth.docker.io/token\","
			  "service=\"registry.docker.io\","
			  "scope=\"repository:library/alpine:pull\"",
			  &challenge));
	assert_int_equal(challenge.scheme, CHALLENGE_BEARER);
	assert_string_equal(challenge.realm, "https://auth.docker.io/token");
	assert_string_equal(challenge.service, "registry.docker.io");
	assert_string_equal(challenge.scope, "repository:library/alpine:pull");
	assert_string_equal(challenge.error, "");
}

static void spacing_case_and_quoting_vary(void **state)
{
	struct challenge challenge = {0};

	(void)state;
	assert_true(parse("  bEARER  REALM = \"https://a/\\\"t\" ,\t, Service=plain , "
			  "charset=utf-8, error=\"insufficient_scope\"  ",
			  &challenge));
	assert_string_equal(challenge.realm, "https://a/\"t");
	assert_string_equal(challenge.service, "plain");
	assert_string_equal(challenge.error, "insufficient_scope");
	assert_string_equal(challenge.scope, "");
}

static void bearer_is_better_than_basic_wherever_it_stands(void **state)
{
	static const char *const lines[] = {
		"Basic realm=\"r\", Bearer realm=\"https://a/t\"",
		"Bearer realm=\"https://a/t\", Basic realm=\"r\"",
		"Negotiate, Basic realm=\"r\", Bearer realm=\"https://a/t\"",
		"Negotiate YIIabc+/==, Bearer realm=\"https://a/t\"",
		"NTLM, Digest qop=\"auth,int\", nonce=x, Bearer realm=\"https://a/t\"",
	};

	(void)state;
	for (size_t i = 0; i < array_size(lines); i++) {
		struct challenge challenge = {0};

		assert_true(parse(lines[i], &challenge));
		assert_int_equal(challenge.scheme, CHALLENGE_BEARER);
		assert_string_equal(challenge.realm, "https://a/t");
	}
}

static void several_lines_add_up_to_the_best(void **state)
{
	struct challenge challenge = {0};

	(void)state;
	assert_true(parse("Basic realm=\"r\"", &challenge));
	assert_int_equal(challenge.scheme, CHALLENGE_BASIC);
	assert_false(parse("Bearer realm=\"cut off", &challenge));
	assert_int_equal(challenge.scheme, CHALLENGE_BASIC);
	assert_true(parse("Bearer realm=\"https://a/t\"", &challenge));
	assert_true(parse("Bearer realm=\"https://second/t\"", &challenge));
	assert_true(parse("Basic realm=\"r\"", &challenge));
	assert_int_equal(challenge.scheme, CHALLENGE_BEARER);
	assert_string_equal(challenge.realm, "https://a/t");
}

static void schemes_nobody_knows_are_no_challenge(void **state)
{
	static const char *const lines[] = {"",
					    " , ,",
					    "Negotiate",
					    "Digest realm=\"x\", nonce=\"y\"",
					    "Bearer",
					    "Bearer service=\"no realm\"",
					    "Bearer realm="};

	(void)state;
	for (size_t i = 0; i < array_size(lines); i++) {
		struct challenge challenge = {0};

		assert_true(parse(lines[i], &challenge));
		assert_int_equal(challenge.scheme, CHALLENGE_NONE);
	}
}

static void malformed_lines_leave_nothing_behind(void **state)
{
	static const char *const lines[] = {
		"Bearer realm=\"https://a/t",
		"Bearer realm=\"https://a/t\\",
		"Bearer realm=\"https://a/t\" service=\"no comma\"",
		"Bearer realm=\"https://a/t\",realm=\"https://evil/t\"",
		"Bearer realm=\"https://a/\tt\"",
		"Bearer realm=\"https://a/\x01t\"",
		"Bearer realm=\"https://a/\r\nt\"",
		"Bearer realm=https://a/t",
		"Bearer realm=\"x\",=\"y\"",
		"Bearer realm=,service=x",
		"Bearer realm=\"x\";service=\"y\"",
		"=\"x\"",
		"\"Bearer\" realm=\"x\"",
		"Bearer=realm",
		"Basic realm=\"ok\", Bearer realm=\"open",
		"Basic realm=\"ok\", \x80",
	};

	(void)state;
	for (size_t i = 0; i < array_size(lines); i++) {
		struct challenge challenge = {0};
		static const struct challenge none;

		if (parse(lines[i], &challenge))
			fail_msg("\"%s\" was taken for well-formed", lines[i]);
		assert_memory_equal(&challenge, &none, sizeof(none));
	}
}

static void a_value_has_a_longest_length(void **state)
{
	char line[CHALLENGE_VALUE_MAX + 64];
	struct challenge challenge = {0};
	size_t prefix = strlen("Bearer realm=\"");

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "Bearer realm=\"", prefix);
	line[prefix + CHALLENGE_VALUE_MAX - 1] = '"';
	line[prefix + CHALLENGE_VALUE_MAX] = '\0';
	assert_true(parse(line, &challenge));
	assert_int_equal(strlen(challenge.realm), CHALLENGE_VALUE_MAX - 1);

	line[prefix + CHALLENGE_VALUE_MAX - 1] = 'x';
	line[prefix + CHALLENGE_VALUE_MAX] = '"';
	line[prefix + CHALLENGE_VALUE_MAX + 1] = '\0';
	assert_false(parse(line, &challenge));
	assert_false(challenge_parse("Bearer a=\"\0\"", 12, &challenge));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bearer_as_docker_hub_says_it),
		cmocka_unit_test(spacing_case_and_quoting_vary),
		cmocka_unit_test(bearer_is_better_than_basic_wherever_it_stands),
		cmocka_unit_test(several_lines_add_up_to_the_best),
		cmocka_unit_test(schemes_nobody_knows_are_no_challenge),
		cmocka_unit_test(malformed_lines_leave_nothing_behind),
		cmocka_unit_test(a_value_has_a_longest_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
