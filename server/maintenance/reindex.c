#include "server/maintenance/reindex.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/content/keys.h"
#include "server/oci/name.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 1000 /* of the index's lists, at a time */

struct rebuild {
	struct content *content;
	const struct task *task;
	struct reindex_summary *summary;
	struct parsed_key key;
	char repository[OBJECT_KEY_MAX + 1]; /* that the walk is in; "" at first */
	bool noted; /* it is in the catalog */
	char tag[TAG_MAX + 2]; /* whose newest version was seen */
};

/* One bad record hides nothing but itself. */
static enum status pass_over_damage(struct rebuild *rebuild, enum status status,
				    const struct error *trouble, struct error *error)
{
	struct reindex_summary *summary = rebuild->summary;

	if (status == BW_CORRUPT || status == BW_INVALID || status == BW_TOO_LARGE) {
		if (summary->damaged++ == 0)
			str_copy(summary->damage, sizeof(summary->damage), trouble->message);
		return BW_OK;
	}
	if (status != BW_OK && error)
		*error = *trouble;
	return status;
}

/* Takes it out of the catalog again if its last content went while we noted it. */
static enum status leave_repository(struct rebuild *rebuild, struct error *error)
{
	if (!rebuild->noted)
		return BW_OK;
	rebuild->noted = false;
	return content_drop_repository(rebuild->content, rebuild->repository, error);
}

static enum status enter_repository(struct rebuild *rebuild, struct error *error)
{
	enum status status;

	if (strcmp(rebuild->repository, rebuild->key.repository) == 0)
		return BW_OK;
	status = leave_repository(rebuild, error);
	str_copy(rebuild->repository, sizeof(rebuild->repository), rebuild->key.repository);
	rebuild->tag[0] = '\0';
	return status;
}

static enum status note_repository(struct rebuild *rebuild, struct error *error)
{
	if (rebuild->noted)
		return BW_OK;
	rebuild->noted = true;
	rebuild->summary->repositories++;
	return content_note_repository(rebuild->content, rebuild->repository, error);
}

static enum status index_manifest(struct rebuild *rebuild, struct error *error)
{
	enum status status = content_sync_manifest(rebuild->content, rebuild->repository,
						   &rebuild->key.digest, error);

	if (status == BW_ABSENT)
		return BW_OK;
	if (status == BW_OK)
		rebuild->summary->manifests++;
	return status == BW_OK ? note_repository(rebuild, error) : status;
}

static enum status index_link(struct rebuild *rebuild, struct error *error)
{
	uint64_t size;
	enum status status = content_get_link(rebuild->content, rebuild->repository,
					      &rebuild->key.digest, &size, error);

	if (status == BW_ABSENT) /* of a push that did not get to its end */
		return BW_OK;
	if (status == BW_OK)
		rebuild->summary->links++;
	return status == BW_OK ? note_repository(rebuild, error) : status;
}

/* The first key of a tag is its newest version. An older entry of the index goes,
 * so that the newest is read from the store, as if the index had none. */
static enum status index_tag(struct rebuild *rebuild, struct error *error)
{
	struct metadata_store *metadata = content_metadata(rebuild->content);
	const char *tag = rebuild->key.tag;
	struct tag_entry entry;
	enum status status;

	if (strcmp(rebuild->tag, tag) == 0)
		return BW_OK;
	str_copy(rebuild->tag, sizeof(rebuild->tag), tag);
	status = metadata_get_tag(metadata, rebuild->repository, tag, &entry, NULL);
	if (status == BW_OK && entry.version < rebuild->key.version)
		status = metadata_remove_tag(metadata, rebuild->repository, tag, entry.version,
					     error);
	if (status != BW_OK && status != BW_ABSENT)
		return status;
	status = content_get_tag(rebuild->content, rebuild->repository, tag, &entry, error);
	if (status == BW_OK)
		rebuild->summary->tags++;
	return status == BW_ABSENT ? BW_OK : status;
}

static enum status index_key(void *context, const char *key, const struct object_info *info,
			     struct error *error)
{
	struct rebuild *rebuild = context;
	struct error trouble = {0};
	enum status status;

	(void)info;
	key_parse(key, &rebuild->key);
	if (rebuild->key.kind == KEY_FOREIGN)
		return BW_OK;
	status = enter_repository(rebuild, &trouble);
	if (status == BW_OK && rebuild->key.kind == KEY_MANIFEST)
		status = index_manifest(rebuild, &trouble);
	if (status == BW_OK && rebuild->key.kind == KEY_LINK)
		status = index_link(rebuild, &trouble);
	if (status == BW_OK && rebuild->key.kind == KEY_TAG_VERSION)
		status = index_tag(rebuild, &trouble);
	return pass_over_damage(rebuild, status, &trouble, error);
}

static enum status index_blob(void *context, const char *key, const struct object_info *info,
			      struct error *error)
{
	struct rebuild *rebuild = context;
	struct metadata_store *metadata = content_metadata(rebuild->content);
	enum status status = BW_OK;
	struct digest digest;
	uint64_t size;

