#include "server/registry/failure.h"
#include "tests/support/support.h"

#include <string.h>

static struct api_failure failure_of(enum status status, struct error error)
{
	struct api_failure failure = {0};

	error.code = status;
	assert_false(failure_from_error(&failure, status, &error, API_BLOB_UNKNOWN));
	return failure;
}

static struct api_failure plain(enum status status)
{
	return failure_of(status, (struct error){.message = "why"});
}

/* Clients go on to their next host on each of these. */
static void every_outcome_has_its_status(void **state)
{
	static const struct {
		enum status status;
		int http_status;
		enum api_code code;
	} outcomes[] = {
		{BW_ABSENT, 404, API_BLOB_UNKNOWN},     {BW_DENIED, 403, API_DENIED},
		{BW_UNAVAILABLE, 503, API_UNAVAILABLE}, {BW_UNREACHABLE, 502, API_UNAVAILABLE},
		{BW_TIMEOUT, 504, API_UNAVAILABLE},     {BW_CORRUPT, 502, API_UNAVAILABLE},
		{BW_TOO_LARGE, 502, API_SIZE_INVALID},  {BW_NO_SPACE, 503, API_UNAVAILABLE},
		{BW_IO, 503, API_UNAVAILABLE},          {BW_CANCELLED, 503, API_UNAVAILABLE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		struct api_failure failure = plain(outcomes[i].status);

		assert_int_equal(failure.http_status, outcomes[i].http_status);
		assert_int_equal(failure.code, outcomes[i].code);
		assert_string_equal(failure.message, "why");
	}
}

/* A transport failure, or a trouble of ours, never looks like absence. */
static void only_absence_is_a_404(void **state)
{
	(void)state;
	for (int status = BW_OK; status <= BW_INTERNAL; status++) {
		struct api_failure failure = plain((enum status)status);

		assert_true(failure.http_status >= 400 && failure.http_status <= 504);
		assert_int_not_equal(failure.http_status, 429);
		assert_int_not_equal(failure.http_status, 401);
		if (status != BW_ABSENT)
			assert_int_not_equal(failure.http_status, 404);
	}
	assert_int_equal(plain((enum status)999).http_status, 500);
}

/* containerd repeats a 429 five times at once. */
static void a_429_is_not_relayed(void **state)
{
	struct api_failure failure;

	(void)state;
	failure =
		failure_of(BW_UNAVAILABLE,
			   (struct error){.http_status = 429, .retry_after = 57, .message = "why"});
	assert_int_equal(failure.http_status, 503);
	assert_int_equal(failure.code, API_TOOMANYREQUESTS);
	assert_int_equal(failure.retry_after, 57);
}

static void a_503_always_says_when(void **state)
{
	(void)state;
	assert_true(plain(BW_UNAVAILABLE).retry_after > 0);
	assert_true(plain(BW_IO).retry_after > 0);
	assert_int_equal(failure_of(BW_UNREACHABLE, (struct error){.retry_after = 9}).retry_after,
			 0);
	assert_int_equal(failure_of(BW_ABSENT, (struct error){.retry_after = 9}).retry_after, 0);
}

static void there_is_always_a_sentence(void **state)
{
	struct error longest = {0};

	(void)state;
	assert_string_equal(failure_of(BW_TIMEOUT, (struct error){0}).message, "timeout");
	memset(longest.message, 'x', sizeof(longest.message) - 1);
	assert_string_equal(failure_of(BW_TIMEOUT, longest).message, longest.message);
}

/* With no upstream to blame, a 502 or 504 would point to the wrong place. */
static void our_own_stores_are_unavailable(void **state)
{
	const struct error error = {.message = "why"};
	struct api_failure failure;

	(void)state;
	for (int status = BW_ABSENT; status <= BW_INTERNAL; status++) {
		assert_false(failure_from_stores(&failure, (enum status)status, &error,
						 API_BLOB_UNKNOWN));
		if (status == BW_ABSENT) {
			assert_int_equal(failure.http_status, 404);
			assert_int_equal(failure.code, API_BLOB_UNKNOWN);
		} else if (status != BW_INTERNAL && status != BW_CONFLICT) {
			assert_int_equal(failure.http_status, 503);
			assert_int_equal(failure.code, API_UNAVAILABLE);
			assert_true(failure.retry_after > 0);
		} else {
			assert_int_equal(failure.http_status, 500);
		}
		assert_string_equal(failure.message, "why");
	}
}

static void a_body_that_cannot_be_read_is_the_clients_fault(void **state)
{
	static const struct {
		enum status status;
		int http_status;
	} outcomes[] = {
		{BW_CANCELLED, 408}, {BW_TIMEOUT, 408},  {BW_INVALID, 400},
		{BW_TOO_LARGE, 413}, {BW_INTERNAL, 500},
	};
	const struct error error = {.message = "why"};
	struct api_failure failure;

	(void)state;
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		assert_false(failure_from_body(&failure, outcomes[i].status, &error));
		assert_int_equal(failure.http_status, outcomes[i].http_status);
		assert_int_equal(failure.retry_after, 0);
		assert_string_equal(failure.message, "why");
	}
}

static void a_failure_of_ones_own_is_cut_not_overrun(void **state)
{
	struct api_failure failure;
	char longest[2000];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_false(failure_set(&failure, 400, API_NAME_INVALID, "%s", longest));
	assert_int_equal(failure.http_status, 400);
	assert_int_equal(failure.code, API_NAME_INVALID);
	assert_int_equal(failure.retry_after, 0);
	assert_int_equal(strlen(failure.message), sizeof(failure.message) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_outcome_has_its_status),
		cmocka_unit_test(only_absence_is_a_404),
		cmocka_unit_test(a_429_is_not_relayed),
		cmocka_unit_test(a_503_always_says_when),
		cmocka_unit_test(there_is_always_a_sentence),
		cmocka_unit_test(our_own_stores_are_unavailable),
		cmocka_unit_test(a_body_that_cannot_be_read_is_the_clients_fault),
		cmocka_unit_test(a_failure_of_ones_own_is_cut_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
