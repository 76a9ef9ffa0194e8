/*
 * What is remembered of an upload between its requests, and the handle that names it.
 */
#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/registry/upload_handle.h"
#include "server/registry/upload_state.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum digest_algorithm algorithms[] = {DIGEST_SHA256, DIGEST_SHA512};

static void append(struct upload_state *state, const char *bytes, size_t length, const char *name)
{
	struct object_part part = {.size = length};
	struct hasher hasher = state->hasher;

	hasher_update(&hasher, bytes, length);
	assert_true(str_copy(part.name, sizeof(part.name), name));
	upload_state_append(state, &part, &hasher);
}

static void hold(struct upload_state *state, const char *bytes, size_t length)
{
	char *tail = xmemdup(bytes, length);
	struct hasher hasher = state->hasher;

	hasher_update(&hasher, bytes + state->tail_length, length - state->tail_length);
	upload_state_hold(state, &tail, length, &hasher);
	assert_null(tail);
}

static char *written(const struct upload_state *state, size_t *ret_length)
{
	struct buf buf = BUF_INIT(1 << 20);

	upload_state_write(state, &buf);
	assert_false(buf.overflow);
	return buf_detach(&buf, ret_length);
}

/* Another process reads it and goes on hashing where this one stopped, wherever in
 * a block that is. */
static void a_hash_is_continued_from_any_byte(void **state)
{
	char bytes[600];

	(void)state;
	random_bytes(bytes, sizeof(bytes));
	for (size_t a = 0; a < array_size(algorithms); a++) {
		for (size_t cut = 0; cut <= 300; cut++) {
			struct upload_state first, second;
			struct digest expected, found;
			size_t length;
			char *text;

			upload_state_init(&first, algorithms[a]);
			if (cut > 0)
				append(&first, bytes, cut, "1-x");
			text = written(&first, &length);
			assert_int_equal(upload_state_parse(text, length, &second, NULL), BW_OK);
			assert_int_equal(second.hasher.length, cut);
			assert_memory_equal(second.secret, first.secret, UPLOAD_SECRET_SIZE);
			assert_int_equal(second.part_count, first.part_count);
			hasher_update(&second.hasher, bytes + cut, sizeof(bytes) - cut);
			hasher_finish(&second.hasher, &found);
			digest_of(algorithms[a], bytes, sizeof(bytes), &expected);
			assert_true(digest_equals(&found, &expected));
			upload_state_release(&first);
			upload_state_release(&second);
			free(text);
		}
	}
}

static char *sample(enum digest_algorithm algorithm, size_t *ret_length)
{
	struct upload_state state;
	char bytes[150];
	char *text;

	memset(bytes, 7, sizeof(bytes));
	upload_state_init(&state, algorithm);
	append(&state, bytes, 100, "first");
	append(&state, bytes, 50, "the.second:1");
	text = written(&state, ret_length);
	upload_state_release(&state);
	return text;
}

static void parts_come_back_in_order(void **state)
{
	struct upload_state read;
	size_t length, again_length;
	char *text = sample(DIGEST_SHA512, &length);
	char *again;

	(void)state;
	assert_int_equal(upload_state_parse(text, length, &read, NULL), BW_OK);
	assert_int_equal(read.part_count, 2);
	assert_int_equal(read.parts[0].size, 100);
	assert_string_equal(read.parts[0].name, "first");
	assert_int_equal(read.parts[1].size, 50);
	assert_string_equal(read.parts[1].name, "the.second:1");
	again = written(&read, &again_length);
	assert_int_equal(again_length, length);
	assert_memory_equal(again, text, length);
	upload_state_release(&read);
	free(again);
	free(text);
}

static void assert_refused(const char *bytes, size_t length)
{
	/* exactly as large as it is, so that a read behind it is seen */
	char *copy = xmemdup(bytes, length ? length : 1);
	struct upload_state read = {.part_count = 77};
	struct error error = {0};

	assert_int_equal(upload_state_parse(copy, length, &read, &error), BW_INVALID);
	assert_string_not_equal(error.message, "");
	assert_int_equal(read.part_count, 77);
	free(copy);
}

static char *sample_with_tail(size_t *ret_length)
{
	struct upload_state state;
	char *text;

	upload_state_init(&state, DIGEST_SHA256);
	append(&state, "part", 4, "1-x");
	hold(&state, "ta", 2);
	hold(&state, "tail", 4);
	text = written(&state, ret_length);
	upload_state_release(&state);
	return text;
}

