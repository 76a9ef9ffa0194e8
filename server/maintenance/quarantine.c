#include "server/maintenance/quarantine.h"

#include "server/base/memory.h"
#include "server/content/content.h"
#include "server/content/gc_files.h"
#include "server/content/keys.h"

#include <stdio.h>
#include <stdlib.h>

#define PIECE_BYTES ((size_t)256 << 10)

static enum status not_the_same(const char *key, struct error *error)
{
	return error_set(error, BW_CONFLICT, "%s is another object by now", key);
}

static bool is_same(const struct object_info *a, const struct object_info *b)
{
	return a->size == b->size && a->stored_at == b->stored_at;
}

static enum status copy_bytes(struct object_reader *reader, struct object_writer *writer,
			      struct error *error)
{
	char *piece = xmalloc(PIECE_BYTES);
	uint64_t offset = 0;
	size_t length = 1;
	enum status status = BW_OK;

	while (status == BW_OK && length > 0) {
		status = object_read(reader, offset, piece, PIECE_BYTES,
				     deadline_in(OBJECT_GET_TIMEOUT_MS), &length, error);
		if (status == BW_OK && length > 0)
			status = object_write(writer, piece, length, error);
		offset += length;
	}
	free(piece);
	return status;
}

static enum status copy(struct object_store *objects, const char *key, const char *target,
			const struct object_info *info, struct error *error)
{
	struct object_reader *reader = NULL;
	struct object_writer *writer = NULL;
	enum status status = object_open(objects, key, &reader, error);

	if (status != BW_OK)
		return status;
	if (!is_same(&reader->info, info))
		status = not_the_same(key, error);
	if (status == BW_OK)
		status = object_create(objects, target, &writer, error);
	if (status == BW_OK)
		status = copy_bytes(reader, writer, error);
	object_close(reader);
	if (status == BW_OK)
		return object_commit(writer, error);
	object_abort(writer);
	return status;
}

/* While it is condemned nobody pushes it, so what is looked at is what is removed. */
static enum status remove_condemned(struct gc_run *run, struct content *content, const char *key,
				    const struct digest *digest, const struct object_info *info,
				    struct error *error)
{
	struct object_store *objects = content_objects(content);
	struct object_info now;
	bool kept = false;
	enum status status = gc_run_is_kept(run, digest, &kept, error);

	if (status == BW_OK && kept)
		return error_set(error, BW_CONFLICT, "%s is being pushed just now", key);
	if (status == BW_OK)
		status = object_stat(objects, key, &now, error);
	if (status == BW_OK && !is_same(&now, info))
		return not_the_same(key, error);
	if (status == BW_OK)
		status = gc_run_refresh(run, error);
	if (status == BW_OK)
		status = object_remove(objects, key, error);
	if (status == BW_OK)
		status = metadata_remove_blob(content_metadata(content), digest, error);
	return status;
}

static enum status take_out(struct content *content, const char *key, const struct digest *digest,
			    const struct object_info *info, struct error *error)
{
	struct gc_run run;
	enum status status = gc_run_begin(&run, content_objects(content), error);

	if (status != BW_OK)
		return status;
	status = gc_run_condemn(&run, digest, 1, error);
	if (status == BW_OK)
		status = remove_condemned(&run, content, key, digest, info, error);
	gc_run_end(&run);
	return status;
}

enum status quarantine_blob(struct content *content, const struct digest *digest,
			    const struct object_info *info, struct error *error)
{
	char key[KEY_SIZE], target[KEY_SIZE], hex[DIGEST_TEXT_SIZE];
	enum status status;

	key_of_blob(key, digest);
	digest_format_hex(digest, hex);
	snprintf(target, sizeof(target), "quarantine/%s/%s",
		 digest_algorithm_name(digest->algorithm), hex);
	status = copy(content_objects(content), key, target, info, error);
	/* bytes that are gone cannot be kept, and hold up whoever would push them */
	if (status == BW_OK || status == BW_CORRUPT)
		status = take_out(content, key, digest, info, error);
	return status;
}
