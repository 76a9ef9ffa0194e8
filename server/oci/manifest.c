#include "server/oci/manifest.h"

#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/oci/media_type.h"

#include <string.h>

#define MEDIA_OCI_ARTIFACT "application/vnd.oci.artifact.manifest.v1+json"
#define MEDIA_TYPE_SIZE 256 /* two names of 127, '/', NUL */

/* Could somebody take the one for the other? Clients written in Go match names
 * without regard to case, and Unicode's case: to them U+017F is an "s" and U+212A a
 * "k", the only letters beyond ASCII that are. */
static bool names_match(const char *given, const char *name)
{
	for (; *given && *name; name++) {
		char c = ascii_lower(*given);
		size_t length = 1;

		if (str_starts_with(given, "\u017f")) {
			c = 's';
			length = strlen("\u017f");
		} else if (str_starts_with(given, "\u212a")) {
			c = 'k';
			length = strlen("\u212a");
		}
		if (c != ascii_lower(*name))
			return false;
		given += length;
	}
	return *given == *name;
}

/*
 * The member `name`, or NULL when it is not there. Clients written in Go take the
 * last of several that match, so a body in which a name we read stands twice, or in
 * another case, means one thing to us and another to them: it is refused.
 */
static enum status find_member(const cJSON *object, const char *name, const cJSON **ret,
			       struct error *error)
{
	const cJSON *found = NULL;
	const cJSON *member = NULL;

	cJSON_ArrayForEach(member, object)
	{
		if (!names_match(member->string, name))
			continue;
		if (found || strcmp(member->string, name) != 0)
			return error_set(error, BW_INVALID,
					 "the member \"%s\" stands there twice, or in another case",
					 name);
		found = member;
	}
	*ret = found;
	return BW_OK;
}

/* A string member that may be absent (*ret NULL) or null, but nothing else. */
static enum status find_string(const cJSON *object, const char *name, const char **ret,
			       struct error *error)
{
	const cJSON *member = NULL;
	enum status status = find_member(object, name, &member, error);

	if (status != BW_OK)
		return status;
	if (member && !cJSON_IsNull(member) && !cJSON_IsString(member))
		return error_set(error, BW_INVALID, "\"%s\" is not a string", name);
	*ret = member ? member->valuestring : NULL; /* NULL for a null, too */
	return BW_OK;
}

/* By its type, or because it says where else it can be had: registries take
 * both without having the blob. */
static bool is_foreign(const cJSON *descriptor, const char *media_type)
{
	const cJSON *member = NULL;

	cJSON_ArrayForEach(member, descriptor)
	{
		if (names_match(member->string, "urls"))
			return true;
	}
	return media_type &&
	       (str_starts_with(media_type, "application/vnd.docker.image.rootfs.foreign.") ||
		str_starts_with(media_type, "application/vnd.oci.image.layer.nondistributable."));
}

/* `ret_media_type` (may be NULL) points into the JSON tree. */
static enum status parse_descriptor(const cJSON *json, struct descriptor *ret,
				    const char **ret_media_type, struct error *error)
{
	struct descriptor descriptor = {0};
	const char *media_type = NULL;
	const char *digest = NULL;
	const cJSON *size = NULL;
	enum status status;

	if (!cJSON_IsObject(json))
		return error_set(error, BW_INVALID, "not a descriptor (an object)");
	status = find_string(json, "mediaType", &media_type, error);
	if (status == BW_OK)
		status = find_string(json, "digest", &digest, error);
	if (status == BW_OK)
		status = find_member(json, "size", &size, error);
	if (status != BW_OK)
		return status;
	if (!digest || !digest_parse(digest, strlen(digest), &descriptor.digest))
		return error_set(error, BW_INVALID,
				 "\"digest\" is missing or not a sha256 or sha512 digest");
	if (!json_u64(json, "size", &descriptor.size))
		return error_set(error, BW_INVALID,
				 "\"size\" is missing or not a whole number below 2^53");
	descriptor.foreign = is_foreign(json, media_type);
	*ret = descriptor;
	if (ret_media_type)
		*ret_media_type = media_type;
	return BW_OK;
}

/* Appends what the array `name` lists. A null is an empty list: that is how Go
 * writes one. */
static enum status parse_list(const cJSON *root, const char *name, struct descriptor **list,
			      size_t *count, struct error *error)
{
	const cJSON *array = NULL;
	const cJSON *item;
	size_t total;
	size_t index = 0;
	enum status status = find_member(root, name, &array, error);

	if (status != BW_OK)
		return status;
	if (!array || (!cJSON_IsArray(array) && !cJSON_IsNull(array)))
		return error_set(error, BW_INVALID, "\"%s\" is missing or not a list", name);
	total = *count;
	cJSON_ArrayForEach(item, array) total++;
	if (total > MANIFEST_MAX_DESCRIPTORS)
		return error_set(error, BW_TOO_LARGE, "more than %d descriptors",
				 MANIFEST_MAX_DESCRIPTORS);
	if (total == *count)
		return BW_OK;
	*list = xrealloc(*list, total * sizeof(**list));
	cJSON_ArrayForEach(item, array)
	{
		status = parse_descriptor(item, &(*list)[*count], NULL, error);
		if (status != BW_OK) {
			error_prefix(error, "%s[%zu]", name, index);
			return status;
		}
		(*count)++;
		index++;
	}
	return BW_OK;
}

