/*
 * What is stored: blobs, manifests and tags, over an object store that holds
 * the truth and a metadata store that indexes it.
 *
 * Layout in the object store (the same on disk and in S3):
 *   blobs/<algorithm>/<ab>/<hex>             every blob and manifest body, once
 *   repositories/<name>/_manifests/<digest>  {"mediaType","size","storedAt"}
 *   repositories/<name>/_tags/<tag>/<v>      {"digest","storedAt"}; <v> is the
 *                                            version, inverted, so that the
 *                                            newest is listed first
 *   repositories/<name>/_layers/<digest>     {"size","storedAt"}: a blob that was
 *                                            pushed or mounted here
 *   repositories/<name>/_referrers/<subject>/<digest>  {"storedAt"}: this
 *                                            manifest has that subject
 * A cached image's repository is named by its registry:
 * "docker.io/library/alpine". Below, `repository` is always this full name.
 *
 * Who may read a blob through a repository: of a cached one, whoever may read it,
 * when a manifest there lists the blob or the index has a link
 * (content_get_listed); of a local one, when it has the link of a push or a
 * mount (content_get_link), whatever manifests list. A link implies the bytes:
 * it counts only once they are stored, and while it is there nothing removes
 * them (references.h).
 *
 * Order: a write goes to the object store first and to the index last; a removal
 * goes out of the index first, and out of it again when the store has done it
 * (content_links.c). A reader asks the index first. When the index does not have
 * a thing or cannot tell, the object store is asked, and what it has repairs the
 * index. A failure of the index alone never makes a stored thing unreadable, and
 * a failure of the object store is never reported as absence.
 *
 * Two writers of one tag: each write carries a version from content_next_version(),
 * which is higher than any that a write carried whose end was known when it was asked
 * for, in any process (content_versions.c). Every version is an object of its own, so
 * a stalled older write lands beside the newer one and loses to it by its name; the
 * index refuses the lower version; a repair puts the version it found and so loses to
 * any newer write as well. Removing a tag writes a newer version that says "removed",
 * which the index does not remember: after each put into the index the store is looked
 * at once more (content_tags.c).
 *
 * What a request costs however much is stored: the index is asked by key. Where it
 * does not know, the object store is, by key or by a listing that begins where the thing
 * would be: of one tag's versions, of the collections that run, and of one repository up
 * to its first link or manifest. Only an index that is not complete makes somebody read
 * more, and no more than one repository: its manifests' records, for a blob's grant (once
 * a minute, 10,000 at most), or its tags, for a list of them. The bucket is walked by
 * server/maintenance alone.
 *
 * Thread-safe. Nothing here knows an upstream or a policy.
 */
#ifndef CONTENT_CONTENT_H
#define CONTENT_CONTENT_H

#include "backends/metadata_store.h"
#include "backends/object_store.h"

#include <stdbool.h>

struct content;
struct manifest;

/* Both stores stay the caller's and outlive the content. */
struct content *content_new(struct object_store *objects, struct metadata_store *metadata);
void content_free(struct content *content);
struct object_store *content_objects(struct content *content);
struct metadata_store *content_metadata(struct content *content);

/* Does the index list all there is? Not after it was lost, until it was rebuilt
 * (server/maintenance). Until then lists of tags and referrers are read from the
 * object store, and the catalog is BW_UNAVAILABLE. */
bool content_is_complete(struct content *content);
/* Around reading all of the object store into it, or finding that there is nothing:
 * from the end on it is complete, unless it was lost in between. */
enum status content_begin_rebuild(struct content *content, int64_t *ret_token, struct error *error);
enum status content_end_rebuild(struct content *content, int64_t token, struct error *error);
/* It has to be rebuilt: it may have lost rows. */
enum status content_mark_incomplete(struct content *content, struct error *error);
/* Forgets what was concluded from it: it may have been lost, or others have changed it
 * unheard (metadata_watcher's `lost`). */
void content_index_lost(struct content *content);

/* --- repositories --- */
/* BW_OK: a manifest or a link is stored in it. BW_ABSENT: the stores know that
 * none is. While the index is not complete the answer may be a minute old. */
