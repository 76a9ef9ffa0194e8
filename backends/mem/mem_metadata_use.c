#include "backends/mem/mem_metadata_internal.h"

#include "server/base/str.h"

#include <string.h>

enum status mem_touch_manifests(struct metadata_store *base, const char *repository,
				const struct digest *digests, size_t count, int64_t used_at,
				struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);

	(void)error;
	for (size_t i = 0; i < count; i++) {
		char *key = mem_digest_key(repository, &digests[i]);
		const int64_t *before;

		pthread_mutex_lock(&store->lock);
		before = sorted_table_get(&store->used, key);
		if (sorted_table_get(&store->manifests, key) && (!before || *before < used_at))
			sorted_table_put(&store->used, key, xmemdup(&used_at, sizeof(used_at)));
		pthread_mutex_unlock(&store->lock);
		free(key);
	}
	return BW_OK;
}

struct idle {
	char *repository;
	struct digest digest;
	int64_t used_at;
};

/* Ties in the order of the table, which is that of `place`. */
static int compare_idle(const void *a, const void *b)
{
	const struct idle *left = a;
	const struct idle *right = b;
	int names;

	if (left->used_at != right->used_at)
		return left->used_at < right->used_at ? -1 : 1;
	names = strcmp(left->repository, right->repository);
	return names ? names
		     : memcmp(left->digest.bytes, right->digest.bytes, sizeof(left->digest.bytes));
}

/* Under the lock. */
static struct idle *copy_idle(const struct sorted_table *used, int64_t used_before,
			      size_t *ret_count)
{
	struct idle *idle = xcalloc(used->count + 1, sizeof(*idle));
	size_t count = 0;

	for (size_t i = 0; i < used->count; i++) {
		const struct sorted_row *row = &used->rows[i];
		const char *name = strchr(row->key, JOIN[0]);

		if (*(const int64_t *)row->value >= used_before)
			continue;
		idle[count].used_at = *(const int64_t *)row->value;
		idle[count].repository = xstrndup(row->key, (size_t)(name - row->key));
		digest_parse(name + 1, strlen(name + 1) - 1, &idle[count++].digest);
	}
	*ret_count = count;
	return idle;
}

enum status mem_list_idle_manifests(struct metadata_store *base, int64_t used_before,
				    unsigned limit, idle_list_fn fn, void *context,
				    struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	struct idle *idle;
	size_t count;
	bool more = true;

	(void)error;
	pthread_mutex_lock(&store->lock);
	idle = copy_idle(&store->used, used_before, &count);
	pthread_mutex_unlock(&store->lock);
	qsort(idle, count, sizeof(*idle), compare_idle);
	for (size_t i = 0; i < count; i++) {
		more = more && i < limit &&
		       fn(context, idle[i].repository, &idle[i].digest, idle[i].used_at);
		free(idle[i].repository);
	}
	free(idle);
	return BW_OK;
}

/* The repositories of rows whose key goes on with the digest; rows of one repository
 * lie together. */
static void add_holders(struct mem_names *names, const struct sorted_table *table,
			const struct digest *digest)
{
	char *middle = mem_digest_key("", digest);

	for (size_t i = 0; i < table->count; i++) {
		const char *key = table->rows[i].key;
		const char *rest = strchr(key, JOIN[0]);
		char *repository;
		bool known = false;

		if (!rest || !str_starts_with(rest, middle))
			continue;
		repository = xstrndup(key, (size_t)(rest - key));
		for (size_t n = 0; n < names->count && !known; n++)
			known = strcmp(names->names[n], repository) == 0;
		if (!known)
			mem_names_add(names, repository);
		free(repository);
	}
	free(middle);
}

enum status mem_list_holders_of(struct metadata_store *base, const struct digest *digest,
				unsigned limit, repository_list_fn fn, void *context,
				struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	struct mem_names repositories = {0};

	(void)error;
	pthread_mutex_lock(&store->lock);
	add_holders(&repositories, &store->listed, digest);
	add_holders(&repositories, &store->manifests, digest);
	pthread_mutex_unlock(&store->lock);
	while (repositories.count > limit)
		free(repositories.names[--repositories.count]);
	return mem_names_tell(&repositories, fn, context);
}

/* Under the lock. Links are the rows whose key ends with no manifest. */
static bool is_linked(const struct sorted_table *listed, const char *digest)
{
	char *suffix = xasprintf(JOIN "%s" JOIN, digest);
	bool found = false;

	for (size_t i = 0; i < listed->count && !found; i++)
		found = str_ends_with(listed->rows[i].key, suffix);
	free(suffix);
	return found;
}

enum status mem_get_usage(struct metadata_store *base, struct usage *ret, struct error *error)
{
	struct mem_metadata_store *store = mem_store(base);
	struct usage usage = {0};

	(void)error;
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->blobs.count; i++) {
		uint64_t size = *(const uint64_t *)store->blobs.rows[i].value;

		usage.bytes += size;
		if (is_linked(&store->listed, store->blobs.rows[i].key))
			usage.linked_bytes += size;
	}
	pthread_mutex_unlock(&store->lock);
	*ret = usage;
	return BW_OK;
}
