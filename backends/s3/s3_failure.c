#include "backends/s3/s3_failure.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <string.h>

#define NO_BUCKET "create the bucket, or correct storage.s3.bucket"
#define NO_PERMISSION \
	"the key needs GetObject, PutObject, DeleteObject, ListBucket, " \
	"ListBucketMultipartUploads and AbortMultipartUpload on this bucket"
/* The answer to a HEAD has no body, in which most stores would say why. */
#define NO_REASON \
	"storage.s3.accessKey or its secret is wrong, or the clocks differ, or " NO_PERMISSION
#define NO_KEY "correct storage.s3.accessKey"
#define NO_SECRET "storage.s3.secretKey is not the secret of this access key"
#define TOKEN_OVER "renew the session token and its keys in their files"
#define CLOCKS "the clocks of this machine and of the store differ: synchronise them"
#define REGION "correct storage.s3.region and storage.s3.endpoint"
#define FULL "free space in the store, or raise the quota"

static const struct {
	const char *code;
	struct s3_verdict verdict;
} codes[] = {
	{"NoSuchKey", {BW_ABSENT, S3_ANSWERED, false, ""}},
	{"NoSuchUpload", {BW_ABSENT, S3_ANSWERED, false, ""}},
	{"NoSuchBucket", {BW_UNAVAILABLE, S3_ANSWERED, false, NO_BUCKET}},
	{"InvalidBucketName", {BW_UNAVAILABLE, S3_ANSWERED, false, NO_BUCKET}},
	{"AccessDenied", {BW_DENIED, S3_ANSWERED, false, NO_PERMISSION}},
	{"InvalidAccessKeyId", {BW_DENIED, S3_ANSWERED, false, NO_KEY}},
	{"SignatureDoesNotMatch", {BW_DENIED, S3_ANSWERED, false, NO_SECRET}},
	{"ExpiredToken", {BW_DENIED, S3_ANSWERED, false, TOKEN_OVER}},
	{"InvalidToken", {BW_DENIED, S3_ANSWERED, false, TOKEN_OVER}},
	{"RequestTimeTooSkewed", {BW_DENIED, S3_ANSWERED, false, CLOCKS}},
	{"AuthorizationHeaderMalformed", {BW_DENIED, S3_ANSWERED, false, REGION}},
	{"PermanentRedirect", {BW_DENIED, S3_ANSWERED, false, REGION}},
	{"TemporaryRedirect", {BW_DENIED, S3_ANSWERED, false, REGION}},
	{"SlowDown", {BW_UNAVAILABLE, S3_THROTTLED, true, ""}},
	{"SlowDownRead", {BW_UNAVAILABLE, S3_THROTTLED, true, ""}},
	{"SlowDownWrite", {BW_UNAVAILABLE, S3_THROTTLED, true, ""}},
	{"RequestTimeout", {BW_UNREACHABLE, S3_FAILED, true, ""}},
	{"InternalError", {BW_UNREACHABLE, S3_FAILED, true, ""}},
	{"PreconditionFailed", {BW_CONFLICT, S3_ANSWERED, false, ""}},
	{"ConditionalRequestConflict", {BW_UNAVAILABLE, S3_ANSWERED, true, ""}},
	{"OperationAborted", {BW_UNAVAILABLE, S3_ANSWERED, true, ""}},
	{"BadDigest", {BW_CORRUPT, S3_ANSWERED, false, ""}},
	{"XAmzContentSHA256Mismatch", {BW_CORRUPT, S3_ANSWERED, false, ""}},
	{"QuotaExceeded", {BW_NO_SPACE, S3_ANSWERED, false, FULL}},
	{"XMinioAdminBucketQuotaExceeded", {BW_NO_SPACE, S3_ANSWERED, false, FULL}},
	{"XMinioStorageFull", {BW_NO_SPACE, S3_ANSWERED, false, FULL}},
	{"KeyTooLongError", {BW_INVALID, S3_ANSWERED, false, ""}},
	{"XMinioInvalidObjectName", {BW_INVALID, S3_ANSWERED, false, ""}},
	{"XMinioParentIsObject", {BW_INVALID, S3_ANSWERED, false, ""}},
	{"XMinioObjectExistsAsDirectory", {BW_INVALID, S3_ANSWERED, false, ""}},
};

static struct s3_verdict judge_status(int status)
{
	switch (status) {
	case 301:
	case 302:
	case 307:
	case 308:
		return (struct s3_verdict){BW_DENIED, S3_ANSWERED, false, REGION};
	case 401:
	case 403:
		return (struct s3_verdict){BW_DENIED, S3_ANSWERED, false, NO_REASON};
	case 404:
		return (struct s3_verdict){BW_ABSENT, S3_ANSWERED, false, ""};
	case 412:
		return (struct s3_verdict){BW_CONFLICT, S3_ANSWERED, false, ""};
	case 429:
	case 503:
		return (struct s3_verdict){BW_UNAVAILABLE, S3_THROTTLED, true, ""};
	case 507:
		return (struct s3_verdict){BW_NO_SPACE, S3_ANSWERED, false, FULL};
	default:
		break;
	}
	if (status >= 500)
		return (struct s3_verdict){BW_UNREACHABLE, S3_FAILED, true, ""};
	return (struct s3_verdict){BW_UNREACHABLE, S3_ANSWERED, false, ""};
}

struct s3_verdict s3_failure_judge(const struct s3_answer *answer, const struct s3_error_body *body)
{
	const char *code = body->code[0] ? body->code : answer->error_code;

	for (size_t i = 0; i < array_size(codes); i++)
		if (strcmp(code, codes[i].code) == 0)
			return codes[i].verdict;
	/* an error within a 200 that we do not know */
	if (answer->status / 100 == 2)
		return (struct s3_verdict){BW_UNREACHABLE, S3_FAILED, true, ""};
	return judge_status(answer->status);
}

bool s3_failure_may_pass(const struct s3_verdict *verdict)
{
	return strcmp(verdict->hint, NO_PERMISSION) == 0;
}

enum status s3_failure_tell(const struct s3_verdict *verdict, const struct s3_answer *answer,
			    const struct s3_error_body *body, const char *what, struct error *error)
{
	const char *code = body->code[0] ? body->code : answer->error_code;
	const char *region = body->region[0] ? body->region : answer->region;
	bool is_region = strcmp(verdict->hint, REGION) == 0;

	error_set(error, verdict->status, "%s: %d%s%s%s%s%s%s%s%s", what, answer->status,
		  *code ? " " : "", code, body->message[0] ? ": " : "", body->message,
		  *verdict->hint ? "; " : "", verdict->hint,
		  is_region && *region ? ": the bucket's region is " : "", is_region ? region : "");
	if (error) {
		error->http_status = answer->status;
		error->retry_after = answer->retry_after;
	}
	return verdict->status;
}
