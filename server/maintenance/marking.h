/*
 * Reading every reference there is (step b. of server/content/references.h): the
 * links, the records of manifests, and what the manifests list.
 */
#ifndef MAINTENANCE_MARKING_H
#define MAINTENANCE_MARKING_H

#include "server/maintenance/digest_set.h"
#include "server/maintenance/loose_links.h"
#include "server/maintenance/walk.h"

struct content;

struct marked {
	uint64_t repositories;
	uint64_t manifests; /* records of */
	uint64_t links;
	uint64_t loose; /* of these: no references; see mark_references */
	uint64_t foreign; /* keys that are none of ours; nothing is read into them */
};

/* Adds whatever is referred to. A link stored before `loose_before` (wall-clock ms) of
 * a blob that no manifest of its repository lists is no reference, and is added to
 * `loose` instead. On any failure the set is incomplete, and nothing
 * may be concluded from what is not in it. BW_CORRUPT, and the error names the key:
 * a stored manifest cannot be read, so that what it lists is not known. A manifest
 * whose body is not there lists nothing. */
enum status mark_references(struct content *content, const struct task *task, int64_t loose_before,
			    struct digest_set *set, struct loose_links *loose,
			    struct marked *marked, struct error *error);

#endif
