#include "backends/fs/fs_internal.h"
#include "server/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fs_reader {
	struct object_reader base;
	int fd;
	char key[]; /* for messages */
};

void fs_info(const struct stat *file, struct object_info *ret)
{
	*ret = (struct object_info){
		.size = (uint64_t)file->st_size,
		.stored_at = (int64_t)file->st_mtim.tv_sec * 1000 + file->st_mtim.tv_nsec / 1000000,
	};
}

/* A file where a folder should be, or a name that no file can have: nothing
 * can be stored there, so nothing is. */
static enum status look_up_failed(const struct fs_store *store, const char *key, int errnum,
				  struct error *error)
{
	if (errnum == ENOENT || errnum == ENOTDIR || errnum == ENAMETOOLONG)
		return fs_absent(store, key, error);
	return error_set_errno(error, BW_IO, errnum, "open %s/%s", store->root, key);
}

enum status fs_stat(struct object_store *base, const char *key, struct object_info *ret_info,
		    struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = fs_check_reserved(store, key, error);
	struct stat file;

	if (!status)
		status = fs_settle_key(store, key, error);
	if (status)
		return status;
	if (fstatat(store->root_fd, key, &file, 0) < 0)
		return look_up_failed(store, key, errno, error);
	if (!S_ISREG(file.st_mode))
		return fs_absent(store, key, error);
	fs_info(&file, ret_info);
	return BW_OK;
}

static enum status reader_read(struct object_reader *base, uint64_t offset, void *target,
			       size_t length, deadline_ms deadline, size_t *ret_length,
			       struct error *error)
{
	struct fs_reader *reader = container_of(base, struct fs_reader, base);
	uint64_t left = offset < base->info.size ? base->info.size - offset : 0;
	ssize_t got;

	(void)deadline; /* a local disk cannot be given one */
	if (length > left)
		length = (size_t)left;
	if (length == 0) { /* where pread(2) would refuse a huge offset */
		*ret_length = 0;
		return BW_OK;
	}
	got = file_pread_all(reader->fd, target, length, offset);
	if (got < 0)
		return error_set_errno(error, BW_IO, (int)-got, "read object %s", reader->key);
	if ((size_t)got < length)
		return error_set(error, BW_CORRUPT,
				 "object %s: its file ended at %llu of %llu bytes", reader->key,
				 (unsigned long long)(offset + (uint64_t)got),
				 (unsigned long long)base->info.size);
	*ret_length = (size_t)got;
	return BW_OK;
}

static int reader_file(struct object_reader *base)
{
	return container_of(base, struct fs_reader, base)->fd;
}

static void reader_close(struct object_reader *base)
{
	struct fs_reader *reader = container_of(base, struct fs_reader, base);

	close(reader->fd);
	free(reader);
}

static const struct object_reader_ops fs_reader_ops = {
	.read = reader_read,
	.file = reader_file,
	.close = reader_close,
};

struct object_reader *fs_reader_new(int fd, const char *label, const struct stat *file)
{
	struct fs_reader *reader = xmalloc(sizeof(*reader) + strlen(label) + 1);

	reader->base.ops = &fs_reader_ops;
	reader->fd = fd;
	memcpy(reader->key, label, strlen(label) + 1);
	fs_info(file, &reader->base.info);
	return &reader->base;
}

enum status fs_open(struct object_store *base, const char *key, struct object_reader **ret_reader,
		    struct error *error)
{
	struct fs_store *store = fs_store_of(base);
	enum status status = fs_check_reserved(store, key, error);
	struct stat file;
	int fd;

	if (!status)
		status = fs_settle_key(store, key, error);
	if (status)
		return status;
	fd = openat(store->root_fd, key, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return look_up_failed(store, key, errno, error);
	if (fstat(fd, &file) < 0)
		status = error_set_errno(error, BW_IO, errno, "look at %s/%s", store->root, key);
	else if (!S_ISREG(file.st_mode))
		status = fs_absent(store, key, error);
	if (status) {
		close(fd);
		return status;
	}
	*ret_reader = fs_reader_new(fd, key, &file);
	return BW_OK;
}
