#include "backends/mem/mem_metadata_internal.h"

#include "server/base/str.h"

#include <string.h>

char *mem_digest_key(const char *repository, const struct digest *digest)
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

void mem_manifest_free(void *value)
{
	manifest_entry_release(value);
	free(value);
}

enum status mem_get_manifest(struct metadata_store *base, const char *repository,
			     const struct digest *digest, struct manifest_entry *ret,
			     struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = mem_digest_key(repository, digest);
	const struct manifest_entry *entry;

	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->manifests, key);
	if (entry) {
		*ret = *entry;
		ret->body = mem_copy_body(entry->body, entry->body_length);
	}
	pthread_mutex_unlock(&store->lock);
	free(key);
	return entry ? BW_OK : mem_absent("the manifest", error);
}

static void put_listed(struct mem_metadata_store *store, const char *repository,
		       const struct listed_content *listed, const struct digest *manifest)
{
	char *key = listed_key(repository, &listed->digest, manifest);

	sorted_table_put(&store->listed, key, xmemdup(&listed->size, sizeof(listed->size)));
	free(key);
}

static struct manifest_entry *copy_manifest(const struct manifest_entry *entry)
{
	struct manifest_entry *copy = xmemdup(entry, sizeof(*entry));

	copy->body = mem_copy_body(entry->body, entry->body_length);
	copy->subject = (struct digest){0};
	copy->referrer = NULL;
	return copy;
}

static void put_referrer(struct mem_metadata_store *store, const char *repository,
			 const struct manifest_entry *entry)
{
	char text[DIGEST_TEXT_SIZE];
	char *prefix;
	char *key;

	if (entry->subject.algorithm == DIGEST_NONE)
		return;
	digest_format(&entry->digest, text);
	prefix = mem_digest_key(repository, &entry->subject);
	key = xasprintf("%s%s", prefix, text);
	if (!sorted_table_get(&store->referrers, key))
		sorted_table_put(&store->referrers, key, xstrdup(entry->referrer));
	free(key);
	free(prefix);
}

enum status mem_put_manifest(struct metadata_store *base, const char *repository,
			     const struct manifest_entry *entry,
			     const struct listed_content *listed, size_t listed_count,
			     struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = manifest_entry_check(entry, error);
	char *key;

	for (size_t i = 0; i < listed_count && !status; i++)
		status = mem_in_range(listed[i].size, error);
	if (status)
		return status;
	key = mem_digest_key(repository, &entry->digest);
	pthread_mutex_lock(&store->lock);
	if (!sorted_table_get(&store->manifests, key))
		sorted_table_put(&store->manifests, key, copy_manifest(entry));
	put_referrer(store, repository, entry);
	for (size_t i = 0; i < listed_count; i++)
		put_listed(store, repository, &listed[i], &entry->digest);
	pthread_mutex_unlock(&store->lock);
	free(key);
	return BW_OK;
}

/* Rows of the repository whose key ends with the manifest. */
static void remove_rows_of(struct sorted_table *table, const char *repository,
			   const struct digest *manifest)
{
	char text[DIGEST_TEXT_SIZE];
	char *prefix = xasprintf("%s" JOIN, repository);
	char *suffix;
	size_t i = sorted_table_seek(table, prefix);

	digest_format(manifest, text);
	suffix = xasprintf(JOIN "%s", text);
	while (i < table->count && str_starts_with(table->rows[i].key, prefix)) {
		if (str_ends_with(table->rows[i].key, suffix))
			sorted_table_remove_at(table, i);
		else
			i++;
	}
	free(suffix);
	free(prefix);
}

enum status mem_remove_manifest(struct metadata_store *base, const char *repository,
				const struct digest *digest, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = mem_digest_key(repository, digest);

	(void)error;
	pthread_mutex_lock(&store->lock);
	sorted_table_remove(&store->manifests, key);
	sorted_table_remove(&store->used, key);
	remove_rows_of(&store->listed, repository, digest);
	remove_rows_of(&store->referrers, repository, digest);
	pthread_mutex_unlock(&store->lock);
	free(key);
	return BW_OK;
}

