/* What the files of the index in memory share: its tables, and their keys. */
#ifndef BACKENDS_MEM_MEM_METADATA_INTERNAL_H
#define BACKENDS_MEM_MEM_METADATA_INTERNAL_H

#include "backends/mem/mem_metadata_store.h"
#include "backends/mem/sorted_table.h"
#include "server/base/memory.h"

#include <pthread.h>
#include <stdlib.h>

/* Keys are their parts joined by a byte that no name holds and that sorts
 * before every byte of one, so that a repository's rows lie together, tags in
 * byte order. A document's key, free text, comes last. */
#define JOIN "\x01"

struct mem_metadata_store {
	struct metadata_store base;
	pthread_mutex_t lock; /* covers the tables; nothing is called under it */
	struct sorted_table tags; /* repository, tag: struct tag_entry */
	struct sorted_table versions; /* repository, tag: the highest one given or put */
	struct sorted_table manifests; /* repository, digest: struct manifest_entry */
	struct sorted_table referrers; /* repository, subject, digest: the descriptor */
	struct sorted_table listed; /* repository, blob, manifest or "": size */
	struct sorted_table used; /* repository, digest: int64_t, when */
	struct sorted_table repositories; /* repository: nothing */
	struct sorted_table uploads; /* id: struct upload_entry */
	struct sorted_table marks; /* name: int64_t */
	struct sorted_table blobs; /* digest: size */
	struct sorted_table documents; /* repository, kind, key: struct document_entry */
};

static inline struct mem_metadata_store *mem_store(struct metadata_store *store)
{
	return container_of(store, struct mem_metadata_store, base);
}

enum status mem_in_range(uint64_t number, struct error *error);
enum status mem_absent(const char *what, struct error *error);
char *mem_digest_key(const char *repository, const struct digest *digest); /* owned */
char *mem_copy_body(const char *body, size_t length); /* NUL-terminated */

/* Names copied under the lock, so that no callback runs there. */
struct mem_names {
	char **names;
	size_t count;
};
void mem_names_add(struct mem_names *names, const char *name);
/* Adds what follows `prefix` in the keys that begin with it and come after
 * `prefix` + `after`. */
void mem_names_after(struct mem_names *names, const struct sorted_table *table, const char *prefix,
		     const char *after, unsigned limit);
/* Gives them to fn until it stops, and frees them. BW_OK. */
enum status mem_names_tell(struct mem_names *names, bool (*fn)(void *context, const char *name),
			   void *context);

/* ---- the operations, by file ---- */

/* mem_metadata_manifests.c: manifests, referrers, and who may read which blob */
void mem_manifest_free(void *value);
enum status mem_get_manifest(struct metadata_store *base, const char *repository,
			     const struct digest *digest, struct manifest_entry *ret,
			     struct error *error);
enum status mem_put_manifest(struct metadata_store *base, const char *repository,
			     const struct manifest_entry *entry,
			     const struct listed_content *listed, size_t listed_count,
			     struct error *error);
enum status mem_remove_manifest(struct metadata_store *base, const char *repository,
				const struct digest *digest, struct error *error);
enum status mem_list_referrers(struct metadata_store *base, const char *repository,
			       const struct digest *subject, const struct digest *after,
			       referrer_list_fn fn, void *context, struct error *error);
enum status mem_get_listed(struct metadata_store *base, const char *repository,
			   const struct digest *digest, uint64_t *ret_size, struct error *error);
enum status mem_put_link(struct metadata_store *base, const char *repository,
			 const struct listed_content *link, struct error *error);
enum status mem_get_link(struct metadata_store *base, const char *repository,
			 const struct digest *digest, uint64_t *ret_size, struct error *error);
enum status mem_remove_link(struct metadata_store *base, const char *repository,
			    const struct digest *digest, struct error *error);
enum status mem_list_links_of(struct metadata_store *base, const struct digest *digest,
			      unsigned limit, repository_list_fn fn, void *context,
			      struct error *error);

/* mem_metadata_use.c: what was last used when, who holds a digest, how much there is */
enum status mem_touch_manifests(struct metadata_store *base, const char *repository,
				const struct digest *digests, size_t count, int64_t used_at,
				struct error *error);
enum status mem_list_idle_manifests(struct metadata_store *base, int64_t used_before,
				    unsigned limit, idle_list_fn fn, void *context,
				    struct error *error);
enum status mem_list_holders_of(struct metadata_store *base, const struct digest *digest,
				unsigned limit, repository_list_fn fn, void *context,
				struct error *error);
enum status mem_get_usage(struct metadata_store *base, struct usage *ret, struct error *error);

/* mem_metadata_uploads.c: uploads, the catalog, marks */
void mem_upload_free(void *value);
enum status mem_create_upload(struct metadata_store *base, const char *id,
			      const struct upload_entry *entry, struct error *error);
enum status mem_get_upload(struct metadata_store *base, const char *id, struct upload_entry *ret,
			   struct error *error);
enum status mem_advance_upload(struct metadata_store *base, const char *id,
			       const struct upload_entry *entry, struct error *error);
enum status mem_remove_upload(struct metadata_store *base, const char *id, struct error *error);
enum status mem_list_uploads(struct metadata_store *base, int64_t touched_before, unsigned limit,
			     upload_list_fn fn, void *context, struct error *error);
enum status mem_get_repository(struct metadata_store *base, const char *repository,
			       struct error *error);
enum status mem_put_repository(struct metadata_store *base, const char *repository,
			       struct error *error);
enum status mem_remove_repository(struct metadata_store *base, const char *repository,
				  struct error *error);
enum status mem_list_repositories(struct metadata_store *base, const char *after, unsigned limit,
				  repository_list_fn fn, void *context, struct error *error);
enum status mem_get_mark(struct metadata_store *base, const char *name, int64_t *ret_value,
			 struct error *error);
enum status mem_put_mark(struct metadata_store *base, const char *name, int64_t value,
			 struct error *error);

#endif
