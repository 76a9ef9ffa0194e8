/*
 * The index in one SQLite file: WAL mode, synchronous=NORMAL (a power cut may
 * lose the newest entries of the index, which the object store still has), but FULL
 * for what says that an entry is no longer true.
 *
 * One connection writes, and writers queue for it here rather than in SQLite,
 * whose busy handler sleeps and is not fair. Readers share a pool that grows
 * to SQLITE_MAX_READERS, last used first. A connection per thread would hold
 * a page cache and three descriptors for each of 512 HTTP threads, most of
 * them idle. Prepared statements are kept with their connection.
 *
 * Every wait, for a connection or for another process that writes, is bounded
 * (5 s, then BW_UNAVAILABLE). A file of an older schema version is brought up to
 * date; of a newer one, or of another program, it is refused and left alone.
 *
 * A file that is not a database, or is damaged, is set aside as
 * PATH.damaged-<time> and a new one begun, since the object store can refill it;
 * the caller is told by *ret_rebuilt. Damage that a query meets while we run is
 * BW_CORRUPT, leaves a note in PATH.suspect, and is dealt with likewise at the next
 * start.
 *
 * Several processes may use one file. Each holds a lock on PATH.in-use, and a
 * damaged file that another one uses stays where it is: BW_CORRUPT, until that one
 * is gone. A file that was deleted while another uses it is not begun anew before
 * that: BW_UNAVAILABLE.
 */
#ifndef BACKENDS_SQLITE_SQLITE_STORE_H
#define BACKENDS_SQLITE_SQLITE_STORE_H

#include "backends/metadata_store.h"

#define SQLITE_MAX_READERS 32

/* Makes the folder and the file when they are not there. `ret_rebuilt` may be
 * NULL. */
enum status sqlite_store_new(const char *path, struct metadata_store **ret_store, bool *ret_rebuilt,
			     struct error *error);

#endif
