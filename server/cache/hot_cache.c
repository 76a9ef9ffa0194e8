/*
 * The hot cache's life and its calls: hot_index.c decides, this opens, links and
 * unlinks files. hot_folder.c knows their names.
 */
#include "server/cache/hot_cache.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/cache/hot_folder.h"
#include "server/cache/hot_index.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct hot_cache {
	struct hot_folder folder; /* its lock is `prepare_lock`'s */
	pthread_mutex_t lock; /* covers the next two; a leaf, never held over I/O */
	struct hot_index index;
	uint64_t next_number;
	pthread_mutex_t prepare_lock; /* held over I/O: one makes the folder anew */
	bool listed; /* prepare_lock's: what a former process left is in the index */
	_Atomic bool ready; /* the folder is there and locked */
	_Atomic bool bypassing;
	_Atomic int64_t retry_at; /* monotonic ms */
};

/* ---- trouble ---- */

static void trouble(struct hot_cache *cache, const char *what)
{
	atomic_store(&cache->retry_at, deadline_in(HOT_CACHE_RETRY_MS));
	if (atomic_exchange(&cache->bypassing, true))
		return;
	metric_set(M_HOT_CACHE_BYPASS, 1, NULL);
	log_event(LOG_ERROR, "hot cache takes nothing for now: its disk fails",
		  LOG_S("directory", cache->folder.directory), LOG_S("err.message", what));
}

static void trouble_errno(struct hot_cache *cache, int errnum, const char *what)
{
	struct error error;

	error_set_errno(&error, BW_IO, errnum, "%s", what);
	trouble(cache, error.message);
}

static void is_well(struct hot_cache *cache)
{
	if (!atomic_load(&cache->bypassing) || !atomic_exchange(&cache->bypassing, false))
		return;
	metric_set(M_HOT_CACHE_BYPASS, 0, NULL);
	log_event(LOG_INFO, "hot cache's disk is well again",
		  LOG_S("directory", cache->folder.directory));
}

static bool is_resting(struct hot_cache *cache)
{
	return atomic_load(&cache->bypassing) && !deadline_passed(atomic_load(&cache->retry_at));
}

/* ---- what leaves ---- */

/* With the lock held, which it gives back. */
static void unlock_and_remove(struct hot_cache *cache)
{
	struct hot_entry *leaving = hot_index_take_leaving(&cache->index);
	uint64_t bytes = hot_index_bytes(&cache->index);
	struct hot_entry *next;

	pthread_mutex_unlock(&cache->lock);
	metric_set(M_HOT_CACHE_BYTES, bytes, NULL);
	for (; leaving; leaving = next) {
		struct hot_name name = {leaving->digest, leaving->size, leaving->number};

		next = leaving->next;
		hot_folder_remove(&cache->folder, &name);
		metric_inc(M_HOT_CACHE_REJECTED, NULL);
		free(leaving);
	}
}

/* Its file is not there, or is not it. */
static void drop_file(struct hot_cache *cache, const struct hot_name *name)
{
	struct hot_entry *entry;

	pthread_mutex_lock(&cache->lock);
	entry = hot_index_find(&cache->index, &name->digest);
	if (entry && entry->number == name->number)
		hot_index_drop(&cache->index, entry);
	unlock_and_remove(cache);
}

/* ---- life ---- */

static void found(void *context, const struct hot_name *name)
{
	struct hot_cache *cache = context;
	bool twice;

	pthread_mutex_lock(&cache->lock);
	if (name->number > cache->next_number)
		cache->next_number = name->number;
	twice = hot_index_find(&cache->index, &name->digest) != NULL;
	if (!twice)
		hot_index_insert(&cache->index, &name->digest, name->size, name->number);
	pthread_mutex_unlock(&cache->lock);
	if (twice)
		hot_folder_remove(&cache->folder, name);
}

static enum status prepare(struct hot_cache *cache, struct error *error)
{
	enum status status = BW_OK;

	pthread_mutex_lock(&cache->prepare_lock);
	if (!atomic_load(&cache->ready))
		status = hot_folder_prepare(&cache->folder, error);
	if (status == BW_OK && !cache->listed)
		status = hot_folder_list(&cache->folder, found, cache, error);
	if (status == BW_OK) {
		cache->listed = true;
		atomic_store(&cache->ready, true);
	}
	pthread_mutex_unlock(&cache->prepare_lock);
	return status;
}

enum status hot_cache_new(const char *directory, uint64_t max_bytes, struct hot_cache **ret_cache,
			  struct error *error)
{
	struct hot_cache *cache = xcalloc(1, sizeof(*cache));
	struct error why = {0};
	enum status status;

	hot_folder_init(&cache->folder, directory);
	hot_index_init(&cache->index, max_bytes);
	pthread_mutex_init(&cache->lock, NULL);
	pthread_mutex_init(&cache->prepare_lock, NULL);
	metric_set(M_HOT_CACHE_BYPASS, 0, NULL);
	status = prepare(cache, &why);
	if (status != BW_OK && !hot_folder_may_recover(status)) {
		hot_cache_free(cache);
		if (error)
			*error = why;
		return status;
	}
	if (status != BW_OK)
		trouble(cache, why.message);
	pthread_mutex_lock(&cache->lock);
	unlock_and_remove(cache);
	*ret_cache = cache;
	return BW_OK;
}

