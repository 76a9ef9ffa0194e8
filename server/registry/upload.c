/*
 * Uploads (OCI distribution-spec, "Pushing blobs"). push.h has the states; what
 * happens when a request dies, or two of them meet:
 *
 *   append   part, then row; or, of few bytes, the row alone, which holds them as its
 *            tail. Died between: an unnamed part, which goes with the upload, or when
 *            it is old. Two at once: the row takes one of them.
 *   finish   part, digest compared, blob with its link, then row. Without parts there
 *            is none to be made: all bytes are in memory, or on their way to where the
 *            blob will be. Died before the blob: the session is where it was, and the
 *            same request may be repeated. Died after: the blob is there, and the
 *            repeated request finds that out (was_finished). Two at once: one digest
 *            is one blob, whoever commits it first.
 *   cancel   parts, then row (session_discard).
 *
 * What is left of those who never come back is removed after uploads.maxAge
 * (server/maintenance).
 */
#include "server/base/memory.h"
#include "server/content/content.h"
#include "server/registry/failure.h"
#include "server/registry/upload_session.h"

#include <stdlib.h>
#include <string.h>

#define READ_BACK_BYTES ((size_t)256 << 10)
#define READ_BACK_MS 30000

bool registry_begin_upload(struct registry *registry, const struct target *target,
			   const char *caller, const char *algorithm,
			   struct upload_status *ret_status, struct api_failure *failure)
{
	enum digest_algorithm chosen = DIGEST_SHA256;
	struct session session;

	if (algorithm && strcmp(algorithm, "sha512") == 0)
		chosen = DIGEST_SHA512;
	else if (algorithm && strcmp(algorithm, "sha256") != 0)
		return failure_set(failure, 400, API_DIGEST_INVALID,
				   "\"%.40s\" is no digest algorithm known here: sha256, sha512",
				   algorithm);
	if (!session_begin(&session, registry, target, caller, chosen, failure))
		return false;
	session_status(&session, ret_status);
	session_release(&session);
	return true;
}

bool registry_get_upload(struct registry *registry, const struct target *target,
			 const struct upload_handle *handle, struct upload_status *ret_status,
			 struct api_failure *failure)
{
	struct session session;

	if (!session_open(&session, registry, target, handle, failure))
		return false;
	session_status(&session, ret_status);
	session_release(&session);
	return true;
}

bool registry_cancel_upload(struct registry *registry, const struct target *target,
			    const struct upload_handle *handle, struct api_failure *failure)
{
	struct session session;
	bool discarded;

	if (!session_open(&session, registry, target, handle, failure))
		return false;
	discarded = session_discard(&session, failure);
	session_release(&session);
	return discarded;
}

/* ---- append --------------------------------------------------------------- */

static bool append(struct session *session, const struct chunk_range *range,
		   struct request_body *body, struct upload_status *ret_status,
		   struct api_failure *failure)
{
	struct receipt receipt = session_receipt(session, range);
	bool appended;

	receipt.hold = UPLOAD_TAIL_MAX;
	receipt.keep_torn = true;
	appended = upload_receive(&receipt, body, failure);
	if (appended && receipt.torn) {
		/* *failure already says that the client left; how this ends is for
		 * its next question */
		session_advance(session, &receipt, ret_status, &(struct api_failure){0});
		appended = false;
	} else if (appended && receipt.received > 0) {
		appended = session_advance(session, &receipt, ret_status, failure);
	} else if (appended) {
		session_status(session, ret_status);
	}
	receipt_release(&receipt);
	return appended;
}

bool registry_append_upload(struct registry *registry, const struct target *target,
			    const struct upload_handle *handle, const struct chunk_range *range,
			    struct request_body *body, struct upload_status *ret_status,
			    struct api_failure *failure)
{
	struct session session;
	bool appended;

	*ret_status = (struct upload_status){0};
	if (!session_open(&session, registry, target, handle, failure))
		return false;
	appended = session_check_place(&session, range, body, ret_status, failure) &&
		   append(&session, range, body, ret_status, failure);
	session_release(&session);
	return appended;
}

/* ---- finish --------------------------------------------------------------- */

static enum status hash_part(struct object_store *objects, const char *upload,
			     const struct object_part *part, char *buffer, struct hasher *hasher,
			     struct error *error)
{
	struct object_reader *reader;
	uint64_t offset = 0;
	size_t length = 1;
	enum status status = object_part_open(objects, upload, part, &reader, error);

