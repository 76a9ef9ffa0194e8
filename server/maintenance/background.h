/*
 * What a server does beside its requests: it removes abandoned uploads, clears away
 * garbage collections that died, and rebuilds an index that is not complete. Each
 * thread says in the log what it did; a failure is told once, and tried again.
 */
#ifndef MAINTENANCE_BACKGROUND_H
#define MAINTENANCE_BACKGROUND_H

#include <stdint.h>

struct background;
struct content;

/* The content stays the caller's and outlives it. */
struct background *background_start(struct content *content, int64_t upload_max_age_ms);
/* Ends within a step of what the threads do. NULL is fine. */
void background_stop(struct background *background);

#endif
