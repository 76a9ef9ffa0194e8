/*
 * Removing blobs that nothing refers to, beside those who may refer to them at this
 * moment: the collection's side of the handshake in server/content/references.h, from
 * its steps c. to e. What finds out that nothing refers to them is the caller's (b.).
 *
 * While a batch is condemned, pushes of just these digests wait. A batch is at most
 * GC_BATCH_MAX digests and is acquitted after two seconds, whatever the disk takes for
 * a removal; the rest is condemned again.
 *
 * A removal that was sent and not answered may still be carried out: by an object store
 * that hung and goes on, after everybody has given it up. So that run is not ended, and
 * nothing acquitted; pushes of these digests are put off until it counts for dead.
 */
#ifndef MAINTENANCE_REMOVAL_H
#define MAINTENANCE_REMOVAL_H

#include "server/content/gc_files.h"
#include "server/maintenance/walk.h"

struct content;

struct removed {
	uint64_t blobs;
	uint64_t bytes; /* of these */
	uint64_t links;
	uint64_t kept; /* referred to since the references were read */
};

struct removal {
	struct content *content;
	const struct task *task; /* ticks after each removal */
	/* Told of each digest that is kept; NULL: not. */
	enum status (*keep)(void *context, const struct digest *digest, struct error *error);
	void *context;
	struct removed removed; /* so far */
	/* private */
	struct gc_run run;
	struct digest batch[GC_BATCH_MAX];
	uint64_t sizes[GC_BATCH_MAX];
	const char *repositories[GC_BATCH_MAX]; /* whose link it is; NULL: the blob itself */
	size_t batched;
	bool unanswered; /* a removal was */
};

/* Step a. The first three fields are set before; it is large, and lies on the heap. On
 * BW_OK removal_end is due. */
enum status removal_begin(struct removal *removal, struct error *error);
/* Waits, keeping the run alive. */
enum status removal_wait(struct removal *removal, int64_t ms, struct error *error);
/* To be called between any two things that take time. BW_CANCELLED: nothing more may be
 * removed. */
enum status removal_hold(struct removal *removal, struct error *error);
/* Steps c. and d., of a full batch at a time. `repository` stays until then. */
enum status removal_add_blob(struct removal *removal, const struct digest *digest, uint64_t size,
			     struct error *error);
enum status removal_add_link(struct removal *removal, const char *repository,
			     const struct digest *digest, struct error *error);
enum status removal_flush(struct removal *removal, struct error *error);
/* Step e. */
void removal_end(struct removal *removal);

#endif