	if (status != BW_OK)
		return status;
	while (status == BW_OK && length > 0 && offset < part->size) {
		status = object_read(reader, offset, buffer, READ_BACK_BYTES,
				     deadline_in(READ_BACK_MS), &length, error);
		if (status == BW_OK)
			hasher_update(hasher, buffer, length);
		offset += status == BW_OK ? length : 0;
	}
	object_close(reader);
	if (status == BW_OK && offset != part->size)
		return error_set(error, BW_CORRUPT, "a part of upload %s is cut short", upload);
	return status;
}

/* The hash so far in the algorithm that the digest turned out to have. The one that
 * ran all along is continued; the other one needs the bytes once more. */
static enum status hasher_for(const struct session *session, enum digest_algorithm algorithm,
			      struct hasher *ret_hasher, struct error *error)
{
	const struct upload_state *state = &session->state;
	struct hasher hasher;
	char *buffer;
	enum status status = BW_OK;

	if (state->hasher.algorithm == algorithm) {
		*ret_hasher = state->hasher;
		return BW_OK;
	}
	hasher_init(&hasher, algorithm);
	buffer = xmalloc(READ_BACK_BYTES);
	for (size_t i = 0; status == BW_OK && i < state->part_count; i++)
		status = hash_part(content_objects(session->registry->content), session->id,
				   &state->parts[i], buffer, &hasher, error);
	free(buffer);
	if (state->tail_length > 0)
		hasher_update(&hasher, state->tail, state->tail_length);
	if (status == BW_OK)
		*ret_hasher = hasher;
	return status;
}

/* The stores say that parts are missing or damaged: a power cut took them, or the
 * upload expired. There is nothing to resume. */
static bool lost(struct session *session, struct api_failure *failure)
{
	return session_discard(session, failure) &&
	       failure_set(failure, 404, API_BLOB_UPLOAD_UNKNOWN,
			   "bytes of this upload were lost; begin a new one");
}

static bool store_failed(struct session *session, enum status status, const struct error *error,
			 struct api_failure *failure)
{
	if (status == BW_ABSENT || status == BW_CORRUPT)
		return lost(session, failure);
	return failure_from_stores(failure, status, error, API_BLOB_UPLOAD_UNKNOWN);
}

/* What was received is all of the blob, and hashes to its digest. */
static enum status push_whole(struct registry *registry, const char *repository,
			      const struct digest *digest, struct receipt *receipt,
			      struct error *error)
{
	const uint64_t size = receipt->hasher.length;

	if (receipt->writer)
		return content_push_blob_written(registry->content, repository, digest, size,
						 &receipt->writer, error);
	return content_push_blob_bytes(registry->content, repository, digest,
				       receipt->held ? receipt->held : "", (size_t)size, error);
}

/* Do the bytes hash to what the client says? If not, they go. */
static bool check_digest(struct session *session, const struct digest *digest, struct hasher hasher,
			 struct api_failure *failure)
{
	char text[DIGEST_TEXT_SIZE];
	struct digest found;

	hasher_finish(&hasher, &found);
	if (digest_equals(&found, digest))
		return true;
	digest_format(&found, text);
	return session_discard(session, failure) &&
	       failure_set(failure, 400, API_DIGEST_INVALID,
			   "the digest of the bytes that came is %s; none of them was kept", text);
}

static enum status push_parts(struct session *session, const struct digest *digest,
			      struct receipt *receipt, struct error *error)
{
	const struct upload_state *state = &session->state;

	session_take(session, receipt);
	return content_push_blob(session->registry->content, session->entry.repository, digest,
				 receipt->hasher.length, session->id, state->parts,
				 state->part_count, error);
}

static bool commit(struct session *session, const struct digest *digest, struct receipt *receipt,
		   struct api_failure *failure)
{
	struct content *content = session->registry->content;
	struct error error = {0};
	enum status status;

	if (receipt->whole)
		status = push_whole(session->registry, session->entry.repository, digest, receipt,
				    &error);
	else
		status = push_parts(session, digest, receipt, &error);
	if (status == BW_OK) {
		/* what matters is stored; a row that stays expires */
		metadata_remove_upload(content_metadata(content), session->id, NULL);
		return true;
	}
	/* the request will be repeated, and bring the last part again */
	if (receipt->part.size > 0)
		object_part_remove(content_objects(content), session->id, &receipt->part, NULL);
	return store_failed(session, status, &error, failure);
}

