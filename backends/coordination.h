/*
 * What replicas of one registry agree on while they run: who does a thing now
 * (leases), and what one of them has learned that the others should know (notes).
 *
 * Nothing here is the truth of anything that is stored, and all of it may be lost
 * at any time: a lease that is lost costs a second fetch, a note that is lost a
 * second question. Who cannot reach the coordination goes on alone.
 *
 * Thread-safe throughout; every call ends within its implementation's deadline.
 * Names, groups, holders and values are printable ASCII without control bytes,
 * at most COORDINATION_TEXT_MAX bytes each. Implementations embed `struct
 * coordination` first. A single process needs none: callers take NULL for "alone".
 */
#ifndef BACKENDS_COORDINATION_H
#define BACKENDS_COORDINATION_H

#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define COORDINATION_TEXT_MAX 512

struct coordination;

struct lease {
	/* Grows with every change of hands of this lease's name, so that what an old
	 * holder still does can be told from what the new one does. */
	uint64_t fence;
	char holder[COORDINATION_TEXT_MAX + 1]; /* as the one who took it said */
};

/* `age_ms`: how long ago it was put. False stops. */
typedef bool (*note_list_fn)(void *context, const char *name, const char *value, int64_t age_ms);

struct coordination_ops {
	const char *name; /* "redis", "memory" */

	/* Takes the lease for `ttl_ms` unless somebody has it. BW_OK: it is ours.
	 * BW_CONFLICT: *ret says whose it is (`holder` may be ourselves: a lease is
	 * held by who has its fence, not by whom it names). Both fill *ret. */
	enum status (*take_lease)(struct coordination *coordination, const char *name,
				  const char *holder, int64_t ttl_ms, struct lease *ret,
				  struct error *error);
	/* From now on it is ours for `ttl_ms` again. BW_CONFLICT: it is not ours any
	 * more (expired, and perhaps somebody else's). */
	enum status (*renew_lease)(struct coordination *coordination, const char *name,
				   uint64_t fence, int64_t ttl_ms, struct error *error);
	/* Gives it back if it is still ours; BW_OK otherwise too. */
	enum status (*drop_lease)(struct coordination *coordination, const char *name,
				  uint64_t fence, struct error *error);

	/* Replaces the note of that name in the group. It is gone after `ttl_ms`. */
	enum status (*put_note)(struct coordination *coordination, const char *group,
				const char *name, const char *value, int64_t ttl_ms,
				struct error *error);
	/* The group's notes that are not over, in no order; a group has some hundreds at
	 * most. */
	enum status (*list_notes)(struct coordination *coordination, const char *group,
				  note_list_fn fn, void *context, struct error *error);

	void (*free)(struct coordination *coordination);
};

struct coordination {
	const struct coordination_ops *ops;
};

static inline enum status coordination_take_lease(struct coordination *coordination,
						  const char *name, const char *holder,
						  int64_t ttl_ms, struct lease *ret,
						  struct error *error)
{
	return coordination->ops->take_lease(coordination, name, holder, ttl_ms, ret, error);
}

static inline enum status coordination_renew_lease(struct coordination *coordination,
						   const char *name, uint64_t fence, int64_t ttl_ms,
						   struct error *error)
{
	return coordination->ops->renew_lease(coordination, name, fence, ttl_ms, error);
}

static inline enum status coordination_drop_lease(struct coordination *coordination,
						  const char *name, uint64_t fence,
						  struct error *error)
{
	return coordination->ops->drop_lease(coordination, name, fence, error);
}

static inline enum status coordination_put_note(struct coordination *coordination,
						const char *group, const char *name,
						const char *value, int64_t ttl_ms,
						struct error *error)
{
	return coordination->ops->put_note(coordination, group, name, value, ttl_ms, error);
}

static inline enum status coordination_list_notes(struct coordination *coordination,
						  const char *group, note_list_fn fn, void *context,
						  struct error *error)
{
	return coordination->ops->list_notes(coordination, group, fn, context, error);
}

static inline void coordination_free(struct coordination *coordination)
{
	if (coordination)
		coordination->ops->free(coordination);
}

#endif
