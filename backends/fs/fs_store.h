/*
 * Objects as files below one folder: key "a/b/c" is file ROOT/a/b/c.
 *
 * A change is written to ROOT/journal/, flushed there, and then made by a rename or
 * an unlink that nobody syncs: one flush, shared by all who wait for one, in place of
 * one per file and folder (fs_journal.h says why nothing is lost). An object too
 * large for the journal is synced first where it lies, in ROOT/tmp/ or ROOT/uploads/.
 * When the store is opened, what a crash left in the journal is made good; then tmp/
 * is emptied. Parts of uploads stay: uploads go on after a restart. Files are 0600,
 * folders 0700.
 *
 * Supported are filesystems whose rename is atomic and whose fsync of a new file
 * makes its name durable with it: ext4, XFS, Btrfs.
 */
#ifndef BACKENDS_FS_FS_STORE_H
#define BACKENDS_FS_FS_STORE_H

#include "backends/object_store.h"

/* Makes ROOT when it is not there, and owns it: a second owner is refused, by a lock
 * on ROOT/lock. Fails with a message that names the path and the reason when ROOT
 * cannot be made, locked, repaired, read or written. */
enum status fs_store_new(const char *root, struct object_store **ret_store, struct error *error);

/*
 * For a command that runs beside a server (gc, scrub, reindex). Owns ROOT when nobody
 * does. Else it is a guest: it waits until the owner has opened the store, leaves its
 * journal and tmp/ alone, and syncs each file and folder that it changes.
 *
 * A guest may read and list everything. What the owner has written with
 * PUT_REPLACE_SOON it sees once the owner's next durable write has returned.
 *
 * It may remove any object, and discard uploads. After a power cut the owner's
 * journal may bring a removed object back, if that was written less than a minute or
 * so before: for gc it is garbage again, to be removed the next time.
 *
 * It may put objects only under keys that the owner never writes or removes: of the
 * owner's keys the owner's journal has the last word after a power cut.
 */
enum status fs_store_open_guest(const char *root, struct object_store **ret_store,
				struct error *error);

#endif
