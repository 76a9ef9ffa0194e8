/*
 * What the files of the filesystem store share. Everything below ROOT is
 * reached relative to root_fd, so that one system call finds an object and a
 * ROOT that was moved is noticed by check().
 */
#ifndef BACKENDS_FS_FS_INTERNAL_H
#define BACKENDS_FS_FS_INTERNAL_H

#include "backends/fs/fs_journal.h"
#include "backends/object_store.h"
#include "server/base/memory.h"

#include <pthread.h>
#include <stdatomic.h>

/* Folders and files of ROOT that are no objects. */
#define FS_TMP "tmp"
#define FS_SPOOL "spool" /* the cache's, when it is configured to lie here */
#define FS_LOCK "lock"
#define FS_OPENING "opening" /* a lock too: held while somebody opens the store */
#define FS_UPLOADS "uploads" /* parts, see fs_parts.c */

#define FS_FOLDER_MODE 0700
#define FS_FILE_MODE 0600
#define FS_TMP_NAME_SIZE 40

/* Whose turn it is to change a key, and what PUT_REPLACE_SOON has parked. */
struct fs_turns {
	pthread_mutex_t lock; /* covers what follows, but for `parked` */
	pthread_cond_t moved;
	struct fs_turn *first;
	atomic_int parked; /* so that readers mostly need no lock */
};

struct fs_store {
	struct object_store base;
	char *root; /* as configured, for messages and for check() */
	int root_fd; /* -1 until opened, as those below */
	int tmp_fd;
	int uploads_fd;
	int lock_fd;
	int opening_fd; /* open only while the store is being opened */
	struct fs_turns turns;
	struct fs_journal *journal; /* NULL: a guest, or still replaying */
	bool guest;
	unsigned long long unique; /* random: in names, no two processes' are the same */
	atomic_ullong next_tmp; /* names in tmp/ and uploads/ */
	/* Folders that are there but perhaps not durable yet; see fs_write.c. */
	atomic_uint making_folders;
};

static inline struct fs_store *fs_store_of(struct object_store *store)
{
	return container_of(store, struct fs_store, base);
}

/* BW_INVALID for keys under the reserved names. */
enum status fs_check_reserved(const struct fs_store *store, const char *key, struct error *error);
bool fs_reserved(const char *segment);

/* BW_IO when ROOT was deleted under us: then nothing can be told from what is
 * not found there. */
enum status fs_check_root(const struct fs_store *store, struct error *error);

/* BW_ABSENT, unless fs_check_root says otherwise. */
enum status fs_absent(const struct fs_store *store, const char *key, struct error *error);

/* fs_read.c, fs_list.c, fs_write.c: the operations of the table. */
enum status fs_stat(struct object_store *base, const char *key, struct object_info *ret_info,
		    struct error *error);
enum status fs_open(struct object_store *base, const char *key, struct object_reader **ret_reader,
		    struct error *error);
enum status fs_list(struct object_store *base, const char *prefix, const char *start_after,
		    object_list_fn fn, void *context, struct error *error);
enum status fs_put(struct object_store *base, const char *key, const void *bytes, size_t length,
		   enum put_mode mode, struct error *error);
enum status fs_create(struct object_store *base, const char *key, struct object_writer **ret_writer,
		      struct error *error);
enum status fs_adopt(struct object_store *base, const char *key, const char *path,
		     struct error *error);
enum status fs_remove(struct object_store *base, const char *key, struct error *error);

enum status fs_part_create(struct object_store *base, const char *upload, unsigned part_number,
			   struct part_writer **ret_writer, struct error *error);
enum status fs_part_open(struct object_store *base, const char *upload,
			 const struct object_part *part, struct object_reader **ret_reader,
			 struct error *error);
enum status fs_part_remove(struct object_store *base, const char *upload,
			   const struct object_part *part, struct error *error);
enum status fs_parts_commit(struct object_store *base, const char *upload,
			    const struct object_part *parts, size_t count, const char *key,
			    struct error *error);
