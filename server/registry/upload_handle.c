#include "server/registry/upload_handle.h"

#include "server/base/str.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <stdio.h>
#include <string.h>

#define ID_BYTES ((UPLOAD_ID_SIZE - 1) / 2)
#define MAC_BYTES 20

void upload_id_make(char id[UPLOAD_ID_SIZE])
{
	unsigned char bytes[ID_BYTES];

	random_bytes(bytes, sizeof(bytes));
	str_hex(bytes, sizeof(bytes), id);
}

bool upload_id_valid(const char *id)
{
	unsigned char bytes[ID_BYTES];

	return strlen(id) == UPLOAD_ID_SIZE - 1 && str_unhex(id, UPLOAD_ID_SIZE - 1, bytes);
}

static void mix_number(struct hmac_sha256_ctx *hmac, uint64_t number)
{
	unsigned char bytes[8];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(number >> (56 - 8 * i));
	hmac_sha256_update(hmac, sizeof(bytes), bytes);
}

/* With its length before it, so that no two lists of texts mix to the same. */
static void mix_text(struct hmac_sha256_ctx *hmac, const char *text)
{
	size_t length = strlen(text);

	mix_number(hmac, length);
	hmac_sha256_update(hmac, length, (const uint8_t *)text);
}

void upload_token_make(const struct upload_binding *binding, uint64_t offset,
		       char token[UPLOAD_TOKEN_SIZE])
{
	struct hmac_sha256_ctx hmac;
	unsigned char mac[MAC_BYTES];
	char hex[2 * MAC_BYTES + 1];

	hmac_sha256_set_key(&hmac, UPLOAD_SECRET_SIZE, binding->secret);
	mix_text(&hmac, binding->id);
	mix_text(&hmac, binding->repository);
	mix_text(&hmac, binding->caller);
	mix_number(&hmac, offset);
	hmac_sha256_digest(&hmac, sizeof(mac), mac);
	str_hex(mac, sizeof(mac), hex);
	snprintf(token, UPLOAD_TOKEN_SIZE, "%llu.%s", (unsigned long long)offset, hex);
}

bool upload_token_check(const struct upload_binding *binding, const char *token,
			uint64_t *ret_offset)
{
	const char *dot = strchr(token, '.');
	char right[UPLOAD_TOKEN_SIZE];
	uint64_t offset;

	if (!dot || !str_parse_u64(token, (size_t)(dot - token), &offset) || offset > INT64_MAX)
		return false;
	upload_token_make(binding, offset, right);
	if (strlen(token) != strlen(right) || !memeql_sec(token, right, strlen(right)))
		return false;
	*ret_offset = offset;
	return true;
}
