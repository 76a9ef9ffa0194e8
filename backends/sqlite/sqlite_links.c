#include "backends/sqlite/sqlite_internal.h"

static void use_content(struct sqlite_call *call, enum sqlite_statement statement,
			const char *repository, const struct digest *digest)
{
	sqlite_use(call, statement);
	sqlite_bind_string(call, 1, repository);
	sqlite_bind_digest(call, 2, digest);
}

enum status sqlite_put_listed(struct sqlite_call *call, const char *repository,
			      const struct listed_content *listed, const struct digest *manifest)
{
	use_content(call, SQL_PUT_LISTED, repository, &listed->digest);
	if (manifest)
		sqlite_bind_digest(call, 3, manifest);
	else
		sqlite_bind_bytes(call, 3, NULL, 0);
	sqlite_bind_number(call, 4, (int64_t)listed->size);
	return sqlite_run(call, NULL);
}

static enum status get_size(struct metadata_store *base, enum sqlite_statement statement,
			    const char *what, const char *repository, const struct digest *digest,
			    uint64_t *ret_size, struct error *error)
{
	struct sqlite_call call;
	char text[DIGEST_TEXT_SIZE];
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_content(&call, statement, repository, digest);
	status = sqlite_row(&call);
	if (status == BW_OK) {
		*ret_size = (uint64_t)sqlite3_column_int64(call.statement, 0);
	} else if (status == BW_ABSENT) {
		digest_format(digest, text);
		error_set(error, BW_ABSENT, "%s %s@%s is not in the index", what, repository, text);
	}
	sqlite_end(&call);
	return status;
}

enum status sqlite_get_listed(struct metadata_store *base, const char *repository,
			      const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	return get_size(base, SQL_GET_LISTED, "a listing of", repository, digest, ret_size, error);
}

enum status sqlite_get_link(struct metadata_store *base, const char *repository,
			    const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	return get_size(base, SQL_GET_LINK, "a link to", repository, digest, ret_size, error);
}

enum status sqlite_put_link(struct metadata_store *base, const char *repository,
			    const struct listed_content *link, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_check_number(link->size, error);

	if (!status)
		status = sqlite_begin(&call, base, FOR_WRITING, error);
	if (status)
		return status;
	status = sqlite_put_listed(&call, repository, link, NULL);
	sqlite_end(&call);
	return status;
}

enum status sqlite_remove_link(struct metadata_store *base, const char *repository,
			       const struct digest *digest, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING_DURABLY, error);

	if (status)
		return status;
	use_content(&call, SQL_REMOVE_LINK, repository, digest);
	status = sqlite_run(&call, NULL);
	sqlite_end(&call);
	return status;
}

static enum status list_repositories_of(struct metadata_store *base,
					enum sqlite_statement statement,
					const struct digest *digest, unsigned limit,
					repository_list_fn fn, void *context, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	sqlite_use(&call, statement);
	sqlite_bind_digest(&call, 1, digest);
	sqlite_bind_number(&call, 2, limit);
	status = sqlite_each_name(&call, fn, context);
	sqlite_end(&call);
	return status;
}

enum status sqlite_list_links_of(struct metadata_store *base, const struct digest *digest,
				 unsigned limit, repository_list_fn fn, void *context,
				 struct error *error)
{
	return list_repositories_of(base, SQL_LIST_LINKS_OF, digest, limit, fn, context, error);
}

enum status sqlite_list_holders_of(struct metadata_store *base, const struct digest *digest,
				   unsigned limit, repository_list_fn fn, void *context,
				   struct error *error)
{
	return list_repositories_of(base, SQL_LIST_HOLDERS_OF, digest, limit, fn, context, error);
}
