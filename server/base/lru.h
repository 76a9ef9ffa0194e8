/*
 * A bounded, thread-safe cache in memory: string keys to reference-counted
 * values, least recently used out first. Sharded, so that readers on several
 * threads seldom meet; each shard has one mutex that is never held over a
 * callback other than `unref`-free bookkeeping.
 *
 * It is never the authority for anything: losing every entry costs only time.
 */
#ifndef BASE_LRU_H
#define BASE_LRU_H

#include <stdbool.h>
#include <stddef.h>

struct lru;

/* Takes and drops one reference to a value. Called on any thread, `ref` with
 * the shard's lock held (so it must only count). */
struct lru_ops {
	void *(*ref)(void *value);
	void (*unref)(void *value);
};

struct lru *lru_new(size_t max_bytes, const struct lru_ops *ops);
void lru_free(struct lru *lru); /* drops every value; NULL is fine */

/* The value with a reference for the caller, or NULL. */
void *lru_get(struct lru *lru, const char *key);
/* Keeps a reference of its own. `bytes` is what the value costs; a value that
 * is larger than an eighth of the cache is not kept. Replaces. */
void lru_put(struct lru *lru, const char *key, void *value, size_t bytes);
void lru_remove(struct lru *lru, const char *key);
void lru_clear(struct lru *lru);

#endif
