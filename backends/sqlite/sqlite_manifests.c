#include "backends/sqlite/sqlite_internal.h"

/* A digest of no bytes: the listing is a link and came with no manifest. */
static void bind_no_manifest(struct sqlite_call *call, int index)
{
	sqlite_bind_bytes(call, index, NULL, 0);
}

static void use_content(struct sqlite_call *call, enum sqlite_statement statement,
			const char *repository, const struct digest *digest)
{
	sqlite_use(call, statement);
	sqlite_bind_string(call, 1, repository);
	sqlite_bind_digest(call, 2, digest);
}

static enum status absent(const char *what, const char *repository, const struct digest *digest,
			  struct error *error)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	return error_set(error, BW_ABSENT, "%s %s@%s is not in the index", what, repository, text);
}

enum status sqlite_get_manifest(struct metadata_store *base, const char *repository,
				const struct digest *digest, struct manifest_entry *ret,
				struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_content(&call, SQL_GET_MANIFEST, repository, digest);
	status = sqlite_row(&call);
	if (status == BW_OK) {
		*ret = (struct manifest_entry){.digest = *digest};
		sqlite_column_media_type(&call, 0, ret->media_type);
		ret->stored_at = sqlite3_column_int64(call.statement, 1);
		ret->body = sqlite_column_body(&call, 2, &ret->body_length);
	} else if (status == BW_ABSENT) {
		absent("manifest", repository, digest, error);
	}
	sqlite_end(&call);
	return status;
}

static enum status put_listed(struct sqlite_call *call, const char *repository,
			      const struct listed_content *listed, const struct digest *manifest)
{
	use_content(call, SQL_PUT_LISTED, repository, &listed->digest);
	if (manifest)
		sqlite_bind_digest(call, 3, manifest);
	else
		bind_no_manifest(call, 3);
	sqlite_bind_number(call, 4, (int64_t)listed->size);
	return sqlite_run(call, NULL);
}

static enum status put_rows(struct sqlite_call *call, const char *repository,
			    const struct manifest_entry *entry, const struct listed_content *listed,
			    size_t listed_count)
{
	enum status status;

	use_content(call, SQL_PUT_MANIFEST, repository, &entry->digest);
	sqlite_bind_string(call, 3, entry->media_type);
	sqlite_bind_number(call, 4, entry->stored_at);
	sqlite_bind_bytes(call, 5, entry->body, entry->body_length);
	status = sqlite_run(call, NULL);
	for (size_t i = 0; i < listed_count && !status; i++)
		status = put_listed(call, repository, &listed[i], &entry->digest);
	return status;
}

enum status sqlite_put_manifest(struct metadata_store *base, const char *repository,
				const struct manifest_entry *entry,
				const struct listed_content *listed, size_t listed_count,
				struct error *error)
{
	struct sqlite_call call;
	enum status status;

	for (size_t i = 0; i < listed_count; i++)
		if (sqlite_check_number(listed[i].size, error))
			return BW_INVALID;
	status = sqlite_begin(&call, base, FOR_WRITING, error);
	if (status)
		return status;
	status = sqlite_transaction_begin(&call);
	if (!status) {
		status = put_rows(&call, repository, entry, listed, listed_count);
		status = sqlite_transaction_end(&call, status);
	}
	sqlite_end(&call);
	return status;
}

enum status sqlite_remove_manifest(struct metadata_store *base, const char *repository,
				   const struct digest *digest, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING, error);

	if (status)
		return status;
	status = sqlite_transaction_begin(&call);
	if (!status) {
		use_content(&call, SQL_REMOVE_MANIFEST, repository, digest);
		status = sqlite_run(&call, NULL);
		if (!status) {
			use_content(&call, SQL_REMOVE_LISTED, repository, digest);
			status = sqlite_run(&call, NULL);
		}
		status = sqlite_transaction_end(&call, status);
	}
	sqlite_end(&call);
	return status;
}

enum status sqlite_get_listed(struct metadata_store *base, const char *repository,
			      const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_content(&call, SQL_GET_LISTED, repository, digest);
	status = sqlite_row(&call);
	if (status == BW_OK)
		*ret_size = (uint64_t)sqlite3_column_int64(call.statement, 0);
	else if (status == BW_ABSENT)
		absent("a listing of", repository, digest, error);
	sqlite_end(&call);
	return status;
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
	status = put_listed(&call, repository, link, NULL);
	sqlite_end(&call);
	return status;
}
