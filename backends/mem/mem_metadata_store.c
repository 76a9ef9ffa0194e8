#include "backends/mem/mem_metadata_store.h"

#include "backends/mem/sorted_table.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Keys are their parts joined by a byte that no name holds and that sorts
 * before every byte of one, so that a repository's rows lie together, tags in
 * byte order. A document's key, free text, comes last. */
#define JOIN "\x01"

struct mem_metadata_store {
	struct metadata_store base;
	pthread_mutex_t lock; /* covers the tables; nothing is called under it */
	struct sorted_table tags; /* repository, tag: struct tag_entry */
	struct sorted_table manifests; /* repository, digest: struct manifest_entry */
	struct sorted_table listed; /* repository, blob, manifest or "": size */
	struct sorted_table blobs; /* digest: size */
	struct sorted_table documents; /* repository, kind, key: struct document_entry */
};

static struct mem_metadata_store *mem_store(struct metadata_store *store)
{
	return container_of(store, struct mem_metadata_store, base);
}

static char *digest_key(const char *repository, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	return xasprintf("%s" JOIN "%s" JOIN, repository, text);
}

/* `manifest` NULL: a link. */
static char *listed_key(const char *repository, const struct digest *digest,
			const struct digest *manifest)
{
	char text[DIGEST_TEXT_SIZE];
	char manifest_text[DIGEST_TEXT_SIZE] = "";

	digest_format(digest, text);
	if (manifest)
		digest_format(manifest, manifest_text);
	return xasprintf("%s" JOIN "%s" JOIN "%s", repository, text, manifest_text);
}

static enum status in_range(uint64_t number, struct error *error)
{
	if (number > INT64_MAX)
		return error_set(error, BW_INVALID, "%llu is more than the index can hold",
				 (unsigned long long)number);
	return BW_OK;
}

static enum status absent(const char *what, struct error *error)
{
	return error_set(error, BW_ABSENT, "%s is not in the index", what);
}

static char *copy_body(const char *body, size_t length)
{
	char *copy = xmalloc(length + 1);

	if (length)
		memcpy(copy, body, length);
	copy[length] = '\0';
	return copy;
}

/* ---- tags ---- */

static enum status mem_get_tag(struct metadata_store *base, const char *repository, const char *tag,
			       struct tag_entry *ret, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = xasprintf("%s" JOIN "%s", repository, tag);
	const struct tag_entry *entry;

	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->tags, key);
	if (entry)
		*ret = *entry;
	pthread_mutex_unlock(&store->lock);
	free(key);
	return entry ? BW_OK : absent("the tag", error);
}

static enum status mem_put_tag(struct metadata_store *base, const char *repository, const char *tag,
			       const struct tag_entry *entry, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = in_range(entry->version, error);
	const struct tag_entry *old;
	char *key;
	bool newer;

	if (status)
		return status;
	key = xasprintf("%s" JOIN "%s", repository, tag);
	pthread_mutex_lock(&store->lock);
	old = sorted_table_get(&store->tags, key);
	newer = !old || old->version < entry->version;
	if (newer)
		sorted_table_put(&store->tags, key, xmemdup(entry, sizeof(*entry)));
	pthread_mutex_unlock(&store->lock);
	free(key);
	if (!newer)
		return error_set(error, BW_CONFLICT, "a version that is as new is in place");
	return BW_OK;
}

static enum status mem_touch_tag(struct metadata_store *base, const char *repository,
				 const char *tag, uint64_t version, int64_t validated_at,
				 struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = xasprintf("%s" JOIN "%s", repository, tag);
	struct tag_entry *entry;
	bool same;

	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->tags, key);
	same = entry && entry->version == version;
	if (same)
		entry->validated_at = validated_at;
	pthread_mutex_unlock(&store->lock);
	free(key);
	if (!same)
		return error_set(error, BW_CONFLICT, "the tag has another version by now");
	return BW_OK;
}

static enum status mem_remove_tag(struct metadata_store *base, const char *repository,
				  const char *tag, uint64_t version, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = xasprintf("%s" JOIN "%s", repository, tag);
	const struct tag_entry *entry;

	(void)error;
	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->tags, key);
	if (entry && entry->version <= version)
		sorted_table_remove(&store->tags, key);
	pthread_mutex_unlock(&store->lock);
	free(key);
	return BW_OK;
}

