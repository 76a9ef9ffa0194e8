/*
 * Where a fill's bytes come from: an upstream's repository, the object store,
 * or another replica.
 *
 * An origin belongs to one fill, and is used by its runner alone, apart from
 * origin_fault and the fields, which those who wait for the fill read as well.
 */
#ifndef CACHE_ORIGIN_H
#define CACHE_ORIGIN_H

#include "server/base/digest.h"
#include "server/base/error.h"
#include "server/upstream/upstream.h"

#include <stdbool.h>
#include <stdint.h>

struct origin;

struct origin_ops {
	/*
	 * Hands the blob's bytes from `offset` on to the sink: begin once, unless
	 * it fails before, then write until the end. One attempt; the fill repeats
	 * it from where it got to after BW_UNREACHABLE and BW_TIMEOUT, and takes
	 * every other failure as an answer. Returns the outcomes of upstream.h.
	 * Blocks as long as its own deadlines allow; looks at `cancelled` at least
	 * every few seconds, and then ends with BW_CANCELLED.
	 */
	enum status (*read)(struct origin *origin, uint64_t offset, const struct blob_sink *sink,
			    const _Atomic bool *cancelled, struct error *error);

	/* Sets an error that says whose fault it is. From any thread, at the same
	 * time as read; fast, since locks may be held. Returns code. */
	enum status (*fault)(const struct origin *origin, struct error *error, enum status code,
			     const char *what);

	/* NULL, or asked once the digest matched and `stores` is false: waits until it
	 * is in the object store by somebody else's hand. True: it does not get there,
	 * and is to be stored by us. */
	bool (*must_store)(struct origin *origin, const _Atomic bool *cancelled);
	/* NULL, or called when the runner is through: the blob is stored, or given up. */
	void (*end)(struct origin *origin);

	void (*free)(struct origin *origin);
};

/* Implementations embed it first. All but `stores` and `from_replica` is fixed. */
struct origin {
	const struct origin_ops *ops;
	/* The upstream that this counts for, and its repository. NULL: none; the
	 * bytes are our own. Together they tell whether two origins are the same. */
	const char *upstream;
	const char *repository;
	/* How many fills of this upstream (or, without one, of our own store) may
	 * run at once. */
	unsigned concurrency;
	/* Is the finished file to be put into the object store? The runner looks
	 * when read has returned, so read may change it. */
	bool stores;
	/* What the last read brought came from another replica, and cost the upstream
	 * nothing. */
	bool from_replica;
};

/* Takes a reference to the set; copies the name. */
struct origin *origin_upstream_new(struct upstream_set *set, struct upstream *upstream,
				   const char *repository, const struct digest *digest);

struct content;

/* What is stored already; `listed_size` (or NULL) as content_open_blob has it. Its
 * failures to tell are BW_UNAVAILABLE, and BW_UNREACHABLE once it was opened. */
struct origin *origin_store_new(struct content *content, const struct digest *digest,
				const uint64_t *listed_size);

static inline enum status origin_read(struct origin *origin, uint64_t offset,
				      const struct blob_sink *sink, const _Atomic bool *cancelled,
				      struct error *error)
{
	return origin->ops->read(origin, offset, sink, cancelled, error);
}

static inline void origin_free(struct origin *origin)
{
	if (origin)
		origin->ops->free(origin);
}

/* A fault in what came from there: see origin_ops.fault. */
enum status origin_fault(const struct origin *origin, struct error *error, enum status code,
			 const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
