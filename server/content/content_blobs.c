/*
 * Blobs: the bytes once for everybody, and who lists them.
 */
#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"

#include <errno.h>
#include <stdlib.h>

#define PIECE_BYTES ((size_t)256 << 10) /* read at a time */

enum status content_get_listed(struct content *content, const char *repository,
			       const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	enum status status =
		metadata_get_listed(content->metadata, repository, digest, ret_size, NULL);

	if (status == BW_OK)
		return BW_OK;
	if (status == BW_ABSENT && content_was_scanned(content, repository))
		return error_set(error, BW_ABSENT, "no manifest of \"%s\" lists the blob",
				 repository);
	return content_scan_manifests(content, repository, digest, index_is_away(status), ret_size,
				      error);
}

enum status content_link_blob(struct content *content, const char *repository,
			      const struct digest *digest, uint64_t size, struct error *error)
{
	struct listed_content link = {.digest = *digest, .size = size};

	return metadata_put_link(content->metadata, repository, &link, error);
}

/* Tells the index of bytes that were just seen, and looks once more: a garbage
 * collection removes the object first and the row last. Either it is still there,
 * and a removal of both is yet to come, or the row is taken back. */
static void index_blob(struct content *content, const struct digest *digest, uint64_t size,
		       int64_t stored_at)
{
	struct object_info info;
	char key[KEY_SIZE];

	if (metadata_put_blob(content->metadata, digest, size, stored_at, NULL) != BW_OK)
		return;
	key_of_blob(key, digest);
	if (object_stat(content->objects, key, &info, NULL) == BW_ABSENT)
		metadata_remove_blob(content->metadata, digest, NULL);
}

enum status content_stat_blob(struct content *content, const struct digest *digest,
			      uint64_t *ret_size, struct error *error)
{
	struct object_info info;
	char key[KEY_SIZE];
	enum status status = metadata_get_blob(content->metadata, digest, ret_size, NULL);
	bool away = index_is_away(status);

	if (status == BW_OK)
		return BW_OK;
	key_of_blob(key, digest);
	status = object_stat(content->objects, key, &info, error);
	if (status != BW_OK)
		return status;
	if (!away)
		index_blob(content, digest, info.size, info.stored_at);
	*ret_size = info.size;
	return BW_OK;
}

/* Forgets what is not there. Looked up first: most blobs that are not there were
 * never indexed, and a write is dearer than a read. */
static void forget_blob(struct content *content, const struct digest *digest)
{
	uint64_t indexed;

	if (metadata_get_blob(content->metadata, digest, &indexed, NULL) == BW_OK)
		metadata_remove_blob(content->metadata, digest, NULL);
}

/* Is the object not what its name says? Asked only of one whose size is a
 * surprise, since it reads the whole of it. BW_CORRUPT: yes. */
static enum status rehash(const struct digest *digest, struct object_reader *reader,
			  struct error *error)
{
	char *piece = xmalloc(PIECE_BYTES);
	struct hasher hasher;
	struct digest found;
	uint64_t offset = 0;
	size_t length = 1;
	enum status status = BW_OK;

	hasher_init(&hasher, digest->algorithm);
	while (status == BW_OK && length > 0) {
		status = object_read(reader, offset, piece, PIECE_BYTES,
				     deadline_in(OBJECT_GET_TIMEOUT_MS), &length, error);
		if (status == BW_OK)
			hasher_update(&hasher, piece, length);
		offset += length;
	}
	free(piece);
	if (status != BW_OK)
		return status;
	hasher_finish(&hasher, &found);
	if (!digest_equals(&found, digest))
		return error_set(error, BW_CORRUPT, "stored bytes do not match the digest");
	return BW_OK;
}

/* A disk that cut the file, or a manifest that lies about the size? */
static bool is_damaged(struct content *content, const struct digest *digest,
		       struct object_reader *reader, const uint64_t *listed_size)
{
	uint64_t indexed;

	if (!listed_size || reader->info.size == *listed_size)
		return false;
	/* the index has the size from when the bytes were verified */
	if (metadata_get_blob(content->metadata, digest, &indexed, NULL) == BW_OK &&
	    indexed == reader->info.size)
		return false;
	return rehash(digest, reader, NULL) == BW_CORRUPT;
}

