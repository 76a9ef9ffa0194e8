#include "server/base/lru.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

#define MAX_SHARDS 8 /* an eighth of the bytes is the largest value that is kept */
#define SHARDED_FROM ((size_t)1024 * 1024)

struct entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(entry) order;
	void *value;
	size_t bytes;
	char key[];
};

TAILQ_HEAD(entry_list, entry);

struct shard {
	pthread_mutex_t lock; /* covers all below; a leaf */
	struct entry *table;
	struct entry_list order; /* most recently used first */
	size_t bytes;
};

struct lru {
	struct lru_ops ops;
	size_t shard_max;
	size_t entry_max;
	uint64_t seed;
	unsigned shard_count;
	struct shard shards[MAX_SHARDS];
};

struct lru *lru_new(size_t max_bytes, const struct lru_ops *ops)
{
	struct lru *lru = xcalloc(1, sizeof(*lru));

	lru->ops = *ops;
	lru->shard_count = max_bytes < SHARDED_FROM ? 1 : MAX_SHARDS;
	lru->shard_max = max_bytes / lru->shard_count;
	lru->entry_max = max_bytes / 8;
	random_bytes(&lru->seed, sizeof(lru->seed));
	for (unsigned i = 0; i < lru->shard_count; i++) {
		pthread_mutex_init(&lru->shards[i].lock, NULL);
		TAILQ_INIT(&lru->shards[i].order);
	}
	return lru;
}

/* FNV-1a from a secret start, so that a client cannot choose names that all
 * meet in one bucket; the last steps spread it over all bits, of which the
 * lowest choose the bucket and the highest the shard. */
static uint64_t hash_key(const struct lru *lru, const char *key, size_t length)
{
	uint64_t hash = lru->seed;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xff51afd7ed558ccd);
	return hash ^ hash >> 33;
}

static struct shard *shard_of(struct lru *lru, uint64_t hash)
{
	return &lru->shards[(hash >> 56) % lru->shard_count];
}

static struct entry *find(struct shard *shard, const char *key, size_t length, uint64_t hash)
{
	struct entry *entry;

	HASH_FIND_BYHASHVALUE(hh, shard->table, key, length, (unsigned)hash, entry);
	return entry;
}

/* Takes the entry out of the shard and puts it on `out`. */
static void detach(struct shard *shard, struct entry *entry, struct entry_list *out)
{
	HASH_DEL(shard->table, entry);
	TAILQ_REMOVE(&shard->order, entry, order);
	shard->bytes -= entry->bytes;
	TAILQ_INSERT_TAIL(out, entry, order);
}

/* Without a lock: unref may free something large, or come back to the cache. */
static void drop_all(struct lru *lru, struct entry_list *list)
{
	struct entry *entry;

	while ((entry = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, entry, order);
		lru->ops.unref(entry->value);
		free(entry);
	}
}

void *lru_get(struct lru *lru, const char *key)
{
	size_t length = strlen(key);
	uint64_t hash = hash_key(lru, key, length);
	struct shard *shard = shard_of(lru, hash);
	struct entry *entry;
	void *value = NULL;

	pthread_mutex_lock(&shard->lock);
	entry = find(shard, key, length, hash);
	if (entry) {
		TAILQ_REMOVE(&shard->order, entry, order);
		TAILQ_INSERT_HEAD(&shard->order, entry, order);
		value = lru->ops.ref(entry->value);
	}
	pthread_mutex_unlock(&shard->lock);
	return value;
}

static struct entry *new_entry(struct lru *lru, const char *key, size_t length, void *value,
			       size_t bytes)
{
	struct entry *entry = xcalloc(1, sizeof(*entry) + length + 1);

	memcpy(entry->key, key, length);
	entry->bytes = bytes;
	entry->value = lru->ops.ref(value);
	return entry;
}

void lru_put(struct lru *lru, const char *key, void *value, size_t bytes)
{
	size_t length = strlen(key);
	size_t overhead = sizeof(struct entry) + length + 1;
	uint64_t hash = hash_key(lru, key, length);
	struct shard *shard = shard_of(lru, hash);
	struct entry_list out = TAILQ_HEAD_INITIALIZER(out);
	struct entry *fresh = NULL;
	struct entry *old;

	if (bytes <= lru->entry_max && overhead <= lru->entry_max - bytes)
		fresh = new_entry(lru, key, length, value, bytes + overhead);
	pthread_mutex_lock(&shard->lock);
	old = find(shard, key, length, hash);
	if (old)
		detach(shard, old, &out);
	if (fresh) {
		while (fresh->bytes > lru->shard_max - shard->bytes)
			detach(shard, TAILQ_LAST(&shard->order, entry_list), &out);
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, shard->table, fresh->key, length, (unsigned)hash,
					    fresh);
		TAILQ_INSERT_HEAD(&shard->order, fresh, order);
		shard->bytes += fresh->bytes;
	}
	pthread_mutex_unlock(&shard->lock);
	drop_all(lru, &out);
}

void lru_remove(struct lru *lru, const char *key)
{
	size_t length = strlen(key);
	uint64_t hash = hash_key(lru, key, length);
	struct shard *shard = shard_of(lru, hash);
	struct entry_list out = TAILQ_HEAD_INITIALIZER(out);
	struct entry *entry;

	pthread_mutex_lock(&shard->lock);
	entry = find(shard, key, length, hash);
	if (entry)
		detach(shard, entry, &out);
	pthread_mutex_unlock(&shard->lock);
	drop_all(lru, &out);
}

void lru_clear(struct lru *lru)
{
	for (unsigned i = 0; i < lru->shard_count; i++) {
		struct shard *shard = &lru->shards[i];
		struct entry_list out = TAILQ_HEAD_INITIALIZER(out);

		pthread_mutex_lock(&shard->lock);
		HASH_CLEAR(hh, shard->table);
		TAILQ_CONCAT(&out, &shard->order, order);
		shard->bytes = 0;
		pthread_mutex_unlock(&shard->lock);
		drop_all(lru, &out);
	}
}

size_t lru_bytes(struct lru *lru)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < lru->shard_count; i++) {
		pthread_mutex_lock(&lru->shards[i].lock);
		bytes += lru->shards[i].bytes;
		pthread_mutex_unlock(&lru->shards[i].lock);
	}
	return bytes;
}

void lru_free(struct lru *lru)
{
	if (!lru)
		return;
	lru_clear(lru);
	for (unsigned i = 0; i < lru->shard_count; i++)
		pthread_mutex_destroy(&lru->shards[i].lock);
	free(lru);
}
