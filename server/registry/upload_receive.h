/*
 * A request's body on its way into an upload: hashed and written piece by piece, and
 * held as a whole only when it is small. Where it ends up:
 *
 *   held    in memory, when there are few enough bytes
 *   writer  under its digest, when that is known and these are all its bytes; not
 *           visible until somebody has compared the digest and commits it
 *   part    else: a part of the upload
 */
#ifndef REGISTRY_UPLOAD_RECEIVE_H
#define REGISTRY_UPLOAD_RECEIVE_H

#include "backends/object_store.h"
#include "server/base/digest.h"
#include "server/registry/push.h"

/* The most that is ever held. Also large enough that a store's call costs nothing
 * beside hashing what it is given. */
#define RECEIVE_HELD_MAX ((size_t)256 << 10)

struct content;

struct receipt {
	/* from the caller */
	struct content *content;
	const char *upload;
	unsigned part_number;
	const char *before; /* bytes that the body goes on from, hashed already... */
	size_t before_length; /* ...at most UPLOAD_TAIL_MAX */
	size_t hold; /* so many bytes at most are held, with those before */
	const struct digest *whole; /* of `before` and the body; NULL: not known, or not all */
	const char *refusal; /* why no byte may be added, for the client; NULL: it may */
	bool has_expected;
	uint64_t expected; /* bytes, no fewer and no more, when has_expected */
	uint64_t room; /* bytes that may come at most */
	bool keep_torn; /* what came of a body that broke off is kept, too... */
	uint64_t keep_min; /* ...as a part if it has as many bytes */

	struct hasher hasher; /* goes on over the body */

	/* to the caller */
	uint64_t received; /* bytes of the body */
	struct object_part part; /* size 0: there is none */
	char *held; /* NULL: nothing is */
	size_t held_length;
	struct object_writer *writer; /* NULL: there is none */
	bool torn; /* the body broke off, as *failure says; what came was kept */
};

/* True: what came, after what was before, is in one of the three places, or there was
 * nothing at all. False, with *failure: nothing was kept, and `hasher` is of no use any
 * more. A receipt is released in any case. */
bool upload_receive(struct receipt *receipt, struct request_body *body,
		    struct api_failure *failure);

/* Frees what is held, and aborts the writer if it is still there. */
void receipt_release(struct receipt *receipt);

#endif
