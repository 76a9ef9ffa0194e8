#include "server/http/inbound.h"

#include "server/base/clock.h"
#include "server/http/connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

void inbound_init(struct inbound *inbound, int socket, char *buffer, size_t buffered,
		  size_t buffer_size)
{
	*inbound = (struct inbound){
		.socket = socket,
		.buffer = buffer,
		.buffer_size = buffer_size,
		.end = buffered,
	};
}

void inbound_expect(struct inbound *inbound, bool is_chunked, uint64_t length)
{
	inbound->is_chunked = is_chunked;
	inbound->left = length;
}

static bool is_at_end(const struct inbound *inbound)
{
	return inbound->is_chunked ? inbound->chunked.state == CHUNKED_DONE : inbound->left == 0;
}

bool inbound_is_settled(const struct inbound *inbound)
{
	return is_at_end(inbound) && !inbound->overran;
}

bool inbound_has_bytes(const struct inbound *inbound)
{
	char byte;

	return inbound->at < inbound->end ||
	       recv(inbound->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Bytes as they come; 0: none now. */
static ssize_t take(struct inbound *inbound, void *target, size_t size)
{
	size_t buffered = inbound->end - inbound->at;
	ssize_t length;

	if (buffered > 0) {
		if (size > buffered)
			size = buffered;
		memcpy(target, inbound->buffer + inbound->at, size);
		inbound->at += size;
		return (ssize_t)size;
	}
	length = recv(inbound->socket, target, size, MSG_DONTWAIT);
	if (length > 0)
		return length;
	if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	return CONNECTION_BODY_GONE;
}

/* What was taken is the next request's. */
static void put_back(struct inbound *inbound, const char *bytes, size_t length, bool was_buffered)
{
	if (was_buffered) {
		inbound->at -= length;
		return;
	}
	if (length > inbound->buffer_size) {
		inbound->overran = true;
		return;
	}
	memcpy(inbound->buffer, bytes, length);
	inbound->at = 0;
	inbound->end = length;
}

static ssize_t take_plain(struct inbound *inbound, void *target, size_t size)
{
	ssize_t length = take(inbound, target, inbound->left < size ? inbound->left : size);

	if (length > 0)
		inbound->left -= (uint64_t)length;
	return length;
}

static ssize_t take_chunked(struct inbound *inbound, char *target, size_t size)
{
	bool was_buffered = inbound->at < inbound->end;
	ssize_t length = take(inbound, target, size);
	size_t used, content;

	if (length <= 0)
		return length;
	chunked_decode(&inbound->chunked, target, (size_t)length, &used, &content);
	if (inbound->chunked.state == CHUNKED_DONE && used < (size_t)length)
		put_back(inbound, target + used, (size_t)length - used, was_buffered);
	if (inbound->chunked.state == CHUNKED_MALFORMED)
		inbound->failure = CONNECTION_BODY_MALFORMED;
	return content > 0 ? (ssize_t)content : inbound->failure;
}

static bool wait_for_bytes(const struct inbound *inbound, deadline_ms deadline)
{
	struct pollfd wait = {.fd = inbound->socket, .events = POLLIN};

	return inbound->at < inbound->end || poll(&wait, 1, (int)deadline_left_ms(deadline)) > 0;
}

ssize_t inbound_read(struct inbound *inbound, void *target, size_t size, int timeout_ms)
{
	deadline_ms deadline = deadline_in(timeout_ms);

	if (size > SSIZE_MAX)
		size = SSIZE_MAX;
	while (inbound->failure == 0 && !is_at_end(inbound)) {
		ssize_t length = inbound->is_chunked ? take_chunked(inbound, target, size)
						     : take_plain(inbound, target, size);

		if (length > 0)
			return length;
		if (length < 0)
			inbound->failure = length;
		else if (!is_at_end(inbound) && !wait_for_bytes(inbound, deadline))
			return CONNECTION_BODY_WAIT;
	}
	return inbound->failure;
}
