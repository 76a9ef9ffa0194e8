/*
 * The index in Redis, for replicas that share it: a metadata store, and the
 * coordination of those replicas, over one pool of connections (hiredis).
 *
 * Nothing that was acknowledged is in Redis alone. It may be flushed, restarted
 * empty, restored from an old snapshot or fail over to a replica that lags: its keys
 * carry an *epoch*, which is bound to the server's run_id. A server that is another
 * one than the epoch was made for begins a new epoch, in which nothing is known yet;
 * what the old ones left is removed in the background. So a tag that an older Redis
 * remembers is never believed. redis_keys.h has the layout. The one thing that may be
 * seen old is a master that was cut off from its sentinels and from us not at all, for
 * the two seconds until they are asked again.
 *
 * Every command has a deadline of its own. When the server does not answer, or
 * refuses, a breaker opens: commands fail at once (BW_UNAVAILABLE, with retry_after)
 * until a probe, made by one background thread, has succeeded. What is not certain to
 * have failed is never sent twice unless that is as good as once.
 *
 * What is asked of the server: Redis 6.2 or newer, one master (no Redis Cluster), and
 * that it takes no keys away one by one: maxmemory-policy noeviction, or a volatile-
 * one, which only takes what would have been forgotten anyway. With an allkeys- policy
 * a list may lose its members and still pass for complete (tags, referrers, the
 * catalog, who links a blob); a single row that is lost is only asked for again. See
 * `warning` below.
 * Persistence is not needed. Without CLIENT TRACKING it works as well, unwatched.
 */
#ifndef BACKENDS_REDIS_REDIS_STORE_H
#define BACKENDS_REDIS_REDIS_STORE_H

#include "backends/coordination.h"
#include "backends/metadata_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_WARNING_SIZE 256

/* How it is now. */
struct redis_status {
	bool connected;
	bool watched; /* changes of others are heard at once */
	uint64_t sessions; /* grows with every server or epoch that was found */
	char address[64]; /* of the last server found: ip:port */
	char version[64];
	char warning[REDIS_WARNING_SIZE]; /* what an operator should mend; "": nothing */
};

struct redis_options {
	const char *prefix; /* of every key; NULL: "bw:". For several registries in one Redis */
	const char *address; /* host:port; not looked at when there are sentinels */
	const char *const *sentinels; /* host:port each, asked in turn for the master */
	size_t sentinel_count;
	const char *master; /* its name at the sentinels */
	const char *username; /* "": the default user */
	const char *password; /* "": none; secret */
	const char *password_file; /* "": none; read again for every new connection */
	unsigned database;
	bool tls; /* the certificate and its name are verified */
	const char *tls_ca_file; /* "": the system's */
	const char *tls_server_name; /* "": the address's host, or the first sentinel's */
	int64_t connect_ms; /* 0: 300 */
	int64_t command_ms; /* 0: 300; of a command, or of several sent together, with all
			     * it waits for: a free connection, a new one, the answer */
	unsigned max_connections; /* 0: 64; who finds none free waits within its deadline */
	/* Told of each session that begins: with another server, or in another epoch. On
	 * a thread of the store's, for which the store is not to be called; may be NULL. */
	void (*on_session)(const struct redis_status *status);
};

/* A server that cannot be reached now is no failure: the store begins as it goes on
 * when Redis is lost. What no waiting will mend is: options that make no sense
 * (BW_INVALID), a password file that cannot be read. *ret_metadata and
 * *ret_coordination share the connections, and may be freed in either order. */
enum status redis_store_new(const struct redis_options *options,
			    struct metadata_store **ret_metadata,
			    struct coordination **ret_coordination, struct error *error);

void redis_store_status(struct metadata_store *metadata, struct redis_status *ret);

#endif
