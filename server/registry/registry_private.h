/* Shared by the files of this folder. */
#ifndef REGISTRY_REGISTRY_PRIVATE_H
#define REGISTRY_REGISTRY_PRIVATE_H

#include "server/registry/registry.h"

#include <pthread.h>

struct registry {
	struct content *content;
	struct cache *cache;
	pthread_mutex_t lock; /* covers the two below; a leaf, held to take a reference */
	struct upstream_set *set;
	struct upstream *default_upstream; /* of `set`; NULL: none */
};

static inline struct cache_source source_of(const struct target *target)
{
	return (struct cache_source){
		.set = target->set,
		.upstream = target->upstream,
		.repository = target->repository,
		.stored = target->stored,
	};
}

/* A digest of the path. False: 400 DIGEST_INVALID. */
bool parse_path_digest(const char *text, struct digest *ret_digest, struct api_failure *failure);

#endif
