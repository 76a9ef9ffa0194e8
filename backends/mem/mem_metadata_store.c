#include "backends/mem/mem_metadata_internal.h"

#include "server/base/clock.h"
#include "server/base/str.h"

#include <string.h>

enum status mem_in_range(uint64_t number, struct error *error)
{
	if (number > INT64_MAX)
		return error_set(error, BW_INVALID, "%llu is more than the index can hold",
				 (unsigned long long)number);
	return BW_OK;
}

enum status mem_absent(const char *what, struct error *error)
{
	return error_set(error, BW_ABSENT, "%s is not in the index", what);
}

char *mem_copy_body(const char *body, size_t length)
{
	char *copy = xmalloc(length + 1);

	if (length)
		memcpy(copy, body, length);
	copy[length] = '\0';
	return copy;
}

/* ---- names ---- */

void mem_names_add(struct mem_names *names, const char *name)
{
	names->names = xrealloc(names->names, (names->count + 1) * sizeof(*names->names));
	names->names[names->count++] = xstrdup(name);
}

void mem_names_after(struct mem_names *names, const struct sorted_table *table, const char *prefix,
		     const char *after, unsigned limit)
{
	char *from = xasprintf("%s%s", prefix, after);

	for (size_t i = sorted_table_seek(table, from); i < table->count && names->count < limit;
	     i++) {
		const char *key = table->rows[i].key;

		if (!str_starts_with(key, prefix))
			break;
		if (strcmp(key, from) != 0)
			mem_names_add(names, key + strlen(prefix));
	}
	free(from);
}

enum status mem_names_tell(struct mem_names *names, bool (*fn)(void *context, const char *name),
			   void *context)
{
	bool more = true;

	for (size_t i = 0; i < names->count; i++) {
		more = more && fn(context, names->names[i]);
		free(names->names[i]);
	}
	free(names->names);
	*names = (struct mem_names){0};
	return BW_OK;
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
	return entry ? BW_OK : mem_absent("the tag", error);
}

/* Under the lock. */
static void remember_version(struct mem_metadata_store *store, const char *key, uint64_t version)
{
	const uint64_t *highest = sorted_table_get(&store->versions, key);

	if (!highest || *highest < version)
		sorted_table_put(&store->versions, key, xmemdup(&version, sizeof(version)));
}

static enum status mem_next_version(struct metadata_store *base, const char *repository,
				    const char *tag, uint64_t at_least, uint64_t *ret_version,
				    struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	uint64_t next = (uint64_t)clock_wall_ms() * 1000;
	enum status status = mem_in_range(at_least, error);
	const uint64_t *highest;
	char *key;

	if (status)
		return status;
	key = xasprintf("%s" JOIN "%s", repository, tag);
	if (next < at_least)
		next = at_least;
	pthread_mutex_lock(&store->lock);
	highest = sorted_table_get(&store->versions, key);
	if (highest && next <= *highest)
		next = *highest + 1;
	status = mem_in_range(next, error);
	if (!status)
		remember_version(store, key, next);
	pthread_mutex_unlock(&store->lock);
	free(key);
	if (!status)
		*ret_version = next;
	return status;
}

static enum status mem_put_tag(struct metadata_store *base, const char *repository, const char *tag,
			       const struct tag_entry *entry, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = mem_in_range(entry->version, error);
	const struct tag_entry *old;
	struct tag_entry taken = *entry;
	char *key;
	bool newer;

	if (status)
		return status;
	key = xasprintf("%s" JOIN "%s", repository, tag);
	pthread_mutex_lock(&store->lock);
	old = sorted_table_get(&store->tags, key);
	newer = !old || old->version < entry->version;
	taken.pending = old && old->pending > entry->version ? old->pending : 0;
	if (newer)
		sorted_table_put(&store->tags, key, xmemdup(&taken, sizeof(taken)));
	remember_version(store, key, taken.version);
	pthread_mutex_unlock(&store->lock);
	free(key);
	if (!newer)
		return error_set(error, BW_CONFLICT, "a version that is as new is in place");
	return BW_OK;
}

static enum status mem_begin_tag(struct metadata_store *base, const char *repository,
				 const char *tag, uint64_t version, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = mem_in_range(version, error);
	struct tag_entry *entry;
	char *key;

	if (status)
		return status;
	key = xasprintf("%s" JOIN "%s", repository, tag);
	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->tags, key);
	if (entry && entry->version < version && entry->pending < version)
		entry->pending = version;
	pthread_mutex_unlock(&store->lock);
	free(key);
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

