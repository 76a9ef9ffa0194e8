/*
 * The index in Redis, for replicas that share it: a metadata store, and the
 * coordination of those replicas, over one pool of connections (hiredis).
 *
 * Nothing that was acknowledged is in Redis alone. It may be flushed, restarted
 * empty, restored from an old snapshot or fail over to a replica that lags: its keys
 * carry an *epoch*, which is bound to the server's run_id. A server that is another
 * one than the epoch was made for begins a new epoch, in which nothing is known yet;
 * what the old ones left is removed in the background. So a tag that an older Redis
 * remembers is never believed. redis_keys.h has the layout.
 *
 * Every command has a deadline of its own. When the server does not answer, or
 * refuses, a breaker opens: commands fail at once (BW_UNAVAILABLE, with retry_after)
 * until a probe, made by one background thread, has succeeded.
 */
#ifndef BACKENDS_REDIS_REDIS_STORE_H
#define BACKENDS_REDIS_REDIS_STORE_H

#include "backends/coordination.h"
#include "backends/metadata_store.h"

#include <stddef.h>

struct redis_options {
	const char *address; /* host:port; not looked at when there are sentinels */
	const char *const *sentinels; /* host:port each, asked in turn for the master */
	size_t sentinel_count;
	const char *master; /* its name at the sentinels */
	const char *username; /* "": the default user */
	const char *password; /* "": none; secret */
	const char *password_file; /* "": none; read again for every new connection */
	unsigned database;
	bool tls; /* BW_UNSUPPORTED where the hiredis at hand has none */
	const char *tls_ca_file; /* "": the system's */
	const char *tls_server_name; /* "": the address's host */
	int64_t connect_ms; /* 0: 300 */
	int64_t command_ms; /* 0: 300; of each command, however many are pipelined */
	unsigned max_connections; /* 0: 64; who finds none free waits within its deadline */
};

/* A server that cannot be reached now is no failure: the store begins as it goes on
 * when Redis is lost. What no waiting will mend is: options that make no sense
 * (BW_INVALID), a password file that cannot be read. *ret_metadata and
 * *ret_coordination share the connections, and may be freed in either order. */
enum status redis_store_new(const struct redis_options *options,
			    struct metadata_store **ret_metadata,
			    struct coordination **ret_coordination, struct error *error);

#endif
