#include "server/upstream/breaker.h"

#include "server/base/clock.h"
#include "server/base/str.h"

#define PAUSE_FIRST_MS 1000
#define PAUSE_LONGEST_MS 30000
/* How soon to look again while another ask finds out how the upstream is. */
#define PROBE_WAIT_MS 1000

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

bool breaker_report_success(struct breaker *breaker)
{
	bool was_open;

	pthread_mutex_lock(&breaker->lock);
	was_open = breaker->open_until_ms != 0;
	breaker->failures = 0;
	breaker->open_until_ms = 0;
	breaker->pause_ms = 0;
	breaker->probing = false;
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
	if (until > breaker->throttled_until_ms)
		breaker->throttled_until_ms = until;
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
