#include "backends/s3/libs3/libs3_internal.h"
#include "server/base/str.h"

#include <stdio.h>
#include <string.h>

/* The statuses that stand for an HTTP status and nothing more. */
static int http_status(S3Status status)
{
	switch (status) {
	case S3StatusHttpErrorMovedTemporarily:
		return 307;
	case S3StatusHttpErrorBadRequest:
		return 400;
	case S3StatusHttpErrorForbidden:
		return 403;
	case S3StatusHttpErrorNotFound:
		return 404;
	case S3StatusHttpErrorConflict:
		return 409;
	case S3StatusHttpErrorUnknown:
	case S3StatusErrorUnknown: /* an error code that libs3 does not know */
		return 500;
	default:
		return 0;
	}
}

/* What S3 calls the error; "" when it is none of S3's. */
static const char *code_of(S3Status status)
{
	const char *name = S3_get_status_name(status);

	if (status == S3StatusErrorUnknown || !str_starts_with(name, "Error"))
		return "";
	return name + strlen("Error");
}

struct s3_verdict libs3_judge(S3Status status)
{
	struct s3_answer answer = {.status = http_status(status)};
	struct s3_error_body body = {0};

	if (status == S3StatusOK)
		return (struct s3_verdict){BW_OK, S3_ANSWERED, false, ""};
	if (status == S3StatusOutOfMemory || status == S3StatusFailedToInitializeRequest)
		return (struct s3_verdict){BW_INTERNAL, S3_NOTHING_LEARNED, false, ""};
	if (status >= S3StatusInvalidBucketNameTooLong && status <= S3StatusUriTooLong)
		return (struct s3_verdict){BW_INVALID, S3_NOTHING_LEARNED, false, ""};
	str_copy(body.code, sizeof(body.code), code_of(status));
	if (answer.status || body.code[0])
		return s3_failure_judge(&answer, &body);
	/* network, or an answer that is none of S3's */
	return (struct s3_verdict){BW_UNREACHABLE, S3_FAILED, true, ""};
}

enum status libs3_tell(const struct libs3_transport *transport, const struct libs3_call *call,
		       const struct s3_verdict *verdict, struct error *error)
{
	const char *code = code_of(call->status);
	int status = http_status(call->status);
	char why[64];

	if (verdict->status == BW_TIMEOUT)
		snprintf(why, sizeof(why), "no answer in time");
	else if (status && call->status != S3StatusErrorUnknown)
		snprintf(why, sizeof(why), "HTTP status %d", status);
	else
		snprintf(why, sizeof(why), "%s", *code ? code : S3_get_status_name(call->status));
	error_set(error, verdict->status, "%s%s%.180s in bucket %s at http://%s: %s%s%s%s%s",
		  call->what, call->key ? " of " : "", call->key ? call->key : "",
		  transport->bucket, transport->host, why, call->message[0] ? ": " : "",
		  call->message, *verdict->hint ? "; " : "", verdict->hint);
	if (error && verdict->status != BW_TIMEOUT)
		error->http_status = status;
	return verdict->status;
}
