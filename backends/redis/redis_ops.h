/* The operations of the Redis index and its coordination, by file; the contract of each
 * is in backends/metadata_store.h and backends/coordination.h. */
#ifndef BACKENDS_REDIS_REDIS_OPS_H
#define BACKENDS_REDIS_REDIS_OPS_H

#include "backends/redis/redis_call.h"

/* redis_tags.c */
enum status redis_get_tag(struct metadata_store *base, const char *repository, const char *tag,
			  struct tag_entry *ret, struct error *error);
enum status redis_put_tag(struct metadata_store *base, const char *repository, const char *tag,
			  const struct tag_entry *entry, struct error *error);
enum status redis_begin_tag(struct metadata_store *base, const char *repository, const char *tag,
			    uint64_t version, struct error *error);
enum status redis_next_version(struct metadata_store *base, const char *repository, const char *tag,
			       uint64_t at_least, uint64_t *ret_version, struct error *error);
enum status redis_touch_tag(struct metadata_store *base, const char *repository, const char *tag,
			    uint64_t version, int64_t validated_at, struct error *error);
enum status redis_remove_tag(struct metadata_store *base, const char *repository, const char *tag,
			     uint64_t version, struct error *error);
enum status redis_list_tags(struct metadata_store *base, const char *repository, const char *after,
			    unsigned limit, tag_list_fn fn, void *context, struct error *error);
enum status redis_list_tags_of(struct metadata_store *base, const char *repository,
			       const struct digest *digest, unsigned limit, tag_list_fn fn,
			       void *context, struct error *error);

/* redis_manifests.c */
enum status redis_get_manifest(struct metadata_store *base, const char *repository,
			       const struct digest *digest, struct manifest_entry *ret,
			       struct error *error);
enum status redis_put_manifest(struct metadata_store *base, const char *repository,
			       const struct manifest_entry *entry,
			       const struct listed_content *listed, size_t listed_count,
			       struct error *error);
enum status redis_remove_manifest(struct metadata_store *base, const char *repository,
				  const struct digest *digest, struct error *error);
enum status redis_list_referrers(struct metadata_store *base, const char *repository,
				 const struct digest *subject, const struct digest *after,
				 referrer_list_fn fn, void *context, struct error *error);

/* redis_links.c */
/* One command more of a call: the repository holds the digest. */
void redis_call_holder(struct redis_call *call, const char *repository,
		       const struct digest *digest);
enum status redis_get_listed(struct metadata_store *base, const char *repository,
			     const struct digest *digest, uint64_t *ret_size, struct error *error);
enum status redis_put_link(struct metadata_store *base, const char *repository,
			   const struct listed_content *link, struct error *error);
enum status redis_get_link(struct metadata_store *base, const char *repository,
			   const struct digest *digest, uint64_t *ret_size, struct error *error);
enum status redis_remove_link(struct metadata_store *base, const char *repository,
			      const struct digest *digest, struct error *error);
enum status redis_list_links_of(struct metadata_store *base, const struct digest *digest,
				unsigned limit, repository_list_fn fn, void *context,
				struct error *error);
enum status redis_list_holders_of(struct metadata_store *base, const struct digest *digest,
				  unsigned limit, repository_list_fn fn, void *context,
				  struct error *error);
/* Notes, after the fact, that the repository does not hold these any more; what it
 * holds again by then keeps its note. */
enum status redis_let_go(struct redis *redis, const char *repository, const struct digest *digests,
			 size_t count, struct error *error);

/* redis_blobs.c */
enum status redis_get_blob(struct metadata_store *base, const struct digest *digest,
			   uint64_t *ret_size, struct error *error);
enum status redis_put_blob(struct metadata_store *base, const struct digest *digest, uint64_t size,
			   int64_t stored_at, struct error *error);
enum status redis_remove_blob(struct metadata_store *base, const struct digest *digest,
			      struct error *error);
enum status redis_get_usage(struct metadata_store *base, struct usage *ret, struct error *error);
/* `what` as SCRIPT_CHANGE_BLOB has it; keeps `usage` with it. */
enum status redis_change_blob(struct redis *redis, const struct digest *digest, const char *what,
			      const char *argument, struct error *error);

/* redis_catalog.c */
enum status redis_get_repository(struct metadata_store *base, const char *repository,
				 struct error *error);
enum status redis_put_repository(struct metadata_store *base, const char *repository,
				 struct error *error);
enum status redis_remove_repository(struct metadata_store *base, const char *repository,
				    struct error *error);
enum status redis_list_repositories(struct metadata_store *base, const char *after, unsigned limit,
				    repository_list_fn fn, void *context, struct error *error);
enum status redis_get_mark(struct metadata_store *base, const char *name, int64_t *ret_value,
			   struct error *error);
enum status redis_put_mark(struct metadata_store *base, const char *name, int64_t value,
			   struct error *error);

/* redis_uploads.c */
enum status redis_create_upload(struct metadata_store *base, const char *id,
				const struct upload_entry *entry, struct error *error);
enum status redis_get_upload(struct metadata_store *base, const char *id, struct upload_entry *ret,
			     struct error *error);
enum status redis_advance_upload(struct metadata_store *base, const char *id,
				 const struct upload_entry *entry, struct error *error);
enum status redis_remove_upload(struct metadata_store *base, const char *id, struct error *error);
enum status redis_list_uploads(struct metadata_store *base, int64_t touched_before, unsigned limit,
			       upload_list_fn fn, void *context, struct error *error);

/* redis_use.c */
enum status redis_touch_manifests(struct metadata_store *base, const char *repository,
				  const struct digest *digests, size_t count, int64_t used_at,
				  struct error *error);
enum status redis_list_idle_manifests(struct metadata_store *base, int64_t used_before,
				      unsigned limit, idle_list_fn fn, void *context,
				      struct error *error);

/* redis_documents.c */
enum status redis_get_document(struct metadata_store *base, const char *repository,
			       const char *kind, const char *key, struct document_entry *ret,
			       struct error *error);
enum status redis_put_document(struct metadata_store *base, const char *repository,
			       const char *kind, const char *key,
			       const struct document_entry *entry, struct error *error);

/* redis_coordination.c; takes the caller's share of `redis`. */
struct coordination *redis_coordination_new(struct redis *redis);

/* redis_store.c: gives a share back; the last one frees. */
void redis_unref(struct redis *redis);

/* Bytes of a reply, NUL-terminated, to be freed. */
char *redis_copy_bytes(const redisReply *reply);

#endif
