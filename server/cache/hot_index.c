#include "server/cache/hot_index.h"

#include "server/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define WINDOW_SHARE 10 /* of the capacity, one in so many bytes */

void hot_index_init(struct hot_index *index, uint64_t max)
{
	*index = (struct hot_index){
		.max = max,
		.frequency = xcalloc(1, sizeof(*index->frequency)),
	};
}

static void free_chain(struct hot_entry *entries)
{
	struct hot_entry *entry, *next;

	LL_FOREACH_SAFE(entries, entry, next)
	free(entry);
}

void hot_index_release(struct hot_index *index)
{
	HASH_CLEAR(hh, index->by_digest);
	free_chain(index->window);
	free_chain(index->rest);
	free_chain(index->leaving);
	free(index->frequency);
	*index = (struct hot_index){0};
}

struct hot_entry *hot_index_find(const struct hot_index *index, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];
	struct hot_entry *entry;

	digest_format(digest, text);
	HASH_FIND_STR(index->by_digest, text, entry);
	return entry;
}

/* ---- the two orders ---- */

static void take_out(struct hot_index *index, struct hot_entry *entry)
{
	if (entry->in_window) {
		DL_DELETE(index->window, entry);
		index->window_bytes -= entry->size;
	} else {
		DL_DELETE(index->rest, entry);
		index->rest_bytes -= entry->size;
	}
}

static void put_first(struct hot_index *index, struct hot_entry *entry, bool in_window)
{
	entry->in_window = in_window;
	if (in_window) {
		DL_PREPEND(index->window, entry);
		index->window_bytes += entry->size;
	} else {
		DL_PREPEND(index->rest, entry);
		index->rest_bytes += entry->size;
	}
}

/* utlist keeps the last one in the first one's `prev`. */
static struct hot_entry *last(struct hot_entry *first)
{
	return first ? first->prev : NULL;
}

static unsigned asked(const struct hot_index *index, const struct hot_entry *entry)
{
	return frequency_of(index->frequency, &entry->digest);
}

void hot_index_drop(struct hot_index *index, struct hot_entry *entry)
{
	take_out(index, entry);
	HASH_DEL(index->by_digest, entry);
	LL_PREPEND(index->leaving, entry);
}

struct hot_entry *hot_index_take_leaving(struct hot_index *index)
{
	struct hot_entry *leaving = index->leaving;

	index->leaving = NULL;
	return leaving;
}

struct hot_entry *hot_index_asked(struct hot_index *index, const struct digest *digest)
{
	struct hot_entry *entry = hot_index_find(index, digest);

	frequency_add(index->frequency, digest);
	if (entry) {
		take_out(index, entry);
		put_first(index, entry, entry->in_window);
	}
	return entry;
}

/* ---- who may stay ---- */

/* For blobs. */
static uint64_t capacity(const struct hot_index *index)
{
	return index->claimed < index->max ? index->max - index->claimed : 0;
}

/* Is it asked for more often than each of those that would have to go for it? */
static bool wins(const struct hot_index *index, const struct hot_entry *candidate, uint64_t needed)
{
	const struct hot_entry *victim = last(index->rest);
	unsigned frequency = asked(index, candidate);

	for (uint64_t found = 0; found < needed; found += victim->size, victim = victim->prev) {
		if (asked(index, victim) >= frequency)
			return false;
		if (victim == index->rest && found + victim->size < needed)
			return false;
	}
	return true;
}

/* The window's oldest goes on to the rest, or leaves. */
static void contest(struct hot_index *index, uint64_t room)
{
	struct hot_entry *candidate = last(index->window);
	uint64_t wanted = index->rest_bytes + candidate->size;

	if (candidate->size > room || (wanted > room && !wins(index, candidate, wanted - room))) {
		hot_index_drop(index, candidate);
		return;
	}
	while (index->rest && index->rest_bytes + candidate->size > room)
		hot_index_drop(index, last(index->rest));
	take_out(index, candidate);
	put_first(index, candidate, false);
}

void hot_index_insert(struct hot_index *index, const struct digest *digest, uint64_t size,
		      uint64_t number)
{
	uint64_t all = capacity(index);
	uint64_t window = all / WINDOW_SHARE;
	struct hot_entry *entry = xcalloc(1, sizeof(*entry));

	entry->digest = *digest;
	digest_format(digest, entry->text);
	entry->size = size;
	entry->number = number;
	HASH_ADD_STR(index->by_digest, text, entry);
	put_first(index, entry, true);
	while (index->window_bytes > window)
		contest(index, all - window);
}

/* Of the two that were not used for longest, the one that is asked for less. */
static struct hot_entry *least_wanted(const struct hot_index *index)
{
	struct hot_entry *in_window = last(index->window);
	struct hot_entry *in_rest = last(index->rest);

	if (!in_window || !in_rest)
		return in_window ? in_window : in_rest;
	return asked(index, in_rest) < asked(index, in_window) ? in_rest : in_window;
}

static void trim(struct hot_index *index, uint64_t bytes)
{
	struct hot_entry *entry;

	while (hot_index_bytes(index) > bytes && (entry = least_wanted(index)))
		hot_index_drop(index, entry);
}

void hot_index_claim(struct hot_index *index, uint64_t bytes)
{
	index->claimed += bytes;
	trim(index, capacity(index));
}

void hot_index_give_back(struct hot_index *index, uint64_t bytes)
{
	index->claimed -= bytes;
}

bool hot_index_shrink(struct hot_index *index, uint64_t bytes)
{
	uint64_t held = hot_index_bytes(index);

	trim(index, bytes < held ? held - bytes : 0);
	return hot_index_bytes(index) < held;
}
