/*
 * The half of the registry API that writes (OCI distribution-spec, "Push",
 * "Content Management"): uploads, mounts, manifests, deletions. Without HTTP, as
 * registry.h.
 *
 * An upload is a session. Its states only increase:
 *
 *     begun ──append──► (offset grows) ──finish──► blob
 *        └──────────────────┴──cancel, expiry, wrong digest──► gone
 *
 * All of it lives in the stores: a row with the offset, the running digest, which
 * parts hold the bytes, and the few that are no part yet (upload_state.h); and the
 * parts.
 * Any process may take the next request. An append writes a part of its own and
 * then advances the row if nobody else has: of two that append at one offset one
 * gets through, the other one is told where the upload is now.
 *
 * A client holds a handle: the id, and a token bound by HMAC to id, repository,
 * caller and offset with a secret of the session (CVE-2026-32589). A handle of an
 * earlier offset still names the session, for asking where it is; it may not
 * write.
 */
#ifndef REGISTRY_PUSH_H
#define REGISTRY_PUSH_H

#include "server/registry/registry.h"

#define UPLOAD_TOKEN_SIZE 64 /* with NUL; [A-Za-z0-9_.-] */

/* Which repository a push means: always a local one. False: 403 DENIED for an
 * upstream's namespace (by ?ns=, Host or prefix) and for names that read like a
 * registry's (name.h), 400 NAME_INVALID. */
bool registry_resolve_push(struct registry *registry, const char *name, const char *ns,
			   const char *host, struct target *ret_target,
			   struct api_failure *failure);

/* The body of a request, as it comes. */
struct request_body {
	/* Up to `size` bytes; BW_OK with *ret_length 0 at the end. BW_CANCELLED: the
	 * client went away or was too slow; BW_INVALID: it is malformed. */
	enum status (*read)(void *context, void *target, size_t size, size_t *ret_length,
			    struct error *error);
	void *context;
	bool has_length;
	uint64_t length; /* when has_length */
};

/* Content-Range of a chunk: "<first>-<last>", both inclusive. */
struct chunk_range {
	uint64_t first;
	uint64_t last;
};

/* A session as the client may know it. */
struct upload_status {
	char id[UPLOAD_ID_SIZE]; /* "": not known, because the handle is not good */
	char token[UPLOAD_TOKEN_SIZE]; /* for the present offset */
	uint64_t offset; /* bytes so far */
	uint64_t min_chunk; /* OCI-Chunk-Min-Length; 0: any */
};

struct upload_handle {
	const char *id; /* of the path */
	const char *token; /* of the query; NULL: none */
	const char *caller; /* who asks; "" for anybody */
};

/* POST. `algorithm` is ?digest-algorithm= (NULL: not said, sha256 is hashed). */
bool registry_begin_upload(struct registry *registry, const struct target *target,
			   const char *caller, const char *algorithm,
			   struct upload_status *ret_status, struct api_failure *failure);

/* GET. */
bool registry_get_upload(struct registry *registry, const struct target *target,
			 const struct upload_handle *handle, struct upload_status *ret_status,
			 struct api_failure *failure);

/* PATCH. `range` NULL: the body goes where the upload is. 416 RANGE_INVALID for
 * any other place, before the body is read; *ret_status then says where it is (the
 * handle must not point into it). A client that goes away in the middle leaves what
 * came, and the call fails. */
bool registry_append_upload(struct registry *registry, const struct target *target,
			    const struct upload_handle *handle, const struct chunk_range *range,
			    struct request_body *body, struct upload_status *ret_status,
			    struct api_failure *failure);

/* PUT, with a last chunk or an empty body. DIGEST_INVALID, and nothing is left,
 * when the bytes are not what `digest` says. *ret_status as above on 416. After any
 * other failure the upload is where it was, and the same request may be repeated.
 * One that has succeeded may be, too: true when the session is gone but the
 * repository has the blob (upload.c says why). */
bool registry_finish_upload(struct registry *registry, const struct target *target,
			    const struct upload_handle *handle, const char *digest,
			    const struct chunk_range *range, struct request_body *body,
			    struct upload_status *ret_status, struct api_failure *failure);

/* DELETE. */
bool registry_cancel_upload(struct registry *registry, const struct target *target,
			    const struct upload_handle *handle, struct api_failure *failure);

/* POST with ?digest= and the whole blob. */
bool registry_push_blob(struct registry *registry, const struct target *target, const char *digest,
			struct request_body *body, struct api_failure *failure);

/* POST with ?mount=. `from` is where to take it (NULL: from any repository that
 * the caller may read). *ret_mounted false: not to be had there, so that the
 * client has to upload it; the same whether it is absent or not readable. */
bool registry_mount_blob(struct registry *registry, const struct target *target, const char *digest,
			 const struct target *from, bool *ret_mounted, struct api_failure *failure);

struct pushed_manifest {
	char digest[DIGEST_TEXT_SIZE];
	char subject[DIGEST_TEXT_SIZE]; /* for OCI-Subject; "" : it has none */
};

struct manifest_push {
	const char *reference; /* of the path: a tag or a digest */
	const char *const *tags; /* of ?tag=, with a digest only */
	size_t tag_count;
	const char *content_type; /* NULL: not said */
	const char *body;
	size_t length;
};

#define PUSH_MAX_TAGS 64 /* ?tag= in one request */

/* PUT of /v2/<name>/manifests/<reference>. What it lists must be in the
 * repository, as far as uploads.checkReferences asks for it. Failures:
 * MANIFEST_INVALID, DIGEST_INVALID (the reference is another digest),
 * MANIFEST_BLOB_UNKNOWN (names the first that is missing), TAG_INVALID,
 * SIZE_INVALID (413); 414 for more than PUSH_MAX_TAGS. */
bool registry_put_manifest(struct registry *registry, const struct target *target,
			   const struct manifest_push *push, struct pushed_manifest *ret_pushed,
			   struct api_failure *failure);

/* DELETE of a manifest (by digest; its tags go with it) or of a tag alone. Of a
 * cached repository too: it is fetched anew at the next pull. */
bool registry_delete_manifest(struct registry *registry, const struct target *target,
			      const char *reference, struct api_failure *failure);
/* Of a local repository; 405 UNSUPPORTED of a cached one, whose blobs are there
 * because manifests list them. */
bool registry_delete_blob(struct registry *registry, const struct target *target,
			  const char *digest, struct api_failure *failure);

#endif
