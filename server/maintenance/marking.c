#include "server/maintenance/marking.h"

#include "server/base/str.h"
#include "server/content/content.h"
#include "server/content/keys.h"
#include "server/content/record.h"
#include "server/oci/manifest.h"

#include <stdlib.h>
#include <string.h>

/* Links of one repository come before its manifests in the order of keys, so they
 * wait until the last of these was read. */
struct marking {
	struct content *content;
	struct digest_set *set;
	struct loose_links *loose;
	struct marked *marked;
	int64_t loose_before;
	char repository[OBJECT_KEY_MAX + 1]; /* of the last key */
	struct loose_links waiting; /* old links of this repository */
	struct digest_set *listed; /* what its manifests list; NULL: no link waits */
	struct parsed_key key;
};

static enum status add_all(struct marking *marking, const struct descriptor *descriptors,
			   size_t count, struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; i < count && status == BW_OK; i++) {
		status = digest_set_add(marking->set, &descriptors[i].digest, error);
		if (status == BW_OK && marking->listed)
			status = digest_set_add(marking->listed, &descriptors[i].digest, error);
	}
	return status;
}

/* What cannot be read may list anything. */
static enum status not_known(struct error *error, const char *key, const char *what)
{
	return error_set(error, BW_CORRUPT,
			 "%s: %s, so what it lists is not known; \"breakwater scrub\" says more",
			 key, what);
}

/* From the index, which has it byte for byte and is the quicker one to ask. Its
 * word is taken only when the bytes are those of the digest. */
static bool get_from_index(struct marking *marking, struct manifest_entry *ret)
{
	const struct digest *digest = &marking->key.digest;
	struct digest found;

	if (metadata_get_manifest(content_metadata(marking->content), marking->key.repository,
				  digest, ret, NULL) != BW_OK)
		return false;
	digest_of(digest->algorithm, ret->body, ret->body_length, &found);
	if (digest_equals(&found, digest))
		return true;
	manifest_entry_release(ret);
	return false;
}

static enum status get_media_type(struct marking *marking, const char *key,
				  struct manifest_entry *entry, struct error *error)
{
	char *record = NULL;
	size_t length;
	uint64_t size;
	enum status status = object_get(content_objects(marking->content), key, RECORD_MAX, &record,
					&length, error);

	if (status != BW_OK)
		return status == BW_TOO_LARGE ? not_known(error, key, "is no record") : status;
	status = record_read_manifest(record, length, entry->media_type, &size, &entry->stored_at,
				      NULL);
	free(record);
	return status == BW_OK ? BW_OK : not_known(error, key, "is not readable");
}

static enum status get_from_store(struct marking *marking, const char *record_key,
				  struct manifest_entry *ret, struct error *error)
{
	const struct digest *digest = &marking->key.digest;
	struct manifest_entry entry = {.digest = *digest};
	char key[KEY_SIZE];
	struct digest found;
	enum status status = get_media_type(marking, record_key, &entry, error);

	if (status != BW_OK)
		return status;
	key_of_blob(key, digest);
	status = object_get(content_objects(marking->content), key, MANIFEST_MAX_BYTES, &entry.body,
			    &entry.body_length, error);
	if (status == BW_TOO_LARGE)
		return not_known(error, key, "is larger than any manifest");
	if (status != BW_OK)
		return status;
	digest_of(digest->algorithm, entry.body, entry.body_length, &found);
	if (!digest_equals(&found, digest)) {
		manifest_entry_release(&entry);
		return not_known(error, key, "is damaged");
	}
	*ret = entry;
	return BW_OK;
}

static enum status mark_manifest(struct marking *marking, const char *key, struct error *error)
{
	struct manifest_entry entry = {0};
	struct manifest manifest = {0};
	struct error trouble = {0};
	enum status status = BW_OK;

	if (!get_from_index(marking, &entry))
		status = get_from_store(marking, key, &entry, &trouble);
	if (status == BW_ABSENT)
		return BW_OK; /* the record alone, of a push that has not come further */
	if (status == BW_OK && manifest_parse(entry.body, entry.body_length, entry.media_type,
					      &manifest, NULL) != BW_OK)
		status = not_known(&trouble, key, "is no manifest");
	if (status == BW_OK)
		status = add_all(marking, manifest.blobs, manifest.blob_count, &trouble);
	if (status == BW_OK)
		status = add_all(marking, manifest.manifests, manifest.manifest_count, &trouble);
	manifest_release(&manifest);
	manifest_entry_release(&entry);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

/* All manifests of the repository were read. */
static void end_repository(struct marking *marking)
{
	for (size_t i = 0; i < marking->waiting.count; i++) {
		const struct loose_link *link = &marking->waiting.items[i];

		if (digest_set_has(marking->listed, &link->digest))
			continue;
		loose_links_add(marking->loose, link->repository, &link->digest);
		marking->marked->loose++;
	}
	loose_links_release(&marking->waiting);
	digest_set_free(marking->listed);
	marking->listed = NULL;
}

static void count_repository(struct marking *marking)
{
	if (strcmp(marking->repository, marking->key.repository) == 0)
		return;
	end_repository(marking);
	str_copy(marking->repository, sizeof(marking->repository), marking->key.repository);
	marking->marked->repositories++;
}

static enum status mark_link(struct marking *marking, const struct object_info *info,
			     struct error *error)
{
	marking->marked->links++;
	if (info->stored_at >= marking->loose_before)
		return digest_set_add(marking->set, &marking->key.digest, error);
	/* what lists it adds it to the set */
	loose_links_add(&marking->waiting, marking->repository, &marking->key.digest);
	if (!marking->listed)
		marking->listed = digest_set_new();
	return BW_OK;
}

static enum status mark_key(void *context, const char *key, const struct object_info *info,
			    struct error *error)
{
	struct marking *marking = context;
	struct marked *marked = marking->marked;
	enum status status;

	key_parse(key, &marking->key);
	if (marking->key.kind == KEY_FOREIGN) {
		marked->foreign++;
		return BW_OK;
	}
	count_repository(marking);
	if (marking->key.kind == KEY_LINK)
		return mark_link(marking, info, error);
	if (marking->key.kind != KEY_MANIFEST)
		return BW_OK;
	marked->manifests++;
	status = digest_set_add(marking->set, &marking->key.digest, error);
	return status == BW_OK ? mark_manifest(marking, key, error) : status;
}

enum status mark_references(struct content *content, const struct task *task, int64_t loose_before,
			    struct digest_set *set, struct loose_links *loose,
			    struct marked *marked, struct error *error)
{
	struct marking marking = {
		.content = content,
		.set = set,
		.loose = loose,
		.marked = marked,
		.loose_before = loose_before,
	};
	enum status status = walk_keys(content_objects(content), "repositories/", task, mark_key,
				       &marking, error);

	end_repository(&marking);
	return status;
}
