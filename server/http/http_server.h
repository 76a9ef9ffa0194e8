/*
 * The HTTP side of the server: two listeners, one for the registry API and one
 * for the admin endpoints, and how they start and end.
 *
 *   start, is_up ... leave ... drain ... (is_quiet, or time is over: cut) ... free
 */
#ifndef HTTP_HTTP_SERVER_H
#define HTTP_HTTP_SERVER_H

#include "server/base/error.h"

#include <stdbool.h>

struct connection;
struct http_server;
struct registry;

struct http_server_options {
	const char *address; /* http.address */
	const char *admin_address; /* http.adminAddress */
	unsigned threads; /* http.threads */
	const char *external_url; /* http.externalURL, "" for none; copied */
	struct registry *registry; /* outlives the server */
	bool objects_shared; /* other replicas use the same object store: health.h */
};

/* Serves when it returns BW_OK. Signals should be blocked by now. */
enum status http_server_start(const struct http_server_options *options,
			      struct http_server **ret_server, struct error *error);

/* Where it listens, with the ports the system chose for 0. */
const char *http_server_address(const struct http_server *server);
const char *http_server_admin_address(const struct http_server *server);

/* Start-up is over: /readyz may say so from now on. */
void http_server_is_up(struct http_server *server);

/* From now on /readyz says "draining", and every answer closes its connection, so that
 * its client finds another replica; who comes all the same is served. */
void http_server_leave(struct http_server *server);

/* From now on /readyz says "draining", no connection to the registry is
 * accepted, and every answer closes its connection. */
void http_server_drain(struct http_server *server);

/* While draining: closes what is idle, and tells whether nobody is left. */
bool http_server_is_quiet(struct http_server *server);

/* Requests being answered now. */
unsigned http_server_in_flight(const struct http_server *server);

/* Breaks the connections that are left; their handlers end soon. */
void http_server_cut(struct http_server *server);

/* May this connection have another request, as things are now? */
bool http_server_may_keep(const struct http_server *server, const struct connection *connection);

/* Waits for the handlers that run. NULL is fine. */
void http_server_free(struct http_server *server);

#endif
