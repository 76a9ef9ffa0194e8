/*
 * An upload's session as one request sees it: read from the stores, and changed
 * there only if nobody else has changed it meanwhile.
 */
#ifndef REGISTRY_UPLOAD_SESSION_H
#define REGISTRY_UPLOAD_SESSION_H

#include "server/registry/push.h"
#include "server/registry/registry_private.h"
#include "server/registry/upload_receive.h"
#include "server/registry/upload_state.h"

struct session {
	struct registry *registry;
	char id[UPLOAD_ID_SIZE];
	struct upload_entry entry; /* as it was read; its `state` is in `state` */
	struct upload_state state;
	uint64_t handle_offset; /* of the handle it was opened with */
};

/* Makes one and stores it. */
bool session_begin(struct session *session, struct registry *registry, const struct target *target,
		   const char *caller, enum digest_algorithm algorithm,
		   struct api_failure *failure);

/* 404 BLOB_UPLOAD_UNKNOWN, in the same words, for an id that is not there, a session
 * of another repository or caller, a token that is missing or not one of it. */
bool session_open(struct session *session, struct registry *registry, const struct target *target,
		  const struct upload_handle *handle, struct api_failure *failure);
void session_release(struct session *session);

/* What its client may know. */
void session_status(const struct session *session, struct upload_status *ret_status);

/* May these bytes be written now? 416 with *ret_status for another place than the
 * present one, 400 for a Content-Range that does not fit the body. */
bool session_check_place(const struct session *session, const struct chunk_range *range,
			 const struct request_body *body, struct upload_status *ret_status,
			 struct api_failure *failure);

/* What receives the next bytes. It points into the session's state. */
struct receipt session_receipt(const struct session *session, const struct chunk_range *range);

/* The state goes on over what was received, part or held; here, not in the stores. */
void session_take(struct session *session, struct receipt *receipt);

/* Takes in what was received, in the stores too. Somebody else was faster: a part is
 * removed, and the answer is 416 with the present *ret_status. */
bool session_advance(struct session *session, struct receipt *receipt,
		     struct upload_status *ret_status, struct api_failure *failure);

/* Ends it; nothing is left when this is true. */
bool session_discard(struct session *session, struct api_failure *failure);

#endif
