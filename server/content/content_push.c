/*
 * Storing a manifest. All of it goes to the object store first, so that one flush
 * makes it durable, and to the index last:
 *
 *   by digest    body, referrer, record; settled, and the body again if a garbage
 *                collection took it before
 *   with tags    referrer, record; settled; body, tags; then settled once more, for a
 *                collection in another process that began before the flush and could
 *                not see the record (references.h), and the body again
 *
 * where the body is stored unless it is there, and the referrer's record when there
 * is a subject. Only the last one of what comes before the end is written durably, and
 * takes the others along; and none is looked at before that, since a look at what is
 * not flushed yet would flush it. Where the process may die:
 *
 *   before the record    a body, and a referrer, that nobody reads
 *   before the body      a record that nobody can read either
 *   after both           it can be read by digest: readers find the record and repair
 *                        the index. Of the tags, those that are stored already may
 *                        point to it
 *   after the index      the new state
 */
#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/content/record.h"
#include "server/content/references.h"
#include "server/oci/manifest.h"

#include <stdlib.h>

struct push {
	struct content *content;
	const char *repository;
	const struct manifest_entry *entry;
	const struct manifest *parsed;
	const char *const *tags;
	size_t tag_count;
	uint64_t *versions; /* of the tags */
	bool needs_links;
	struct references_start settled; /* when it was last done */
};

/* Bytes found damaged are replaced: this is how a manifest that was refused when it
 * was read heals at its next fetch. Whoever else writes this key writes the same
 * bytes, so that replacing harms nobody. */
static enum status store_body(struct push *push, struct error *error)
{
	const struct manifest_entry *entry = push->entry;
	struct error trouble = {0};
	char key[KEY_SIZE];
	char *stored = NULL;
	size_t length;
	enum status status =
		content_read_body(push->content, &entry->digest, &stored, &length, &trouble);

	free(stored);
	if (status == BW_OK)
		return BW_OK;
	if (status != BW_ABSENT && status != BW_CORRUPT && status != BW_TOO_LARGE) {
		if (error)
			*error = trouble;
		return status;
	}
	key_of_blob(key, &entry->digest);
	return object_put(push->content->objects, key, entry->body, entry->body_length,
			  PUT_REPLACE_SOON, error);
}

/* What a collection took away before it knew of the record. */
static enum status store_body_again(struct push *push, struct error *error)
{
	const struct manifest_entry *entry = push->entry;
	struct object_info info;
	struct error trouble = {0};
	char key[KEY_SIZE];
	enum status status;

	key_of_blob(key, &entry->digest);
	status = object_stat(push->content->objects, key, &info, &trouble);
	if (status == BW_ABSENT)
		status = object_put(push->content->objects, key, entry->body, entry->body_length,
				    PUT_REPLACE, &trouble);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

enum status content_store_referrer(struct content *content, const char *repository,
				   const struct digest *subject, const struct digest *digest,
				   enum put_mode mode, struct error *error)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	char key[KEY_SIZE];
	enum status status;

	record_write_referrer(&record, clock_wall_ms());
	key_of_referrer(key, repository, subject, digest);
	status = object_put(content->objects, key, buf_string(&record), record.length, mode, error);
	buf_release(&record);
	return status;
}

static enum status store_record(struct push *push, struct error *error)
{
	const struct manifest_entry *entry = push->entry;
	struct buf record = BUF_INIT(RECORD_MAX);
	char key[KEY_SIZE];
	enum status status;

	record_write_manifest(&record, entry->media_type, entry->body_length, entry->stored_at);
	key_of_manifest(key, push->repository, &entry->digest);
	status = object_put(push->content->objects, key, buf_string(&record), record.length,
			    push->tag_count > 0 ? PUT_REPLACE_SOON : PUT_REPLACE, error);
	buf_release(&record);
	return status;
}

/* The blobs that it lists are looked at by nobody afterwards. A pushed manifest's
 * have links, which keep them; a cached one's are fetched again if need be. That
 * they are settled keeps what is there now. */
static enum status settle(struct push *push, struct error *error)
{
	const struct manifest *parsed = push->parsed;
	struct digest *digests =
		xcalloc(1 + parsed->blob_count + parsed->manifest_count, sizeof(*digests));
	size_t count = 0;
	enum status status;

	push->settled = references_start();
	digests[count++] = push->entry->digest;
	for (size_t i = 0; i < parsed->blob_count; i++)
		digests[count++] = parsed->blobs[i].digest;
	for (size_t i = 0; i < parsed->manifest_count; i++)
		digests[count++] = parsed->manifests[i].digest;
	status = references_settle(push->content, digests, count, error);
	free(digests);
	return status;
}

/* A collection removes links that are old and that no manifest lists, until it is told
 * that this one does. */
static enum status check_links(struct push *push, struct error *error)
{
	const struct manifest *parsed = push->parsed;
	struct error trouble = {0};
	uint64_t size;

	for (size_t i = 0; push->needs_links && i < parsed->blob_count; i++) {
		enum status status = BW_OK;

		if (!parsed->blobs[i].foreign)
			status = content_get_link(push->content, push->repository,
						  &parsed->blobs[i].digest, &size, &trouble);
		if (status == BW_ABSENT) {
			status = error_set(&trouble, BW_UNAVAILABLE,
					   "a garbage collection took a blob of the image, which "
					   "nothing had listed for long; push it again");
			trouble.retry_after = 1;
		}
		if (status == BW_OK)
			continue;
		if (error)
			*error = trouble;
		return status;
	}
	return BW_OK;
}

