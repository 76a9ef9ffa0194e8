/*
 * A manifest in memory as it is served: immutable, reference-counted, shared by
 * every request that sends it.
 */
#ifndef CACHE_MANIFEST_VIEW_H
#define CACHE_MANIFEST_VIEW_H

#include "backends/metadata_store.h"
#include "server/base/digest.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct manifest_view {
	_Atomic unsigned references;
	struct digest digest;
	char digest_text[DIGEST_TEXT_SIZE];
	char media_type[MEDIA_TYPE_MAX];
	char *body;
	size_t body_length;
	_Atomic int64_t checked_at; /* monotonic ms; when the stores last had it */
	_Atomic int64_t use_told_at; /* likewise; when the index was last told that it is used */
	_Atomic int64_t prefetched_at; /* monotonic ms; when its blobs were last asked for */
};

/* Takes the body out of *entry (which is then released). */
struct manifest_view *manifest_view_new(struct manifest_entry *entry);
struct manifest_view *manifest_view_ref(struct manifest_view *view);
void manifest_view_unref(struct manifest_view *view);

#endif
