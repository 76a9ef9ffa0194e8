#include "backends/sqlite/sqlite_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENT_TEXT(id, text) text,
static const char *const statement_texts[SQL_COUNT] = {STATEMENTS(STATEMENT_TEXT)};
#undef STATEMENT_TEXT

enum status sqlite_status(int code)
{
	switch (code & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return BW_CORRUPT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return BW_UNAVAILABLE;
	case SQLITE_FULL:
		return BW_NO_SPACE;
	case SQLITE_TOOBIG:
		return BW_TOO_LARGE;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_PROTOCOL:
		return BW_IO;
	default:
		return BW_INTERNAL;
	}
}

enum status sqlite_check_number(uint64_t number, struct error *error)
{
	if (number > INT64_MAX)
		return error_set(error, BW_INVALID, "%llu is more than the index can hold",
				 (unsigned long long)number);
	return BW_OK;
}

struct sqlite_connection *sqlite_connection_new(sqlite3 *db)
{
	struct sqlite_connection *connection = xcalloc(1, sizeof(*connection));

	connection->db = db;
	return connection;
}

void sqlite_connection_free(struct sqlite_connection *connection)
{
	if (!connection)
		return;
	for (size_t i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(connection->statements[i]);
	sqlite3_close(connection->db);
	free(connection);
}

static void suspect_damage(struct sqlite_store *store)
{
	if (!atomic_exchange(&store->suspect, true))
		sqlite_mark_suspect(store->path);
}

/* ---- borrowing ---- */

static enum status all_busy(const struct sqlite_store *store, const char *what, struct error *error)
{
	return error_set(error, BW_UNAVAILABLE, "index %s: no %s became free within %d ms",
			 store->path, what, SQLITE_WAIT_MS);
}

static enum status borrow_writer(struct sqlite_store *store, struct sqlite_connection **ret,
				 struct error *error)
{
	deadline_ms deadline = deadline_in(SQLITE_WAIT_MS);
	struct sqlite_connection *writer;

	pthread_mutex_lock(&store->lock);
	while (!store->writer && cond_wait_until(&store->writer_back, &store->lock, deadline))
		;
	writer = store->writer;
	store->writer = NULL;
	pthread_mutex_unlock(&store->lock);
	if (!writer)
		return all_busy(store, "turn to write", error);
	*ret = writer;
	return BW_OK;
}

/* An idle reader, or leave to open one (*ret NULL). False: time is up. */
static bool reserve_reader(struct sqlite_store *store, struct sqlite_connection **ret)
{
	deadline_ms deadline = deadline_in(SQLITE_WAIT_MS);
	bool reserved = true;

	pthread_mutex_lock(&store->lock);
	while (!store->idle && store->readers >= SQLITE_MAX_READERS && reserved)
		reserved = cond_wait_until(&store->reader_back, &store->lock, deadline);
	*ret = store->idle;
	if (store->idle) {
		store->idle = store->idle->next;
		reserved = true;
	} else if (store->readers < SQLITE_MAX_READERS) {
		store->readers++;
		reserved = true;
	}
	pthread_mutex_unlock(&store->lock);
	return reserved;
}

static enum status borrow_reader(struct sqlite_store *store, struct sqlite_connection **ret,
				 struct error *error)
{
	struct sqlite_connection *reader;
	sqlite3 *db = NULL;
	enum status status;

	if (!reserve_reader(store, &reader))
		return all_busy(store, "connection", error);
	if (!reader) {
		status = sqlite_open_more(store->path, &db, error);
		if (status) {
			pthread_mutex_lock(&store->lock);
			store->readers--;
			pthread_cond_signal(&store->reader_back);
			pthread_mutex_unlock(&store->lock);
			if (status == BW_CORRUPT)
				suspect_damage(store);
			return status;
		}
		reader = sqlite_connection_new(db);
	}
	*ret = reader;
	return BW_OK;
}

enum status sqlite_begin(struct sqlite_call *call, struct metadata_store *base,
			 enum sqlite_purpose purpose, struct error *error)
{
	struct sqlite_store *store = sqlite_store_of(base);

	enum status status;

	*call = (struct sqlite_call){.store = store, .purpose = purpose, .error = error};
	if (purpose == FOR_READING)
		return borrow_reader(store, &call->connection, error);
	status = borrow_writer(store, &call->connection, error);
	if (!status && purpose == FOR_WRITING_DURABLY)
		sqlite3_exec(call->connection->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	return status;
}

static void reset(struct sqlite_call *call)
{
	/* Ends the read transaction, and lets go of bound memory. */
	if (call->statement) {
		sqlite3_reset(call->statement);
		sqlite3_clear_bindings(call->statement);
	}
	call->statement = NULL;
}

void sqlite_end(struct sqlite_call *call)
{
	struct sqlite_store *store = call->store;

	reset(call);
	if (call->purpose == FOR_WRITING_DURABLY)
		sqlite3_exec(call->connection->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
	pthread_mutex_lock(&store->lock);
	if (call->purpose != FOR_READING) {
		store->writer = call->connection;
		pthread_cond_signal(&store->writer_back);
	} else {
		call->connection->next = store->idle;
		store->idle = call->connection;
		pthread_cond_signal(&store->reader_back);
	}
	pthread_mutex_unlock(&store->lock);
	call->connection = NULL;
}

/* ---- running ---- */

static enum status failed(struct sqlite_call *call)
{
	int code = sqlite3_extended_errcode(call->connection->db);
	enum status status = sqlite_status(code);

	if (status == BW_CORRUPT)
		suspect_damage(call->store);
	return error_set(call->error, status, "index %s: %s", call->store->path,
			 sqlite3_errmsg(call->connection->db));
}

void sqlite_use(struct sqlite_call *call, enum sqlite_statement statement)
{
	sqlite3_stmt **prepared = &call->connection->statements[statement];

	reset(call);
	if (!*prepared)
		sqlite3_prepare_v3(call->connection->db, statement_texts[statement], -1,
				   SQLITE_PREPARE_PERSISTENT, prepared, NULL);
	call->statement = *prepared;
}

/* Binding fails only for want of memory, for a statement that could not be
 * prepared, or for what is too large; the value is then NULL, and every column
 * is declared NOT NULL, every comparison with NULL is false. */
void sqlite_bind_string(struct sqlite_call *call, int index, const char *string)
{
	sqlite3_bind_text(call->statement, index, string, -1, SQLITE_STATIC);
}

void sqlite_bind_bytes(struct sqlite_call *call, int index, const void *bytes, size_t length)
{
	/* NULL bytes would bind NULL. */
	sqlite3_bind_blob64(call->statement, index, length ? bytes : "", length, SQLITE_STATIC);
}

void sqlite_bind_number(struct sqlite_call *call, int index, int64_t number)
{
	sqlite3_bind_int64(call->statement, index, number);
}

void sqlite_bind_digest(struct sqlite_call *call, int index, const struct digest *digest)
{
	sqlite_bind_bytes(call, index, digest->bytes, digest->algorithm == DIGEST_SHA512 ? 64 : 32);
}

enum status sqlite_row(struct sqlite_call *call)
{
	if (!call->statement)
		return failed(call);
	switch (sqlite3_step(call->statement)) {
	case SQLITE_ROW:
		return BW_OK;
	case SQLITE_DONE:
		return BW_ABSENT;
	default:
		return failed(call);
	}
}

enum status sqlite_run(struct sqlite_call *call, int *ret_changes)
{
	enum status status = sqlite_row(call);

	if (status == BW_OK)
		return error_set(call->error, BW_INTERNAL, "a write of the index gave a row");
	if (status != BW_ABSENT)
		return status;
	if (ret_changes)
		*ret_changes = sqlite3_changes(call->connection->db);
	return BW_OK;
}

enum status sqlite_each_name(struct sqlite_call *call, bool (*fn)(void *context, const char *name),
			     void *context)
{
	enum status status;

	while ((status = sqlite_row(call)) == BW_OK)
		if (!fn(context, (const char *)sqlite3_column_text(call->statement, 0)))
			return BW_OK;
	return status == BW_ABSENT ? BW_OK : status;
}

enum status sqlite_transaction_begin(struct sqlite_call *call)
{
	sqlite_use(call, SQL_BEGIN);
	return sqlite_run(call, NULL);
}

enum status sqlite_transaction_end(struct sqlite_call *call, enum status status)
{
	if (!status) {
		sqlite_use(call, SQL_COMMIT);
		status = sqlite_run(call, NULL);
	}
	/* Some failures have rolled back already. */
	if (status && !sqlite3_get_autocommit(call->connection->db)) {
		struct error *error = call->error;

		call->error = NULL;
		sqlite_use(call, SQL_ROLLBACK);
		sqlite_run(call, NULL);
		call->error = error;
	}
	return status;
}

/* ---- columns ---- */

bool sqlite_column_digest(struct sqlite_call *call, int column, struct digest *ret)
{
	const void *bytes = sqlite3_column_blob(call->statement, column);
	int length = sqlite3_column_bytes(call->statement, column);

	if (!bytes || (length != 32 && length != 64))
		return false;
	*ret = (struct digest){.algorithm = length == 32 ? DIGEST_SHA256 : DIGEST_SHA512};
	memcpy(ret->bytes, bytes, (size_t)length);
	return true;
}

char *sqlite_column_body(struct sqlite_call *call, int column, size_t *ret_length)
{
	const void *bytes = sqlite3_column_blob(call->statement, column);
	size_t length = (size_t)sqlite3_column_bytes(call->statement, column);
	char *copy = xmalloc(length + 1);

	if (length)
		memcpy(copy, bytes, length);
	copy[length] = '\0';
	*ret_length = length;
	return copy;
}

void sqlite_column_media_type(struct sqlite_call *call, int column, char target[MEDIA_TYPE_MAX])
{
	const unsigned char *text = sqlite3_column_text(call->statement, column);

	snprintf(target, MEDIA_TYPE_MAX, "%s", text ? (const char *)text : "");
}

enum status sqlite_nonsense(struct sqlite_call *call)
{
	suspect_damage(call->store);
	return error_set(call->error, BW_CORRUPT, "index %s: a row holds what was never written",
			 call->store->path);
}
