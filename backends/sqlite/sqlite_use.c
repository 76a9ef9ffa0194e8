#include "backends/sqlite/sqlite_internal.h"

#include <stdlib.h>

static enum status touch_all(struct sqlite_call *call, const char *repository,
			     const struct digest *digests, size_t count, int64_t used_at)
{
	enum status status = BW_OK;

	for (size_t i = 0; i < count && !status; i++) {
		sqlite_use(call, SQL_TOUCH_MANIFEST);
		sqlite_bind_string(call, 1, repository);
		sqlite_bind_digest(call, 2, &digests[i]);
		sqlite_bind_number(call, 3, used_at);
		status = sqlite_run(call, NULL);
	}
	return status;
}

enum status sqlite_touch_manifests(struct metadata_store *base, const char *repository,
				   const struct digest *digests, size_t count, int64_t used_at,
				   struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	status = sqlite_transaction_begin(&call);
	if (!status) {
		status = touch_all(&call, repository, digests, count, used_at);
		status = sqlite_transaction_end(&call, status);
	}
	sqlite_end(&call);
	return status;
}

enum status sqlite_list_idle_manifests(struct metadata_store *base, int64_t used_before,
				       unsigned limit, idle_list_fn fn, void *context,
				       struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);
	bool more = true;

	if (status)
		return status;
	sqlite_use(&call, SQL_LIST_IDLE);
	sqlite_bind_number(&call, 1, used_before);
	sqlite_bind_number(&call, 2, limit);
	while (more && (status = sqlite_row(&call)) == BW_OK) {
		struct digest digest;

		if (!sqlite_column_digest(&call, 1, &digest)) {
			status = sqlite_nonsense(&call);
			break;
		}
		more = fn(context, (const char *)sqlite3_column_text(call.statement, 0), &digest,
			  sqlite3_column_int64(call.statement, 2));
	}
	sqlite_end(&call);
	return status == BW_ABSENT ? BW_OK : status;
}

enum status sqlite_get_usage(struct metadata_store *base, struct usage *ret, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	sqlite_use(&call, SQL_GET_USAGE);
	status = sqlite_row(&call);
	if (status == BW_OK)
		*ret = (struct usage){
			.bytes = (uint64_t)sqlite3_column_int64(call.statement, 0),
			.linked_bytes = (uint64_t)sqlite3_column_int64(call.statement, 1),
		};
	else if (status == BW_ABSENT)
		status = sqlite_nonsense(&call);
	sqlite_end(&call);
	return status;
}
