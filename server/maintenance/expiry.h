/*
 * Uploads that nobody went on with: their sessions and their parts.
 */
#ifndef MAINTENANCE_EXPIRY_H
#define MAINTENANCE_EXPIRY_H

#include "server/maintenance/walk.h"

struct content;

struct expired_uploads {
	uint64_t sessions; /* not touched for the age */
	uint64_t parts; /* uploads with parts that no session knows, as old */
};

/* One pass. `remove` false: only counts. Several processes may do it at once. What
 * was done is in *expired after a failure too. */
enum status expire_uploads(struct content *content, int64_t max_age_ms, bool remove,
			   const struct task *task, struct expired_uploads *expired,
			   struct error *error);

#endif
