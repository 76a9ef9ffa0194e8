/*
 * Bytes of an upstream's blob that is fetched once for all replicas: who claims the
 * digest asks the upstream, the others read from him, and who finds him gone goes
 * on from where he is.
 */
#ifndef CACHE_ORIGIN_CLUSTER_H
#define CACHE_ORIGIN_CLUSTER_H

#include "server/cache/origin.h"

struct cluster;
struct content;

struct cluster_origin_options {
	struct cluster *cluster;
	struct content *content; /* where the replica that fetches stores it */
	struct origin *upstream_origin; /* is taken over */
	struct upstream *upstream; /* of that origin, which holds its set */
	struct digest digest;
	/* Nobody has said yet that readers of this repository may have the blob: only
	 * its upstream's own answer does, so that is asked before another repository's
	 * fetch is followed. */
	bool must_confirm;
};

struct origin *origin_cluster_new(const struct cluster_origin_options *options);

#endif