static struct tag_entry tag_of(const struct push *push, size_t index)
{
	return (struct tag_entry){.digest = push->entry->digest,
				  .version = push->versions[index],
				  .stored_at = push->entry->stored_at};
}

static enum status store_records(struct push *push, struct error *error)
{
	enum status status = BW_OK;

	if (push->parsed->has_subject)
		status = content_store_referrer(push->content, push->repository,
						&push->parsed->subject.digest, &push->entry->digest,
						PUT_REPLACE_SOON, error);
	return status == BW_OK ? store_record(push, error) : status;
}

static enum status store_tags(struct push *push, struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; status == BW_OK && i < push->tag_count; i++) {
		struct tag_entry tag = tag_of(push, i);
		enum put_mode mode = i + 1 < push->tag_count ? PUT_REPLACE_SOON : PUT_REPLACE;

		status = content_begin_tag(push->content, push->repository, push->tags[i],
					   tag.version, error);
		if (status == BW_OK)
			status = content_store_tag(push->content, push->repository, push->tags[i],
						   &tag, mode, error);
	}
	return status;
}

/* The record is settled before the body is looked for, so that no tag is made to
 * point to what is being collected. */
static enum status store_with_tags(struct push *push, struct error *error)
{
	enum status status = store_records(push, error);

	if (status == BW_OK)
		status = settle(push, error);
	if (status == BW_OK)
		status = check_links(push, error);
	if (status == BW_OK)
		status = store_body(push, error);
	return status == BW_OK ? store_tags(push, error) : status;
}

static enum status store_by_digest(struct push *push, struct error *error)
{
	enum status status = store_body(push, error);

	return status == BW_OK ? store_records(push, error) : status;
}

static enum status store(struct push *push, struct error *error)
{
	enum status status =
		push->tag_count > 0 ? store_with_tags(push, error) : store_by_digest(push, error);

	if (status == BW_OK)
		status = settle(push, error);
	if (status == BW_OK)
		status = check_links(push, error);
	return status == BW_OK ? store_body_again(push, error) : status;
}

static enum status index_tags(struct push *push, struct error *error)
{
	struct error trouble = {0};

	for (size_t i = 0; i < push->tag_count; i++) {
		struct tag_entry tag = tag_of(push, i);
		enum status status = content_index_tag(push->content, push->repository,
						       push->tags[i], &tag, &trouble);

		if (status == BW_OK || status == BW_CONFLICT)
			continue;
		if (error)
			*error = trouble;
		return status;
	}
	return BW_OK;
}

/* A removal of the manifest came while we stored it. It may have looked for tags
 * before ours were there, so it falls to us to remove them. */
static enum status give_way(struct push *push, struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; status == BW_OK && i < push->tag_count; i++)
		status = content_untag(push->content, push->repository, push->tags[i],
				       push->versions[i], error);
	if (status == BW_OK)
		status = content_sync_manifest(push->content, push->repository,
					       &push->entry->digest, error);
	return status;
}

/* The record is looked at when manifest and tags are in the index: if it is there,
 * whoever removes it comes after, and finds them. */
static enum status index_all(struct push *push, struct error *error)
{
	struct error trouble = {0};
	enum status status = content_index_manifest(push->content, push->repository, push->entry,
						    push->parsed, &trouble);

	if (status == BW_OK)
		status = index_tags(push, &trouble);
	if (status == BW_OK)
		status = content_note_repository(push->content, push->repository, &trouble);
	if (status == BW_OK)
		status = references_in_time(&push->settled, &trouble);
	if (status == BW_OK)
		status = content_stat_record(push->content, push->repository, &push->entry->digest,
					     &trouble);
	if (status == BW_ABSENT)
		status = give_way(push, &trouble);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

enum status content_push_manifest(struct content *content, const char *repository,
				  const struct manifest_entry *entry, const struct manifest *parsed,
				  bool needs_links, const char *const *tags, size_t tag_count,
				  struct error *error)
{
	struct push push = {.content = content,
			    .repository = repository,
			    .entry = entry,
			    .parsed = parsed,
			    .needs_links = needs_links,
			    .tags = tags,
			    .tag_count = tag_count,
			    .versions = xcalloc(tag_count + 1, sizeof(*push.versions))};
	enum status status = BW_OK;

	/* before anything is written: without the index nothing can be pushed */
	for (size_t i = 0; status == BW_OK && i < tag_count; i++)
		status = content_next_version(content, repository, tags[i], &push.versions[i],
					      error);
	if (status == BW_OK)
		status = store(&push, error);
	if (status == BW_OK)
		status = index_all(&push, error);
	free(push.versions);
	return status;
}

enum status content_put_manifest(struct content *content, const char *repository,
				 const struct manifest_entry *entry, const struct manifest *parsed,
				 struct error *error)
{
	struct push push = {
		.content = content, .repository = repository, .entry = entry, .parsed = parsed};
	enum status status = store(&push, error);

	return status == BW_OK ? index_all(&push, error) : status;
}
