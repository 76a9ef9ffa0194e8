/*
 * Manifests: the body once under blobs/, a record in each repository that has
 * it, and the index entry with what the manifest lists. Reading them; and keeping
 * the index with the store (content_push.c writes, content_remove.c removes).
 *
 * Whoever has changed what the index has of a manifest looks at the store
 * afterwards, and if the two disagree, goes on until they do not. So let somebody
 * have been the last one to change the index, and then have seen that the store
 * agrees. If it does not now, the store was changed after that look; but whoever
 * changes the store comes to the index after that, and would have been the last
 * one.
 */
#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/content/record.h"
#include "server/content/references.h"
#include "server/oci/descriptor.h"
#include "server/oci/manifest.h"

#include <stdlib.h>

/* What a manifest lets its repository's readers read. An index grants nothing
 * by itself: its children are asked for as manifests of the repository. Nor does
 * a foreign layer: a registry takes a manifest that names one without having
 * it, so naming it proves nothing, and the blob may be somebody else's. */
static struct listed_content *listing_of(const struct manifest *manifest, size_t *ret_count)
{
	struct listed_content *listed = xcalloc(manifest->blob_count + 1, sizeof(*listed));
	size_t count = 0;

	for (size_t i = 0; i < manifest->blob_count; i++) {
		const struct descriptor *blob = &manifest->blobs[i];

		if (blob->foreign)
			continue;
		listed[count].digest = blob->digest;
		listed[count++].size = blob->size;
	}
	*ret_count = count;
	return listed;
}

enum status content_index_manifest(struct content *content, const char *repository,
				   const struct manifest_entry *entry,
				   const struct manifest *parsed, struct error *error)
{
	struct manifest_entry indexed = *entry;
	struct listed_content *listed;
	size_t count;
	enum status status = BW_OK;

	indexed.subject = (struct digest){0};
	indexed.referrer = NULL;
	if (parsed->has_subject) {
		indexed.subject = parsed->subject.digest;
		status = referrer_descriptor(entry->body, entry->body_length, entry->media_type,
					     &entry->digest, parsed, &indexed.referrer, error);
	}
	if (status != BW_OK)
		return status;
	listed = listing_of(parsed, &count);
	status = metadata_put_manifest(content->metadata, repository, &indexed, listed, count,
				       error);
	free(listed);
	free(indexed.referrer);
	/* what the index learns of counts as used just now: after it was lost, nothing is
	 * evicted that there has been no time to ask for */
	if (status == BW_OK && repository_names_registry(repository))
		metadata_touch_manifests(content->metadata, repository, &entry->digest, 1,
					 clock_wall_ms(), NULL);
	/* The index now lacks something that the records have: let the next
	 * question about this repository read them again. */
	if (status != BW_OK)
		content_forget_scan(content, repository);
	return status;
}

static enum status read_record(struct content *content, const char *repository,
			       struct manifest_entry *entry, struct error *error)
{
	char key[KEY_SIZE];
	char *record = NULL;
	size_t record_length;
	uint64_t size;
	enum status status;

	key_of_manifest(key, repository, &entry->digest);
	status = object_get(content->objects, key, RECORD_MAX, &record, &record_length, error);
	if (status != BW_OK)
		return status;
	status = record_read_manifest(record, record_length, entry->media_type, &size,
				      &entry->stored_at, error);
	free(record);
	if (status != BW_OK)
		error_prefix(error, "%s", key);
	return status;
}

enum status content_read_body(struct content *content, const struct digest *digest, char **ret_body,
			      size_t *ret_length, struct error *error)
{
	char key[KEY_SIZE];
	struct digest found;
	char *body = NULL;
	size_t length;
	enum status status;

	key_of_blob(key, digest);
	status = object_get(content->objects, key, MANIFEST_MAX_BYTES, &body, &length, error);
	if (status != BW_OK)
		return status;
	digest_of(digest->algorithm, body, length, &found);
	if (!digest_equals(&found, digest)) {
		free(body);
		return error_set(error, BW_CORRUPT, "%s: stored bytes do not match the digest",
				 key);
	}
	*ret_body = body;
	*ret_length = length;
	return BW_OK;
}

