/*
 * Tags: a version per write, in the key. See content.h for why two writers
 * cannot undo each other, and content_versions.c for where versions come from; the
 * instants at which a process may die are:
 *
 *   after the version was given  nothing happened, and nobody is given it again
 *   before the object's put    nothing happened
 *   after it, before the index the new version is the newest object. Of a push the
 *                              index knows that it has begun, so the object store is
 *                              asked and the new state seen; of a cached tag the
 *                              index still answers the old one, which expires
 *   after the index            the new state; older versions are left over and
 *                              lose by their names until the next write. Had a
 *                              removal overtaken this write, the index answers
 *                              the tag until it expires and the upstream is
 *                              asked
 */
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/content/record.h"

#include <stdlib.h>
#include <string.h>

/* Versions of one tag that a removal of older ones takes along at most. */
#define OLD_VERSIONS_MAX 16

/* How long a write of a tag that has begun may still come to an end. */
#define IN_DOUBT_US ((uint64_t)3600 * 1000 * 1000)

/* How often a newer write may take away the version that was just listed. */
#define READS_MAX 8

/* One look. *ret_vanished: the version listed was gone when it was read, because
 * a newer write removed it. */
static enum status read_once(struct content *content, const char *repository, const char *tag,
			     struct tag_entry *ret, bool *ret_vanished, struct error *error)
{
	struct newest_version newest = {0};
	struct tag_entry entry = {0};
	char *text = NULL;
	size_t length = 0;
	enum status status = content_newest_version(content, repository, tag, &newest, error);

	if (status != BW_OK)
		return status;
	if (!newest.found)
		return error_set(error, BW_ABSENT, "no tag \"%s\" in \"%s\"", tag, repository);
	entry.version = newest.version;
	content_saw_version(content, entry.version);

	status = object_get(content->objects, newest.key, RECORD_MAX, &text, &length, error);
	*ret_vanished = status == BW_ABSENT;
	if (status != BW_OK)
		return status;
	status = record_read_tag(text, length, &entry.digest, &entry.stored_at, error);
	free(text);
	if (status == BW_OK)
		*ret = entry;
	else
		error_prefix(error, "%s", newest.key);
	return status;
}

/* The newest version that the object store has. BW_ABSENT: none, or one that
 * says removed. */
static enum status read_newest(struct content *content, const char *repository, const char *tag,
			       struct tag_entry *ret, struct error *error)
{
	for (unsigned reads = 0; reads < READS_MAX; reads++) {
		bool vanished = false;
		struct error trouble = {0};
		enum status status = read_once(content, repository, tag, ret, &vanished, &trouble);

		if (vanished)
			continue;
		if (status != BW_OK && error)
			*error = trouble;
		return status;
	}
	return error_set(error, BW_UNAVAILABLE,
			 "tag \"%s\" of \"%s\" is written faster than it can be read", tag,
			 repository);
}

/* The index forgets a removed tag, and with it which version removed it: a
 * stalled older write, or the repair of an older read, finds nothing there to
 * lose to. So whoever has put a version into the index looks at the store once
 * more. Either the newer version is seen, and the entry taken back, or it was
 * stored after that look, and its writer comes to the index after us. */
static void repair(struct content *content, const char *repository, const char *tag,
		   const struct tag_entry *entry)
{
	struct newest_version newest = {0};

	if (metadata_put_tag(content->metadata, repository, tag, entry, NULL) != BW_OK)
		return;
	if (content_newest_version(content, repository, tag, &newest, NULL) == BW_OK &&
	    newest.found && newest.version > entry->version)
		metadata_remove_tag(content->metadata, repository, tag, entry->version, NULL);
}

/* Has a write begun that the index has not heard the end of? Versions are a wall
 * clock's microseconds, the index's or ours: one that has not ended for an hour will
 * not. */
static bool is_in_doubt(const struct tag_entry *entry)
{
	return entry->pending > entry->version &&
	       entry->pending + IN_DOUBT_US > (uint64_t)clock_wall_ms() * 1000;
}

/* What a push that died left of a tag may point to a manifest that was removed since,
 * by somebody whom the index did not tell of this tag. It goes then, and what was
 * there before counts. A push that is under way stores its manifest first. */
static enum status read_in_doubt(struct content *content, const char *repository, const char *tag,
				 struct tag_entry *ret, struct error *error)
{
	enum status status = read_newest(content, repository, tag, ret, error);
	char key[KEY_SIZE];

	if (status != BW_OK ||
	    content_stat_record(content, repository, &ret->digest, NULL) != BW_ABSENT)
		return status;
	key_of_tag_version(key, repository, tag, ret->version);
	status = object_remove(content->objects, key, error);
	return status == BW_OK ? read_newest(content, repository, tag, ret, error) : status;
}

/* The index has the tag, and a write of it has begun and not ended. */
static enum status decide(struct content *content, const char *repository, const char *tag,
			  const struct tag_entry *indexed, struct tag_entry *ret,
			  struct error *error)
{
	enum status status = read_in_doubt(content, repository, tag, ret, error);

	if (status == BW_OK)
		repair(content, repository, tag, ret);
	else if (status == BW_ABSENT)
		metadata_remove_tag(content->metadata, repository, tag, indexed->version, NULL);
	return status;
}

enum status content_get_tag(struct content *content, const char *repository, const char *tag,
			    struct tag_entry *ret, struct error *error)
{
	struct tag_entry indexed;
	enum status status = metadata_get_tag(content->metadata, repository, tag, &indexed, NULL);
	bool away = index_is_away(status);

