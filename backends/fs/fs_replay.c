/* What the journals of the last process still know, made true again: see
 * fs_journal.h for why this is right. Nobody else is at the store: its lock is ours,
 * and guests wait. */
#include "backends/fs/fs_internal.h"
#include "server/base/file.h"
#include "server/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
	char *key;
	size_t order; /* over all journals */
	struct fs_record_header header;
	uint64_t body; /* where in the journal's file */
	int fd; /* the journal's */
};

struct replay {
	struct fs_store *store;
	int folder_fd;
	uint64_t *numbers; /* of the journals, ascending */
	int *fds; /* of those that were read */
	size_t number_count;
	struct entry *entries;
	size_t count;
	size_t capacity;
};

static enum status replay_failed(const struct replay *replay, const char *what, int errnum,
				 struct error *error)
{
	return error_set_errno(error, status_from_errno(errnum), errnum, "%s in %s/" FS_JOURNAL,
			       what, replay->store->root);
}

/* ---- which journals there are ---- */

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static enum status find_journals(struct replay *replay, struct error *error)
{
	int fd = openat(replay->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t number;
	int failed;

	while (folder && (errno = 0, entry = readdir(folder))) {
		if (!str_parse_u64(entry->d_name, strlen(entry->d_name), &number))
			continue;
		replay->numbers = xrealloc(replay->numbers,
					   (replay->number_count + 1) * sizeof(*replay->numbers));
		replay->numbers[replay->number_count++] = number;
	}
	failed = errno;
	if (folder)
		closedir(folder);
	else if (fd >= 0)
		close(fd);
	if (failed)
		return replay_failed(replay, "list the files", failed, error);
	if (replay->number_count)
		qsort(replay->numbers, replay->number_count, sizeof(*replay->numbers),
		      compare_numbers);
	replay->fds = xmalloc((replay->number_count + 1) * sizeof(*replay->fds));
	for (size_t i = 0; i < replay->number_count; i++)
		replay->fds[i] = -1;
	return BW_OK;
}

/* ---- reading ---- */

static void add_entry(struct replay *replay, const struct fs_record_header *header, const char *key,
		      uint64_t body, int fd)
{
	if (replay->count == replay->capacity) {
		replay->capacity = replay->capacity ? 2 * replay->capacity : 256;
		replay->entries =
			xrealloc(replay->entries, replay->capacity * sizeof(*replay->entries));
	}
	replay->entries[replay->count] = (struct entry){
		.key = xstrndup(key, header->key_length),
		.order = replay->count,
		.header = *header,
		.body = body,
		.fd = fd,
	};
	replay->count++;
}

/* One record at `*at`, which moves behind it. BW_ABSENT: here the journal ends, well
 * or torn. */
static enum status read_record(struct replay *replay, int fd, char *rest, uint64_t *at,
			       struct error *error)
{
	char bytes[FS_RECORD_HEADER_SIZE];
	struct fs_record_header header;
	ssize_t got = file_pread_all(fd, bytes, sizeof(bytes), *at);
	size_t length;

	if (got == (ssize_t)sizeof(bytes) && fs_record_header_parse(bytes, &header)) {
		length = header.key_length + header.body_length;
		got = file_pread_all(fd, rest, length, *at + sizeof(bytes));
		if (got == (ssize_t)length && fs_record_intact(bytes, rest, length)) {
			add_entry(replay, &header, rest, *at + sizeof(bytes) + header.key_length,
				  fd);
			*at += sizeof(bytes) + length;
			return BW_OK;
		}
	}
	return got < 0 ? replay_failed(replay, "read a file", (int)-got, error) : BW_ABSENT;
}

/* *ret_whole is false when the journal ends in the middle of a record. */
static enum status read_journal(struct replay *replay, size_t index, bool *ret_whole,
				struct error *error)
{
	char *rest = xmalloc(OBJECT_KEY_MAX + FS_RECORD_BODY_MAX);
	char name[24];
	struct stat file = {0};
	enum status status = BW_OK;
	uint64_t at = 0;
	int fd;

	snprintf(name, sizeof(name), "%llu", (unsigned long long)replay->numbers[index]);
	fd = openat(replay->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &file) < 0)
		status = replay_failed(replay, "open a file", errno, error);
	replay->fds[index] = fd;
	while (!status)
		status = read_record(replay, fd, rest, &at, error);
	free(rest);
	*ret_whole = at == (uint64_t)file.st_size;
	return status == BW_ABSENT && fd >= 0 ? BW_OK : status;
}

static enum status read_journals(struct replay *replay, struct error *error)
{
	enum status status = BW_OK;
	bool whole = true;

	/* Behind a torn record nothing was promised, in later journals neither. */
	for (size_t i = 0; i < replay->number_count && !status && whole; i++)
		status = read_journal(replay, i, &whole, error);
	return status;
}

/* ---- making it true ---- */

static int compare_keys(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x->order > y->order) - (x->order < y->order);
}

