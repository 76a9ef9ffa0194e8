/*
 * Digests of content (OCI image-spec, descriptor.md#digests).
 *
 * A `struct digest` is a value and always well-formed: it can only come from
 * digest_parse() or a hasher, so a storage path made of one never holds text
 * that a client or an upstream chose.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum digest_algorithm {
	DIGEST_NONE = 0, /* a zeroed struct digest: no digest */
	DIGEST_SHA256,
	DIGEST_SHA512,
};

#define DIGEST_MAX_BYTES 64
#define DIGEST_TEXT_SIZE 136 /* "sha512:" + 128 hex + NUL */

struct digest {
	enum digest_algorithm algorithm;
	unsigned char bytes[DIGEST_MAX_BYTES]; /* 32 or 64 in use, rest zero */
};

/* Exactly "sha256:" + 64 or "sha512:" + 128 lower-case hex digits. */
bool digest_parse(const char *text, size_t length, struct digest *ret);
bool digest_equals(const struct digest *a, const struct digest *b);
void digest_format(const struct digest *digest, char target[DIGEST_TEXT_SIZE]);
void digest_format_hex(const struct digest *digest, char target[DIGEST_TEXT_SIZE]);
const char *digest_algorithm_name(enum digest_algorithm algorithm); /* "sha256" */

/* A running hash. Plain data: copying it copies the state, which is how a
 * digest is continued by another process. */
struct hasher {
	enum digest_algorithm algorithm;
	uint64_t length; /* bytes so far */
	union {
		struct sha256_ctx sha256;
		struct sha512_ctx sha512;
	} state;
};

void hasher_init(struct hasher *hasher, enum digest_algorithm algorithm);
void hasher_update(struct hasher *hasher, const void *bytes, size_t length);
/* Leaves the hasher as if freshly initialised. */
void hasher_finish(struct hasher *hasher, struct digest *ret);

void digest_of(enum digest_algorithm algorithm, const void *bytes, size_t length,
	       struct digest *ret);

#endif
