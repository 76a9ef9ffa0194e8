/*
 * Reading a blob that is stored or on its way, through one set of calls.
 */
#include "backends/object_store.h"
#include "server/base/file.h"
#include "server/cache/fill.h"
#include "server/cache/pull_through.h"
#include "server/content/content.h"

#include <stdlib.h>
#include <unistd.h>

void blob_source_release(struct blob_source *blob)
{
	if (blob->has_file)
		close(blob->file);
	free(blob->redirect);
	object_close(blob->reader);
	fill_unref(blob->fill);
	*blob = (struct blob_source){0};
}

/* The fill found no room for the blob: reads it without one, from the same offset
 * on. */
static enum status leave_fill(struct blob_source *blob, struct error *error)
{
	struct object_reader *reader;
	enum status status = content_open_blob(blob->content, &blob->digest, NULL, &reader, error);

	if (status != BW_OK)
		return status;
	if (reader->info.size != blob->size) {
		object_close(reader);
		return error_set(error, BW_CORRUPT, "the stored blob has changed its size");
	}
	fill_unref(blob->fill);
	blob->fill = NULL;
	blob->reader = reader;
	return BW_OK;
}

enum status blob_source_wait(struct blob_source *blob, uint64_t offset, deadline_ms deadline,
			     uint64_t *ret_end, struct error *error)
{
	enum status status = BW_OK;

	if (blob->fill) {
		status = fill_wait_bytes(blob->fill, offset, deadline, ret_end, error);
		if (status != BW_NO_SPACE || !blob->content)
			return status;
		status = leave_fill(blob, error);
	}
	if (status == BW_OK)
		*ret_end = blob->size;
	return status;
}

int blob_source_file(struct blob_source *blob)
{
	if (blob->has_file)
		return blob->file;
	return blob->fill ? fill_file(blob->fill) : object_reader_file(blob->reader);
}

/* How long a store may take for one read. */
#define READ_MS 30000

enum status blob_source_read(struct blob_source *blob, uint64_t offset, void *target, size_t length,
			     size_t *ret_length, struct error *error)
{
	ssize_t got;

	if (blob->reader)
		return object_read(blob->reader, offset, target, length, deadline_in(READ_MS),
				   ret_length, error);
	got = file_pread_all(blob_source_file(blob), target, length, offset);
	if (got < 0)
		return error_set_errno(error, BW_IO, (int)-got, "read a blob's file");
	*ret_length = (size_t)got;
	return BW_OK;
}
