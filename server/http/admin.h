/*
 * The admin endpoints: /livez, /readyz, /metrics.
 *
 *   /livez    200 "ok" while the process can answer at all
 *   /readyz   {"status": "ready", "objects": "ok", "index": "ok"}, where a store
 *             that is away has the reason instead: our own stores only, since an
 *             upstream's outage is what we are here for. 200 for "ready" and
 *             "degraded", 503 for "unready" (health.h), "starting", "draining"
 *   /metrics  Prometheus text
 */
#ifndef HTTP_ADMIN_H
#define HTTP_ADMIN_H

#include "server/base/error.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Of the whole server; only increases. */
enum server_phase {
	SERVER_STARTING,
	SERVER_SERVING,
	SERVER_LEAVING, /* not ready any more, but whoever still comes is served */
	SERVER_DRAINING,
};

struct admin;
struct exchange;
struct registry;

/* `phase` is read at each /readyz. Both outlive the admin. `objects_shared`: other
 * replicas use the same object store. */
enum status admin_new(struct registry *registry, bool objects_shared,
		      const _Atomic enum server_phase *phase, struct admin **ret_admin,
		      struct error *error);
void admin_free(struct admin *admin); /* NULL is fine */

/* Answers a request that was parsed. */
void admin_handle(struct admin *admin, struct exchange *exchange);

#endif