static enum status mem_list_tags(struct metadata_store *base, const char *repository,
				 const char *after, unsigned limit, tag_list_fn fn, void *context,
				 struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *prefix = xasprintf("%s" JOIN, repository);
	struct mem_names tags = {0};

	(void)error;
	pthread_mutex_lock(&store->lock);
	mem_names_after(&tags, &store->tags, prefix, after, limit);
	pthread_mutex_unlock(&store->lock);
	free(prefix);
	return mem_names_tell(&tags, fn, context);
}

static enum status mem_list_tags_of(struct metadata_store *base, const char *repository,
				    const struct digest *digest, unsigned limit, tag_list_fn fn,
				    void *context, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *prefix = xasprintf("%s" JOIN, repository);
	struct mem_names tags = {0};

	(void)error;
	pthread_mutex_lock(&store->lock);
	for (size_t i = sorted_table_seek(&store->tags, prefix);
	     i < store->tags.count && tags.count < limit; i++) {
		const struct sorted_row *row = &store->tags.rows[i];

		if (!str_starts_with(row->key, prefix))
			break;
		if (digest_equals(&((const struct tag_entry *)row->value)->digest, digest))
			mem_names_add(&tags, row->key + strlen(prefix));
	}
	pthread_mutex_unlock(&store->lock);
	free(prefix);
	return mem_names_tell(&tags, fn, context);
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
	return size ? BW_OK : mem_absent("the blob", error);
}

static enum status mem_put_blob(struct metadata_store *base, const struct digest *digest,
				uint64_t size, int64_t stored_at, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = mem_in_range(size, error);
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
		ret->body = mem_copy_body(entry->body, entry->body_length);
	}
	pthread_mutex_unlock(&store->lock);
	free(key);
	return entry ? BW_OK : mem_absent("the document", error);
}

static enum status mem_put_document(struct metadata_store *base, const char *repository,
				    const char *kind, const char *name,
				    const struct document_entry *entry, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = xasprintf("%s" JOIN "%s" JOIN "%s", repository, kind, name);
	struct document_entry *copy = xmemdup(entry, sizeof(*entry));

	(void)error;
	copy->body = mem_copy_body(entry->body, entry->body_length);
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
	sorted_table_release(&store->versions);
	sorted_table_release(&store->manifests);
	sorted_table_release(&store->used);
	sorted_table_release(&store->referrers);
	sorted_table_release(&store->listed);
	sorted_table_release(&store->repositories);
	sorted_table_release(&store->uploads);
	sorted_table_release(&store->marks);
	sorted_table_release(&store->blobs);
	sorted_table_release(&store->documents);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

static const struct metadata_store_ops mem_ops = {
	.name = "memory",
	.get_tag = mem_get_tag,
	.put_tag = mem_put_tag,
	.next_version = mem_next_version,
	.begin_tag = mem_begin_tag,
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
	.list_tags_of = mem_list_tags_of,
	.list_referrers = mem_list_referrers,
	.touch_manifests = mem_touch_manifests,
	.list_idle_manifests = mem_list_idle_manifests,
	.list_holders_of = mem_list_holders_of,
	.get_usage = mem_get_usage,
	.get_link = mem_get_link,
	.remove_link = mem_remove_link,
	.list_links_of = mem_list_links_of,
	.get_repository = mem_get_repository,
	.put_repository = mem_put_repository,
	.remove_repository = mem_remove_repository,
	.list_repositories = mem_list_repositories,
	.create_upload = mem_create_upload,
	.get_upload = mem_get_upload,
	.advance_upload = mem_advance_upload,
	.remove_upload = mem_remove_upload,
	.list_uploads = mem_list_uploads,
	.get_mark = mem_get_mark,
	.put_mark = mem_put_mark,
	.check = mem_check,
	.free = mem_free,
};

struct metadata_store *mem_metadata_store_new(void)
{
	struct mem_metadata_store *store = xcalloc(1, sizeof(*store));

	store->base.ops = &mem_ops;
	store->tags.free_value = free;
	store->versions.free_value = free;
	store->used.free_value = free;
	store->manifests.free_value = mem_manifest_free;
	store->referrers.free_value = free;
	store->listed.free_value = free;
	store->repositories.free_value = free;
	store->uploads.free_value = mem_upload_free;
	store->marks.free_value = free;
	store->blobs.free_value = free;
	store->documents.free_value = document_free;
	pthread_mutex_init(&store->lock, NULL);
	return &store->base;
}
