#include "server/content/references.h"

#include "server/base/clock.h"
#include "server/content/content_private.h"
#include "server/content/gc_files.h"

#include <time.h>

#define FIRST_PAUSE_MS 10
#define LONGEST_PAUSE_MS 250

struct references_start references_start(void)
{
	return (struct references_start){.wall = clock_wall_ms(),
					 .monotonic = clock_monotonic_ms()};
}

/* By both clocks, as in gc_files.c: one stands still while the machine sleeps, the
 * other one is set by people. */
enum status references_in_time(const struct references_start *start, struct error *error)
{
	int64_t by_wall = clock_wall_ms() - start->wall;
	int64_t by_monotonic = clock_monotonic_ms() - start->monotonic;

	if (by_wall < 0)
		by_wall = -by_wall;
	if (by_wall < REFERENCES_INDEX_MS && by_monotonic < REFERENCES_INDEX_MS)
		return BW_OK;
	error_set(error, BW_UNAVAILABLE,
		  "the index took over %d s to take what was stored; push it again",
		  REFERENCES_INDEX_MS / 1000);
	if (error)
		error->retry_after = 1;
	return BW_UNAVAILABLE;
}

static void pause_for(int64_t ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

/* BW_OK: nothing of it is condemned in this run, or the run is over. */
static enum status await_acquittal(struct content *content, const char *run,
				   const struct digest *digests, size_t count, deadline_ms end,
				   struct error *error)
{
	int64_t pause = FIRST_PAUSE_MS;

	for (;;) {
		bool condemned;
		enum status status =
			gc_any_condemned(content->objects, run, digests, count, &condemned, error);

		if (status != BW_OK || !condemned)
			return status;
		if (gc_run_lives(content->objects, run, NULL) == BW_ABSENT)
			return BW_OK;
		if (deadline_passed(end)) {
			error_set(error, BW_UNAVAILABLE,
				  "a garbage collection is about to remove the content");
			if (error)
				error->retry_after = 5;
			return BW_UNAVAILABLE;
		}
		pause_for(pause);
		pause = pause * 2 < LONGEST_PAUSE_MS ? pause * 2 : LONGEST_PAUSE_MS;
	}
}

static enum status settle_with(struct content *content, const char *run,
			       const struct digest *digests, size_t count, deadline_ms end,
			       struct error *error)
{
	struct error trouble = {0};
	enum status status = gc_run_lives(content->objects, run, &trouble);

	if (status == BW_ABSENT)
		return BW_OK;
	for (size_t i = 0; status == BW_OK && i < count; i++)
		status = gc_keep(content->objects, run, &digests[i],
				 i + 1 < count ? PUT_REPLACE_SOON : PUT_REPLACE, &trouble);
	if (status == BW_OK)
		status = await_acquittal(content, run, digests, count, end, &trouble);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

enum status references_settle(struct content *content, const struct digest *digests, size_t count,
			      struct error *error)
{
	deadline_ms end = deadline_in(content->settle_patience_ms);
	struct gc_run_list runs = {0};
	enum status status = gc_list_runs(content->objects, &runs, error);

	for (size_t i = 0; status == BW_OK && i < runs.count; i++)
		status = settle_with(content, runs.ids[i], digests, count, end, error);
	gc_run_list_release(&runs);
	return status;
}
