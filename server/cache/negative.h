/*
 * What an upstream said it does not have, remembered for negativeTTL, so that a
 * typo in a Deployment does not become a flood of requests. In memory only and
 * bounded; forgetting costs one request.
 */
#ifndef CACHE_NEGATIVE_H
#define CACHE_NEGATIVE_H

#include <stdbool.h>
#include <stdint.h>

struct negative_cache;

struct negative_cache *negative_new(void);
void negative_free(struct negative_cache *cache);

/* `key` names a thing of one repository, as the other caches' keys do. */
void negative_put(struct negative_cache *cache, const char *key, int64_t ttl_ms);
bool negative_has(struct negative_cache *cache, const char *key);
void negative_forget(struct negative_cache *cache, const char *key);

#endif
