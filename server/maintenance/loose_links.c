#include "server/maintenance/loose_links.h"

#include "server/base/memory.h"

#include <stdlib.h>

void loose_links_add(struct loose_links *links, const char *repository, const struct digest *digest)
{
	if (links->count == links->capacity) {
		links->capacity = links->capacity ? 2 * links->capacity : 64;
		links->items = xrealloc(links->items, links->capacity * sizeof(*links->items));
	}
	links->items[links->count++] = (struct loose_link){
		.repository = xstrdup(repository),
		.digest = *digest,
	};
}

void loose_links_release(struct loose_links *links)
{
	for (size_t i = 0; i < links->count; i++)
		free(links->items[i].repository);
	free(links->items);
	*links = (struct loose_links){0};
}
