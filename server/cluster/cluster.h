/*
 * Replicas that work as one: each blob is fetched once for all of them, and what
 * one learned about an upstream is known to every other.
 *
 *   keyring.h   what replicas know each other by
 *   request.h   a replica's question to another, and its answer, signed
 *   claim.h     who fetches a blob now: leases, renewed while the work goes on
 *   follow.h    the bytes of a fill that another replica runs
 *   budget.h    maxConnections, shared
 *   news.h      verdicts of breakers, pauses and rate limits, told and heeded
 *
 * All of it is help and none of it is needed: without the coordination, or
 * without an answer from another replica, each fetches for itself. Callers pass
 * a NULL cluster for "alone".
 *
 * Who is trusted with what:
 *   - The coordination (a Redis, say) is not trusted. Addresses and notes in it are
 *     signed with the secret, and what is not is as good as not there. Who can
 *     write to it can take or drop leases, which costs fetches, and can bring back
 *     what was signed within the last half minute. It makes no replica connect to
 *     an address that no replica ever gave for that very blob.
 *   - The secret opens every blob by its digest, whoever may pull it. It is never
 *     sent: a request carries an HMAC, good for one use at one replica.
 *   - The network between replicas is trusted not to listen: bytes are not
 *     encrypted. It need not be trusted otherwise, since a blob's digest is verified
 *     by who receives it.
 *
 * Thread-safe. Locks are leaves, and none is held over I/O.
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct cluster;
struct coordination;
struct upstream_set;

#define CLUSTER_ADDRESS_SIZE 264 /* a host's name, a colon, a port, NUL */

/* The replicas' clocks may differ by this much. */
#define CLUSTER_CLOCK_SKEW_MS 30000

/* How long things may take; 0 stands for what is said behind it. */
struct cluster_timing {
	int64_t lease_ms; /* 6 s: how long a dead replica's fill is waited for */
	int64_t connect_ms; /* 2 s */
	int64_t first_byte_ms; /* 8 s */
	int64_t stall_ms; /* 8 s */
	int64_t grace_ms; /* 300 ms: from one refused connection to the next */
	int64_t patience_ms; /* 25 s: for a fill that has no byte yet */
};

struct cluster_options {
	struct coordination *coordination; /* the caller's, and outlives the cluster */
	const char *advertise_address; /* "host:port", "[2001:db8::1]:5000" */
	/* One of the two; NULL or "": not that one. The file is looked at once a second,
	 * and read again when it changed; the secret before is good for a while longer. */
	const char *secret;
	const char *secret_file;
	struct cluster_timing timing;
};

/* BW_INVALID: an address that nobody can connect to, or a secret of less than 16
 * bytes. Starts two threads: one renews leases, the other reads and writes notes. */
enum status cluster_new(const struct cluster_options *options, struct cluster **ret_cluster,
			struct error *error);
/* Nobody may use it any more. Gives back what is left of leases, and says goodbye. */
void cluster_free(struct cluster *cluster);

/* The upstreams that news are about from now on; takes a reference. After each
 * reload. NULL: none. */
void cluster_set_upstreams(struct cluster *cluster, struct upstream_set *set);

const char *cluster_address(const struct cluster *cluster);
const struct cluster_timing *cluster_timing(const struct cluster *cluster);

/* Live replicas, this one among them, as last heard; at least 1. */
unsigned cluster_replicas(const struct cluster *cluster);

#endif
