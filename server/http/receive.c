#include "server/http/receive.h"

#include "server/base/clock.h"
#include "server/http/send.h"

#include <string.h>

static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";

static enum status invite(struct receiver *receiver)
{
	struct sender sender = {.connection = receiver->connection};
	uint64_t sent = 0;

	if (!receiver->owes_continue)
		return BW_OK;
	receiver->owes_continue = false;
	if (connection_has_bytes(receiver->connection))
		return BW_OK; /* it did not wait */
	return send_bytes(&sender, CONTINUE, strlen(CONTINUE), &sent);
}

static enum status receive_some(struct receiver *receiver, void *target, size_t size,
				size_t *ret_length)
{
	ssize_t length;

	do {
		int64_t began = clock_monotonic_ms();

		length = connection_read_body(receiver->connection, target, size,
					      (int)pace_patience_ms(&receiver->pace));
		if (length == CONNECTION_BODY_GONE)
			return BW_CANCELLED;
		if (length == CONNECTION_BODY_MALFORMED)
			return BW_INVALID;
		if (!pace_waited(&receiver->pace, clock_monotonic_ms() - began))
			return BW_TIMEOUT;
	} while (length == CONNECTION_BODY_WAIT);
	pace_taken(&receiver->pace, (size_t)length);
	receiver->received += (uint64_t)length;
	*ret_length = (size_t)length;
	return BW_OK;
}

enum status receive(struct receiver *receiver, void *target, size_t size, size_t *ret_length)
{
	if (receiver->outcome == BW_OK)
		receiver->outcome = invite(receiver);
	if (receiver->outcome == BW_OK)
		receiver->outcome = receive_some(receiver, target, size, ret_length);
	return receiver->outcome;
}

bool receive_rest(struct receiver *receiver)
{
	uint64_t left = connection_body_left(receiver->connection);
	char piece[4096];

	/* whether a body comes after all is up to the client */
	if (left == 0 || left > RECEIVE_MAX_DISCARDED || receiver->owes_continue)
		return left == 0;
	while (connection_read_body(receiver->connection, piece, sizeof(piece), 0) > 0)
		;
	return connection_body_left(receiver->connection) == 0;
}

bool receive_is_expected(const struct receiver *receiver)
{
	if (connection_body_left(receiver->connection) == 0)
		return false;
	return !receiver->owes_continue || connection_has_bytes(receiver->connection);
}
