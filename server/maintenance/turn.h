/*
 * Whose turn it is: of several replicas, one does what one is enough for. A turn is a
 * lease of the coordination; alone (no coordination) it is always ours.
 *
 * Everything that is done in turn may also be done by two at once, and costs twice as
 * much then. So a turn that is lost in the middle, because its holder hung for longer
 * than it is good for, needs no attention.
 */
#ifndef MAINTENANCE_TURN_H
#define MAINTENANCE_TURN_H

#include "backends/coordination.h"
#include "server/base/clock.h"

struct turn {
	struct coordination *coordination; /* NULL: alone */
	const char *name; /* of the lease */
	int64_t ttl_ms;
	uint64_t fence;
	deadline_ms renew; /* when it is to be renewed */
};

/* BW_OK: it is ours for `ttl_ms`. BW_CONFLICT: it is somebody else's. Any other failure:
 * nobody can tell, and the index, which is where the coordination is, can mostly not be
 * reached either. `name` outlives the turn. */
enum status turn_take(struct turn *turn, struct coordination *coordination, const char *name,
		      int64_t ttl_ms, struct error *error);
/* Between two steps of what takes long; cheap. Asks when half of its time is over. */
void turn_keep(struct turn *turn);
/* Somebody else may have it now. Not giving it back keeps everybody else away until it
 * has run out, which is how a thing is done once in a while. */
void turn_give_back(struct turn *turn);

#endif
