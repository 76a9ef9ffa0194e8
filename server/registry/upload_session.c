#include "server/registry/upload_session.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/registry/failure.h"
#include "server/registry/upload_handle.h"

#include <stdlib.h>
#include <string.h>

static bool unknown(struct api_failure *failure)
{
	return failure_set(failure, 404, API_BLOB_UPLOAD_UNKNOWN,
			   "no such upload here: it ended, or it is not yours; begin a new one");
}

static struct metadata_store *metadata_of(const struct session *session)
{
	return content_metadata(session->registry->content);
}

static struct object_store *objects_of(const struct session *session)
{
	return content_objects(session->registry->content);
}

static struct upload_binding binding_of(const struct session *session)
{
	return (struct upload_binding){
		.secret = session->state.secret,
		.id = session->id,
		.repository = session->entry.repository,
		.caller = session->entry.caller,
	};
}

void session_status(const struct session *session, struct upload_status *ret_status)
{
	struct upload_binding binding = binding_of(session);

	*ret_status = (struct upload_status){
		.offset = session->state.hasher.length,
		.min_chunk = objects_of(session)->ops->part_min_size,
	};
	str_copy(ret_status->id, sizeof(ret_status->id), session->id);
	upload_token_make(&binding, ret_status->offset, ret_status->token);
}

/* ---- begin, open ---------------------------------------------------------- */

bool session_begin(struct session *session, struct registry *registry, const struct target *target,
		   const char *caller, enum digest_algorithm algorithm, struct api_failure *failure)
{
	struct buf state = BUF_INIT(UPLOAD_STATE_MAX);
	struct error error = {0};
	enum status status;

	*session = (struct session){.registry = registry};
	upload_id_make(session->id);
	upload_state_init(&session->state, algorithm);
	upload_state_write(&session->state, &state);
	session->entry = (struct upload_entry){
		.repository = xstrdup(target->stored),
		.caller = xstrdup(caller),
		.started_at = clock_wall_ms(),
		.touched_at = clock_wall_ms(),
	};
	session->entry.state = buf_detach(&state, &session->entry.state_length);
	status = metadata_create_upload(metadata_of(session), session->id, &session->entry, &error);
	if (status == BW_OK)
		return true;
	session_release(session);
	return failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
}

static bool read_entry(struct session *session, struct api_failure *failure)
{
	struct error error = {0};
	enum status status =
		metadata_get_upload(metadata_of(session), session->id, &session->entry, &error);

	if (status == BW_ABSENT)
		return unknown(failure);
	if (status != BW_OK)
		return failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
	status = upload_state_parse(session->entry.state, session->entry.state_length,
				    &session->state, &error);
	return status == BW_OK ||
	       failure_set(failure, 500, API_UNKNOWN,
			   "%s (another version of this program may have written it); begin a "
			   "new upload",
			   error.message);
}

bool session_open(struct session *session, struct registry *registry, const struct target *target,
		  const struct upload_handle *handle, struct api_failure *failure)
{
	struct upload_binding binding;
	bool known;

	*session = (struct session){.registry = registry};
	if (!handle->token || !upload_id_valid(handle->id))
		return unknown(failure);
	str_copy(session->id, sizeof(session->id), handle->id);
	if (!read_entry(session, failure)) {
		session_release(session);
		return false;
	}
	binding = binding_of(session);
	binding.repository = target->stored;
	binding.caller = handle->caller;
	known = strcmp(session->entry.repository, target->stored) == 0 &&
		strcmp(session->entry.caller, handle->caller) == 0 &&
		upload_token_check(&binding, handle->token, &session->handle_offset);
	if (!known)
		session_release(session);
	return known || unknown(failure);
}

void session_release(struct session *session)
{
	upload_entry_release(&session->entry);
	upload_state_release(&session->state);
}

/* ---- the next bytes ------------------------------------------------------- */

static bool elsewhere(const struct session *session, struct upload_status *ret_status,
		      struct api_failure *failure)
{
	session_status(session, ret_status);
	return failure_set(failure, 416, API_RANGE_INVALID,
			   "the upload is at byte %llu; go on from there, at its present location",
			   (unsigned long long)ret_status->offset);
}

