/*
 * Keeping cached content under its limit: manifests of cached repositories that nobody
 * has asked for the longest go, with their tags, and then those of their blobs that no
 * repository has any more. What is asked for again is fetched anew.
 *
 * Never what was pushed: only manifests of repositories that are named by a registry,
 * and no blob that any repository links, lists or has as a manifest. Nor what was asked
 * for within `min_age_ms`, even if the limit cannot be kept then: a client that was
 * given a manifest asks for its blobs next. eviction.c says why a push that takes place
 * meanwhile loses nothing.
 *
 * Last use is in the index alone (metadata_touch_manifests). After it was lost
 * everything counts as used when it was found again. While it is not complete nothing
 * is evicted, since it may lack who has a blob.
 *
 * Killed between a manifest and its blobs, it leaves blobs that nothing refers to, as a
 * fill does that stores what was evicted under its hands; they count, and "breakwater
 * gc" removes them.
 */
#ifndef MAINTENANCE_EVICTION_H
#define MAINTENANCE_EVICTION_H

#include "server/base/error.h"
#include "server/maintenance/removal.h"

/* Longer than a client takes from a manifest to its last blob's first byte, and much
 * longer than a use takes to be told to the index (server/cache/use.c). */
#define EVICTION_MIN_AGE_MS ((int64_t)3600000)

struct eviction_options {
	uint64_t max_bytes; /* of blobs that nobody pushed */
	int64_t min_age_ms;
	int64_t grace_ms; /* REFERENCES_EVICTION_MS; only tests may take less */
};

struct eviction_summary {
	uint64_t bytes; /* before, and as far as it is, after */
	uint64_t manifests; /* removed */
	struct removed removed; /* blobs */
	uint64_t held; /* blobs that somebody else still has */
	bool too_young; /* over the limit still, and all that is left was used just now */
	bool incomplete; /* the index is: nothing (more) was removed */
};

/* Until the cache is at nine tenths of its limit; nothing, when it is not over it. On
 * failure the summary says how far it got. BW_CANCELLED: stopped by the task, or held up
 * for so long that it may no longer remove. */
enum status evict(struct content *content, const struct eviction_options *options,
		  const struct task *task, struct eviction_summary *summary, struct error *error);

/* Bytes of stored blobs that nobody pushed. */
enum status eviction_measure(struct content *content, uint64_t *ret_bytes, struct error *error);

#endif