enum status fs_parts_discard(struct object_store *base, const char *upload, struct error *error);
enum status fs_parts_list(struct object_store *base, part_list_fn fn, void *context,
			  struct error *error);

/* fs_change.c */
void fs_turns_init(struct fs_turns *turns);
void fs_turns_release(struct fs_turns *turns);

/* Places what was put off of one key, or of all that begin with the prefix. Without
 * this nobody may look. */
enum status fs_settle_key(struct fs_store *store, const char *key, struct error *error);
enum status fs_settle_prefix(struct fs_store *store, const char *prefix, struct error *error);

/* A finished file that is to become an object. */
struct fs_source {
	const char *folder; /* below ROOT, and ... */
	int folder_fd; /* ... open */
	const char *name; /* in the folder */
	int fd; /* the file's, to read */
	uint64_t size;
	const void *bytes; /* when they are at hand; NULL: they are read if need be */
};

/* Makes the file the object `key`, durable as `mode` says. On success its name in
 * the folder is gone. On failure too when the folder is tmp/, unless the journal
 * names the file, and when its bytes could not be synced. BW_CONFLICT: only with
 * PUT_IF_ABSENT. BW_ABSENT: somebody took the file away. */
enum status fs_store_file(struct fs_store *store, const struct fs_source *source, const char *key,
			  enum put_mode mode, struct error *error);

/* Removes folders above `key` that are empty. */
void fs_prune(const struct fs_store *store, const char *key);

/* fs_replay.c. *ret_next: the number for a new journal. */
enum status fs_replay(struct fs_store *store, uint64_t *ret_next, struct error *error);

/* Made when it is not there. */
enum status fs_open_own_folder(const struct fs_store *store, const char *name, int *ret_fd,
			       struct error *error);

void fs_tmp_name(struct fs_store *store, char name[FS_TMP_NAME_SIZE]);
/* A new file in tmp/, to be unlinked there or placed. */
enum status fs_tmp_open(struct fs_store *store, char name[FS_TMP_NAME_SIZE], int *ret_fd,
			struct error *error);

/* Stamps the file with the time at which it becomes an object: the kernel's own
 * stamp is of its last write, and coarse. */
enum status fs_stamp(const struct fs_store *store, int fd, const char *key, int64_t *ret_ns,
		     struct error *error);
/* Lets the disk begin to write while more bytes come, so that the fsync at the end has
 * little left to wait for. `size` bytes are written; of *behind it was told. */
void fs_write_behind(int fd, uint64_t size, uint64_t *behind);
/* The same, and makes its bytes durable. */
enum status fs_seal(const struct fs_store *store, int fd, const char *key, struct error *error);

/* Makes an object that is there durable. */
enum status fs_keep_existing(struct fs_store *store, const char *key, struct error *error);

struct stat;
/* Takes the descriptor; `label` is for messages. */
struct object_reader *fs_reader_new(int fd, const char *label, const struct stat *file);
void fs_info(const struct stat *file, struct object_info *ret);

/* fs_place.c: making a finished file an object. */
enum fs_place_mode {
	FS_RENAME, /* replaces */
	FS_LINK, /* BW_CONFLICT when the key exists */
};

/* Gives the file `name` of folder `from_fd` the name `key`. A guest makes that
 * durable; the file's own bytes are already. After FS_LINK the old name is
 * still there. BW_UNSUPPORTED, with no error set, across filesystems; BW_ABSENT when
 * the file is gone. */
enum status fs_place(struct fs_store *store, int from_fd, const char *name, const char *key,
		     enum fs_place_mode mode, struct error *error);

/* What the errno of a failed placing means. */
enum status fs_place_failed(const struct fs_store *store, const char *key, int errnum,
			    struct error *error);

/* Makes the names of the folders down to `key`'s durable, and so the key's. */
enum status fs_sync_folders(struct fs_store *store, const char *key, struct error *error);

/* The folder that holds `key`, open; -errno when it cannot be. */
int fs_open_parent(const struct fs_store *store, const char *key);

#endif
