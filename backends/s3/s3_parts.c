/*
 * Parts: each is an object of its own (without multipart: several segments), under a
 * name that nobody else uses. So writers that race for one upload never touch each
 * other's bytes, and a part may be named by any process.
 */
#include "backends/s3/s3_internal.h"
#include "server/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct s3_part_writer {
	struct part_writer base;
	struct s3_sink *sink;
	struct object_part part;
};

static enum status writer_write(struct part_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct s3_part_writer *writer = container_of(base, struct s3_part_writer, base);

	return s3_sink_write(writer->sink, bytes, length, error);
}

static enum status writer_finish(struct part_writer *base, struct object_part *ret_part,
				 struct error *error)
{
	struct s3_part_writer *writer = container_of(base, struct s3_part_writer, base);
	enum status status;

	writer->part.size = s3_sink_size(writer->sink);
	status = s3_sink_finish(writer->sink, error);
	if (!status)
		*ret_part = writer->part;
	free(writer);
	return status;
}

static void writer_abort(struct part_writer *base)
{
	struct s3_part_writer *writer = container_of(base, struct s3_part_writer, base);

	s3_sink_abort(writer->sink);
	free(writer);
}

static const struct part_writer_ops part_writer_ops = {
	.write = writer_write,
	.finish = writer_finish,
	.abort = writer_abort,
};

enum status s3_part_create(struct object_store *base, const char *upload, unsigned part_number,
			   struct part_writer **ret_writer, struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_part_writer *writer = xcalloc(1, sizeof(*writer));
	unsigned char random[8];
	char key[S3_KEY_SIZE];
	char hex[17];

	(void)error;
	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), hex);
	writer->base.ops = &part_writer_ops;
	snprintf(writer->part.name, PART_NAME_SIZE, "%05u-%s", part_number, hex);
	s3_data_key(store, upload, writer->part.name, key);
	writer->sink = s3_sink_new(store, key,
				   s3_has_multipart(store) ? S3_SINK_OBJECT : S3_SINK_SEGMENTS);
	*ret_writer = &writer->base;
	return BW_OK;
}

/* An upload that is committed, or being committed, has no parts for anybody else. */
static enum status find(struct s3_store *store, const char *upload, const struct object_part *part,
			struct s3_record *record, struct error *error)
{
	struct s3_folder folder = {0};
	enum status status = s3_folder_read(store, upload, &folder, error);

	if (!status && (folder.is_done || folder.is_committing))
		status = error_set(error, BW_ABSENT, "part %s of upload %s is committed",
				   part->name, upload);
	if (!status)
		status = s3_folder_find(&folder, upload, part, record, error);
	s3_folder_release(&folder);
	return status;
}

enum status s3_part_open(struct object_store *base, const char *upload,
			 const struct object_part *part, struct object_reader **ret_reader,
			 struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_record record = {0};
	enum status status = find(store, upload, part, &record, error);

	if (!status)
		*ret_reader = s3_reader_new(store, part->name, s3_runs_of(store, upload, &record),
					    record.count, (struct object_info){.size = part->size},
					    NULL, 0);
	s3_record_release(&record);
	return status;
}

enum status s3_part_remove(struct object_store *base, const char *upload,
			   const struct object_part *part, struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_record record = {0};
	enum status status = find(store, upload, part, &record, error);
	char **names;

	if (status == BW_ABSENT) {
		s3_record_release(&record);
		return BW_OK;
	}
	/* one of another size than we were told is as little wanted */
	if (status && status != BW_CORRUPT)
		return status;
	names = xcalloc(record.count, sizeof(*names));
	for (size_t i = 0; i < record.count; i++)
		names[i] = record.extents[i].name;
	status = s3_remove_names(store, upload, names, record.count, error);
	free(names);
	s3_record_release(&record);
	return status;
}
