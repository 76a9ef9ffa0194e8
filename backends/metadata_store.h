/*
 * The index: what is where, answered without walking the object store.
 *
 * It can be lost at any time and is then rebuilt from the object store, entry
 * by entry on a miss. It is therefore never the only place of anything that
 * was acknowledged, and its BW_ABSENT means only "not in the index".
 *
 * Every operation is one atomic step on keys of one repository or one digest,
 * so that it fits one SQLite transaction, one Redis command or one Lua script
 * on one hash slot. Three answers as in object_store.h. Times are wall-clock
 * milliseconds.
 *
 * Thread-safe throughout; implementations embed `struct metadata_store` first.
 * Strings handed in are copied; strings handed out are described where they
 * are. Repository names, tags and digests are valid ones (server/oci/name.h).
 * Versions and sizes are at most INT64_MAX; larger ones are BW_INVALID.
 */
#ifndef BACKENDS_METADATA_STORE_H
#define BACKENDS_METADATA_STORE_H

#include "server/base/digest.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEDIA_TYPE_MAX 256 /* with NUL; RFC 6838 allows 127 + 1 + 127 */

struct metadata_store;

/* What a tag points to. */
struct tag_entry {
	struct digest digest;
	uint64_t version; /* grows with every write of the tag; see put_tag */
	int64_t stored_at; /* when the tag began to point here */
	int64_t validated_at; /* when its upstream last said so; 0: never (rebuilt) */
};

/* A manifest as its repository holds it. Bodies are at most 4 MiB. */
struct manifest_entry {
	struct digest digest;
	char media_type[MEDIA_TYPE_MAX]; /* bound to the digest (CVE-2021-41190) */
	char *body; /* byte for byte; owned by the entry */
	size_t body_length;
	int64_t stored_at;
};
void manifest_entry_release(struct manifest_entry *entry); /* frees the body, zeroes */

/* A blob or manifest that a manifest lists: the grant to read it here. */
struct listed_content {
	struct digest digest;
	uint64_t size; /* bytes, as the descriptor says */
};

/* A small body asked of an upstream and kept for a while: a tag list, a
 * referrers index. */
struct document_entry {
	char *body; /* owned by the entry */
	size_t body_length;
	char media_type[MEDIA_TYPE_MAX];
	int64_t validated_at;
};
void document_entry_release(struct document_entry *entry);

/* Return false to stop. `tag` is valid during the call, which must not use the
 * store. */
typedef bool (*tag_list_fn)(void *context, const char *tag);

struct metadata_store_ops {
	const char *name; /* "sqlite", "memory", "redis" */

	/* --- tags --- */
	enum status (*get_tag)(struct metadata_store *store, const char *repository,
			       const char *tag, struct tag_entry *ret, struct error *error);
	/* Takes the entry only when its version is higher than the one in place;
	 * BW_CONFLICT otherwise, and nothing changes. This is what orders two
	 * writers, and what keeps a repair from undoing a newer write. */
	enum status (*put_tag)(struct metadata_store *store, const char *repository,
			       const char *tag, const struct tag_entry *entry, struct error *error);
	/* Sets validated_at if the tag still has `version`; BW_CONFLICT otherwise. */
	enum status (*touch_tag)(struct metadata_store *store, const char *repository,
				 const char *tag, uint64_t version, int64_t validated_at,
				 struct error *error);
	/* Removes the entry if its version is at most `version`. Absent is BW_OK. */
	enum status (*remove_tag)(struct metadata_store *store, const char *repository,
				  const char *tag, uint64_t version, struct error *error);
	/* Tags after `after` ("" for all) in byte order, at most `limit`. */
	enum status (*list_tags)(struct metadata_store *store, const char *repository,
				 const char *after, unsigned limit, tag_list_fn fn, void *context,
				 struct error *error);

	/* --- manifests --- */
	/* BW_OK: the caller releases *ret. */
	enum status (*get_manifest)(struct metadata_store *store, const char *repository,
				    const struct digest *digest, struct manifest_entry *ret,
				    struct error *error);
	/* Stores the manifest and, in the same step, what it lists. Putting it
	 * again is BW_OK and changes nothing a reader would notice. */
	enum status (*put_manifest)(struct metadata_store *store, const char *repository,
				    const struct manifest_entry *entry,
				    const struct listed_content *listed, size_t listed_count,
				    struct error *error);
	/* Removes the manifest and the listings that came with it alone. */
	enum status (*remove_manifest)(struct metadata_store *store, const char *repository,
				       const struct digest *digest, struct error *error);

	/* --- who may read which blob --- */
	/* Does this repository list the blob (through a manifest, or a link)?
	 * *ret_size is the listed size. */
	enum status (*get_listed)(struct metadata_store *store, const char *repository,
				  const struct digest *digest, uint64_t *ret_size,
				  struct error *error);
	/* Links a blob to the repository without a manifest: its upstream was
	 * asked and has it there. */
	enum status (*put_link)(struct metadata_store *store, const char *repository,
				const struct listed_content *link, struct error *error);