enum status mem_get_listed(struct metadata_store *base, const char *repository,
			   const struct digest *digest, uint64_t *ret_size, struct error *error)
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
	return found ? BW_OK : mem_absent("a listing of the blob", error);
}

enum status mem_put_link(struct metadata_store *base, const char *repository,
			 const struct listed_content *link, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = mem_in_range(link->size, error);

	if (status)
		return status;
	pthread_mutex_lock(&store->lock);
	put_listed(store, repository, link, NULL);
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

enum status mem_get_link(struct metadata_store *base, const char *repository,
			 const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = listed_key(repository, digest, NULL);
	const uint64_t *size;

	pthread_mutex_lock(&store->lock);
	size = sorted_table_get(&store->listed, key);
	if (size)
		*ret_size = *size;
	pthread_mutex_unlock(&store->lock);
	free(key);
	return size ? BW_OK : mem_absent("a link to the blob", error);
}

enum status mem_remove_link(struct metadata_store *base, const char *repository,
			    const struct digest *digest, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *key = listed_key(repository, digest, NULL);

	(void)error;
	pthread_mutex_lock(&store->lock);
	sorted_table_remove(&store->listed, key);
	pthread_mutex_unlock(&store->lock);
	free(key);
	return BW_OK;
}

enum status mem_list_links_of(struct metadata_store *base, const struct digest *digest,
			      unsigned limit, repository_list_fn fn, void *context,
			      struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *suffix = mem_digest_key("", digest);
	struct mem_names repositories = {0};

	(void)error;
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->listed.count && repositories.count < limit; i++) {
		const char *key = store->listed.rows[i].key;
		char *repository;

		if (!str_ends_with(key, suffix))
			continue;
		repository = xstrndup(key, strlen(key) - strlen(suffix));
		mem_names_add(&repositories, repository);
		free(repository);
	}
	pthread_mutex_unlock(&store->lock);
	free(suffix);
	return mem_names_tell(&repositories, fn, context);
}

/* ---- referrers ---- */

struct told_referrer {
	struct digest digest;
	char *descriptor;
};

/* As mem_names_after(), with the descriptors. */
static struct told_referrer *copy_referrers(const struct sorted_table *table, const char *prefix,
					    const char *after, size_t *ret_count)
{
	struct told_referrer *told = NULL;
	char *from = xasprintf("%s%s", prefix, after);
	size_t count = 0;

	for (size_t i = sorted_table_seek(table, from); i < table->count; i++) {
		const struct sorted_row *row = &table->rows[i];
		const char *text = row->key + strlen(prefix);

		if (!str_starts_with(row->key, prefix))
			break;
		if (strcmp(row->key, from) == 0)
			continue;
		told = xrealloc(told, (count + 1) * sizeof(*told));
		digest_parse(text, strlen(text), &told[count].digest);
		told[count++].descriptor = xstrdup(row->value);
	}
	free(from);
	*ret_count = count;
	return told;
}

enum status mem_list_referrers(struct metadata_store *base, const char *repository,
			       const struct digest *subject, const struct digest *after,
			       referrer_list_fn fn, void *context, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *prefix = mem_digest_key(repository, subject);
	char after_text[DIGEST_TEXT_SIZE] = "";
	struct told_referrer *told;
	size_t count;
	bool more = true;

	(void)error;
	if (after)
		digest_format(after, after_text);
	pthread_mutex_lock(&store->lock);
	told = copy_referrers(&store->referrers, prefix, after_text, &count);
	pthread_mutex_unlock(&store->lock);
	for (size_t i = 0; i < count; i++) {
		more = more && fn(context, &told[i].digest, told[i].descriptor);
		free(told[i].descriptor);
	}
	free(told);
	free(prefix);
	return BW_OK;
}
