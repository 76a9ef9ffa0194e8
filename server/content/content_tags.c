/*
 * Tags: a version per write, in the key. See content.h for why two writers
 * cannot undo each other; the instants at which a process may die are:
 *
 *   before the object's put    nothing happened
 *   after it, before the index the new version is the newest object; the index
 *                              still answers the old one until it is repaired
 *                              or written again, which is the old state
 *   after the index            the new state; older versions are left over and
 *                              lose by their names until the next write
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

struct newest {
	char key[KEY_SIZE];
	bool found;
};

static bool take_first(void *context, const char *key, const struct object_info *info)
{
	struct newest *newest = context;

	(void)info;
	newest->found = str_copy(newest->key, sizeof(newest->key), key);
	return false;
}

/* The newest version that the object store has. BW_ABSENT: none, or one that
 * says removed (then *ret_version is set all the same, 0 for none). */
static enum status read_newest(struct content *content, const char *repository, const char *tag,
			       struct tag_entry *ret, uint64_t *ret_version, struct error *error)
{
	struct newest newest = {0};
	struct tag_entry entry = {0};
	char prefix[KEY_SIZE];
	char *text = NULL;
	size_t length = 0;
	enum status status;

	*ret_version = 0;
	key_of_tag(prefix, repository, tag);
	status = object_list(content->objects, prefix, "", take_first, &newest, error);
	if (status != BW_OK)
		return status;
	if (!newest.found || !key_parse_tag_version(newest.key, &entry.version))
		return error_set(error, BW_ABSENT, "no tag \"%s\" in \"%s\"", tag, repository);
	content_saw_version(content, entry.version);
	*ret_version = entry.version;

	status = object_get(content->objects, newest.key, RECORD_MAX, &text, &length, error);
	if (status != BW_OK)
		return status;
	status = record_read_tag(text, length, &entry.digest, &entry.stored_at, error);
	free(text);
	if (status == BW_OK)
		*ret = entry;
	else
		error_prefix(error, "%s: ", newest.key);
	return status;
}

enum status content_get_tag(struct content *content, const char *repository, const char *tag,
			    struct tag_entry *ret, struct error *error)
{
	enum status status = metadata_get_tag(content->metadata, repository, tag, ret, NULL);
	uint64_t version;

	if (status == BW_OK) {
		content_saw_version(content, ret->version);
		return BW_OK;
	}
	status = read_newest(content, repository, tag, ret, &version, error);
	/* The repair loses to any newer write, and its failure costs only time. */
	if (status == BW_OK)
		metadata_put_tag(content->metadata, repository, tag, ret, NULL);
	return status;
}

struct old_versions {
	char *keys[OLD_VERSIONS_MAX];
	size_t count;
};

static bool collect_old(void *context, const char *key, const struct object_info *info)
{
	struct old_versions *old = context;

	(void)info;
	old->keys[old->count++] = xstrdup(key);
	return old->count < OLD_VERSIONS_MAX;
}

/* Versions that lose anyway. What is left after a failure loses as well. */
static void remove_older(struct content *content, const char *repository, const char *tag,
			 uint64_t version)
{
	struct old_versions old = {0};
	char prefix[KEY_SIZE], newest[KEY_SIZE];

	key_of_tag(prefix, repository, tag);
	key_of_tag_version(newest, repository, tag, version);
	object_list(content->objects, prefix, newest, collect_old, &old, NULL);
	for (size_t i = 0; i < old.count; i++) {
		object_remove(content->objects, old.keys[i], NULL);
		free(old.keys[i]);
	}
}

enum status content_put_tag(struct content *content, const char *repository, const char *tag,
			    const struct tag_entry *entry, struct error *error)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	char key[KEY_SIZE];
	enum status status;

	record_write_tag(&record, &entry->digest, entry->stored_at);
	key_of_tag_version(key, repository, tag, entry->version);
	status = object_put(content->objects, key, buf_string(&record), record.length, PUT_REPLACE,
			    error);
	buf_release(&record);
	if (status != BW_OK)
		return status;
	status = metadata_put_tag(content->metadata, repository, tag, entry, error);
	if (status == BW_OK)
		remove_older(content, repository, tag, entry->version);
	return status;
}

void content_touch_tag(struct content *content, const char *repository, const char *tag,
		       uint64_t version, int64_t validated_at)
{
	metadata_touch_tag(content->metadata, repository, tag, version, validated_at, NULL);
}

enum status content_remove_tag(struct content *content, const char *repository, const char *tag,
			       struct error *error)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	uint64_t version = content_version(content);
	char key[KEY_SIZE];
	enum status status;

	record_write_tag_removed(&record, clock_wall_ms());
	key_of_tag_version(key, repository, tag, version);
	status = object_put(content->objects, key, buf_string(&record), record.length, PUT_REPLACE,
			    error);
	buf_release(&record);
	if (status != BW_OK)
		return status;
	status = metadata_remove_tag(content->metadata, repository, tag, version, error);
	if (status == BW_OK)
		remove_older(content, repository, tag, version);
	return status;
}
