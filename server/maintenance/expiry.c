/*
 * An upload may go on at the very moment that it is found to be old. What decides
 * is remove_upload: of it and the request that goes on with the upload one comes
 * first at the row.
 *
 *   the request's advance first  The row was touched just now, and is left alone;
 *                                it is looked at once more before its removal. One
 *                                that slips in between is answered by the next
 *                                line at the client's next request.
 *   the removal first            The advance finds no row: the client is told that
 *                                the upload is unknown, and begins anew. Its bytes
 *                                were never acknowledged as a blob.
 *
 * The parts go last. A request that finishes the upload makes the blob of them in
 * one step before or after they are discarded: before, the blob has them and there
 * is nothing to discard; after, the commit fails and the client is told so. What a
 * death between the two leaves is parts without a session, which the second half
 * of a pass finds.
 */
#include "server/maintenance/expiry.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content.h"

#include <stdlib.h>

#define IDS_MAX ((size_t)1000)

struct ids {
	char list[IDS_MAX][UPLOAD_ID_MAX + 1];
	size_t count;
	int64_t older_than;
};

struct expiry {
	struct content *content;
	const struct task *task;
	bool remove;
	struct ids *ids;
	struct expired_uploads expired;
};

static bool collect_session(void *context, const char *id)
{
	struct ids *ids = context;

	str_copy(ids->list[ids->count++], sizeof(ids->list[0]), id);
	return ids->count < IDS_MAX;
}

static bool count_session(void *context, const char *id)
{
	struct expired_uploads *expired = context;

	(void)id;
	expired->sessions++;
	return true;
}

/* Is it still as old as when it was listed? */
static enum status still_old(struct expiry *expiry, const char *id, bool *ret_old,
			     struct error *error)
{
	struct upload_entry entry = {0};
	enum status status =
		metadata_get_upload(content_metadata(expiry->content), id, &entry, error);

	if (status != BW_OK)
		return status;
	*ret_old = entry.touched_at < expiry->ids->older_than;
	upload_entry_release(&entry);
	return BW_OK;
}

static enum status expire_session(struct expiry *expiry, const char *id, struct error *error)
{
	struct error trouble = {0};
	bool old = false;
	enum status status = still_old(expiry, id, &old, &trouble);

	if (status == BW_OK && old)
		status = metadata_remove_upload(content_metadata(expiry->content), id, &trouble);
	if (status == BW_OK && old) {
		expiry->expired.sessions++;
		status = object_parts_discard(content_objects(expiry->content), id, &trouble);
	}
	if (status == BW_ABSENT) /* finished, cancelled, or expired by another process */
		return BW_OK;
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

static enum status expire_listed(struct expiry *expiry,
				 enum status (*one)(struct expiry *expiry, const char *id,
						    struct error *error),
				 struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; i < expiry->ids->count && status == BW_OK; i++) {
		status = task_step(expiry->task, error);
		if (status == BW_OK)
			status = one(expiry, expiry->ids->list[i], error);
	}
	return status;
}

static enum status expire_sessions(struct expiry *expiry, struct error *error)
{
	struct metadata_store *metadata = content_metadata(expiry->content);
	enum status status = BW_OK;

	if (!expiry->remove)
		return metadata_list_uploads(metadata, expiry->ids->older_than, UINT32_MAX,
					     count_session, &expiry->expired, error);
	do {
		expiry->ids->count = 0;
		status = metadata_list_uploads(metadata, expiry->ids->older_than, IDS_MAX,
					       collect_session, expiry->ids, error);
		if (status == BW_OK)
			status = expire_listed(expiry, expire_session, error);
	} while (status == BW_OK && expiry->ids->count == IDS_MAX);
	return status;
}

static bool collect_old_parts(void *context, const char *upload, int64_t newest_at)
{
	struct ids *ids = context;

	if (newest_at < ids->older_than)
		str_copy(ids->list[ids->count++], sizeof(ids->list[0]), upload);
	return ids->count < IDS_MAX;
}

/* Only what the index knows not to be there is an orphan. Its row is written
 * before its first part, so it has been gone since the part was written. */
static enum status expire_parts(struct expiry *expiry, const char *upload, struct error *error)
{
	struct upload_entry entry = {0};
	struct error trouble = {0};
	enum status status =
		metadata_get_upload(content_metadata(expiry->content), upload, &entry, &trouble);

	if (status == BW_OK) {
		upload_entry_release(&entry);
		return BW_OK;
	}
	if (status == BW_ABSENT) {
		expiry->expired.parts++;
		if (!expiry->remove)
			return BW_OK;
		return object_parts_discard(content_objects(expiry->content), upload, error);
	}
	if (error)
		*error = trouble;
	return status;
}

/* So many at most in one pass; the next one finds the others. */
static enum status expire_orphans(struct expiry *expiry, struct error *error)
{
	enum status status;

	expiry->ids->count = 0;
	status = object_parts_list(content_objects(expiry->content), collect_old_parts, expiry->ids,
				   error);
	if (status != BW_OK)
		return status;
	return expire_listed(expiry, expire_parts, error);
}

enum status expire_uploads(struct content *content, int64_t max_age_ms, bool remove,
			   const struct task *task, struct expired_uploads *expired,
			   struct error *error)
{
	struct expiry expiry = {
		.content = content,
		.task = task,
		.remove = remove,
		.ids = xcalloc(1, sizeof(*expiry.ids)),
	};
	enum status status;

	expiry.ids->older_than = clock_wall_ms() - max_age_ms;
	status = expire_sessions(&expiry, error);
	if (status == BW_OK)
		status = expire_orphans(&expiry, error);
	free(expiry.ids);
	*expired = expiry.expired;
	return status;
}
