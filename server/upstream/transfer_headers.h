/*
 * Reading the head of a reply, line by line: for transfer.c, which gets the
 * lines from libcurl. Interim replies (RFC 9110, 15.2) and trailers are passed
 * over; what parsers could disagree about is refused.
 */
#ifndef UPSTREAM_TRANSFER_HEADERS_H
#define UPSTREAM_TRANSFER_HEADERS_H

#include "server/upstream/transfer.h"

#include <stdbool.h>
#include <stddef.h>

struct head_reader {
	struct transfer_response *response; /* filled as lines come */
	unsigned lines;
	size_t bytes;
	bool chunked; /* Transfer-Encoding came: Content-Length means nothing */
	bool complete; /* the final reply's head has ended; all else is trailers */
	const char *refusal; /* static text, after false */
};

/* One line with its line end. False: not acceptable, end the exchange. */
bool head_reader_feed(struct head_reader *reader, const char *line, size_t length);

#endif