static enum status parse_config(const cJSON *root, struct manifest *manifest, struct error *error)
{
	const char *media_type = NULL;
	const cJSON *config = NULL;
	enum status status = find_member(root, "config", &config, error);

	if (status != BW_OK)
		return status;
	manifest->blobs = xcalloc(1, sizeof(*manifest->blobs));
	status = parse_descriptor(config, &manifest->blobs[0], &media_type, error);
	if (status != BW_OK) {
		error_prefix(error, "config");
		return status;
	}
	manifest->blob_count = 1;
	if (!manifest->artifact_type && media_type)
		manifest->artifact_type = xstrdup(media_type);
	return BW_OK;
}

static enum status parse_subject(const cJSON *root, struct manifest *manifest, struct error *error)
{
	const cJSON *subject = NULL;
	enum status status = find_member(root, "subject", &subject, error);

	if (status != BW_OK || !subject || cJSON_IsNull(subject))
		return status;
	status = parse_descriptor(subject, &manifest->subject, NULL, error);
	if (status != BW_OK)
		error_prefix(error, "subject");
	else
		manifest->has_subject = true;
	return status;
}

/* What a body has, whatever it says it is. */
struct shape {
	bool is_list; /* "manifests" */
	bool is_image; /* "config" or "layers" */
	bool is_blobs; /* "blobs": the artifact manifest of OCI 1.1's drafts */
	bool is_legacy; /* schema 1 */
	bool is_version_2;
};

static enum status read_shape(const cJSON *root, struct shape *ret, struct error *error)
{
	static const char *const keys[] = {"manifests", "config",   "layers",
					   "blobs",     "fsLayers", "schemaVersion"};
	const cJSON *members[array_size(keys)];
	const cJSON *version;

	for (size_t i = 0; i < array_size(keys); i++) {
		enum status status = find_member(root, keys[i], &members[i], error);

		if (status != BW_OK)
			return status;
	}
	version = members[5];
	*ret = (struct shape){
		.is_list = members[0],
		.is_image = members[1] || members[2],
		.is_blobs = members[3],
		.is_legacy = members[4] || (cJSON_IsNumber(version) && version->valuedouble == 1.0),
		.is_version_2 = cJSON_IsNumber(version) && version->valuedouble == 2.0,
	};
	if (ret->is_list && (ret->is_image || ret->is_blobs || ret->is_legacy))
		return error_set(error, BW_INVALID,
				 "the body is an index and an image manifest at once");
	return BW_OK;
}

/* Types that static file servers put on everything say nothing. */
static bool is_generic(const char *media_type)
{
	return strcmp(media_type, "application/json") == 0 ||
	       strcmp(media_type, "application/octet-stream") == 0 ||
	       strcmp(media_type, "text/plain") == 0;
}

/* mediaType is optional in OCI manifests, and what they hold tells them apart. */
static bool media_type_of_shape(const struct shape *shape, char target[MEDIA_TYPE_SIZE])
{
	if (shape->is_list)
		return str_copy(target, MEDIA_TYPE_SIZE, MEDIA_OCI_INDEX);
	if (shape->is_image)
		return str_copy(target, MEDIA_TYPE_SIZE, MEDIA_OCI_MANIFEST);
	return shape->is_legacy;
}

/* Settles what the document is called: body and Content-Type must agree. */
static enum status read_media_type(const cJSON *root, const struct shape *shape,
				   const char *content_type, char target[MEDIA_TYPE_SIZE],
				   struct error *error)
{
	char declared[MEDIA_TYPE_SIZE] = "";
	char own[MEDIA_TYPE_SIZE] = "";
	const char *body_type = NULL;
	enum status status = find_string(root, "mediaType", &body_type, error);

	if (status != BW_OK)
		return status;
	if (content_type && !media_type_parse(content_type, declared, sizeof(declared)))
		return error_set(error, BW_INVALID, "the Content-Type is not a media type");
	if (body_type && *body_type && !media_type_parse(body_type, own, sizeof(own)))
		return error_set(error, BW_INVALID, "\"mediaType\" is not a media type");
	if (is_generic(declared))
		declared[0] = '\0';
	if (*own && *declared && strcmp(own, declared) != 0)
		return error_set(error, BW_INVALID,
				 "the body's mediaType is %s, but its Content-Type is %s", own,
				 declared);
	if (*own || *declared)
		str_copy(target, MEDIA_TYPE_SIZE, *own ? own : declared);
	else if (!media_type_of_shape(shape, target))
		return error_set(error, BW_INVALID,
				 "neither the body nor its Content-Type says what it is");
	return BW_OK;
}

