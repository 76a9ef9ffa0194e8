#include "backends/fs/fs_store.h"

#include "backends/fs/fs_internal.h"
#include "server/base/file.h"
#include "server/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPENING_TIMEOUT_MS 60000
#define OPENING_PAUSE_MS 20
#define PROBE_LINK "link"

bool fs_reserved(const char *segment)
{
	static const char *const names[] = {
		FS_TMP, FS_SPOOL, FS_LOCK, FS_OPENING, FS_UPLOADS, FS_JOURNAL,
	};

	for (size_t i = 0; i < array_size(names); i++)
		if (strcmp(segment, names[i]) == 0)
			return true;
	return false;
}

enum status fs_check_reserved(const struct fs_store *store, const char *key, struct error *error)
{
	char first[sizeof(FS_UPLOADS)];
	size_t length = strcspn(key, "/");

	if (length >= sizeof(first))
		return BW_OK;
	memcpy(first, key, length);
	first[length] = '\0';
	if (!fs_reserved(first))
		return BW_OK;
	return error_set(error, BW_INVALID, "object %s: %s/%s is not for objects", key, store->root,
			 first);
}

enum status fs_check_root(const struct fs_store *store, struct error *error)
{
	struct stat root;

	if (fstat(store->root_fd, &root) < 0)
		return error_set_errno(error, BW_IO, errno, "look at %s", store->root);
	if (root.st_nlink == 0)
		return error_set(error, BW_IO, "%s was deleted while we use it", store->root);
	return BW_OK;
}

enum status fs_absent(const struct fs_store *store, const char *key, struct error *error)
{
	enum status status = fs_check_root(store, error);

	return status ? status : error_set(error, BW_ABSENT, "object %s is not there", key);
}

/* ---- start ---- */

static enum status open_root(struct fs_store *store, struct error *error)
{
	int failed = file_make_directories(store->root);

	if (failed)
		return error_set_errno(error, status_from_errno(-failed), -failed,
				       "make the storage folder %s", store->root);
	store->root_fd = open(store->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->root_fd < 0)
		return error_set_errno(error, BW_IO, errno, "open the storage folder %s",
				       store->root);
	return BW_OK;
}

/* Who holds the lock, for the message; 0 when it is not written there. */
static uint64_t lock_holder(int fd)
{
	char text[24];
	uint64_t holder = 0;
	ssize_t got = file_pread_all(fd, text, sizeof(text), 0);

	if (got > 1)
		str_parse_u64(text, (size_t)got - 1, &holder);
	return holder;
}

static enum status write_holder(struct fs_store *store, struct error *error)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	int failed = ftruncate(store->lock_fd, 0) < 0 ? -errno : 0;

	if (!failed)
		failed = file_pwrite_all(store->lock_fd, text, (size_t)length, 0);
	if (failed)
		return error_set_errno(error, status_from_errno(-failed), -failed,
				       "write %s/" FS_LOCK, store->root);
	return BW_OK;
}

static enum status open_lock(const struct fs_store *store, const char *name, int *ret_fd,
			     struct error *error)
{
	*ret_fd = openat(store->root_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, FS_FILE_MODE);
	if (*ret_fd < 0)
		return error_set_errno(error, status_from_errno(errno), errno,
				       "open %s/%s for writing", store->root, name);
	return BW_OK;
}

/* Whoever opens the store does so alone: a guest must not look while the owner is
 * still repairing it. flock(2) knows no deadline, so this asks again and again. */
static enum status await_opening(struct fs_store *store, struct error *error)
{
	const struct timespec pause = {.tv_nsec = OPENING_PAUSE_MS * 1000000L};
	deadline_ms end = deadline_in(OPENING_TIMEOUT_MS);
	enum status status = open_lock(store, FS_OPENING, &store->opening_fd, error);

	while (!status && flock(store->opening_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			status = error_set_errno(error, BW_IO, errno, "lock %s/" FS_OPENING,
						 store->root);
		else if (deadline_passed(end))
			status = error_set(error, BW_UNAVAILABLE,
					   "%s is still being opened by another process after "
					   "%d seconds",
					   store->root, OPENING_TIMEOUT_MS / 1000);
		else
			nanosleep(&pause, NULL);
	}
	return status;
}

static enum status lock_root(struct fs_store *store, bool may_be_guest, struct error *error)
{
	enum status status = open_lock(store, FS_LOCK, &store->lock_fd, error);

	if (status)
		return status;
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return write_holder(store, error);
	if (errno != EWOULDBLOCK)
		return error_set_errno(error, BW_IO, errno, "lock %s/" FS_LOCK, store->root);
	store->guest = may_be_guest;
	if (may_be_guest)
		return BW_OK;
	return error_set(error, BW_UNAVAILABLE,
			 "%s is in use by process %llu (it holds %s/" FS_LOCK
			 "); only one process may write there",
			 store->root, (unsigned long long)lock_holder(store->lock_fd), store->root);
}

enum status fs_open_own_folder(const struct fs_store *store, const char *name, int *ret_fd,
			       struct error *error)
{
	if (mkdirat(store->root_fd, name, FS_FOLDER_MODE) < 0 && errno != EEXIST)
		return error_set_errno(error, status_from_errno(errno), errno, "make %s/%s",
				       store->root, name);
	*ret_fd = openat(store->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_set_errno(error, BW_IO, errno, "open %s/%s", store->root, name);
	return BW_OK;
}

/* What a crash left half-written. Nobody else writes here: we hold the lock. */
static enum status empty_tmp(struct fs_store *store, struct error *error)
{
	enum status status = BW_OK;
	struct dirent *entry;
	int fd = openat(store->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (!folder) {
		status = error_set_errno(error, BW_IO, errno, "open %s/" FS_TMP, store->root);
		if (fd >= 0)
			close(fd);
		return status;
	}
	while (!status && (entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(store->tmp_fd, entry->d_name, 0) < 0)
			status = error_set_errno(error, BW_IO, errno, "remove %s/" FS_TMP "/%s",
						 store->root, entry->d_name);
	}
	closedir(folder);
	return status;
}

/* ---- check ---- */

/* Objects are found through root_fd; files that came to lie under the path in
 * its place (a remount, a restored copy) would be served by the next process
 * and not by this one. */
static enum status check_same_root(const struct fs_store *store, struct error *error)
{
	struct stat ours;
	struct stat there;

