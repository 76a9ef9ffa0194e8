/*
 * Long walks over the object store, by those who have all night: a listing in
 * pieces, so that whoever walks may use the store at every key, is told in time to
 * stop, and keeps a few thousand keys in memory however many there are.
 */
#ifndef MAINTENANCE_WALK_H
#define MAINTENANCE_WALK_H

#include "backends/object_store.h"

#include <stdatomic.h>

/* What the one who started a long task wants of it. */
struct task {
	const _Atomic bool *stop; /* true: end soon, with BW_CANCELLED; NULL: never */
	void (*tick)(void *context); /* between two steps, to tell how far it is; NULL: not */
	void *context;
};

/* Ticks. BW_CANCELLED when it is to stop. */
enum status task_step(const struct task *task, struct error *error);

/* One key. It may use the store. What it returns other than BW_OK ends the walk. */
typedef enum status (*walk_fn)(void *context, const char *key, const struct object_info *info,
			       struct error *error);

/* Every key that begins with `prefix`, in byte order; between two keys a step of
 * the task. Keys that come or go meanwhile may or may not be seen. */
enum status walk_keys(struct object_store *objects, const char *prefix, const struct task *task,
		      walk_fn fn, void *context, struct error *error);

#endif
