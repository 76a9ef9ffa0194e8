/*
 * Decorators that fail on purpose, for tests: one in `every` calls of the
 * actions chosen answers `status` without asking the store inside.
 */
#ifndef BACKENDS_DECORATORS_FAULTY_STORE_H
#define BACKENDS_DECORATORS_FAULTY_STORE_H

#include "backends/metadata_store.h"
#include "backends/object_store.h"

/* Thread-safe to change while the store is in use. */
struct fault_plan {
	_Atomic unsigned every; /* 0: never, 1: always, n: each n-th call */
	_Atomic int status; /* an enum status */
	const char *action; /* the table's name of it ("open"), NULL: all */
	_Atomic unsigned calls; /* counted by the decorator */
	_Atomic unsigned failed;
};

/* The decorator owns `inner`; `plan` stays the caller's and outlives it. */
struct object_store *faulty_object_store_new(struct object_store *inner, struct fault_plan *plan);
struct metadata_store *faulty_metadata_store_new(struct metadata_store *inner,
						 struct fault_plan *plan);

#endif
