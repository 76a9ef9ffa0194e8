/*
 * Parts of uploads: ROOT/uploads/<upload>/<number>-<store>-<n>, where <store> is
 * random per process, so that writers of one part number in any processes have
 * files of their own. A part is written where it stays; who has not been told its
 * name by finish cannot name it.
 *
 * One part becomes an object by being renamed, and no byte is copied.
 * Several are put together in tmp/, not by appending to the first one: a commit
 * that failed half-way, or was killed, must leave the parts as they were, and two
 * that run at once must not write to one file. Where the filesystem shares extents
 * (XFS, Btrfs), copy_file_range copies none.
 *
 * What runs beside what:
 *   commit, commit  The key's turn (fs_change.c) is one's after the other's; the
 *                   second finds the key there, which is BW_OK. One that comes when
 *                   the parts are gone looks for the key again.
 *   commit, discard A part is either opened before it goes, and whole, or it is
 *                   absent; then so is the object, unless the rename came first.
 *   write, discard  finish finds that its file has no name any more: BW_ABSENT.
 *   create, discard The folder goes only when it is empty; create makes it anew
 *                   when it went in between.
 *
 * Nothing of uploads/ is made durable before a commit. After a power cut a part may
 * be gone or shorter than it was, and the commit says so: a file's size is never
 * ahead of its bytes on the filesystems we support (ext4 with ordered data, XFS,
 * Btrfs).
 */
#include "backends/fs/fs_internal.h"
#include "server/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_PATH_SIZE (UPLOAD_ID_MAX + 1 + PART_NAME_SIZE)
#define CREATE_ATTEMPTS 64
#define COPY_PIECE ((size_t)1 << 20)

struct fs_part_writer {
	struct part_writer base;
	struct fs_store *store;
	uint64_t size;
	uint64_t behind; /* for fs_write_behind */
	int fd;
	char upload[UPLOAD_ID_MAX + 1];
	char name[PART_NAME_SIZE];
};

static void part_path(const char *upload, const char *name, char target[PART_PATH_SIZE])
{
	snprintf(target, PART_PATH_SIZE, "%s/%s", upload, name);
}

static enum status check_name(const struct object_part *part, struct error *error)
{
	if (!strchr(part->name, '/') && object_key_valid(part->name))
		return BW_OK;
	return error_set(error, BW_INVALID, "not the name of a part in a filesystem");
}

static void unlink_part(const struct fs_store *store, const char *upload, const char *name)
{
	char path[PART_PATH_SIZE];

	part_path(upload, name, path);
	unlinkat(store->uploads_fd, path, 0);
	unlinkat(store->uploads_fd, upload, AT_REMOVEDIR);
}

/* ---- writing ---- */

static void writer_free(struct fs_part_writer *writer)
{
	close(writer->fd);
	free(writer);
}

static enum status writer_write(struct part_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct fs_part_writer *writer = container_of(base, struct fs_part_writer, base);
	int failed = file_write_all(writer->fd, bytes, length);

	if (failed)
		return error_set_errno(error, status_from_errno(-failed), -failed,
				       "write upload %s in %s", writer->upload,
				       writer->store->root);
	writer->size += length;
	fs_write_behind(writer->fd, writer->size, &writer->behind);
	return BW_OK;
}

static void writer_abort(struct part_writer *base)
{
	struct fs_part_writer *writer = container_of(base, struct fs_part_writer, base);

	unlink_part(writer->store, writer->upload, writer->name);
	writer_free(writer);
}

static enum status writer_finish(struct part_writer *base, struct object_part *ret_part,
				 struct error *error)
{
	struct fs_part_writer *writer = container_of(base, struct fs_part_writer, base);
	enum status status = BW_OK;
	struct stat file;

	if (fstat(writer->fd, &file) < 0)
		status = error_set_errno(error, BW_IO, errno, "look at upload %s in %s",
					 writer->upload, writer->store->root);
	else if (file.st_nlink == 0)
		status = error_set(error, BW_ABSENT, "upload %s was ended meanwhile",
				   writer->upload);
	if (status) {
		writer_abort(base);
		return status;
	}
	*ret_part = (struct object_part){.size = writer->size};
	memcpy(ret_part->name, writer->name, sizeof(ret_part->name));
	writer_free(writer);
	return BW_OK;
}

static const struct part_writer_ops fs_part_writer_ops = {
	.write = writer_write,
	.finish = writer_finish,
	.abort = writer_abort,
};

/* Descriptor or -errno. */
static int create_part(const struct fs_store *store, const char *upload, const char *name)
{
	char path[PART_PATH_SIZE];
	int fd = -ENOENT;

	part_path(upload, name, path);
	for (int i = 0; i < CREATE_ATTEMPTS && fd == -ENOENT; i++) {
		fd = openat(store->uploads_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			    FS_FILE_MODE);
		if (fd >= 0 || errno != ENOENT)
			return fd < 0 ? -errno : fd;
		if (mkdirat(store->uploads_fd, upload, FS_FOLDER_MODE) < 0 && errno != EEXIST)
			return -errno;
		fd = -ENOENT;
	}
	return fd;
}

