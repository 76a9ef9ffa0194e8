/* Shared by the files that make up the pull-through cache. */
#ifndef CACHE_CACHE_PRIVATE_H
#define CACHE_CACHE_PRIVATE_H

#include "server/base/error.h"
#include "server/cache/pull_through.h"
#include "server/content/content.h"

#include <pthread.h>

struct fill_table;
struct flight_table;
struct lru;
struct negative_cache;
struct uses;
struct work_pool;

/* Clients give up on a silent server after 30 s; let them hear why before. */
#define FIRST_BYTE_PATIENCE_MS 28000

/* A fill may end under the hands of who joined it in ways that make him look again:
 * it turned out to be stored, or another source's fill failed. */
#define LOOKS_MAX 4

struct cache {
	struct content *content;
	bool remote_objects; /* see cache_options */
	bool redirect; /* likewise */
	struct cluster *cluster; /* or NULL */
	struct hot_cache *hot; /* or NULL */
	struct fill_table *fills;
	struct flight_table *flights;
	struct negative_cache *negatives;
	struct lru *manifests; /* "<stored>@<digest>" to struct manifest_view */
	struct lru *tags; /* "<stored>:<tag>" to struct tag_view */
	/* Makes one step of looking at these two maps and putting into them, and of
	 * forgetting; over the maps' own locks, never held over I/O. */
	pthread_mutex_t maps_lock;
	_Atomic uint64_t moment; /* one more with each forgetting; written under the lock */
	struct work_pool *background; /* refreshes and prefetching */
	struct uses *uses;
	struct metadata_watcher watcher;
	int64_t copy_believed_ms; /* COPY_BELIEVED_MS; tests shorten it */
	_Atomic bool stopping; /* background work that has not begun need not */
};

/* --- cache.c --- */

/* The longest key of the in-memory maps, with NUL. */
#define CACHE_KEY_SIZE (HOST_MAX + 1 + REPOSITORY_MAX + 1 + DIGEST_TEXT_SIZE + 16)

/* "<stored>@<digest>" or "<stored>:<tag>". */
void cache_key(char key[CACHE_KEY_SIZE], const struct cache_source *source,
	       const struct reference *reference);
/* Likewise for a blob's absence, which says nothing about a manifest. */
void cache_blob_key(char key[CACHE_KEY_SIZE], const struct cache_source *source,
		    const struct digest *digest);

/* Sets the error of a remembered absence. */
enum status cache_known_absent(const struct cache_source *source, const char *what,
			       struct error *error);

/* Counts one request for content of this type ("manifest", "blob", "tags",
 * "referrers"): a hit when it was answered with what is stored. */
void cache_count(const struct cache_source *source, const char *type, enum status status,
		 enum cache_verdict verdict);

/* A source that outlives the request it came from. */
struct held_source {
	struct cache_source source;
	char *repository;
	char *stored;
};
void held_source_init(struct held_source *held, const struct cache_source *source);
void held_source_release(struct held_source *held);

/* --- stored_blob.c --- */

/* Bytes that are stored, whoever may have them: from the hot cache or from the store.
 * `listed_size` (or NULL) as content_open_blob has it.
 * BW_ABSENT: not stored; everything else: could not tell. */
enum status cache_open_stored(struct cache *cache, const struct digest *digest,
			      const uint64_t *listed_size, enum cache_verdict verdict,
			      struct blob_source *ret_blob, struct error *error);
/* The same for a client, whom the store may serve itself. */
enum status cache_serve_stored(struct cache *cache, const struct digest *digest,
			       const uint64_t *listed_size, enum cache_verdict verdict,
			       struct blob_source *ret_blob, struct error *error);
/* Are they, and of what size? BW_ABSENT: an upstream may be asked for them. When the
 * store cannot tell, that is so only of a store of our own. */
enum status cache_stat_stored(struct cache *cache, const struct digest *digest, uint64_t *ret_size,
			      struct error *error);

/* --- prefetch.c --- */

/* Starts fetching the blobs that an image manifest lists and that are not
 * stored, in the background; at most once a minute for a view. */
void prefetch_blobs(struct cache *cache, const struct cache_source *source,
		    struct manifest_view *view);

/* --- copies.c --- */
/* How long a copy is good for of which nobody would tell us that it changed. */
#define COPY_BELIEVED_MS 2000

void cache_watch(struct cache *cache);
void cache_unwatch(struct cache *cache);
/* Has memory heard of all changes that were acknowledged by now? Before a copy is looked
 * up: one that is found then is as new as this call. */
bool cache_is_told(struct cache *cache);
/* May a copy be used that was looked up after cache_is_told said `told`, and was last
 * compared with the stores at that time (monotonic ms)? False: the caller does so now,
 * and it counts as done. */
bool cache_believes(struct cache *cache, bool told, _Atomic int64_t *checked_at);
/* `map` is one of the cache's two. */
void cache_forget_key(struct cache *cache, struct lru *map, const char *key);

/* --- use.c --- */
struct uses *uses_new(void);
void uses_free(struct uses *uses); /* after the background work ended */
/* The manifest was just asked for. */
void cache_note_use(struct cache *cache, const struct cache_source *source,
		    struct manifest_view *view);

/* --- manifest_store.c: the maps in memory, and the stores behind them --- */

/*
 * What was deleted must not come back from memory: a request that read the stores
 * before the deletion may reach the maps after it. So whoever is going to put
 * something into a map takes the moment before he reads it, and what is older than
 * the last forgetting is not kept.
 */
uint64_t cache_moment(struct cache *cache);

/* A digest's manifest from memory or the stores. BW_ABSENT: not stored here;
 * everything else: the stores could not tell. */
enum status cache_stored_manifest(struct cache *cache, const struct cache_source *source,
				  const struct digest *digest, struct manifest_view **ret_view,
				  struct error *error);

/* Asks the upstream for a manifest and stores it: blobs/, record, index, and
 * the tag when the reference is one. What cannot be stored is served anyway. */
enum status cache_fetch_manifest(struct cache *cache, const struct cache_source *source,
				 const struct reference *reference, struct manifest_view **ret_view,
				 struct error *error);

/* What a tag points to, in memory. Reference-counted; the pointed-to fields
 * are fixed, the times and flags move. */
struct tag_view {
	_Atomic unsigned references;
	struct manifest_view *view; /* a reference */
	uint64_t version;
	int64_t stored_at;
	_Atomic int64_t validated_at;
	_Atomic int64_t checked_at; /* monotonic ms; see cache_believes */
	_Atomic bool refreshing; /* a background HEAD is under way */
};

/* Takes over the reference to `view`. */
struct tag_view *tag_view_new(struct manifest_view *view, const struct tag_entry *entry);
void *tag_view_ref(void *tag);
void tag_view_unref(void *tag);

/* Puts the tag where other requests find it, unless that version or a newer one
 * is there, or something was forgotten since `moment`. Takes over the reference
 * and gives one to what is there then: all who hold a version of a tag hold the
 * same view, so that what the upstream told one of them is known to every other. */
struct tag_view *cache_keep_tag(struct cache *cache, const char *key, struct tag_view *tag,
				uint64_t moment);

/* Points the tag at the view, which was had at `moment`, in memory and in the
 * stores. */
void cache_point_tag(struct cache *cache, const struct cache_source *source,
		     const struct reference *reference, struct manifest_view *view,
		     uint64_t moment);

#endif
