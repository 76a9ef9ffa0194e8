#include "backends/sqlite/sqlite_internal.h"

static void use_document(struct sqlite_call *call, enum sqlite_statement statement,
			 const char *repository, const char *kind, const char *key)
{
	sqlite_use(call, statement);
	sqlite_bind_string(call, 1, repository);
	sqlite_bind_string(call, 2, kind);
	sqlite_bind_string(call, 3, key);
}

enum status sqlite_get_document(struct metadata_store *base, const char *repository,
				const char *kind, const char *key, struct document_entry *ret,
				struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_document(&call, SQL_GET_DOCUMENT, repository, kind, key);
	status = sqlite_row(&call);
	if (status == BW_OK) {
		*ret = (struct document_entry){0};
		sqlite_column_media_type(&call, 0, ret->media_type);
		ret->validated_at = sqlite3_column_int64(call.statement, 1);
		ret->body = sqlite_column_body(&call, 2, &ret->body_length);
	} else if (status == BW_ABSENT) {
		error_set(error, BW_ABSENT, "the %s of %s are not in the index", kind, repository);
	}
	sqlite_end(&call);
	return status;
}

enum status sqlite_put_document(struct metadata_store *base, const char *repository,
				const char *kind, const char *key,
				const struct document_entry *entry, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	use_document(&call, SQL_PUT_DOCUMENT, repository, kind, key);
	sqlite_bind_string(&call, 4, entry->media_type);
	sqlite_bind_number(&call, 5, entry->validated_at);
	sqlite_bind_bytes(&call, 6, entry->body, entry->body_length);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}
