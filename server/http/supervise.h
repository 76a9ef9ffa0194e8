/*
 * A running server's life after its start: signals.
 *
 *   SIGHUP           reads the configuration again; a bad one changes nothing
 *   SIGTERM, SIGINT  drains: not ready, no new connections, every answer the
 *                    last of its connection, until nobody is left. After
 *                    http.drainTimeout, or at a second signal, what is left
 *                    is cut.
 */
#ifndef HTTP_SUPERVISE_H
#define HTTP_SUPERVISE_H

struct config;
struct http_server;
struct registry;

struct supervision {
	const char *config_path; /* as it was given; NULL: the built-in defaults */
	struct config *config; /* a reference, replaced by a reload */
	struct registry *registry;
	struct http_server *server;
};

/* Blocks those signals, so that only supervise() gets them. To be called before
 * the first thread starts. SIGPIPE is ignored from then on. */
void supervise_signals(void);

/* Returns when the server may be freed. Does not return when handlers do not end
 * although their connections were cut, or at a third signal: then the process
 * exits with 1, and what is stored is as safe as in a crash. */
void supervise(struct supervision *supervision);

#endif
