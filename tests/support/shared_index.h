/*
 * An index in memory as several processes share it: it says what changed to everybody
 * who watches, can stop doing so, and can be lost beside them.
 */
#ifndef TESTS_SUPPORT_SHARED_INDEX_H
#define TESTS_SUPPORT_SHARED_INDEX_H

#include "backends/mem/mem_metadata_store.h"
#include "tests/support/support.h"

#define WATCHERS_MAX 4

/* One at a time; zeroed by shared_index_new. */
static struct shared_index {
	struct metadata_store_ops ops; /* as memory's, and these changes */
	const struct metadata_store_ops *memory;
	const struct metadata_watcher *watchers[WATCHERS_MAX];
	size_t watcher_count;
	bool deaf; /* nobody is told of anything */
	unsigned reads; /* of tags and manifests */
	void (*after_read)(void); /* called once */
} shared_index;

static inline void shared_tag_changed(const char *repository, const char *tag)
{
	for (size_t i = 0; i < shared_index.watcher_count && !shared_index.deaf; i++)
		shared_index.watchers[i]->tag_changed(shared_index.watchers[i]->context, repository,
						      tag);
}

static inline void shared_digest_changed(const char *repository, const struct digest *digest)
{
	for (size_t i = 0; i < shared_index.watcher_count && !shared_index.deaf; i++)
		shared_index.watchers[i]->digest_changed(shared_index.watchers[i]->context,
							 repository, digest);
}

/* It is heard again. */
static inline void shared_lost(void)
{
	for (size_t i = 0; i < shared_index.watcher_count; i++)
		shared_index.watchers[i]->lost(shared_index.watchers[i]->context);
}

static inline void shared_read(void)
{
	void (*after_read)(void) = shared_index.after_read;

	shared_index.reads++;
	shared_index.after_read = NULL;
	if (after_read)
		after_read();
}

static inline enum status shared_put_tag(struct metadata_store *store, const char *repository,
					 const char *tag, const struct tag_entry *entry,
					 struct error *error)
{
	enum status status = shared_index.memory->put_tag(store, repository, tag, entry, error);

	shared_tag_changed(repository, tag);
	return status;
}

static inline enum status shared_remove_tag(struct metadata_store *store, const char *repository,
					    const char *tag, uint64_t version, struct error *error)
{
	enum status status =
		shared_index.memory->remove_tag(store, repository, tag, version, error);

	shared_tag_changed(repository, tag);
	return status;
}

static inline enum status shared_get_tag(struct metadata_store *store, const char *repository,
					 const char *tag, struct tag_entry *ret,
					 struct error *error)
{
	enum status status = shared_index.memory->get_tag(store, repository, tag, ret, error);

	shared_read();
	return status;
}

static inline enum status shared_get_manifest(struct metadata_store *store, const char *repository,
					      const struct digest *digest,
					      struct manifest_entry *ret, struct error *error)
{
	enum status status =
		shared_index.memory->get_manifest(store, repository, digest, ret, error);

	shared_read();
	return status;
}

static inline enum status shared_remove_manifest(struct metadata_store *store,
						 const char *repository,
						 const struct digest *digest, struct error *error)
{
	enum status status = shared_index.memory->remove_manifest(store, repository, digest, error);

	shared_digest_changed(repository, digest);
	return status;
}

static inline void shared_watch(struct metadata_store *store,
				const struct metadata_watcher *watcher)
{
	(void)store;
	if (!watcher) {
		shared_index.watcher_count = 0;
		return;
	}
	assert_true(shared_index.watcher_count < WATCHERS_MAX);
	shared_index.watchers[shared_index.watcher_count++] = watcher;
}

static inline bool shared_is_watched(struct metadata_store *store)
{
	(void)store;
	return !shared_index.deaf;
}

/* An empty one. One that is there already is another epoch of the same index: who
 * watches goes on, and has not been told yet. */
static inline struct metadata_store *shared_index_epoch(void)
{
	struct metadata_store *store = mem_metadata_store_new();

	shared_index.memory = store->ops;
	shared_index.ops = *store->ops;
	shared_index.ops.put_tag = shared_put_tag;
	shared_index.ops.remove_tag = shared_remove_tag;
	shared_index.ops.get_tag = shared_get_tag;
	shared_index.ops.get_manifest = shared_get_manifest;
	shared_index.ops.remove_manifest = shared_remove_manifest;
	shared_index.ops.watch = shared_watch;
	shared_index.ops.is_watched = shared_is_watched;
	store->ops = &shared_index.ops;
	return store;
}

static inline struct metadata_store *shared_index_new(void)
{
	shared_index = (struct shared_index){0};
	return shared_index_epoch();
}

#endif
