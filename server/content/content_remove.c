/*
 * Removing a manifest, with the tags that point to it. Where the process may die:
 *
 *   after the index           nothing: the next read repairs it
 *   after the tags            it can be read by digest alone
 *   after the record          the new state, unless a reader has put it back into the
 *                             index and died as well. Its referrer's record lists
 *                             nothing without it; repeating the removal removes it
 *
 * The tags go first, because one that is left behind would come back to life with the
 * next push of the same manifest. They are looked for once more afterwards: a push
 * that stored its tags in between has seen the record and counts on us.
 *
 * The index is told twice, before and after: see content_unlink_blob().
 */
#include "server/base/memory.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/oci/manifest.h"

#include <stdlib.h>
#include <string.h>

#define TAGS_AT_ONCE 100

/* Which manifest it refers to. BW_OK with DIGEST_NONE: none. The body outlives the
 * record, so that a removal which is repeated still finds it; of one that is gone or
 * damaged the referrer's record is left behind, which lists nothing. */
static enum status find_subject(struct content *content, const char *repository,
				const struct digest *digest, struct digest *ret_subject,
				struct error *error)
{
	struct manifest_entry entry = {0};
	struct manifest parsed = {0};
	struct error trouble = {0};
	enum status status =
		metadata_get_manifest(content->metadata, repository, digest, &entry, NULL);

	*ret_subject = (struct digest){0};
	if (status != BW_OK)
		status = content_read_body(content, digest, &entry.body, &entry.body_length,
					   &trouble);
	if (status == BW_OK &&
	    manifest_parse(entry.body, entry.body_length,
			   *entry.media_type ? entry.media_type : NULL, &parsed, NULL) == BW_OK) {
		if (parsed.has_subject)
			*ret_subject = parsed.subject.digest;
		manifest_release(&parsed);
	}
	manifest_entry_release(&entry);
	if (status == BW_OK || status == BW_ABSENT || status == BW_CORRUPT ||
	    status == BW_TOO_LARGE)
		return BW_OK;
	if (error)
		*error = trouble;
	return status;
}

/* Removes the tag if it points to the manifest, by the version that does: one that
 * points elsewhere by now is not touched. */
static enum status untag(struct content *content, const char *repository, const char *tag,
			 bool by_index, const struct digest *digest, struct error *error)
{
	struct tag_entry entry;
	struct error trouble = {0};
	enum status status =
		by_index ? metadata_get_tag(content->metadata, repository, tag, &entry, &trouble)
			 : content_get_tag(content, repository, tag, &entry, &trouble);

	if (status == BW_ABSENT || (status == BW_OK && !digest_equals(&entry.digest, digest)))
		return BW_OK;
	if (status == BW_OK)
		status = content_untag(content, repository, tag, entry.version, &trouble);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

static enum status untag_all(struct content *content, const char *repository,
			     const struct stored_tags *names, bool by_index,
			     const struct digest *digest, struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; status == BW_OK && i < names->count; i++)
		status = untag(content, repository, names->items[i], by_index, digest, error);
	return status;
}

static bool take_tag(void *context, const char *tag)
{
	struct stored_tags *names = context;

	memcpy(names->items[names->count++], tag, strlen(tag) + 1);
	return names->count < TAGS_AT_ONCE;
}

/* Until the index lists none: each one that was listed has left it then, or points
 * elsewhere. */
static enum status untag_indexed(struct content *content, const char *repository,
				 const struct digest *digest, struct error *error)
{
	struct stored_tags names = {.items = xcalloc(TAGS_AT_ONCE, sizeof(*names.items))};
	enum status status;

	do {
		names.count = 0;
		status = metadata_list_tags_of(content->metadata, repository, digest, TAGS_AT_ONCE,
					       take_tag, &names, error);
		if (status == BW_OK)
			status = untag_all(content, repository, &names, true, digest, error);
	} while (status == BW_OK && names.count > 0);
	free(names.items);
	return status;
}

static enum status untag_stored(struct content *content, const char *repository,
				const struct digest *digest, struct error *error)
{
	char cursor[TAG_MAX + 1] = "";
	size_t count;
	enum status status;

	do {
		struct stored_tags names = {0};

		status = content_stored_tags(content, repository, cursor, TAGS_AT_ONCE, &names,
					     error);
		if (status == BW_OK)
			status = untag_all(content, repository, &names, false, digest, error);
		count = names.count;
		if (count > 0)
			memcpy(cursor, names.items[count - 1], sizeof(cursor));
		free(names.items);
	} while (status == BW_OK && count == TAGS_AT_ONCE);
	return status;
}

static enum status untag_where_listed(struct content *content, const char *repository,
				      const struct digest *digest, struct error *error)
{
	enum status status = untag_indexed(content, repository, digest, error);

	/* asked afterwards: it may have been lost just now */
	if (status != BW_OK || content_is_complete(content))
		return status;
	status = untag_stored(content, repository, digest, error);
	/* what was repaired meanwhile */
	return status == BW_OK ? untag_indexed(content, repository, digest, error) : status;
}

static enum status remove_records(struct content *content, const char *repository,
				  const struct digest *digest, const struct digest *subject,
				  struct error *error)
{
	char key[KEY_SIZE];
	enum status status;

	key_of_manifest(key, repository, digest);
	status = object_remove(content->objects, key, error);
	if (status != BW_OK || subject->algorithm == DIGEST_NONE)
		return status;
	key_of_referrer(key, repository, subject, digest);
	return object_remove(content->objects, key, error);
}

/* A push of the same manifest may have come in between, and the referrer's record
 * that we removed may have been its. */
static enum status look_again(struct content *content, const char *repository,
			      const struct digest *digest, const struct digest *subject,
			      struct error *error)
{
	struct error trouble = {0};
	enum status status = content_stat_record(content, repository, digest, &trouble);

	if (status == BW_ABSENT)
		return content_drop_repository(content, repository, error);
	if (status == BW_OK && subject->algorithm != DIGEST_NONE)
		status = content_store_referrer(content, repository, subject, digest, PUT_REPLACE,
						&trouble);
	if (status == BW_OK)
		status = content_sync_manifest(content, repository, digest, &trouble);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

enum status content_remove_manifest(struct content *content, const char *repository,
				    const struct digest *digest, struct error *error)
{
	struct digest subject;
	enum status status = find_subject(content, repository, digest, &subject, error);

	if (status == BW_OK)
		status = metadata_remove_manifest(content->metadata, repository, digest, error);
	if (status != BW_OK)
		return status;
	status = untag_where_listed(content, repository, digest, error);
	if (status == BW_OK)
		status = remove_records(content, repository, digest, &subject, error);
	if (status != BW_OK) { /* if it is still there, lists should say so */
		content_sync_manifest(content, repository, digest, NULL);
		return status;
	}
	/* of a push that looked for the record while it was still there */
	status = untag_where_listed(content, repository, digest, error);
	if (status == BW_OK)
		status = metadata_remove_manifest(content->metadata, repository, digest, error);
	if (status == BW_OK)
		status = look_again(content, repository, digest, &subject, error);
	return status;
}
