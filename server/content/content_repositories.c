/*
 * Which repositories there are: the catalog in the index.
 *
 * Who pushes stores first, then tells the index, then looks whether the catalog has
 * the repository and adds it if not. Who removes the last of it takes it out of the
 * catalog when the store is empty, and then looks at the store once more. Whichever
 * of the two comes to the catalog last sees what the other one did: the remover
 * finds the pushed object and puts the repository back; the pusher finds it gone
 * from the catalog and adds it. That is also why nothing here remembers that a
 * repository was noted: another process may have taken it out since, and asking
 * costs one read of the index.
 */
#include "server/base/lru.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"

/* A tag alone is nothing that could be pulled: removed ones leave records that say
 * so, and the manifest of any other is gone. Tags are the last in a listing. */
static bool find_content(void *context, const char *key, const struct object_info *info)
{
	bool *found = context;
	struct parsed_key parsed;

	(void)info;
	key_parse(key, &parsed);
	*found = parsed.kind == KEY_LINK || parsed.kind == KEY_MANIFEST;
	return !*found && parsed.kind != KEY_TAG_VERSION;
}

/* What the object store says. BW_OK or BW_ABSENT: it knows. */
static enum status look(struct content *content, const char *repository, struct error *error)
{
	char prefix[KEY_SIZE];
	bool found = false;
	enum status status;

	key_of_repository(prefix, repository);
	status = object_list(content->objects, prefix, "", find_content, &found, error);
	if (status == BW_OK && !found)
		return error_set(error, BW_ABSENT, "nothing is stored in \"%s\"", repository);
	return status;
}

enum status content_has_repository(struct content *content, const char *repository,
				   struct error *error)
{
	enum status indexed = metadata_get_repository(content->metadata, repository, NULL);
	enum status status = BW_OK;
	bool known;

	if (indexed == BW_OK)
		return BW_OK;
	if (indexed == BW_ABSENT && content_is_complete(content))
		return error_set(error, BW_ABSENT, "nothing is stored in \"%s\"", repository);
	if (content_mark_get(content, content->known_repositories, repository, &known))
		return known ? BW_OK
			     : error_set(error, BW_ABSENT, "nothing is stored in \"%s\"",
					 repository);
	status = look(content, repository, error);
	if (status == BW_OK || status == BW_ABSENT)
		content_mark_put(content->known_repositories, repository, status == BW_OK);
	if (status == BW_OK && indexed == BW_ABSENT &&
	    metadata_put_repository(content->metadata, repository, NULL) == BW_OK &&
	    look(content, repository, NULL) == BW_ABSENT)
		metadata_remove_repository(content->metadata, repository, NULL);
	return status;
}

enum status content_list_repositories(struct content *content, const char *after, unsigned limit,
				      repository_list_fn fn, void *context, struct error *error)
{
	enum status status;

	if (!content_is_complete(content)) {
		/* an index that is away lists nothing either, and reindex would not help */
		status = metadata_check(content->metadata, error);
		if (status != BW_OK)
			return BW_UNAVAILABLE;
		return error_set(error, BW_UNAVAILABLE,
				 "the index does not list every repository yet; see "
				 "\"breakwater reindex\"");
	}
	status = metadata_list_repositories(content->metadata, after, limit, fn, context, error);
	return status == BW_OK ? content_still_complete(content, error) : status;
}

enum status content_note_repository(struct content *content, const char *repository,
				    struct error *error)
{
	enum status status = metadata_get_repository(content->metadata, repository, NULL);

	if (status != BW_OK)
		status = metadata_put_repository(content->metadata, repository, error);
	lru_remove(content->known_repositories, repository);
	return status;
}

enum status content_drop_repository(struct content *content, const char *repository,
				    struct error *error)
{
	struct error trouble = {0};
	enum status status = look(content, repository, &trouble);

	lru_remove(content->known_repositories, repository);
	if (status == BW_OK)
		return BW_OK;
	if (status == BW_ABSENT)
		status = metadata_remove_repository(content->metadata, repository, &trouble);
	if (status == BW_CONFLICT)
		return BW_OK; /* the index has something of it: it is just being pushed */
	if (status == BW_OK)
		status = look(content, repository, &trouble);
	if (status == BW_ABSENT)
		return BW_OK;
	if (status == BW_OK)
		status = metadata_put_repository(content->metadata, repository, &trouble);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}
