/*
 * Blobs on a local disk in front of an object store that is elsewhere: verified
 * on the way in, bounded, and safe to delete at any time.
 *
 * What is asked for once more is a file here, and goes to the client with
 * sendfile as from the filesystem store; the object store sees nothing of it, and
 * its outage is not seen either.
 *
 * The folder is one process's, which holds a lock on <directory>/lock; a second
 * process is refused. In it:
 *   blobs/<algorithm>-<hex>.<size>.<n>   a blob; <n> makes each file a new name, so
 *                                        that the removal of an older file of the
 *                                        same blob never hits the newer one
 *   boot                                 the machine's boot in which they were
 *                                        written
 * Nothing is synced. After the death of the process what was written is there,
 * and the index in memory is made anew from the names; after another boot of the
 * machine it may not be, and the folder is emptied.
 *
 * Which blobs: a blob that comes enters a window (a tenth of the size), whose
 * oldest then has to be asked for more often, lately, than each of those that
 * would make room for it among the rest. So a scan of things that nobody asks
 * for twice passes through the window. What is being spooled counts as used
 * space (hot_cache_claim), and others are removed for it; it may exceed the size
 * only when there is nothing left to remove.
 *
 * Trouble. A file that is not there, or is not what its name says, is a miss.
 * When the disk is full, read-only or failing, the cache takes nothing for
 * HOT_CACHE_RETRY_MS and then tries again; what it has is served meanwhile as far
 * as it can be read. The first failure and the recovery are logged, once each.
 *
 * Thread-safe. One lock covers the index, the order and the frequencies; it is a
 * leaf, and not held over I/O.
 */
#ifndef CACHE_HOT_CACHE_H
#define CACHE_HOT_CACHE_H

#include "server/base/digest.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define HOT_CACHE_RETRY_MS 5000

struct hot_cache;

/* Makes the folder, locks it, and looks through it. BW_CONFLICT: another process
 * has it. A disk that is full or read-only is no failure. */
enum status hot_cache_new(const char *directory, uint64_t max_bytes, struct hot_cache **ret_cache,
			  struct error *error);
void hot_cache_free(struct hot_cache *cache); /* the files stay; NULL is fine */

/* All that follow do nothing (a miss, a refusal) when `cache` is NULL. */

/* The blob's file, open for reading, and its size; -1: a miss. Either way it was
 * asked for. The descriptor is the caller's to close, and good whatever becomes of
 * the file. */
int hot_cache_open(struct hot_cache *cache, const struct digest *digest, uint64_t *ret_size);
/* Is it there? Does not count as asking for it. */
bool hot_cache_has(struct hot_cache *cache, const struct digest *digest, uint64_t *ret_size);

/* Offers a finished file, whose bytes match the digest and which nobody writes
 * any more: it is linked when it is admitted; `path` itself stays the caller's. */
void hot_cache_offer(struct hot_cache *cache, const struct digest *digest, uint64_t size,
		     const char *path);

/* So many bytes are going to be spooled on the same disk: makes room for them, and
 * counts them until they are given back. */
void hot_cache_claim(struct hot_cache *cache, uint64_t bytes);
void hot_cache_give_back(struct hot_cache *cache, uint64_t bytes);
/* The disk is full although we are below our size: removes at least so many bytes
 * of blobs; false when there are none. */
bool hot_cache_shrink(struct hot_cache *cache, uint64_t bytes);

/* Bytes of blobs, without what is claimed. */
uint64_t hot_cache_bytes(struct hot_cache *cache);

#endif
