#include "backends/sqlite/sqlite_internal.h"

enum status sqlite_get_blob(struct metadata_store *base, const struct digest *digest,
			    uint64_t *ret_size, struct error *error)
{
	struct sqlite_call call;
	char text[DIGEST_TEXT_SIZE];
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	sqlite_use(&call, SQL_GET_BLOB);
	sqlite_bind_digest(&call, 1, digest);
	status = sqlite_row(&call);
	if (status == BW_OK) {
		*ret_size = (uint64_t)sqlite3_column_int64(call.statement, 0);
	} else if (status == BW_ABSENT) {
		digest_format(digest, text);
		error_set(error, BW_ABSENT, "blob %s is not in the index", text);
	}
	sqlite_end(&call);
	return status;
}

enum status sqlite_put_blob(struct metadata_store *base, const struct digest *digest, uint64_t size,
			    int64_t stored_at, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_check_number(size, error);

	if (!status)
		status = sqlite_begin(&call, base, FOR_WRITING, error);
	if (status)
		return status;
	sqlite_use(&call, SQL_PUT_BLOB);
	sqlite_bind_digest(&call, 1, digest);
	sqlite_bind_number(&call, 2, (int64_t)size);
	sqlite_bind_number(&call, 3, stored_at);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}

enum status sqlite_remove_blob(struct metadata_store *base, const struct digest *digest,
			       struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	sqlite_use(&call, SQL_REMOVE_BLOB);
	sqlite_bind_digest(&call, 1, digest);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}
