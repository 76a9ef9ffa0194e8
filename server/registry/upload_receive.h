/*
 * A request's body becomes a part of an upload: hashed and written piece by piece,
 * never held as a whole.
 */
#ifndef REGISTRY_UPLOAD_RECEIVE_H
#define REGISTRY_UPLOAD_RECEIVE_H

#include "backends/object_store.h"
#include "server/base/digest.h"
#include "server/registry/push.h"

struct receipt {
	/* from the caller */
	struct object_store *objects;
	const char *upload;
	unsigned part_number;
	const char *refusal; /* why no part may be added, for the client; NULL: it may */
	bool has_expected;
	uint64_t expected; /* bytes, no fewer and no more, when has_expected */
	uint64_t room; /* bytes that may come at most */
	bool keep_torn; /* what came of a body that broke off is a part, too... */
	uint64_t keep_min; /* ...if it has as many bytes */

	struct hasher hasher; /* goes on over the body */

	/* to the caller */
	struct object_part part; /* size 0: there is none, since no byte came */
	bool torn; /* the body broke off, as *failure says; the part was kept */
};

/* True: what came is in `part`. False, with *failure: nothing was kept, and
 * `hasher` is of no use any more. */
bool upload_receive(struct receipt *receipt, struct request_body *body,
		    struct api_failure *failure);

#endif
