/*
 * What this process found out about upstreams, to be told to other replicas, and
 * what they found out, to be heeded here. Nothing that was heeded is told on.
 */
#ifndef UPSTREAM_UPSTREAM_NEWS_H
#define UPSTREAM_UPSTREAM_NEWS_H

#include <stdbool.h>
#include <stdint.h>

struct upstream_set;

#define UPSTREAM_NEWS_NAME_SIZE 256
#define UPSTREAM_NEWS_REASON_SIZE 160

/* How one credential stands with one mirror of an upstream. */
struct upstream_news {
	char upstream[UPSTREAM_NEWS_NAME_SIZE];
	char credential[UPSTREAM_NEWS_NAME_SIZE]; /* its name */
	unsigned mirror; /* which of the upstream's urls, from 0 */
	int64_t open_ms; /* for how long the breaker stays open; 0: it lets asks through */
	int64_t changed_ago_ms; /* when it was last opened or closed */
	int64_t throttled_ms; /* 429: for how long not to ask; 0: ask */
	bool has_remaining; /* as a ratelimit-remaining said... */
	uint64_t remaining;
	int64_t remaining_ago_ms; /* ...so long ago */
	char reason[UPSTREAM_NEWS_REASON_SIZE]; /* why it is paused, printable ASCII */
};

typedef void (*upstream_news_fn)(void *context, const struct upstream_news *news);

/* Calls `fn` with everything worth telling: a breaker that is or was open, a pause
 * that is or was, a rate limit that was read. */
void upstream_set_tell(struct upstream_set *set, upstream_news_fn fn, void *context);

/* Takes over what another replica found out. A verdict that is older than our own
 * last good answer from there is passed over. Of what we do not know: nothing. */
void upstream_set_heed(struct upstream_set *set, const struct upstream_news *news);

#endif
