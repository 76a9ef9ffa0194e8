#include "backends/sqlite/sqlite_internal.h"

static void use_upload(struct sqlite_call *call, enum sqlite_statement statement, const char *id)
{
	sqlite_use(call, statement);
	sqlite_bind_string(call, 1, id);
}

static enum status absent(const char *id, struct error *error)
{
	return error_set(error, BW_ABSENT, "upload %s is not in the index", id);
}

enum status sqlite_create_upload(struct metadata_store *base, const char *id,
				 const struct upload_entry *entry, struct error *error)
{
	struct sqlite_call call;
	int changes = 0;
	enum status status = upload_entry_check(entry, error);

	if (!status)
		status = sqlite_begin(&call, base, FOR_WRITING, error);
	if (status)
		return status;
	use_upload(&call, SQL_CREATE_UPLOAD, id);
	sqlite_bind_string(&call, 2, entry->repository);
	sqlite_bind_string(&call, 3, entry->caller);
	sqlite_bind_number(&call, 4, entry->started_at);
	sqlite_bind_number(&call, 5, entry->touched_at);
	sqlite_bind_bytes(&call, 6, entry->state, entry->state_length);
	status = sqlite_run(&call, &changes);
	if (!status && changes == 0)
		status = error_set(error, BW_CONFLICT, "upload %s is in the index already", id);
	sqlite_end(&call);
	return status;
}

enum status sqlite_get_upload(struct metadata_store *base, const char *id, struct upload_entry *ret,
			      struct error *error)
{
	struct sqlite_call call;
	size_t ignored;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_upload(&call, SQL_GET_UPLOAD, id);
	status = sqlite_row(&call);
	if (status == BW_OK) {
		ret->repository = sqlite_column_body(&call, 0, &ignored);
		ret->caller = sqlite_column_body(&call, 1, &ignored);
		ret->revision = (uint64_t)sqlite3_column_int64(call.statement, 2);
		ret->started_at = sqlite3_column_int64(call.statement, 3);
		ret->touched_at = sqlite3_column_int64(call.statement, 4);
		ret->state = sqlite_column_body(&call, 5, &ret->state_length);
	} else if (status == BW_ABSENT) {
		absent(id, error);
	}
	sqlite_end(&call);
	return status;
}

/* Nothing was advanced: told why as of now, which is after the attempt, so that
 * an upload found here is at another revision for good. */
static enum status why_not_advanced(struct sqlite_call *call, const char *id, uint64_t revision)
{
	enum status status;

	use_upload(call, SQL_HAS_UPLOAD, id);
	status = sqlite_row(call);
	if (status == BW_ABSENT)
		return absent(id, call->error);
	if (status)
		return status;
	return error_set(call->error, BW_CONFLICT, "upload %s is not at revision %llu any more", id,
			 (unsigned long long)revision);
}

enum status sqlite_advance_upload(struct metadata_store *base, const char *id,
				  const struct upload_entry *entry, struct error *error)
{
	struct sqlite_call call;
	int changes = 0;
	enum status status = upload_entry_check(entry, error);

	if (!status)
		status = sqlite_begin(&call, base, FOR_WRITING, error);
	if (status)
		return status;
	use_upload(&call, SQL_ADVANCE_UPLOAD, id);
	sqlite_bind_number(&call, 2, (int64_t)entry->revision);
	sqlite_bind_number(&call, 3, entry->touched_at);
	sqlite_bind_bytes(&call, 4, entry->state, entry->state_length);
	status = sqlite_run(&call, &changes);
	if (!status && changes == 0)
		status = why_not_advanced(&call, id, entry->revision);
	sqlite_end(&call);
	return status;
}

enum status sqlite_remove_upload(struct metadata_store *base, const char *id, struct error *error)
{
	struct sqlite_call call;
	int changes = 0;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	use_upload(&call, SQL_REMOVE_UPLOAD, id);
	status = sqlite_run(&call, &changes);
	if (!status && changes == 0)
		status = absent(id, error);
	sqlite_end(&call);
	return status;
}

enum status sqlite_list_uploads(struct metadata_store *base, int64_t touched_before, unsigned limit,
				upload_list_fn fn, void *context, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	sqlite_use(&call, SQL_LIST_UPLOADS);
	sqlite_bind_number(&call, 1, touched_before);
	sqlite_bind_number(&call, 2, limit);
	status = sqlite_each_name(&call, fn, context);
	sqlite_end(&call);
	return status;
}
