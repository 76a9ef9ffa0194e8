/*
 * The files by which a garbage collection and those who make references know of
 * each other (references.h says why this is enough):
 *
 *   gc/runs/<run>            {"refreshedAt": <ms since 1970>}
 *   gc/condemned/<run>       {"digests": [...]}: what it is removing right now
 *   gc/kept/<run>/<digest>   empty: somebody has just referred to this digest
 *
 * A run's id is random and never used twice. Runs lie in a folder of their own,
 * so that asking which there are costs one short listing however many names
 * were put under kept/.
 *
 * None of these need survive a power cut, which ends every run; but all must be seen
 * by other processes at once.
 */
#ifndef CONTENT_GC_FILES_H
#define CONTENT_GC_FILES_H

#include "backends/object_store.h"
#include "server/base/digest.h"

#include <stdbool.h>

#define GC_PREFIX "gc/"
#define GC_RUN_REFRESH_MS 5000
#define GC_RUN_REFRESH_LIMIT_MS 30000
#define GC_RUN_DEAD_MS 120000

#define GC_RUN_ID_SIZE 33 /* 32 of [0-9a-f] and NUL */
#define GC_BATCH_MAX 256 /* digests condemned at once */

/* ---- the collection's side. A run belongs to one thread. ---- */

struct gc_run {
	struct object_store *objects;
	char id[GC_RUN_ID_SIZE];
	int64_t refreshed_at; /* wall clock, taken before the file was written */
	int64_t refreshed_monotonic; /* the same moment */
};

/* Step a. From when it returns, every settle sees the run. */
enum status gc_run_begin(struct gc_run *run, struct object_store *objects, struct error *error);
/* Cheap; to be called between any two things that take time. Writes the file when
 * GC_RUN_REFRESH_MS have passed. BW_CANCELLED: the run could not be refreshed for
 * GC_RUN_REFRESH_LIMIT_MS, so that somebody may already take it for dead. It must
 * remove nothing more, and never comes back to life. Another failure: it could not
 * be written this time. */
enum status gc_run_refresh(struct gc_run *run, struct error *error);
/* May the run still remove something? To be asked right before each removal. */
bool gc_run_alive(const struct gc_run *run);
/* Step c. At most GC_BATCH_MAX; replaces what was condemned before. On failure
 * nothing may be removed. */
enum status gc_run_condemn(struct gc_run *run, const struct digest *digests, size_t count,
			   struct error *error);
/* Step d, of each condemned digest. On failure it counts as kept. */
enum status gc_run_is_kept(struct gc_run *run, const struct digest *digest, bool *ret_kept,
			   struct error *error);
/* Ends step d: nothing is condemned any more. */
enum status gc_run_acquit(struct gc_run *run, struct error *error);
/* Removes the run's files: condemned first, then the run, then what was kept. What
 * a failure leaves is cleared away by a later gc_clear_dead. */
void gc_run_end(struct gc_run *run);

/* Clears away the files of runs that died. Before a run begins, and now and then.
 * BW_OK when all that was found could be removed. */
enum status gc_clear_dead(struct object_store *objects, struct error *error);

/* ---- the side of those who make references ---- */

struct gc_run_list {
	char (*ids)[GC_RUN_ID_SIZE];
	size_t count;
};
void gc_run_list_release(struct gc_run_list *list); /* frees, zeroes */

/* The runs that have a file, dead or not. The caller releases *ret. */
enum status gc_list_runs(struct object_store *objects, struct gc_run_list *ret,
			 struct error *error);
/* BW_OK: it lives. BW_ABSENT: it has ended, or was not refreshed for
 * GC_RUN_DEAD_MS. A file that cannot be read is that of a living run. */
enum status gc_run_lives(struct object_store *objects, const char *id, struct error *error);
/* The last of several is PUT_REPLACE: it makes all of them visible to a collection in
 * another process, where PUT_REPLACE_SOON may be seen by its own process alone. */
enum status gc_keep(struct object_store *objects, const char *id, const struct digest *digest,
		    enum put_mode mode, struct error *error);
/* Is one of them condemned by this run right now? */
enum status gc_any_condemned(struct object_store *objects, const char *id,
			     const struct digest *digests, size_t count, bool *ret_condemned,
			     struct error *error);

#endif
