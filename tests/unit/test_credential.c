/* A wrong password must not lock an account, nor a good one be held back. */
#include "server/upstream/credential.h"

#include "server/base/memory.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>

#define ORIGIN "https://auth.example:443"

static struct credential_config robot = {.name = (char[]){"robot"},
					 .username = (char[]){"acme"},
					 .password = (char[]){"pa:ss word"}};
static struct credential_config other = {
	.name = (char[]){"robot"}, .username = (char[]){"acme"}, .password = (char[]){"new"}};

static struct credential_config shifted = {.name = (char[]){"robota"},
					   .username = (char[]){"cme"},
					   .password = (char[]){"pa:ss word"}};

static int start(void **state)
{
	*state = login_memory_new();
	return 0;
}

static int end(void **state)
{
	login_memory_free(*state);
	return 0;
}

static enum status try(struct login_memory *memory, const struct credential_config *credential,
		       enum login_outcome outcome)
{
	enum status status = login_begin(memory, ORIGIN, credential, deadline_in(0), NULL);

	if (status == BW_OK)
		login_end(memory, ORIGIN, credential, outcome);
	return status;
}

static void basic_is_name_and_password_in_base64(void **state)
{
	char *value = credential_basic(&robot);

	(void)state;
	assert_string_equal(value, "Basic YWNtZTpwYTpzcyB3b3Jk");
	secret_free(value);
	secret_free(NULL);
	assert_string_equal(credential_name(&robot), "robot");
	assert_string_equal(credential_name(NULL), "anonymous");
}

static void fingerprints_differ_when_anything_does(void **state)
{
	static const char *const ab_c[] = {"ab", "c"};
	static const char *const a_bc[] = {"a", "bc"};
	char one[FINGERPRINT_SIZE], two[FINGERPRINT_SIZE];

	(void)state;
	credential_fingerprint(&robot, ab_c, 2, one);
	credential_fingerprint(&robot, ab_c, 2, two);
	assert_string_equal(one, two);
	credential_fingerprint(&robot, a_bc, 2, two);
	assert_string_not_equal(one, two);
	credential_fingerprint(&other, ab_c, 2, two);
	assert_string_not_equal(one, two);
	credential_fingerprint(&shifted, ab_c, 2, two);
	assert_string_not_equal(one, two);
	credential_fingerprint(NULL, ab_c, 2, two);
	assert_string_not_equal(one, two);
}

static void a_refused_login_is_not_tried_again(void **state)
{
	struct login_memory *memory = *state;
	struct error error = {0};

	assert_int_equal(try(memory, &robot, LOGIN_REFUSED), BW_OK);
	assert_int_equal(login_begin(memory, ORIGIN, &robot, DEADLINE_NEVER, &error), BW_DENIED);
	assert_non_null(strstr(error.message, "\"robot\""));
	assert_non_null(strstr(error.message, ORIGIN));
	assert_null(strstr(error.message, robot.password));
	assert_in_range(error.retry_after, 59, 60);
}

static void a_rotated_password_starts_anew(void **state)
{
	assert_int_equal(try(*state, &robot, LOGIN_REFUSED), BW_OK);
	assert_int_equal(try(*state, &other, LOGIN_ACCEPTED), BW_OK);
	assert_int_equal(try(*state, &robot, LOGIN_ACCEPTED), BW_DENIED);
}

static void another_service_has_its_own_memory(void **state)
{
	struct login_memory *memory = *state;

	assert_int_equal(try(memory, &robot, LOGIN_REFUSED), BW_OK);
	assert_int_equal(login_begin(memory, "https://b:443", &robot, deadline_in(0), NULL), BW_OK);
}

static void a_good_credential_survives_a_few_refusals(void **state)
{
	assert_int_equal(try(*state, &robot, LOGIN_ACCEPTED), BW_OK);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(try(*state, &robot, LOGIN_REFUSED), BW_OK);
		assert_int_equal(try(*state, &robot, LOGIN_ACCEPTED), BW_OK);
	}
	for (unsigned i = 0; i < LOGIN_FAILURES; i++)
		assert_int_equal(try(*state, &robot, LOGIN_REFUSED), BW_OK);
	assert_int_equal(try(*state, &robot, LOGIN_REFUSED), BW_DENIED);
}

static void no_answer_proves_nothing(void **state)
{
	assert_int_equal(try(*state, &robot, LOGIN_UNKNOWN), BW_OK);
	assert_int_equal(try(*state, &robot, LOGIN_REFUSED), BW_OK);
	assert_int_equal(try(*state, &robot, LOGIN_REFUSED), BW_DENIED);
}

static void an_unproven_credential_is_tried_by_one(void **state)
{
	struct login_memory *memory = *state;

	assert_int_equal(login_begin(memory, ORIGIN, &robot, deadline_in(0), NULL), BW_OK);
	assert_int_equal(login_begin(memory, ORIGIN, &robot, deadline_in(10), NULL), BW_TIMEOUT);
	assert_int_equal(login_begin(memory, ORIGIN, &other, deadline_in(0), NULL), BW_OK);
	login_end(memory, ORIGIN, &robot, LOGIN_ACCEPTED);
	assert_int_equal(login_begin(memory, ORIGIN, &robot, deadline_in(0), NULL), BW_OK);
	assert_int_equal(login_begin(memory, ORIGIN, &robot, deadline_in(0), NULL), BW_OK);
}

static void the_memory_is_bounded(void **state)
{
	struct login_memory *memory = *state;
	char origin[32];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(origin, sizeof(origin), "https://a%u:443", i);
		assert_int_equal(login_begin(memory, origin, &robot, deadline_in(0), NULL), BW_OK);
		if (i % 10)
			login_end(memory, origin, &robot, LOGIN_REFUSED);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(basic_is_name_and_password_in_base64),
		cmocka_unit_test(fingerprints_differ_when_anything_does),
		CASE(a_refused_login_is_not_tried_again),
		CASE(a_rotated_password_starts_anew),
		CASE(another_service_has_its_own_memory),
		CASE(a_good_credential_survives_a_few_refusals),
		CASE(no_answer_proves_nothing),
		CASE(an_unproven_credential_is_tried_by_one),
		CASE(the_memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
