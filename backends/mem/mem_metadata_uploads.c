#include "backends/mem/mem_metadata_internal.h"

#include "server/base/str.h"

#include <string.h>

/* ---- uploads ---- */

void mem_upload_free(void *value)
{
	upload_entry_release(value);
	free(value);
}

static struct upload_entry copy_upload(const struct upload_entry *entry)
{
	struct upload_entry copy = *entry;

	copy.repository = xstrdup(entry->repository);
	copy.caller = xstrdup(entry->caller);
	copy.state = mem_copy_body(entry->state, entry->state_length);
	return copy;
}

enum status mem_create_upload(struct metadata_store *base, const char *id,
			      const struct upload_entry *entry, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = upload_entry_check(entry, error);
	struct upload_entry copy;
	bool exists;

	if (status)
		return status;
	copy = copy_upload(entry);
	copy.revision = 1;
	pthread_mutex_lock(&store->lock);
	exists = sorted_table_get(&store->uploads, id) != NULL;
	if (!exists)
		sorted_table_put(&store->uploads, id, xmemdup(&copy, sizeof(copy)));
	pthread_mutex_unlock(&store->lock);
	if (!exists)
		return BW_OK;
	upload_entry_release(&copy);
	return error_set(error, BW_CONFLICT, "an upload of this id is in the index already");
}

enum status mem_get_upload(struct metadata_store *base, const char *id, struct upload_entry *ret,
			   struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	const struct upload_entry *entry;

	pthread_mutex_lock(&store->lock);
	entry = sorted_table_get(&store->uploads, id);
	if (entry)
		*ret = copy_upload(entry);
	pthread_mutex_unlock(&store->lock);
	return entry ? BW_OK : mem_absent("the upload", error);
}

static enum status advance(struct upload_entry *entry, const struct upload_entry *to,
			   struct error *error)
{
	if (!entry)
		return mem_absent("the upload", error);
	if (entry->revision != to->revision)
		return error_set(error, BW_CONFLICT, "the upload has another revision by now");
	free(entry->state);
	entry->state = mem_copy_body(to->state, to->state_length);
	entry->state_length = to->state_length;
	entry->touched_at = to->touched_at;
	entry->revision++;
	return BW_OK;
}

enum status mem_advance_upload(struct metadata_store *base, const char *id,
			       const struct upload_entry *entry, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	enum status status = upload_entry_check(entry, error);

	if (status)
		return status;
	pthread_mutex_lock(&store->lock);
	status = advance(sorted_table_get(&store->uploads, id), entry, error);
	pthread_mutex_unlock(&store->lock);
	return status;
}

enum status mem_remove_upload(struct metadata_store *base, const char *id, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	bool found;

	pthread_mutex_lock(&store->lock);
	found = sorted_table_get(&store->uploads, id) != NULL;
	sorted_table_remove(&store->uploads, id);
	pthread_mutex_unlock(&store->lock);
	return found ? BW_OK : mem_absent("the upload", error);
}

static int by_age(const void *a, const void *b)
{
	const struct sorted_row *left = a;
	const struct sorted_row *right = b;
	int64_t left_age = ((const struct upload_entry *)left->value)->touched_at;
	int64_t right_age = ((const struct upload_entry *)right->value)->touched_at;

	if (left_age != right_age)
		return left_age < right_age ? -1 : 1;
	return strcmp(left->key, right->key);
}

enum status mem_list_uploads(struct metadata_store *base, int64_t touched_before, unsigned limit,
			     upload_list_fn fn, void *context, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	struct mem_names ids = {0};
	struct sorted_row *rows;
	size_t count;

	(void)error;
	pthread_mutex_lock(&store->lock);
	count = store->uploads.count;
	rows = xcalloc(count + 1, sizeof(*rows));
	for (size_t i = 0; i < count; i++)
		rows[i] = store->uploads.rows[i];
	qsort(rows, count, sizeof(*rows), by_age);
	for (size_t i = 0; i < count && ids.count < limit; i++)
		if (((const struct upload_entry *)rows[i].value)->touched_at < touched_before)
			mem_names_add(&ids, rows[i].key);
	pthread_mutex_unlock(&store->lock);
	free(rows);
	return mem_names_tell(&ids, fn, context);
}

/* ---- the catalog ---- */

enum status mem_get_repository(struct metadata_store *base, const char *repository,
			       struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	bool found;

	pthread_mutex_lock(&store->lock);
	found = sorted_table_get(&store->repositories, repository) != NULL;
	pthread_mutex_unlock(&store->lock);
	return found ? BW_OK : mem_absent("the repository", error);
}

enum status mem_put_repository(struct metadata_store *base, const char *repository,
			       struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);

	(void)error;
	pthread_mutex_lock(&store->lock);
	sorted_table_put(&store->repositories, repository, xstrdup(""));
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

static bool has_rows(const struct sorted_table *table, const char *prefix)
{
	size_t i = sorted_table_seek(table, prefix);

	return i < table->count && str_starts_with(table->rows[i].key, prefix);
}

enum status mem_remove_repository(struct metadata_store *base, const char *repository,
				  struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	char *prefix = xasprintf("%s" JOIN, repository);
	bool in_use;

	pthread_mutex_lock(&store->lock);
	/* without a manifest every listing is a link */
	in_use = has_rows(&store->tags, prefix) || has_rows(&store->manifests, prefix) ||
		 has_rows(&store->listed, prefix);
	if (!in_use)
		sorted_table_remove(&store->repositories, repository);
	pthread_mutex_unlock(&store->lock);
	free(prefix);
	if (in_use)
		return error_set(error, BW_CONFLICT,
				 "the repository still has a tag, a manifest or a blob");
	return BW_OK;
}

enum status mem_list_repositories(struct metadata_store *base, const char *after, unsigned limit,
				  repository_list_fn fn, void *context, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	struct mem_names repositories = {0};

	(void)error;
	pthread_mutex_lock(&store->lock);
	mem_names_after(&repositories, &store->repositories, "", after, limit);
	pthread_mutex_unlock(&store->lock);
	return mem_names_tell(&repositories, fn, context);
}

/* ---- marks ---- */

enum status mem_get_mark(struct metadata_store *base, const char *name, int64_t *ret_value,
			 struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	const int64_t *value;

	pthread_mutex_lock(&store->lock);
	value = sorted_table_get(&store->marks, name);
	if (value)
		*ret_value = *value;
	pthread_mutex_unlock(&store->lock);
	return value ? BW_OK : mem_absent("the mark", error);
}

enum status mem_put_mark(struct metadata_store *base, const char *name, int64_t value,
			 struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);

	(void)error;
	pthread_mutex_lock(&store->lock);
	sorted_table_put(&store->marks, name, xmemdup(&value, sizeof(value)));
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}