void hot_cache_free(struct hot_cache *cache)
{
	if (!cache)
		return;
	hot_folder_release(&cache->folder);
	hot_index_release(&cache->index);
	pthread_mutex_destroy(&cache->prepare_lock);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

/* ---- reading ---- */

static bool look_up(struct hot_cache *cache, const struct digest *digest, bool ask,
		    struct hot_name *ret_name)
{
	const struct hot_entry *entry;

	if (!cache)
		return false;
	pthread_mutex_lock(&cache->lock);
	entry = ask ? hot_index_asked(&cache->index, digest)
		    : hot_index_find(&cache->index, digest);
	if (entry)
		*ret_name = (struct hot_name){*digest, entry->size, entry->number};
	pthread_mutex_unlock(&cache->lock);
	return entry != NULL;
}

bool hot_cache_has(struct hot_cache *cache, const struct digest *digest, uint64_t *ret_size)
{
	struct hot_name name;

	if (!look_up(cache, digest, false, &name))
		return false;
	*ret_size = name.size;
	return true;
}

/* -1: a miss. Out of descriptors is no reason to forget the file. */
static int open_file(struct hot_cache *cache, const struct hot_name *name)
{
	int fd = hot_folder_open(&cache->folder, name);

	if (fd >= 0)
		return fd;
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return -1;
	drop_file(cache, name);
	if (fd == -EIO)
		trouble_errno(cache, EIO, "open a blob's file");
	return -1;
}

int hot_cache_open(struct hot_cache *cache, const struct digest *digest, uint64_t *ret_size)
{
	struct hot_name name;
	int fd = -1;

	if (!cache)
		return -1;
	if (look_up(cache, digest, true, &name))
		fd = open_file(cache, &name);
	metric_inc(fd < 0 ? M_HOT_CACHE_MISSES : M_HOT_CACHE_HITS, NULL);
	if (fd >= 0)
		*ret_size = name.size;
	return fd;
}

/* ---- taking ---- */

/* Links the file under a new name; false: not now. */
static bool take_file(struct hot_cache *cache, const char *path, const struct hot_name *name)
{
	struct error error;
	int failure;

	if (!atomic_load(&cache->ready) && prepare(cache, &error) != BW_OK) {
		trouble(cache, error.message);
		return false;
	}
	failure = hot_folder_link(&cache->folder, path, name);
	/* Somebody who makes room takes the folder as well, and our lock with it. */
	if (failure == -ENOENT && access(path, F_OK) == 0) {
		atomic_store(&cache->ready, false);
		if (prepare(cache, &error) != BW_OK) {
			trouble(cache, error.message);
			return false;
		}
		failure = hot_folder_link(&cache->folder, path, name);
	}
	if (failure < 0)
		trouble_errno(cache, -failure, "link a blob's file");
	else
		is_well(cache);
	return failure == 0;
}

void hot_cache_offer(struct hot_cache *cache, const struct digest *digest, uint64_t size,
		     const char *path)
{
	struct hot_name name = {.digest = *digest, .size = size};

	if (!cache)
		return;
	pthread_mutex_lock(&cache->lock);
	name.number = hot_index_find(&cache->index, digest) ? 0 : ++cache->next_number;
	pthread_mutex_unlock(&cache->lock);
	if (name.number == 0)
		return;
	if (is_resting(cache) || !take_file(cache, path, &name)) {
		metric_inc(M_HOT_CACHE_REJECTED, NULL);
		return;
	}
	pthread_mutex_lock(&cache->lock);
	if (hot_index_find(&cache->index, digest)) {
		pthread_mutex_unlock(&cache->lock);
		hot_folder_remove(&cache->folder, &name);
		return;
	}
	hot_index_insert(&cache->index, digest, size, name.number);
	unlock_and_remove(cache);
	metric_inc(M_HOT_CACHE_ADMITTED, NULL);
}

/* ---- room ---- */

void hot_cache_claim(struct hot_cache *cache, uint64_t bytes)
{
	if (!cache)
		return;
	pthread_mutex_lock(&cache->lock);
	hot_index_claim(&cache->index, bytes);
	unlock_and_remove(cache);
}

void hot_cache_give_back(struct hot_cache *cache, uint64_t bytes)
{
	if (!cache)
		return;
	pthread_mutex_lock(&cache->lock);
	hot_index_give_back(&cache->index, bytes);
	pthread_mutex_unlock(&cache->lock);
}

bool hot_cache_shrink(struct hot_cache *cache, uint64_t bytes)
{
	bool shrunk;

	if (!cache)
		return false;
	pthread_mutex_lock(&cache->lock);
	shrunk = hot_index_shrink(&cache->index, bytes);
	unlock_and_remove(cache);
	return shrunk;
}

uint64_t hot_cache_bytes(struct hot_cache *cache)
{
	uint64_t bytes;

	if (!cache)
		return 0;
	pthread_mutex_lock(&cache->lock);
	bytes = hot_index_bytes(&cache->index);
	pthread_mutex_unlock(&cache->lock);
	return bytes;
}
