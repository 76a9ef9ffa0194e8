/*
 * Names, and how a guest makes them survive a power cut. (The owner's are in the
 * journal, and are synced all at once with a checkpoint.)
 *
 * A file's name is durable once its folder is fsynced, and that folder's name
 * once the folder above is, and so on up to ROOT. Fsyncing the whole chain for
 * each object would cost a disk flush per level, so a chain is relied on to be
 * durable unless somebody is extending one right now:
 *
 *   maker     making_folders++; mkdir; fsync the folder above; making_folders--
 *   everyone  link or rename the file; fsync its folder;
 *             making_folders > 0 ? fsync every folder up to ROOT : done
 *
 * If our rename went through a folder that another thread has made, its mkdir
 * came before, and with it its increment. Then we either see the counter above
 * zero and sync the chain ourselves, or the maker's fsync is done. A maker
 * whose fsync failed leaves the counter up for good, and from then on everyone
 * syncs everything. Folders made by a process that was killed are durable
 * since the syncfs of the one that opened the store next.
 *
 * Folders that a removal empties are removed with rmdir, which refuses those
 * that are not empty; a writer that has opened a folder which is then removed
 * gets ENOENT from link and rename, and starts over. Left behind, folders of
 * repositories long gone would be walked by every listing, and would keep
 * "a/b", once removed, from making way for "a".
 */
#include "backends/fs/fs_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often the folder may be removed under a writer's feet. Each time costs
 * another thread the removal of an object right there. */
#define PLACE_ATTEMPTS 64

static const char *leaf_of(const char *key)
{
	const char *slash = strrchr(key, '/');

	return slash ? slash + 1 : key;
}

/* The first `length` bytes of a key, "." for none of them. */
static void cut_folder(const char *key, size_t length, char target[OBJECT_KEY_MAX + 1])
{
	if (length == 0) {
		memcpy(target, ".", 2);
		return;
	}
	memcpy(target, key, length);
	target[length] = '\0';
}

static size_t parent_length(const char *key, size_t length)
{
	const char *slash = memrchr(key, '/', length);

	return slash ? (size_t)(slash - key) : 0;
}

static int open_folder(const struct fs_store *store, const char *key, size_t length)
{
	char folder[OBJECT_KEY_MAX + 1];
	int fd;

	cut_folder(key, length, folder);
	fd = openat(store->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int fs_open_parent(const struct fs_store *store, const char *key)
{
	return open_folder(store, key, parent_length(key, strlen(key)));
}

/* 0 or -errno. A folder that is gone by now holds nothing to keep. */
static int sync_folder(const struct fs_store *store, const char *key, size_t length)
{
	int fd = open_folder(store, key, length);
	int failed;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	failed = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return failed;
}

/* Syncs every folder above the first `length` bytes of the key, up to ROOT. */
static enum status sync_above(const struct fs_store *store, const char *key, size_t length,
			      struct error *error)
{
	while (length > 0) {
		int failed;

		length = parent_length(key, length);
		failed = sync_folder(store, key, length);
		if (failed)
			return error_set_errno(error, BW_IO, -failed, "sync the folders of %s/%s",
					       store->root, key);
	}
	return BW_OK;
}

enum status fs_sync_folders(struct fs_store *store, const char *key, struct error *error)
{
	return sync_above(store, key, strlen(key), error);
}

/* mkdir -p for the folder of `key`, each new one durable in the one above.
 * 0 or -errno. */
static int make_folders(struct fs_store *store, const char *key)
{
	char folder[OBJECT_KEY_MAX + 1];
	int failed = 0;

	for (const char *slash = strchr(key, '/'); slash && !failed;
	     slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - key);

		cut_folder(key, length, folder);
		atomic_fetch_add(&store->making_folders, 1);
		if (mkdirat(store->root_fd, folder, FS_FOLDER_MODE) < 0) {
			failed = errno == EEXIST ? 0 : -errno;
		} else if (store->guest) {
			failed = sync_folder(store, key, parent_length(key, length));
			if (failed)
				return failed; /* making_folders stays up */
		}
		atomic_fetch_sub(&store->making_folders, 1);
	}
	/* Removed again from above us: the caller's next attempt makes it. */
	return failed == -ENOENT ? 0 : failed;
}

/* The folder of `key`, made where it is not there. Descriptor or -errno. */
static int open_or_make_parent(struct fs_store *store, const char *key)
{
	int fd = fs_open_parent(store, key);
	int failed;

	if (fd != -ENOENT)
		return fd;
	failed = make_folders(store, key);
	return failed ? failed : fs_open_parent(store, key);
}

/* One attempt. 0 or -errno; -ENOENT: the folder went away. */
static int place_in(const struct fs_store *store, int parent, int from_fd, const char *name,
		    const char *key, enum fs_place_mode mode)
{
	const char *leaf = leaf_of(key);
	int result = mode == FS_RENAME ? renameat(from_fd, name, parent, leaf)
				       : linkat(from_fd, name, parent, leaf, 0);

	if (result < 0)
		return -errno;
	return store->guest && fsync(parent) < 0 ? -errno : 0;
}

static bool is_folder(const struct fs_store *store, const char *key)
{
	struct stat file;

	return fstatat(store->root_fd, key, &file, 0) == 0 && S_ISDIR(file.st_mode);
}

enum status fs_place_failed(const struct fs_store *store, const char *key, int errnum,
			    struct error *error)
{
	switch (errnum) {
	case EXDEV:
		return BW_UNSUPPORTED;
	case ENOTDIR:
		return error_set(error, BW_INVALID,
				 "object %s: a part of its key is an object, and a filesystem "
				 "cannot hold both",
				 key);
	case EEXIST:
	case EISDIR:
	case ENOTEMPTY:
		if (is_folder(store, key))
			return error_set(error, BW_INVALID,
					 "object %s: other objects lie below this key, and a "
					 "filesystem cannot hold both",
					 key);
		return error_set(error, BW_CONFLICT, "object %s exists already", key);
	case ENAMETOOLONG:
		return error_set(error, BW_INVALID,
				 "object %s: longer than the filesystem's names may be", key);
	case ENOENT:
		return error_set(error, BW_UNAVAILABLE,
				 "store %s/%s: its folder is removed again and again", store->root,
				 key);
	default:
		return error_set_errno(error, status_from_errno(errnum), errnum, "store %s/%s",
				       store->root, key);
	}
}

enum status fs_place(struct fs_store *store, int from_fd, const char *name, const char *key,
		     enum fs_place_mode mode, struct error *error)
{
	int result = -ENOENT;

	for (int i = 0; i < PLACE_ATTEMPTS && result == -ENOENT; i++) {
		int parent = open_or_make_parent(store, key);

		if (parent < 0) {
			result = parent;
			continue;
		}
		result = place_in(store, parent, from_fd, name, key, mode);
		close(parent);
		if (result == -ENOENT && faccessat(from_fd, name, F_OK, 0) < 0 && errno == ENOENT)
			return error_set(error, BW_ABSENT, "the file of object %s is gone", key);
	}
	if (result < 0)
		return fs_place_failed(store, key, -result, error);
	if (store->guest && atomic_load(&store->making_folders) > 0)
		return sync_above(store, key, parent_length(key, strlen(key)), error);
	return BW_OK;
}
