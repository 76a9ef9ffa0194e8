/*
 * Memory that lives as long as one request.
 *
 * Everything allocated from an arena is freed by one arena_release(); cleanup
 * handlers run first, last registered first. An arena has a ceiling: what does
 * not fit below it gets NULL and sets `overflow`, which stays set, so a hostile
 * request ends in one 431 or 500 and not in the kernel's OOM killer; what still
 * fits is still given, so that the answer can be built. Not thread-safe: one
 * request, one thread, one arena.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;
struct arena_cleanup;

struct arena {
	struct arena_block *blocks;
	struct arena_cleanup *cleanups;
	size_t used;
	size_t max;
	bool overflow;
};

void arena_init(struct arena *arena, size_t max);
void arena_release(struct arena *arena); /* may be used again afterwards */

/* Zeroed, aligned for any type; NULL past the ceiling. */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strndup(struct arena *arena, const char *string, size_t length);

/* Runs `cleanup(object)` at arena_release. Cannot fail. A handler must not
 * allocate from the arena. */
void arena_on_release(struct arena *arena, void (*cleanup)(void *object), void *object);

#endif
