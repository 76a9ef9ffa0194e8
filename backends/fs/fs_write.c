#include "backends/fs/fs_internal.h"
#include "server/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file in tmp/ that becomes an object, or goes. */
struct fs_writer {
	struct object_writer base;
	struct fs_store *store;
	char *key;
	char name[FS_TMP_NAME_SIZE];
	int fd;
};

enum status fs_tmp_open(struct fs_store *store, char name[FS_TMP_NAME_SIZE], int *ret_fd,
			struct error *error)
{
	int fd;

	snprintf(name, FS_TMP_NAME_SIZE, "%llx", atomic_fetch_add(&store->next_tmp, 1));
	fd = openat(store->tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FS_FILE_MODE);
	if (fd < 0)
		return error_set_errno(error, errno == ENOENT ? BW_IO : status_from_errno(errno),
				       errno, "create %s/" FS_TMP "/%s", store->root, name);
	*ret_fd = fd;
	return BW_OK;
}

static enum status write_bytes(const struct fs_store *store, int fd, const char *key,
			       const void *bytes, size_t length, struct error *error)
{
	int failed = file_write_all(fd, bytes, length);

	if (failed)
		return error_set_errno(error, status_from_errno(-failed), -failed,
				       "write object %s in %s", key, store->root);
	return BW_OK;
}

enum status fs_seal(const struct fs_store *store, int fd, const char *key, struct error *error)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

	clock_gettime(CLOCK_REALTIME, &times[1]);
	if (futimens(fd, times) < 0 || fsync(fd) < 0)
		return error_set_errno(error, status_from_errno(errno), errno,
				       "sync object %s in %s", key, store->root);
	return BW_OK;
}

enum status fs_put(struct object_store *base, const char *key, const void *bytes, size_t length,
		   enum put_mode mode, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum fs_place_mode place = mode == PUT_IF_ABSENT ? FS_LINK : FS_RENAME;
	enum status status = fs_check_reserved(store, key, error);
	char name[FS_TMP_NAME_SIZE];
	int fd = -1;

	if (!status)
		status = fs_tmp_open(store, name, &fd, error);
	if (status)
		return status;
	status = write_bytes(store, fd, key, bytes, length, error);
	if (!status)
		status = fs_seal(store, fd, key, error);
	close(fd);
	if (!status)
		status = fs_place(store, store->tmp_fd, name, key, place, error);
	if (status || place == FS_LINK)
		unlinkat(store->tmp_fd, name, 0);
	return status;
}

/* ---- writers ---- */

static void writer_free(struct fs_writer *writer)
{
	close(writer->fd);
	free(writer->key);
	free(writer);
}

static enum status writer_write(struct object_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct fs_writer *writer = container_of(base, struct fs_writer, base);

	return write_bytes(writer->store, writer->fd, writer->key, bytes, length, error);
}

static enum status writer_commit(struct object_writer *base, struct error *error)
{
	struct fs_writer *writer = container_of(base, struct fs_writer, base);
	struct fs_store *store = writer->store;
	enum status status = fs_seal(store, writer->fd, writer->key, error);

	if (!status)
		status =
			fs_place(store, store->tmp_fd, writer->name, writer->key, FS_RENAME, error);
	if (status)
		unlinkat(store->tmp_fd, writer->name, 0);
	writer_free(writer);
	return status;
}

static void writer_abort(struct object_writer *base)
{
	struct fs_writer *writer = container_of(base, struct fs_writer, base);

	unlinkat(writer->store->tmp_fd, writer->name, 0);
	writer_free(writer);
}

static const struct object_writer_ops fs_writer_ops = {
	.write = writer_write,
	.commit = writer_commit,
	.abort = writer_abort,
};

enum status fs_create(struct object_store *base, const char *key, struct object_writer **ret_writer,
		      struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = fs_check_reserved(store, key, error);
	struct fs_writer *writer;

	if (status)
		return status;
	writer = xmalloc(sizeof(*writer));
	*writer = (struct fs_writer){.base = {.ops = &fs_writer_ops}, .store = store};
	status = fs_tmp_open(store, writer->name, &writer->fd, error);
	if (status) {
		free(writer);
		return status;
	}
	writer->key = xstrdup(key);
	*ret_writer = &writer->base;
	return BW_OK;
}

/* ---- adopt ---- */

static enum status seal_path(const struct fs_store *store, const char *path, const char *key,
			     struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum status status;
	struct stat file;

	if (fd < 0)
		return error_set_errno(error, BW_IO, errno, "open %s", path);
	if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode))
		status = error_set(error, BW_INVALID, "%s is not a regular file", path);
	else if (fchmod(fd, FS_FILE_MODE) < 0)
		status = error_set_errno(error, BW_IO, errno, "chmod %s", path);
	else
		status = fs_seal(store, fd, key, error);
	close(fd);
	return status;
}

enum status fs_keep_existing(struct fs_store *store, const char *key, struct error *error)
{
	return fs_sync_folders(store, key, error);
}

static enum status adopt_new(struct fs_store *store, const char *key, const char *path,
			     struct error *error)
{
	struct error why = {0};
	enum status status = seal_path(store, path, key, error);

	if (status)
		return status;
	status = fs_place(store, AT_FDCWD, path, key, FS_LINK, &why);
	if (status == BW_CONFLICT)
		return fs_keep_existing(store, key, error);
	if (status && error && why.code)
		*error = why;
	return status;
}

enum status fs_adopt(struct object_store *base, const char *key, const char *path,
		     struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	struct object_info info;
	struct error why = {0};
	enum status status = fs_stat(base, key, &info, &why);

	if (status == BW_OK)
		status = fs_keep_existing(store, key, error);
	else if (status == BW_ABSENT)
		status = adopt_new(store, key, path, error);
	else if (error)
		*error = why;
	if (status)
		return status;
	if (unlink(path) < 0)
		return error_set_errno(error, BW_IO, errno, "remove %s, which is stored now", path);
	return BW_OK;
}

/* ---- remove ---- */

/* See fs_place.c for why this is safe beside writers. Not synced: a folder
 * that a power cut brings back is empty, and nobody's object. */
static void prune(const struct fs_store *store, const char *key)
{
	char folder[OBJECT_KEY_MAX + 1];
	char *slash;

	memcpy(folder, key, strlen(key) + 1);
	while ((slash = strrchr(folder, '/'))) {
		*slash = '\0';
		if (unlinkat(store->root_fd, folder, AT_REMOVEDIR) < 0)
			return;
	}
}

static enum status remove_failed(const struct fs_store *store, const char *key, int errnum,
				 struct error *error)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case EISDIR: /* a folder is no object */
		return BW_OK;
	default:
		return error_set_errno(error, BW_IO, errnum, "remove %s/%s", store->root, key);
	}
}

enum status fs_remove(struct object_store *base, const char *key, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = fs_check_reserved(store, key, error);
	const char *slash = strrchr(key, '/');
	int parent;
	int failed = 0;

	if (status)
		return status;
	parent = fs_open_parent(store, key);
	if (parent < 0)
		return remove_failed(store, key, -parent, error);
	if (unlinkat(parent, slash ? slash + 1 : key, 0) < 0)
		failed = errno;
	/* Synced also when another thread's removal came first: it may not have
	 * got that far, and ours is acknowledged on its own. */
	if ((failed == 0 || failed == ENOENT) && fsync(parent) < 0)
		failed = errno;
	close(parent);
	if (failed)
		return remove_failed(store, key, failed, error);
	prune(store, key);
	return BW_OK;
}