/* Finding damage takes as long as reading the object does. A push may have put good
 * bytes in its place meanwhile, and have been told so. */
static enum status remove_unless_replaced(struct content *content, const char *key,
					  const struct object_info *found, struct error *error)
{
	struct object_info now;
	enum status status = object_stat(content->objects, key, &now, error);

	if (status != BW_OK)
		return status;
	if (now.size != found->size || now.stored_at != found->stored_at)
		return error_set(error, BW_UNAVAILABLE, "%s was damaged, and is replaced by now",
				 key);
	status = object_remove(content->objects, key, error);
	return status == BW_OK ? error_set(error, BW_ABSENT, "%s was damaged", key) : status;
}

enum status content_open_blob(struct content *content, const struct digest *digest,
			      const uint64_t *listed_size, struct object_reader **ret_reader,
			      struct error *error)
{
	struct object_reader *reader;
	char key[KEY_SIZE];
	enum status status;

	key_of_blob(key, digest);
	status = object_open(content->objects, key, &reader, error);
	if (status == BW_OK && is_damaged(content, digest, reader, listed_size)) {
		status = remove_unless_replaced(content, key, &reader->info, error);
		object_close(reader);
	}
	if (status == BW_ABSENT)
		forget_blob(content, digest);
	if (status == BW_OK)
		*ret_reader = reader;
	return status;
}

enum status content_recheck_blob(struct content *content, const struct digest *digest,
				 struct error *error)
{
	struct object_reader *reader;
	char key[KEY_SIZE];
	enum status status;

	key_of_blob(key, digest);
	status = object_open(content->objects, key, &reader, error);
	if (status == BW_OK) {
		status = rehash(digest, reader, error);
		if (status == BW_CORRUPT)
			status = remove_unless_replaced(content, key, &reader->info, error);
		object_close(reader);
	}
	if (status == BW_ABSENT)
		forget_blob(content, digest);
	return status;
}

enum status content_adopt_blob(struct content *content, const struct digest *digest, uint64_t size,
			       const char *path, struct error *error)
{
	char key[KEY_SIZE];
	enum status status;

	key_of_blob(key, digest);
	status = object_adopt(content->objects, key, path, error);
	if (status != BW_OK)
		return status;
	/* The bytes are safe; a failing index is repaired by the next look. */
	index_blob(content, digest, size, clock_wall_ms());
	return BW_OK;
}

static enum status copy_file(int file, uint64_t size, struct object_writer *writer,
			     struct error *error)
{
	char *piece = xmalloc(PIECE_BYTES);
	enum status status = BW_OK;

	for (uint64_t offset = 0; status == BW_OK && offset < size;) {
		uint64_t left = size - offset;
		ssize_t got = file_pread_all(
			file, piece, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, offset);

		if (got <= 0)
			status = error_set_errno(error, BW_IO, got < 0 ? (int)-got : EIO,
						 "read a blob's file");
		else
			status = object_write(writer, piece, (size_t)got, error);
		offset += got > 0 ? (uint64_t)got : 0;
	}
	free(piece);
	return status;
}

static enum status create_from_file(struct content *content, const char *key, int file,
				    uint64_t size, struct error *error)
{
	struct object_writer *writer;
	enum status status = object_create(content->objects, key, &writer, error);

	if (status != BW_OK)
		return status;
	status = copy_file(file, size, writer, error);
	if (status == BW_OK)
		return object_commit(writer, error);
	object_abort(writer);
	return status;
}

enum status content_copy_blob(struct content *content, const struct digest *digest, uint64_t size,
			      int file, struct error *error)
{
	struct error why = {0};
	struct object_info info;
	char key[KEY_SIZE];
	enum status status;

	key_of_blob(key, digest);
	status = object_stat(content->objects, key, &info, &why);
	if (status == BW_ABSENT)
		status = create_from_file(content, key, file, size, &why);
	if (status == BW_OK)
		index_blob(content, digest, size, clock_wall_ms());
	else if (error)
		*error = why;
	return status;
}
