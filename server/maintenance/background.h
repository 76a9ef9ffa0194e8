/*
 * What a server does beside its requests: it removes abandoned uploads, clears away
 * garbage collections that died, rebuilds an index that is not complete, and keeps
 * cached content under its limit. Of several replicas one does each of these at a time.
 * Each thread says in the log what it did; a failure is told once, and tried again.
 */
#ifndef MAINTENANCE_BACKGROUND_H
#define MAINTENANCE_BACKGROUND_H

#include <stdint.h>

struct background;
struct content;
struct coordination;

struct background_options {
	struct content *content; /* stays the caller's and outlives it, as the next */
	struct coordination *coordination; /* of the replicas; NULL: alone */
	int64_t upload_max_age_ms;
	uint64_t max_cache_bytes; /* 0: no limit */
};

struct background *background_start(const struct background_options *options);
/* Ends within a step of what the threads do. NULL is fine. */
void background_stop(struct background *background);

#endif
