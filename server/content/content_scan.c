/*
 * Reading a repository's manifest records back into the index: what makes a
 * lost or failing index cost time and nothing else.
 */
#include "server/base/lru.h"
#include "server/base/memory.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/oci/manifest.h"

#include <stdlib.h>
#include <string.h>

bool content_was_scanned(struct content *content, const char *repository)
{
	bool was = false;

	return content_mark_get(content, content->scanned, repository, &was) && was;
}

void content_forget_scan(struct content *content, const char *repository)
{
	atomic_fetch_add(&content->index_failures, 1);
	lru_remove(content->scanned, repository);
}

/* Only when every record that was read could also be indexed meanwhile: what a
 * failing index did not take must be read again. */
static void remember_scan(struct content *content, const char *repository, unsigned failures)
{
	if (atomic_load(&content->index_failures) == failures)
		content_mark_put(content->scanned, repository, true);
}

struct record_keys {
	char **items;
	size_t count;
	size_t capacity;
};

/* What lies behind so many finds its way back when it is asked for by digest. */
#define SCAN_MAX 10000

static bool collect_key(void *context, const char *key, const struct object_info *info)
{
	struct record_keys *keys = context;

	(void)info;
	if (keys->count == SCAN_MAX)
		return false;
	if (keys->count == keys->capacity) {
		keys->capacity = keys->capacity ? keys->capacity * 2 : 64;
		keys->items = xrealloc(keys->items, keys->capacity * sizeof(*keys->items));
	}
	keys->items[keys->count++] = xstrdup(key);
	return true;
}

static bool listing_has(const struct manifest *manifest, const struct digest *wanted,
			uint64_t *ret_size)
{
	for (size_t i = 0; i < manifest->blob_count; i++) {
		if (!manifest->blobs[i].foreign &&
		    digest_equals(&manifest->blobs[i].digest, wanted)) {
			*ret_size = manifest->blobs[i].size;
			return true;
		}
	}
	return false;
}

struct scan {
	struct content *content;
	const char *repository;
	const struct digest *wanted;
	bool away; /* the index is */
	bool listed;
	uint64_t size; /* when listed */
};

/* Reads one record's manifest, which repairs the index on the way. */
static enum status scan_record(struct scan *scan, const char *key, struct error *error)
{
	struct manifest_entry entry = {0};
	struct manifest manifest = {0};
	struct digest digest;
	const char *name = strrchr(key, '/') + 1;
	struct error trouble = {0};
	enum status status;

	if (!digest_parse(name, strlen(name), &digest))
		return BW_OK; /* not a record of ours */
	status = (scan->away ? content_read_manifest : content_get_manifest)(
		scan->content, scan->repository, &digest, &entry, &trouble);
	if (status == BW_ABSENT)
		return BW_OK; /* removed meanwhile, or its body is gone */
	if (status != BW_OK) {
		if (error)
			*error = trouble;
		return status;
	}
	if (!scan->listed && manifest_parse(entry.body, entry.body_length, entry.media_type,
					    &manifest, NULL) == BW_OK) {
		scan->listed = listing_has(&manifest, scan->wanted, &scan->size);
		manifest_release(&manifest);
	}
	manifest_entry_release(&entry);
	return BW_OK;
}

/* Every record, whatever became of the one before: one damaged manifest must not
 * hide what the others list. The first failure is what is told. */
static enum status scan_records(struct scan *scan, const struct record_keys *keys,
				struct error *error)
{
	enum status first = BW_OK;

	for (size_t i = 0; i < keys->count && !(scan->away && scan->listed); i++) {
		enum status status =
			scan_record(scan, keys->items[i], first == BW_OK ? error : NULL);

		if (first == BW_OK)
			first = status;
		/* a store that is down stays down for the rest of the records */
		if (status != BW_OK && status != BW_CORRUPT)
			break;
	}
	return first;
}

enum status content_scan_manifests(struct content *content, const char *repository,
				   const struct digest *wanted, bool away, uint64_t *ret_size,
				   struct error *error)
{
	struct scan scan = {
		.content = content, .repository = repository, .wanted = wanted, .away = away};
	unsigned failures = atomic_load(&content->index_failures);
	struct record_keys keys = {0};
	struct error trouble = {0};
	char prefix[KEY_SIZE];
	enum status status;

	key_of_manifests(prefix, repository);
	status = object_list(content->objects, prefix, "", collect_key, &keys, &trouble);
	if (status == BW_OK)
		status = scan_records(&scan, &keys, &trouble);
	for (size_t i = 0; i < keys.count; i++)
		free(keys.items[i]);
	free(keys.items);
	if (status == BW_OK && !away)
		remember_scan(content, repository, failures);
	if (scan.listed) {
		*ret_size = scan.size;
		return BW_OK;
	}
	if (status == BW_OK)
		return error_set(error, BW_ABSENT, "no manifest of \"%s\" lists the blob",
				 repository);
	if (error)
		*error = trouble;
	return status;
}
