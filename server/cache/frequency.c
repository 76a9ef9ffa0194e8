#include "server/cache/frequency.h"

#include <string.h>

/* A digest is a hash already: each row takes other bytes of it. */
static uint32_t column(const struct digest *digest, unsigned row)
{
	uint32_t word;

	memcpy(&word, digest->bytes + row * sizeof(word), sizeof(word));
	return word % FREQUENCY_COLUMNS;
}

static void halve(struct frequency *frequency)
{
	for (unsigned row = 0; row < FREQUENCY_ROWS; row++) {
		for (unsigned i = 0; i < FREQUENCY_COLUMNS; i++)
			frequency->counters[row][i] /= 2;
	}
	frequency->samples = 0;
}

void frequency_add(struct frequency *frequency, const struct digest *digest)
{
	for (unsigned row = 0; row < FREQUENCY_ROWS; row++) {
		uint8_t *counter = &frequency->counters[row][column(digest, row)];

		if (*counter < FREQUENCY_MAX)
			(*counter)++;
	}
	if (++frequency->samples >= FREQUENCY_SAMPLE)
		halve(frequency);
}

unsigned frequency_of(const struct frequency *frequency, const struct digest *digest)
{
	unsigned least = FREQUENCY_MAX;

	for (unsigned row = 0; row < FREQUENCY_ROWS; row++) {
		unsigned count = frequency->counters[row][column(digest, row)];

		if (count < least)
			least = count;
	}
	return least;
}
