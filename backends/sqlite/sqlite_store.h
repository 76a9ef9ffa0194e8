/*
 * The index in one SQLite file: WAL mode, a connection per thread (opened at
 * the thread's first use, closed when the thread or the store ends), prepared
 * statements kept with the connection, synchronous=NORMAL (a power cut may
 * lose the newest entries of the index, which the object store still has).
 *
 * Waiting for another writer is bounded (5 s, then BW_UNAVAILABLE). A file
 * that is not a database, or is damaged, is set aside as PATH.damaged-<time>
 * and a new one begun, since the object store can refill it; the caller is
 * told by *ret_rebuilt. A database of a newer schema version is refused.
 */
#ifndef BACKENDS_SQLITE_SQLITE_STORE_H
#define BACKENDS_SQLITE_SQLITE_STORE_H

#include "backends/metadata_store.h"

/* Makes the folder and the file when they are not there. `ret_rebuilt` may be
 * NULL. */
enum status sqlite_store_new(const char *path, struct metadata_store **ret_store,
			     bool *ret_rebuilt, struct error *error);

#endif
