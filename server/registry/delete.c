/*
 * Deletion (OCI distribution-spec, "Content Management"). The stores first, then
 * what this process has in memory, then the answer.
 */
#include "server/content/content.h"
#include "server/registry/failure.h"
#include "server/registry/push.h"
#include "server/registry/registry_private.h"

static bool delete_by_digest(struct registry *registry, const struct target *target,
			     const struct digest *digest, struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct manifest_entry entry = {0};
	struct error error = {0};
	enum status status =
		content_get_manifest(registry->content, target->stored, digest, &entry, &error);

	manifest_entry_release(&entry);
	if (status == BW_OK)
		status = content_remove_manifest(registry->content, target->stored, digest, &error);
	/* after a failure too: some of it may be done */
	cache_forget_manifest(registry->cache, &source, digest);
	return status == BW_OK ||
	       failure_from_stores(failure, status, &error, API_MANIFEST_UNKNOWN);
}

static bool delete_tag(struct registry *registry, const struct target *target,
		       const struct reference *reference, struct api_failure *failure)
{
	struct cache_source source = source_of(target);
	struct tag_entry entry;
	struct error error = {0};
	enum status status =
		content_get_tag(registry->content, target->stored, reference->text, &entry, &error);

	if (status == BW_OK)
		status = content_remove_tag(registry->content, target->stored, reference->text,
					    &error);
	cache_forget_tag(registry->cache, &source, reference);
	return status == BW_OK ||
	       failure_from_stores(failure, status, &error, API_MANIFEST_UNKNOWN);
}

bool registry_delete_manifest(struct registry *registry, const struct target *target,
			      const char *reference_text, struct api_failure *failure)
{
	struct reference reference;

	if (!parse_path_reference(reference_text, &reference, failure) ||
	    !require_index(registry, target, failure))
		return false;
	return reference.is_digest ? delete_by_digest(registry, target, &reference.digest, failure)
				   : delete_tag(registry, target, &reference, failure);
}

bool registry_delete_blob(struct registry *registry, const struct target *target,
			  const char *digest_text, struct api_failure *failure)
{
	struct error error = {0};
	struct digest digest;
	uint64_t size;
	enum status status;

	if (!parse_path_digest(digest_text, &digest, failure))
		return false;
	if (target->upstream)
		return failure_set(failure, 405, API_UNSUPPORTED,
				   "blobs of a cached repository come and go with its manifests; "
				   "delete those");
	if (!require_index(registry, target, failure))
		return false;
	status = content_get_link(registry->content, target->stored, &digest, &size, &error);
	if (status == BW_OK)
		status = content_unlink_blob(registry->content, target->stored, &digest, &error);
	return status == BW_OK || failure_from_stores(failure, status, &error, API_BLOB_UNKNOWN);
}
