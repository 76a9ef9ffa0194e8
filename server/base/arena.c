#include "server/base/arena.h"

#include "server/base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE ((size_t)8 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size;
	max_align_t bytes[];
};

struct arena_cleanup {
	struct arena_cleanup *next;
	void (*cleanup)(void *object);
	void *object;
};

void arena_init(struct arena *arena, size_t max)
{
	*arena = (struct arena){.max = max};
}

void arena_release(struct arena *arena)
{
	while (arena->cleanups) {
		struct arena_cleanup *first = arena->cleanups;

		arena->cleanups = first->next;
		first->cleanup(first->object);
		free(first);
	}
	while (arena->blocks) {
		struct arena_block *first = arena->blocks;

		arena->blocks = first->next;
		free(first);
	}
	arena_init(arena, arena->max);
}

/* The first block is the one being filled; a large allocation gets a block of
 * its own behind it, so that the room left in the first is not lost. */
static struct arena_block *add_block(struct arena *arena, size_t size)
{
	size_t room = size > BLOCK_SIZE / 4 ? size : BLOCK_SIZE;
	struct arena_block *block = xcalloc(1, sizeof(*block) + room);

	block->size = room;
	if (arena->blocks && room == size) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		block->next = arena->blocks;
		arena->blocks = block;
	}
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t mask = _Alignof(max_align_t) - 1;
	struct arena_block *block = arena->blocks;
	void *memory;

	if (size <= SIZE_MAX - mask)
		size = size ? (size + mask) & ~mask : mask + 1;
	if (size > arena->max - arena->used) {
		arena->overflow = true;
		return NULL;
	}
	if (!block || size > block->size - block->used)
		block = add_block(arena, size);
	memory = (char *)block->bytes + block->used;
	block->used += size;
	arena->used += size;
	return memory;
}

char *arena_strndup(struct arena *arena, const char *string, size_t length)
{
	size_t actual = strnlen(string, length);
	char *copy = arena_alloc(arena, actual + 1);

	if (copy)
		memcpy(copy, string, actual); /* the NUL is there: arena memory is zeroed */
	return copy;
}

/* The record is not arena memory: at the ceiling it must not be refused, or
 * the object would leak. */
void arena_on_release(struct arena *arena, void (*cleanup)(void *object), void *object)
{
	struct arena_cleanup *record = xmalloc(sizeof(*record));

	*record = (struct arena_cleanup){arena->cleanups, cleanup, object};
	arena->cleanups = record;
}
