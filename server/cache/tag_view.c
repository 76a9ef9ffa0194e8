#include "server/base/memory.h"
#include "server/cache/cache_private.h"

#include <stdatomic.h>
#include <stdlib.h>

struct tag_view *tag_view_new(struct manifest_view *view, const struct tag_entry *entry)
{
	struct tag_view *tag = xcalloc(1, sizeof(*tag));

	atomic_init(&tag->references, 1);
	tag->view = view;
	tag->version = entry->version;
	tag->stored_at = entry->stored_at;
	atomic_init(&tag->validated_at, entry->validated_at);
	atomic_init(&tag->checked_at, clock_monotonic_ms());
	atomic_init(&tag->refreshing, false);
	return tag;
}

void *tag_view_ref(void *value)
{
	struct tag_view *tag = value;

	atomic_fetch_add_explicit(&tag->references, 1, memory_order_relaxed);
	return tag;
}

void tag_view_unref(void *value)
{
	struct tag_view *tag = value;

	if (!tag || atomic_fetch_sub_explicit(&tag->references, 1, memory_order_acq_rel) != 1)
		return;
	manifest_view_unref(tag->view);
	free(tag);
}
