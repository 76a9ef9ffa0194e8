#include "server/registry/upload_receive.h"

#include "server/base/memory.h"
#include "server/content/content.h"
#include "server/registry/failure.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES RECEIVE_HELD_MAX

struct intake {
	struct receipt *receipt;
	struct part_writer *part;
	uint64_t written;
	char *buffer; /* PIECE_BYTES */
	size_t length; /* bytes in it */
};

/* Fills the buffer, or as much of it as the body still has. */
static enum status fill_buffer(struct intake *intake, struct request_body *body,
			       struct error *error)
{
	enum status status = BW_OK;
	size_t got = 0;

	do {
		status = body->read(body->context, intake->buffer + intake->length,
				    PIECE_BYTES - intake->length, &got, error);
		if (status == BW_OK)
			intake->length += got;
	} while (status == BW_OK && got > 0 && intake->length < PIECE_BYTES);
	return status;
}

static bool check_room(const struct receipt *receipt, uint64_t total, struct api_failure *failure)
{
	if (receipt->has_expected && total > receipt->expected)
		return failure_set(failure, 400, API_SIZE_INVALID,
				   "the body is longer than the %llu bytes of its Content-Range",
				   (unsigned long long)receipt->expected);
	if (total > receipt->room)
		return failure_set(failure, 413, API_SIZE_INVALID, "the blob is too large");
	if (total > 0 && receipt->refusal)
		return failure_set(failure, 400, API_BLOB_UPLOAD_INVALID, "%s", receipt->refusal);
	return true;
}

/* Takes in what was added to the buffer behind its first `old` bytes. */
static bool take_in(struct intake *intake, size_t old, struct api_failure *failure)
{
	struct receipt *receipt = intake->receipt;
	size_t fresh = intake->length - old;

	if (!check_room(receipt, receipt->received + fresh, failure))
		return false;
	hasher_update(&receipt->hasher, intake->buffer + old, fresh);
	receipt->received += fresh;
	return true;
}

static enum status open_writer(struct intake *intake, struct error *error)
{
	struct receipt *receipt = intake->receipt;

	if (receipt->whole)
		return content_create_blob(receipt->content, receipt->whole, &receipt->writer,
					   error);
	return object_part_create(content_objects(receipt->content), receipt->upload,
				  receipt->part_number, &intake->part, error);
}

static bool write_buffer(struct intake *intake, struct api_failure *failure)
{
	struct receipt *receipt = intake->receipt;
	struct error error = {0};
	enum status status = BW_OK;

	if (intake->length == 0)
		return true;
	if (!receipt->writer && !intake->part)
		status = open_writer(intake, &error);
	if (status == BW_OK)
		status = receipt->writer ? object_write(receipt->writer, intake->buffer,
							intake->length, &error)
					 : object_part_write(intake->part, intake->buffer,
							     intake->length, &error);
	if (status != BW_OK)
		return failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
	intake->written += intake->length;
	intake->length = 0;
	return true;
}

/* Nothing of it is written yet, and it is over. */
static bool may_hold(const struct intake *intake)
{
	return intake->written == 0 && intake->length <= intake->receipt->hold;
}

/* The body broke off: what came may still be of use, to a session that goes on. */
static bool keep_torn(const struct intake *intake)
{
	const struct receipt *receipt = intake->receipt;

	return receipt->keep_torn && receipt->received > 0 &&
	       (may_hold(intake) || intake->written + intake->length >= receipt->keep_min);
}

static bool receive_body(struct intake *intake, struct request_body *body,
			 struct api_failure *failure)
{
	struct receipt *receipt = intake->receipt;
	struct error error = {0};
	enum status status;
	bool goes_on;

	do {
		size_t old = intake->length;

		status = fill_buffer(intake, body, &error);
		goes_on = status == BW_OK && intake->length == PIECE_BYTES;
		if (!take_in(intake, old, failure) || (goes_on && !write_buffer(intake, failure)))
			return false;
	} while (goes_on);
	if (status != BW_OK) {
		failure_from_body(failure, status, &error);
		receipt->torn = status == BW_CANCELLED && keep_torn(intake);
		if (!receipt->torn)
			return false;
	} else if (receipt->has_expected && receipt->received < receipt->expected) {
		return failure_set(failure, 400, API_SIZE_INVALID,
				   "the body is shorter than the %llu bytes of its Content-Range",
				   (unsigned long long)receipt->expected);
	}
	return true;
}

static bool end_part(struct intake *intake, struct api_failure *failure)
{
	struct part_writer *writer = intake->part;
	struct error error = {0};
	enum status status;

	intake->part = NULL;
	if (!writer)
		return true;
	status = object_part_finish(writer, &intake->receipt->part, &error);
	return status == BW_OK ||
	       failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
}

static void hold(struct intake *intake)
{
	struct receipt *receipt = intake->receipt;

	if (intake->length == 0)
		return;
	receipt->held = xmemdup(intake->buffer, intake->length);
	receipt->held_length = intake->length;
}

bool upload_receive(struct receipt *receipt, struct request_body *body, struct api_failure *failure)
{
	struct intake intake = {.receipt = receipt, .buffer = xmalloc(PIECE_BYTES)};
	struct api_failure stored;
	bool received;

	if (receipt->before_length > 0)
		memcpy(intake.buffer, receipt->before, receipt->before_length);
	intake.length = receipt->before_length;
	received = receive_body(&intake, body, failure);
	if (received && may_hold(&intake)) {
		hold(&intake);
	} else if (received && !(write_buffer(&intake, &stored) && end_part(&intake, &stored))) {
		received = false;
		receipt->torn = false;
		*failure = stored;
	}
	object_part_abort(intake.part);
	free(intake.buffer);
	return received;
}

void receipt_release(struct receipt *receipt)
{
	free(receipt->held);
	receipt->held = NULL;
	object_abort(receipt->writer);
	receipt->writer = NULL;
}
