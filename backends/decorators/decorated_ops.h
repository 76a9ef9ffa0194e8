/*
 * What a decorator's table takes from the store inside: its name, and what it lacks.
 * Whoever asks whether there is an optional operation is to hear what the inner store
 * would say.
 */
#ifndef BACKENDS_DECORATORS_DECORATED_OPS_H
#define BACKENDS_DECORATORS_DECORATED_OPS_H

#include "backends/metadata_store.h"

static inline void decorated_metadata_ops(struct metadata_store_ops *ops,
					  const struct metadata_store *inner)
{
	ops->name = inner->ops->name;
	if (!inner->ops->next_version)
		ops->next_version = NULL;
	if (!inner->ops->watch)
		ops->watch = NULL;
	if (!inner->ops->is_watched)
		ops->is_watched = NULL;
}

#endif
