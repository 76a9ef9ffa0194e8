/*
 * The admin endpoints: /livez, /readyz, /metrics.
 *
 *   /livez    200 "ok" while the process can answer at all
 *   /readyz   200 "ok", or 503 and a line that says why not: our own stores
 *             only, since an upstream's outage is what we are here for
 *   /metrics  Prometheus text
 */
#ifndef HTTP_ADMIN_H
#define HTTP_ADMIN_H

#include <stdatomic.h>
#include <stdbool.h>

struct admin;
struct exchange;
struct registry;

/* `draining` is read at each /readyz. Both outlive the admin. */
struct admin *admin_new(struct registry *registry, const _Atomic bool *draining);
void admin_free(struct admin *admin); /* NULL is fine */

/* Answers a request that was parsed. */
void admin_handle(struct admin *admin, struct exchange *exchange);

#endif
