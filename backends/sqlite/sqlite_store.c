#include "backends/sqlite/sqlite_store.h"

#include "backends/sqlite/sqlite_internal.h"

#include <stdlib.h>

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
	.check = sqlite_check,
	.free = sqlite_free,
};

enum status sqlite_store_new(const char *path, struct metadata_store **ret_store, bool *ret_rebuilt,
			     struct error *error)
{
	struct sqlite_store *store;
	sqlite3 *db = NULL;
	enum status status = sqlite_open_first(path, &db, ret_rebuilt, error);

	if (status)
		return status;
	store = xcalloc(1, sizeof(*store));
	store->base.ops = &sqlite_ops;
	store->path = xstrdup(path);
	store->writer = sqlite_connection_new(db);
	pthread_mutex_init(&store->lock, NULL);
	cond_init(&store->writer_back);
	cond_init(&store->reader_back);
	*ret_store = &store->base;
	return BW_OK;
}
