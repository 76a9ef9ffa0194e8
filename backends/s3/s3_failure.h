/*
 * What S3's refusals mean: one table from its error codes to ours, with what to do.
 */
#ifndef BACKENDS_S3_S3_FAILURE_H
#define BACKENDS_S3_S3_FAILURE_H

#include "backends/s3/s3_guard.h"
#include "backends/s3/s3_http.h"
#include "backends/s3/s3_xml.h"

struct s3_verdict {
	enum status status;
	enum s3_outcome outcome; /* for the breaker */
	bool retry; /* asking again may help */
	const char *hint; /* what to do; "" when there is nothing to say; static */
};

/* Of an answer that is no success. `body` may be of a 200: CompleteMultipartUpload and
 * DeleteObjects send their head before they know. */
struct s3_verdict s3_failure_judge(const struct s3_answer *answer,
				   const struct s3_error_body *body);

/* Of a PUT that was refused: may it be taken all the same, a moment later? MinIO on a disk
 * of its own denies one whose folder another's DELETE was just removing. */
bool s3_failure_may_pass(const struct s3_verdict *verdict);

/* The sentence: "put of KEY in bucket B at ENDPOINT: Code: Message: what to do". */
enum status s3_failure_tell(const struct s3_verdict *verdict, const struct s3_answer *answer,
			    const struct s3_error_body *body, const char *what,
			    struct error *error);

#endif
