#include "server/base/digest.h"

#include "server/base/str.h"

#include <string.h>

static size_t algorithm_bytes(enum digest_algorithm algorithm)
{
	switch (algorithm) {
	case DIGEST_SHA256:
		return SHA256_DIGEST_SIZE;
	case DIGEST_SHA512:
		return SHA512_DIGEST_SIZE;
	case DIGEST_NONE:
		break;
	}
	return 0;
}

const char *digest_algorithm_name(enum digest_algorithm algorithm)
{
	switch (algorithm) {
	case DIGEST_SHA256:
		return "sha256";
	case DIGEST_SHA512:
		return "sha512";
	case DIGEST_NONE:
		break;
	}
	return "none";
}

bool digest_parse(const char *text, size_t length, struct digest *ret)
{
	static const enum digest_algorithm known[] = {DIGEST_SHA256, DIGEST_SHA512};
	const size_t prefix = strlen("sha256:");
	struct digest digest = {0};

	if (length <= prefix || text[prefix - 1] != ':')
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (memcmp(text, digest_algorithm_name(known[i]), prefix - 1) == 0)
			digest.algorithm = known[i];
	}
	if (digest.algorithm == DIGEST_NONE ||
	    length - prefix != 2 * algorithm_bytes(digest.algorithm) ||
	    !str_unhex(text + prefix, length - prefix, digest.bytes))
		return false;
	*ret = digest;
	return true;
}

bool digest_equals(const struct digest *a, const struct digest *b)
{
	return a->algorithm == b->algorithm &&
	       memcmp(a->bytes, b->bytes, algorithm_bytes(a->algorithm)) == 0;
}

void digest_format(const struct digest *digest, char target[DIGEST_TEXT_SIZE])
{
	const char *name = digest_algorithm_name(digest->algorithm);
	size_t length = strlen(name);

	memcpy(target, name, length);
	target[length] = ':';
	str_hex(digest->bytes, algorithm_bytes(digest->algorithm), target + length + 1);
}

void digest_format_hex(const struct digest *digest, char target[DIGEST_TEXT_SIZE])
{
	str_hex(digest->bytes, algorithm_bytes(digest->algorithm), target);
}

void hasher_init(struct hasher *hasher, enum digest_algorithm algorithm)
{
	memset(hasher, 0, sizeof(*hasher));
	hasher->algorithm = algorithm;
	switch (algorithm) {
	case DIGEST_SHA256:
		sha256_init(&hasher->state.sha256);
		break;
	case DIGEST_SHA512:
		sha512_init(&hasher->state.sha512);
		break;
	case DIGEST_NONE:
		break;
	}
}

void hasher_update(struct hasher *hasher, const void *bytes, size_t length)
{
	if (length == 0)
		return; /* nettle hands `bytes` to memcpy, which must not see NULL */
	switch (hasher->algorithm) {
	case DIGEST_SHA256:
		sha256_update(&hasher->state.sha256, length, bytes);
		break;
	case DIGEST_SHA512:
		sha512_update(&hasher->state.sha512, length, bytes);
		break;
	case DIGEST_NONE:
		break;
	}
	hasher->length += length;
}

void hasher_finish(struct hasher *hasher, struct digest *ret)
{
	*ret = (struct digest){.algorithm = hasher->algorithm};
	switch (hasher->algorithm) {
	case DIGEST_SHA256:
		sha256_digest(&hasher->state.sha256, SHA256_DIGEST_SIZE, ret->bytes);
		break;
	case DIGEST_SHA512:
		sha512_digest(&hasher->state.sha512, SHA512_DIGEST_SIZE, ret->bytes);
		break;
	case DIGEST_NONE:
		break;
	}
	hasher_init(hasher, hasher->algorithm);
}

void digest_of(enum digest_algorithm algorithm, const void *bytes, size_t length,
	       struct digest *ret)
{
	struct hasher hasher;

	hasher_init(&hasher, algorithm);
	hasher_update(&hasher, bytes, length);
	hasher_finish(&hasher, ret);
}
