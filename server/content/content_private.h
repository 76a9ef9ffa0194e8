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
	int64_t settle_patience_ms; /* REFERENCES_PATIENCE_MS; tests shorten it */
};

/* Makes sure content_version() stays above a version seen somewhere. */
void content_saw_version(struct content *content, uint64_t version);

struct lru *content_scanned_new(void);
bool content_was_scanned(struct content *content, const char *repository);
/* The index did not take a manifest of this repository. */
void content_forget_scan(struct content *content, const char *repository);

/* Reads the repository's manifest records into the index (10,000 at most: with
 * more, some blob's grant may have to be asked for again). BW_OK: one of them
 * lists `wanted`, with *ret_size bytes. BW_ABSENT: none that was read does. */
enum status content_scan_manifests(struct content *content, const char *repository,
				   const struct digest *wanted, uint64_t *ret_size,
				   struct error *error);

#endif