static void a_tail_comes_back_and_becomes_a_part(void **state)
{
	struct upload_state read;
	size_t length, again_length;
	char *text = sample_with_tail(&length);
	char *again;

	(void)state;
	assert_int_equal(text[0], 2);
	assert_int_equal(upload_state_parse(text, length, &read, NULL), BW_OK);
	assert_int_equal(read.hasher.length, 8);
	assert_int_equal(read.part_count, 1);
	assert_int_equal(read.tail_length, 4);
	assert_memory_equal(read.tail, "tail", 4);
	again = written(&read, &again_length);
	assert_int_equal(again_length, length);
	assert_memory_equal(again, text, length);
	free(again);
	append(&read, "more", 4, "2-x");
	read.parts[1].size += 4;
	assert_int_equal(read.tail_length, 0);
	again = written(&read, &again_length);
	assert_int_equal(again[0], 1); /* as programs before tails read it */
	upload_state_release(&read);
	assert_int_equal(upload_state_parse(again, again_length, &read, NULL), BW_OK);
	assert_int_equal(read.part_count, 2);
	assert_int_equal(read.hasher.length, 12);
	upload_state_release(&read);
	free(again);
	free(text);
}

static void assert_tail_refused(size_t length)
{
	struct upload_state state;
	char *bytes = xcalloc(1, length + 1);
	char *text;
	size_t text_length;

	upload_state_init(&state, DIGEST_SHA256);
	hold(&state, bytes, length);
	text = written(&state, &text_length);
	assert_refused(text, text_length);
	upload_state_release(&state);
	free(text);
	free(bytes);
}

static void a_tail_that_is_none_is_refused(void **state)
{
	size_t length;
	char *text = sample_with_tail(&length);

	(void)state;
	for (size_t cut = 0; cut < length; cut++)
		assert_refused(text, cut);
	text[0] = 1;
	assert_refused(text, length);
	text[0] = 2;
	text[length - 5] = 3;
	assert_refused(text, length);
	text[length - 5] = 5;
	assert_refused(text, length);
	free(text);
	assert_tail_refused(UPLOAD_TAIL_MAX + 1);
}

static void bytes_too_few_or_left_over_are_refused(void **state)
{
	(void)state;
	for (size_t a = 0; a < array_size(algorithms); a++) {
		size_t length;
		char *text = sample(algorithms[a], &length);
		char *longer = xcalloc(1, length + 1);

		for (size_t cut = 0; cut < length; cut++)
			assert_refused(text, cut);
		memcpy(longer, text, length);
		assert_refused(longer, length + 1);
		free(longer);
		free(text);
	}
}

static void assert_byte_matters(size_t at, unsigned char value)
{
	size_t length;
	char *text = sample(DIGEST_SHA256, &length);

	assert_true(at < length);
	text[at] = (char)value;
	assert_refused(text, length);
	free(text);
}

static void what_does_not_add_up_is_refused(void **state)
{
	const size_t offset = 17, algorithm = 25, count = 26 + 32 + 150 % 64;
	const size_t first = count + 4;

	(void)state;
	assert_byte_matters(0, 0);
	assert_byte_matters(0, 2);
	assert_byte_matters(0, 3); /* a version to come */
	assert_byte_matters(offset, 0x80); /* over INT64_MAX */
	assert_byte_matters(offset + 7, 151);
	assert_byte_matters(algorithm, 0);
	assert_byte_matters(algorithm, 2);
	assert_byte_matters(algorithm, 3);
	assert_byte_matters(count, 0xff);
	assert_byte_matters(count + 3, 0);
	assert_byte_matters(count + 3, 1);
	assert_byte_matters(count + 3, 3);
	assert_byte_matters(first, 0xff); /* a size that overflows the sum */
	assert_byte_matters(first + 7, 0); /* a part without bytes */
	assert_byte_matters(first + 7, 99);
	assert_byte_matters(first + 8, 0); /* a part without a name */
	assert_byte_matters(first + 8, 0xff);
	assert_byte_matters(first + 9, '"');
	assert_byte_matters(first + 9, '\\');
	assert_byte_matters(first + 9, '\'');
	assert_byte_matters(first + 9, ' ');
	assert_byte_matters(first + 9, 0);
	assert_byte_matters(first + 9, 0x7f);
	assert_byte_matters(first + 9, 0xe4);
}

