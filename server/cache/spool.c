#include "server/cache/spool.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/cache/spool_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL_SUFFIX ".filling"

static enum status remove_leftovers(const char *directory, struct error *error)
{
	DIR *entries = opendir(directory);
	struct dirent *entry;
	enum status status = BW_OK;

	if (!entries)
		return error_set_errno(error, BW_IO, errno, "spool %s", directory);
	while ((entry = readdir(entries))) {
		/* nobody else's file, should the folder be shared by mistake */
		if (!str_ends_with(entry->d_name, SPOOL_SUFFIX))
			continue;
		if (unlinkat(dirfd(entries), entry->d_name, 0) < 0 && errno != ENOENT)
			status = error_set_errno(error, BW_IO, errno, "spool %s: remove %s",
						 directory, entry->d_name);
	}
	closedir(entries);
	return status;
}

static bool is_the_disks(int errnum)
{
	return errnum == ENOSPC || errnum == EDQUOT || errnum == EROFS || errnum == EIO;
}

enum status spool_init(struct spool *spool, const char *directory, struct hot_cache *hot,
		       uint64_t memory_max, struct error *error)
{
	int result = file_make_directories(directory);
	struct error why = {0};
	enum status status;

	*spool = (struct spool){
		.directory = xstrdup(directory),
		.hot = hot,
		.memory_max = memory_max,
		.write = file_pwrite_all,
	};
	status = result < 0 ? error_set_errno(&why, BW_IO, -result, "spool %s", directory)
			    : remove_leftovers(directory, &why);
	if (status == BW_OK)
		return BW_OK;
	if (memory_max > 0 && (result == 0 || is_the_disks(-result))) {
		spool_disk_fails(spool, &why);
		return BW_OK;
	}
	spool_release(spool);
	if (error)
		*error = why;
	return status;
}

void spool_release(struct spool *spool)
{
	free(spool->directory);
	spool->directory = NULL;
}

static int create_new(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

/* Beside a store of our own only the folder itself: when what it lies in is gone
 * too, a disk may be missing. Otherwise it lies in the hot cache's, which may be
 * deleted at any time. */
static bool make_again(const struct spool *spool)
{
	if (mkdir(spool->directory, 0700) == 0 || errno == EEXIST)
		return true;
	if (errno != ENOENT || spool->memory_max == 0)
		return false;
	if (file_make_again(spool->directory) == 0)
		return true;
	errno = ENOENT;
	return false;
}

static enum status create_on_disk(struct spool *spool, const struct digest *digest,
				  struct spool_file *ret_file, struct error *error)
{
	char hex[DIGEST_TEXT_SIZE];
	unsigned char nonce[8];
	char nonce_text[2 * sizeof(nonce) + 1];
	char *path;
	int fd;

	digest_format_hex(digest, hex);
	random_bytes(nonce, sizeof(nonce));
	str_hex(nonce, sizeof(nonce), nonce_text);
	path = xasprintf("%s/%.32s-%s" SPOOL_SUFFIX, spool->directory, hex, nonce_text);
	fd = create_new(path);
	/* Somebody who tidies up takes the folder as well. */
	if (fd < 0 && errno == ENOENT && make_again(spool))
		fd = create_new(path);
	if (fd < 0) {
		enum status status =
			error_set_errno(error, errno == ENOENT ? BW_IO : status_from_errno(errno),
					errno, "spool file %s", path);

		free(path);
		return status;
	}
	*ret_file = (struct spool_file){.spool = spool, .fd = fd, .path = path};
	return BW_OK;
}

enum status spool_create(struct spool *spool, const struct digest *digest, uint64_t size,
			 struct spool_file *ret_file, struct error *error)
{
	struct spool_file file = SPOOL_FILE_NONE;
	struct error why = {0};
	enum status status = BW_IO;

	if (!spool_disk_rests(spool)) {
		status = create_on_disk(spool, digest, &file, &why);
		if (status != BW_OK && spool->memory_max > 0)
			spool_disk_fails(spool, &why);
	}
	if (status != BW_OK && spool->memory_max > 0)
		status = spool_create_in_memory(spool, &file, &why);
	if (status == BW_OK)
		status = spool_expect(&file, size, &why);
	if (status == BW_OK) {
		*ret_file = file;
		return BW_OK;
	}
	spool_close(&file);
	if (error)
		*error = why;
	return status;
}

static enum status write_bytes(struct spool_file *file, uint64_t offset, const void *bytes,
			       size_t length, struct error *error)
{
	int result = file->in_memory ? file_pwrite_all(file->fd, bytes, length, offset)
				     : file->spool->write(file->fd, bytes, length, offset);

	if (result == 0)
		return BW_OK;
	return error_set_errno(error, status_from_errno(-result), -result, "write spool file %s",
			       file->in_memory ? "in memory" : file->path);
}

enum status spool_write(struct spool_file *file, uint64_t offset, const void *bytes, size_t length,
			struct error *error)
{
	struct spool *spool = file->spool;
	struct error why = {0};
	enum status status = spool_expect(file, offset + length, error);

	if (status != BW_OK)
		return status;
	status = write_bytes(file, offset, bytes, length, &why);
	if (status == BW_NO_SPACE && !file->in_memory && spool_make_room(file, offset))
		status = write_bytes(file, offset, bytes, length, &why);
	if (status == BW_OK && !file->in_memory)
		spool_disk_is_well(spool);
	if (status != BW_OK && !file->in_memory && spool->memory_max > 0) {
		spool_disk_fails(spool, &why);
		status = spool_move_to_memory(file, offset, &why);
		if (status == BW_OK)
			status = write_bytes(file, offset, bytes, length, &why);
	}
	if (status != BW_OK && error)
		*error = why;
	return status;
}

void spool_given_away(struct spool_file *file)
{
	if (!file->in_memory)
		spool_uncount(file);
	free(file->path);
	file->path = NULL;
}

void spool_discard(struct spool_file *file)
{
	if (file->path)
		unlink(file->path);
	spool_given_away(file);
}

void spool_close(struct spool_file *file)
{
	spool_discard(file);
	if (file->fd >= 0)
		close(file->fd);
	/* only now is the memory free */
	spool_uncount(file);
	file->fd = -1;
}
