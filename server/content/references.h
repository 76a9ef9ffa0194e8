/*
 * The handshake between those who refer to stored bytes and those who remove
 * what nothing refers to.
 *
 * A blob (or a manifest's body) is referred to by a link, by the record of a
 * manifest with that digest, or by a stored manifest that lists it. A garbage
 * collection in any process, on this machine or another, may be looking for
 * bytes that nothing refers to at the moment a reference is made. So whoever
 * makes one
 *
 *     1. stores the reference (PUT_REPLACE_SOON is enough: a collection that
 *        could miss it dies in the same power cut),
 *     2. calls references_settle(),
 *     3. only then looks whether the bytes are there, or stores them, and
 *        acknowledges.
 *
 * and a collection
 *
 *     a. writes gc/<run>/run, which it refreshes while it lives,
 *     b. reads every reference there is,
 *     c. for the next few blobs that it saw no reference to: writes their digests
 *        to gc/<run>/condemned,
 *     d. reads gc/<run>/kept/, spares what is named there, removes the rest (the
 *        index's row and the object), and empties gc/<run>/condemned; then c.
 *        again, until the end; then removes gc/<run>/.
 *
 * references_settle() lists gc/. No run there: the reference was stored before
 * any later a., so b. will see it. A run: it writes gc/<run>/kept/<digest>, then
 * reads gc/<run>/condemned. The digest is not in it: if it is condemned later,
 * d. will see our name for it; if it was condemned before, it is removed by now,
 * which 3. notices. The digest is in it: the collection may or may not have read
 * kept/ before we wrote it; we wait until it is condemned no longer.
 *
 * A collection that died leaves its files. A run that was not refreshed for
 * GC_RUN_DEAD_MS counts for nothing and may be cleared away by anybody; a
 * collection that could not refresh its run for GC_RUN_REFRESH_LIMIT_MS stops by
 * itself, before each removal. Between the two lies more than clocks of one
 * cluster differ and than a request to the object store takes.
 */
#ifndef CONTENT_REFERENCES_H
#define CONTENT_REFERENCES_H

#include "server/content/content.h"

#define GC_PREFIX "gc/"
#define GC_RUN_REFRESH_MS 5000
#define GC_RUN_REFRESH_LIMIT_MS 30000
#define GC_RUN_DEAD_MS 120000

/* How long a settle waits for a digest that is condemned right now. Removing a
 * batch takes far less; beyond it the collection has died, or its store hangs. */
#define REFERENCES_PATIENCE_MS 10000

/* See above. BW_UNAVAILABLE with retry_after: a digest stayed condemned; the
 * reference must not be acknowledged. */
enum status references_settle(struct content *content, const struct digest *digests, size_t count,
			      struct error *error);

#endif
