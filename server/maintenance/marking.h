/*
 * Reading every reference there is (step b. of server/content/references.h): the
 * links, the records of manifests, and what the manifests list.
 */
#ifndef MAINTENANCE_MARKING_H
#define MAINTENANCE_MARKING_H

#include "server/maintenance/digest_set.h"
#include "server/maintenance/walk.h"

struct content;

struct marked {
	uint64_t repositories;
	uint64_t manifests; /* records of */
	uint64_t links;
	uint64_t foreign; /* keys that are none of ours; nothing is read into them */
};

/* Adds whatever is referred to. On any failure the set is incomplete, and nothing
 * may be concluded from what is not in it. BW_CORRUPT, and the error names the key:
 * a stored manifest cannot be read, so that what it lists is not known. A manifest
 * whose body is not there lists nothing. */
enum status mark_references(struct content *content, const struct task *task,
			    struct digest_set *set, struct marked *marked, struct error *error);

#endif
