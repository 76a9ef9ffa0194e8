/*
 * Objects as files below one folder: key "a/b/c" is file ROOT/a/b/c.
 *
 * A write goes to ROOT/tmp/, is fsynced, renamed (or linked, for
 * PUT_IF_ABSENT) to its name, and the folders it made or changed are fsynced,
 * in this order; after a crash an object is whole or absent, and tmp/ is
 * emptied at the next start. Files are 0600, folders 0700.
 *
 * One process owns ROOT for writing; a second one is refused by a lock on
 * ROOT/lock.
 */
#ifndef BACKENDS_FS_FS_STORE_H
#define BACKENDS_FS_FS_STORE_H

#include "backends/object_store.h"

/* Makes ROOT when it is not there. Fails with a message that names the path
 * and the reason when it cannot be made, locked, read or written. */
enum status fs_store_new(const char *root, struct object_store **ret_store, struct error *error);

#endif