	if (!key_parse_blob(key, &digest))
		return BW_OK;
	rebuild->summary->blobs++;
	if (metadata_get_blob(metadata, &digest, &size, NULL) == BW_OK) {
		if (size == info->size)
			return BW_OK;
		status = metadata_remove_blob(metadata, &digest, error);
	}
	if (status == BW_OK)
		status = content_stat_blob(rebuild->content, &digest, &size, error);
	return status == BW_ABSENT ? BW_OK : status;
}

/* ---- what only the index has ------------------------------------------- */

struct names {
	char list[NAMES_MAX][REPOSITORY_MAX + 1]; /* repositories, or tags */
	size_t count;
};

static bool collect_name(void *context, const char *name)
{
	struct names *names = context;

	str_copy(names->list[names->count++], sizeof(names->list[0]), name);
	return names->count < NAMES_MAX;
}

static bool any_key(void *context, const char *key, const struct object_info *info)
{
	(void)key;
	(void)info;
	*(bool *)context = true;
	return false;
}

/* A write that comes now has a higher version than the one that is taken out. */
static enum status drop_stale_tag(struct rebuild *rebuild, const char *repository, const char *tag,
				  struct error *error)
{
	struct metadata_store *metadata = content_metadata(rebuild->content);
	struct tag_entry entry;
	char prefix[KEY_SIZE];
	bool stored = false;
	enum status status = metadata_get_tag(metadata, repository, tag, &entry, NULL);

	if (status != BW_OK)
		return BW_OK;
	key_of_tag(prefix, repository, tag);
	status =
		object_list(content_objects(rebuild->content), prefix, "", any_key, &stored, error);
	if (status != BW_OK || stored)
		return status;
	rebuild->summary->stale++;
	return metadata_remove_tag(metadata, repository, tag, entry.version, error);
}

static enum status drop_stale_tags(struct rebuild *rebuild, const char *repository,
				   struct error *error)
{
	struct names *names = xcalloc(1, sizeof(*names));
	char after[REPOSITORY_MAX + 1] = "";
	enum status status;

	do {
		names->count = 0;
		status = metadata_list_tags(content_metadata(rebuild->content), repository, after,
					    NAMES_MAX, collect_name, names, error);
		for (size_t i = 0; i < names->count && status == BW_OK; i++) {
			status = task_step(rebuild->task, error);
			if (status == BW_OK)
				status = drop_stale_tag(rebuild, repository, names->list[i], error);
			str_copy(after, sizeof(after), names->list[i]);
		}
	} while (status == BW_OK && names->count == NAMES_MAX);
	free(names);
	return status;
}

static enum status drop_stale_repository(struct rebuild *rebuild, const char *repository,
					 struct error *error)
{
	struct metadata_store *metadata = content_metadata(rebuild->content);
	enum status status = drop_stale_tags(rebuild, repository, error);

	if (status == BW_OK)
		status = content_drop_repository(rebuild->content, repository, error);
	if (status == BW_OK && metadata_get_repository(metadata, repository, NULL) == BW_ABSENT)
		rebuild->summary->stale++;
	return status;
}

static enum status drop_stale(struct rebuild *rebuild, struct error *error)
{
	struct names *names = xcalloc(1, sizeof(*names));
	char after[REPOSITORY_MAX + 1] = "";
	enum status status;

	do {
		names->count = 0;
		status = metadata_list_repositories(content_metadata(rebuild->content), after,
						    NAMES_MAX, collect_name, names, error);
		for (size_t i = 0; i < names->count && status == BW_OK; i++) {
			status = drop_stale_repository(rebuild, names->list[i], error);
			str_copy(after, sizeof(after), names->list[i]);
		}
	} while (status == BW_OK && names->count == NAMES_MAX);
	free(names);
	return status;
}

/* ---- all of it --------------------------------------------------------- */

enum status reindex(struct content *content, const struct task *task,
		    struct reindex_summary *summary, struct error *error)
{
	struct rebuild *rebuild = xcalloc(1, sizeof(*rebuild));
	struct object_store *objects = content_objects(content);
	int64_t token = 0;
	enum status status;

	*summary = (struct reindex_summary){0};
	rebuild->content = content;
	rebuild->task = task;
	rebuild->summary = summary;
	status = content_begin_rebuild(content, &token, error);
	if (status == BW_OK)
		status = walk_keys(objects, "repositories/", task, index_key, rebuild, error);
	if (status == BW_OK)
		status = leave_repository(rebuild, error);
	if (status == BW_OK)
		status = walk_keys(objects, "blobs/", task, index_blob, rebuild, error);
	if (status == BW_OK)
		status = drop_stale(rebuild, error);
	if (status == BW_OK)
		status = content_end_rebuild(content, token, error);
	free(rebuild);
	return status;
}

enum status reindex_not_needed(struct content *content, bool *ret_empty, struct error *error)
{
	bool found = false;
	enum status status =
		object_list(content_objects(content), "repositories/", "", any_key, &found, error);

	if (status == BW_OK)
		*ret_empty = !found;
	return status;
}
