#include "server/upstream/breaker.h"

#include "server/base/clock.h"
#include "server/base/str.h"

#define PAUSE_FIRST_MS 1000
#define PAUSE_LONGEST_MS 30000
/* How soon to look again while another ask finds out how the upstream is. */
#define PROBE_WAIT_MS 1000
/* Times that another replica told are inexact by what the telling took. */
#define TOLD_SLACK_MS 100

void breaker_init(struct breaker *breaker)
{
	*breaker = (struct breaker){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void breaker_release(struct breaker *breaker)
{
	pthread_mutex_destroy(&breaker->lock);
}

bool breaker_admit(struct breaker *breaker, int64_t *ret_wait_ms)
{
	int64_t now = clock_monotonic_ms();
	int64_t wait = 0;

	pthread_mutex_lock(&breaker->lock);
	if (now < breaker->throttled_until_ms)
		wait = breaker->throttled_until_ms - now;
	else if (now < breaker->open_until_ms)
		wait = breaker->open_until_ms - now;
	else if (breaker->open_until_ms && breaker->probing)
		wait = PROBE_WAIT_MS;
	else if (breaker->open_until_ms)
		breaker->probing = true;
	pthread_mutex_unlock(&breaker->lock);
	if (wait)
		*ret_wait_ms = wait;
	return wait == 0;
}

/* With the lock held. */
static void close_at(struct breaker *breaker, int64_t now)
{
	breaker->failures = 0;
	breaker->open_until_ms = 0;
	breaker->pause_ms = 0;
	breaker->open_heeded = false;
	breaker->changed_ms = now;
}

bool breaker_report_success(struct breaker *breaker)
{
	int64_t now = clock_monotonic_ms();
	bool was_open;

	pthread_mutex_lock(&breaker->lock);
	was_open = breaker->open_until_ms != 0;
	breaker->failures = 0;
	breaker->succeeded_ms = now;
	breaker->probing = false;
	if (was_open) {
		close_at(breaker, now);
		breaker->ever = true;
	}
	pthread_mutex_unlock(&breaker->lock);
	return was_open;
}

/* From three quarters of the pause to five quarters, so that replicas which
 * saw the same outage do not come back in one moment. */
static int64_t with_jitter(int64_t pause_ms)
{
	uint32_t random;

	random_bytes(&random, sizeof(random));
	return pause_ms * 3 / 4 + (int64_t)(random % (uint64_t)(pause_ms / 2 + 1));
}

bool breaker_report_failure(struct breaker *breaker)
{
	int64_t now = clock_monotonic_ms();
	bool was_open, is_open;

	pthread_mutex_lock(&breaker->lock);
	was_open = breaker->open_until_ms != 0;
	breaker->failures++;
	/* asks that were under way when it opened fail late, and say nothing new */
	if (breaker->open_until_ms ? breaker->probing : breaker->failures >= BREAKER_FAILURES) {
		int64_t pause = breaker->pause_ms ? breaker->pause_ms * 2 : PAUSE_FIRST_MS;

		breaker->pause_ms = pause < PAUSE_LONGEST_MS ? pause : PAUSE_LONGEST_MS;
		breaker->open_until_ms = now + with_jitter(breaker->pause_ms);
		breaker->open_heeded = false;
		breaker->changed_ms = now;
		breaker->ever = true;
	}
	is_open = breaker->open_until_ms != 0;
	breaker->probing = false;
	pthread_mutex_unlock(&breaker->lock);
	return is_open && !was_open;
}

bool breaker_report_throttled(struct breaker *breaker, int64_t pause_ms)
{
	int64_t until = deadline_in(pause_ms);
	bool was_throttled;

	pthread_mutex_lock(&breaker->lock);
	was_throttled = clock_monotonic_ms() < breaker->throttled_until_ms;
	if (until > breaker->throttled_until_ms) {
		breaker->throttled_until_ms = until;
		breaker->throttle_heeded = false;
		breaker->ever = true;
	}
	breaker->probing = false;
	pthread_mutex_unlock(&breaker->lock);
	return !was_throttled;
}

void breaker_report_nothing(struct breaker *breaker)
{
	pthread_mutex_lock(&breaker->lock);
	breaker->probing = false;
	pthread_mutex_unlock(&breaker->lock);
}

bool breaker_is_open(struct breaker *breaker)
{
	bool open;

	pthread_mutex_lock(&breaker->lock);
	open = breaker->open_until_ms != 0;
	pthread_mutex_unlock(&breaker->lock);
	return open;
}

static int64_t left_ms(int64_t until_ms, int64_t now)
{
	return until_ms > now ? until_ms - now : 0;
}

void breaker_tell(struct breaker *breaker, struct breaker_verdict *ret)
{
	int64_t now = clock_monotonic_ms();

	pthread_mutex_lock(&breaker->lock);
	*ret = (struct breaker_verdict){.ever = breaker->ever};
	if (!breaker->open_heeded) {
		ret->open_ms = left_ms(breaker->open_until_ms, now);
		ret->changed_ago_ms = now - breaker->changed_ms;
	}
	if (!breaker->throttle_heeded)
		ret->throttled_ms = left_ms(breaker->throttled_until_ms, now);
	pthread_mutex_unlock(&breaker->lock);
}

/* With the lock held. */
static void heed_open(struct breaker *breaker, int64_t until_ms, int64_t changed_ms)
{
	if (!breaker->open_until_ms && changed_ms > breaker->succeeded_ms) {
		breaker->failures = BREAKER_FAILURES;
		breaker->pause_ms = PAUSE_FIRST_MS;
		breaker->open_until_ms = until_ms;
		breaker->open_heeded = true;
		breaker->changed_ms = changed_ms;
	} else if (breaker->open_heeded && !breaker->probing &&
		   until_ms > breaker->open_until_ms + TOLD_SLACK_MS) {
		breaker->open_until_ms = until_ms;
		breaker->changed_ms = changed_ms;
	}
}

bool breaker_heed(struct breaker *breaker, const struct breaker_verdict *verdict)
{
	int64_t now = clock_monotonic_ms();
	int64_t changed_ms = now - verdict->changed_ago_ms;
	int64_t throttled_until_ms = now + verdict->throttled_ms;
	bool was_paused, is_paused;

	pthread_mutex_lock(&breaker->lock);
	was_paused = breaker->open_until_ms || now < breaker->throttled_until_ms;
	if (verdict->open_ms > 0)
		heed_open(breaker, now + verdict->open_ms, changed_ms);
	else if (breaker->open_heeded && !breaker->probing &&
		 changed_ms > breaker->changed_ms + TOLD_SLACK_MS)
		close_at(breaker, changed_ms);
	if (verdict->throttled_ms > 0 &&
	    throttled_until_ms > breaker->throttled_until_ms + TOLD_SLACK_MS) {
		breaker->throttled_until_ms = throttled_until_ms;
		breaker->throttle_heeded = true;
	}
	is_paused = breaker->open_until_ms || now < breaker->throttled_until_ms;
	pthread_mutex_unlock(&breaker->lock);
	return is_paused && !was_paused;
}
