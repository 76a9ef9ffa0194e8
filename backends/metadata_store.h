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
	/* From get_tag: the highest version that begin_tag told of and that put_tag
	 * has not brought yet; 0: none. put_tag ignores it. */
	uint64_t pending;
};

/* A manifest as its repository holds it. Bodies are at most 4 MiB. */
struct manifest_entry {
	struct digest digest;
	char media_type[MEDIA_TYPE_MAX]; /* bound to the digest (CVE-2021-41190) */
	char *body; /* byte for byte; owned by the entry */
	size_t body_length;
	int64_t stored_at;
	/* Of a manifest with a subject: which one it refers to, and its descriptor
	 * as list_referrers gives it back (JSON; owned by the entry). For
	 * put_manifest; get_manifest leaves them zero. */
	struct digest subject; /* algorithm DIGEST_NONE: it has none */
	char *referrer;
};
void manifest_entry_release(struct manifest_entry *entry); /* frees what it owns, zeroes */

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

/* An upload in progress. Its bytes are parts in the object store; this says which
 * of them count, and how far the hash has got. */
#define UPLOAD_ID_SIZE 33 /* 32 of [0-9a-f] and NUL */
#define UPLOAD_STATE_MAX ((size_t)2 << 20)

struct upload_entry {
	char *repository; /* the only one it may be used for; owned, as the two below */
	char *caller; /* who began it, "" for anybody */
	char *state; /* the uploader's notes: parts, hash state, secret. Any bytes */
	size_t state_length; /* at most UPLOAD_STATE_MAX; more is BW_TOO_LARGE */
	uint64_t revision; /* 1 at first; one more with each advance_upload */
	int64_t started_at;
	int64_t touched_at; /* by create and advance; what ages an abandoned one */
};
void upload_entry_release(struct upload_entry *entry); /* frees what it owns, zeroes */

/* For implementations: what no index takes. A subject without its descriptor is
 * BW_INVALID, a state over UPLOAD_STATE_MAX BW_TOO_LARGE, a revision over INT64_MAX
 * BW_INVALID. */
enum status manifest_entry_check(const struct manifest_entry *entry, struct error *error);
enum status upload_entry_check(const struct upload_entry *entry, struct error *error);

/* All of these return false to stop. What they are given is valid during the
 * call, which must not use the store. */
typedef bool (*tag_list_fn)(void *context, const char *tag);
typedef bool (*repository_list_fn)(void *context, const char *repository);
typedef bool (*upload_list_fn)(void *context, const char *id);
/* `descriptor` is manifest_entry's `referrer`. */
typedef bool (*referrer_list_fn)(void *context, const struct digest *digest,
				 const char *descriptor);
/* A manifest that was last asked for at `used_at`. */
typedef bool (*idle_list_fn)(void *context, const char *repository, const struct digest *digest,
			     int64_t used_at);

/* Bytes of stored blobs; see get_usage. */
struct usage {
	uint64_t bytes; /* all of them */
	uint64_t linked_bytes; /* of these, what some repository links */
};

/* Of what another process has changed, for who keeps copies of rows in memory. Called
 * on a thread of the store's; must not call the store, and must not take long. */
