/*
 * Garbage collection: removes the blobs that nothing refers to, while servers run,
 * in any process on any machine that reaches the stores. gc.c has the argument for
 * why nothing is lost that was acknowledged. A link refers to its blob while a
 * manifest of its repository lists the blob, and for a while without one: so deleting
 * an image frees its layers, and a push may take its time.
 */
#ifndef MAINTENANCE_GC_H
#define MAINTENANCE_GC_H

#include "server/maintenance/expiry.h"
#include "server/maintenance/marking.h"

struct gc_options {
	bool remove; /* false: only counts, and writes nothing at all */
	int64_t upload_max_age_ms;
	int64_t link_max_age_ms; /* of one that no manifest needs */
	int64_t grace_ms; /* between announcing the run and reading references; see gc.c */
};

/* Longer than the flush of a push takes. Shorter is as safe, and makes more pushes
 * try again. */
#define GC_GRACE_MS 2000

/* At least that long may a push take from its first blob to its manifest. */
#define GC_LINK_MAX_AGE_MS ((int64_t)24 * 3600 * 1000)

enum gc_stage { GC_UPLOADS, GC_MARKING, GC_SWEEPING, GC_ENDED };

/* How far it is, all the time, and what came of it at the end. */
struct gc_summary {
	enum gc_stage stage;
	struct expired_uploads uploads; /* removed, or that would be */
	struct marked marked;
	uint64_t referenced; /* digests that something refers to */
	uint64_t seen; /* blobs there are, and their bytes */
	uint64_t seen_bytes;
	uint64_t garbage; /* of these: nothing refers to them */
	uint64_t garbage_bytes;
	uint64_t removed;
	uint64_t removed_bytes;
	uint64_t unlinked; /* links removed */
	uint64_t kept; /* referred to since the references were read */
};

/* On failure nothing more is removed; the summary says what was. BW_CORRUPT: a
 * manifest cannot be read, and nothing was removed. BW_CANCELLED: stopped by the
 * task, or held up for so long that it may no longer remove. */
enum status gc_collect(struct content *content, const struct gc_options *options,
		       const struct task *task, struct gc_summary *summary, struct error *error);

#endif