/* The names, copied, so that no callback runs under the lock. */
static char **tags_after(struct mem_metadata_store *store, const char *repository,
			 const char *after, unsigned limit, size_t *ret_count)
{
	char *prefix = xasprintf("%s" JOIN, repository);
	char *from = xasprintf("%s%s", prefix, after);
	char **tags = NULL;
	size_t count = 0;

	pthread_mutex_lock(&store->lock);
	for (size_t i = sorted_table_seek(&store->tags, from);
	     i < store->tags.count && count < limit; i++) {
		const char *key = store->tags.rows[i].key;

		if (!str_starts_with(key, prefix))
			break;
		if (strcmp(key, from) == 0)
			continue;
		tags = xrealloc(tags, (count + 1) * sizeof(*tags));
		tags[count++] = xstrdup(key + strlen(prefix));
	}
	pthread_mutex_unlock(&store->lock);
	free(from);
	free(prefix);
	*ret_count = count;
	return tags;
}

static enum status mem_list_tags(struct metadata_store *base, const char *repository,
				 const char *after, unsigned limit, tag_list_fn fn, void *context,
				 struct error *error)
{
	size_t count;
	char **tags = tags_after(mem_store(base), repository, after, limit, &count);
	bool more = true;

	(void)error;
	for (size_t i = 0; i < count; i++) {
		more = more && fn(context, tags[i]);
		free(tags[i]);
	}
	free(tags);
	return BW_OK;
}

/* ---- manifests and what they list ---- */

static void manifest_free(void *value)
{
	manifest_entry_release(value);
	free(value);
}

static enum status mem_get_manifest(struct metadata_store *base, const char *repository,
				    const struct digest *digest, struct manifest_entry *ret,
				    struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = digest_key(repository, digest);
	const struct manifest_entry *entry;

	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->manifests, key);
	if (entry) {
		*ret = *entry;
		ret->body = copy_body(entry->body, entry->body_length);
	}
	pthread_mutex_unlock(&store->lock);
	free(key);
	return entry ? BW_OK : absent("the manifest", error);
}

static void put_listed(struct mem_metadata_store *store, const char *repository,
		       const struct listed_content *listed, const struct digest *manifest)
{
	char *key = listed_key(repository, &listed->digest, manifest);

	sorted_table_put(&store->listed, key, xmemdup(&listed->size, sizeof(listed->size)));
	free(key);
}

static enum status mem_put_manifest(struct metadata_store *base, const char *repository,
				    const struct manifest_entry *entry,
				    const struct listed_content *listed, size_t listed_count,
				    struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	struct manifest_entry *copy;
	char *key;

	for (size_t i = 0; i < listed_count; i++)
		if (in_range(listed[i].size, error))
			return BW_INVALID;
	key = digest_key(repository, &entry->digest);
	pthread_mutex_lock(&store->lock);
	if (!sorted_table_get(&store->manifests, key)) {
		copy = xmemdup(entry, sizeof(*entry));
		copy->body = copy_body(entry->body, entry->body_length);
		sorted_table_put(&store->manifests, key, copy);
	}
	for (size_t i = 0; i < listed_count; i++)
		put_listed(store, repository, &listed[i], &entry->digest);
	pthread_mutex_unlock(&store->lock);
	free(key);
	return BW_OK;
}

static void remove_listed_by(struct sorted_table *listed, const char *repository,
			     const struct digest *manifest)
{
	char text[DIGEST_TEXT_SIZE];
	char *prefix = xasprintf("%s" JOIN, repository);
	char *suffix;
	size_t i = sorted_table_seek(listed, prefix);

	digest_format(manifest, text);
	suffix = xasprintf(JOIN "%s", text);
	while (i < listed->count && str_starts_with(listed->rows[i].key, prefix)) {
		if (str_ends_with(listed->rows[i].key, suffix))
			sorted_table_remove_at(listed, i);
		else
			i++;
	}
	free(suffix);
	free(prefix);
}

static enum status mem_remove_manifest(struct metadata_store *base, const char *repository,
				       const struct digest *digest, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = digest_key(repository, digest);

	(void)error;
	pthread_mutex_lock(&store->lock);
	sorted_table_remove(&store->manifests, key);
	remove_listed_by(&store->listed, repository, digest);
	pthread_mutex_unlock(&store->lock);
	free(key);
	return BW_OK;
}

static enum status mem_get_listed(struct metadata_store *base, const char *repository,
				  const struct digest *digest, uint64_t *ret_size,
				  struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *prefix = listed_key(repository, digest, NULL);
	bool found;
	size_t i;

	pthread_mutex_lock(&store->lock);
	i = sorted_table_seek(&store->listed, prefix);
	found = i < store->listed.count && str_starts_with(store->listed.rows[i].key, prefix);
	if (found)
		*ret_size = *(const uint64_t *)store->listed.rows[i].value;
	pthread_mutex_unlock(&store->lock);
	free(prefix);
	return found ? BW_OK : absent("a listing of the blob", error);
}

