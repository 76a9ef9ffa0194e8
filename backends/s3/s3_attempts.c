#include "backends/s3/s3_attempts.h"

#include <errno.h>
#include <time.h>

#define ATTEMPTS_MAX 4u

static enum status refuse(const struct s3_attempts *attempts, int64_t wait_ms, struct error *error)
{
	char last[S3_GUARD_FAILURE_SIZE];

	s3_guard_last_failure(attempts->guard, last);
	error_set(error, BW_UNAVAILABLE,
		  "S3 at %s failed too often, and is not asked for %lld ms; last: %s",
		  attempts->where, (long long)wait_ms, last);
	if (error)
		error->retry_after = 1;
	return BW_UNAVAILABLE;
}

static void pause_for(int64_t ms)
{
	struct timespec length = {ms / 1000, ms % 1000 * 1000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &length, &length) == EINTR)
		;
}

/* Waits, when another attempt makes sense. `done`: attempts so far. */
static bool wait_to_retry(const struct s3_attempts *attempts, const struct s3_verdict *verdict,
			  unsigned done, int retry_after)
{
	int64_t pause;

	if (!verdict->retry || done >= ATTEMPTS_MAX ||
	    !s3_guard_retry(attempts->guard, done - 1, &pause))
		return false;
	if (retry_after > 0 && pause < (int64_t)retry_after * 1000)
		pause = (int64_t)retry_after * 1000;
	if (pause > S3_RETRY_PAUSE_MAX_MS || pause >= deadline_left_ms(attempts->deadline))
		return false;
	pause_for(pause);
	return true;
}

/* New keys may be in the files since. */
static bool may_use_new_keys(const struct s3_attempts *attempts, const struct s3_verdict *verdict,
			     const struct s3_secret *secret, bool *renewed)
{
	if (verdict->status != BW_DENIED || *renewed)
		return false;
	*renewed = true;
	return s3_secrets_renewed(attempts->secrets, secret);
}

enum status s3_attempts_make(const struct s3_attempts *attempts, struct error *error)
{
	struct s3_verdict verdict;
	struct error why = {0};
	bool renewed = false;
	bool again = true;

	for (unsigned done = 1; again; done++) {
		struct s3_secret secret;
		int64_t wait_ms = 0;
		int retry_after = 0;

		if (!s3_guard_admit(attempts->guard, &wait_ms))
			return refuse(attempts, wait_ms, error);
		s3_secrets_get(attempts->secrets, &secret);
		verdict = attempts->attempt(attempts->context, &secret, &retry_after, &why);
		verdict.retry |= attempts->is_put && s3_failure_may_pass(&verdict);
		s3_guard_report(attempts->guard, verdict.outcome, why.message);
		again = may_use_new_keys(attempts, &verdict, &secret, &renewed) ||
			wait_to_retry(attempts, &verdict, done, retry_after);
		s3_secret_release(&secret);
	}
	if (verdict.status != BW_OK && error)
		*error = why;
	return verdict.status;
}