enum status fs_part_create(struct object_store *base, const char *upload, unsigned part_number,
			   struct part_writer **ret_writer, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	struct fs_part_writer *writer = xcalloc(1, sizeof(*writer));

	writer->base.ops = &fs_part_writer_ops;
	writer->store = store;
	memcpy(writer->upload, upload, strlen(upload) + 1);
	snprintf(writer->name, sizeof(writer->name), "%u-%016llx-%llx", part_number, store->unique,
		 atomic_fetch_add(&store->next_tmp, 1));
	writer->fd = create_part(store, upload, writer->name);
	if (writer->fd < 0) {
		int failed = -writer->fd;

		free(writer);
		return error_set_errno(error, failed == ENOENT ? BW_IO : status_from_errno(failed),
				       failed, "create a file in %s/" FS_UPLOADS "/%s", store->root,
				       upload);
	}
	*ret_writer = &writer->base;
	return BW_OK;
}

/* ---- reading ---- */

static enum status part_absent(const struct fs_store *store, const char *upload,
			       const struct object_part *part, struct error *error)
{
	enum status status = fs_check_root(store, error);

	return status ? status
		      : error_set(error, BW_ABSENT, "part %s of upload %s is not there", part->name,
				  upload);
}

static enum status open_part(const struct fs_store *store, const char *upload,
			     const struct object_part *part, int *ret_fd, struct stat *ret_file,
			     struct error *error)
{
	char path[PART_PATH_SIZE];
	enum status status = check_name(part, error);
	int fd;

	if (status)
		return status;
	part_path(upload, part->name, path);
	fd = openat(store->uploads_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return part_absent(store, upload, part, error);
	if (fd < 0)
		return error_set_errno(error, BW_IO, errno, "open %s/" FS_UPLOADS "/%s",
				       store->root, path);
	if (fstat(fd, ret_file) < 0)
		status = error_set_errno(error, BW_IO, errno, "look at %s/" FS_UPLOADS "/%s",
					 store->root, path);
	else if (!S_ISREG(ret_file->st_mode) || (uint64_t)ret_file->st_size != part->size)
		status = error_set(error, BW_CORRUPT,
				   "part %s of upload %s has %llu bytes instead of %llu",
				   part->name, upload, (unsigned long long)ret_file->st_size,
				   (unsigned long long)part->size);
	if (status)
		close(fd);
	else
		*ret_fd = fd;
	return status;
}

enum status fs_part_open(struct object_store *base, const char *upload,
			 const struct object_part *part, struct object_reader **ret_reader,
			 struct error *error)
{
	struct stat file;
	int fd = -1;
	enum status status = open_part(fs_store_of(base), upload, part, &fd, &file, error);

