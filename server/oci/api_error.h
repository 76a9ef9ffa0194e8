/*
 * The registry API's error codes and the body they travel in
 * (OCI distribution-spec, "Error Codes").
 */
#ifndef OCI_API_ERROR_H
#define OCI_API_ERROR_H

struct buf;

enum api_code {
	API_BLOB_UNKNOWN,
	API_BLOB_UPLOAD_INVALID,
	API_BLOB_UPLOAD_UNKNOWN,
	API_DIGEST_INVALID,
	API_MANIFEST_BLOB_UNKNOWN,
	API_MANIFEST_INVALID,
	API_MANIFEST_UNKNOWN,
	API_NAME_INVALID,
	API_NAME_UNKNOWN,
	API_SIZE_INVALID,
	API_UNAUTHORIZED,
	API_DENIED,
	API_UNSUPPORTED,
	API_TOOMANYREQUESTS,
	/* beyond the specification's list, as distribution has them */
	API_TAG_INVALID,
	API_RANGE_INVALID,
	API_PAGINATION_NUMBER_INVALID,
	API_UNAVAILABLE,
	API_UNKNOWN,
};

const char *api_code_name(enum api_code code); /* "BLOB_UNKNOWN" */

/* {"errors":[{"code":...,"message":...,"detail":...}]}; detail NULL: null. */
void api_error_body(struct buf *buf, enum api_code code, const char *message, const char *detail);

#endif
