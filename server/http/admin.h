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

/* Of the whole server; only increases. */
enum server_phase { SERVER_STARTING, SERVER_SERVING, SERVER_DRAINING };

struct admin;
struct exchange;
struct registry;

/* `phase` is read at each /readyz. Both outlive the admin. */
struct admin *admin_new(struct registry *registry, const _Atomic enum server_phase *phase);
void admin_free(struct admin *admin); /* NULL is fine */

/* Answers a request that was parsed. */
void admin_handle(struct admin *admin, struct exchange *exchange);

#endif
