/*
 * Links that nothing in their repository needs: no manifest there lists the blob. An
 * image that was deleted leaves some, as does one whose manifest never came.
 */
#ifndef MAINTENANCE_LOOSE_LINKS_H
#define MAINTENANCE_LOOSE_LINKS_H

#include "server/base/digest.h"

#include <stddef.h>

struct loose_link {
	char *repository; /* owned */
	struct digest digest;
};

struct loose_links {
	struct loose_link *items;
	size_t count;
	size_t capacity;
};

/* Zero-initialise. */
void loose_links_add(struct loose_links *links, const char *repository,
		     const struct digest *digest);
void loose_links_release(struct loose_links *links);

#endif
