/*
 * Answers: one prepared head, and the bodies that are in memory.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include "server/http/exchange.h"
#include "server/http/range.h"
#include "server/registry/push.h"

#include <stddef.h>
#include <stdint.h>

/* What the head says; fields that are NULL or zero are left out. */
struct response {
	int status;
	const char *content_type;
	bool has_length; /* every answer but 204 and 304 */
	uint64_t content_length;
	const char *digest; /* Docker-Content-Digest, and ETag in quotes */
	const char *location;
	const struct upload_status *upload; /* Range, Docker-Upload-UUID, OCI-Chunk-Min-Length */
	const char *subject; /* OCI-Subject */
	const char *const *tags; /* OCI-Tag, one of each */
	size_t tag_count;
	const char *link; /* path and query of the next page */
	const char *allow; /* may be "" */
	bool filters_applied; /* OCI-Filters-Applied: artifactType */
	bool accepts_ranges;
	const struct byte_range *part; /* Content-Range of a 206 */
	bool unsatisfiable; /* Content-Range of a 416 */
	uint64_t full_size; /* what both of them refer to */
	int retry_after;
	const char *replica_answer; /* X-Breakwater-Answer (server/cluster/request.h) */
};

/* Sends the head, and with it the first `length` bytes of the body; `more`: the
 * rest follows at once. False: the answer was cut. What is always there: Date,
 * Docker-Distribution-Api-Version, X-Content-Type-Options, X-Request-Id; what
 * the exchange knows: X-Breakwater-Cache, OCI-Namespace, Warning on a stale
 * copy; Connection where it matters. */
bool response_begin(struct exchange *exchange, const struct response *response, const void *body,
		    size_t length, bool more);

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

/* Notes why an answer was cut, when it was, and resets the connection. */
void exchange_cut(struct exchange *exchange, enum status outcome, const char *why);
/* The same for an outcome of send.h's: the client left, or was as good as gone. */
void exchange_cut_sending(struct exchange *exchange, enum status outcome);

#endif
