#include "server/oci/descriptor.h"

#include "server/base/buf.h"
#include "server/base/json.h"

#include <string.h>

#define DESCRIPTOR_MAX (2 * MANIFEST_MAX_BYTES) /* escapes may be longer than they were */

/* Only what the specification allows, strings: a client that decodes the list into
 * strings would otherwise fail on all of it because of one referrer. */
static void append_annotations(struct buf *json, const cJSON *annotations)
{
	const char *before = ",\"annotations\":{";
	const cJSON *item;

	if (!cJSON_IsObject(annotations))
		return;
	cJSON_ArrayForEach(item, annotations)
	{
		if (!cJSON_IsString(item))
			continue;
		buf_append_string(json, before);
		buf_append_json(json, item->string, strlen(item->string));
		buf_append_char(json, ':');
		buf_append_json(json, item->valuestring, strlen(item->valuestring));
		before = ",";
	}
	if (strcmp(before, ",") == 0)
		buf_append_char(json, '}');
}

static void append_member(struct buf *json, const char *name, const char *value)
{
	buf_printf(json, "\"%s\":", name);
	buf_append_json(json, value, strlen(value));
}

static enum status write_descriptor(const char *body, size_t length, const char *media_type,
				    const struct digest *digest, const struct manifest *parsed,
				    struct buf *json, struct error *error)
{
	char text[DIGEST_TEXT_SIZE];
	cJSON *root = NULL;
	enum status status = json_parse(body, length, &root, error);

	if (status == BW_OK && !cJSON_IsObject(root))
		status = error_set(error, BW_INVALID, "not a JSON object");
	if (status != BW_OK)
		goto out;
	digest_format(digest, text);
	buf_append_char(json, '{');
	append_member(json, "mediaType", media_type);
	buf_append_char(json, ',');
	append_member(json, "digest", text);
	buf_append_string(json, ",\"size\":");
	buf_append_u64(json, length);
	if (parsed->artifact_type) {
		buf_append_char(json, ',');
		append_member(json, "artifactType", parsed->artifact_type);
	}
	append_annotations(json, json_member(root, "annotations"));
	buf_append_char(json, '}');
	if (json->overflow)
		status = error_set(error, BW_TOO_LARGE, "a descriptor of over %zu bytes",
				   DESCRIPTOR_MAX);
out:
	cJSON_Delete(root);
	return status;
}

enum status referrer_descriptor(const char *body, size_t length, const char *media_type,
				const struct digest *digest, const struct manifest *parsed,
				char **ret_json, struct error *error)
{
	struct buf json = BUF_INIT(DESCRIPTOR_MAX);
	enum status status;

	json_large_begin(length);
	status = write_descriptor(body, length, media_type, digest, parsed, &json, error);
	json_large_end(length);
	if (status == BW_OK)
		*ret_json = buf_detach(&json, NULL);
	else
		buf_release(&json);
	return status;
}
