/*
 * Answers: one prepared head, and the bodies that are in memory.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "server/base/buf.h"
#include "server/base/digest.h"
#include "server/http/exchange.h"
#include "server/http/range.h"

#include <stddef.h>
#include <stdint.h>

/* What the head says; fields that are NULL or zero are left out. */
struct response {
	int status;
	const char *content_type;
	bool has_length; /* every answer but 304 */
	uint64_t content_length;
	const char *digest; /* Docker-Content-Digest, and ETag in quotes */
	const char *link; /* path and query of the next page */
	const char *allow; /* may be "" */
	bool filters_applied; /* OCI-Filters-Applied: artifactType */
	bool accepts_ranges;
	const struct byte_range *part; /* Content-Range of a 206 */
	bool unsatisfiable; /* Content-Range of a 416 */
	uint64_t full_size; /* what both of them refer to */
	int retry_after;
};

/* Writes the head of the answer into `buf`, and notes status and length in the
 * exchange. What is always there: Date, Docker-Distribution-Api-Version,
 * X-Request-Id; what the exchange knows: X-Breakwater-Cache, OCI-Namespace,
 * Warning on a stale copy; Connection where it matters. */
void response_write_head(struct exchange *exchange, const struct response *response,
			 struct buf *buf);

/* The whole answer in one write. `response->content_length` is the length of
 * `body`, which HEAD and 304 do not send. */
void respond(struct exchange *exchange, const struct response *response, const void *body);

/* The registry API's error body. The message is noted for the log. */
void respond_failure(struct exchange *exchange, const struct api_failure *failure);
/* The same, with fields of `extra` that are not of the error itself. */
void respond_failure_with(struct exchange *exchange, const struct api_failure *failure,
			  const struct response *extra);

/* Text for the admin listener. */
void respond_text(struct exchange *exchange, int status, const char *content_type, const char *body,
		  size_t length);

/* Notes why an answer was cut, when it was; closes or resets the connection. */
void exchange_cut(struct exchange *exchange, enum status outcome, const char *why);

#endif
