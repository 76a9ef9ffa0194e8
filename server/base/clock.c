#include "server/base/clock.h"

#include "server/base/str.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAUSE_STEP_NS (20 * 1000 * 1000)

static const char day_names[] = "SunMonTueWedThuFriSat";
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static struct timespec now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time;
}

int64_t clock_monotonic_ms(void)
{
	struct timespec time = now(CLOCK_MONOTONIC);

	return time.tv_sec * INT64_C(1000) + time.tv_nsec / 1000000;
}

int64_t clock_monotonic_us(void)
{
	struct timespec time = now(CLOCK_MONOTONIC);

	return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	struct timespec time = now(CLOCK_REALTIME);

	return time.tv_sec * INT64_C(1000) + time.tv_nsec / 1000000;
}

deadline_ms deadline_in(int64_t ms)
{
	deadline_ms deadline;

	/* the clock is never negative, so only the top can be passed */
	if (__builtin_add_overflow(clock_monotonic_ms(), ms, &deadline))
		return DEADLINE_NEVER;
	return deadline;
}

bool deadline_passed(deadline_ms deadline)
{
	return deadline_left_ms(deadline) == 0;
}

int64_t deadline_left_ms(deadline_ms deadline)
{
	int64_t at = clock_monotonic_ms();

	if (deadline == DEADLINE_NEVER)
		return INT64_MAX;
	return deadline > at ? deadline - at : 0;
}

deadline_ms deadline_earlier(deadline_ms a, deadline_ms b)
{
	return a < b ? a : b;
}

bool clock_pause(int64_t ms, const _Atomic bool *cancelled)
{
	const struct timespec step = {.tv_nsec = PAUSE_STEP_NS};
	deadline_ms deadline = deadline_in(ms);

	while (!atomic_load(cancelled) && !deadline_passed(deadline))
		nanosleep(&step, NULL);
	return !atomic_load(cancelled);
}

void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attributes);
	pthread_condattr_destroy(&attributes);
}

bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, deadline_ms deadline)
{
	struct timespec until = {0};

	if (deadline == DEADLINE_NEVER) {
		pthread_cond_wait(cond, mutex);
		return true;
	}
	if (deadline > 0) {
		until.tv_sec = deadline / 1000;
		until.tv_nsec = deadline % 1000 * 1000000;
	}
	return pthread_cond_timedwait(cond, mutex, &until) == 0;
}

/* Broken-down UTC, kept within the four-digit years that both formats have. */
static struct tm utc(int64_t wall_ms, int *ret_ms)
{
	const int64_t first = INT64_C(-62135596800000); /* 0001-01-01T00:00:00.000Z */
	const int64_t last = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */
	struct tm fields;
	time_t seconds;

	if (wall_ms < first)
		wall_ms = first;
	if (wall_ms > last)
		wall_ms = last;
	*ret_ms = (int)(wall_ms % 1000);
	seconds = wall_ms / 1000;
	if (*ret_ms < 0) {
		*ret_ms += 1000;
		seconds--;
	}
	gmtime_r(&seconds, &fields);
	return fields;
}

/* The fields are within bounds that the compiler cannot see, hence the room. */
#define ROOMY 96

void clock_format_rfc3339(int64_t wall_ms, char target[CLOCK_TEXT_SIZE])
{
	int ms;
	struct tm time = utc(wall_ms, &ms);
	char text[ROOMY];

	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", time.tm_year + 1900,
		 time.tm_mon + 1, time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec, ms);
	str_copy(target, CLOCK_TEXT_SIZE, text);
}

/* Not strftime: its names of days and months are the locale's. */
void clock_format_http(int64_t wall_ms, char target[CLOCK_TEXT_SIZE])
{
	int ms;
	struct tm time = utc(wall_ms, &ms);
	char text[ROOMY];

	snprintf(text, sizeof(text), "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
		 day_names + 3 * time.tm_wday, time.tm_mday, month_names + 3 * time.tm_mon,
		 time.tm_year + 1900, time.tm_hour, time.tm_min, time.tm_sec);
	str_copy(target, CLOCK_TEXT_SIZE, text);
}

static int number_at(const char *text, int digits)
{
	int number = 0;

	for (int i = 0; i < digits; i++)
		number = number * 10 + (text[i] - '0');
	return number;
}

bool clock_parse_http(const char *text, int64_t *ret_wall_ms)
{
	struct tm time = {0};
	char again[CLOCK_TEXT_SIZE];
	int64_t wall_ms;

	if (strlen(text) != strlen("Sat, 31 Jan 2026 08:05:09 GMT"))
		return false;
	while (time.tm_mon < 11 && strncmp(text + 8, month_names + 3 * time.tm_mon, 3) != 0)
		time.tm_mon++;
	time.tm_mday = number_at(text + 5, 2);
	time.tm_year = number_at(text + 12, 4) - 1900;
	time.tm_hour = number_at(text + 17, 2);
	time.tm_min = number_at(text + 20, 2);
	time.tm_sec = number_at(text + 23, 2);
	wall_ms = (int64_t)timegm(&time) * 1000;

	/* Whatever was read above, only the text that this moment is written
	 * as is right: weekday, days of the month, every separator. */
	clock_format_http(wall_ms, again);
	if (strcmp(text, again) != 0)
		return false;
	*ret_wall_ms = wall_ms;
	return true;
}
