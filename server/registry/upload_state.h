/*
 * What is remembered of an upload between its requests, as bytes for the index
 * (backends/metadata_store.h, upload_entry). Any process reads what another one
 * wrote, so the form is fixed: numbers are big-endian.
 *
 *     1  version: 1, or 2 with a tail behind the parts
 *    16  secret
 *     8  offset: bytes so far
 *     1  algorithm of the running digest: 1 sha256, 2 sha512
 *   8*n  its chaining state, words of 4 or 8 bytes
 *   ...  the offset % block bytes that wait for their block to be full
 *     4  how many parts
 *          8  size   1  length of the name   ...  name
 *     4  length of the tail   ...  tail
 *
 * The tail is what came last and is no part yet. A blob that is small costs an object
 * store one request under its digest that way, instead of a part and what makes a blob
 * of it; and chunks of a few bytes become parts of more than UPLOAD_TAIL_MAX. Without
 * a tail version 1 is written, which is what programs before version 2 read.
 */
#ifndef REGISTRY_UPLOAD_STATE_H
#define REGISTRY_UPLOAD_STATE_H

#include "backends/object_store.h"
#include "server/base/digest.h"

struct buf;

#define UPLOAD_SECRET_SIZE 16
#define UPLOAD_PARTS_MAX 10000
/* The index holds it, in memory where that is Redis, and writes it anew with each
 * request: enough for configs and signatures, which are most of what is pushed. */
#define UPLOAD_TAIL_MAX ((size_t)64 << 10)

struct upload_state {
	unsigned char secret[UPLOAD_SECRET_SIZE]; /* of the session's tokens */
	struct hasher hasher; /* of all bytes so far; its length is the offset */
	struct object_part *parts; /* owned; in order */
	size_t part_count;
	char *tail; /* owned; what comes after the parts */
	size_t tail_length; /* at most UPLOAD_TAIL_MAX */
};

/* A session that begins, with a secret of its own. */
void upload_state_init(struct upload_state *state, enum digest_algorithm algorithm);
void upload_state_release(struct upload_state *state);

/* One more part, that begins with the tail; `hasher` has seen all its bytes. */
void upload_state_append(struct upload_state *state, const struct object_part *part,
			 const struct hasher *hasher);

/* These bytes are the tail from now on, the old one at their beginning; `hasher` has
 * seen them. Takes *tail over. */
void upload_state_hold(struct upload_state *state, char **tail, size_t length,
		       const struct hasher *hasher);

void upload_state_write(const struct upload_state *state, struct buf *buf);

/* BW_OK: the caller releases *ret. BW_INVALID for whatever upload_state_write does
 * not write: another version, a name that is no part's, an empty part, sizes that
 * do not add up to the offset, more than UPLOAD_PARTS_MAX parts, bytes too few or
 * left over. */
enum status upload_state_parse(const char *bytes, size_t length, struct upload_state *ret,
			       struct error *error);

#endif
