#include "backends/sqlite/sqlite_store.h"

#include "backends/sqlite/sqlite_internal.h"

#include <stdlib.h>
#include <unistd.h>

/* SQLite goes on happily with a file that has no name any more. */
static enum status check_not_moved(struct sqlite_call *call)
{
	int moved = 0;

	sqlite3_file_control(call->connection->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	if (moved)
		return error_set(call->error, BW_IO,
				 "index %s was deleted or replaced while we use it; restart to "
				 "begin a new one",
				 call->store->path);
	return BW_OK;
}

static enum status sqlite_check(struct metadata_store *base, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	status = check_not_moved(&call);
	if (status)
		goto out;
	/* Takes the write lock and reads under it; writes nothing, so that a
	 * check every second wears out no disk. */
	status = sqlite_transaction_begin(&call);
	if (status)
		goto out;
	sqlite_use(&call, SQL_CHECK);
	status = sqlite_row(&call);
	status = sqlite_transaction_end(&call, status == BW_ABSENT ? BW_OK : status);
out:
	sqlite_end(&call);
	return status;
}

static void sqlite_free(struct metadata_store *base)
{
	struct sqlite_store *store = sqlite_store_of(base);
	struct sqlite_connection *next;

	for (struct sqlite_connection *reader = store->idle; reader; reader = next) {
		next = reader->next;
		sqlite_connection_free(reader);
	}
	/* The last to close writes the log back into the file. */
	sqlite_connection_free(store->writer);
	close(store->in_use);
	pthread_cond_destroy(&store->writer_back);
	pthread_cond_destroy(&store->reader_back);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

static const struct metadata_store_ops sqlite_ops = {
	.name = "sqlite",
	.get_tag = sqlite_get_tag,
	.put_tag = sqlite_put_tag,
	.begin_tag = sqlite_begin_tag,
	.touch_tag = sqlite_touch_tag,
	.remove_tag = sqlite_remove_tag,
	.list_tags = sqlite_list_tags,
	.get_manifest = sqlite_get_manifest,
	.put_manifest = sqlite_put_manifest,
	.remove_manifest = sqlite_remove_manifest,
	.get_listed = sqlite_get_listed,
	.put_link = sqlite_put_link,
	.get_blob = sqlite_get_blob,
	.put_blob = sqlite_put_blob,
	.remove_blob = sqlite_remove_blob,
	.get_document = sqlite_get_document,
	.put_document = sqlite_put_document,
	.list_tags_of = sqlite_list_tags_of,
	.list_referrers = sqlite_list_referrers,
	.touch_manifests = sqlite_touch_manifests,
	.list_idle_manifests = sqlite_list_idle_manifests,
	.list_holders_of = sqlite_list_holders_of,
	.get_usage = sqlite_get_usage,
	.get_link = sqlite_get_link,
	.remove_link = sqlite_remove_link,
	.list_links_of = sqlite_list_links_of,
	.get_repository = sqlite_get_repository,
	.put_repository = sqlite_put_repository,
	.remove_repository = sqlite_remove_repository,
	.list_repositories = sqlite_list_repositories,
	.create_upload = sqlite_create_upload,
	.get_upload = sqlite_get_upload,
	.advance_upload = sqlite_advance_upload,
	.remove_upload = sqlite_remove_upload,
	.list_uploads = sqlite_list_uploads,
	.get_mark = sqlite_get_mark,
	.put_mark = sqlite_put_mark,
	.check = sqlite_check,
	.free = sqlite_free,
};

enum status sqlite_store_new(const char *path, struct metadata_store **ret_store, bool *ret_rebuilt,
			     struct error *error)
{
	struct sqlite_store *store;
	sqlite3 *db = NULL;
	int in_use = -1;
	enum status status = sqlite_open_first(path, &db, &in_use, ret_rebuilt, error);

	if (status)
		return status;
	store = xcalloc(1, sizeof(*store));
	store->base.ops = &sqlite_ops;
	store->path = xstrdup(path);
	store->in_use = in_use;
	store->writer = sqlite_connection_new(db);
	pthread_mutex_init(&store->lock, NULL);
	cond_init(&store->writer_back);
	cond_init(&store->reader_back);
	*ret_store = &store->base;
	return BW_OK;
}
