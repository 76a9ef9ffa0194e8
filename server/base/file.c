#include "server/base/file.h"

#include "server/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX ((size_t)256)
#define SECRET_MAX ((size_t)64 * 1024)

int file_write_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t written = write(fd, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		if (written == 0)
			return -EIO;
		at += written;
		length -= (size_t)written;
	}
	return 0;
}

/* A range that does not fit off_t would wrap to a negative offset. */
static bool range_fits(uint64_t offset, size_t length)
{
	return offset <= INT64_MAX && length <= INT64_MAX - offset;
}

int file_pwrite_all(int fd, const void *bytes, size_t length, uint64_t offset)
{
	const char *at = bytes;

	if (!range_fits(offset, length))
		return -EFBIG;
	while (length) {
		ssize_t written = pwrite(fd, at, length, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		if (written == 0)
			return -EIO;
		at += written;
		length -= (size_t)written;
		offset += (uint64_t)written;
	}
	return 0;
}

ssize_t file_pread_all(int fd, void *target, size_t length, uint64_t offset)
{
	char *at = target;
	size_t done = 0;

	if (!range_fits(offset, length))
		return -EINVAL;
	while (done < length) {
		ssize_t got = pread(fd, at + done, length - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static int make_directory(const char *path)
{
	struct stat info;

	if (mkdir(path, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &info) < 0)
		return -errno;
	return S_ISDIR(info.st_mode) ? 0 : -ENOTDIR;
}

int file_make_directories(const char *path)
{
	char *copy;
	int result = 0;

	if (*path == '\0')
		return -ENOENT;
	copy = xstrdup(path);
	for (char *end = copy; *end && result == 0;) {
		char c;

		end += strspn(end, "/");
		end += strcspn(end, "/");
		c = *end;
		*end = '\0';
		result = make_directory(copy);
		*end = c;
	}
	free(copy);
	return result;
}

int file_make_again(const char *path)
{
	char *parent;
	int result = make_directory(path);

	if (result != -ENOENT)
		return result;
	parent = xstrdup(path);
	result = make_directory(dirname(parent));
	free(parent);
	return result == 0 ? make_directory(path) : result;
}

/* Reads to the end, whatever fstat says of the size: pipes and files of /proc
 * have none. Stops soon after `max`, so that the caller sees what is too much. */
static int read_to_end(int fd, size_t max, char **ret_text, size_t *ret_length)
{
	size_t capacity = 4096;
	size_t length = 0;
	char *text = xmalloc(capacity);

	while (length <= max) {
		ssize_t got = read(fd, text + length, capacity - 1 - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int errnum = errno;

			free(text);
			return -errnum;
		}
		if (got == 0)
			break;
		length += (size_t)got;
		if (length == capacity - 1) {
			capacity *= 2;
			text = xrealloc(text, capacity);
		}
	}
	text[length] = '\0';
	*ret_text = text;
	*ret_length = length;
	return 0;
}

enum status file_read(const char *path, size_t max, char **ret_text, size_t *ret_length,
		      struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = NULL;
	size_t length = 0;
	int result;

	if (fd < 0)
		return error_set_errno(error, status_from_errno(errno), errno, "open %s", path);
	result = read_to_end(fd, max, &text, &length);
	close(fd);
	if (result < 0)
		return error_set_errno(error, BW_IO, -result, "read %s", path);
	if (length > max) {
		free(text);
		return error_set(error, BW_TOO_LARGE, "%s is larger than %zu bytes", path, max);
	}
	*ret_text = text;
	if (ret_length)
		*ret_length = length;
	return BW_OK;
}

enum status file_read_secret(const char *path, char **ret_text, struct error *error)
{
	enum status status;
	size_t length;
	char *text;

	status = file_read(path, SECRET_MAX, &text, &length, error);
	if (status != BW_OK)
		return status;
	if (memchr(text, '\0', length)) {
		status = error_set(error, BW_INVALID, "the secret in %s has a NUL byte", path);
		goto refuse;
	}
	if (length > 0 && text[length - 1] == '\n') {
		length--;
		if (length > 0 && text[length - 1] == '\r')
			length--;
		text[length] = '\0';
	}
	if (length == 0) {
		status = error_set(error, BW_INVALID, "the secret in %s is empty", path);
		goto refuse;
	}
	*ret_text = text;
	return BW_OK;

refuse:
	explicit_bzero(text, length);
	free(text);
	return status;
}

struct file_stamp file_stamp_of(const char *path)
{
	struct stat info;

	if (stat(path, &info) < 0)
		return (struct file_stamp){0};
	return (struct file_stamp){info.st_dev, info.st_ino, info.st_size, info.st_ctim};
}

bool file_stamp_equals(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

char *file_read_boot_id(void)
{
	char *text = NULL;

	file_read(BOOT_ID_PATH, BOOT_ID_MAX, &text, NULL, NULL);
	return text;
}
