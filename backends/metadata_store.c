#include "backends/metadata_store.h"

#include <stdlib.h>

void manifest_entry_release(struct manifest_entry *entry)
{
	free(entry->body);
	free(entry->referrer);
	*entry = (struct manifest_entry){0};
}

void document_entry_release(struct document_entry *entry)
{
	free(entry->body);
	*entry = (struct document_entry){0};
}

void upload_entry_release(struct upload_entry *entry)
{
	free(entry->repository);
	free(entry->caller);
	free(entry->state);
	*entry = (struct upload_entry){0};
}

enum status manifest_entry_check(const struct manifest_entry *entry, struct error *error)
{
	if (entry->subject.algorithm != DIGEST_NONE && !entry->referrer)
		return error_set(error, BW_INVALID,
				 "a manifest with a subject came without its descriptor");
	return BW_OK;
}

enum status upload_entry_check(const struct upload_entry *entry, struct error *error)
{
	if (entry->state_length > UPLOAD_STATE_MAX)
		return error_set(error, BW_TOO_LARGE,
				 "the state of an upload has %zu bytes, more than the %zu allowed",
				 entry->state_length, UPLOAD_STATE_MAX);
	if (entry->revision > INT64_MAX)
		return error_set(error, BW_INVALID, "%llu is more than the index can hold",
				 (unsigned long long)entry->revision);
	return BW_OK;
}
