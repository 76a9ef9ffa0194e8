/*
 * One small set of outcomes for the whole program, and the sentence that goes
 * with a failure.
 *
 * Three answers are never confused:
 *   found          BW_OK
 *   not there      BW_ABSENT, said only by somebody who knows
 *   could not tell every other code
 *
 * A function that can fail returns `enum status` and takes a `struct error *`
 * that the caller owns (NULL when the caller does not want the sentence). On
 * failure it fills the error once, at the place that knows what, where and
 * what to do about it; its other outputs (`ret_*`) are untouched. On success
 * the error is untouched. Library code never logs: the layer that answers the
 * request or ends the task does.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

enum status {
	BW_OK = 0,
	BW_ABSENT, /* not there, and the one who answered would know */
	BW_INVALID, /* malformed: a name, a body, a file, a header */
	BW_TOO_LARGE, /* over a limit of ours */
	BW_DENIED, /* the caller, or we at an upstream, may not */
	BW_UNSUPPORTED, /* well-formed, but not something we do */
	BW_UNAVAILABLE, /* try later: throttled, breaker open, overloaded, store down */
	BW_UNREACHABLE, /* no usable answer: refused, reset, DNS, TLS, 5xx, nonsense */
	BW_TIMEOUT, /* a deadline passed */
	BW_CORRUPT, /* bytes that do not match their digest or length */
	BW_NO_SPACE, /* a disk, quota or bounded buffer is full */
	BW_IO, /* the operating system said no */
	BW_CANCELLED, /* given up: we are stopping, or nobody wants it any more */
	BW_CONFLICT, /* a newer version is in place, or it exists already */
	BW_INTERNAL, /* a bug of ours */
};

/* What went wrong, for a person. Value type; zero-initialise. */
struct error {
	enum status code;
	int retry_after; /* seconds after which trying again makes sense; 0: not known */
	int http_status; /* the status a peer answered with, when that is the failure; 0: none */
	char message[512]; /* one line, no secret, names what and where; "" when none */
};

/* Sets *error (when not NULL) and returns code, so that `return error_set(...)`
 * reads as one step. retry_after and http_status become 0. An over-long message
 * is cut, control bytes become spaces; arguments may point into error->message. */
enum status error_set(struct error *error, enum status code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, with the text of an errno appended: "open /x: Permission denied".
 * That text is never what is cut. */
enum status error_set_errno(struct error *error, enum status code, int errnum, const char *format,
			    ...) __attribute__((format(printf, 4, 5)));

/* Puts "context: " before the message already there. Keeps code. */
void error_prefix(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ENOSPC and EDQUOT are BW_NO_SPACE, ENOENT is BW_ABSENT, the rest BW_IO. */
enum status status_from_errno(int errnum);

/* "absent", "timeout", ...: static, lower case, for logs and metrics. */
const char *status_name(enum status status);

#endif