static enum status mem_put_link(struct metadata_store *base, const char *repository,
				const struct listed_content *link, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = in_range(link->size, error);

	if (status)
		return status;
	pthread_mutex_lock(&store->lock);
	put_listed(store, repository, link, NULL);
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

/* ---- blobs ---- */

static enum status mem_get_blob(struct metadata_store *base, const struct digest *digest,
				uint64_t *ret_size, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char key[DIGEST_TEXT_SIZE];
	const uint64_t *size;

	digest_format(digest, key);
	pthread_mutex_lock(&store->lock);
	size = sorted_table_get(&store->blobs, key);
	if (size)
		*ret_size = *size;
	pthread_mutex_unlock(&store->lock);
	return size ? BW_OK : absent("the blob", error);
}

static enum status mem_put_blob(struct metadata_store *base, const struct digest *digest,
				uint64_t size, int64_t stored_at, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = in_range(size, error);
	char key[DIGEST_TEXT_SIZE];

	(void)stored_at; /* nothing here asks for it again */
	if (status)
		return status;
	digest_format(digest, key);
	pthread_mutex_lock(&store->lock);
	sorted_table_put(&store->blobs, key, xmemdup(&size, sizeof(size)));
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

static enum status mem_remove_blob(struct metadata_store *base, const struct digest *digest,
				   struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char key[DIGEST_TEXT_SIZE];

	(void)error;
	digest_format(digest, key);
	pthread_mutex_lock(&store->lock);
	sorted_table_remove(&store->blobs, key);
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

/* ---- documents ---- */

static void document_free(void *value)
{
	document_entry_release(value);
	free(value);
}

static enum status mem_get_document(struct metadata_store *base, const char *repository,
				    const char *kind, const char *name, struct document_entry *ret,
				    struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = xasprintf("%s" JOIN "%s" JOIN "%s", repository, kind, name);
	const struct document_entry *entry;

	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->documents, key);
	if (entry) {
		*ret = *entry;
		ret->body = copy_body(entry->body, entry->body_length);
	}
	pthread_mutex_unlock(&store->lock);
	free(key);
	return entry ? BW_OK : absent("the document", error);
}

static enum status mem_put_document(struct metadata_store *base, const char *repository,
				    const char *kind, const char *name,
				    const struct document_entry *entry, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = xasprintf("%s" JOIN "%s" JOIN "%s", repository, kind, name);
	struct document_entry *copy = xmemdup(entry, sizeof(*entry));

	(void)error;
	copy->body = copy_body(entry->body, entry->body_length);
	pthread_mutex_lock(&store->lock);
	sorted_table_put(&store->documents, key, copy);
	pthread_mutex_unlock(&store->lock);
	free(key);
	return BW_OK;
}

static enum status mem_check(struct metadata_store *base, struct error *error)
{
	(void)base;
	(void)error;
	return BW_OK;
}

static void mem_free(struct metadata_store *base)
{
	struct mem_metadata_store *store = mem_store(base);

	sorted_table_release(&store->tags);
	sorted_table_release(&store->manifests);
	sorted_table_release(&store->listed);
	sorted_table_release(&store->blobs);
	sorted_table_release(&store->documents);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

static const struct metadata_store_ops mem_ops = {
	.name = "memory",
	.get_tag = mem_get_tag,
	.put_tag = mem_put_tag,
	.touch_tag = mem_touch_tag,
	.remove_tag = mem_remove_tag,
	.list_tags = mem_list_tags,
	.get_manifest = mem_get_manifest,
	.put_manifest = mem_put_manifest,
	.remove_manifest = mem_remove_manifest,
	.get_listed = mem_get_listed,
	.put_link = mem_put_link,
	.get_blob = mem_get_blob,
	.put_blob = mem_put_blob,
	.remove_blob = mem_remove_blob,
	.get_document = mem_get_document,
	.put_document = mem_put_document,
	.check = mem_check,
	.free = mem_free,
};

struct metadata_store *mem_metadata_store_new(void)
{
	struct mem_metadata_store *store = xcalloc(1, sizeof(*store));

	store->base.ops = &mem_ops;
	store->tags.free_value = free;
	store->manifests.free_value = manifest_free;
	store->listed.free_value = free;
	store->blobs.free_value = free;
	store->documents.free_value = document_free;
	pthread_mutex_init(&store->lock, NULL);
	return &store->base;
}
