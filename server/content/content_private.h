/* Shared by the files of this folder. */
#ifndef CONTENT_CONTENT_PRIVATE_H
#define CONTENT_CONTENT_PRIVATE_H

#include "server/content/content.h"

#include <stdatomic.h>

struct lru;

struct content {
	struct object_store *objects;
	struct metadata_store *metadata;
	_Atomic uint64_t last_version;
	/* Repositories whose manifest records were all read into the index a moment
	 * ago. Losing one costs a second reading. */
	struct lru *scanned;
	_Atomic unsigned index_failures; /* manifests that the index did not take */
};

/* Makes sure content_version() stays above a version seen somewhere. */
void content_saw_version(struct content *content, uint64_t version);

struct lru *content_scanned_new(void);
bool content_was_scanned(struct content *content, const char *repository);
/* The index did not take a manifest of this repository. */
void content_forget_scan(struct content *content, const char *repository);

/* Reads every manifest record of the repository into the index. When `wanted` (or NULL) is among what they list,
 * *ret_size is its size. BW_OK: listed; BW_ABSENT: every record was read and
 * none lists it. */
enum status content_scan_manifests(struct content *content, const char *repository,
				   const struct digest *wanted, uint64_t *ret_size,
				   struct error *error);

#endif
