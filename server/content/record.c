#include "server/content/record.h"

#include "server/base/json.h"
#include "server/base/str.h"

#include <string.h>

/* Times are milliseconds: exact in JSON until the year 287396. */
static void append_time(struct buf *buf, int64_t wall_ms)
{
	buf_append_string(buf, "\"storedAt\":");
	buf_append_u64(buf, wall_ms > 0 ? (uint64_t)wall_ms : 0);
	buf_append_char(buf, '}');
}

static void write_time(struct buf *buf, int64_t wall_ms)
{
	buf_append_char(buf, ',');
	append_time(buf, wall_ms);
}

static enum status unreadable(struct error *error, const char *what)
{
	return error_set(error, BW_CORRUPT, "%s record is not readable", what);
}

void record_write_manifest(struct buf *buf, const char *media_type, uint64_t size,
			   int64_t stored_at)
{
	buf_append_string(buf, "{\"mediaType\":");
	buf_append_json(buf, media_type, strlen(media_type));
	buf_append_string(buf, ",\"size\":");
	buf_append_u64(buf, size);
	write_time(buf, stored_at);
}

enum status record_read_manifest(const char *text, size_t length, char media_type[MEDIA_TYPE_MAX],
				 uint64_t *ret_size, int64_t *ret_stored_at, struct error *error)
{
	enum status status = BW_OK;
	const char *type = NULL;
	uint64_t size, stored_at;
	cJSON *json = NULL;

	if (json_parse(text, length, &json, NULL) != BW_OK)
		return unreadable(error, "manifest");
	type = json_string(json, "mediaType");
	if (!type || strlen(type) >= MEDIA_TYPE_MAX || !json_u64(json, "size", &size) ||
	    !json_u64(json, "storedAt", &stored_at)) {
		status = unreadable(error, "manifest");
		goto out;
	}
	str_copy(media_type, MEDIA_TYPE_MAX, type);
	*ret_size = size;
	*ret_stored_at = (int64_t)stored_at;
out:
	cJSON_Delete(json);
	return status;
}

void record_write_tag(struct buf *buf, const struct digest *digest, int64_t stored_at)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	buf_printf(buf, "{\"digest\":\"%s\"", text);
	write_time(buf, stored_at);
}

void record_write_tag_removed(struct buf *buf, int64_t removed_at)
{
	buf_append_string(buf, "{\"removed\":true");
	write_time(buf, removed_at);
}

enum status record_read_tag(const char *text, size_t length, struct digest *ret_digest,
			    int64_t *ret_stored_at, struct error *error)
{
	enum status status = BW_OK;
	const char *digest_text;
	struct digest digest;
	uint64_t stored_at;
	cJSON *json = NULL;

	if (json_parse(text, length, &json, NULL) != BW_OK)
		return unreadable(error, "tag");
	if (cJSON_IsTrue(json_member(json, "removed"))) {
		status = error_set(error, BW_ABSENT, "the tag was removed");
		goto out;
	}
	digest_text = json_string(json, "digest");
	if (!digest_text || !digest_parse(digest_text, strlen(digest_text), &digest) ||
	    !json_u64(json, "storedAt", &stored_at)) {
		status = unreadable(error, "tag");
		goto out;
	}
	*ret_digest = digest;
	*ret_stored_at = (int64_t)stored_at;
out:
	cJSON_Delete(json);
	return status;
}

void record_write_link(struct buf *buf, uint64_t size, int64_t stored_at)
{
	buf_append_string(buf, "{\"size\":");
	buf_append_u64(buf, size);
	write_time(buf, stored_at);
}

enum status record_read_link(const char *text, size_t length, uint64_t *ret_size,
			     int64_t *ret_stored_at, struct error *error)
{
	uint64_t size, stored_at;
	cJSON *json = NULL;
	bool good = json_parse(text, length, &json, NULL) == BW_OK &&
		    json_u64(json, "size", &size) && json_u64(json, "storedAt", &stored_at);

	cJSON_Delete(json);
	if (!good)
		return unreadable(error, "link");
	*ret_size = size;
	*ret_stored_at = (int64_t)stored_at;
	return BW_OK;
}

void record_write_referrer(struct buf *buf, int64_t stored_at)
{
	buf_append_string(buf, "{");
	append_time(buf, stored_at);
}
