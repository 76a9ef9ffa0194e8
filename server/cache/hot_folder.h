/* The hot cache's files: see hot_cache.h for the folder and the names in it. */
#ifndef CACHE_HOT_FOLDER_H
#define CACHE_HOT_FOLDER_H

#include "server/base/digest.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct hot_folder {
	char *directory;
	int lock_fd; /* -1: not locked */
};

struct hot_name {
	struct digest digest;
	uint64_t size;
	uint64_t number;
};

void hot_folder_init(struct hot_folder *folder, const char *directory);
void hot_folder_release(struct hot_folder *folder);

/* Makes and locks it, and empties it when the machine was started anew since.
 * BW_CONFLICT: another process has the lock. One at a time. */
enum status hot_folder_prepare(struct hot_folder *folder, struct error *error);
/* Is that a failure of a disk, which may be well later? */
bool hot_folder_may_recover(enum status status);

/* All files whose name and size are right; the others are removed. */
enum status hot_folder_list(const struct hot_folder *folder,
			    void (*fn)(void *context, const struct hot_name *name), void *context,
			    struct error *error);

/* A descriptor, or -errno; -ESTALE when the size is not the name's. */
int hot_folder_open(const struct hot_folder *folder, const struct hot_name *name);
/* 0 or -errno. */
int hot_folder_link(const struct hot_folder *folder, const char *path, const struct hot_name *name);
void hot_folder_remove(const struct hot_folder *folder, const struct hot_name *name);

#endif
