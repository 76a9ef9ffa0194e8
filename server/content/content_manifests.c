/*
 * Manifests: the body once under blobs/, a record in each repository that has
 * it, and the index entry with what the manifest lists.
 */
#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/content/record.h"
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

static enum status put_in_index(struct content *content, const char *repository,
				const struct manifest_entry *entry, const struct manifest *parsed,
				struct error *error)
{
	size_t count;
	struct listed_content *listed = listing_of(parsed, &count);
	enum status status =
		metadata_put_manifest(content->metadata, repository, entry, listed, count, error);

	free(listed);
	/* The index now lacks something that the records have: let the next
	 * question about this repository read them again. */
	if (status != BW_OK)
		content_forget_scan(content, repository);
	return status;
}

/* Reads record and body, and checks the body against its name. */
static enum status read_stored(struct content *content, const char *repository,
			       const struct digest *digest, struct manifest_entry *ret,
			       struct error *error)
{
	struct manifest_entry entry = {.digest = *digest};
	char key[KEY_SIZE];
	char *record = NULL;
	size_t record_length;
	uint64_t size;
	struct digest found;
	enum status status;

	key_of_manifest(key, repository, digest);
	status = object_get(content->objects, key, RECORD_MAX, &record, &record_length, error);
	if (status != BW_OK)
		return status;
	status = record_read_manifest(record, record_length, entry.media_type, &size,
				      &entry.stored_at, error);
	free(record);
	if (status != BW_OK) {
		error_prefix(error, "%s", key);
		return status;
	}
	key_of_blob(key, digest);
	status = object_get(content->objects, key, MANIFEST_MAX_BYTES, &entry.body,
			    &entry.body_length, error);
	if (status != BW_OK)
		return status;
	digest_of(digest->algorithm, entry.body, entry.body_length, &found);
	if (!digest_equals(&found, digest)) {
		manifest_entry_release(&entry);
		return error_set(error, BW_CORRUPT, "%s: stored bytes do not match the digest",
				 key);
	}
	*ret = entry;
	return BW_OK;
}

enum status content_get_manifest(struct content *content, const char *repository,
				 const struct digest *digest, struct manifest_entry *ret,
				 struct error *error)
{
	struct manifest parsed = {0};
	enum status status =
		metadata_get_manifest(content->metadata, repository, digest, ret, NULL);

	if (status == BW_OK)
		return BW_OK;
	status = read_stored(content, repository, digest, ret, error);
	if (status != BW_OK)
		return status;
	if (manifest_parse(ret->body, ret->body_length, ret->media_type, &parsed, NULL) == BW_OK) {
		put_in_index(content, repository, ret, &parsed, NULL);
		manifest_release(&parsed);
	}
	return BW_OK;
}

/* Stores the body unless it is there. Bytes found damaged are replaced: this is
 * how a manifest that read_stored() refused heals at its next fetch. */
static enum status put_body(struct content *content, const struct manifest_entry *entry,
			    struct error *error)
{
	char key[KEY_SIZE];
	char *stored = NULL;
	size_t length = 0;
	struct digest digest;
	struct error first = {0};
	enum status status;

	key_of_blob(key, &entry->digest);
	status = object_put(content->objects, key, entry->body, entry->body_length, PUT_IF_ABSENT,
			    &first);
	if (status != BW_CONFLICT) {
		if (status != BW_OK && error)
			*error = first;
		return status;
	}
	status = object_get(content->objects, key, MANIFEST_MAX_BYTES, &stored, &length, NULL);
	if (status == BW_OK)
		digest_of(entry->digest.algorithm, stored, length, &digest);
	if (status != BW_OK || !digest_equals(&digest, &entry->digest))
		status = object_put(content->objects, key, entry->body, entry->body_length,
				    PUT_REPLACE, error);
	free(stored);
	return status;
}

enum status content_put_manifest(struct content *content, const char *repository,
				 const struct manifest_entry *entry, const struct manifest *parsed,
				 struct error *error)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	char key[KEY_SIZE];
	enum status status;

	status = put_body(content, entry, error);
	if (status != BW_OK)
		return status;
	record_write_manifest(&record, entry->media_type, entry->body_length, entry->stored_at);
	key_of_manifest(key, repository, &entry->digest);
	status = object_put(content->objects, key, buf_string(&record), record.length, PUT_REPLACE,
			    error);
	buf_release(&record);
	if (status != BW_OK)
		return status;
	return put_in_index(content, repository, entry, parsed, error);
}
