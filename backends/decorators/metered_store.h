/*
 * Decorators that measure: each call goes on to the store inside, its time to
 * registry_storage_action_seconds{store,action} and, when it could neither
 * find nor deny, a count to registry_storage_errors_total.
 */
#ifndef BACKENDS_DECORATORS_METERED_STORE_H
#define BACKENDS_DECORATORS_METERED_STORE_H

#include "backends/metadata_store.h"
#include "backends/object_store.h"

/* The decorator owns `inner` and frees it with itself. */
struct object_store *metered_object_store_new(struct object_store *inner);
struct metadata_store *metered_metadata_store_new(struct metadata_store *inner);

#endif
