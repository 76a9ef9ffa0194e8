/*
 * Pull-through: answering for an upstream's content from what is stored, from
 * the upstream, or from what is stored although it expired.
 *
 * Whoever calls has decided that the caller may read this repository. Names:
 * `stored` below is the repository in our stores ("docker.io/library/alpine"),
 * `repository` the one at the upstream ("library/alpine").
 *
 * Outcomes are upstream.h's. BW_ABSENT and BW_DENIED are the upstream's answers
 * (or a remembered ABSENT within negativeTTL); every other failure means that
 * nothing usable is stored and the upstream could not tell, and its error names
 * upstream, credential and reason.
 */
#ifndef CACHE_PULL_THROUGH_H
#define CACHE_PULL_THROUGH_H

#include "server/base/clock.h"
#include "server/cache/manifest_view.h"
#include "server/cache/verdict.h"
#include "server/oci/name.h"

#include <stdbool.h>
#include <stdint.h>

struct cache;
struct cluster;
struct content;
struct fill;
struct object_reader;
struct upstream;
struct upstream_set;

/* Where to look, and whom to ask. The set is held by the caller. */
struct cache_source {
	struct upstream_set *set;
	struct upstream *upstream;
	const char *repository;
	const char *stored;
};

struct cache_options {
	struct content *content; /* stays the caller's */
	/* For blobs on their way in; of this process alone, and emptied. On the
	 * filesystem of `hot_directory` where there is one, since files move from
	 * the one to the other by name. */
	const char *spool_directory;
	/* The object store is elsewhere, and is shared: its readers have no file.
	 * Stored blobs are then read from it once for all who wait, and are kept in
	 * the hot cache; and while it cannot tell whether it has a blob, no upstream
	 * is asked for that, since none of the replicas could store it. */
	bool remote_objects;
	const char *hot_directory; /* hot_cache.h; NULL or "": none. With remote_objects only */
	uint64_t hot_max; /* bytes, what is being spooled included */
	/* Send clients to the object store itself for stored blobs that are not in the
	 * hot cache, where it can sign a URL. With remote_objects only. */
	bool redirect;
	struct cluster *cluster; /* other replicas; NULL: alone. Stays the caller's */
};

enum status cache_new(const struct cache_options *options, struct cache **ret_cache,
		      struct error *error);
/* Ends background work; no request may be running. */
void cache_free(struct cache *cache);

/* A manifest, whole, for GET and HEAD alike. On BW_OK *ret_view is the
 * caller's to unref. With `prefetch`, the blobs an image manifest lists begin
 * to be fetched (where the upstream's prefetchLayers says so). */
enum status cache_get_manifest(struct cache *cache, const struct cache_source *source,
			       const struct reference *reference, bool prefetch,
			       struct manifest_view **ret_view, enum cache_verdict *ret_verdict,
			       struct error *error);

/* --- what has no upstream, and what is deleted --- */

/* The same from the stores (and memory) alone, of a local repository: the source
 * has no upstream. BW_ABSENT: not stored; everything else: the stores could not
 * tell. A tag is asked of the stores each time, a digest's manifest never changes. */
enum status cache_get_local_manifest(struct cache *cache, const struct cache_source *source,
				     const struct reference *reference,
				     struct manifest_view **ret_view, struct error *error);

/* After the manifest, or the tag, was removed from the stores: no request that begins
 * from now on gets it from this process's memory. */
void cache_forget_manifest(struct cache *cache, const struct cache_source *source,
			   const struct digest *digest);
void cache_forget_tag(struct cache *cache, const struct cache_source *source,
		      const struct reference *reference);

/* --- blobs --- */

/* A blob's bytes, stored or on their way. */
struct blob_source {
	uint64_t size;
	enum cache_verdict verdict;
	/* One of these: */
	bool has_file; /* `file`: in the hot cache */
	struct object_reader *reader; /* stored */
	struct fill *fill; /* being fetched, or read from a remote store */
	int file;
	/* Instead of all of them: the store itself has the bytes under this URL for a
	 * few minutes. Whoever has it may read them, so it is not to be logged. */
	char *redirect;
	int64_t patience_ms; /* how long new bytes of the fill are worth waiting for */
	/* With a fill of what is stored: where to read it directly when there is no
	 * room for it on its way. */
	struct content *content;
	struct digest digest;
};

/* A blob of a local repository, which the caller found to link it. BW_ABSENT: its
 * bytes are gone; everything else: the stores could not tell. */
enum status cache_open_local_blob(struct cache *cache, const struct digest *digest,
				  uint64_t listed_size, struct blob_source *ret_blob,
				  struct error *error);

enum status cache_open_blob(struct cache *cache, const struct cache_source *source,
			    const struct digest *digest, struct blob_source *ret_blob,
			    struct error *error);
void blob_source_release(struct blob_source *blob);

/* Waits for bytes at `offset` (< size): *ret_end is how far they can be read
 * now. Stored blobs answer `size` at once. BW_TIMEOUT: nothing new by the
 * deadline, or the fill failed so. */
enum status blob_source_wait(struct blob_source *blob, uint64_t offset, deadline_ms deadline,
			     uint64_t *ret_end, struct error *error);
/* A descriptor good for sendfile up to what blob_source_wait said; -1: use
 * blob_source_read. */
int blob_source_file(struct blob_source *blob);
/* Reads within what blob_source_wait said. */
enum status blob_source_read(struct blob_source *blob, uint64_t offset, void *target, size_t length,
			     size_t *ret_length, struct error *error);

/* Is the blob there, and how large? Fetches nothing. */
enum status cache_stat_blob(struct cache *cache, const struct cache_source *source,
			    const struct digest *digest, uint64_t *ret_size,
			    enum cache_verdict *ret_verdict, struct error *error);

/* --- other replicas --- */

/* As in the options; NULL for a NULL cache too. */
struct cluster *cache_cluster(const struct cache *cache);

/* For another replica, whoever may pull it: the fill that runs here, or what is
 * stored. BW_TIMEOUT: a fill runs, and its size was not known by the deadline.
 * Everything else: there is nothing to be had here. */
enum status cache_open_for_replica(struct cache *cache, const struct digest *digest,
				   deadline_ms deadline, struct blob_source *ret_blob,
				   struct error *error);

/* All tags of the repository, sorted by bytes. Release with tag_names_release. */
struct tag_names {
	char **names;
	size_t count;
};
void tag_names_release(struct tag_names *tags);
enum status cache_list_tags(struct cache *cache, const struct cache_source *source,
			    struct tag_names *ret_tags, enum cache_verdict *ret_verdict,
			    struct error *error);

/* The referrers of a manifest as an image index (unfiltered), from the
 * referrers API or, where the upstream has none, the fallback tag. The caller
 * frees *ret_body. */
enum status cache_get_referrers(struct cache *cache, const struct cache_source *source,
				const struct digest *subject, char **ret_body, size_t *ret_length,
				enum cache_verdict *ret_verdict, struct error *error);

#endif
