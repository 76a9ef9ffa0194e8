/*
 * Time. Deadlines are absolute milliseconds of the monotonic clock, so that
 * they can be handed down through any number of calls; wall-clock time is only
 * for records, logs and HTTP dates.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t deadline_ms; /* on clock_monotonic_ms()'s scale */

#define DEADLINE_NEVER INT64_MAX

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void); /* since 1970, UTC */

deadline_ms deadline_in(int64_t ms); /* saturates */
bool deadline_passed(deadline_ms deadline);
int64_t deadline_left_ms(deadline_ms deadline); /* 0 when passed; INT64_MAX for NEVER */
deadline_ms deadline_earlier(deadline_ms a, deadline_ms b);

/* Sleeps for so long, or until *cancelled is true, which is noticed within 20 ms. False:
 * it is true. */
bool clock_pause(int64_t ms, const _Atomic bool *cancelled);

/* A condition variable on the monotonic clock. */
void cond_init(pthread_cond_t *cond);
/* Waits with the mutex held; false when the deadline passed. True may be a
 * spurious wake-up: call it in a loop that checks what is waited for. */
bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, deadline_ms deadline);

#define CLOCK_TEXT_SIZE 40
/* "2026-01-31T08:05:09.123Z" (RFC 3339, UTC). Both forms have four-digit years:
 * what lies outside 0001 to 9999 becomes the nearest moment inside. */
void clock_format_rfc3339(int64_t wall_ms, char target[CLOCK_TEXT_SIZE]);
/* "Sat, 31 Jan 2026 08:05:09 GMT" (RFC 9110, 5.6.7) */
void clock_format_http(int64_t wall_ms, char target[CLOCK_TEXT_SIZE]);
/* Parses the same form; false for anything else. */
bool clock_parse_http(const char *text, int64_t *ret_wall_ms);

#endif
