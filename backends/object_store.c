#include "backends/object_store.h"

#include "server/base/buf.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_PIECE ((size_t)256 * 1024)
#define KEY_SHOWN_MAX 128

static bool key_char(char c)
{
	return ascii_is_alnum(c) || c == '.' || c == '_' || c == '-' || c == ':';
}

static bool segment_valid(const char *segment, size_t length)
{
	if (length == 0 || (length == 1 && segment[0] == '.') ||
	    (length == 2 && segment[0] == '.' && segment[1] == '.'))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!key_char(segment[i]))
			return false;
	return true;
}

static bool segments_valid(const char *key, size_t length)
{
	size_t start = 0;

	for (size_t i = 0; i <= length; i++) {
		if (i < length && key[i] != '/')
			continue;
		if (!segment_valid(key + start, i - start))
			return false;
		start = i + 1;
	}
	return true;
}

bool object_key_valid(const char *key)
{
	size_t length = strnlen(key, OBJECT_KEY_MAX + 1);

	return length <= OBJECT_KEY_MAX && segments_valid(key, length);
}

/* Could any valid key begin so? Spares every backend from thinking about
 * prefixes that climb out of it. */
static bool prefix_possible(const char *prefix)
{
	size_t length = strnlen(prefix, OBJECT_KEY_MAX + 1);
	const char *slash = memrchr(prefix, '/', length);

	if (length > OBJECT_KEY_MAX)
		return false;
	if (slash && !segments_valid(prefix, (size_t)(slash - prefix)))
		return false;
	for (const char *c = slash ? slash + 1 : prefix; *c; c++)
		if (!key_char(*c))
			return false;
	return true;
}

static enum status check_key(const char *key, struct error *error)
{
	struct buf shown = BUF_INIT(KEY_SHOWN_MAX * 8);

	if (object_key_valid(key))
		return BW_OK;
	buf_append_json(&shown, key, strnlen(key, KEY_SHOWN_MAX));
	error_set(error, BW_INVALID, "%s is not the key of an object", buf_string(&shown));
	buf_release(&shown);
	return BW_INVALID;
}

enum status object_stat(struct object_store *store, const char *key, struct object_info *ret_info,
			struct error *error)
{
	enum status status = check_key(key, error);

	return status ? status : store->ops->stat(store, key, ret_info, error);
}

enum status object_open(struct object_store *store, const char *key,
			struct object_reader **ret_reader, struct error *error)
{
	enum status status = check_key(key, error);

	return status ? status : store->ops->open(store, key, ret_reader, error);
}

enum status object_put(struct object_store *store, const char *key, const void *bytes,
		       size_t length, enum put_mode mode, struct error *error)
{
	enum status status = check_key(key, error);

	return status ? status : store->ops->put(store, key, bytes, length, mode, error);
}

enum status object_create(struct object_store *store, const char *key,
			  struct object_writer **ret_writer, struct error *error)
{
	enum status status = check_key(key, error);

	return status ? status : store->ops->create(store, key, ret_writer, error);
}

/* The file's bytes into the writer, which stays the caller's. */
static enum status copy_file(int fd, const char *path, struct object_writer *writer,
			     struct error *error)
{
	char *piece = xmalloc(COPY_PIECE);
	enum status status = BW_OK;
	uint64_t offset = 0;

	for (;;) {
		ssize_t got = file_pread_all(fd, piece, COPY_PIECE, offset);

		if (got < 0)
			status = error_set_errno(error, status_from_errno((int)-got), (int)-got,
						 "read %s", path);
		else if (got > 0)
			status = object_write(writer, piece, (size_t)got, error);
		if (status || got == 0)
			break;
		offset += (uint64_t)got;
	}
	free(piece);
	return status;
}

static enum status copy_to_key(struct object_store *store, const char *key, const char *path,
			       struct error *error)
{
	struct object_writer *writer = NULL;
	enum status status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return error_set_errno(error, status_from_errno(errno), errno, "open %s", path);
	status = object_create(store, key, &writer, error);
	if (status)
		goto out;
	status = copy_file(fd, path, writer, error);
	if (status) {
		object_abort(writer);
		goto out;
	}
	status = object_commit(writer, error);
out:
	close(fd);
	return status;
}

static enum status adopt_by_copy(struct object_store *store, const char *key, const char *path,
				 struct error *error)
{
	struct object_info info;
	struct error why = {0};
	enum status status = object_stat(store, key, &info, &why);

	if (status == BW_ABSENT)
		status = copy_to_key(store, key, path, error);
	else if (status && error)
		*error = why;
	if (status)
		return status;
	if (unlink(path) < 0)
		return error_set_errno(error, BW_IO, errno, "remove %s, which is stored now", path);
	return BW_OK;
}

enum status object_adopt(struct object_store *store, const char *key, const char *path,
			 struct error *error)
{
	enum status status = check_key(key, error);

	if (status)
		return status;
	status = store->ops->adopt ? store->ops->adopt(store, key, path, error) : BW_UNSUPPORTED;
	return status == BW_UNSUPPORTED ? adopt_by_copy(store, key, path, error) : status;
}

