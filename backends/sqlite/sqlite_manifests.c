#include "backends/sqlite/sqlite_internal.h"

static void use_manifest(struct sqlite_call *call, enum sqlite_statement statement,
			 const char *repository, const struct digest *digest)
{
	sqlite_use(call, statement);
	sqlite_bind_string(call, 1, repository);
	sqlite_bind_digest(call, 2, digest);
}

enum status sqlite_get_manifest(struct metadata_store *base, const char *repository,
				const struct digest *digest, struct manifest_entry *ret,
				struct error *error)
{
	struct sqlite_call call;
	char text[DIGEST_TEXT_SIZE];
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	use_manifest(&call, SQL_GET_MANIFEST, repository, digest);
	status = sqlite_row(&call);
	if (status == BW_OK) {
		*ret = (struct manifest_entry){.digest = *digest};
		sqlite_column_media_type(&call, 0, ret->media_type);
		ret->stored_at = sqlite3_column_int64(call.statement, 1);
		ret->body = sqlite_column_body(&call, 2, &ret->body_length);
	} else if (status == BW_ABSENT) {
		digest_format(digest, text);
		error_set(error, BW_ABSENT, "manifest %s@%s is not in the index", repository, text);
	}
	sqlite_end(&call);
	return status;
}

static enum status put_body(struct sqlite_call *call, const char *repository,
			    const struct manifest_entry *entry)
{
	use_manifest(call, SQL_PUT_MANIFEST, repository, &entry->digest);
	sqlite_bind_string(call, 3, entry->media_type);
	sqlite_bind_number(call, 4, entry->stored_at);
	sqlite_bind_bytes(call, 5, entry->body, entry->body_length);
	return sqlite_run(call, NULL);
}

static enum status put_referrer(struct sqlite_call *call, const char *repository,
				const struct manifest_entry *entry)
{
	char text[DIGEST_TEXT_SIZE];

	if (entry->subject.algorithm == DIGEST_NONE)
		return BW_OK;
	digest_format(&entry->digest, text);
	use_manifest(call, SQL_PUT_REFERRER, repository, &entry->subject);
	sqlite_bind_string(call, 3, text);
	sqlite_bind_string(call, 4, entry->referrer);
	return sqlite_run(call, NULL);
}

static enum status put_rows(struct sqlite_call *call, const char *repository,
			    const struct manifest_entry *entry, const struct listed_content *listed,
			    size_t listed_count)
{
	enum status status = put_body(call, repository, entry);

	if (!status)
		status = put_referrer(call, repository, entry);
	for (size_t i = 0; i < listed_count && !status; i++)
		status = sqlite_put_listed(call, repository, &listed[i], &entry->digest);
	return status;
}

enum status sqlite_put_manifest(struct metadata_store *base, const char *repository,
				const struct manifest_entry *entry,
				const struct listed_content *listed, size_t listed_count,
				struct error *error)
{
	struct sqlite_call call;
	enum status status = manifest_entry_check(entry, error);

	for (size_t i = 0; i < listed_count && !status; i++)
		status = sqlite_check_number(listed[i].size, error);
	if (!status)
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

static enum status remove_rows(struct sqlite_call *call, const char *repository,
			       const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];
	enum status status;

	use_manifest(call, SQL_REMOVE_MANIFEST, repository, digest);
	status = sqlite_run(call, NULL);
	if (status)
		return status;
	use_manifest(call, SQL_REMOVE_LISTED, repository, digest);
	status = sqlite_run(call, NULL);
	if (status)
		return status;
	digest_format(digest, text);
	sqlite_use(call, SQL_REMOVE_REFERRER);
	sqlite_bind_string(call, 1, repository);
	sqlite_bind_string(call, 2, text);
	return sqlite_run(call, NULL);
}

enum status sqlite_remove_manifest(struct metadata_store *base, const char *repository,
				   const struct digest *digest, struct error *error)
{
	struct sqlite_call call;
	enum status status = sqlite_begin(&call, base, FOR_WRITING_DURABLY, error);

	if (status)
		return status;
	status = sqlite_transaction_begin(&call);
	if (!status)
		status = sqlite_transaction_end(&call, remove_rows(&call, repository, digest));
	sqlite_end(&call);
	return status;
}

static enum status each_referrer(struct sqlite_call *call, referrer_list_fn fn, void *context)
{
	enum status status;

	while ((status = sqlite_row(call)) == BW_OK) {
		const char *text = (const char *)sqlite3_column_text(call->statement, 0);
		struct digest digest;

		if (!text ||
		    !digest_parse(text, (size_t)sqlite3_column_bytes(call->statement, 0), &digest))
			return sqlite_nonsense(call);
		if (!fn(context, &digest, (const char *)sqlite3_column_text(call->statement, 1)))
			return BW_OK;
	}
	return status == BW_ABSENT ? BW_OK : status;
}

enum status sqlite_list_referrers(struct metadata_store *base, const char *repository,
				  const struct digest *subject, const struct digest *after,
				  referrer_list_fn fn, void *context, struct error *error)
{
	struct sqlite_call call;
	char after_text[DIGEST_TEXT_SIZE] = "";
	enum status status = sqlite_begin(&call, base, FOR_READING, error);

	if (status)
		return status;
	if (after)
		digest_format(after, after_text);
	use_manifest(&call, SQL_LIST_REFERRERS, repository, subject);
	sqlite_bind_string(&call, 3, after_text);
	status = each_referrer(&call, fn, context);
	sqlite_end(&call);
	return status;
}
