/*
 * The handshake between those who refer to stored bytes and those who remove
 * what nothing refers to.
 *
 * A blob (or a manifest's body) is referred to by a link, by the record of a
 * manifest with that digest, or by a stored manifest that lists it. (A link that no
 * manifest of its repository has listed for long is removed like a blob.) A garbage
 * collection in any process, on this machine or another, may be looking for
 * bytes that nothing refers to at the moment a reference is made. So whoever
 * makes one, or acts on one that was made but perhaps never acknowledged (a
 * reader who found in the store what the index does not have),
 *
 *     1. stores the reference, or has found it there,
 *     2. calls references_settle(),
 *     3. only then looks in the object store whether the bytes are there, or
 *        stores them; then tells the index, and acknowledges.
 *
 * and a collection (gc_files.h has the functions)
 *
 *     a. begins a run, which it refreshes while it lives,
 *     b. reads every reference that the object store has,
 *     c. condemns the next few blobs that it saw no reference to,
 *     d. of each of them asks whether it is kept; if not, removes the object and
 *        then what the index says of it; acquits; then c. again, until the end,
 *     e. ends the run.
 *
 * references_settle() lists the runs. One that it does not see begins later than
 * 1., and then b. sees the reference; or has ended. For one that it sees, it keeps
 * the digest in that run, and then reads what is condemned:
 *
 *     not condemned  If it is condemned later, d. sees that it is kept. If it was
 *                    before, then it was removed or spared before it was
 *                    acquitted, and 3. sees which.
 *     condemned      The collection may have asked whether it is kept before we
 *                    said so. We wait until it is condemned no longer.
 *
 * What was kept stays so until the run's end, so that from here on the run does
 * not remove the digest. The same holds of each run by itself, so several may go
 * on at once; and each reference is made before the list of runs is read, so a
 * run that begins meanwhile sees it.
 *
 * A reference that was stored with PUT_REPLACE_SOON may not be seen by a collection
 * in another process yet: one that begins between 2. and the next durable write (or
 * the first look at the reference, which makes it one) misses it. So 2. and 3. are
 * repeated when that write has returned; mostly this costs one listing of no runs.
 *
 * Why the object goes before the index's row in d.: who repairs the row looks at the
 * object once more afterwards. If it is there, its removal, and the row's, are still
 * to come; if not, the row is taken back. A collection that dies between the two
 * leaves a row that promises bytes which are gone. It is found out by whoever opens
 * them, and nobody who makes a reference believes a row.
 *
 * Why every reference may be believed once it is in the index: it gets there only
 * by 3., and from then on it is in the object store, where b. of any later run sees
 * it, until somebody removes it on purpose.
 *
 * An eviction (server/maintenance/eviction.h) cannot read every reference there is for
 * each image that it removes. For b. it asks the index who holds a digest, and the
 * index is told after 3. So whoever means to acknowledge sees to it that no more than
 * REFERENCES_INDEX_MS pass from before 2. until the index has the reference
 * (references_in_time), or does not acknowledge; and an eviction waits for
 * REFERENCES_EVICTION_MS, which is more, between a. and b. A run that is not seen in 2.
 * began later than that, and the index has the reference when it asks. Both measure
 * durations, on no clock but their own.
 *
 * A collection that died leaves its files. A run that was not refreshed for
 * GC_RUN_DEAD_MS counts for nothing and may be cleared away by anybody; a
 * collection that could not refresh its run for GC_RUN_REFRESH_LIMIT_MS stops by
 * itself, before each removal, and never goes on. Between the two lies more than
 * clocks of one cluster differ and than a request to the object store takes. What
 * it does not cover is a process that is frozen for longer than that after its last
 * look at the clock and before its removal reaches the store: no object store has
 * a removal that can be made to depend on anything.
 */
#ifndef CONTENT_REFERENCES_H
#define CONTENT_REFERENCES_H

#include "server/content/content.h"

/* How long a settle waits for a digest that is condemned right now. Removing a
 * batch takes far less; beyond it the collection has died, or its store hangs. */
#define REFERENCES_PATIENCE_MS 10000

#define REFERENCES_INDEX_MS 10000
#define REFERENCES_EVICTION_MS 20000

struct references_start {
	int64_t wall;
	int64_t monotonic;
};
/* Before references_settle(). */
struct references_start references_start(void);
/* When the index has been told. BW_UNAVAILABLE with retry_after: that was too late. */
enum status references_in_time(const struct references_start *start, struct error *error);

/* See above. BW_UNAVAILABLE with retry_after: a digest stayed condemned, or what is
 * condemned cannot be read; any other failure: the object store could not tell. The
 * reference must not be acknowledged. */
enum status references_settle(struct content *content, const struct digest *digests, size_t count,
			      struct error *error);

#endif
