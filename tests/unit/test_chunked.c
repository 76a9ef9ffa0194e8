#include "server/http/chunked.h"
#include "tests/support/support.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outcome {
	enum chunked_state state;
	char content[512];
	size_t content_length;
	size_t used;
};

static void feed(struct chunked *chunked, const char *bytes, size_t length, struct outcome *outcome)
{
	/* of its very size, so that a sanitizer sees a byte too far */
	char *copy = malloc(length ? length : 1);
	size_t used, content;

	memcpy(copy, bytes, length);
	chunked_decode(chunked, copy, length, &used, &content);
	assert_true(content <= used && used <= length);
	memcpy(outcome->content + outcome->content_length, copy, content);
	outcome->content_length += content;
	outcome->used += used;
	outcome->state = chunked->state;
	free(copy);
}

/* In two pieces; `cut` may be the whole length. */
static struct outcome decode(const char *text, size_t length, size_t cut)
{
	struct chunked chunked = {0};
	struct outcome outcome = {.used = 0};

	feed(&chunked, text, cut, &outcome);
	if (outcome.state < CHUNKED_DONE)
		feed(&chunked, text + cut, length - cut, &outcome);
	return outcome;
}

static struct outcome decode_bytewise(const char *text, size_t length)
{
	struct chunked chunked = {0};
	struct outcome outcome = {.used = 0};

	for (size_t i = 0; i < length && outcome.state < CHUNKED_DONE; i++)
		feed(&chunked, text + i, 1, &outcome);
	return outcome;
}

static void assert_same(const struct outcome *a, const struct outcome *b, const char *text)
{
	if (a->state != b->state || a->used != b->used || a->content_length != b->content_length ||
	    memcmp(a->content, b->content, a->content_length) != 0)
		fail_msg("\"%s\" depends on how it is cut", text);
}

/* Whole, cut at each byte, and byte by byte: all the same. */
static struct outcome decode_in_every_way(const char *text)
{
	size_t length = strlen(text);
	struct outcome whole = decode(text, length, length);
	struct outcome other = decode_bytewise(text, length);

	assert_same(&whole, &other, text);
	for (size_t cut = 0; cut <= length; cut++) {
		other = decode(text, length, cut);
		assert_same(&whole, &other, text);
	}
	return whole;
}

static void takes_what_is_well_formed(void **state)
{
	static const char *const cases[][2] = {
		{"0\r\n\r\n", ""},
		{"5\r\nhello\r\n0\r\n\r\n", "hello"},
		{"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"},
		{"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
		{"00005\r\nhello\r\n0000\r\n\r\n", "hello"},
		{"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
		{"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"},
		{"5;name=value\r\nhello\r\n0;last\r\n\r\n", "hello"},
		{"5;a=\"q; \t\"\r\nhello\r\n0\r\n\r\n", "hello"},
		{"1\r\nx\r\n0\r\nDigest: abc\r\nX-Empty:\r\n\r\n", "x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome outcome = decode_in_every_way(cases[i][0]);

		if (outcome.state != CHUNKED_DONE)
			fail_msg("\"%s\" does not end", cases[i][0]);
		assert_int_equal(outcome.used, strlen(cases[i][0]));
		assert_int_equal(outcome.content_length, strlen(cases[i][1]));
		assert_memory_equal(outcome.content, cases[i][1], outcome.content_length);
	}
}

static void refuses_what_can_be_read_in_two_ways(void **state)
{
	static const char *const cases[] = {
		"\r\n",
		"\n",
		"x\r\n",
		"-5\r\nhello",
		"+5\r\nhello",
		" 5\r\nhello",
		"5 \r\nhello",
		"5\t;a\r\nhello",
		"0x5\r\nhello",
		"5\nhello",
		"5\rhello",
		"5\r\rhello",
		"5\r\nhello\n",
		"5\r\nhellox",
		"5\r\nhello\r0",
		"5\r\nhello\r\n\r\n",
		"5\r\nhello0\r\n",
		"5;a\nhello",
		"5;a\rb\r\nhello",
		"5;a\x01\r\nhello",
		"5;a\x7f\r\nhello",
		"5,5\r\nhello",
		"0\r\n\n",
		"0\r\nX: y\n\r\n",
		"0\r\n: y\r\n\r\n",
		"0\r\n folded\r\n\r\n",
		"0\r\nno colon\r\n\r\n",
		"0\r\nX : y\r\n\r\n",
		"0\r\nX: a\rb\r\n\r\n",
		"0\r\n\rx",
		"0000000000000005\r\nhello",
		"fffffffffffffffff\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (decode_in_every_way(cases[i]).state != CHUNKED_MALFORMED)
			fail_msg("\"%s\" was taken", cases[i]);
	}
}

static void leaves_what_follows_the_end(void **state)
{
	static const char body[] = "3\r\nabc\r\n0\r\n\r\n";
	static const char both[] = "3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
	struct outcome outcome = decode_in_every_way(both);

	(void)state;
	assert_int_equal(outcome.state, CHUNKED_DONE);
	assert_int_equal(outcome.used, strlen(body));
	assert_int_equal(outcome.content_length, 3);
}

static void takes_the_largest_size_there_is(void **state)
{
	struct chunked chunked = {0};
	struct outcome outcome = {.used = 0};

	(void)state;
	feed(&chunked, "fffffffffffffff\r\nabc", 20, &outcome);
	assert_int_equal(outcome.state, CHUNKED_DATA);
	assert_int_equal(outcome.content_length, 3);
	assert_int_equal(chunked.left, 0xfffffffffffffff - 3);
}

/* Feeds `count` copies of a byte; false when they were too many. */
static bool takes_many(struct chunked *chunked, char byte, size_t count)
{
	struct outcome outcome = {.used = 0};

	for (size_t i = 0; i < count; i++)
		feed(chunked, &byte, 1, &outcome);
	return chunked->state != CHUNKED_MALFORMED;
}

static void an_extension_is_bounded(void **state)
{
	struct outcome outcome = {.used = 0};
	struct chunked chunked = {0};

	(void)state;
	feed(&chunked, "5;", 2, &outcome);
	assert_true(takes_many(&chunked, 'x', CHUNKED_MAX_LINE - 2));
	assert_false(takes_many(&chunked, 'x', 1));
}

static void a_trailer_is_bounded_as_a_whole(void **state)
{
	struct outcome outcome = {.used = 0};
	struct chunked chunked = {0};

	(void)state;
	feed(&chunked, "0\r\n", 3, &outcome);
	for (int i = 0; i < CHUNKED_MAX_TRAILER / 5; i++)
		feed(&chunked, "X:y\r\n", 5, &outcome);
	assert_int_equal(chunked.state, CHUNKED_TRAILER_BEGINS);
	assert_false(takes_many(&chunked, 'X', 5));
}

/* The limits are of one line: many short ones are fine. */
static void there_may_be_many_chunks(void **state)
{
	struct chunked chunked = {0};

	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct outcome outcome = {.used = 0};

		feed(&chunked, "1;e\r\nx\r\n", 8, &outcome);
		assert_int_equal(outcome.state, CHUNKED_SIZE_BEGINS);
		assert_int_equal(outcome.content_length, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_well_formed),
		cmocka_unit_test(refuses_what_can_be_read_in_two_ways),
		cmocka_unit_test(leaves_what_follows_the_end),
		cmocka_unit_test(takes_the_largest_size_there_is),
		cmocka_unit_test(an_extension_is_bounded),
		cmocka_unit_test(a_trailer_is_bounded_as_a_whole),
		cmocka_unit_test(there_may_be_many_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
