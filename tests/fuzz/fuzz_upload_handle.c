/*
 * A token of an upload comes from a client. Whoever does not know the secret has none
 * that is good; what is good is spelt in one way only.
 */
#include "tests/fuzz/fuzz.h"

#include "server/registry/upload_handle.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char secret[UPLOAD_SECRET_SIZE] = "fuzzed, and seen";
	static const unsigned char other[UPLOAD_SECRET_SIZE] = "kept to oneself!";
	struct upload_binding binding = {secret, "00112233445566778899aabbccddeeff", "a", ""};
	struct upload_binding unknown = {other, binding.id, "a", ""};
	char *text = strndup((const char *)data, size);
	char token[UPLOAD_TOKEN_SIZE];
	uint64_t offset = 0;

	if (!text)
		return 0;
	if (upload_id_valid(text))
		CHECK(strlen(text) == UPLOAD_ID_SIZE - 1 && object_upload_valid(text));
	CHECK(!upload_token_check(&unknown, text, &offset));
	if (upload_token_check(&binding, text, &offset)) {
		upload_token_make(&binding, offset, token);
		CHECK(strcmp(token, text) == 0);
	}
	free(text);
	return 0;
}
