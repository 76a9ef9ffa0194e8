/*
 * WWW-Authenticate of an upstream, as one line and as several.
 */
#include "tests/fuzz/fuzz.h"

#include "server/upstream/challenge.h"

#include <string.h>

static void check_terminated(const struct challenge *challenge)
{
	CHECK(memchr(challenge->realm, '\0', sizeof(challenge->realm)));
	CHECK(memchr(challenge->service, '\0', sizeof(challenge->service)));
	CHECK(memchr(challenge->scope, '\0', sizeof(challenge->scope)));
	CHECK(memchr(challenge->error, '\0', sizeof(challenge->error)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct challenge challenge = {0};
	struct challenge before;

	for (size_t start = 0; start <= size;) {
		const char *end = memchr(text + start, '\n', size - start);
		size_t length = end ? (size_t)(end - text) - start : size - start;

		before = challenge;
		if (!challenge_parse(text + start, length, &challenge))
			CHECK(memcmp(&before, &challenge, sizeof(before)) == 0);
		check_terminated(&challenge);
		/* what was there is only ever replaced by something better */
		CHECK(challenge.scheme >= before.scheme);
		start += length + 1;
	}
	return 0;
}
