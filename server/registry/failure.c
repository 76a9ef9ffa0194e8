#include "server/registry/failure.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdio.h>

/* Every client goes on to its next host on 403, 404, 502, 503 and 504. An
 * upstream's 429 becomes a 503: a client would hammer us on the former. */
static const struct {
	int http_status;
	enum api_code code;
} answers[] = {
	[BW_OK] = {500, API_UNKNOWN},
	[BW_ABSENT] = {404, API_UNKNOWN}, /* the code is the caller's */
	[BW_INVALID] = {400, API_UNSUPPORTED},
	[BW_TOO_LARGE] = {502, API_SIZE_INVALID},
	[BW_DENIED] = {403, API_DENIED},
	[BW_UNSUPPORTED] = {502, API_UNSUPPORTED},
	[BW_UNAVAILABLE] = {503, API_UNAVAILABLE},
	[BW_UNREACHABLE] = {502, API_UNAVAILABLE},
	[BW_TIMEOUT] = {504, API_UNAVAILABLE},
	[BW_CORRUPT] = {502, API_UNAVAILABLE},
	[BW_NO_SPACE] = {503, API_UNAVAILABLE},
	[BW_IO] = {503, API_UNAVAILABLE},
	[BW_CANCELLED] = {503, API_UNAVAILABLE},
	[BW_CONFLICT] = {500, API_UNKNOWN},
	[BW_INTERNAL] = {500, API_UNKNOWN},
};

#define RETRY_AFTER_DEFAULT 1 /* seconds, where nobody said */

bool failure_from_error(struct api_failure *failure, enum status status, const struct error *error,
			enum api_code absent)
{
	if ((size_t)status >= array_size(answers))
		status = BW_INTERNAL;
	*failure = (struct api_failure){
		.http_status = answers[status].http_status,
		.code = status == BW_ABSENT ? absent : answers[status].code,
		.retry_after = error->retry_after,
	};
	if (status == BW_UNAVAILABLE && error->http_status == 429)
		failure->code = API_TOOMANYREQUESTS;
	if (failure->http_status == 503 && failure->retry_after == 0)
		failure->retry_after = RETRY_AFTER_DEFAULT;
	if (failure->http_status != 503)
		failure->retry_after = 0;
	str_copy(failure->message, sizeof(failure->message),
		 error->message[0] ? error->message : status_name(status));
	return false;
}

bool failure_from_stores(struct api_failure *failure, enum status status, const struct error *error,
			 enum api_code absent)
{
	failure_from_error(failure, status, error, absent);
	if (status == BW_ABSENT || failure->http_status == 500)
		return false;
	failure->http_status = 503;
	failure->code = API_UNAVAILABLE;
	failure->retry_after = error->retry_after ? error->retry_after : RETRY_AFTER_DEFAULT;
	return false;
}

bool failure_from_body(struct api_failure *failure, enum status status, const struct error *error)
{
	failure_from_error(failure, status, error, API_UNKNOWN);
	failure->retry_after = 0;
	if (status == BW_CANCELLED || status == BW_TIMEOUT) {
		/* nobody may be there to read it, but the log tells it from our faults */
		failure->http_status = 408;
		failure->code = API_BLOB_UPLOAD_INVALID;
	} else if (status == BW_INVALID) {
		failure->http_status = 400;
		failure->code = API_BLOB_UPLOAD_INVALID;
	} else if (status == BW_TOO_LARGE) {
		failure->http_status = 413;
	} else {
		failure->http_status = 500;
		failure->code = API_UNKNOWN;
	}
	return false;
}

bool failure_set(struct api_failure *failure, int http_status, enum api_code code,
		 const char *format, ...)
{
	va_list arguments;

	*failure = (struct api_failure){.http_status = http_status, .code = code};
	va_start(arguments, format);
	vsnprintf(failure->message, sizeof(failure->message), format, arguments);
	va_end(arguments);
	return false;
}
