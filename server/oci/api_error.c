#include "server/oci/api_error.h"

#include "server/base/buf.h"
#include "server/base/memory.h"

#include <string.h>

static const char *const names[] = {
	[API_BLOB_UNKNOWN] = "BLOB_UNKNOWN",
	[API_BLOB_UPLOAD_INVALID] = "BLOB_UPLOAD_INVALID",
	[API_BLOB_UPLOAD_UNKNOWN] = "BLOB_UPLOAD_UNKNOWN",
	[API_DIGEST_INVALID] = "DIGEST_INVALID",
	[API_MANIFEST_BLOB_UNKNOWN] = "MANIFEST_BLOB_UNKNOWN",
	[API_MANIFEST_INVALID] = "MANIFEST_INVALID",
	[API_MANIFEST_UNKNOWN] = "MANIFEST_UNKNOWN",
	[API_NAME_INVALID] = "NAME_INVALID",
	[API_NAME_UNKNOWN] = "NAME_UNKNOWN",
	[API_SIZE_INVALID] = "SIZE_INVALID",
	[API_UNAUTHORIZED] = "UNAUTHORIZED",
	[API_DENIED] = "DENIED",
	[API_UNSUPPORTED] = "UNSUPPORTED",
	[API_TOOMANYREQUESTS] = "TOOMANYREQUESTS",
	[API_TAG_INVALID] = "TAG_INVALID",
	[API_RANGE_INVALID] = "RANGE_INVALID",
	[API_PAGINATION_NUMBER_INVALID] = "PAGINATION_NUMBER_INVALID",
	[API_UNAVAILABLE] = "UNAVAILABLE",
	[API_UNKNOWN] = "UNKNOWN",
};

const char *api_code_name(enum api_code code)
{
	if ((size_t)code >= array_size(names))
		code = API_UNKNOWN;
	return names[code];
}

void api_error_body(struct buf *buf, enum api_code code, const char *message, const char *detail)
{
	buf_append_string(buf, "{\"errors\":[{\"code\":\"");
	buf_append_string(buf, api_code_name(code));
	buf_append_string(buf, "\",\"message\":");
	buf_append_json(buf, message, strlen(message));
	buf_append_string(buf, ",\"detail\":");
	if (detail)
		buf_append_json(buf, detail, strlen(detail));
	else
		buf_append_string(buf, "null");
	buf_append_string(buf, "}]}");
}
