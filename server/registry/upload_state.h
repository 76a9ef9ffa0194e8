/*
 * What is remembered of an upload between its requests, as bytes for the index
 * (backends/metadata_store.h, upload_entry). Any process reads what another one
 * wrote, so the form is fixed: numbers are big-endian.
 *
 *     1  version (1)
 *    16  secret
 *     8  offset: bytes so far
 *     1  algorithm of the running digest: 1 sha256, 2 sha512
 *   8*n  its chaining state, words of 4 or 8 bytes
 *   ...  the offset % block bytes that wait for their block to be full
 *     4  how many parts
 *          8  size   1  length of the name   ...  name
 */
#ifndef REGISTRY_UPLOAD_STATE_H
#define REGISTRY_UPLOAD_STATE_H

#include "backends/object_store.h"
#include "server/base/digest.h"

struct buf;

#define UPLOAD_SECRET_SIZE 16
#define UPLOAD_PARTS_MAX 10000

struct upload_state {
	unsigned char secret[UPLOAD_SECRET_SIZE]; /* of the session's tokens */
	struct hasher hasher; /* of all bytes so far; its length is the offset */
	struct object_part *parts; /* owned; in order */
	size_t part_count;
};

/* A session that begins, with a secret of its own. */
void upload_state_init(struct upload_state *state, enum digest_algorithm algorithm);
void upload_state_release(struct upload_state *state);

/* One more part; `hasher` has seen its bytes. */
void upload_state_append(struct upload_state *state, const struct object_part *part,
			 const struct hasher *hasher);

void upload_state_write(const struct upload_state *state, struct buf *buf);

/* BW_OK: the caller releases *ret. BW_INVALID for whatever upload_state_write does
 * not write: another version, a name that is no part's, an empty part, sizes that
 * do not add up to the offset, more than UPLOAD_PARTS_MAX parts, bytes too few or
 * left over. */
enum status upload_state_parse(const char *bytes, size_t length, struct upload_state *ret,
			       struct error *error);

#endif