/* From the object store. The record may be that of a push that was never
 * acknowledged: it is settled before the body is looked for (references.h). */
enum status content_read_manifest(struct content *content, const char *repository,
				  const struct digest *digest, struct manifest_entry *ret,
				  struct error *error)
{
	struct manifest_entry entry = {.digest = *digest};
	enum status status = read_record(content, repository, &entry, error);

	if (status == BW_OK)
		status = references_settle(content, digest, 1, error);
	if (status == BW_OK)
		status = content_read_body(content, digest, &entry.body, &entry.body_length, error);
	if (status == BW_OK)
		*ret = entry;
	return status;
}

enum status content_stat_record(struct content *content, const char *repository,
				const struct digest *digest, struct error *error)
{
	struct object_info info;
	char key[KEY_SIZE];

	key_of_manifest(key, repository, digest);
	return object_stat(content->objects, key, &info, error);
}

/* Puts what was just read into the index. *ret_overtaken: a removal has passed by
 * since. A look that fails leaves it there: of a removal and a failure at once the
 * failure is the likelier one. */
static enum status repair(struct content *content, const char *repository,
			  const struct manifest_entry *entry, bool *ret_overtaken,
			  struct error *error)
{
	struct manifest parsed = {0};
	enum status status =
		manifest_parse(entry->body, entry->body_length, entry->media_type, &parsed, error);

	if (status != BW_OK)
		return status;
	status = content_index_manifest(content, repository, entry, &parsed, error);
	manifest_release(&parsed);
	if (status == BW_OK)
		status = content_note_repository(content, repository, error);
	if (status == BW_OK)
		*ret_overtaken =
			content_stat_record(content, repository, &entry->digest, NULL) == BW_ABSENT;
	return status;
}

/* One step towards agreement. *ret_agreed: reached. */
static enum status sync_once(struct content *content, const char *repository,
			     const struct digest *digest, bool *ret_agreed, struct error *error)
{
	struct manifest_entry entry = {0};
	struct error trouble = {0};
	bool overtaken = false;
	enum status status = content_read_manifest(content, repository, digest, &entry, &trouble);

	if (status == BW_OK) {
		status = repair(content, repository, &entry, &overtaken, &trouble);
		manifest_entry_release(&entry);
		*ret_agreed = status == BW_OK && !overtaken;
	} else if (status == BW_ABSENT) {
		status = metadata_remove_manifest(content->metadata, repository, digest, &trouble);
		if (status == BW_OK)
			status = content_drop_repository(content, repository, &trouble);
		/* a record without its body is nothing that could be read */
		*ret_agreed = status == BW_OK && content_read_manifest(content, repository, digest,
								       &entry, NULL) != BW_OK;
		manifest_entry_release(&entry);
	}
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

enum status content_sync_manifest(struct content *content, const char *repository,
				  const struct digest *digest, struct error *error)
{
	for (unsigned tries = 0; tries < CONTENT_TRIES; tries++) {
		bool agreed = false;
		enum status status = sync_once(content, repository, digest, &agreed, error);

		if (status != BW_OK || agreed)
			return status;
	}
	return error_set(error, BW_UNAVAILABLE,
			 "a manifest of \"%s\" is removed as fast as it is stored", repository);
}

enum status content_get_manifest(struct content *content, const char *repository,
				 const struct digest *digest, struct manifest_entry *ret,
				 struct error *error)
{
	bool overtaken = false;
	bool away;
	enum status status =
		metadata_get_manifest(content->metadata, repository, digest, ret, NULL);

	if (status == BW_OK)
		return BW_OK;
	away = index_is_away(status);
	status = content_read_manifest(content, repository, digest, ret, error);
	if (status != BW_OK || away)
		return status;
	repair(content, repository, ret, &overtaken, NULL);
	if (overtaken)
		content_sync_manifest(content, repository, digest, NULL);
	return BW_OK;
}
