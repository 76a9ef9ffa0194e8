/*
 * How our own stores are, for /readyz: each is asked once a second on a thread of its
 * own, so that a probe is answered at once whatever a store does, one that hangs hides
 * nothing about the other one, and a turn is seen (metric, one line of the log) although
 * nobody probes.
 *
 *   the index is away      degraded: pulls go on from the object store, pushes are
 *                          refused
 *   the object store is    this replica's own disk: unready, another one may do better.
 *                          Shared by all: degraded. Every replica sees the same outage,
 *                          and were all unready, nobody would be sent what the hot
 *                          caches hold, or a 503 that says why
 *   both are away          unready: next to nothing can be answered. Where two systems
 *                          fail at once it is mostly this replica's own network, and
 *                          where it is not, the others are no better and nobody loses
 */
#ifndef HTTP_HEALTH_H
#define HTTP_HEALTH_H

#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum store_role { STORE_OBJECTS, STORE_INDEX, STORE_ROLES };
/* In answers, in the log and as the metric's label. */
const char *store_role_name(enum store_role role);

enum readiness { READY, DEGRADED, UNREADY };

struct health_options {
	/* Can the store be used? May take as long as the store's deadlines. */
	enum status (*checks[STORE_ROLES])(void *context, struct error *error);
	void *context;
	bool objects_shared; /* other replicas use the same object store */
	int64_t every_ms;
	int64_t hangs_ms; /* a check that runs for longer counts as failed */
};

struct health_report {
	enum readiness readiness;
	struct {
		bool up;
		char reason[sizeof(((struct error *)NULL)->message)]; /* why not */
	} stores[STORE_ROLES];
};

struct health;

/* Begins to ask. BW_IO: no thread is to be had. */
enum status health_new(const struct health_options *options, struct health **ret_health,
		       struct error *error);
/* Waits for the checks that run. NULL is fine. */
void health_free(struct health *health);

/* As things are now, for the metric too. Waits for the first answers only, and for
 * hangs_ms at most. */
void health_get(struct health *health, struct health_report *ret_report);

#endif
