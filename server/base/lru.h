/*
 * A bounded, thread-safe cache in memory: string keys to reference-counted
 * values, least recently used out first. Sharded, so that readers on several
 * threads seldom meet. Each shard has one mutex, which covers its table and its
 * order; values that leave are dropped after it was given back.
 *
 * It is never the authority for anything: losing every entry costs only time.
 */
#ifndef BASE_LRU_H
#define BASE_LRU_H

#include <stdbool.h>
#include <stddef.h>

struct lru;

/* Takes and drops one reference to a value, on any thread. lru_get calls `ref`
 * with the shard's lock held, so it must only count. `unref` is always called
 * without a lock: it may free, and may use the cache again. */
struct lru_ops {
	void *(*ref)(void *value);
	void (*unref)(void *value);
};

/* A small cache (less than 1 MiB) is one shard, so its order is exact; a larger
 * one has eight, each with an eighth of the bytes and an order of its own. */
struct lru *lru_new(size_t max_bytes, const struct lru_ops *ops);
void lru_free(struct lru *lru); /* drops every value; NULL is fine */

/* The value with a reference for the caller, or NULL. */
void *lru_get(struct lru *lru, const char *key);
/* Takes a reference of its own. `bytes` is what the value costs; its key and
 * some 150 bytes for the entry are added. What would be larger than an eighth
 * of the cache is not kept. Replaces: what stood under the key is gone either
 * way. */
void lru_put(struct lru *lru, const char *key, void *value, size_t bytes);
void lru_remove(struct lru *lru, const char *key);
void lru_clear(struct lru *lru);
/* What is kept now, in the bytes that lru_put counts. */
size_t lru_bytes(struct lru *lru);

#endif