enum status content_has_repository(struct content *content, const char *repository,
				   struct error *error);
/* Those after `after` ("" for all) in byte order, at most `limit`; from the index
 * alone. */
enum status content_list_repositories(struct content *content, const char *after, unsigned limit,
				      repository_list_fn fn, void *context, struct error *error);

/* The version for a write of the tag that is about to begin. The index gives it if
 * several processes share it. BW_UNAVAILABLE and the like: it cannot be asked, or it
 * does not have the tag and the object store cannot be asked; then the tag must not be
 * written by a push. */
enum status content_next_version(struct content *content, const char *repository, const char *tag,
				 uint64_t *ret_version, struct error *error);
/* By this process's clock alone, and above any that it has seen: for a pulled tag while
 * content_next_version() fails. */
uint64_t content_version(struct content *content);

/* --- tags --- */
enum status content_get_tag(struct content *content, const char *repository, const char *tag,
			    struct tag_entry *ret, struct error *error);
/* Durable when it returns. BW_CONFLICT: a newer version is in place already. */
enum status content_put_tag(struct content *content, const char *repository, const char *tag,
			    const struct tag_entry *entry, struct error *error);
/* Notes in the index only that the upstream confirmed the tag. Best effort. */
void content_touch_tag(struct content *content, const char *repository, const char *tag,
		       uint64_t version, int64_t validated_at);
/* BW_OK also when there was none. Durable when it returns. */
enum status content_remove_tag(struct content *content, const char *repository, const char *tag,
			       struct error *error);
/* Tags after `after` ("" for all) in byte order, at most `limit`. */
enum status content_list_tags(struct content *content, const char *repository, const char *after,
			      unsigned limit, tag_list_fn fn, void *context, struct error *error);

/* --- manifests --- */
/* BW_OK: the caller releases *ret. The body is verified against its digest
 * when it comes from the object store. */
enum status content_get_manifest(struct content *content, const char *repository,
				 const struct digest *digest, struct manifest_entry *ret,
				 struct error *error);
/* `parsed` is the entry's body as manifest_parse read it: what it lists becomes
 * readable in the repository, and it becomes a referrer of its subject (the
 * entry's `subject` and `referrer` are not looked at). Durable when it returns. */
enum status content_put_manifest(struct content *content, const char *repository,
				 const struct manifest_entry *entry, const struct manifest *parsed,
				 struct error *error);
/* The same, and from then on the tags point to it: all of it is flushed once. With
 * `needs_links` the caller has found a link for every blob that is listed (foreign
 * ones apart), and it is BW_UNAVAILABLE when a garbage collection has removed one
 * since. A newer write of a tag, or a removal of the manifest, that got in between is no
 * failure: it came after us. */
enum status content_push_manifest(struct content *content, const char *repository,
				  const struct manifest_entry *entry, const struct manifest *parsed,
				  bool needs_links, const char *const *tags, size_t tag_count,
				  struct error *error);

/* Removes the record, the tags that point to it, and what the index has of it. The
 * body stays for the garbage collection. Absent is BW_OK. Durable when it
 * returns. */
enum status content_remove_manifest(struct content *content, const char *repository,
				    const struct digest *digest, struct error *error);
/* Manifests of the repository that have this subject, ordered by digest text,
 * those after `after` only (NULL: all). None is BW_OK. */
enum status content_list_referrers(struct content *content, const char *repository,
				   const struct digest *subject, const struct digest *after,
				   referrer_list_fn fn, void *context, struct error *error);

/* --- links: blobs of local repositories --- */
enum status content_get_link(struct content *content, const char *repository,
			     const struct digest *digest, uint64_t *ret_size, struct error *error);
/* The parts of a finished upload become the blob, linked to the repository.
 * `digest` is what the caller found them to hash to. No parts: the empty blob.
 * Durable when it returns; on failure either the parts or the blob are still there,
 * so that the call may be repeated. */
enum status content_push_blob(struct content *content, const char *repository,
			      const struct digest *digest, uint64_t size, const char *upload,
			      const struct object_part *parts, size_t count, struct error *error);
