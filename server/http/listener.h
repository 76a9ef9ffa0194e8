/*
 * A listening address with a pool of worker threads, one per connection.
 *
 * Implemented by civetweb_glue.c. There may be several listeners at once; the
 * admin listener is one of its own, so that health checks are answered
 * whatever the registry's workers are busy with.
 */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include "server/base/error.h"

#include <stdbool.h>

struct connection;
struct listener;
struct request_head;

struct listener_options {
	const char *key; /* the configuration's name of the address, for messages */
	const char *address; /* "host:port"; "" and "[::]" are every address of both families */
	unsigned threads;
	bool keep_alive;
	int head_timeout_ms; /* a request's head must be there within this */
	int idle_timeout_ms; /* a connection that waits for the next request */
	void *context;

	/* Answers one request. Runs on a worker; the pool is the listener's. */
	void (*handle)(void *context, struct connection *connection,
		       const struct request_head *head);
	/* Answers what could not be read as a request, with this status; the
	 * connection closes afterwards. */
	void (*handle_malformed)(void *context, struct connection *connection, int status,
				 const char *reason);
	/* A connection got a worker (+1), or gave it back (-1). May be NULL. */
	void (*count_connection)(void *context, int change);
};

/* BW_IO with a message that names key, address and reason: in use, not
 * permitted, no such address. Signals should be blocked by now: the workers
 * inherit the mask. */
enum status listener_start(const struct listener_options *options, struct listener **ret_listener,
			   struct error *error);

/* "127.0.0.1:5000", with the port the system chose when the option said 0. */
const char *listener_address(const struct listener *listener);

/* Connections that hold a worker, and workers. */
unsigned listener_connections(const struct listener *listener);
unsigned listener_threads(const struct listener *listener);

/* Refuses new connections from now on; those there are go on. */
void listener_stop_accepting(struct listener *listener);

/* Closes connections between requests. One whose next request is on its way is
 * still answered. Call it again while waiting: connections become idle. */
void listener_close_idle(struct listener *listener);

/* Nobody is connected, and nobody waits to be given a worker. */
bool listener_is_quiet(struct listener *listener);

/* Breaks every connection: writes of running handlers fail. */
void listener_cut(struct listener *listener);

/* Ends the workers; a handler that runs is waited for, and can write no more.
 * NULL is fine. */
void listener_free(struct listener *listener);

#endif
