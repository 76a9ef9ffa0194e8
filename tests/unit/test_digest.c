#include "tests/support/support.h"

#include "server/base/digest.h"
#include "server/base/memory.h"

#include <string.h>

#define EMPTY_256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_256 "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512 \
	"sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static void check_digest_of(enum digest_algorithm algorithm, const char *bytes,
			    const char *expected)
{
	struct digest digest, parsed;
	char text[DIGEST_TEXT_SIZE];

	digest_of(algorithm, bytes, strlen(bytes), &digest);
	digest_format(&digest, text);
	assert_string_equal(text, expected);
	assert_true(digest_parse(expected, strlen(expected), &parsed));
	assert_true(digest_equals(&digest, &parsed));
	digest_format_hex(&digest, text);
	assert_string_equal(text, expected + strlen("sha256:"));
}

static void test_known_answers(void **state)
{
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	check_digest_of(DIGEST_SHA256, "", EMPTY_256);
	check_digest_of(DIGEST_SHA256, "abc", ABC_256);
	check_digest_of(DIGEST_SHA512, "abc", ABC_512);
	digest_of(DIGEST_SHA256, NULL, 0, &digest);
	digest_format(&digest, text);
	assert_string_equal(text, EMPTY_256);
}

static void test_malformed_digests(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		"sha256",
		"sha256:",
		"sha256:abc",
		ABC_256 "0",
		ABC_256 "00",
		ABC_512 "00",
		" " ABC_256,
		ABC_256 " ",
		"SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
		"sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha384:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256:../../../../../../../../../../../../../../../../../../../../etc/x",
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a/",
		"none:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	};
	struct digest digest = {0};

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++) {
		if (digest_parse(bad[i], strlen(bad[i]), &digest))
			fail_msg("accepted \"%s\"", bad[i]);
	}
	assert_false(digest_parse(ABC_256, strlen(ABC_256) - 1, &digest));
	assert_int_equal(digest.algorithm, DIGEST_NONE);
}

static void test_equality(void **state)
{
	struct digest a, b, none = {0};

	(void)state;
	digest_of(DIGEST_SHA256, "a", 1, &a);
	digest_of(DIGEST_SHA256, "b", 1, &b);
	assert_true(digest_equals(&a, &a));
	assert_false(digest_equals(&a, &b));
	digest_of(DIGEST_SHA512, "a", 1, &b);
	assert_false(digest_equals(&a, &b));
	assert_false(digest_equals(&a, &none));
	assert_true(digest_equals(&none, &none));
}

static void test_pieces_and_copies_continue(void **state)
{
	struct hasher first, copy;
	struct digest whole, digest;

	(void)state;
	digest_of(DIGEST_SHA512, "hello, world", 12, &whole);
	hasher_init(&first, DIGEST_SHA512);
	hasher_update(&first, "hello", 5);
	copy = first;
	hasher_update(&first, "!", 1);
	hasher_update(&copy, NULL, 0);
	hasher_update(&copy, ", world", 7);
	assert_int_equal(copy.length, 12);
	hasher_finish(&copy, &digest);
	assert_true(digest_equals(&digest, &whole));
	hasher_finish(&first, &digest);
	assert_false(digest_equals(&digest, &whole));
}

static void test_finish_starts_anew(void **state)
{
	struct hasher hasher;
	struct digest a, b;

	(void)state;
	hasher_init(&hasher, DIGEST_SHA256);
	hasher_update(&hasher, "abc", 3);
	hasher_finish(&hasher, &a);
	assert_int_equal(hasher.length, 0);
	hasher_update(&hasher, "abc", 3);
	hasher_finish(&hasher, &b);
	assert_true(digest_equals(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_malformed_digests),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_pieces_and_copies_continue),
		cmocka_unit_test(test_finish_starts_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