/* As content_push_blob, of a small blob's bytes in memory. */
enum status content_push_blob_bytes(struct content *content, const char *repository,
				    const struct digest *digest, const void *bytes, size_t size,
				    struct error *error);
/* Begins a blob whose digest is known before its bytes: what is written becomes it with
 * content_push_blob_written, which takes the writer whatever it returns, or goes with
 * object_abort. The caller compares the digest in between. */
enum status content_create_blob(struct content *content, const struct digest *digest,
				struct object_writer **ret_writer, struct error *error);
enum status content_push_blob_written(struct content *content, const char *repository,
				      const struct digest *digest, uint64_t size,
				      struct object_writer **writer, struct error *error);
/* Links bytes that are stored already. BW_ABSENT: they are not. The caller has
 * made sure that whoever asks may read them, now and later. Durable when it
 * returns. */
enum status content_mount_blob(struct content *content, const char *repository,
			       const struct digest *digest, uint64_t *ret_size,
			       struct error *error);
/* The bytes stay, for whoever else links them and for the garbage collection.
 * Absent is BW_OK. Durable when it returns. */
enum status content_unlink_blob(struct content *content, const char *repository,
				const struct digest *digest, struct error *error);
/* Repositories that link the blob, at most `limit`; from the index alone. */
enum status content_list_links_of(struct content *content, const struct digest *digest,
				  unsigned limit, repository_list_fn fn, void *context,
				  struct error *error);

/* --- blobs --- */
/* May the repository's readers read this blob: does a manifest of it list the
 * blob, or a link name it? *ret_size is the size the listing gives. */
enum status content_get_listed(struct content *content, const char *repository,
			       const struct digest *digest, uint64_t *ret_size,
			       struct error *error);
/* Grants it by a link (index only: lost with the index, asked again then). */
enum status content_link_blob(struct content *content, const char *repository,
			      const struct digest *digest, uint64_t size, struct error *error);
/* Are the bytes stored? Says nothing about who may read them. */
enum status content_stat_blob(struct content *content, const struct digest *digest,
			      uint64_t *ret_size, struct error *error);
/* Opens the bytes. An index entry whose object is gone is removed, and the
 * answer is BW_ABSENT. So it is for a damaged object: one whose size is not
 * `listed_size` (NULL: not known), and whose bytes then turn out not to match
 * the digest. */
enum status content_open_blob(struct content *content, const struct digest *digest,
			      const uint64_t *listed_size, struct object_reader **ret_reader,
			      struct error *error);
/* Reads the blob once more, after bytes came that did not match its digest. BW_OK:
 * it does match. BW_ABSENT: it was damaged, and is removed. */
enum status content_recheck_blob(struct content *content, const struct digest *digest,
				 struct error *error);
/* Takes a finished local file whose bytes match the digest (the caller hashed
 * them). On BW_OK the file is gone from `path`. */
enum status content_adopt_blob(struct content *content, const struct digest *digest, uint64_t size,
			       const char *path, struct error *error);
/* The same of a file that has no name, and stays the caller's. */
enum status content_copy_blob(struct content *content, const struct digest *digest, uint64_t size,
			      int file, struct error *error);

/* --- documents: index only, see metadata_store.h --- */
enum status content_get_document(struct content *content, const char *repository, const char *kind,
				 const char *key, struct document_entry *ret, struct error *error);
enum status content_put_document(struct content *content, const char *repository, const char *kind,
				 const char *key, const struct document_entry *entry,
				 struct error *error);

/* --- keeping the index with the store --- */
/* Makes the index say of a manifest what the object store says. To be called when a
 * look at the store, after a change of the index, shows that the two disagree. */
enum status content_sync_manifest(struct content *content, const char *repository,
				  const struct digest *digest, struct error *error);
/* To be called when something of the repository is in both stores, and before the
 * last look at whether it still is. */
enum status content_note_repository(struct content *content, const char *repository,
				    struct error *error);
/* Takes the repository out of the catalog when nothing is left of it. */
enum status content_drop_repository(struct content *content, const char *repository,
				    struct error *error);

#endif