bool session_check_place(const struct session *session, const struct chunk_range *range,
			 const struct request_body *body, struct upload_status *ret_status,
			 struct api_failure *failure)
{
	uint64_t offset = session->state.hasher.length;

	if (session->handle_offset != offset || (range && range->first != offset))
		return elsewhere(session, ret_status, failure);
	if (range && (range->last < range->first || range->last > INT64_MAX))
		return failure_set(failure, 400, API_SIZE_INVALID,
				   "the Content-Range ends before it begins, or nowhere");
	if (range && body->has_length && body->length != range->last - range->first + 1)
		return failure_set(failure, 400, API_SIZE_INVALID,
				   "Content-Range and Content-Length differ");
	return true;
}

/* A store that wants its parts large takes a small one as the last one only. */
static const char *refusal_of(const struct session *session)
{
	const struct upload_state *state = &session->state;
	uint64_t min = objects_of(session)->ops->part_min_size;

	if (state->part_count >= UPLOAD_PARTS_MAX)
		return "an upload has at most 10000 chunks; send larger ones";
	if (state->part_count > 0 && state->parts[state->part_count - 1].size < min)
		return "a chunk smaller than OCI-Chunk-Min-Length is the last one; begin a new "
		       "upload";
	return NULL;
}

struct receipt session_receipt(const struct session *session, const struct chunk_range *range)
{
	const struct upload_state *state = &session->state;

	return (struct receipt){
		.content = session->registry->content,
		.upload = session->id,
		.part_number = (unsigned)state->part_count + 1,
		.before = state->tail,
		.before_length = state->tail_length,
		.refusal = refusal_of(session),
		.has_expected = range,
		.expected = range ? range->last - range->first + 1 : 0,
		.room = INT64_MAX - state->hasher.length,
		.keep_min = objects_of(session)->ops->part_min_size,
		.hasher = state->hasher,
	};
}

void session_take(struct session *session, struct receipt *receipt)
{
	if (receipt->part.size > 0)
		upload_state_append(&session->state, &receipt->part, &receipt->hasher);
	else if (receipt->held)
		upload_state_hold(&session->state, &receipt->held, receipt->held_length,
				  &receipt->hasher);
}

/* Others have taken the session further, or ended it. */
static bool overtaken(struct session *session, struct upload_status *ret_status,
		      struct api_failure *failure)
{
	bool known;

	upload_entry_release(&session->entry);
	upload_state_release(&session->state);
	known = read_entry(session, failure);
	return known && elsewhere(session, ret_status, failure);
}

bool session_advance(struct session *session, struct receipt *receipt,
		     struct upload_status *ret_status, struct api_failure *failure)
{
	struct buf state = BUF_INIT(UPLOAD_STATE_MAX);
	struct upload_entry *entry = &session->entry;
	struct error error = {0};
	enum status status;

	session_take(session, receipt);
	upload_state_write(&session->state, &state);
	free(entry->state);
	entry->state = buf_detach(&state, &entry->state_length);
	entry->touched_at = clock_wall_ms();
	status = metadata_advance_upload(metadata_of(session), session->id, entry, &error);
	if (status == BW_OK) {
		entry->revision++;
		session_status(session, ret_status);
		return true;
	}
	/* When the index could not tell, it may have taken the part all the same: then
	 * it is named, and has to stay. If not, it goes with the upload. */
	if (status != BW_CONFLICT && status != BW_ABSENT)
		return failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
	if (receipt->part.size > 0)
		object_part_remove(objects_of(session), session->id, &receipt->part, NULL);
	return overtaken(session, ret_status, failure);
}

/* The parts first, so that a failure leaves the row, and whoever ends the session
 * once more finds it. An append may get through between the two: its part goes with
 * the second sweep. One that comes later finds no row, and removes its own. */
bool session_discard(struct session *session, struct api_failure *failure)
{
	struct error error = {0};
	enum status status = object_parts_discard(objects_of(session), session->id, &error);

	if (status == BW_OK)
		status = metadata_remove_upload(metadata_of(session), session->id, &error);
	if (status != BW_OK && status != BW_ABSENT)
		return failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
	object_parts_discard(objects_of(session), session->id, NULL);
	return true;
}