	if (!status)
		*ret_reader = fs_reader_new(fd, part->name, &file);
	return status;
}

/* ---- commit ---- */

/* The part's bytes to the end of `to`. 0 or -errno; -ENODATA: it was cut. */
static int copy_by_hand(int from, int to, uint64_t offset, uint64_t size)
{
	char *piece = xmalloc(COPY_PIECE);
	int failed = 0;

	while (offset < size && !failed) {
		uint64_t left = size - offset;
		ssize_t got = file_pread_all(from, piece,
					     left < COPY_PIECE ? (size_t)left : COPY_PIECE, offset);

		failed = got < 0 ? (int)got : got == 0 ? -ENODATA : 0;
		if (!failed)
			failed = file_write_all(to, piece, (size_t)got);
		offset += got > 0 ? (uint64_t)got : 0;
	}
	free(piece);
	return failed;
}

static int copy_part(int from, int to, uint64_t size)
{
	uint64_t offset = 0;

	while (offset < size) {
		loff_t at = (loff_t)offset;
		ssize_t got = copy_file_range(from, &at, to, NULL, (size_t)(size - offset), 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
			return -errno;
		if (got <= 0) /* not between these two: what it cannot do, we can */
			return copy_by_hand(from, to, offset, size);
		offset += (uint64_t)got;
	}
	return 0;
}

static enum status append_part(const struct fs_store *store, const char *upload,
			       const struct object_part *part, int to, struct error *error)
{
	struct stat file;
	int from = -1;
	enum status status = open_part(store, upload, part, &from, &file, error);
	int failed;

	if (status)
		return status;
	failed = copy_part(from, to, part->size);
	close(from);
	if (failed)
		return error_set_errno(error, status_from_errno(-failed), -failed,
				       "copy part %s of upload %s in %s", part->name, upload,
				       store->root);
	return BW_OK;
}

static enum status commit_several(struct fs_store *store, const char *upload,
				  const struct object_part *parts, size_t count, const char *key,
				  struct error *error)
{
	char name[FS_TMP_NAME_SIZE];
	uint64_t size = 0;
	int fd = -1;
	enum status status = fs_tmp_open(store, name, &fd, error);

	if (status)
		return status;
	for (size_t i = 0; i < count && !status; i++) {
		status = append_part(store, upload, &parts[i], fd, error);
		size += parts[i].size;
	}
	if (status) {
		unlinkat(store->tmp_fd, name, 0);
	} else {
		struct fs_source source = {
			.folder = FS_TMP,
			.folder_fd = store->tmp_fd,
			.name = name,
			.fd = fd,
			.size = size,
		};

		status = fs_store_file(store, &source, key, PUT_IF_ABSENT, error);
	}
	close(fd);
	return status;
}

static enum status commit_one(struct fs_store *store, const char *upload,
			      const struct object_part *part, const char *key, struct error *error)
{
	char path[PART_PATH_SIZE];
	struct fs_source source;
	struct stat file;
	int fd = -1;
	enum status status = open_part(store, upload, part, &fd, &file, error);

	if (status)
		return status;
	part_path(upload, part->name, path);
	source = (struct fs_source){
		.folder = FS_UPLOADS,
		.folder_fd = store->uploads_fd,
		.name = path,
		.fd = fd,
		.size = part->size,
	};
	status = fs_store_file(store, &source, key, PUT_IF_ABSENT, error);
	close(fd);
	return status;
}

enum status fs_parts_commit(struct object_store *base, const char *upload,
			    const struct object_part *parts, size_t count, const char *key,
			    struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	struct object_info info;
	struct error why = {0};
	enum status status = fs_stat(base, key, &info, &why);

	if (status == BW_OK) {
		status = fs_keep_existing(store, key, &why);
	} else if (status == BW_ABSENT) {
		why = (struct error){0};
		status = count == 1 ? commit_one(store, upload, &parts[0], key, &why)
				    : commit_several(store, upload, parts, count, key, &why);
		/* Another commit came first, and may have taken the parts along. */
		if (status == BW_CONFLICT ||
		    (status == BW_ABSENT && fs_stat(base, key, &info, NULL) == BW_OK))
			status = fs_keep_existing(store, key, &why);
	}
	if (status) {
		if (error)
			*error = why;
		return status;
	}
	fs_parts_discard(base, upload, NULL); /* what is left goes when it expires */
	return BW_OK;
}

/* ---- the rest ---- */

enum status fs_part_remove(struct object_store *base, const char *upload,
			   const struct object_part *part, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	char path[PART_PATH_SIZE];
	enum status status = check_name(part, error);

	if (status)
		return status;
	part_path(upload, part->name, path);
	if (unlinkat(store->uploads_fd, path, 0) < 0 && errno != ENOENT && errno != ENOTDIR)
		return error_set_errno(error, BW_IO, errno, "remove %s/" FS_UPLOADS "/%s",
				       store->root, path);
	unlinkat(store->uploads_fd, upload, AT_REMOVEDIR);
	return BW_OK;
}

static DIR *open_folder(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !folder)
		close(fd);
	return folder;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

enum status fs_parts_discard(struct object_store *base, const char *upload, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	DIR *folder = open_folder(store->uploads_fd, upload);
	struct dirent *entry;
	int failed = 0;

	if (!folder && errno == ENOENT)
		return fs_check_root(store, error);
	while (folder && !failed && (errno = 0, entry = readdir(folder)))
		if (!is_dots(entry->d_name) && unlinkat(dirfd(folder), entry->d_name, 0) < 0 &&
		    errno != ENOENT)
			failed = errno;
	if (!failed)
		failed = errno;
	if (folder)
		closedir(folder);
	if (failed)
		return error_set_errno(error, BW_IO, failed, "empty %s/" FS_UPLOADS "/%s",
				       store->root, upload);
	unlinkat(store->uploads_fd, upload, AT_REMOVEDIR);
	return BW_OK;
}

/* When the upload's youngest part was written; the folder's own time when a crash
 * left it empty. False when it went meanwhile. */
static bool newest_part(const struct fs_store *store, const char *upload, int64_t *ret_at)
{
	DIR *folder = open_folder(store->uploads_fd, upload);
	struct object_info info = {0};
	struct dirent *entry;
	struct stat file;
	int64_t newest = 0;

	if (!folder)
		return false;
	while ((entry = readdir(folder))) {
		if (is_dots(entry->d_name) ||
		    fstatat(dirfd(folder), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		fs_info(&file, &info);
		newest = info.stored_at > newest ? info.stored_at : newest;
	}
	if (newest == 0 && fstat(dirfd(folder), &file) == 0 && file.st_nlink > 0) {
		fs_info(&file, &info);
		newest = info.stored_at;
	}
	closedir(folder);
	*ret_at = newest;
	return newest > 0;
}

enum status fs_parts_list(struct object_store *base, part_list_fn fn, void *context,
			  struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = fs_check_root(store, error);
	DIR *uploads = status ? NULL : open_folder(store->uploads_fd, ".");
	struct dirent *entry;
	int64_t newest_at;
	bool more = true;
	int failed;

	while (uploads && more && (errno = 0, entry = readdir(uploads)))
		if (object_upload_valid(entry->d_name) &&
		    newest_part(store, entry->d_name, &newest_at))
			more = fn(context, entry->d_name, newest_at);
	failed = more ? errno : 0;
	if (uploads)
		closedir(uploads);
	if (!status && failed)
		status = error_set_errno(error, BW_IO, failed, "list %s/" FS_UPLOADS, store->root);
	return status;
}
