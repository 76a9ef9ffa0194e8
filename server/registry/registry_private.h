/* Shared by the files of this folder. */
#ifndef REGISTRY_REGISTRY_PRIVATE_H
#define REGISTRY_REGISTRY_PRIVATE_H

#include "server/registry/registry.h"

#include <pthread.h>

struct registry {
	struct content *content;
	struct cache *cache;
	pthread_mutex_t lock; /* covers what follows; a leaf, held to copy or to reference */
	struct upstream_set *set;
	struct upstream *default_upstream; /* of `set`; NULL: none */
	enum check_references checks;
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

/* An empty body of a registry_document, which takes DOCUMENT_MAX bytes. */
#define DOCUMENT_MAX ((size_t)32 << 20)
struct buf *document_body_new(void);

/* uploads.checkReferences as it is now. */
enum check_references registry_checks(struct registry *registry);

/* Is what our stores call so a local repository, and not one of an upstream, be it
 * configured now or not? */
bool repository_is_local(struct upstream_set *set, const char *stored);

/* Before something is written that is told to the index in the end only: when it cannot
 * be asked now, that is found out at the cost of one deadline, and not after a body has
 * been read and the object store been written. False: 503. */
bool require_index(struct registry *registry, const struct target *target,
		   struct api_failure *failure);

/* A digest of the path. False: 400 DIGEST_INVALID. */
bool parse_path_digest(const char *text, struct digest *ret_digest, struct api_failure *failure);
/* A tag or a digest. False: 400 TAG_INVALID or DIGEST_INVALID. */
bool parse_path_reference(const char *text, struct reference *ret_reference,
			  struct api_failure *failure);

#endif
