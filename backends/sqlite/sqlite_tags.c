#include "backends/sqlite/sqlite_internal.h"

static void use_tag(struct sqlite_call *call, enum sqlite_statement statement,
		    const char *repository, const char *tag)
{
	sqlite_use(call, statement);
	sqlite_bind_string(call, 1, repository);
	sqlite_bind_string(call, 2, tag);
}

enum status sqlite_get_tag(struct metadata_store *base, const char *repository, const char *tag,
			   struct tag_entry *ret, struct error *error)
{
	struct sqlite_call call;
	struct tag_entry entry = {0};
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_tag(&call, SQL_GET_TAG, repository, tag);
	status = sqlite_row(&call);
	if (status == BW_ABSENT)
		error_set(error, BW_ABSENT, "tag %s:%s is not in the index", repository, tag);
	if (status)
		goto out;
	if (!sqlite_column_digest(&call, 0, &entry.digest)) {
		status = sqlite_nonsense(&call);
		goto out;
	}
	entry.version = (uint64_t)sqlite3_column_int64(call.statement, 1);
	entry.stored_at = sqlite3_column_int64(call.statement, 2);
	entry.validated_at = sqlite3_column_int64(call.statement, 3);
	entry.pending = (uint64_t)sqlite3_column_int64(call.statement, 4);
	*ret = entry;
out:
	sqlite_end(&call);
	return status;
}

enum status sqlite_put_tag(struct metadata_store *base, const char *repository, const char *tag,
			   const struct tag_entry *entry, struct error *error)
{
	struct sqlite_call call;
	int changes = 0;
	enum status status = sqlite_check_number(entry->version, error);

	if (!status)
		status = sqlite_begin(&call, base, FOR_WRITING, error);
	if (status)
		return status;
	use_tag(&call, SQL_PUT_TAG, repository, tag);
	sqlite_bind_digest(&call, 3, &entry->digest);
	sqlite_bind_number(&call, 4, (int64_t)entry->version);
	sqlite_bind_number(&call, 5, entry->stored_at);
	sqlite_bind_number(&call, 6, entry->validated_at);
	status = sqlite_run(&call, &changes);
	if (!status && changes == 0)
		status = error_set(error, BW_CONFLICT,
				   "tag %s:%s has a version in the index that is not older than "
				   "%llu",
				   repository, tag, (unsigned long long)entry->version);
	sqlite_end(&call);
	return status;
}

enum status sqlite_begin_tag(struct metadata_store *base, const char *repository, const char *tag,
			     uint64_t version, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_check_number(version, error);

	if (!status)
		status = sqlite_begin(&call, base, FOR_WRITING_DURABLY, error);
	if (status)
		return status;
	use_tag(&call, SQL_BEGIN_TAG, repository, tag);
	sqlite_bind_number(&call, 3, (int64_t)version);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}

enum status sqlite_touch_tag(struct metadata_store *base, const char *repository, const char *tag,
			     uint64_t version, int64_t validated_at, struct error *error)
{
	struct sqlite_call call;
	int changes = 0;
	enum status status = sqlite_check_number(version, error);

	if (!status)
		status = sqlite_begin(&call, base, FOR_WRITING, error);
	if (status)
		return status;
	use_tag(&call, SQL_TOUCH_TAG, repository, tag);
	sqlite_bind_number(&call, 3, (int64_t)version);
	sqlite_bind_number(&call, 4, validated_at);
	status = sqlite_run(&call, &changes);
	if (!status && changes == 0)
		status = error_set(error, BW_CONFLICT,
				   "tag %s:%s is not at version %llu in the index", repository, tag,
				   (unsigned long long)version);
	sqlite_end(&call);
	return status;
}

enum status sqlite_remove_tag(struct metadata_store *base, const char *repository, const char *tag,
			      uint64_t version, struct error *error)
{
	struct sqlite_call call;
	int64_t at_most = version > INT64_MAX ? INT64_MAX : (int64_t)version;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	use_tag(&call, SQL_REMOVE_TAG, repository, tag);
	sqlite_bind_number(&call, 3, at_most);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}

enum status sqlite_list_tags(struct metadata_store *base, const char *repository, const char *after,
			     unsigned limit, tag_list_fn fn, void *context, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_tag(&call, SQL_LIST_TAGS, repository, after);
	sqlite_bind_number(&call, 3, limit);
	status = sqlite_each_name(&call, fn, context);
	sqlite_end(&call);
	return status;
}

enum status sqlite_list_tags_of(struct metadata_store *base, const char *repository,
				const struct digest *digest, unsigned limit, tag_list_fn fn,
				void *context, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	sqlite_use(&call, SQL_LIST_TAGS_OF);
	sqlite_bind_string(&call, 1, repository);
	sqlite_bind_digest(&call, 2, digest);
	sqlite_bind_number(&call, 3, limit);
	status = sqlite_each_name(&call, fn, context);
	sqlite_end(&call);
	return status;
}
