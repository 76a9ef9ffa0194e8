#include "server/content/content_private.h"

#include "server/base/clock.h"
#include "server/base/lru.h"
#include "server/base/memory.h"
#include "server/content/references.h"

#include <stdlib.h>

struct content *content_new(struct object_store *objects, struct metadata_store *metadata)
{
	struct content *content = xcalloc(1, sizeof(*content));

	content->objects = objects;
	content->metadata = metadata;
	content->scanned = content_scanned_new();
	content->settle_patience_ms = REFERENCES_PATIENCE_MS;
	return content;
}

void content_free(struct content *content)
{
	if (!content)
		return;
	lru_free(content->scanned);
	free(content);
}

uint64_t content_version(struct content *content)
{
	uint64_t last = atomic_load(&content->last_version);
	uint64_t now = (uint64_t)clock_wall_ms() * 1000;
	uint64_t next;

	do {
		next = now > last ? now : last + 1;
	} while (!atomic_compare_exchange_weak(&content->last_version, &last, next));
	return next;
}

void content_saw_version(struct content *content, uint64_t version)
{
	uint64_t last = atomic_load(&content->last_version);

	while (version > last &&
	       !atomic_compare_exchange_weak(&content->last_version, &last, version))
		;
}

enum status content_get_document(struct content *content, const char *repository, const char *kind,
				 const char *key, struct document_entry *ret, struct error *error)
{
	return metadata_get_document(content->metadata, repository, kind, key, ret, error);
}

enum status content_put_document(struct content *content, const char *repository, const char *kind,
				 const char *key, const struct document_entry *entry,
				 struct error *error)
{
	return metadata_put_document(content->metadata, repository, kind, key, entry, error);
}

enum status content_check(struct content *content, struct error *error)
{
	enum status status = object_check(content->objects, error);

	if (status != BW_OK) {
		error_prefix(error, "object store");
		return status;
	}
	status = metadata_check(content->metadata, error);
	if (status != BW_OK)
		error_prefix(error, "metadata store");
	return status;
}
