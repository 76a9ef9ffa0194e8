/*
 * Reading a request's body, with the deadlines of pace.h: a sender that stalls or
 * trickles holds no worker for ever. Time that we spend on what was read does not
 * count against it.
 */
#ifndef HTTP_RECEIVE_H
#define HTTP_RECEIVE_H

#include "server/base/error.h"
#include "server/http/connection.h"
#include "server/http/pace.h"

#include <stddef.h>
#include <stdint.h>

/* What may be thrown away of a body that nobody wanted, so that the connection can
 * be kept. */
#define RECEIVE_MAX_DISCARDED ((uint64_t)64 * 1024)

struct receiver {
	struct connection *connection;
	/* The client waits for "100 Continue" (RFC 9110, 10.1.1): it is sent when the
	 * body is first asked for, and never when it is not wanted. */
	bool owes_continue;
	struct pace pace;
	uint64_t received; /* bytes of content so far */
	enum status outcome; /* of the last read; a failure stays */
};

/* Up to `size` bytes; *ret_length 0 at the end. BW_TIMEOUT: the client is too slow,
 * BW_CANCELLED: it is gone, or we are stopping, BW_INVALID: the chunked coding is
 * not well-formed. */
enum status receive(struct receiver *receiver, void *target, size_t size, size_t *ret_length);

/* Can the next request follow on this connection? Throws away a small rest of the
 * body when all of it has come. */
bool receive_rest(struct receiver *receiver);

/* Is the client, for all we know, still sending a body? */
bool receive_is_expected(const struct receiver *receiver);

#endif
