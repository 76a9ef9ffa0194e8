/*
 * What the hot cache holds, in which order it goes, and what may stay: without
 * files, so that it can be reasoned about (and tested) by itself.
 *
 * Two orders by last use, the window's and the rest's; hot_cache.h says how a
 * blob gets from the one into the other. Room for what is being spooled is made by
 * those that are asked for least, which in a scan are those that it brought itself.
 *
 * Not thread-safe.
 */
#ifndef CACHE_HOT_INDEX_H
#define CACHE_HOT_INDEX_H

#include "server/cache/frequency.h"

#include <stdbool.h>
#include <uthash.h>

struct hot_entry {
	UT_hash_handle hh;
	struct hot_entry *prev, *next; /* in its order, last used first; or leaving */
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];
	uint64_t size;
	uint64_t number; /* of its file */
	bool in_window;
};

struct hot_index {
	uint64_t max;
	uint64_t claimed; /* being spooled */
	struct hot_entry *by_digest;
	struct hot_entry *window, *rest;
	uint64_t window_bytes, rest_bytes;
	struct hot_entry *leaving; /* out of all of the above; hot_index_take_leaving */
	struct frequency *frequency;
};

void hot_index_init(struct hot_index *index, uint64_t max);
void hot_index_release(struct hot_index *index);

static inline uint64_t hot_index_bytes(const struct hot_index *index)
{
	return index->window_bytes + index->rest_bytes;
}

/* NULL: not held. Until the next change. */
struct hot_entry *hot_index_find(const struct hot_index *index, const struct digest *digest);
/* The same, and it was asked for, held or not. */
struct hot_entry *hot_index_asked(struct hot_index *index, const struct digest *digest);

/* Of a digest that is not held. Somebody may have to leave for it: it itself, too. */
void hot_index_insert(struct hot_index *index, const struct digest *digest, uint64_t size,
		      uint64_t number);
/* The entry leaves. */
void hot_index_drop(struct hot_index *index, struct hot_entry *entry);

void hot_index_claim(struct hot_index *index, uint64_t bytes);
void hot_index_give_back(struct hot_index *index, uint64_t bytes);
/* At least so many bytes leave; false when nothing is held. */
bool hot_index_shrink(struct hot_index *index, uint64_t bytes);

/* The entries that left since the last call, chained by `next`, to be freed by the
 * caller once their files are gone. */
struct hot_entry *hot_index_take_leaving(struct hot_index *index);

#endif
