/*
 * How often has something been asked for lately, roughly and in little memory:
 * a count-min sketch whose counters are halved from time to time, so that what
 * was popular last week does not stay so (TinyLFU's).
 *
 * Counts up to 15, never too low between two halvings, seldom too high. Not
 * thread-safe: the hot cache's lock covers it.
 */
#ifndef CACHE_FREQUENCY_H
#define CACHE_FREQUENCY_H

#include "server/base/digest.h"

#include <stdint.h>

#define FREQUENCY_ROWS 4
#define FREQUENCY_COLUMNS 16384
#define FREQUENCY_MAX 15
/* Counts until all counters are halved. */
#define FREQUENCY_SAMPLE (10 * FREQUENCY_COLUMNS)

struct frequency {
	uint8_t counters[FREQUENCY_ROWS][FREQUENCY_COLUMNS]; /* zeroed: nothing was asked for */
	uint32_t samples;
};

void frequency_add(struct frequency *frequency, const struct digest *digest);
unsigned frequency_of(const struct frequency *frequency, const struct digest *digest);

#endif