struct metadata_watcher {
	/* Rows of this tag; of this manifest, or of a link or grant of that digest. */
	void (*tag_changed)(void *context, const char *repository, const char *tag);
	void (*digest_changed)(void *context, const char *repository, const struct digest *digest);
	/* Anything may have changed unheard. */
	void (*lost)(void *context);
	void *context;
};

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
	/* Notes that a write (or a removal) of that version begins, so that nobody
	 * takes the entry for the truth should it never end: see `pending`. A tag that
	 * is not there, or is as new, is left as it is. Unlike other changes, a power
	 * cut does not take this one, nor remove_link, remove_manifest and put_mark. */
	enum status (*begin_tag)(struct metadata_store *store, const char *repository,
				 const char *tag, uint64_t version, struct error *error);
	/* The version for a write of the tag that is about to begin: at least `at_least`,
	 * and higher than any that was given or put before, whichever process asked.
	 * Microseconds of the index's own clock, mostly. NULL where one process has the
	 * index to itself: it makes its own. */
	enum status (*next_version)(struct metadata_store *store, const char *repository,
				    const char *tag, uint64_t at_least, uint64_t *ret_version,
				    struct error *error);
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

	/* Tags that point to the digest, in byte order, at most `limit`. */
	enum status (*list_tags_of)(struct metadata_store *store, const char *repository,
				    const struct digest *digest, unsigned limit, tag_list_fn fn,
				    void *context, struct error *error);

	/* --- manifests --- */
	/* BW_OK: the caller releases *ret. */
	enum status (*get_manifest)(struct metadata_store *store, const char *repository,
				    const struct digest *digest, struct manifest_entry *ret,
				    struct error *error);
	/* Stores the manifest and, in the same step, what it lists and that it is a
	 * referrer. Putting it again is BW_OK and changes nothing a reader would
	 * notice, but adds what an earlier put did not know: its subject, listings. */
	enum status (*put_manifest)(struct metadata_store *store, const char *repository,
				    const struct manifest_entry *entry,
				    const struct listed_content *listed, size_t listed_count,
				    struct error *error);
	/* Removes the manifest, the listings that came with it alone, and it from the
	 * referrers of its subject. Absent is BW_OK. */
	enum status (*remove_manifest)(struct metadata_store *store, const char *repository,
				       const struct digest *digest, struct error *error);
	/* The manifests of the repository whose subject is `subject`, present here or
	 * not, ordered by digest text, those after `after` only (NULL: all). None is
	 * BW_OK. */
	enum status (*list_referrers)(struct metadata_store *store, const char *repository,
				      const struct digest *subject, const struct digest *after,
				      referrer_list_fn fn, void *context, struct error *error);

	/* --- use: when manifests of cached images were last asked for. Only what was
	 * touched is listed; remove_manifest takes it along. --- */
	/* Moves the time forward, never back. Those that the index does not have are
	 * passed over. */
	enum status (*touch_manifests)(struct metadata_store *store, const char *repository,
				       const struct digest *digests, size_t count, int64_t used_at,
				       struct error *error);
	/* Those last used before that time, the longest ago first, at most `limit`. */
	enum status (*list_idle_manifests)(struct metadata_store *store, int64_t used_before,
					   unsigned limit, idle_list_fn fn, void *context,
					   struct error *error);
	/* Repositories with a manifest that lists the digest, or a link to it, or it as a
	 * manifest of theirs, at most `limit`. */
	enum status (*list_holders_of)(struct metadata_store *store, const struct digest *digest,
				       unsigned limit, repository_list_fn fn, void *context,
				       struct error *error);
	/* Bytes of all blobs that the index knows to be stored, and of those that a
	 * repository links: what was pushed. May be a little off where keeping it
	 * exact would need a step over several keys. */
	enum status (*get_usage)(struct metadata_store *store, struct usage *ret,
				 struct error *error);

	/* --- who may read which blob --- */
	/* Does this repository list the blob (through a manifest, or a link)?
	 * *ret_size is the listed size. */
	enum status (*get_listed)(struct metadata_store *store, const char *repository,
				  const struct digest *digest, uint64_t *ret_size,
				  struct error *error);
	/* Links a blob to the repository without a manifest: it was pushed or mounted
	 * here, or this repository's upstream was asked and has it. */
	enum status (*put_link)(struct metadata_store *store, const char *repository,
				const struct listed_content *link, struct error *error);
	/* Is there a link? What manifests list does not count. */
	enum status (*get_link)(struct metadata_store *store, const char *repository,
				const struct digest *digest, uint64_t *ret_size,
				struct error *error);
	/* Absent is BW_OK. What manifests list stays listed. */
	enum status (*remove_link)(struct metadata_store *store, const char *repository,
				   const struct digest *digest, struct error *error);
	/* Repositories with a link to the blob, in byte order, at most `limit`. */
	enum status (*list_links_of)(struct metadata_store *store, const struct digest *digest,
				     unsigned limit, repository_list_fn fn, void *context,
				     struct error *error);

	/* --- the catalog: which repositories there are. Nothing else of this table
	 * adds to it or takes from it. --- */
	enum status (*get_repository)(struct metadata_store *store, const char *repository,
				      struct error *error);
	/* Putting it again is BW_OK. */
	enum status (*put_repository)(struct metadata_store *store, const char *repository,
				      struct error *error);
	/* BW_CONFLICT, and nothing changes, while the index has a tag, a manifest or
	 * a link of it, in the catalog or not. Absent is BW_OK. */
	enum status (*remove_repository)(struct metadata_store *store, const char *repository,
					 struct error *error);
	/* Repositories after `after` ("" for all) in byte order, at most `limit`. */
	enum status (*list_repositories)(struct metadata_store *store, const char *after,
					 unsigned limit, repository_list_fn fn, void *context,
					 struct error *error);

	/* --- uploads in progress --- */
	/* BW_CONFLICT when the id exists. entry->revision is taken for 1. */
	enum status (*create_upload)(struct metadata_store *store, const char *id,
				     const struct upload_entry *entry, struct error *error);
	/* BW_OK: the caller releases *ret. */
	enum status (*get_upload)(struct metadata_store *store, const char *id,
				  struct upload_entry *ret, struct error *error);
	/* Replaces `state` and touched_at, and adds one to the revision, if that is
	 * entry->revision now; BW_CONFLICT otherwise, BW_ABSENT when it is gone, and
	 * nothing changes. Of several who read one revision exactly one gets through. */
	enum status (*advance_upload)(struct metadata_store *store, const char *id,
				      const struct upload_entry *entry, struct error *error);
	/* BW_ABSENT when it is not there: of several exactly one gets BW_OK. */
	enum status (*remove_upload)(struct metadata_store *store, const char *id,
				     struct error *error);
	/* Uploads touched before that time, at most `limit`, the oldest first, of one
	 * millisecond by id. */
	enum status (*list_uploads)(struct metadata_store *store, int64_t touched_before,
				    unsigned limit, upload_list_fn fn, void *context,
				    struct error *error);

	/* --- marks: what the index knows about itself; `name` is a short word --- */
	enum status (*get_mark)(struct metadata_store *store, const char *name, int64_t *ret_value,
				struct error *error);
	enum status (*put_mark)(struct metadata_store *store, const char *name, int64_t value,
				struct error *error);

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

	/* --- copies in memory --- */
	/* From now on `watcher` hears of changes, until it is replaced or (NULL) taken
	 * back; when this returns the old one is not called any more. Changes of our own
	 * may be told of as well. NULL where one process has the index to itself. */
	void (*watch)(struct metadata_store *store, const struct metadata_watcher *watcher);
	/* Would the watcher hear of a change now, and has it heard of all that were
	 * acknowledged before this call, but for what the network still carries? To be
	 * asked before a copy is looked up. May wait for the watcher for a moment. While
	 * not, a copy is as good as its age. NULL as for `watch`: always. */
	bool (*is_watched)(struct metadata_store *store);

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

