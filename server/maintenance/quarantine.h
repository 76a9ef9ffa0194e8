/*
 * Moving a damaged blob out of everybody's way; see scrub.h.
 */
#ifndef MAINTENANCE_QUARANTINE_H
#define MAINTENANCE_QUARANTINE_H

#include "backends/object_store.h"
#include "server/base/digest.h"

struct content;

/* `info` is the object as it was when it was found to be damaged. BW_CONFLICT, and it
 * stays: it is another one now, or somebody is pushing it. */
enum status quarantine_blob(struct content *content, const struct digest *digest,
			    const struct object_info *info, struct error *error);

#endif
