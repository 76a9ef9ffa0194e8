#include "backends/fs/fs_internal.h"
#include "server/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Byte order over whole keys, folder by folder: a folder sorts as its name
 * with '/' at the end, which is what all keys below it begin with ("a-b" is
 * before "a/b", and "a.b" too, but "a0" after). Only folders that can hold
 * what is asked for are opened, and the names of one folder at a time per
 * level are in memory.
 */
struct walk {
	struct fs_store *store;
	const char *prefix;
	const char *start_after;
	object_list_fn fn;
	void *context;
	struct error *error;
	bool stopped; /* by fn */
	size_t length;
	char path[OBJECT_KEY_MAX + 2]; /* where we are: "" or "a/b/" */
};

struct names {
	char **list; /* folders with '/' at the end */
	size_t count;
	size_t capacity;
};

static void names_add(struct names *names, char *name)
{
	if (names->count == names->capacity) {
		names->capacity = names->capacity ? 2 * names->capacity : 64;
		names->list = xrealloc(names->list, names->capacity * sizeof(*names->list));
	}
	names->list[names->count++] = name;
}

static void names_release(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->list);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Can a key that begins with `path` (a folder's, with '/') be asked for? */
static bool folder_wanted(const struct walk *walk, const char *path, size_t length)
{
	size_t common = strlen(walk->prefix);

	if (common > length)
		common = length;
	if (memcmp(path, walk->prefix, common) != 0)
		return false;
	return strcmp(path, walk->start_after) > 0 || str_starts_with(walk->start_after, path);
}

static bool file_wanted(const struct walk *walk, const char *path)
{
	return walk->length <= OBJECT_KEY_MAX && str_starts_with(path, walk->prefix) &&
	       strcmp(path, walk->start_after) > 0;
}

/* Appends to the path; false when it is longer than any key. */
static bool push(struct walk *walk, const char *name)
{
	size_t length = strlen(name);

	if (walk->length + length >= sizeof(walk->path))
		return false;
	memcpy(walk->path + walk->length, name, length + 1);
	walk->length += length;
	return true;
}

static void pop(struct walk *walk, size_t length)
{
	walk->length = length;
	walk->path[length] = '\0';
}

static bool is_folder(int fd, const struct dirent *entry)
{
	struct stat file;

	if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
		return entry->d_type == DT_DIR;
	return fstatat(fd, entry->d_name, &file, 0) == 0 && S_ISDIR(file.st_mode);
}

/* The name as it sorts, or NULL when nothing under it is asked for. */
static char *wanted_name(struct walk *walk, int fd, const struct dirent *entry)
{
	size_t length = walk->length;
	bool folder;
	bool wanted;
	char *name;

	/* Also leaves out ".", ".." and what others put here (lost+found). */
	if (!object_key_valid(entry->d_name) || (length == 0 && fs_reserved(entry->d_name)))
		return NULL;
	folder = is_folder(fd, entry);
	name = xasprintf("%s%s", entry->d_name, folder ? "/" : "");
	wanted = push(walk, name);
	if (wanted)
		wanted = folder ? folder_wanted(walk, walk->path, walk->length)
				: file_wanted(walk, walk->path);
	pop(walk, length);
	if (wanted)
		return name;
	free(name);
	return NULL;
}

static enum status walk_failed(const struct walk *walk, int errnum)
{
	return error_set_errno(walk->error, BW_IO, errnum, "list %s/%s", walk->store->root,
			       walk->path);
}

/* The wanted names of the folder at the path, sorted. */
static enum status read_names(struct walk *walk, struct names *names)
{
	enum status status = BW_OK;
	struct dirent *entry;
	DIR *folder;
	int fd = openat(walk->store->root_fd, walk->length ? walk->path : ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) /* gone meanwhile, or never there: nothing to list */
		return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG
			       ? BW_OK
			       : walk_failed(walk, errno);
	folder = fdopendir(fd);
	if (!folder) {
		status = walk_failed(walk, errno);
		close(fd);
		return status;
	}
	while (errno = 0, (entry = readdir(folder))) {
		char *name = wanted_name(walk, fd, entry);

		if (name)
			names_add(names, name);
	}
	if (errno)
		status = walk_failed(walk, errno);
	closedir(folder);
	if (names->count)
		qsort(names->list, names->count, sizeof(*names->list), compare_names);
	return status;
}

static enum status emit(struct walk *walk)
{
	struct object_info info;
	struct stat file;

	if (fstatat(walk->store->root_fd, walk->path, &file, 0) < 0)
		return errno == ENOENT || errno == ENOTDIR ? BW_OK : walk_failed(walk, errno);
	if (!S_ISREG(file.st_mode))
		return BW_OK;
	fs_info(&file, &info);
	walk->stopped = !walk->fn(walk->context, walk->path, &info);
	return BW_OK;
}

/* Recursion is as deep as a key has segments: at most half of OBJECT_KEY_MAX
 * frames of a few words. */
static enum status walk_folder(struct walk *walk)
{
	struct names names = {0};
	size_t length = walk->length;
	enum status status = read_names(walk, &names);

	for (size_t i = 0; i < names.count && !status && !walk->stopped; i++) {
		push(walk, names.list[i]);
		status = str_ends_with(names.list[i], "/") ? walk_folder(walk) : emit(walk);
		pop(walk, length);
	}
	names_release(&names);
	return status;
}

enum status fs_list(struct object_store *base, const char *prefix, const char *start_after,
		    object_list_fn fn, void *context, struct error *error)
{
	const char *slash = strrchr(prefix, '/');
	struct walk *walk = xcalloc(1, sizeof(*walk));
	enum status status;

	*walk = (struct walk){
		.store = fs_store_of(base),
		.prefix = prefix,
		.start_after = start_after,
		.fn = fn,
		.context = context,
		.error = error,
	};
	/* All keys asked for lie in this folder or below. */
	walk->length = slash ? (size_t)(slash - prefix) + 1 : 0;
	memcpy(walk->path, prefix, walk->length);
	status = fs_check_root(walk->store, error);
	if (!status)
		status = fs_settle_prefix(walk->store, prefix, error);
	if (!status && !fs_check_reserved(walk->store, walk->path, NULL))
		status = walk_folder(walk);
	free(walk);
	return status;
}
