/*
 * Reading everything that is stored, to find what does not match its name or is not
 * there any more.
 *
 * With `quarantine` the bytes of a damaged blob are copied to
 * quarantine/<algorithm>/<hex> and the blob is removed: a cache fetches it anew, a
 * client is told that it is not there, and a push of it stores it again. The removal
 * is announced as a collection's (server/content/references.h), so that a push which
 * counts on the bytes at that moment either finds them gone or keeps us from it.
 */
#ifndef MAINTENANCE_SCRUB_H
#define MAINTENANCE_SCRUB_H

#include "server/maintenance/walk.h"

struct content;

enum scrub_fault {
	SCRUB_DAMAGED, /* a blob whose bytes do not hash to its name */
	SCRUB_UNREADABLE, /* a blob, or a record, that the store has and cannot read */
	SCRUB_BODY_GONE, /* a manifest whose body is not there, though its push was complete */
	SCRUB_BYTES_GONE, /* a link of which the same is true */
};

struct scrub_finding {
	enum scrub_fault fault;
	const char *key;
	uint64_t size; /* of blobs: bytes */
	const char *detail; /* what the store said; "" : nothing */
	/* of blobs: repositories that link it, as far as the index knows */
	const char *const *repositories;
	size_t repository_count;
	bool quarantined;
};

struct scrub_options {
	bool quarantine;
	uint64_t bytes_per_second; /* read at most; 0: as fast as it goes */
	void (*found)(void *context, const struct scrub_finding *finding);
	void *context;
};

struct scrub_summary {
	uint64_t blobs; /* read */
	uint64_t bytes;
	uint64_t records; /* manifests and links looked at */
	uint64_t bad; /* findings */
	uint64_t quarantined;
	uint64_t unfinished; /* links and records of pushes that never came to their end */
};

/* A finding is no failure. *summary counts as it goes. */
enum status scrub(struct content *content, const struct scrub_options *options,
		  const struct task *task, struct scrub_summary *summary, struct error *error);

#endif
