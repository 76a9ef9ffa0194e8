/*
 * A request, read strictly (RFC 9112, RFC 9110, RFC 3986).
 *
 * Whatever two programs could read in two ways is refused with 400 and the
 * connection closed, because a proxy in front of us may have read it the other
 * way: Content-Length with Transfer-Encoding, either of them twice, a length
 * that is not a plain number, a second Host. Paths must mean one thing: no
 * empty, "." or ".." segment, no encoded slash or NUL, no fragment, no control
 * byte. A query names a parameter once; only tags come in numbers.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "server/base/arena.h"
#include "server/http/connection.h"
#include "server/registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define REQUEST_MAX_PARAMETERS 80 /* more: 414 */
#define REQUEST_ID_MAX 64

enum method {
	METHOD_GET = 1,
	METHOD_HEAD = 2,
	METHOD_POST = 4,
	METHOD_PUT = 8,
	METHOD_PATCH = 16,
	METHOD_DELETE = 32,
	METHOD_OPTIONS = 64,
	METHOD_OTHER = 128,
};

/* As the metrics' label has it: "GET", ..., "other". */
const char *method_name(enum method method);

/* Of enum method bits, as Allow has them: "GET, HEAD". */
void request_format_methods(unsigned bits, struct buf *target);

struct query_parameter {
	const char *name;
	const char *value; /* "" when there is no '=' */
};

struct request {
	const struct request_head *head;
	enum method method;
	const char *path; /* decoded; begins with '/' */
	struct query_parameter parameters[REQUEST_MAX_PARAMETERS];
	size_t parameter_count;
	const char *host; /* Host, or the target's own authority; NULL: none (HTTP/1.0) */
	bool has_body;
	bool has_length; /* Content-Length, or there is no body */
	uint64_t length; /* when has_length */
	bool expects_continue; /* Expect: 100-continue, and a body (RFC 9110, 10.1.1) */
	char id[REQUEST_ID_MAX + 1]; /* the client's X-Request-Id when it is a sane one */
};

/* The request's id is set in any case, so that a refusal carries it. False:
 * *failure says what is wrong (400, 414, 417), and the connection must be closed after it. Text
 * lives in the arena or in `head`, which both must outlive the request. */
bool request_parse(const struct request_head *head, struct arena *arena, struct request *ret,
		   struct api_failure *failure);

/* The first field of this name, in any case of letters; NULL when absent. */
const char *request_header(const struct request *request, const char *name);

/* The parameter's decoded value; NULL when absent. Of one that may come more than
 * once, the first. */
const char *request_parameter(const struct request *request, const char *name);

/* All of them, in their order: writes up to `max` values and returns how many
 * there are. */
size_t request_parameters(const struct request *request, const char *name, const char **values,
			  size_t max);

/* The head of something that was no request: an id and nothing else. */
void request_init_malformed(struct request *request, const struct request_head *empty_head);

/* The target of a request line (RFC 9112, 3.2: origin-form or absolute-form),
 * taken apart. *ret_authority is NULL for origin-form. False: *ret_reason is a
 * sentence. */
bool request_parse_target(const char *target, struct arena *arena, struct request *ret,
			  const char **ret_authority, const char **ret_reason);

#endif
