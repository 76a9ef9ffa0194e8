#include "backends/s3/s3_guard.h"

#include "server/base/clock.h"
#include "server/base/str.h"

#define TENTHS_MAX (10u * S3_RETRY_BURST)

void s3_guard_init(struct s3_guard *guard)
{
	*guard = (struct s3_guard){.tenths = TENTHS_MAX};
	pthread_mutex_init(&guard->lock, NULL);
}

void s3_guard_release(struct s3_guard *guard)
{
	pthread_mutex_destroy(&guard->lock);
}

/* Half of it to all of it: replicas that failed together do not come back together. */
static int64_t jittered(int64_t ms)
{
	uint32_t random;

	random_bytes(&random, sizeof(random));
	return ms / 2 + random % (ms / 2 + 1);
}

bool s3_guard_admit(struct s3_guard *guard, int64_t *ret_wait_ms)
{
	int64_t now = clock_monotonic_ms();
	bool admitted;

	pthread_mutex_lock(&guard->lock);
	admitted = !guard->open_until_ms || (now >= guard->open_until_ms && !guard->probing);
	if (admitted) {
		guard->probing = guard->open_until_ms != 0;
		guard->tenths += guard->tenths < TENTHS_MAX;
	} else {
		*ret_wait_ms = now < guard->open_until_ms ? guard->open_until_ms - now
							  : S3_BREAKER_PAUSE_MS;
	}
	pthread_mutex_unlock(&guard->lock);
	return admitted;
}

/* Under the lock. Requests that were under way when it opened change nothing. */
static void count_failure(struct s3_guard *guard, unsigned weight)
{
	if (guard->open_until_ms && !guard->probing)
		return;
	guard->failures += weight;
	if (guard->failures < S3_BREAKER_FAILURES && !guard->probing)
		return;
	guard->pause_ms = guard->probing ? 2 * guard->pause_ms : S3_BREAKER_PAUSE_MS;
	if (guard->pause_ms > S3_BREAKER_PAUSE_MAX_MS)
		guard->pause_ms = S3_BREAKER_PAUSE_MAX_MS;
	guard->open_until_ms = clock_monotonic_ms() + jittered(guard->pause_ms);
	guard->probing = false;
}

void s3_guard_report(struct s3_guard *guard, enum s3_outcome outcome, const char *why)
{
	pthread_mutex_lock(&guard->lock);
	if (outcome == S3_FAILED || outcome == S3_TIMED_OUT)
		str_copy(guard->last_failure, sizeof(guard->last_failure), why);
	switch (outcome) {
	case S3_ANSWERED:
	case S3_THROTTLED:
		guard->failures = 0;
		guard->open_until_ms = 0;
		guard->probing = false;
		break;
	case S3_FAILED:
		count_failure(guard, 1);
		break;
	case S3_TIMED_OUT:
		count_failure(guard, 2);
		break;
	case S3_NOTHING_LEARNED:
		guard->probing = false;
		break;
	}
	pthread_mutex_unlock(&guard->lock);
}

void s3_guard_last_failure(struct s3_guard *guard, char target[S3_GUARD_FAILURE_SIZE])
{
	pthread_mutex_lock(&guard->lock);
	str_copy(target, S3_GUARD_FAILURE_SIZE, guard->last_failure);
	pthread_mutex_unlock(&guard->lock);
}

bool s3_guard_retry(struct s3_guard *guard, unsigned attempt, int64_t *ret_pause_ms)
{
	int64_t pause = S3_RETRY_PAUSE_MS;
	bool allowed;

	pthread_mutex_lock(&guard->lock);
	allowed = guard->tenths >= 10;
	if (allowed)
		guard->tenths -= 10;
	pthread_mutex_unlock(&guard->lock);
	for (unsigned i = 0; i < attempt && pause < S3_RETRY_PAUSE_MAX_MS; i++)
		pause *= 2;
	if (allowed)
		*ret_pause_ms =
			jittered(pause < S3_RETRY_PAUSE_MAX_MS ? pause : S3_RETRY_PAUSE_MAX_MS);
	return allowed;
}
