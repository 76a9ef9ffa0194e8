/*
 * Rebuilding the index from the object store, beside servers that go on.
 *
 * Everything it writes is a repair (server/content): a newer entry is never
 * replaced, and after each write the store is looked at once more, so that what is
 * removed meanwhile does not come back. Afterwards the index is marked complete.
 *
 * What the index has and the store does not (any more) is taken out of it where the
 * index can list it: tags and repositories. Rows of blobs, links and manifests that
 * are gone are found out by whoever opens them. An index that is begun anew, by
 * deleting its file while no server runs, has none of these.
 */
#ifndef MAINTENANCE_REINDEX_H
#define MAINTENANCE_REINDEX_H

#include "server/maintenance/walk.h"

struct content;

struct reindex_summary {
	uint64_t repositories;
	uint64_t manifests;
	uint64_t tags; /* removed ones are not among them */
	uint64_t links;
	uint64_t blobs;
	uint64_t stale; /* tags and repositories taken out of the index */
	uint64_t damaged; /* records and manifests that cannot be read, passed over */
	char damage[512]; /* the first of them; "" : none */
};

/* *summary counts as it goes. On failure the index is not marked. */
enum status reindex(struct content *content, const struct task *task,
		    struct reindex_summary *summary, struct error *error);

/* Is there nothing that an index could have? Then it is complete as it is. */
enum status reindex_not_needed(struct content *content, bool *ret_empty, struct error *error);

#endif
