/*
 * Files of blobs on their way in. Safe to delete when no process runs: nothing
 * here is the only copy of anything.
 */
#ifndef CACHE_SPOOL_H
#define CACHE_SPOOL_H

#include "server/base/digest.h"
#include "server/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct spool_file {
	int fd; /* read and write; -1: none */
	char *path; /* owned; NULL once the file was given away or removed */
};

#define SPOOL_FILE_NONE ((struct spool_file){.fd = -1})

/* Makes the folder, and removes what a process that died left in it. */
enum status spool_prepare(const char *directory, struct error *error);

enum status spool_create(const char *directory, const struct digest *digest,
			 struct spool_file *ret_file, struct error *error);
enum status spool_write(const struct spool_file *file, uint64_t offset, const void *bytes,
			size_t length, struct error *error);

/* The file belongs to somebody else now; the descriptor stays readable. */
void spool_given_away(struct spool_file *file);

/* Removes the file if it is still ours; the descriptor stays readable. */
void spool_discard(struct spool_file *file);

/* Discards, and closes. */
void spool_release(struct spool_file *file);

#endif
