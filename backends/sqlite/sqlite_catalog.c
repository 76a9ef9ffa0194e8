#include "backends/sqlite/sqlite_internal.h"

static void use_name(struct sqlite_call *call, enum sqlite_statement statement, const char *name)
{
	sqlite_use(call, statement);
	sqlite_bind_string(call, 1, name);
}

enum status sqlite_get_repository(struct metadata_store *base, const char *repository,
				  struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_name(&call, SQL_GET_REPOSITORY, repository);
	status = sqlite_row(&call);
	if (status == BW_ABSENT)
		error_set(error, BW_ABSENT, "repository %s is not in the index", repository);
	sqlite_end(&call);
	return status;
}

enum status sqlite_put_repository(struct metadata_store *base, const char *repository,
				  struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	use_name(&call, SQL_PUT_REPOSITORY, repository);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}

static enum status remove_unused(struct sqlite_call *call, const char *repository)
{
	enum status status;

	use_name(call, SQL_IN_USE, repository);
	status = sqlite_row(call);
	if (status == BW_OK)
		return error_set(call->error, BW_CONFLICT,
				 "repository %s still has a tag, a manifest or a blob", repository);
	if (status != BW_ABSENT)
		return status;
	use_name(call, SQL_REMOVE_REPOSITORY, repository);
	return sqlite_run(call, NULL);
}

enum status sqlite_remove_repository(struct metadata_store *base, const char *repository,
				     struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	status = sqlite_transaction_begin(&call);
	if (!status)
		status = sqlite_transaction_end(&call, remove_unused(&call, repository));
	sqlite_end(&call);
	return status;
}

enum status sqlite_list_repositories(struct metadata_store *base, const char *after, unsigned limit,
				     repository_list_fn fn, void *context, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_name(&call, SQL_LIST_REPOSITORIES, after);
	sqlite_bind_number(&call, 2, limit);
	status = sqlite_each_name(&call, fn, context);
	sqlite_end(&call);
	return status;
}

enum status sqlite_get_mark(struct metadata_store *base, const char *name, int64_t *ret_value,
			    struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_name(&call, SQL_GET_MARK, name);
	status = sqlite_row(&call);
	if (status == BW_OK)
		*ret_value = sqlite3_column_int64(call.statement, 0);
	else if (status == BW_ABSENT)
		error_set(error, BW_ABSENT, "mark %s is not in the index", name);
	sqlite_end(&call);
	return status;
}

enum status sqlite_put_mark(struct metadata_store *base, const char *name, int64_t value,
			    struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING_DURABLY, error);

	if (status)
		return status;
	use_name(&call, SQL_PUT_MARK, name);
	sqlite_bind_number(&call, 2, value);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}
