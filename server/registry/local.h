/*
 * Reading local repositories: what registry.h offers, where there is no upstream.
 * What the stores do not have is a 404, what they could not tell a 503.
 */
#ifndef REGISTRY_LOCAL_H
#define REGISTRY_LOCAL_H

#include "server/registry/registry_private.h"

bool local_get_manifest(struct registry *registry, const struct target *target,
			const struct reference *reference, struct manifest_view **ret_view,
			struct api_failure *failure);
bool local_open_blob(struct registry *registry, const struct target *target,
		     const struct digest *digest, struct blob_source *ret_blob,
		     struct api_failure *failure);
bool local_stat_blob(struct registry *registry, const struct target *target,
		     const struct digest *digest, uint64_t *ret_size, struct api_failure *failure);

/* Is there such a repository? 404 NAME_UNKNOWN. */
bool local_exists(struct registry *registry, const struct target *target,
		  struct api_failure *failure);

#endif
