/*
 * A request, tried until there is an answer that counts: the breaker before each
 * attempt; after it the budget of retries, the deadline, and keys that may be in the
 * files since. Both clients of S3 ask like this.
 */
#ifndef BACKENDS_S3_S3_ATTEMPTS_H
#define BACKENDS_S3_S3_ATTEMPTS_H

#include "backends/s3/s3_failure.h"
#include "backends/s3/s3_guard.h"
#include "backends/s3/s3_secrets.h"
#include "server/base/clock.h"

struct s3_attempts {
	struct s3_guard *guard;
	struct s3_secrets *secrets;
	const char *where; /* the store, for messages */
	deadline_ms deadline;
	bool is_put; /* of an object: see s3_failure_may_pass */
	/* One attempt, signed with the secret. *ret_retry_after: seconds, if the store asked
	 * for some. Sets the error unless the verdict's status is BW_OK. */
	struct s3_verdict (*attempt)(void *context, const struct s3_secret *secret,
				     int *ret_retry_after, struct error *error);
	void *context;
};

/* The last attempt's status and error; BW_UNAVAILABLE, with retry_after, when the
 * breaker let none through. */
enum status s3_attempts_make(const struct s3_attempts *attempts, struct error *error);

#endif