	if (status == BW_OK && is_in_doubt(&indexed))
		return decide(content, repository, tag, &indexed, ret, error);
	if (status == BW_OK) {
		content_saw_version(content, indexed.version);
		*ret = indexed;
		return BW_OK;
	}
	status = read_newest(content, repository, tag, ret, error);
	if (status == BW_OK && !away)
		repair(content, repository, tag, ret);
	return status;
}

struct versions {
	uint64_t mine;
	bool superseded; /* a higher one than mine is there */
	char *older[OLD_VERSIONS_MAX];
	size_t older_count;
};

static bool look_at_version(void *context, const char *key, const struct object_info *info)
{
	struct versions *versions = context;
	uint64_t version;

	(void)info;
	if (!key_parse_tag_version(key, &version))
		return true;
	if (version > versions->mine)
		versions->superseded = true;
	else if (version < versions->mine)
		versions->older[versions->older_count++] = xstrdup(key);
	return versions->older_count < OLD_VERSIONS_MAX;
}

/* Removes the versions that lose to this one anyway; what is left after a
 * failure loses as well. True when this one has lost to a newer one itself. */
static bool remove_older(struct content *content, const char *repository, const char *tag,
			 uint64_t version)
{
	struct versions versions = {.mine = version};
	char prefix[KEY_SIZE];

	key_of_tag(prefix, repository, tag);
	object_list(content->objects, prefix, "", look_at_version, &versions, NULL);
	for (size_t i = 0; i < versions.older_count; i++) {
		object_remove(content->objects, versions.older[i], NULL);
		free(versions.older[i]);
	}
	return versions.superseded;
}

/* A reader that found our object before we came here may have repaired the index
 * with it: the same version, but never validated. */
static enum status put_in_index(struct content *content, const char *repository, const char *tag,
				const struct tag_entry *entry, struct error *error)
{
	struct error conflict = {0};
	enum status status = metadata_put_tag(content->metadata, repository, tag, entry, &conflict);

	if (status == BW_CONFLICT &&
	    metadata_touch_tag(content->metadata, repository, tag, entry->version,
			       entry->validated_at, NULL) == BW_OK)
		return BW_OK;
	if (status != BW_OK && error)
		*error = conflict;
	return status;
}

enum status content_begin_tag(struct content *content, const char *repository, const char *tag,
			      uint64_t version, struct error *error)
{
	return metadata_begin_tag(content->metadata, repository, tag, version, error);
}

enum status content_store_tag(struct content *content, const char *repository, const char *tag,
			      const struct tag_entry *entry, enum put_mode mode,
			      struct error *error)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	char key[KEY_SIZE];
	enum status status;

	record_write_tag(&record, &entry->digest, entry->stored_at);
	key_of_tag_version(key, repository, tag, entry->version);
	status = object_put(content->objects, key, buf_string(&record), record.length, mode, error);
	buf_release(&record);
	return status;
}

enum status content_index_tag(struct content *content, const char *repository, const char *tag,
			      const struct tag_entry *entry, struct error *error)
{
	enum status status = put_in_index(content, repository, tag, entry, error);

	/* as in repair() */
	if (status != BW_OK || !remove_older(content, repository, tag, entry->version))
		return status;
	metadata_remove_tag(content->metadata, repository, tag, entry->version, NULL);
	return error_set(error, BW_CONFLICT, "a newer write of tag \"%s\" of \"%s\" is in place",
			 tag, repository);
}

enum status content_put_tag(struct content *content, const char *repository, const char *tag,
			    const struct tag_entry *entry, struct error *error)
{
	enum status status = content_store_tag(content, repository, tag, entry, PUT_REPLACE, error);

	return status == BW_OK ? content_index_tag(content, repository, tag, entry, error) : status;
}

void content_touch_tag(struct content *content, const char *repository, const char *tag,
		       uint64_t version, int64_t validated_at)
{
	metadata_touch_tag(content->metadata, repository, tag, version, validated_at, NULL);
}

static enum status store_removal(struct content *content, const char *repository, const char *tag,
				 uint64_t version, enum put_mode mode, struct error *error)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	char key[KEY_SIZE];
	enum status status;

	record_write_tag_removed(&record, clock_wall_ms());
	key_of_tag_version(key, repository, tag, version);
	status = object_put(content->objects, key, buf_string(&record), record.length, mode, error);
	buf_release(&record);
	return status;
}

enum status content_remove_tag(struct content *content, const char *repository, const char *tag,
			       struct error *error)
{
	uint64_t version = 0;
	enum status status = content_next_version(content, repository, tag, &version, error);

	if (status == BW_OK)
		status = content_begin_tag(content, repository, tag, version, error);
	if (status == BW_OK)
		status = store_removal(content, repository, tag, version, PUT_REPLACE, error);
	if (status != BW_OK)
		return status;
	status = metadata_remove_tag(content->metadata, repository, tag, version, error);
	if (status == BW_OK)
		remove_older(content, repository, tag, version);
	return status;
}

/* The removal is the version right behind the one that it removes, so that it loses
 * to every newer write. Should one have that very version, it is kept, if it was there
 * before, or replaces the removal. The index is told of no more than it removes: it
 * may already have the newer one. */
enum status content_untag(struct content *content, const char *repository, const char *tag,
			  uint64_t version, struct error *error)
{
	struct error trouble = {0};
	enum status status = content_begin_tag(content, repository, tag, version + 1, &trouble);

	if (status == BW_OK)
		status = store_removal(content, repository, tag, version + 1, PUT_IF_ABSENT,
				       &trouble);
	if (status != BW_OK && status != BW_CONFLICT) {
		if (error)
			*error = trouble;
		return status;
	}
	status = metadata_remove_tag(content->metadata, repository, tag, version, error);
	if (status == BW_OK)
		remove_older(content, repository, tag, version + 1);
	return status;
}
