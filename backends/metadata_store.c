#include "backends/metadata_store.h"

#include <stdlib.h>

void manifest_entry_release(struct manifest_entry *entry)
{
	free(entry->body);
	*entry = (struct manifest_entry){0};
}

void document_entry_release(struct document_entry *entry)
{
	free(entry->body);
	*entry = (struct document_entry){0};
}
