/*
 * A circuit breaker: after a run of failures an upstream's mirror is not asked
 * for a while, so that an outage costs its clients nothing but the stale copy.
 *
 *   CLOSED     asks go through; BREAKER_FAILURES failures in a row open it
 *   OPEN       refused until the pause is over (1 s, doubling to 30 s, with
 *              jitter)
 *   HALF_OPEN  one ask goes through; its success closes, its failure opens
 *
 * Only failures that say the upstream is ill count: network, timeouts, 5xx. A
 * 404 or 401 is an answer. 429 pauses for its Retry-After without counting, and
 * the success of another ask does not end that pause.
 *
 * Other replicas' breakers may be heeded: OPEN is OPEN whoever found out, and is
 * probed here like our own. What was heeded is not told on, and a good answer that
 * is newer than another's failures outweighs them: his network may be what is ill.
 */
#ifndef UPSTREAM_BREAKER_H
#define UPSTREAM_BREAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5

struct breaker {
	pthread_mutex_t lock; /* covers all below; leaf, never held over I/O */
	unsigned failures; /* in a row */
	int64_t open_until_ms; /* monotonic; 0: closed */
	int64_t pause_ms;
	int64_t throttled_until_ms; /* monotonic */
	bool probing; /* the one ask of HALF_OPEN is under way */
	int64_t changed_ms; /* monotonic: when it was last opened or closed */
	int64_t succeeded_ms; /* monotonic: of the last good answer */
	bool ever; /* opened, throttled or closed by what was found out here */
	bool open_heeded; /* it is open because others said so */
	bool throttle_heeded; /* likewise throttled */
};

/* How a breaker stands, to be told to other replicas. */
struct breaker_verdict {
	bool ever; /* there is something to tell */
	int64_t open_ms; /* for how long it stays open; 0: CLOSED or HALF_OPEN */
	int64_t changed_ago_ms; /* when it was last opened or closed */
	int64_t throttled_ms; /* for how long */
};

void breaker_init(struct breaker *breaker);
void breaker_release(struct breaker *breaker);

/* May we ask now? When false, *ret_wait_ms is how long until it makes sense.
 * Every true must be followed by exactly one of the four reports. */
bool breaker_admit(struct breaker *breaker, int64_t *ret_wait_ms);
/* True when this one closed it. */
bool breaker_report_success(struct breaker *breaker);
/* True when this one opened it; a probe's failure only keeps it open. */
bool breaker_report_failure(struct breaker *breaker);
/* Throttled: nothing said about health, do not ask for `pause_ms`. True unless
 * it was throttled before. */
bool breaker_report_throttled(struct breaker *breaker, int64_t pause_ms);
/* Nothing was learned: the ask was given up before the upstream answered. */
void breaker_report_nothing(struct breaker *breaker);
/* OPEN or HALF_OPEN; being throttled is neither. */
bool breaker_is_open(struct breaker *breaker);

/* What was found out here. */
void breaker_tell(struct breaker *breaker, struct breaker_verdict *ret);
/* What another replica found out. True when it keeps us from asking, and nothing
 * did before. */
bool breaker_heed(struct breaker *breaker, const struct breaker_verdict *verdict);

#endif
