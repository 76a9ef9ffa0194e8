/*
 * Versions of tags: what orders two writes of one.
 *
 * An index that several processes share gives them (next_version), by its own clock
 * and above every version it gave or took before; the clocks of the processes say
 * nothing. What is left is an index that does not remember: it was lost, or began a
 * new epoch. Such an index does not have the tag either. So whoever does not find it
 * there looks which version the object store has before asking for a higher one, and
 * whoever finds it asks for one above the entry, and above the write that has begun:
 *
 *   a write was acknowledged      its object is in the store, and its version is in
 *                                 the index, or was lost with it: we see one of them
 *   it died between the stores    its object is in the store. The index was told
 *                                 before (content_begin_tag) if it had the tag; if it
 *                                 had not, it does not have it now, and we look
 *
 * Of two writes that are under way at once either may come last. One whose version is
 * from before the index was lost may thus come after one from after that, and is
 * found by its name; neither was acknowledged when the other began.
 *
 * The index cannot be asked: nothing is pushed. A tag that was pulled through takes
 * the local clock then: if that goes wrong, one upstream's tag is older than it could
 * be until it expires.
 */
#include "server/base/clock.h"
#include "server/base/str.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"

uint64_t content_version(struct content *content)
{
	uint64_t last = atomic_load(&content->last_version);
	uint64_t now = (uint64_t)clock_wall_ms() * 1000;
	uint64_t next;

	do {
		next = now > last ? now : last + 1;
	} while (!atomic_compare_exchange_weak(&content->last_version, &last, next));
	return next;
}

void content_saw_version(struct content *content, uint64_t version)
{
	uint64_t last = atomic_load(&content->last_version);

	while (version > last &&
	       !atomic_compare_exchange_weak(&content->last_version, &last, version))
		;
}

/* What is not a version of ours is not the tag, wherever it sorts. */
static bool take_first(void *context, const char *key, const struct object_info *info)
{
	struct newest_version *newest = context;

	(void)info;
	newest->found = key_parse_tag_version(key, &newest->version) &&
			str_copy(newest->key, sizeof(newest->key), key);
	return !newest->found;
}

enum status content_newest_version(struct content *content, const char *repository, const char *tag,
				   struct newest_version *ret, struct error *error)
{
	struct newest_version newest = {0};
	char prefix[KEY_SIZE];
	enum status status;

	key_of_tag(prefix, repository, tag);
	status = object_list(content->objects, prefix, "", take_first, &newest, error);
	if (status == BW_OK)
		*ret = newest;
	return status;
}

/* The highest version that either store knows of; 0: none. */
static enum status highest_known(struct content *content, const char *repository, const char *tag,
				 uint64_t *ret, struct error *error)
{
	struct newest_version newest = {0};
	struct tag_entry entry;
	struct error trouble = {0};
	enum status status = metadata_get_tag(content->metadata, repository, tag, &entry, &trouble);

	if (status == BW_OK)
		*ret = entry.pending > entry.version ? entry.pending : entry.version;
	if (status == BW_ABSENT) {
		status = content_newest_version(content, repository, tag, &newest, &trouble);
		if (status == BW_OK)
			*ret = newest.found ? newest.version : 0;
	}
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

enum status content_next_version(struct content *content, const char *repository, const char *tag,
				 uint64_t *ret_version, struct error *error)
{
	uint64_t known = 0;
	uint64_t version;
	enum status status = highest_known(content, repository, tag, &known, error);

	if (status != BW_OK)
		return status;
	content_saw_version(content, known);
	if (metadata_gives_versions(content->metadata))
		status = metadata_next_version(content->metadata, repository, tag, known + 1,
					       &version, error);
	else
		version = content_version(content);
	if (status != BW_OK)
		return status;
	content_saw_version(content, version);
	*ret_version = version;
	return BW_OK;
}