	if (fstat(store->root_fd, &ours) < 0 || stat(store->root, &there) < 0)
		return error_set_errno(error, BW_IO, errno, "look at %s", store->root);
	if (ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
		return error_set(error, BW_IO, "%s is not the folder it was at the start",
				 store->root);
	return BW_OK;
}

/* `linked` is a second name the probe gets: adopting needs hard links. */
static enum status probe(struct fs_store *store, const char *linked, struct error *error)
{
	char name[FS_TMP_NAME_SIZE];
	int failed = 0;
	int fd;

	fs_tmp_name(store, name);
	fd = openat(store->tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FS_FILE_MODE);
	if (fd < 0)
		return error_set_errno(error, status_from_errno(errno), errno,
				       "write to %s/" FS_TMP, store->root);
	failed = file_write_all(fd, "?", 1);
	close(fd);
	if (!failed && linked && linkat(store->tmp_fd, name, store->tmp_fd, linked, 0) < 0)
		failed = -errno;
	unlinkat(store->tmp_fd, name, 0);
	if (linked)
		unlinkat(store->tmp_fd, linked, 0);
	if (failed)
		return error_set_errno(error, status_from_errno(-failed), -failed,
				       "write and link a file in %s/" FS_TMP, store->root);
	return BW_OK;
}

static enum status fs_check(struct object_store *base, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = check_same_root(store, error);

	if (!status && store->journal)
		status = fs_journal_check(store->journal, error);
	return status ? status : probe(store, NULL, error);
}

/* ---- lifecycle ---- */

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void fs_free(struct object_store *base)
{
	struct fs_store *store = fs_store_of(base);

	fs_journal_free(store->journal);
	fs_turns_release(&store->turns);
	close_if_open(store->opening_fd);
	close_if_open(store->uploads_fd);
	close_if_open(store->tmp_fd);
	close_if_open(store->root_fd);
	close_if_open(store->lock_fd); /* last: it lets the next process in */
	free(store->root);
	free(store);
}

static const struct object_store_ops fs_ops = {
	.name = "filesystem",
	.stat = fs_stat,
	.open = fs_open,
	.put = fs_put,
	.create = fs_create,
	.adopt = fs_adopt,
	.part_create = fs_part_create,
	.part_open = fs_part_open,
	.part_remove = fs_part_remove,
	.parts_commit = fs_parts_commit,
	.parts_discard = fs_parts_discard,
	.parts_list = fs_parts_list,
	.remove = fs_remove,
	.list = fs_list,
	.check = fs_check,
	.free = fs_free,
};

static enum status settle_all(void *context, struct error *error)
{
	return fs_settle_prefix(context, "", error);
}

/* What only the owner does. */
static enum status take_over(struct fs_store *store, struct error *error)
{
	uint64_t next = 0;
	enum status status = fs_replay(store, &next, error);

	/* Not before: the journal may speak of files there. */
	if (!status)
		status = empty_tmp(store, error);
	if (!status)
		status = probe(store, PROBE_LINK, error);
	if (!status)
		status = fs_journal_new(store->root_fd, store->root, next, settle_all, store,
					&store->journal, error);
	return status;
}

static enum status start(struct fs_store *store, bool may_be_guest, struct error *error)
{
	enum status status = open_root(store, error);

	if (!status)
		status = await_opening(store, error);
	if (!status)
		status = lock_root(store, may_be_guest, error);
	if (!status)
		status = fs_open_own_folder(store, FS_TMP, &store->tmp_fd, error);
	if (!status)
		status = fs_open_own_folder(store, FS_UPLOADS, &store->uploads_fd, error);
	if (!status && !store->guest)
		status = take_over(store, error);
	close_if_open(store->opening_fd); /* lets the next one look */
	store->opening_fd = -1;
	return status;
}

static enum status open_store(const char *root, bool may_be_guest, struct object_store **ret_store,
			      struct error *error)
{
	struct fs_store *store = xcalloc(1, sizeof(*store));
	enum status status;

	store->base.ops = &fs_ops;
	store->root = xstrdup(root);
	store->root_fd = store->tmp_fd = store->uploads_fd = -1;
	store->lock_fd = store->opening_fd = -1;
	fs_turns_init(&store->turns);
	if (getrandom(&store->unique, sizeof(store->unique), 0) < 0)
		store->unique = (unsigned long long)clock_wall_ms() << 16 ^ (unsigned)getpid();
	status = start(store, may_be_guest, error);
	if (status) {
		fs_free(&store->base);
		return status;
	}
	*ret_store = &store->base;
	return BW_OK;
}

enum status fs_store_new(const char *root, struct object_store **ret_store, struct error *error)
{
	return open_store(root, false, ret_store, error);
}

enum status fs_store_open_guest(const char *root, struct object_store **ret_store,
				struct error *error)
{
	return open_store(root, true, ret_store, error);
}
