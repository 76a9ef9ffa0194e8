/*
 * The chunked coding of a body: however it is cut, it is read in one way, and what
 * is handed out fits into what came.
 *
 * The first byte says how large the pieces are.
 */
#include "tests/fuzz/fuzz.h"

#include "server/http/chunked.h"

#include <string.h>

struct result {
	struct chunked chunked;
	char *content;
	size_t content_length;
	size_t used;
};

static void feed(struct result *result, const uint8_t *data, size_t length)
{
	char *copy = malloc(length);
	size_t used, content;

	CHECK(copy);
	memcpy(copy, data, length);
	chunked_decode(&result->chunked, copy, length, &used, &content);
	CHECK(content <= used && used <= length);
	CHECK(used == length || result->chunked.state >= CHUNKED_DONE);
	memcpy(result->content + result->content_length, copy, content);
	result->content_length += content;
	result->used += used;
	free(copy);
}

static void decode(struct result *result, const uint8_t *data, size_t size, size_t piece)
{
	*result = (struct result){.content = malloc(size)};
	CHECK(result->content);
	for (size_t at = 0; at < size && result->chunked.state < CHUNKED_DONE; at += piece)
		feed(result, data + at, size - at < piece ? size - at : piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole, cut;

	if (size < 2)
		return 0;
	decode(&whole, data + 1, size - 1, size - 1);
	decode(&cut, data + 1, size - 1, 1 + (size_t)data[0]);
	CHECK(whole.chunked.state == cut.chunked.state && whole.used == cut.used);
	CHECK(whole.content_length == cut.content_length);
	CHECK(memcmp(whole.content, cut.content, whole.content_length) == 0);
	free(whole.content);
	free(cut.content);
	return 0;
}
