/*
 * Files of blobs on their way in. Safe to delete at any time: nothing here is the
 * only copy of anything.
 *
 * When the disk is full, read-only or failing, the bytes go to memory instead, up
 * to a budget of the whole process; a file that was begun moves there, under the
 * same descriptor, so that who reads it notices nothing. After SPOOL_RETRY_MS the
 * disk is tried again. Before a full disk is given up, the hot cache, which shares
 * it, is made smaller.
 *
 * Beyond the budget it is BW_NO_SPACE. A stored blob is then served straight from
 * the object store (stored_blob.c), unverified and by a request of its own for each
 * client, but served. A blob of an upstream is refused with 503 and not kept
 * waiting: what it waits for is a disk, and its client has other places to go.
 */
#ifndef CACHE_SPOOL_H
#define CACHE_SPOOL_H

#include "server/base/digest.h"
#include "server/base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_RETRY_MS 5000

struct hot_cache;

struct spool {
	char *directory;
	struct hot_cache *hot; /* on the same disk; or NULL */
	uint64_t memory_max; /* of the process; 0: a failing disk is a failure */
	_Atomic bool failing;
	_Atomic int64_t retry_at; /* monotonic ms; while it fails */
	/* file_pwrite_all; tests have a disk that fails */
	int (*write)(int fd, const void *bytes, size_t length, uint64_t offset);
};

struct spool_file {
	struct spool *spool;
	int fd; /* read and write; -1: none */
	char *path; /* owned; NULL once the file was given away or removed, or in memory */
	bool in_memory;
	uint64_t counted; /* bytes claimed from the hot cache, or of the budget */
};

#define SPOOL_FILE_NONE ((struct spool_file){.fd = -1})

/* Makes the folder, and removes what a process that died left in it. With a
 * budget, a disk that is full or read-only is no failure. */
enum status spool_init(struct spool *spool, const char *directory, struct hot_cache *hot,
		       uint64_t memory_max, struct error *error);
void spool_release(struct spool *spool);

/* A file for `size` bytes (0: not known yet). */
enum status spool_create(struct spool *spool, const struct digest *digest, uint64_t size,
			 struct spool_file *ret_file, struct error *error);
/* It is going to be so long. */
enum status spool_expect(struct spool_file *file, uint64_t size, struct error *error);
/* At the end of what was written before: `offset` is the file's length. */
enum status spool_write(struct spool_file *file, uint64_t offset, const void *bytes, size_t length,
			struct error *error);

/* No longer counts as spooled, although it is still there: somebody else counts it
 * from now on. */
void spool_uncount(struct spool_file *file);

/* The file belongs to somebody else now; the descriptor stays readable. */
void spool_given_away(struct spool_file *file);

/* Removes the file if it is still ours; the descriptor stays readable. */
void spool_discard(struct spool_file *file);

/* Discards, and closes. The spool itself may be gone by then, if the file was
 * discarded or given away before. */
void spool_close(struct spool_file *file);

#endif