	/* --- blobs: are the bytes in the object store? --- */
	enum status (*get_blob)(struct metadata_store *store, const struct digest *digest,
				uint64_t *ret_size, struct error *error);
	enum status (*put_blob)(struct metadata_store *store, const struct digest *digest,
				uint64_t size, int64_t stored_at, struct error *error);
	enum status (*remove_blob)(struct metadata_store *store, const struct digest *digest,
				   struct error *error);

	/* --- documents: `kind` is a short word ("tags", "referrers"), `key` any
	 * text up to 512 bytes. BW_OK: the caller releases *ret. --- */
	enum status (*get_document)(struct metadata_store *store, const char *repository,
				    const char *kind, const char *key, struct document_entry *ret,
				    struct error *error);
	enum status (*put_document)(struct metadata_store *store, const char *repository,
				    const char *kind, const char *key,
				    const struct document_entry *entry, struct error *error);

	/* Can the index be read and written now? As object_store's check. */
	enum status (*check)(struct metadata_store *store, struct error *error);

	void (*free)(struct metadata_store *store);
};

struct metadata_store {
	const struct metadata_store_ops *ops;
};

/* ---- what callers use: thin wrappers, so that call sites read as verbs --- */

static inline enum status metadata_get_tag(struct metadata_store *store, const char *repository,
					   const char *tag, struct tag_entry *ret,
					   struct error *error)
{
	return store->ops->get_tag(store, repository, tag, ret, error);
}

static inline enum status metadata_put_tag(struct metadata_store *store, const char *repository,
					   const char *tag, const struct tag_entry *entry,
					   struct error *error)
{
	return store->ops->put_tag(store, repository, tag, entry, error);
}

static inline enum status metadata_touch_tag(struct metadata_store *store, const char *repository,
					     const char *tag, uint64_t version,
					     int64_t validated_at, struct error *error)
{
	return store->ops->touch_tag(store, repository, tag, version, validated_at, error);
}

static inline enum status metadata_remove_tag(struct metadata_store *store, const char *repository,
					      const char *tag, uint64_t version,
					      struct error *error)
{
	return store->ops->remove_tag(store, repository, tag, version, error);
}

static inline enum status metadata_list_tags(struct metadata_store *store, const char *repository,
					     const char *after, unsigned limit, tag_list_fn fn,
					     void *context, struct error *error)
{
	return store->ops->list_tags(store, repository, after, limit, fn, context, error);
}

static inline enum status metadata_get_manifest(struct metadata_store *store,
						const char *repository, const struct digest *digest,
						struct manifest_entry *ret, struct error *error)
{
	return store->ops->get_manifest(store, repository, digest, ret, error);
}

static inline enum status metadata_put_manifest(struct metadata_store *store,
						const char *repository,
						const struct manifest_entry *entry,
						const struct listed_content *listed,
						size_t listed_count, struct error *error)
{
	return store->ops->put_manifest(store, repository, entry, listed, listed_count, error);
}

static inline enum status metadata_remove_manifest(struct metadata_store *store,
						   const char *repository,
						   const struct digest *digest, struct error *error)
{
	return store->ops->remove_manifest(store, repository, digest, error);
}

static inline enum status metadata_get_listed(struct metadata_store *store, const char *repository,
					      const struct digest *digest, uint64_t *ret_size,
					      struct error *error)
{
	return store->ops->get_listed(store, repository, digest, ret_size, error);
}

static inline enum status metadata_put_link(struct metadata_store *store, const char *repository,
					    const struct listed_content *link, struct error *error)
{
	return store->ops->put_link(store, repository, link, error);
}

static inline enum status metadata_get_blob(struct metadata_store *store,
					    const struct digest *digest, uint64_t *ret_size,
					    struct error *error)
{
	return store->ops->get_blob(store, digest, ret_size, error);
}

static inline enum status metadata_put_blob(struct metadata_store *store,
					    const struct digest *digest, uint64_t size,
					    int64_t stored_at, struct error *error)
{
	return store->ops->put_blob(store, digest, size, stored_at, error);
}

static inline enum status metadata_remove_blob(struct metadata_store *store,
					       const struct digest *digest, struct error *error)
{
	return store->ops->remove_blob(store, digest, error);
}

static inline enum status metadata_get_document(struct metadata_store *store,
						const char *repository, const char *kind,
						const char *key, struct document_entry *ret,
						struct error *error)
{
	return store->ops->get_document(store, repository, kind, key, ret, error);
}

static inline enum status metadata_put_document(struct metadata_store *store,
						const char *repository, const char *kind,
						const char *key, const struct document_entry *entry,
						struct error *error)
{
	return store->ops->put_document(store, repository, kind, key, entry, error);
}

static inline enum status metadata_check(struct metadata_store *store, struct error *error)
{
	return store->ops->check(store, error);
}

static inline void metadata_store_free(struct metadata_store *store)
{
	if (store)
		store->ops->free(store);
}

#endif
