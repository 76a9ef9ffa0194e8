#include "server/cache/spool.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"

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

enum status spool_prepare(const char *directory, struct error *error)
{
	int result = file_make_directories(directory);

	if (result < 0)
		return error_set_errno(error, BW_IO, -result, "spool %s", directory);
	return remove_leftovers(directory, error);
}

static int create_new(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

enum status spool_create(const char *directory, const struct digest *digest,
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
	path = xasprintf("%s/%.32s-%s" SPOOL_SUFFIX, directory, hex, nonce_text);
	fd = create_new(path);
	/* Somebody who tidies up takes the folder as well. Not mkdir -p: when what
	 * it lies in is gone too, a disk may be missing. */
	if (fd < 0 && errno == ENOENT && (mkdir(directory, 0700) == 0 || errno == EEXIST))
		fd = create_new(path);
	if (fd < 0) {
		enum status status =
			error_set_errno(error, errno == ENOENT ? BW_IO : status_from_errno(errno),
					errno, "spool file %s", path);

		free(path);
		return status;
	}
	*ret_file = (struct spool_file){.fd = fd, .path = path};
	return BW_OK;
}

enum status spool_write(const struct spool_file *file, uint64_t offset, const void *bytes,
			size_t length, struct error *error)
{
	int result = file_pwrite_all(file->fd, bytes, length, offset);

	if (result < 0)
		return error_set_errno(error, status_from_errno(-result), -result,
				       "write spool file %s", file->path);
	return BW_OK;
}

void spool_given_away(struct spool_file *file)
{
	free(file->path);
	file->path = NULL;
}

void spool_discard(struct spool_file *file)
{
	if (file->path)
		unlink(file->path);
	spool_given_away(file);
}

void spool_release(struct spool_file *file)
{
	spool_discard(file);
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}