static void as_many_parts_as_allowed_fit_the_index(void **state)
{
	struct upload_state full, read;
	char name[PART_NAME_SIZE];
	size_t length;
	char *text;
	struct buf buf = BUF_INIT(UPLOAD_STATE_MAX);

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	upload_state_init(&full, DIGEST_SHA512);
	for (unsigned i = 0; i < UPLOAD_PARTS_MAX; i++)
		append(&full, "x", 1, name);
	upload_state_write(&full, &buf);
	assert_false(buf.overflow);
	text = buf_detach(&buf, &length);
	assert_int_equal(upload_state_parse(text, length, &read, NULL), BW_OK);
	assert_int_equal(read.part_count, UPLOAD_PARTS_MAX);
	upload_state_release(&read);
	free(text);
	append(&full, "x", 1, name);
	text = written(&full, &length);
	assert_refused(text, length);
	free(text);
	upload_state_release(&full);
}

/* ---- handles ---- */

static const unsigned char secret[UPLOAD_SECRET_SIZE] = "0123456789abcde";
static const unsigned char other_secret[UPLOAD_SECRET_SIZE] = "0123456789abcdE";
#define ID "00112233445566778899aabbccddeeff"

static void a_token_is_good_for_what_it_was_made_for(void **state)
{
	static const struct upload_binding mine = {secret, ID, "team/app", "ann"};
	static const struct upload_binding others[] = {
		{other_secret, ID, "team/app", "ann"},
		{secret, "10112233445566778899aabbccddeeff", "team/app", "ann"},
		{secret, ID, "team/apq", "ann"},
		{secret, ID, "team/app", "bob"},
		{secret, ID, "team/app", ""},
		/* what is one text to a careless mixer */
		{secret, ID, "team/ap", "pann"},
		{secret, ID, "team/appa", "nn"},
	};
	static const uint64_t offsets[] = {0, 1, 262144, INT64_MAX};

	(void)state;
	for (size_t i = 0; i < array_size(offsets); i++) {
		char token[UPLOAD_TOKEN_SIZE];
		uint64_t offset = 99;

		upload_token_make(&mine, offsets[i], token);
		assert_true(strspn(token, "0123456789abcdef.") == strlen(token));
		assert_true(upload_token_check(&mine, token, &offset));
		assert_int_equal(offset, offsets[i]);
		for (size_t k = 0; k < array_size(others); k++)
			assert_false(upload_token_check(&others[k], token, &offset));
	}
}

static void a_forged_token_is_not_good(void **state)
{
	static const struct upload_binding mine = {secret, ID, "team/app", ""};
	static const char *const odd[] = {
		"", ".", "0", "0.", "-1.ab", "x.", "..", "0..", "99999999999999999999.ab"};
	char token[UPLOAD_TOKEN_SIZE], forged[UPLOAD_TOKEN_SIZE + 8];
	uint64_t offset = 99;

	(void)state;
	for (size_t i = 0; i < array_size(odd); i++)
		assert_false(upload_token_check(&mine, odd[i], &offset));
	upload_token_make(&mine, 42, token);
	for (size_t i = 0; i < strlen(token); i++) {
		snprintf(forged, sizeof(forged), "%s", token);
		forged[i] = forged[i] == '1' ? '2' : '1';
		assert_false(upload_token_check(&mine, forged, &offset));
		forged[i] = '\0';
		assert_false(upload_token_check(&mine, forged, &offset));
	}
	snprintf(forged, sizeof(forged), "0%s", token);
	assert_false(upload_token_check(&mine, forged, &offset));
	snprintf(forged, sizeof(forged), "%s0", token);
	assert_false(upload_token_check(&mine, forged, &offset));
	assert_int_equal(offset, 99);
}

static void ids_are_checked(void **state)
{
	char id[UPLOAD_ID_SIZE], again[UPLOAD_ID_SIZE];

	(void)state;
	upload_id_make(id);
	upload_id_make(again);
	assert_true(upload_id_valid(id) && upload_id_valid(ID));
	assert_string_not_equal(id, again);
	assert_false(upload_id_valid(""));
	assert_false(upload_id_valid("../../../../../../../../etc/passw"));
	assert_false(upload_id_valid("00112233445566778899AABBCCDDEEFF"));
	assert_false(upload_id_valid(ID "0"));
	assert_false(upload_id_valid("0011223344556677"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hash_is_continued_from_any_byte),
		cmocka_unit_test(parts_come_back_in_order),
		cmocka_unit_test(a_tail_comes_back_and_becomes_a_part),
		cmocka_unit_test(a_tail_that_is_none_is_refused),
		cmocka_unit_test(bytes_too_few_or_left_over_are_refused),
		cmocka_unit_test(what_does_not_add_up_is_refused),
		cmocka_unit_test(as_many_parts_as_allowed_fit_the_index),
		cmocka_unit_test(a_token_is_good_for_what_it_was_made_for),
		cmocka_unit_test(a_forged_token_is_not_good),
		cmocka_unit_test(ids_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
