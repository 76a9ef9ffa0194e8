/*
 * maxConnections of an upstream is what the whole cluster may use: each live
 * replica has its share of it, max(1, maxConnections / replicas), which moves as
 * replicas come and go. What runs already is not ended when a share shrinks.
 */
#ifndef CLUSTER_BUDGET_H
#define CLUSTER_BUDGET_H

#include "server/base/clock.h"
#include "server/cluster/cluster.h"

unsigned budget_share(unsigned max_connections, unsigned replicas);

/* Takes one of this replica's connections to the upstream, waiting for it until the
 * deadline. True: budget_leave when it is over. */
bool budget_enter(struct cluster *cluster, const char *upstream, unsigned max_connections,
		  deadline_ms deadline);
void budget_leave(struct cluster *cluster, const char *upstream);

#endif
