#include "server/http/blob_body.h"

#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/http/handlers.h"
#include "server/http/response.h"

#include <stdlib.h>

/* For blobs that do not lie in a file. */
#define READ_PIECE ((size_t)256 * 1024)
/* How long a client's leaving may go unnoticed. */
#define SLICE_MS 500

static enum status send_piece_by_reading(struct exchange *exchange, struct blob_source *source,
					 uint64_t offset, uint64_t end, struct error *error)
{
	char *piece = xmalloc(READ_PIECE);
	enum status status = BW_OK;

	while (status == BW_OK && offset < end) {
		size_t wanted = end - offset < READ_PIECE ? (size_t)(end - offset) : READ_PIECE;
		size_t length = 0;

		status = blob_source_read(source, offset, piece, wanted, &length, error);
		if (status == BW_OK && length == 0)
			status = error_set(error, BW_CORRUPT, "the stored blob is too short");
		if (status == BW_OK)
			status = send_bytes(&exchange->sender, piece, length, &exchange->sent);
		offset += length;
	}
	free(piece);
	return status;
}

static enum status send_available(struct exchange *exchange, struct blob_source *source,
				  uint64_t offset, uint64_t end, struct error *error)
{
	int file = blob_source_file(source);
	enum status status;

	if (file < 0)
		return send_piece_by_reading(exchange, source, offset, end, error);
	status = send_file(&exchange->sender, file, offset, end, &exchange->sent);
	if (status == BW_CORRUPT)
		error_set(error, status, "the blob's file is too short");
	return status;
}

/* In slices, so that a client that left, or a server that stops, does not keep a
 * worker waiting for an upstream. */
enum status blob_body_wait(struct exchange *exchange, struct blob_source *source, uint64_t offset,
			   uint64_t *ret_end, struct error *error)
{
	deadline_ms deadline = deadline_in(source->patience_ms);
	struct error failure;
	enum status status;
	bool was_slice;

	do {
		deadline_ms slice_end = deadline_earlier(deadline, deadline_in(SLICE_MS));

		status = blob_source_wait(source, offset, slice_end, ret_end, &failure);
		/* a fill that failed by a timeout of its own tells so at once */
		was_slice = status == BW_TIMEOUT && deadline_passed(slice_end);
		if (was_slice && !connection_is_open(exchange->connection))
			return error_set(error, BW_CANCELLED, CLIENT_LEFT);
	} while (was_slice && !deadline_passed(deadline));
	if (status != BW_OK)
		*error = failure;
	return status;
}

void blob_body_send(struct exchange *exchange, struct blob_source *source,
		    const struct byte_range *range, uint64_t available)
{
	uint64_t offset = range->first;
	uint64_t end = offset + range->length;
	struct error error = {0};
	enum status status = BW_OK;

	for (;;) {
		uint64_t until = available < end ? available : end;

		status = send_available(exchange, source, offset, until, &error);
		offset = until;
		if (status != BW_OK || offset == end)
			break;
		status = blob_body_wait(exchange, source, offset, &available, &error);
		if (status != BW_OK)
			break;
	}
	/* a store or a fill says what failed, sending does not */
	if (error.message[0])
		exchange_cut(exchange, status, error.message);
	else
		exchange_cut_sending(exchange, status);
}
