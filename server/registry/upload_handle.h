/*
 * The handle of an upload as its client holds it: an id, and a token
 * "<offset>.<mac>" (CVE-2026-32589). The mac is HMAC-SHA256 (RFC 2104), cut to 160
 * bits, with the session's own secret, over all that a request must not change.
 */
#ifndef REGISTRY_UPLOAD_HANDLE_H
#define REGISTRY_UPLOAD_HANDLE_H

#include "backends/metadata_store.h"
#include "server/registry/push.h"
#include "server/registry/upload_state.h"

/* What a token is good for, besides the offset. */
struct upload_binding {
	const unsigned char *secret; /* UPLOAD_SECRET_SIZE bytes */
	const char *id;
	const char *repository;
	const char *caller;
};

void upload_id_make(char id[UPLOAD_ID_SIZE]);
bool upload_id_valid(const char *id);

/* `offset` is at most INT64_MAX. */
void upload_token_make(const struct upload_binding *binding, uint64_t offset,
		       char token[UPLOAD_TOKEN_SIZE]);

/* Is it one that upload_token_make made, and for which offset? How long that takes
 * does not tell how much of a forged one was right. */
bool upload_token_check(const struct upload_binding *binding, const char *token,
			uint64_t *ret_offset);

#endif
