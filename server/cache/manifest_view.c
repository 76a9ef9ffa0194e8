#include "server/cache/manifest_view.h"

#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>

struct manifest_view *manifest_view_new(struct manifest_entry *entry)
{
	struct manifest_view *view = xcalloc(1, sizeof(*view));

	atomic_init(&view->references, 1);
	atomic_init(&view->prefetched_at, 0);
	atomic_init(&view->checked_at, clock_monotonic_ms());
	atomic_init(&view->use_told_at, 0);
	view->digest = entry->digest;
	digest_format(&entry->digest, view->digest_text);
	str_copy(view->media_type, sizeof(view->media_type), entry->media_type);
	view->body = entry->body;
	view->body_length = entry->body_length;
	entry->body = NULL;
	manifest_entry_release(entry);
	return view;
}

struct manifest_view *manifest_view_ref(struct manifest_view *view)
{
	atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
	return view;
}

void manifest_view_unref(struct manifest_view *view)
{
	if (!view || atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) != 1)
		return;
	free(view->body);
	free(view);
}
