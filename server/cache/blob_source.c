/*
 * Reading a blob that is stored or on its way, through one set of calls.
 */
#include "backends/object_store.h"
#include "server/base/file.h"
#include "server/cache/fill.h"
#include "server/cache/pull_through.h"

void blob_source_release(struct blob_source *blob)
{
	object_close(blob->reader);
	fill_unref(blob->fill);
	*blob = (struct blob_source){0};
}

enum status blob_source_wait(struct blob_source *blob, uint64_t offset, deadline_ms deadline,
			     uint64_t *ret_end, struct error *error)
{
	if (blob->fill)
		return fill_wait_bytes(blob->fill, offset, deadline, ret_end, error);
	*ret_end = blob->size;
	return BW_OK;
}

int blob_source_file(struct blob_source *blob)
{
	return blob->fill ? fill_file(blob->fill) : object_reader_file(blob->reader);
}

/* How long a store may take for one read. */
#define READ_MS 30000

enum status blob_source_read(struct blob_source *blob, uint64_t offset, void *target, size_t length,
			     size_t *ret_length, struct error *error)
{
	ssize_t got;

	if (!blob->fill)
		return object_read(blob->reader, offset, target, length, deadline_in(READ_MS),
				   ret_length, error);
	got = file_pread_all(fill_file(blob->fill), target, length, offset);
	if (got < 0)
		return error_set_errno(error, BW_IO, (int)-got, "read spool file");
	*ret_length = (size_t)got;
	return BW_OK;
}
