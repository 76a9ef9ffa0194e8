/*
 * A bar on standard error that tells how far a transfer is; nothing where that
 * is no terminal.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool shown; /* on a terminal */
	const char *label;
	uint64_t total;
	uint64_t done;
	int64_t drawn_at;
};

void progress_init(struct progress *progress, const char *label);
void progress_expect(struct progress *progress, uint64_t bytes);
void progress_advance(struct progress *progress, uint64_t bytes);
/* Takes the bar off the screen. */
void progress_release(struct progress *progress);

#endif
