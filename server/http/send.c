#include "server/http/send.h"

#include "server/base/clock.h"

/* Large enough that the kernel's loop dominates ours, small enough that a
 * client's progress is seen. */
#define FILE_PIECE ((uint64_t)4 << 20)

static enum status wait_for_client(struct sender *sender)
{
	int64_t began = clock_monotonic_ms();

	connection_wait_writable(sender->connection, (int)pace_patience_ms(&sender->pace));
	if (!pace_waited(&sender->pace, clock_monotonic_ms() - began))
		return BW_TIMEOUT;
	return BW_OK;
}

/* Drops the first `count` bytes of the pieces. */
static void advance(struct iovec **pieces, int *piece_count, size_t count)
{
	while (*piece_count > 0 && count >= (*pieces)->iov_len) {
		count -= (*pieces)->iov_len;
		(*pieces)++;
		(*piece_count)--;
	}
	if (*piece_count > 0) {
		(*pieces)->iov_base = (char *)(*pieces)->iov_base + count;
		(*pieces)->iov_len -= count;
	}
}

static enum status send_pieces(struct sender *sender, struct iovec *pieces, int piece_count,
			       bool more, uint64_t *sent)
{
	while (piece_count > 0) {
		ssize_t written =
			connection_try_send(sender->connection, pieces, piece_count, more);
		enum status status = BW_OK;

		if (written < 0)
			return BW_CANCELLED;
		if (written == 0)
			status = wait_for_client(sender);
		if (status != BW_OK)
			return status;
		pace_taken(&sender->pace, (size_t)written);
		*sent += (uint64_t)written;
		advance(&pieces, &piece_count, (size_t)written);
	}
	return BW_OK;
}

enum status send_head(struct sender *sender, const char *head, size_t head_length, const void *body,
		      size_t body_length, bool more, uint64_t *sent)
{
	struct iovec pieces[2] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = head_length},
		{.iov_base = (void *)(uintptr_t)body, .iov_len = body_length},
	};

	return send_pieces(sender, pieces, body_length ? 2 : 1, more, sent);
}

enum status send_bytes(struct sender *sender, const void *bytes, size_t length, uint64_t *sent)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};

	return send_pieces(sender, &piece, length ? 1 : 0, false, sent);
}

enum status send_file(struct sender *sender, int file, uint64_t offset, uint64_t end,
		      uint64_t *sent)
{
	while (offset < end) {
		uint64_t piece = end - offset < FILE_PIECE ? end - offset : FILE_PIECE;
		ssize_t written =
			connection_try_send_file(sender->connection, file, offset, (size_t)piece);
		enum status status = BW_OK;

		if (written == CONNECTION_FILE_ENDED)
			return BW_CORRUPT;
		if (written < 0)
			return BW_CANCELLED;
		if (written == 0)
			status = wait_for_client(sender);
		if (status != BW_OK)
			return status;
		pace_taken(&sender->pace, (size_t)written);
		*sent += (uint64_t)written;
		offset += (uint64_t)written;
	}
	return BW_OK;
}