static inline enum status metadata_begin_tag(struct metadata_store *store, const char *repository,
					     const char *tag, uint64_t version, struct error *error)
{
	return store->ops->begin_tag(store, repository, tag, version, error);
}

/* Does the index give versions? Else its one process makes them. */
static inline bool metadata_gives_versions(struct metadata_store *store)
{
	return store->ops->next_version != NULL;
}

static inline enum status metadata_next_version(struct metadata_store *store,
						const char *repository, const char *tag,
						uint64_t at_least, uint64_t *ret_version,
						struct error *error)
{
	return store->ops->next_version(store, repository, tag, at_least, ret_version, error);
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

static inline enum status metadata_list_tags_of(struct metadata_store *store,
						const char *repository, const struct digest *digest,
						unsigned limit, tag_list_fn fn, void *context,
						struct error *error)
{
	return store->ops->list_tags_of(store, repository, digest, limit, fn, context, error);
}

static inline enum status metadata_list_referrers(struct metadata_store *store,
						  const char *repository,
						  const struct digest *subject,
						  const struct digest *after, referrer_list_fn fn,
						  void *context, struct error *error)
{
	return store->ops->list_referrers(store, repository, subject, after, fn, context, error);
}

static inline enum status metadata_get_link(struct metadata_store *store, const char *repository,
					    const struct digest *digest, uint64_t *ret_size,
					    struct error *error)
{
	return store->ops->get_link(store, repository, digest, ret_size, error);
}

static inline enum status metadata_remove_link(struct metadata_store *store, const char *repository,
					       const struct digest *digest, struct error *error)
{
	return store->ops->remove_link(store, repository, digest, error);
}

static inline enum status metadata_list_links_of(struct metadata_store *store,
						 const struct digest *digest, unsigned limit,
						 repository_list_fn fn, void *context,
						 struct error *error)
{
	return store->ops->list_links_of(store, digest, limit, fn, context, error);
}

static inline enum status metadata_get_repository(struct metadata_store *store,
						  const char *repository, struct error *error)
{
	return store->ops->get_repository(store, repository, error);
}

static inline enum status metadata_put_repository(struct metadata_store *store,
						  const char *repository, struct error *error)
{
	return store->ops->put_repository(store, repository, error);
}

static inline enum status metadata_remove_repository(struct metadata_store *store,
						     const char *repository, struct error *error)
{
	return store->ops->remove_repository(store, repository, error);
}

static inline enum status metadata_list_repositories(struct metadata_store *store,
						     const char *after, unsigned limit,
						     repository_list_fn fn, void *context,
						     struct error *error)
{
	return store->ops->list_repositories(store, after, limit, fn, context, error);
}

static inline enum status metadata_create_upload(struct metadata_store *store, const char *id,
						 const struct upload_entry *entry,
						 struct error *error)
{
	return store->ops->create_upload(store, id, entry, error);
}

static inline enum status metadata_get_upload(struct metadata_store *store, const char *id,
					      struct upload_entry *ret, struct error *error)
{
	return store->ops->get_upload(store, id, ret, error);
}

static inline enum status metadata_advance_upload(struct metadata_store *store, const char *id,
						  const struct upload_entry *entry,
						  struct error *error)
{
	return store->ops->advance_upload(store, id, entry, error);
}

static inline enum status metadata_remove_upload(struct metadata_store *store, const char *id,
						 struct error *error)
{
	return store->ops->remove_upload(store, id, error);
}

static inline enum status metadata_list_uploads(struct metadata_store *store,
						int64_t touched_before, unsigned limit,
						upload_list_fn fn, void *context,
						struct error *error)
{
	return store->ops->list_uploads(store, touched_before, limit, fn, context, error);
}

static inline enum status metadata_get_mark(struct metadata_store *store, const char *name,
					    int64_t *ret_value, struct error *error)
{
	return store->ops->get_mark(store, name, ret_value, error);
}

static inline enum status metadata_put_mark(struct metadata_store *store, const char *name,
					    int64_t value, struct error *error)
{
	return store->ops->put_mark(store, name, value, error);
}

static inline enum status metadata_touch_manifests(struct metadata_store *store,
						   const char *repository,
						   const struct digest *digests, size_t count,
						   int64_t used_at, struct error *error)
{
	return store->ops->touch_manifests(store, repository, digests, count, used_at, error);
}

static inline enum status metadata_list_idle_manifests(struct metadata_store *store,
						       int64_t used_before, unsigned limit,
						       idle_list_fn fn, void *context,
						       struct error *error)
{
	return store->ops->list_idle_manifests(store, used_before, limit, fn, context, error);
}

static inline enum status metadata_list_holders_of(struct metadata_store *store,
						   const struct digest *digest, unsigned limit,
						   repository_list_fn fn, void *context,
						   struct error *error)
{
	return store->ops->list_holders_of(store, digest, limit, fn, context, error);
}

static inline enum status metadata_get_usage(struct metadata_store *store, struct usage *ret,
					     struct error *error)
{
	return store->ops->get_usage(store, ret, error);
}

static inline void metadata_watch(struct metadata_store *store,
				  const struct metadata_watcher *watcher)
{
	if (store->ops->watch)
		store->ops->watch(store, watcher);
}

static inline bool metadata_is_watched(struct metadata_store *store)
{
	return !store->ops->is_watched || store->ops->is_watched(store);
}

/* Do several processes have this index? It may then be lost, and begun anew, beside
 * any of them. */
static inline bool metadata_is_shared(struct metadata_store *store)
{
	return store->ops->is_watched != NULL;
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
