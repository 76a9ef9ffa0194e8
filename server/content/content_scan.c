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

/* `scanned` holds marks, not values: one static byte stands for all of them. */
static char scanned_mark;

#define SCANNED_BYTES ((size_t)4 << 20)

static void *mark_ref(void *value)
{
	return value;
}

static void mark_unref(void *value)
{
	(void)value;
}

struct lru *content_scanned_new(void)
{
	static const struct lru_ops mark_ops = {.ref = mark_ref, .unref = mark_unref};

	return lru_new(SCANNED_BYTES, &mark_ops);
}

bool content_was_scanned(struct content *content, const char *repository)
{
	return lru_get(content->scanned, repository) != NULL;
}

void content_forget_scan(struct content *content, const char *repository)
{
	lru_remove(content->scanned, repository);
}

struct record_keys {
	char **items;
	size_t count;
	size_t capacity;
};

/* A repository with more manifests than this is left to `reindex`. */
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
		if (digest_equals(&manifest->blobs[i].digest, wanted)) {
			*ret_size = manifest->blobs[i].size;
			return true;
		}
	}
	return false;
}

/* Reads one record's manifest, which repairs the index on the way. */
static enum status scan_record(struct content *content, const char *repository, const char *key,
			       const struct digest *wanted, bool *ret_listed, uint64_t *ret_size,
			       struct error *error)
{
	struct manifest_entry entry = {0};
	struct manifest manifest = {0};
	struct digest digest;
	const char *name = strrchr(key, '/') + 1;
	enum status status;

	if (!digest_parse(name, strlen(name), &digest))
		return BW_OK; /* not a record of ours */
	status = content_get_manifest(content, repository, &digest, &entry, error);
	if (status != BW_OK)
		return status == BW_ABSENT ? BW_OK : status;
	if (wanted && !*ret_listed &&
	    manifest_parse(entry.body, entry.body_length, entry.media_type, &manifest, NULL) ==
		    BW_OK) {
		*ret_listed = listing_has(&manifest, wanted, ret_size);
		manifest_release(&manifest);
	}
	manifest_entry_release(&entry);
	return BW_OK;
}

enum status content_scan_manifests(struct content *content, const char *repository,
				   const struct digest *wanted, uint64_t *ret_size,
				   struct error *error)
{
	struct record_keys keys = {0};
	char prefix[KEY_SIZE];
	bool listed = false;
	enum status status;

	key_of_manifests(prefix, repository);
	status = object_list(content->objects, prefix, "", collect_key, &keys, error);
	for (size_t i = 0; status == BW_OK && i < keys.count; i++)
		status = scan_record(content, repository, keys.items[i], wanted, &listed, ret_size,
				     error);
	if (status == BW_OK)
		lru_put(content->scanned, repository, &scanned_mark, strlen(repository) + 64);
	if (listed)
		status = BW_OK;
	else if (status == BW_OK)
		status = error_set(error, BW_ABSENT, "no manifest of \"%s\" lists the blob",
				   repository);
	for (size_t i = 0; i < keys.count; i++)
		free(keys.items[i]);
	free(keys.items);
	return status;
}
