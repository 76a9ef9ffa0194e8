#include "server/registry/upload_receive.h"

#include "server/base/memory.h"
#include "server/registry/failure.h"

#include <stdlib.h>

/* Large enough that a store's call costs nothing beside hashing it. */
#define PIECE_BYTES ((size_t)256 << 10)

/* Fills the buffer, or as much of it as the body still has. */
static enum status read_piece(struct request_body *body, char *buffer, size_t *ret_length,
			      struct error *error)
{
	size_t length = 0, got = 0;
	enum status status = BW_OK;

	do {
		status = body->read(body->context, buffer + length, PIECE_BYTES - length, &got,
				    error);
		if (status == BW_OK)
			length += got;
	} while (status == BW_OK && got > 0 && length < PIECE_BYTES);
	*ret_length = length;
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
	return true;
}

/* The part begins with its first byte: an empty body makes none. */
static bool write_piece(struct receipt *receipt, struct part_writer **writer, const char *bytes,
			size_t length, struct api_failure *failure)
{
	struct error error = {0};
	enum status status = BW_OK;

	if (!check_room(receipt, receipt->part.size + length, failure))
		return false;
	if (receipt->refusal)
		return failure_set(failure, 400, API_BLOB_UPLOAD_INVALID, "%s", receipt->refusal);
	if (!*writer)
		status = object_part_create(receipt->objects, receipt->upload, receipt->part_number,
					    writer, &error);
	if (status == BW_OK) {
		hasher_update(&receipt->hasher, bytes, length);
		status = object_part_write(*writer, bytes, length, &error);
	}
	if (status != BW_OK)
		return failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
	receipt->part.size += length;
	return true;
}

static bool receive_body(struct receipt *receipt, struct request_body *body, char *buffer,
			 struct part_writer **writer, struct api_failure *failure)
{
	struct error error = {0};
	enum status status;
	size_t length;

	do {
		status = read_piece(body, buffer, &length, &error);
		if (length > 0 && !write_piece(receipt, writer, buffer, length, failure))
			return false;
	} while (status == BW_OK && length == PIECE_BYTES);
	if (status != BW_OK) {
		failure_from_body(failure, status, &error);
		receipt->torn = status == BW_CANCELLED && receipt->keep_torn && *writer &&
				receipt->part.size >= receipt->keep_min;
		return receipt->torn;
	}
	if (receipt->has_expected && receipt->part.size < receipt->expected)
		return failure_set(failure, 400, API_SIZE_INVALID,
				   "the body is shorter than the %llu bytes of its Content-Range",
				   (unsigned long long)receipt->expected);
	return true;
}

bool upload_receive(struct receipt *receipt, struct request_body *body, struct api_failure *failure)
{
	char *buffer = xmalloc(PIECE_BYTES);
	struct part_writer *writer = NULL;
	struct error error = {0};
	enum status status;
	bool received;

	receipt->part = (struct object_part){0};
	receipt->torn = false;
	received = receive_body(receipt, body, buffer, &writer, failure);
	free(buffer);
	if (!received)
		object_part_abort(writer);
	if (!received || !writer)
		return received;
	status = object_part_finish(writer, &receipt->part, &error);
	return status == BW_OK ||
	       failure_from_stores(failure, status, &error, API_BLOB_UPLOAD_UNKNOWN);
}
