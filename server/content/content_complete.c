/*
 * Does the index list all there is? It says so itself, by two marks: a number that was
 * drawn when somebody first began to read everything into it ("rebuild"), and the number
 * that who got to the end had found at the beginning ("complete"). It is complete when
 * they are the same.
 *
 * An index that several processes share may be lost beside any of them, and be begun
 * anew under their hands. Both marks go with it. A rebuild that was under way then goes
 * on, and writes "complete" into an index that lacks what it had put into the old one;
 * but "rebuild" is another number there, or not there at all. For the same reason nobody
 * remembers that such an index is complete: each answer of it that would be believed
 * for that reason is followed by a look at the marks. If they are there, they were
 * there when it answered.
 *
 * One that a process has to itself does not change behind its back.
 */
#include "server/base/clock.h"
#include "server/base/lru.h"
#include "server/base/str.h"
#include "server/content/content_private.h"

#define REBUILD_MARK "rebuild"
#define COMPLETE_MARK "complete"
#define COMPLETE_ASKED_MS 1000 /* at most that often, while it is not */

static bool shared_is_complete(struct content *content)
{
	int64_t complete = 0;
	int64_t rebuild = 0;

	if (metadata_get_mark(content->metadata, COMPLETE_MARK, &complete, NULL) != BW_OK ||
	    complete == 0 ||
	    metadata_get_mark(content->metadata, REBUILD_MARK, &rebuild, NULL) != BW_OK)
		return false;
	return complete == rebuild;
}

bool content_is_complete(struct content *content)
{
	int64_t now = clock_monotonic_ms();
	int64_t asked_at = atomic_load(&content->complete_asked_at);
	int64_t value = 0;

	if (metadata_is_shared(content->metadata))
		return shared_is_complete(content);
	if (atomic_load(&content->complete))
		return true;
	if (now - asked_at < COMPLETE_ASKED_MS ||
	    !atomic_compare_exchange_strong(&content->complete_asked_at, &asked_at, now))
		return false;
	if (metadata_get_mark(content->metadata, COMPLETE_MARK, &value, NULL) == BW_OK && value)
		atomic_store(&content->complete, true);
	return atomic_load(&content->complete);
}

enum status content_still_complete(struct content *content, struct error *error)
{
	if (content_is_complete(content))
		return BW_OK;
	error_set(error, BW_UNAVAILABLE, "the index was lost while it was read; ask again");
	if (error)
		error->retry_after = 1;
	return BW_UNAVAILABLE;
}

/* Who finds that one was begun goes by its mark, whether that one still runs or died:
 * it reads everything itself. So of several at once none takes the end from another,
 * and one that is complete stays so while it is read once more. */
enum status content_begin_rebuild(struct content *content, int64_t *ret_token, struct error *error)
{
	struct metadata_store *metadata = content->metadata;
	struct error trouble = {0};
	int64_t token = 0;
	enum status status = metadata_get_mark(metadata, REBUILD_MARK, &token, &trouble);

	if (status == BW_ABSENT) {
		random_bytes(&token, sizeof(token));
		token = (token & INT64_MAX) | 1;
		status = metadata_put_mark(metadata, REBUILD_MARK, token, &trouble);
		/* two may have begun at this moment */
		if (status == BW_OK)
			status = metadata_get_mark(metadata, REBUILD_MARK, &token, &trouble);
	}
	if (status == BW_OK)
		*ret_token = token;
	else if (error)
		*error = trouble;
	return status;
}

enum status content_end_rebuild(struct content *content, int64_t token, struct error *error)
{
	enum status status = metadata_put_mark(content->metadata, COMPLETE_MARK, token, error);

	if (status == BW_OK)
		atomic_store(&content->complete, true);
	return status;
}

enum status content_mark_incomplete(struct content *content, struct error *error)
{
	enum status status = metadata_put_mark(content->metadata, COMPLETE_MARK, 0, error);

	if (status == BW_OK)
		atomic_store(&content->complete, false);
	return status;
}

void content_index_lost(struct content *content)
{
	lru_clear(content->scanned);
	lru_clear(content->known_repositories);
}
