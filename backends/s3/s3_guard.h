/*
 * What keeps a store in trouble from being asked too often, and us from waiting for it.
 *
 * A budget of retries: every request adds a tenth of a retry, S3_RETRY_BURST may be
 * saved up, and a retry takes one. So a store where everything fails is asked 1.1 times
 * as often, not three times.
 *
 * A breaker:
 *   CLOSED     requests go through; S3_BREAKER_FAILURES failures in a row open it
 *   OPEN       requests fail at once, for 250 ms, doubling to 2 s, with jitter
 *   HALF_OPEN  one request goes through; its success closes, its failure opens
 * Only what says that the store is ill counts: network, 5xx, and timeouts, each as
 * much as two, because it held a thread all the while. SlowDown counts as nothing: who
 * says it is well, and waits by the budget.
 */
#ifndef BACKENDS_S3_S3_GUARD_H
#define BACKENDS_S3_S3_GUARD_H

#include "server/base/error.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define S3_BREAKER_FAILURES 5u
#define S3_BREAKER_PAUSE_MS 250
#define S3_BREAKER_PAUSE_MAX_MS 2000
#define S3_RETRY_BURST 20u
#define S3_RETRY_PAUSE_MS 50
#define S3_RETRY_PAUSE_MAX_MS 2000
#define S3_GUARD_FAILURE_SIZE 256

struct s3_guard {
	pthread_mutex_t lock; /* covers all below; leaf, never held over I/O */
	unsigned tenths; /* of a retry, saved up */
	unsigned failures; /* in a row */
	int64_t open_until_ms; /* monotonic; 0: closed */
	int64_t pause_ms;
	bool probing; /* the one request of HALF_OPEN is under way */
	char last_failure[S3_GUARD_FAILURE_SIZE]; /* of those that count */
};

enum s3_outcome {
	S3_ANSWERED, /* whatever it said: the store is well */
	S3_THROTTLED, /* SlowDown */
	S3_FAILED, /* network, 5xx */
	S3_TIMED_OUT,
	S3_NOTHING_LEARNED, /* given up before there was an answer */
};

void s3_guard_init(struct s3_guard *guard);
void s3_guard_release(struct s3_guard *guard);

/* False: the breaker is open, for *ret_wait_ms more. Every true must be followed by
 * exactly one s3_guard_report. */
bool s3_guard_admit(struct s3_guard *guard, int64_t *ret_wait_ms);
/* `why`: what went wrong, for those who are not admitted later. */
void s3_guard_report(struct s3_guard *guard, enum s3_outcome outcome, const char *why);
void s3_guard_last_failure(struct s3_guard *guard, char target[S3_GUARD_FAILURE_SIZE]);

/* Takes a retry out of the budget; false when there is none. `attempt` counts from 0;
 * *ret_pause_ms is how long to wait before it: jittered, doubling. */
bool s3_guard_retry(struct s3_guard *guard, unsigned attempt, int64_t *ret_pause_ms);

#endif