static enum status parse_index(const cJSON *root, const struct shape *shape, struct manifest *ret,
			       struct error *error)
{
	if (shape->is_image || shape->is_blobs)
		return error_set(error, BW_INVALID, "an index with the members of a manifest");
	if (!shape->is_version_2)
		return error_set(error, BW_INVALID, "\"schemaVersion\" is not 2");
	ret->kind = MANIFEST_INDEX;
	return parse_list(root, "manifests", &ret->manifests, &ret->manifest_count, error);
}

static enum status parse_image(const cJSON *root, const struct shape *shape, struct manifest *ret,
			       struct error *error)
{
	enum status status;

	if (shape->is_list)
		return error_set(error, BW_INVALID, "a manifest with the members of an index");
	if (!shape->is_version_2)
		return error_set(error, BW_INVALID, "\"schemaVersion\" is not 2");
	ret->kind = MANIFEST_IMAGE;
	status = parse_config(root, ret, error);
	if (status == BW_OK)
		status = parse_list(root, "layers", &ret->blobs, &ret->blob_count, error);
	return status;
}

static enum status parse_artifact(const cJSON *root, const struct shape *shape,
				  struct manifest *ret, struct error *error)
{
	if (shape->is_list || shape->is_image)
		return error_set(error, BW_INVALID,
				 "an artifact manifest with the members of another document");
	ret->kind = MANIFEST_IMAGE;
	if (!shape->is_blobs)
		return BW_OK;
	return parse_list(root, "blobs", &ret->blobs, &ret->blob_count, error);
}

/* Reads what the media type promises; a type we do not know promises nothing. */
static enum status parse_content(const cJSON *root, const struct shape *shape, struct manifest *ret,
				 struct error *error)
{
	enum status (*parse)(const cJSON *, const struct shape *, struct manifest *,
			     struct error *) = NULL;
	const char *artifact_type = NULL;
	enum status status;

	if (media_type_is_index(ret->media_type))
		parse = parse_index;
	else if (strcmp(ret->media_type, MEDIA_OCI_MANIFEST) == 0 ||
		 strcmp(ret->media_type, MEDIA_DOCKER_MANIFEST) == 0)
		parse = parse_image;
	else if (strcmp(ret->media_type, MEDIA_OCI_ARTIFACT) == 0)
		parse = parse_artifact;
	ret->kind = MANIFEST_OTHER;
	if (!parse)
		return BW_OK;

	status = find_string(root, "artifactType", &artifact_type, error);
	if (status != BW_OK)
		return status;
	if (artifact_type && *artifact_type)
		ret->artifact_type = xstrdup(artifact_type);
	status = parse(root, shape, ret, error);
	if (status == BW_OK)
		status = parse_subject(root, ret, error);
	return status;
}

static enum status parse_root(const cJSON *root, const char *content_type, struct manifest *ret,
			      struct error *error)
{
	char media_type[MEDIA_TYPE_SIZE] = "";
	struct shape shape;
	enum status status;

	if (!cJSON_IsObject(root))
		return error_set(error, BW_INVALID, "not a JSON object");
	status = read_shape(root, &shape, error);
	if (status == BW_OK)
		status = read_media_type(root, &shape, content_type, media_type, error);
	if (status != BW_OK)
		return status;
	if (shape.is_legacy || media_type_is_schema1(media_type))
		return error_set(error, BW_UNSUPPORTED,
				 "a manifest of Docker's schema 1, which is no longer served; "
				 "push the image again with a current client");
	ret->media_type = xstrdup(media_type);
	return parse_content(root, &shape, ret, error);
}

enum status manifest_parse(const char *body, size_t length, const char *content_type,
			   struct manifest *ret, struct error *error)
{
	struct manifest manifest = {0};
	cJSON *root = NULL;
	enum status status;

	if (length > MANIFEST_MAX_BYTES)
		return error_set(error, BW_TOO_LARGE, "a manifest of %zu bytes; %zu are allowed",
				 length, MANIFEST_MAX_BYTES);
	json_large_begin(length);
	status = json_parse(body, length, &root, error);
	if (status == BW_OK)
		status = parse_root(root, content_type, &manifest, error);
	cJSON_Delete(root);
	json_large_end(length);
	if (status == BW_OK)
		*ret = manifest;
	else
		manifest_release(&manifest);
	return status;
}

void manifest_release(struct manifest *manifest)
{
	free(manifest->media_type);
	free(manifest->artifact_type);
	free(manifest->blobs);
	free(manifest->manifests);
	*manifest = (struct manifest){0};
}
