#include "server/registry/local.h"

#include "server/content/content.h"
#include "server/registry/failure.h"

static bool no_repository(const struct target *target, struct api_failure *failure)
{
	return failure_set(failure, 404, API_NAME_UNKNOWN,
			   "no repository \"%s\" here, and its name leads to no upstream",
			   target->stored);
}

/* Whether the whole repository is unknown is worth a question only to whom nothing
 * was found for; when that cannot be told, what is known is said. */
static bool no_manifest(struct registry *registry, const struct target *target,
			const struct reference *reference, struct api_failure *failure)
{
	if (content_has_repository(registry->content, target->stored, NULL) == BW_ABSENT)
		return no_repository(target, failure);
	return failure_set(failure, 404, API_MANIFEST_UNKNOWN, "no manifest \"%s\" in \"%s\"",
			   reference->text, target->stored);
}

bool local_get_manifest(struct registry *registry, const struct target *target,
			const struct reference *reference, struct manifest_view **ret_view,
			struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct error error = {0};
	enum status status =
		cache_get_local_manifest(registry->cache, &source, reference, ret_view, &error);

	if (status == BW_ABSENT)
		return no_manifest(registry, target, reference, failure);
	return status == BW_OK ||
	       failure_from_stores(failure, status, &error, API_MANIFEST_UNKNOWN);
}

static bool no_blob(const struct target *target, const struct digest *digest,
		    struct api_failure *failure)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	return failure_set(
		failure, 404, API_BLOB_UNKNOWN,
		"no blob %s in \"%s\", a local repository: its name leads to no upstream", text,
		target->stored);
}

/* A disk or a person took it. A 404 lets whoever has it push it again. */
static bool bytes_gone(const struct target *target, const struct digest *digest,
		       struct api_failure *failure)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	return failure_set(failure, 404, API_BLOB_UNKNOWN,
			   "blob %s was pushed to \"%s\", and its bytes are gone or damaged; push "
			   "it again (\"breakwater scrub\" tells what else is missing)",
			   text, target->stored);
}

bool local_open_blob(struct registry *registry, const struct target *target,
		     const struct digest *digest, struct blob_source *ret_blob,
		     struct api_failure *failure)
{
	struct error error = {0};
	uint64_t size;
	enum status status =
		content_get_link(registry->content, target->stored, digest, &size, &error);

	if (status == BW_ABSENT)
		return no_blob(target, digest, failure);
	if (status == BW_OK)
		status = cache_open_local_blob(registry->cache, digest, size, ret_blob, &error);
	if (status == BW_ABSENT)
		return bytes_gone(target, digest, failure);
	return status == BW_OK || failure_from_stores(failure, status, &error, API_BLOB_UNKNOWN);
}

bool local_stat_blob(struct registry *registry, const struct target *target,
		     const struct digest *digest, uint64_t *ret_size, struct api_failure *failure)
{
	struct error error = {0};
	uint64_t size = 0;
	enum status status =
		content_get_link(registry->content, target->stored, digest, &size, &error);

	if (status == BW_OK)
		status = content_stat_blob(registry->content, digest, &size, &error);
	if (status == BW_ABSENT)
		return no_blob(target, digest, failure);
	if (status != BW_OK)
		return failure_from_stores(failure, status, &error, API_BLOB_UNKNOWN);
	*ret_size = size;
	return true;
}

bool local_exists(struct registry *registry, const struct target *target,
		  struct api_failure *failure)
{
	struct error error = {0};
	enum status status = content_has_repository(registry->content, target->stored, &error);

	if (status == BW_ABSENT)
		return no_repository(target, failure);
	return status == BW_OK || failure_from_stores(failure, status, &error, API_NAME_UNKNOWN);
}
