/*
 * Is a client reading, or sending, fast enough to deserve its worker? Pure
 * arithmetic on the caller's clock.
 *
 * A client that takes (or sends) no byte for PACE_STALL_MS, or fewer than
 * PACE_MIN_BYTES_PER_S on average over a window of PACE_WINDOW_MS, has a
 * worker and a file open for nothing, on purpose or not. Time we spend waiting
 * for an upstream or a disk does not count against the client.
 */
#ifndef HTTP_PACE_H
#define HTTP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_STALL_MS 30000
#define PACE_WINDOW_MS 60000
#define PACE_MIN_BYTES_PER_S 1024

struct pace {
	int64_t waited_ms; /* in this window */
	int64_t window_bytes; /* taken in this window */
	int64_t last_taken_ms; /* waited_ms of the last byte */
};

/* Zero-initialise. */

/* The client took bytes, or sent them. */
void pace_taken(struct pace *pace, size_t bytes);

/* How long to wait for it at most, in ms. */
int64_t pace_patience_ms(const struct pace *pace);

/* We waited for it. False: it is too slow. */
bool pace_waited(struct pace *pace, int64_t ms);

#endif