static bool finish(struct session *session, const struct digest *digest,
		   const struct chunk_range *range, struct request_body *body,
		   struct api_failure *failure)
{
	struct receipt receipt = session_receipt(session, range);
	struct error error = {0};
	enum status status = hasher_for(session, digest->algorithm, &receipt.hasher, &error);
	bool finished;

	if (status != BW_OK)
		return store_failed(session, status, &error, failure);
	if (session->state.part_count == 0) {
		receipt.whole = digest;
		receipt.hold = RECEIVE_HELD_MAX;
	}
	/* Of a body that breaks off nothing is kept: what sends it again, be it the
	 * client or a proxy before us, sends it with this handle. */
	finished = upload_receive(&receipt, body, failure) &&
		   check_digest(session, digest, receipt.hasher, failure) &&
		   commit(session, digest, &receipt, failure);
	receipt_release(&receipt);
	return finished;
}

static void drain(struct request_body *body)
{
	char *buffer = xmalloc(READ_BACK_BYTES);
	size_t length = 1;

	while (length > 0 &&
	       body->read(body->context, buffer, READ_BACK_BYTES, &length, NULL) == BW_OK)
		;
	free(buffer);
}

/*
 * No such session; but has this very blob been pushed here? A PUT whose answer was
 * lost is sent again: by proxies (to them PUT is idempotent, and nginx repeats it at
 * the next replica by itself), and by clients that retry requests below the level
 * of uploads (oras, regclient). A 404 ends those pushes in an error although all is
 * well. Saying 201 promises nothing that is not so: the blob with that digest is in
 * this repository, where a HEAD shows it to whoever may push here. It is said to any
 * handle alike, so that it tells nobody which sessions there are. The body is read
 * to its end, because a client that is still sending would not hear us.
 */
static bool was_finished(struct registry *registry, const struct target *target,
			 const struct digest *digest, struct request_body *body)
{
	uint64_t size;

	if (content_get_link(registry->content, target->stored, digest, &size, NULL) != BW_OK)
		return false;
	drain(body);
	return true;
}

bool registry_finish_upload(struct registry *registry, const struct target *target,
			    const struct upload_handle *handle, const char *digest_text,
			    const struct chunk_range *range, struct request_body *body,
			    struct upload_status *ret_status, struct api_failure *failure)
{
	struct session session;
	struct digest digest;
	bool finished;

	*ret_status = (struct upload_status){0};
	if (!parse_path_digest(digest_text, &digest, failure))
		return false;
	if (!session_open(&session, registry, target, handle, failure))
		return failure->http_status == 404 && was_finished(registry, target, &digest, body);
	finished = session_check_place(&session, range, body, ret_status, failure) &&
		   finish(&session, &digest, range, body, failure);
	session_release(&session);
	return finished;
}

/* ---- in one request ------------------------------------------------------- */

static bool push(struct registry *registry, const struct target *target,
		 const struct digest *digest, struct receipt *receipt, struct api_failure *failure)
{
	struct hasher hasher = receipt->hasher;
	struct digest found;
	char text[DIGEST_TEXT_SIZE];
	struct error error = {0};
	enum status status;

	hasher_finish(&hasher, &found);
	if (!digest_equals(&found, digest)) {
		digest_format(&found, text);
		return failure_set(failure, 400, API_DIGEST_INVALID,
				   "the digest of the body is %s; it was not kept", text);
	}
	status = push_whole(registry, target->stored, digest, receipt, &error);
	return status == BW_OK ||
	       failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
}

bool registry_push_blob(struct registry *registry, const struct target *target,
			const char *digest_text, struct request_body *body,
			struct api_failure *failure)
{
	struct digest digest;
	struct receipt receipt = {
		.content = registry->content,
		.hold = RECEIVE_HELD_MAX,
		.whole = &digest,
		.room = INT64_MAX,
	};
	bool pushed;

	if (!parse_path_digest(digest_text, &digest, failure) ||
	    !require_index(registry, target, failure))
		return false;
	hasher_init(&receipt.hasher, digest.algorithm);
	pushed = upload_receive(&receipt, body, failure) &&
		 push(registry, target, &digest, &receipt, failure);
	receipt_release(&receipt);
	return pushed;
}
