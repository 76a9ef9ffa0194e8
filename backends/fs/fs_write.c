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
	uint64_t size;
	uint64_t behind; /* for fs_write_behind */
	int fd;
};

#define WRITE_BEHIND ((uint64_t)4 << 20)

void fs_write_behind(int fd, uint64_t size, uint64_t *behind)
{
	if (size - *behind < WRITE_BEHIND)
		return;
	sync_file_range(fd, (off_t)*behind, (off_t)(size - *behind), SYNC_FILE_RANGE_WRITE);
	*behind = size;
}

void fs_tmp_name(struct fs_store *store, char name[FS_TMP_NAME_SIZE])
{
	snprintf(name, FS_TMP_NAME_SIZE, "%016llx-%llx", store->unique,
		 atomic_fetch_add(&store->next_tmp, 1));
}

enum status fs_tmp_open(struct fs_store *store, char name[FS_TMP_NAME_SIZE], int *ret_fd,
			struct error *error)
{
	int fd;

	fs_tmp_name(store, name);
	fd = openat(store->tmp_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FS_FILE_MODE);
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

enum status fs_stamp(const struct fs_store *store, int fd, const char *key, int64_t *ret_ns,
		     struct error *error)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};

	clock_gettime(CLOCK_REALTIME, &times[1]);
	if (futimens(fd, times) < 0)
		return error_set_errno(error, status_from_errno(errno), errno,
				       "stamp object %s in %s", key, store->root);
	*ret_ns = (int64_t)times[1].tv_sec * 1000000000 + times[1].tv_nsec;
	return BW_OK;
}

enum status fs_seal(const struct fs_store *store, int fd, const char *key, struct error *error)
{
	int64_t stored_at;
	enum status status = fs_stamp(store, fd, key, &stored_at, error);

	if (!status && fsync(fd) < 0)
		status = error_set_errno(error, status_from_errno(errno), errno,
					 "sync object %s in %s", key, store->root);
	return status;
}

static struct fs_source tmp_source(const struct fs_store *store, const char *name, int fd,
				   uint64_t size)
{
	return (struct fs_source){
		.folder = FS_TMP,
		.folder_fd = store->tmp_fd,
		.name = name,
		.fd = fd,
		.size = size,
	};
}

enum status fs_put(struct object_store *base, const char *key, const void *bytes, size_t length,
		   enum put_mode mode, struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = fs_check_reserved(store, key, error);
	struct fs_source source;
	char name[FS_TMP_NAME_SIZE];
	int fd = -1;

	if (!status)
		status = fs_tmp_open(store, name, &fd, error);
	if (status)
		return status;
	status = write_bytes(store, fd, key, bytes, length, error);
	if (status) {
		unlinkat(store->tmp_fd, name, 0);
	} else {
		source = tmp_source(store, name, fd, length);
		source.bytes = bytes;
		status = fs_store_file(store, &source, key, mode, error);
	}
	close(fd);
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

	enum status status =
		write_bytes(writer->store, writer->fd, writer->key, bytes, length, error);

	if (status)
		return status;
	writer->size += length;
	fs_write_behind(writer->fd, writer->size, &writer->behind);
	return BW_OK;
}

static enum status writer_commit(struct object_writer *base, struct error *error)
{
	struct fs_writer *writer = container_of(base, struct fs_writer, base);
	struct fs_source source = tmp_source(writer->store, writer->name, writer->fd, writer->size);
	enum status status = fs_store_file(writer->store, &source, writer->key, PUT_REPLACE, error);

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

/* By a second name in tmp/, so that on failure the first one is still the caller's. */
static enum status open_adopted(struct fs_store *store, const char *path,
				char name[FS_TMP_NAME_SIZE], struct fs_source *ret_source,
				struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum status status = BW_OK;
	struct stat file;

	if (fd < 0)
		return error_set_errno(error, BW_IO, errno, "open %s", path);
	fs_tmp_name(store, name);
	if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode))
		status = error_set(error, BW_INVALID, "%s is not a regular file", path);
	else if (fchmod(fd, FS_FILE_MODE) < 0)
		status = error_set_errno(error, BW_IO, errno, "chmod %s", path);
	else if (linkat(AT_FDCWD, path, store->tmp_fd, name, 0) < 0)
		status =
			errno == EXDEV
				? BW_UNSUPPORTED
				: error_set_errno(
					  error, errno == ENOENT ? BW_IO : status_from_errno(errno),
					  errno, "link %s into %s/" FS_TMP, path, store->root);
	if (status)
		close(fd);
	else
		*ret_source = tmp_source(store, name, fd, (uint64_t)file.st_size);
	return status;
}

/* What the owner can see is durable. What a guest sees may be another one's, who has
 * not synced it yet. */
enum status fs_keep_existing(struct fs_store *store, const char *key, struct error *error)
{
	return store->guest ? fs_sync_folders(store, key, error) : BW_OK;
}

static enum status adopt_new(struct fs_store *store, const char *key, const char *path,
			     struct error *error)
{
	char name[FS_TMP_NAME_SIZE];
	struct fs_source source;
	struct error why = {0};
	enum status status = open_adopted(store, path, name, &source, error);

	if (status)
		return status;
	status = fs_store_file(store, &source, key, PUT_IF_ABSENT, &why);
	close(source.fd);
	if (status == BW_CONFLICT)
		return fs_keep_existing(store, key, error);
	if (status && error)
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
