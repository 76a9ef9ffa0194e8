#include "server/cache/hot_folder.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_MAX 256

void hot_folder_init(struct hot_folder *folder, const char *directory)
{
	*folder = (struct hot_folder){.directory = xstrdup(directory), .lock_fd = -1};
}

void hot_folder_release(struct hot_folder *folder)
{
	if (folder->lock_fd >= 0)
		close(folder->lock_fd);
	free(folder->directory);
	*folder = (struct hot_folder){.lock_fd = -1};
}

static char *path_of(const struct hot_folder *folder, const struct hot_name *name)
{
	char hex[DIGEST_TEXT_SIZE];

	digest_format_hex(&name->digest, hex);
	return xasprintf("%s/blobs/%s-%s.%" PRIu64 ".%" PRIu64, folder->directory,
			 digest_algorithm_name(name->digest.algorithm), hex, name->size,
			 name->number);
}

static bool parse_name(const char *text, struct hot_name *ret)
{
	const char *size = strchr(text, '.');
	const char *number = size ? strchr(size + 1, '.') : NULL;
	char digest[DIGEST_TEXT_SIZE];
	char *dash;

	if (!number || (size_t)(size - text) >= sizeof(digest))
		return false;
	memcpy(digest, text, (size_t)(size - text));
	digest[size - text] = '\0';
	dash = strchr(digest, '-');
	if (!dash)
		return false;
	*dash = ':';
	return digest_parse(digest, strlen(digest), &ret->digest) &&
	       str_parse_u64(size + 1, (size_t)(number - size - 1), &ret->size) &&
	       str_parse_u64(number + 1, strlen(number + 1), &ret->number);
}

/* ---- the folder ---- */

static enum status failed(const struct hot_folder *folder, int errnum, struct error *error)
{
	enum status code = status_from_errno(errnum);

	/* a mistake in the configuration does not mend itself */
	if (errnum == EACCES || errnum == EPERM || errnum == ENOTDIR)
		code = BW_INVALID;
	return error_set_errno(error, code == BW_ABSENT ? BW_IO : code, errnum, "hot cache %s",
			       folder->directory);
}

bool hot_folder_may_recover(enum status status)
{
	return status == BW_IO || status == BW_NO_SPACE;
}

static enum status lock(struct hot_folder *folder, struct error *error)
{
	char *path = xasprintf("%s/lock", folder->directory);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int errnum = errno;

	free(path);
	if (fd < 0)
		return failed(folder, errnum, error);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		errnum = errno;
		close(fd);
		if (errnum != EWOULDBLOCK)
			return failed(folder, errnum, error);
		return error_set(error, BW_CONFLICT,
				 "hot cache %s is in use by another process; give each process a "
				 "folder of its own (storage.hotCache.directory)",
				 folder->directory);
	}
	if (folder->lock_fd >= 0)
		close(folder->lock_fd);
	folder->lock_fd = fd;
	return BW_OK;
}

static bool is_of_this_boot(const char *path, const char *boot)
{
	char *recorded = NULL;
	bool same = file_read(path, BOOT_MAX, &recorded, NULL, NULL) == BW_OK &&
		    strcmp(recorded, boot) == 0;

	free(recorded);
	return same;
}

static int write_boot(const char *path, const char *boot)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int result;

	if (fd < 0)
		return -errno;
	result = file_write_all(fd, boot, strlen(boot));
	close(fd);
	return result;
}

static enum status empty(const struct hot_folder *folder, struct error *error)
{
	char *path = xasprintf("%s/blobs", folder->directory);
	DIR *entries = opendir(path);
	const struct dirent *entry;
	int errnum = errno;

	free(path);
	if (!entries)
		return failed(folder, errnum, error);
	while ((entry = readdir(entries)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(entries), entry->d_name, 0);
	closedir(entries);
	return BW_OK;
}

/* What was not synced before the machine went down may be anything by now. A
 * machine that does not name its boots is taken as started anew each time. */
static enum status trust(const struct hot_folder *folder, struct error *error)
{
	char *path = xasprintf("%s/boot", folder->directory);
	char *boot = file_read_boot_id();
	enum status status = BW_OK;
	int result = 0;

	if (!boot)
		status = empty(folder, error);
	else if (!is_of_this_boot(path, boot)) {
		status = empty(folder, error);
		if (status == BW_OK)
			result = write_boot(path, boot);
	}
	if (result < 0)
		status = failed(folder, -result, error);
	free(boot);
	free(path);
	return status;
}

static int make_folders(const struct hot_folder *folder, const char *blobs, bool again)
{
	int result;

	if (!again)
		return file_make_directories(blobs);
	/* and what they lie in, where the spool is, too */
	result = file_make_again(folder->directory);
	return result == 0 ? file_make_again(blobs) : result;
}

enum status hot_folder_prepare(struct hot_folder *folder, struct error *error)
{
	char *blobs = xasprintf("%s/blobs", folder->directory);
	bool again = folder->lock_fd >= 0;
	int result = make_folders(folder, blobs, again);
	struct stat info;
	enum status status;

	status = result < 0 ? failed(folder, -result, error) : BW_OK;
	/* what was locked may have been removed with the folder */
	if (status == BW_OK && !(again && fstat(folder->lock_fd, &info) == 0 && info.st_nlink > 0))
		status = lock(folder, error);
	if (status == BW_OK)
		status = trust(folder, error);
	free(blobs);
	return status;
}

/* ---- the files ---- */

enum status hot_folder_list(const struct hot_folder *folder,
			    void (*fn)(void *context, const struct hot_name *name), void *context,
			    struct error *error)
{
	char *path = xasprintf("%s/blobs", folder->directory);
	DIR *entries = opendir(path);
	const struct dirent *entry;
	struct hot_name name;
	struct stat info;
	int errnum = errno;

	free(path);
	if (!entries)
		return failed(folder, errnum, error);
	while ((entry = readdir(entries))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (parse_name(entry->d_name, &name) &&
		    fstatat(dirfd(entries), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(info.st_mode) && (uint64_t)info.st_size == name.size)
			fn(context, &name);
		else
			unlinkat(dirfd(entries), entry->d_name, 0);
	}
	closedir(entries);
	return BW_OK;
}

int hot_folder_open(const struct hot_folder *folder, const struct hot_name *name)
{
	char *path = path_of(folder, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat info;

	if (fd < 0)
		fd = -errno;
	free(path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size == name->size)
		return fd;
	close(fd);
	return -ESTALE;
}

int hot_folder_link(const struct hot_folder *folder, const char *path, const struct hot_name *name)
{
	char *target = path_of(folder, name);
	int result = link(path, target) < 0 ? -errno : 0;

	free(target);
	return result;
}

void hot_folder_remove(const struct hot_folder *folder, const struct hot_name *name)
{
	char *path = path_of(folder, name);

	unlink(path);
	free(path);
}