static int compare_order(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

/* Keeps each key's last record. */
static void keep_last(struct replay *replay)
{
	size_t kept = 0;

	if (replay->count == 0)
		return;
	qsort(replay->entries, replay->count, sizeof(*replay->entries), compare_keys);
	for (size_t i = 0; i < replay->count; i++) {
		if (i + 1 < replay->count &&
		    strcmp(replay->entries[i].key, replay->entries[i + 1].key) == 0)
			free(replay->entries[i].key);
		else
			replay->entries[kept++] = replay->entries[i];
	}
	replay->count = kept;
	qsort(replay->entries, replay->count, sizeof(*replay->entries), compare_order);
}

static enum status redo_put(struct fs_store *store, const struct entry *entry, const char *body,
			    struct error *error)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)(entry->header.stored_at / 1000000000),
		 .tv_nsec = entry->header.stored_at % 1000000000},
	};
	char name[FS_TMP_NAME_SIZE];
	int fd = -1;
	enum status status = fs_tmp_open(store, name, &fd, error);
	int failed;

	if (status)
		return status;
	failed = file_write_all(fd, body, entry->header.body_length);
	if (!failed && futimens(fd, times) < 0)
		failed = -errno;
	close(fd);
	if (failed)
		return error_set_errno(error, status_from_errno(-failed), -failed,
				       "write object %s in %s", entry->key, store->root);
	return fs_place(store, store->tmp_fd, name, entry->key, FS_RENAME, error);
}

static enum status redo_remove(struct fs_store *store, const struct entry *entry,
			       struct error *error)
{
	if (unlinkat(store->root_fd, entry->key, 0) < 0 && errno != ENOENT && errno != ENOTDIR &&
	    errno != EISDIR && errno != ENAMETOOLONG)
		return error_set_errno(error, BW_IO, errno, "remove %s/%s", store->root,
				       entry->key);
	fs_prune(store, entry->key);
	return BW_OK;
}

static enum status redo(const struct replay *replay, const struct entry *entry, char *body,
			struct error *error)
{
	struct fs_store *store = replay->store;
	size_t length = entry->header.body_length;
	ssize_t got = file_pread_all(entry->fd, body, length, entry->body);
	enum status status;

	if (got != (ssize_t)length)
		return replay_failed(replay, "read a record again", got < 0 ? (int)-got : EIO,
				     error);
	body[length] = '\0';
	/* Nothing of ours has such a key; where would it lead? */
	if (!object_key_valid(entry->key))
		return BW_OK;
	switch (entry->header.op) {
	case FS_OP_PUT:
		status = redo_put(store, entry, body, error);
		break;
	case FS_OP_PLACE: /* absent: it has its name */
		status = object_key_valid(body) ? fs_place(store, store->root_fd, body, entry->key,
							   FS_RENAME, error)
						: BW_INVALID;
		break;
	default:
		return redo_remove(store, entry, error);
	}
	/* A key that clashes with another: that one came later, and not by us. */
	return status == BW_ABSENT || status == BW_INVALID ? BW_OK : status;
}

static enum status redo_all(const struct replay *replay, struct error *error)
{
	char *body = xmalloc(FS_RECORD_BODY_MAX + 1);
	enum status status = BW_OK;

	for (size_t i = 0; i < replay->count && !status; i++)
		status = redo(replay, &replay->entries[i], body, error);
	free(body);
	return status;
}

static enum status drop_journals(const struct replay *replay, struct error *error)
{
	char name[24];

	if (syncfs(replay->store->root_fd) < 0)
		return replay_failed(replay, "sync what was repaired", errno, error);
	for (size_t i = 0; i < replay->number_count; i++) {
		snprintf(name, sizeof(name), "%llu", (unsigned long long)replay->numbers[i]);
		if (unlinkat(replay->folder_fd, name, 0) < 0)
			return replay_failed(replay, "remove a file", errno, error);
		/* each for itself: no older journal outlives a younger one */
		if (fsync(replay->folder_fd) < 0)
			return replay_failed(replay, "sync the folder", errno, error);
	}
	return BW_OK;
}

static void replay_release(struct replay *replay)
{
	for (size_t i = 0; i < replay->count; i++)
		free(replay->entries[i].key);
	for (size_t i = 0; replay->fds && i < replay->number_count; i++)
		if (replay->fds[i] >= 0)
			close(replay->fds[i]);
	free(replay->entries);
	free(replay->fds);
	free(replay->numbers);
	close(replay->folder_fd);
}

enum status fs_replay(struct fs_store *store, uint64_t *ret_next, struct error *error)
{
	struct replay replay = {.store = store, .folder_fd = -1};
	enum status status = fs_open_own_folder(store, FS_JOURNAL, &replay.folder_fd, error);

	if (status)
		return status;
	status = find_journals(&replay, error);
	if (!status)
		status = read_journals(&replay, error);
	if (!status) {
		keep_last(&replay);
		status = redo_all(&replay, error);
	}
	if (!status)
		status = drop_journals(&replay, error);
	if (!status)
		*ret_next = replay.number_count ? replay.numbers[replay.number_count - 1] + 1 : 1;
	replay_release(&replay);
	return status;
}
