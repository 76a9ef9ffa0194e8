/* What the spool does when its disk fails, for the two files that make it up. */
#ifndef CACHE_SPOOL_PRIVATE_H
#define CACHE_SPOOL_PRIVATE_H

#include "server/cache/spool.h"

/* The disk is left alone for SPOOL_RETRY_MS; logged when it was well before. */
void spool_disk_fails(struct spool *spool, const struct error *why);
void spool_disk_is_well(struct spool *spool);
bool spool_disk_rests(struct spool *spool);

/* For a file whose length is `length` and which the disk has no space for. */
bool spool_make_room(struct spool_file *file, uint64_t length);

enum status spool_create_in_memory(struct spool *spool, struct spool_file *ret_file,
				   struct error *error);
/* The first `length` bytes come along. */
enum status spool_move_to_memory(struct spool_file *file, uint64_t length, struct error *error);

#endif
