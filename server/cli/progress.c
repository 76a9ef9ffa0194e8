#include "server/cli/progress.h"

#include "server/base/clock.h"
#include "server/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define DRAW_EVERY_MS 100
#define CLEAR_LINE "\r\033[K"

void progress_init(struct progress *progress, const char *label)
{
	const char *terminal = getenv("TERM");

	*progress = (struct progress){
		.shown = isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0,
		.label = label,
	};
}

static void draw(const struct progress *progress)
{
	char bar[BAR_WIDTH + 1];
	char done[32], total[32];
	size_t filled = 0;

	if (progress->total > 0)
		filled = (size_t)((double)BAR_WIDTH * (double)progress->done /
				  (double)progress->total);
	if (filled > BAR_WIDTH)
		filled = BAR_WIDTH;
	memset(bar, '-', BAR_WIDTH);
	memset(bar, '#', filled);
	bar[BAR_WIDTH] = '\0';
	str_format_size(progress->done, done, sizeof(done));
	str_format_size(progress->total, total, sizeof(total));
	fprintf(stderr, CLEAR_LINE "%s [%s] %s / %s", progress->label, bar, done, total);
	fflush(stderr);
}

static void draw_sometimes(struct progress *progress)
{
	int64_t now = clock_monotonic_ms();

	if (!progress->shown || now - progress->drawn_at < DRAW_EVERY_MS)
		return;
	progress->drawn_at = now;
	draw(progress);
}

void progress_expect(struct progress *progress, uint64_t bytes)
{
	progress->total += bytes;
	draw_sometimes(progress);
}

void progress_advance(struct progress *progress, uint64_t bytes)
{
	progress->done += bytes;
	draw_sometimes(progress);
}

void progress_release(struct progress *progress)
{
	if (progress->shown && progress->drawn_at > 0)
		fputs(CLEAR_LINE, stderr);
}
