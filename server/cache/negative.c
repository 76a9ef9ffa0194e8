#include "server/cache/negative.h"

#include "server/base/clock.h"
#include "server/base/lru.h"
#include "server/base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NEGATIVE_BYTES ((size_t)8 << 20)

struct negative {
	_Atomic unsigned references;
	deadline_ms until;
};

struct negative_cache {
	struct lru *entries;
};

static void *negative_ref(void *value)
{
	struct negative *negative = value;

	atomic_fetch_add_explicit(&negative->references, 1, memory_order_relaxed);
	return negative;
}

static void negative_unref(void *value)
{
	struct negative *negative = value;

	if (atomic_fetch_sub_explicit(&negative->references, 1, memory_order_acq_rel) == 1)
		free(negative);
}

struct negative_cache *negative_new(void)
{
	static const struct lru_ops ops = {.ref = negative_ref, .unref = negative_unref};
	struct negative_cache *cache = xcalloc(1, sizeof(*cache));

	cache->entries = lru_new(NEGATIVE_BYTES, &ops);
	return cache;
}

void negative_free(struct negative_cache *cache)
{
	if (!cache)
		return;
	lru_free(cache->entries);
	free(cache);
}

void negative_put(struct negative_cache *cache, const char *key, int64_t ttl_ms)
{
	struct negative *negative;

	if (ttl_ms <= 0)
		return;
	negative = xcalloc(1, sizeof(*negative));
	atomic_init(&negative->references, 1);
	negative->until = deadline_in(ttl_ms);
	lru_put(cache->entries, key, negative, sizeof(*negative) + strlen(key));
	negative_unref(negative);
}

bool negative_has(struct negative_cache *cache, const char *key)
{
	struct negative *negative = lru_get(cache->entries, key);
	bool has;

	if (!negative)
		return false;
	has = !deadline_passed(negative->until);
	negative_unref(negative);
	return has;
}

void negative_forget(struct negative_cache *cache, const char *key)
{
	lru_remove(cache->entries, key);
}
