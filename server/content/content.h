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
 * A cached image's repository is named by its registry:
 * "docker.io/library/alpine". Below, `repository` is always this full name.
 *
 * Order: a write goes to the object store first and to the index last; a
 * reader asks the index first. When the index does not have a thing or cannot
 * tell, the object store is asked, and what it has repairs the index. A
 * failure of the index alone never makes a stored thing unreadable, and a
 * failure of the object store is never reported as absence.
 *
 * Two writers of one tag: each write carries a version from content_version(),
 * which grows with the wall clock and never repeats in a process. Every version
 * is an object of its own, so a stalled older write lands beside the newer one
 * and loses to it by its name; the index refuses the lower version; a repair
 * puts the version it found and so loses to any newer write as well. Removing a
 * tag writes a newer version that says "removed", which the index does not
 * remember: after each put into the index the store is looked at once more
 * (content_tags.c).
 *
 * Thread-safe. Nothing here knows an upstream or a policy.
 */
#ifndef CONTENT_CONTENT_H
#define CONTENT_CONTENT_H

#include "backends/metadata_store.h"
#include "backends/object_store.h"

struct content;
struct manifest;

/* Both stores stay the caller's and outlive the content. */
struct content *content_new(struct object_store *objects, struct metadata_store *metadata);
void content_free(struct content *content);

/* The next version for a write of a tag: microseconds of the wall clock, or
 * one more than the last one given or seen. */
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
enum status content_remove_tag(struct content *content, const char *repository, const char *tag,
			       struct error *error);

/* --- manifests --- */
/* BW_OK: the caller releases *ret. The body is verified against its digest
 * when it comes from the object store. */
enum status content_get_manifest(struct content *content, const char *repository,
				 const struct digest *digest, struct manifest_entry *ret,
				 struct error *error);
/* `parsed` is the entry's body as manifest_parse read it: what it lists becomes
 * readable in the repository. Durable when it returns. */
enum status content_put_manifest(struct content *content, const char *repository,
				 const struct manifest_entry *entry, const struct manifest *parsed,
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
/* Takes a finished local file whose bytes match the digest (the caller hashed
 * them). On BW_OK the file is gone from `path`. */
enum status content_adopt_blob(struct content *content, const struct digest *digest, uint64_t size,
			       const char *path, struct error *error);

/* --- documents: index only, see metadata_store.h --- */
enum status content_get_document(struct content *content, const char *repository, const char *kind,
				 const char *key, struct document_entry *ret, struct error *error);
enum status content_put_document(struct content *content, const char *repository, const char *kind,
				 const char *key, const struct document_entry *entry,
				 struct error *error);

/* Are both stores usable? The error names the one that is not. */
enum status content_check(struct content *content, struct error *error);

#endif