enum status object_remove(struct object_store *store, const char *key, struct error *error)
{
	enum status status = check_key(key, error);

	return status ? status : store->ops->remove(store, key, error);
}

enum status object_list(struct object_store *store, const char *prefix, const char *start_after,
			object_list_fn fn, void *context, struct error *error)
{
	if (!prefix_possible(prefix))
		return BW_OK;
	return store->ops->list(store, prefix, start_after, fn, context, error);
}

enum status object_presign(struct object_store *store, const char *key, unsigned seconds,
			   char **ret_url, struct error *error)
{
	enum status status = check_key(key, error);

	if (!status && !store->ops->presign)
		status = error_set(error, BW_UNSUPPORTED, "the %s store has no URLs of its own",
				   store->ops->name);
	return status ? status : store->ops->presign(store, key, seconds, ret_url, error);
}

static enum status read_whole(struct object_reader *reader, const char *key, char *target,
			      size_t length, struct error *error)
{
	deadline_ms deadline = deadline_in(OBJECT_GET_TIMEOUT_MS);
	size_t done = 0;

	while (done < length) {
		size_t got = 0;
		enum status status = object_read(reader, done, target + done, length - done,
						 deadline, &got, error);

		if (status)
			return status;
		if (got == 0)
			return error_set(error, BW_CORRUPT,
					 "object %s ended after %zu of %zu bytes", key, done,
					 length);
		done += got;
	}
	return BW_OK;
}

enum status object_get(struct object_store *store, const char *key, size_t max, char **ret_bytes,
		       size_t *ret_length, struct error *error)
{
	struct object_reader *reader = NULL;
	char *bytes = NULL;
	size_t length;
	enum status status = object_open(store, key, &reader, error);

	if (status)
		return status;
	if (reader->info.size > max) {
		status = error_set(error, BW_TOO_LARGE,
				   "object %s has %llu bytes, more than the %zu allowed", key,
				   (unsigned long long)reader->info.size, max);
		goto out;
	}
	length = (size_t)reader->info.size;
	bytes = xmalloc(length + 1);
	status = read_whole(reader, key, bytes, length, error);
	if (status)
		goto out;
	bytes[length] = '\0';
	*ret_bytes = bytes;
	*ret_length = length;
	bytes = NULL;
out:
	free(bytes);
	object_close(reader);
	return status;
}

/* ---- parts ---- */

bool object_upload_valid(const char *upload)
{
	size_t length = strnlen(upload, UPLOAD_ID_MAX + 1);

	return length >= 1 && length <= UPLOAD_ID_MAX &&
	       strspn(upload, "0123456789abcdef") == length;
}

static enum status check_upload(const char *upload, struct error *error)
{
	if (object_upload_valid(upload))
		return BW_OK;
	return error_set(error, BW_INVALID, "not the name of an upload");
}

static enum status check_part(const struct object_part *part, struct error *error)
{
	size_t length = strnlen(part->name, PART_NAME_SIZE);
	bool valid = length >= 1 && length < PART_NAME_SIZE;

	for (size_t i = 0; i < length && valid; i++)
		valid = part->name[i] > ' ' && part->name[i] < 0x7f && part->name[i] != '"' &&
			part->name[i] != '\'' && part->name[i] != '\\';
	return valid ? BW_OK : error_set(error, BW_INVALID, "not the name of a part");
}

enum status object_part_create(struct object_store *store, const char *upload, unsigned part_number,
			       struct part_writer **ret_writer, struct error *error)
{
	enum status status = check_upload(upload, error);

	if (!status && part_number == 0)
		status = error_set(error, BW_INVALID, "upload %s: parts count from 1", upload);
	return status ? status
		      : store->ops->part_create(store, upload, part_number, ret_writer, error);
}

enum status object_part_open(struct object_store *store, const char *upload,
			     const struct object_part *part, struct object_reader **ret_reader,
			     struct error *error)
{
	enum status status = check_upload(upload, error);

	if (!status)
		status = check_part(part, error);
	return status ? status : store->ops->part_open(store, upload, part, ret_reader, error);
}

enum status object_part_remove(struct object_store *store, const char *upload,
			       const struct object_part *part, struct error *error)
{
	enum status status = check_upload(upload, error);

	if (!status)
		status = check_part(part, error);
	return status ? status : store->ops->part_remove(store, upload, part, error);
}

enum status object_parts_commit(struct object_store *store, const char *upload,
				const struct object_part *parts, size_t count, const char *key,
				struct error *error)
{
	enum status status = check_upload(upload, error);

	if (!status)
		status = check_key(key, error);
	for (size_t i = 0; i < count && !status; i++)
		status = check_part(&parts[i], error);
	return status ? status : store->ops->parts_commit(store, upload, parts, count, key, error);
}

enum status object_parts_discard(struct object_store *store, const char *upload,
				 struct error *error)
{
	enum status status = check_upload(upload, error);

	return status ? status : store->ops->parts_discard(store, upload, error);
}
