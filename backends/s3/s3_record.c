#include "backends/s3/s3_record.h"

#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

void s3_record_release(struct s3_record *record)
{
	free(record->extents);
	*record = (struct s3_record){0};
}

void s3_record_add(struct s3_record *record, const char *name, uint64_t size)
{
	struct s3_extent *extent;

	if ((record->count & (record->count - 1)) == 0) /* at powers of two */
		record->extents = xrealloc(
			record->extents, (record->count ? 2 * record->count : 1) * sizeof(*extent));
	extent = &record->extents[record->count++];
	str_copy(extent->name, sizeof(extent->name), name);
	extent->size = size;
	record->size += size;
}

bool s3_record_names(const struct s3_record *record, const char *name)
{
	for (size_t i = 0; i < record->count; i++)
		if (strcmp(record->extents[i].name, name) == 0)
			return true;
	return false;
}

enum status s3_record_write(const struct s3_record *record, struct buf *target, struct error *error)
{
	buf_printf(target, "{\"upload\":\"%s\",\"extents\":[", record->upload);
	for (size_t i = 0; i < record->count; i++) {
		buf_printf(target, "%s{\"name\":\"%s\",\"size\":", i ? "," : "",
			   record->extents[i].name);
		buf_append_u64(target, record->extents[i].size);
		buf_append_char(target, '}');
	}
	buf_append_string(target, "]}");
	while (!target->overflow && target->length % S3_RECORD_STEP)
		buf_append_char(target, ' ');
	if (target->overflow)
		return error_set(error, BW_TOO_LARGE, "%zu extents are too many for one record",
				 record->count);
	return BW_OK;
}

/* What comes out of the bucket becomes part of a key. */
static bool name_valid(const char *name)
{
	size_t length = strnlen(name, S3_EXTENT_NAME_SIZE);

	return length >= 1 && length < S3_EXTENT_NAME_SIZE && ascii_is_digit(name[0]) &&
	       strspn(name, "0123456789abcdef-.") == length;
}

static bool take_extents(const cJSON *extents, struct s3_record *record)
{
	const cJSON *extent;

	if (!cJSON_IsArray(extents))
		return false;
	cJSON_ArrayForEach(extent, extents)
	{
		const char *name = json_string(extent, "name");
		uint64_t size;

		if (!name || !name_valid(name) || !json_u64(extent, "size", &size) ||
		    record->size + size < size)
			return false;
		s3_record_add(record, name, size);
	}
	return true;
}

enum status s3_record_parse(const char *text, size_t length, struct s3_record *ret_record,
			    struct error *error)
{
	struct s3_record record = {0};
	cJSON *json = NULL;
	const char *upload;
	bool valid = json_parse(text, length, &json, NULL) == BW_OK;

	upload = json_string(json, "upload");
	valid = valid && upload && object_upload_valid(upload) &&
		take_extents(json_member(json, "extents"), &record);
	if (valid) {
		str_copy(record.upload, sizeof(record.upload), upload);
		*ret_record = record;
	} else {
		s3_record_release(&record);
		error_set(error, BW_CORRUPT, "it is no record of extents");
	}
	cJSON_Delete(json);
	return valid ? BW_OK : BW_CORRUPT;
}
